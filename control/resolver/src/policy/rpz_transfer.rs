//! Response policy zones out of zone transfers: whole (RFC 5936) or in steps (RFC 1995).

use hickory_proto::rr::Name;

use super::rpz::{Override, RpzRemark, RpzZone};
use crate::zone::{Delta, Records};

impl RpzZone {
    /// A zone of these records. Those that are no rules are left out and remarked upon.
    #[must_use]
    pub fn from_records(
        apex: &Name,
        policy: Override,
        records: &Records,
    ) -> (Self, Vec<RpzRemark>) {
        let mut zone = Self::new(apex, policy);
        let remarks = zone.add_all(records);
        (zone, remarks)
    }

    /// Applies steps in their order, and remarks upon what they add that is no rule. Whether they fit
    /// the zone's version is for the caller to know, as [`Delta::apply_all`] does.
    pub fn apply(&mut self, deltas: &[Delta]) -> Vec<RpzRemark> {
        let mut remarks = Vec::new();
        for delta in deltas {
            for gone in delta.deleted.iter() {
                // One that is no rule was remarked upon when it came.
                let _ = self.remove(gone.owner, gone.rtype, gone.data);
            }
            remarks.append(&mut self.add_all(&delta.added));
        }
        remarks
    }

    fn add_all(&mut self, records: &Records) -> Vec<RpzRemark> {
        let mut remarks = Vec::new();
        for found in records.iter() {
            if let Err(error) = self.add(found.owner, found.rtype, found.ttl, found.data) {
                let place = records.place(&found);
                remarks.push(RpzRemark { place, error });
            }
        }
        remarks
    }
}

#[cfg(test)]
mod tests {
    use super::super::names::key;
    use super::*;
    use crate::zone::read_zone_file;

    const SOA: &str = "@ 60 SOA ns. host. 1 3600 600 86400 30\n";

    fn apex() -> Name {
        Name::from_ascii("rpz.test.").unwrap()
    }

    fn records(text: &str) -> Records {
        let mut loader = |_: &str, _: &str| Err(String::new());
        let apex = key(&apex());
        read_zone_file(text.as_bytes(), "rpz.zone", &apex, &mut loader).unwrap()
    }

    fn acts(zone: &RpzZone, name: &str) -> bool {
        let name = key(&Name::from_ascii(name).unwrap());
        zone.find_name(&name).is_some()
    }

    #[test]
    fn steps_add_and_remove_rules_and_pass_over_what_is_none() {
        let whole = records(&format!(
            "{SOA}old.example 60 CNAME .\nstays.example 60 CNAME .\n99.rpz-nsip 60 CNAME .\n"
        ));
        let (mut zone, remarks) = RpzZone::from_records(&apex(), Override::Given, &whole);
        assert_eq!((zone.len(), remarks.len()), (2, 1));
        let delta = Delta {
            from: 1,
            to: 2,
            deleted: records(&format!(
                "{SOA}old.example 60 CNAME .\n99.rpz-nsip 60 CNAME .\n"
            )),
            added: records(&format!(
                "{SOA}new.example 60 CNAME .\n98.rpz-nsip 60 CNAME .\n"
            )),
        };
        assert_eq!(zone.apply(&[delta]).len(), 1);
        assert!(!acts(&zone, "old.example."));
        assert!(acts(&zone, "stays.example.") && acts(&zone, "new.example."));
        assert_eq!(zone.len(), 2);
    }
}
