//! Zones that are copied from primaries: what of each is in service, and which a NOTIFY wakes.
//!
//! The copying itself is [`TransferIn`]'s; what becomes of a version is for those to say who use the
//! zone.

use std::net::{IpAddr, SocketAddr};
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use arc_swap::ArcSwap;
use config::Upstream;
use hickory_proto::op::Message;
use hickory_proto::rr::{DNSClass, Name, RecordType};
use resolver::zone::{ReceiveLimits, Records, TsigKey};
use tokio::sync::Notify;
use wire::rcode;

use crate::admin::{CopyPurpose, CopyStatus};
use crate::clock;
use crate::control::wire_name_of;
use crate::transfer_in::{Progress, TransferIn};

/// A zone that is copied.
#[derive(Debug)]
pub(crate) struct Copied {
    name: Name,
    purpose: CopyPurpose,
    primaries: Vec<SocketAddr>,
    key: Option<TsigKey>,
    progress: Arc<Progress>,
    waker: Arc<Notify>,
    in_service: Mutex<Option<InService>>,
}

#[derive(Clone, Copy, Debug)]
struct InService {
    serial: u32,
    records: u64,
}

/// A zone whose copying has not begun.
#[derive(Debug)]
pub(crate) struct Prepared {
    pub(crate) copied: Arc<Copied>,
    pub(crate) transfer: TransferIn,
    /// What the disk had, and is to be in service from the start.
    pub(crate) records: Option<Arc<Records>>,
}

impl Prepared {
    /// Reads what a folder below `data_dir` has of the zone. Blocks.
    pub(crate) fn read(
        purpose: CopyPurpose,
        name: Name,
        primaries: &[Upstream],
        key: Option<TsigKey>,
        data_dir: &Path,
    ) -> Self {
        let apex = wire_name_of(&name);
        let primaries = addresses(primaries);
        let folder = data_dir.join(purpose.word());
        let limits = ReceiveLimits::default();
        let transfer = TransferIn::new(&apex, primaries.clone(), Some(folder), limits);
        let mut transfer = transfer.expect("a name in wire form is one");
        transfer.set_key(key.clone());
        let restored = transfer.restore();
        let in_service = restored.as_ref().map(|(serial, records)| InService {
            serial: *serial,
            records: records.len() as u64,
        });
        let copied = Copied {
            name,
            purpose,
            primaries,
            key,
            progress: transfer.progress(),
            waker: transfer.waker(),
            in_service: Mutex::new(in_service),
        };
        Self {
            copied: Arc::new(copied),
            transfer,
            records: restored.map(|(_, records)| records),
        }
    }
}

impl Copied {
    pub(crate) fn name(&self) -> &Name {
        &self.name
    }

    /// Whether it is the zone of that name from those primaries, signed by that key.
    pub(crate) fn is(&self, name: &Name, primaries: &[Upstream], key: Option<&TsigKey>) -> bool {
        let same_primaries = self.primaries == addresses(primaries) && self.key.as_ref() == key;
        self.name == *name && same_primaries
    }

    /// The serial in service.
    pub(crate) fn serial(&self) -> Option<u32> {
        self.in_service().map(|version| version.serial)
    }

    /// From now on this version is in service, with so many records.
    pub(crate) fn set(&self, serial: u32, records: usize) {
        let records = records as u64;
        self.put(Some(InService { serial, records }));
    }

    /// From now on nothing of it is.
    pub(crate) fn clear(&self) {
        self.put(None);
    }

    /// Seconds since a primary has last confirmed it.
    pub(crate) fn age_secs(&self) -> u64 {
        let confirmed = self.progress.confirmed().unwrap_or(0);
        clock::unix_secs().saturating_sub(confirmed)
    }

    fn in_service(&self) -> Option<InService> {
        let version = self.in_service.lock();
        *version.unwrap_or_else(PoisonError::into_inner)
    }

    fn put(&self, version: Option<InService>) {
        let place = self.in_service.lock();
        *place.unwrap_or_else(PoisonError::into_inner) = version;
    }

    fn status(&self) -> CopyStatus {
        let version = self.in_service();
        let now = clock::unix_secs();
        CopyStatus {
            zone: self.name.to_string(),
            purpose: self.purpose,
            primaries: self.primaries.clone(),
            serial: version.map(|version| version.serial),
            records: version.map_or(0, |version| version.records),
            confirmed_secs_ago: self.progress.confirmed().map(|at| now.saturating_sub(at)),
            failures: self.progress.failures(),
            error: self.progress.error(),
        }
    }

    fn has_primary(&self, address: IpAddr) -> bool {
        let mut primaries = self.primaries.iter();
        primaries.any(|primary| primary.ip() == address)
    }
}

/// All zones that are copied. Cheap to clone; read by every thread.
#[derive(Clone, Debug, Default)]
pub(crate) struct CopiedZones(Arc<ArcSwap<Vec<Arc<Copied>>>>);

impl CopiedZones {
    /// Those for one purpose.
    pub(crate) fn of(&self, purpose: CopyPurpose) -> Vec<Arc<Copied>> {
        let all = self.0.load();
        let own = all.iter().filter(|copied| copied.purpose == purpose);
        own.cloned().collect()
    }

    /// Replaces those for one purpose.
    pub(crate) fn set(&self, purpose: CopyPurpose, zones: &[Arc<Copied>]) {
        self.0.rcu(|all| {
            let others = all.iter().filter(|copied| copied.purpose != purpose);
            others.chain(zones).cloned().collect::<Vec<_>>()
        });
    }

    pub(crate) fn status(&self) -> Vec<CopyStatus> {
        self.0.load().iter().map(|copied| copied.status()).collect()
    }

    /// A NOTIFY has come (RFC 1996): gives the response code. It wakes the copying of a zone if it
    /// comes from one of its primaries, who are asked then: nothing that it says is believed.
    pub(crate) fn on_notify(&self, message: &[u8], from: IpAddr) -> u16 {
        let all = self.0.load();
        if all.is_empty() {
            return rcode::NOTIMP;
        }
        // Cheap, before a stranger's message is parsed.
        if !all.iter().any(|copied| copied.has_primary(from)) {
            return rcode::REFUSED;
        }
        let message = Message::from_vec(message);
        let Some([question]) = message.as_ref().ok().map(|message| &*message.queries) else {
            return rcode::FORMERR;
        };
        if (question.query_type(), question.query_class()) != (RecordType::SOA, DNSClass::IN) {
            return rcode::REFUSED;
        }
        let mut code = rcode::REFUSED;
        for copied in all.iter() {
            if copied.name == *question.name() && copied.has_primary(from) {
                copied.waker.notify_one();
                code = 0;
            }
        }
        code
    }
}

fn addresses(primaries: &[Upstream]) -> Vec<SocketAddr> {
    primaries.iter().map(|primary| primary.0).collect()
}

#[cfg(test)]
mod tests {
    use hickory_proto::op::{OpCode, Query};

    use super::*;

    fn notify(name: &str, rtype: RecordType) -> Vec<u8> {
        let mut message = Message::query();
        message.metadata.op_code = OpCode::Notify;
        message.add_query(Query::query(Name::from_ascii(name).unwrap(), rtype));
        message.to_vec().unwrap()
    }

    #[test]
    fn only_a_primary_of_the_zone_wakes_it() {
        let folder = tempfile::tempdir().unwrap();
        let name = Name::from_ascii("rpz.example.").unwrap();
        let primary: Upstream = "192.0.2.1:5353".parse().unwrap();
        let purpose = CopyPurpose::PolicyZone;
        let prepared = Prepared::read(purpose, name, &[primary], None, folder.path());
        let zones = CopiedZones::default();
        zones.set(purpose, &[Arc::clone(&prepared.copied)]);
        let from = |text: &str| text.parse::<IpAddr>().unwrap();
        let good = notify("RPZ.example.", RecordType::SOA);
        for (message, client, expected, wakes) in [
            (&*good, "192.0.2.1", 0, true),
            (&good, "192.0.2.2", rcode::REFUSED, false),
            (&good[..20], "192.0.2.1", rcode::FORMERR, false),
            (
                &notify("rpz.example.", RecordType::A),
                "192.0.2.1",
                rcode::REFUSED,
                false,
            ),
            (
                &notify("other.example.", RecordType::SOA),
                "192.0.2.1",
                rcode::REFUSED,
                false,
            ),
        ] {
            let waker = prepared.transfer.waker();
            let mut woken = std::pin::pin!(waker.notified());
            assert_eq!(zones.on_notify(message, from(client)), expected);
            let mut context = std::task::Context::from_waker(std::task::Waker::noop());
            let is_woken = woken.as_mut().poll(&mut context).is_ready();
            assert_eq!(is_woken, wakes, "{client}");
        }
    }
}
