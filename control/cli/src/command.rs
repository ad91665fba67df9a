//! The commands, one a file.

mod status;

mod stats;

mod lookup;

mod cache;
mod cache_dump;
mod cache_flush;
mod resolver_dump;

mod zone;
mod zone_list;
mod zone_reload;

mod reload;

mod check;

mod metrics;

mod completions;

pub use cache::Cache;
pub use cache_dump::CacheDump;
pub use cache_flush::CacheFlush;
pub use check::Check;
pub use completions::Completions;
pub use lookup::Lookup;
pub use metrics::Metrics;
pub use reload::Reload;
pub use stats::Stats;
pub use status::Status;
pub use zone::Zone;
pub use zone_list::ZoneList;
pub use zone_reload::ZoneReload;
