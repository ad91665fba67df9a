//! The commands, one a file.

mod status;

mod stats;

mod lookup;

mod cache;
mod cache_dump;
mod cache_flush;
mod resolver_dump;

mod nta;
mod nta_add;
mod nta_del;
mod nta_list;

mod trust;
mod trust_list;

mod zone;
mod zone_add;
mod zone_change;
mod zone_create;
mod zone_delete_records;
mod zone_list;
mod zone_reload;
mod zone_remove;
mod zone_show;

mod cluster;
mod cluster_proposals;
mod cluster_propose;
mod cluster_status;

mod ct;
mod ct_monitor;
mod ct_monitor_alerts;
mod ct_monitor_certificates;
mod ct_monitor_status;

mod peers;
mod peers_list;
mod peers_show;

mod ct_checkpoint;
mod ct_key;
mod ct_proof;
mod ct_status;
mod ct_submit;
mod ct_validate;

mod key;
mod key_show;

mod reload;

mod check;

mod migrate;

mod metrics;

mod completions;

pub use cache::Cache;
pub use cache_dump::CacheDump;
pub use cache_flush::CacheFlush;
pub use check::Check;
pub use cluster::Cluster;
pub use cluster_proposals::ClusterProposals;
pub use cluster_propose::ClusterPropose;
pub use cluster_status::ClusterStatus;
pub use completions::Completions;
pub use ct::Ct;
pub use ct_checkpoint::CtCheckpoint;
pub use ct_key::CtKey;
pub use ct_monitor::CtMonitor;
pub use ct_monitor_alerts::CtMonitorAlerts;
pub use ct_monitor_certificates::CtMonitorCertificates;
pub use ct_monitor_status::CtMonitorStatus;
pub use ct_proof::CtProof;
pub use ct_status::CtStatus;
pub use ct_submit::CtSubmit;
pub use ct_validate::CtValidate;
pub use key::Key;
pub use key_show::KeyShow;
pub use lookup::Lookup;
pub use metrics::Metrics;
pub use migrate::Migrate;
pub use nta::Nta;
pub use nta_add::NtaAdd;
pub use nta_del::NtaDel;
pub use nta_list::NtaList;
pub use peers::Peers;
pub use peers_list::PeersList;
pub use peers_show::PeersShow;
pub use reload::Reload;
pub use stats::Stats;
pub use status::Status;
pub use trust::Trust;
pub use trust_list::TrustList;
pub use zone::Zone;
pub use zone_add::ZoneAdd;
pub use zone_create::ZoneCreate;
pub use zone_delete_records::ZoneDeleteRecords;
pub use zone_list::ZoneList;
pub use zone_reload::ZoneReload;
pub use zone_remove::ZoneRemove;
pub use zone_show::ZoneShow;
