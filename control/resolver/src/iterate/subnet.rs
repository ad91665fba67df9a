//! Networks of clients, shown to the servers of chosen zones (RFC 7871). Nobody else sees them.

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use hickory_proto::rr::RecordType;

use super::bounded::{BoundedMap, HashKeys};
use super::config::Config;
use super::cookie::{find_opt, find_option};
use super::exchange::{Exchange, Mismatch};
use super::lookup::Resolution;
use super::message::Outcome;
use super::name::WireName;
use super::place::Place;
use super::resolver::Resolver;
use super::rrset::RrSet;
use super::task::{Task, TaskKey};

/// CLIENT-SUBNET (RFC 7871 §6).
const OPTION_CLIENT_SUBNET: u16 = 8;
const FAMILY_IPV4: u16 = 1;
const FAMILY_IPV6: u16 = 2;
/// Answers for networks that are kept: of all of them together. Those that are longer than a place
/// take several.
const ANSWERS_MAX: usize = 16_384;
const PLACE_BYTES: usize = 1_024;

/// A network of clients: an address whose bits behind the prefix are zero.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Subnet {
    address: IpAddr,
    bits: u8,
}

/// The CLIENT-SUBNET option is not as RFC 7871 §6 has it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the client subnet option is malformed")]
pub struct SubnetError;

impl Subnet {
    /// The network of an address with a prefix of at most this length.
    #[must_use]
    pub fn new(address: IpAddr, bits: u8) -> Self {
        Self::cut_to(address.to_canonical(), bits)
    }

    /// The network that the CLIENT-SUBNET option of a query names, if there is one.
    ///
    /// # Errors
    /// [`SubnetError`] if it is malformed, or has a scope (§7.1.2: FORMERR).
    pub fn of_query(message: &[u8]) -> Result<Option<Self>, SubnetError> {
        let options = find_opt(message).map_or(&[][..], |(_, options)| options);
        let Some(data) = find_option(options, OPTION_CLIENT_SUBNET) else {
            return Ok(None);
        };
        match Self::parse(data) {
            Some((subnet, 0)) => Ok(Some(subnet)),
            _ => Err(SubnetError),
        }
    }

    /// The option's data in a response to a query that named this network.
    #[must_use]
    pub fn to_option(&self, scope_bits: u8) -> Vec<u8> {
        let (family, octets) = match self.address {
            IpAddr::V4(address) => (FAMILY_IPV4, address.octets().to_vec()),
            IpAddr::V6(address) => (FAMILY_IPV6, address.octets().to_vec()),
        };
        let mut data = family.to_be_bytes().to_vec();
        data.extend([self.bits, scope_bits]);
        data.extend(octets.iter().take(usize::from(self.bits).div_ceil(8)));
        data
    }

    /// The network and the scope, if the option is well-formed.
    fn parse(data: &[u8]) -> Option<(Self, u8)> {
        let (&[high, low, bits, scope_bits], rest) = data.split_first_chunk()?;
        let (address, bits_max) = match u16::from_be_bytes([high, low]) {
            FAMILY_IPV4 => (IpAddr::from(padded::<4>(rest)?), 32),
            FAMILY_IPV6 => (IpAddr::from(padded::<16>(rest)?), 128),
            _ => return None,
        };
        let is_whole = rest.len() == usize::from(bits).div_ceil(8);
        if !is_whole || bits > bits_max || scope_bits > bits_max {
            return None;
        }
        let subnet = Self { address, bits };
        // Not canonical: an address of IPv6 that maps one of IPv4 stays what it is.
        let is_cut = subnet == Self::cut_to(address, bits);
        is_cut.then_some((subnet, scope_bits))
    }

    fn cut_to(address: IpAddr, bits: u8) -> Self {
        match address {
            IpAddr::V4(address) => {
                let bits = bits.min(32);
                let mask = u32::MAX.checked_shl(32 - u32::from(bits)).unwrap_or(0);
                let address = IpAddr::V4(Ipv4Addr::from(u32::from(address) & mask));
                Self { address, bits }
            }
            IpAddr::V6(address) => {
                let bits = bits.min(128);
                let mask = u128::MAX.checked_shl(128 - u32::from(bits)).unwrap_or(0);
                let address = IpAddr::V6(Ipv6Addr::from(u128::from(address) & mask));
                Self { address, bits }
            }
        }
    }

    pub(super) fn write(&self, out: &mut Vec<u8>) {
        let data = self.to_option(0);
        out.extend_from_slice(&OPTION_CLIENT_SUBNET.to_be_bytes());
        // An address has 16 bytes at most.
        let length = u16::try_from(data.len()).unwrap_or(u16::MAX);
        out.extend_from_slice(&length.to_be_bytes());
        out.extend_from_slice(&data);
    }
}

fn padded<const N: usize>(bytes: &[u8]) -> Option<[u8; N]> {
    let mut octets = [0; N];
    octets.get_mut(..bytes.len())?.copy_from_slice(bytes);
    Some(octets)
}

/// An answer for one network, and until when it is good.
struct Kept {
    resolution: Resolution,
    scope_bits: u8,
    since_ms: u64,
}

/// Which zones see networks, and what their servers answered each.
pub(super) struct Subnets {
    zones: BTreeSet<WireName>,
    bits: (u8, u8),
    kept: BoundedMap<TaskKey, Kept>,
}

impl Subnets {
    pub(super) fn new(config: &Config, keys: HashKeys) -> Self {
        let from = &config.client_subnet;
        Self {
            zones: from.zones.iter().map(WireName::from_name).collect(),
            bits: (from.ipv4_bits, from.ipv6_bits),
            kept: BoundedMap::new(ANSWERS_MAX, keys),
        }
    }

    fn holds(&self, name: &WireName) -> bool {
        !self.zones.is_empty() && name.suffixes().any(|suffix| self.zones.contains(suffix))
    }

    /// The part of a client's network that a question's servers see; `None`: they see nothing.
    /// Types that lead to zones and their keys are the same for everybody.
    pub(super) fn of_question(
        &self,
        name: &WireName,
        rtype: RecordType,
        client: Option<Subnet>,
    ) -> Option<Subnet> {
        let is_infrastructure = matches!(
            rtype,
            RecordType::NS | RecordType::SOA | RecordType::DS | RecordType::DNSKEY
        );
        let client = client.filter(|_| !is_infrastructure && self.holds(name))?;
        let bits_max = match client.address {
            IpAddr::V4(_) => self.bits.0,
            IpAddr::V6(_) => self.bits.1,
        };
        Some(Subnet::cut_to(client.address, client.bits.min(bits_max)))
    }

    fn keep(&mut self, key: TaskKey, kept: Kept) {
        let bytes = size_of::<Kept>() + kept.resolution.bytes();
        self.kept.insert(key, kept, bytes.div_ceil(PLACE_BYTES));
    }

    /// The scope of what is kept under this key.
    pub(super) fn scope_bits(&self, key: &TaskKey) -> u8 {
        self.kept.peek(key).map_or(0, |kept| kept.scope_bits)
    }

    pub(super) fn forget(&mut self) -> usize {
        let count = self.kept.len();
        self.kept.retain(|_, _| None);
        count
    }
}

impl Exchange {
    /// The scope of a reply to a query that showed a network; 0 if it says nothing of that. A reply
    /// for another network is for another query (RFC 7871 §7.3).
    pub(super) fn check_subnet(&self, message: &[u8]) -> Result<u8, Mismatch> {
        let Some(sent) = self.view.subnet else {
            return Ok(0);
        };
        let options = find_opt(message).map_or(&[][..], |(_, options)| options);
        match find_option(options, OPTION_CLIENT_SUBNET).map(Subnet::parse) {
            None => Ok(0),
            Some(Some((subnet, scope_bits))) if subnet == sent => Ok(scope_bits),
            Some(_) => Err(Mismatch::Question),
        }
    }
}

impl Resolver {
    /// Whether what the shared cache holds of this name is not for this task.
    pub(super) fn is_for_subnet(&self, task: &Task) -> bool {
        task.key.subnet.is_some() && self.subnets.holds(&task.sname)
    }

    /// What to show of the client to the servers of a place, which is asked for the whole name: those
    /// of the zones that are to see it, never those above (§7.1.1).
    pub(super) fn shown_to(&self, task: &Task, place: &Place) -> Option<Subnet> {
        let sees = place.forward.is_some() || self.subnets.holds(&place.zone);
        task.key
            .subnet
            .filter(|_| sees && self.subnets.holds(&task.sname))
    }

    /// Keeps what was found for one network.
    pub(super) fn keep_for_subnet(&mut self, now_ms: u64, task: &Task, resolution: &Resolution) {
        if task.key.subnet.is_some() && resolution.ttl_secs > 0 && !resolution.stale {
            let kept = Kept {
                resolution: resolution.clone(),
                scope_bits: task.subnet_scope,
                since_ms: now_ms,
            };
            self.subnets.keep(task.key.clone(), kept);
        }
    }

    /// What was found for this network, with what remains of its TTLs.
    pub(super) fn find_for_subnet(&mut self, now_ms: u64, key: &TaskKey) -> Option<Resolution> {
        let kept = self.subnets.kept.get(key)?;
        let age_secs = now_ms.saturating_sub(kept.since_ms) / 1_000;
        let age_secs = u32::try_from(age_secs).unwrap_or(u32::MAX);
        let left_secs = kept.resolution.ttl_secs.checked_sub(age_secs)?;
        let mut resolution = kept.resolution.clone();
        resolution.ttl_secs = left_secs;
        let age = |set: &mut RrSet| set.ttl_secs = set.ttl_secs.saturating_sub(age_secs);
        resolution.answers.iter_mut().for_each(age);
        resolution.authority.iter_mut().for_each(age);
        (left_secs > 0).then_some(resolution)
    }
}

impl Outcome {
    /// Marks an answer for one network: nobody else may get it.
    pub(super) fn narrow(&mut self, key: &TaskKey, scope_bits: u8) {
        if key.subnet.is_some() {
            self.ttl_secs = 0;
            self.subnet_scope = Some(scope_bits);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn subnet(text: &str, bits: u8) -> Subnet {
        Subnet::new(text.parse().unwrap(), bits)
    }

    #[test]
    fn long_answers_take_the_places_of_several() {
        use crate::iterate::lookup::Chain;
        use crate::iterate::rrset::{Content, Rdatas, Security};
        let mut subnets = Subnets::new(&Config::default(), HashKeys(1, 2));
        let text = vec![1; 60_000];
        let set = RrSet {
            owner: WireName::root(),
            rtype: RecordType::TXT,
            ttl_secs: 60,
            security: Security::Insecure,
            content: std::sync::Arc::new(Content {
                data: Rdatas::new([text.as_slice()]),
                signatures: Rdatas::default(),
            }),
        };
        for number in 0..1_000_u32 {
            let key = TaskKey {
                name: WireName::root(),
                rtype: RecordType::TXT,
                checking_disabled: false,
                subnet: Some(Subnet::new(Ipv4Addr::from(number).into(), 32)),
            };
            let kept = Kept {
                resolution: Resolution::data(Chain::default(), vec![set.clone()], vec![], false),
                scope_bits: 32,
                since_ms: 0,
            };
            subnets.keep(key, kept);
        }
        let bytes_max = ANSWERS_MAX * PLACE_BYTES;
        let kept = subnets.kept.len();
        assert!((200..=bytes_max / 60_000).contains(&kept), "{kept}");
    }

    #[test]
    fn option_is_written_as_it_is_read() {
        // RFC 7871 §6: as many octets as the prefix needs.
        let cut = subnet("192.0.2.129", 25);
        assert_eq!(cut.to_option(24), [0, 1, 25, 24, 192, 0, 2, 128]);
        for cut in [
            cut,
            subnet("192.0.2.1", 0),
            subnet("2001:db8:1:2:3::", 56),
            subnet("2001:db8::1", 128),
        ] {
            assert_eq!(Subnet::parse(&cut.to_option(9)), Some((cut, 9)));
        }
    }

    #[test]
    fn malformed_options_are_refused() {
        let malformed: [&[u8]; 8] = [
            &[],
            &[0, 1, 24],
            &[0, 1, 24, 0, 192, 0],
            &[0, 1, 24, 0, 192, 0, 2, 0],
            &[0, 1, 23, 0, 192, 0, 1],
            &[0, 1, 33, 0, 192, 0, 2, 1, 0],
            &[0, 1, 24, 33, 192, 0, 2],
            &[0, 3, 0, 0],
        ];
        for data in malformed {
            assert_eq!(Subnet::parse(data), None, "{data:?}");
        }
    }

    #[test]
    fn arbitrary_options_never_panic_and_read_back() {
        bolero::check!()
            .with_iterations(20_000)
            .for_each(|bytes: &[u8]| {
                let _ = Subnet::of_query(bytes);
                if let Some((subnet, scope_bits)) = Subnet::parse(bytes) {
                    assert_eq!(subnet.to_option(scope_bits), bytes);
                }
            });
    }
}
