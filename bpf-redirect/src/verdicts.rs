//! Names for the counters that `dns_filter` keeps, one a verdict.

/// What became of the frames that `dns_filter` saw since it was loaded, summed over all CPUs.
///
/// Everything but `redirected` went on to the kernel.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Verdicts {
    /// Handed to the AF_XDP socket of its queue.
    pub redirected: u64,
    /// Neither IPv4 nor IPv6 behind at most one VLAN tag, or to or from a link-layer group.
    pub not_ip: u64,
    /// IP, but not directly followed by UDP: TCP, ICMP, an IPv6 extension header.
    pub not_udp: u64,
    /// IPv4 with options, or another version than its EtherType says.
    pub ipv4_options: u64,
    /// A fragment of an IPv4 datagram: first, middle or last.
    pub fragment: u64,
    /// Cut short, or with lengths that contradict each other.
    pub bad_length: u64,
    /// UDP to a port that is not served: it went to the guard of other ports, if there is one.
    pub foreign_port: u64,
    /// To an address that is not ours, or from one that no single host has.
    pub foreign_address: u64,
    /// For us, but the worker of the queue let its deadline pass.
    pub worker_late: u64,
    /// For us, but no socket is bound to the queue.
    pub no_socket: u64,
}

/// How many counters there are; `VERDICTS` in `src/bpf/datagram.h`.
pub(crate) const VERDICTS: usize = 10;

impl Verdicts {
    /// The counters in the order of `enum verdict` in `src/bpf/datagram.h`.
    pub(crate) fn from_counters(counters: [u64; VERDICTS]) -> Self {
        let [
            redirected,
            not_ip,
            not_udp,
            ipv4_options,
            fragment,
            bad_length,
            foreign_port,
            foreign_address,
            worker_late,
            no_socket,
        ] = counters;
        Self {
            redirected,
            not_ip,
            not_udp,
            ipv4_options,
            fragment,
            bad_length,
            foreign_port,
            foreign_address,
            worker_late,
            no_socket,
        }
    }

    /// Each counter with the label that metrics and `nexus stats` show it by.
    pub fn named(&self) -> [(&'static str, u64); VERDICTS] {
        [
            ("redirected", self.redirected),
            ("not_ip", self.not_ip),
            ("not_udp", self.not_udp),
            ("ipv4_options", self.ipv4_options),
            ("fragment", self.fragment),
            ("bad_length", self.bad_length),
            ("foreign_port", self.foreign_port),
            ("foreign_address", self.foreign_address),
            ("worker_late", self.worker_late),
            ("no_socket", self.no_socket),
        ]
    }
}
