//! The built-in root hints.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use hickory_proto::rr::Name;

/// Letter, IPv4 and IPv6 address of each root server, as in named.root of November 2023 (the
/// latest change: B moved).
const ROOT_SERVERS: [(&str, [u8; 4], [u16; 8]); 13] = [
    (
        "a",
        [198, 41, 0, 4],
        [0x2001, 0x503, 0xba3e, 0, 0, 0, 2, 0x30],
    ),
    (
        "b",
        [170, 247, 170, 2],
        [0x2801, 0x1b8, 0x10, 0, 0, 0, 0, 0xb],
    ),
    ("c", [192, 33, 4, 12], [0x2001, 0x500, 2, 0, 0, 0, 0, 0xc]),
    (
        "d",
        [199, 7, 91, 13],
        [0x2001, 0x500, 0x2d, 0, 0, 0, 0, 0xd],
    ),
    (
        "e",
        [192, 203, 230, 10],
        [0x2001, 0x500, 0xa8, 0, 0, 0, 0, 0xe],
    ),
    (
        "f",
        [192, 5, 5, 241],
        [0x2001, 0x500, 0x2f, 0, 0, 0, 0, 0xf],
    ),
    (
        "g",
        [192, 112, 36, 4],
        [0x2001, 0x500, 0x12, 0, 0, 0, 0, 0xd0d],
    ),
    (
        "h",
        [198, 97, 190, 53],
        [0x2001, 0x500, 1, 0, 0, 0, 0, 0x53],
    ),
    (
        "i",
        [192, 36, 148, 17],
        [0x2001, 0x7fe, 0, 0, 0, 0, 0, 0x53],
    ),
    (
        "j",
        [192, 58, 128, 30],
        [0x2001, 0x503, 0xc27, 0, 0, 0, 2, 0x30],
    ),
    ("k", [193, 0, 14, 129], [0x2001, 0x7fd, 0, 0, 0, 0, 0, 1]),
    (
        "l",
        [199, 7, 83, 42],
        [0x2001, 0x500, 0x9f, 0, 0, 0, 0, 0x42],
    ),
    ("m", [202, 12, 27, 33], [0x2001, 0xdc3, 0, 0, 0, 0, 0, 0x35]),
];

/// The built-in root hints: `[a-m].root-servers.net.` with both addresses of each.
#[must_use]
pub fn root_hints() -> Vec<(Name, Vec<IpAddr>)> {
    let hint = |&(letter, v4, v6): &(&str, [u8; 4], [u16; 8])| {
        let name = Name::from_ascii(format!("{letter}.root-servers.net.")).ok()?;
        Some((
            name,
            vec![
                IpAddr::V4(Ipv4Addr::from(v4)),
                IpAddr::V6(Ipv6Addr::from(v6)),
            ],
        ))
    };
    ROOT_SERVERS.iter().filter_map(hint).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn builtin_hints_name_thirteen_servers_with_two_addresses_each() {
        let hints = root_hints();
        assert_eq!(hints.len(), 13);
        assert!(hints.iter().all(|(_, addresses)| addresses.len() == 2));
        assert_eq!(hints[10].0.to_ascii(), "k.root-servers.net.");
        assert_eq!(hints[10].1[0].to_string(), "193.0.14.129");
        assert_eq!(hints[10].1[1].to_string(), "2001:7fd::1");
    }
}
