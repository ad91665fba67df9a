//! The steering program and the addresses it serves.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use anyhow::{Context, Result, bail};
use bpf_redirect::program::Arrival;
use bpf_redirect::{Action, AttachMode, DeadlineCell, DnsFilter, QUEUES_MAX};
use bpf_redirect::{interface_addresses, interface_index, queue_count, strips_vlan_tags};
use config::Dataplane;
use exchange::{GuardReport, Region};
use port::xdp::XdpPort;
use wire::frame;

use crate::guarding::Guarding;

/// A query for the root's name servers, as the self-test sends it to the program.
const PROBE: &[u8] = b"\x4e\x58\x01\x00\x00\x01\x00\x00\x00\x00\x00\x00\x00\x00\x02\x00\x01";
/// Ethernet "loopback" protocol: no host acts on such a frame.
const ETHERTYPE_LOOPBACK: u16 = 0x9000;

/// `dns_filter`, loaded for one interface.
#[derive(Debug)]
pub struct Steering {
    filter: DnsFilter,
    guarding: Option<Guarding>,
    interface: String,
    port: u16,
    listen: Vec<IpAddr>,
    served: Vec<IpAddr>,
    /// All of the interface, listened on or not.
    addresses: Vec<IpAddr>,
}

impl Steering {
    /// Loads the programs and tells them what is served: the DNS port on those addresses of the
    /// interface that `listen` covers (an unspecified address covers its family).
    pub fn load(interface: &str, dataplane: &Dataplane, listen: &[IpAddr]) -> Result<Self> {
        let port = dataplane.ports.dns;
        let mut filter = DnsFilter::load().context("load the steering program dns_filter")?;
        filter
            .serve_port(port)
            .context("tell dns_filter its port")?;
        if strips_vlan_tags(interface).unwrap_or(false) {
            tracing::warn!(
                interface,
                "strips VLAN tags before XDP sees them, so tagged queries would be answered without a \
                 tag: if there are any, run ethtool -K {interface} rxvlan off"
            );
        }
        let interface = interface.to_owned();
        let listen = listen.to_vec();
        let mut steering = Self {
            guarding: Guarding::load(&filter, dataplane),
            filter,
            interface,
            port,
            listen,
            served: Vec::new(),
            addresses: Vec::new(),
        };
        steering.refresh()?;
        Ok(steering)
    }

    /// Follows address changes of the interface; true when there was one.
    pub fn refresh(&mut self) -> Result<bool> {
        let addresses = interface_addresses(&self.interface)?;
        if addresses == self.addresses {
            return Ok(false);
        }
        if let Some(guarding) = &mut self.guarding {
            guarding.set_addresses(&addresses);
        }
        let is_listened_on =
            |address: &IpAddr| self.listen.iter().any(|listen| covers(*listen, *address));
        let served: Vec<IpAddr> = addresses.iter().copied().filter(is_listened_on).collect();
        self.addresses = addresses;
        if served == self.served {
            return Ok(false);
        }
        self.filter
            .set_addresses(&served)
            .context("tell dns_filter its addresses")?;
        self.served = served;
        Ok(true)
    }

    /// Has the guard of the consensus port do as control says, and tells what it did so far.
    pub fn guard(&mut self, region: &Region) -> GuardReport {
        let Some(guarding) = &mut self.guarding else {
            return GuardReport::default();
        };
        guarding.follow(&mut self.filter, region);
        guarding.report()
    }

    /// Addresses whose queries are steered to the workers.
    pub fn served(&self) -> &[IpAddr] {
        &self.served
    }

    /// The deadline that keeps packets of `queue` coming.
    pub fn deadline(&self, queue: u32) -> DeadlineCell {
        self.filter.deadlines().cell(queue)
    }

    /// Packets of `queue` go to this socket once the program is attached.
    pub fn connect(&mut self, queue: u32, port: &XdpPort) -> Result<()> {
        self.filter
            .set_socket(queue, port.socket())
            .with_context(|| format!("put the socket of queue {queue} into the XSKMAP"))
    }

    /// Runs a query for every served family through the program and expects that it is steered.
    /// The deadline of `queue` must not have passed.
    pub fn prove(&self, queue: u32) -> Result<()> {
        let interface = interface_index(&self.interface)?;
        for address in [
            Self::first(&self.served, true),
            Self::first(&self.served, false),
        ] {
            let Some(address) = address else { continue };
            let mut probe = [0; 128];
            let length = probe_frame(address, self.port, &mut probe)?;
            let action = self
                .filter
                .test_run_at(&probe[..length], Arrival { interface, queue })
                .context("run dns_filter over a query")?;
            if action != Action::Redirect {
                bail!("dns_filter answered {action:?} to a query for {address}: expected Redirect");
            }
        }
        Ok(())
    }

    /// Lets packets come.
    pub fn attach(&mut self, generic: bool) -> Result<()> {
        let mode = if generic {
            AttachMode::Generic
        } else {
            AttachMode::Native
        };
        Ok(self.filter.attach(&self.interface, mode)?)
    }

    /// Lets all packets go to the kernel.
    pub fn detach(&mut self) {
        self.filter.detach();
    }

    fn first(addresses: &[IpAddr], is_ipv4: bool) -> Option<IpAddr> {
        addresses
            .iter()
            .find(|address| address.is_ipv4() == is_ipv4)
            .copied()
    }
}

fn covers(listen: IpAddr, address: IpAddr) -> bool {
    match listen {
        IpAddr::V4(Ipv4Addr::UNSPECIFIED) => address.is_ipv4(),
        IpAddr::V6(Ipv6Addr::UNSPECIFIED) => address.is_ipv6(),
        listen => listen == address,
    }
}

/// An Ethernet frame that asks `address`, from a documentation address.
fn probe_frame(address: IpAddr, port: u16, out: &mut [u8; 128]) -> Result<usize> {
    let mut headers = [0; 62];
    let ports = [4242_u16.to_be_bytes(), port.to_be_bytes()].concat();
    let headers = match address {
        IpAddr::V4(address) => {
            headers[12..14].copy_from_slice(&[0x08, 0x00]);
            headers[14] = 0x45;
            headers[22..24].copy_from_slice(&[64, 17]);
            headers[26..30].copy_from_slice(&[192, 0, 2, 1]);
            headers[30..34].copy_from_slice(&address.octets());
            headers[34..38].copy_from_slice(&ports);
            &headers[..42]
        }
        IpAddr::V6(address) => {
            headers[12..14].copy_from_slice(&[0x86, 0xdd]);
            headers[14] = 0x60;
            headers[20..22].copy_from_slice(&[17, 64]);
            headers[22..26].copy_from_slice(&[0x20, 0x01, 0x0d, 0xb8]);
            headers[38..54].copy_from_slice(&address.octets());
            headers[54..58].copy_from_slice(&ports);
            &headers[..62]
        }
    };
    frame::assemble(out, headers, PROBE)
        .map_err(|error| anyhow::anyhow!("make a probe for {address}: {}", error.reason()))
}

/// A frame that a switch learns nothing new from and no host answers: from us, to us.
pub fn loopback_frame(hardware_address: [u8; 6]) -> [u8; 60] {
    let mut frame = [0; 60];
    frame[..6].copy_from_slice(&hardware_address);
    frame[6..12].copy_from_slice(&hardware_address);
    frame[12..14].copy_from_slice(&ETHERTYPE_LOOPBACK.to_be_bytes());
    frame
}

/// The interface's hardware address; zeroes where it has none.
pub fn hardware_address(interface: &str) -> [u8; 6] {
    let path = format!("/sys/class/net/{interface}/address");
    let text = std::fs::read_to_string(path).unwrap_or_default();
    let mut address = [0; 6];
    for (byte, part) in address.iter_mut().zip(text.trim().split(':')) {
        *byte = u8::from_str_radix(part, 16).unwrap_or(0);
    }
    address
}

/// The queues that workers own: all of the interface, or the configured ones if they exist.
pub fn queues(interface: &str, configured: &config::Queues) -> Result<Vec<u32>> {
    let count = queue_count(interface).context("dataplane.interface")?;
    match configured {
        config::Queues::All => {
            if count > QUEUES_MAX {
                tracing::warn!(
                    "{interface} has {count} receive queues; the kernel path serves those from {QUEUES_MAX}"
                );
            }
            Ok((0..count.min(QUEUES_MAX)).collect())
        }
        config::Queues::List(list) => {
            if let Some(queue) = list.iter().find(|queue| **queue >= count) {
                bail!(
                    "dataplane.queues: {interface} has {count} receive queue(s), numbered from 0: \
                     there is no queue {queue}"
                );
            }
            Ok(list.clone())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use wire::frame::Datagram;

    #[test]
    fn probe_is_a_query_for_the_address_and_port() {
        for address in ["192.0.2.53", "2001:db8::53"] {
            let address: IpAddr = address.parse().unwrap();
            let mut frame = [0; 128];
            let length = probe_frame(address, 5300, &mut frame).unwrap();
            let datagram = Datagram::parse(&frame[..length]).unwrap();
            assert_eq!(datagram.destination(&frame), (address, 5300).into());
            assert_eq!(&frame[datagram.payload()], PROBE);
        }
    }

    #[test]
    fn listen_addresses_cover_themselves_and_unspecified_ones_their_family() {
        let parse = |text: &str| text.parse::<IpAddr>().unwrap();
        assert!(covers(parse("0.0.0.0"), parse("192.0.2.1")));
        assert!(!covers(parse("0.0.0.0"), parse("2001:db8::1")));
        assert!(covers(parse("::"), parse("fe80::1")));
        assert!(covers(parse("192.0.2.1"), parse("192.0.2.1")));
        assert!(!covers(parse("192.0.2.1"), parse("192.0.2.2")));
    }
}
