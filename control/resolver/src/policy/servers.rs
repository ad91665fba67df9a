//! The name servers that an answer came from, for the rules of policy zones that speak of them.
//!
//! Only what the cache has is looked at: nothing is asked for the policy's sake, as in BIND with
//! `nsdname-wait-recurse no`. What was resolved just now has left its delegations there.

use std::net::IpAddr;

use hickory_proto::rr::{Name, RData, Record, RecordType};

use super::addresses::addresses;
use super::names::{Key, key};

/// Gives the records of a name and type that are at hand.
pub type Known<'k> = dyn Fn(&Name, RecordType) -> Vec<Record> + 'k;

/// Name servers that are looked at for one name.
const SERVERS_MAX: usize = 32;
/// Names of fewer labels are not looked at: rules for the servers of a whole top-level domain would
/// be a mistake (BIND's `min-ns-dots`).
const LABELS_MIN: u8 = 2;

/// Servers of the zones that a name lies in, from the closest upwards.
#[derive(Debug, Default)]
pub(super) struct Servers {
    pub(super) names: Vec<Key>,
    pub(super) addresses: Vec<IpAddr>,
}

impl Servers {
    /// Those of one name.
    pub(super) fn of(name: &Name, known: &Known<'_>) -> Self {
        let mut servers = Self::default();
        let mut zone = name.clone();
        while zone.num_labels() >= LABELS_MIN {
            servers.add_zone(&zone, known);
            zone = zone.base_name();
        }
        servers
    }

    fn add_zone(&mut self, zone: &Name, known: &Known<'_>) {
        for record in known(zone, RecordType::NS) {
            let RData::NS(server) = &record.data else {
                continue;
            };
            let name = key(&server.0);
            if self.names.len() >= SERVERS_MAX || self.names.contains(&name) {
                continue;
            }
            self.names.push(name);
            for rtype in [RecordType::A, RecordType::AAAA] {
                let records = known(&server.0, rtype);
                self.addresses.extend(records.iter().flat_map(addresses));
            }
        }
    }
}
