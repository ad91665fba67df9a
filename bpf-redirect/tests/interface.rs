//! Questions about interfaces, asked in a network namespace of the test's own.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod support;

use std::net::IpAddr;

use bpf_redirect::{
    InterfaceError, interface_addresses, interface_index, queue_count, strips_vlan_tags,
};

#[test]
fn missing_interface_is_not_found() {
    support::in_namespace(|| {
        let errors = [
            interface_index("nx0").unwrap_err(),
            queue_count("nx0").unwrap_err(),
            interface_addresses("nx0").unwrap_err(),
            strips_vlan_tags("nx0").unwrap_err(),
            queue_count("..").unwrap_err(),
            interface_addresses("").unwrap_err(),
        ];
        for error in errors {
            assert!(matches!(error, InterfaceError::NotFound { .. }), "{error}");
        }
    });
}

#[test]
fn receive_queues_in_use_are_counted() {
    support::in_namespace(|| {
        support::run("ip link add nx0 numrxqueues 3 numtxqueues 1 type veth peer name nx1");
        assert_eq!(queue_count("nx0").unwrap(), 3);
        assert_eq!(queue_count("lo").unwrap(), 1);
    });
}

#[test]
fn driver_that_takes_vlan_tags_off_is_known() {
    support::in_namespace(|| {
        support::run("ip link add nx0 type veth peer name nx1");
        assert!(strips_vlan_tags("nx0").unwrap());
        assert!(!strips_vlan_tags("lo").unwrap());
    });
}

#[test]
fn index_is_the_kernels() {
    support::in_namespace(|| {
        support::run("ip link add nx0 index 77 type veth peer name nx1");
        assert_eq!(interface_index("nx0").unwrap(), 77);
        assert_eq!(interface_index("lo").unwrap(), 1);
    });
}

#[test]
fn addresses_of_both_families_and_of_interfaces_above_are_found() {
    support::in_namespace(|| {
        for command in [
            "ip link add nx0 type veth peer name nx1",
            "ip link set nx0 addrgenmode none",
            "ip addr add 192.0.2.1/24 dev nx0",
            "ip addr add 192.0.2.2/24 dev nx0",
            "ip addr add 2001:db8::1/64 dev nx0 nodad",
            "ip addr add 198.51.100.1/24 dev nx1",
            "ip link add link nx0 name nxm type macvlan",
            "ip link set nxm addrgenmode none",
            "ip addr add 203.0.113.7/24 dev nxm",
            "ip link add nxb type bridge",
            "ip link set nxb addrgenmode none",
            "ip link set nxm master nxb",
            "ip addr add 2001:db8:b::1/64 dev nxb nodad",
        ] {
            support::run(command);
        }
        let parse = |text: &str| text.parse::<IpAddr>().unwrap();
        let bridge = [parse("203.0.113.7"), parse("2001:db8:b::1")];
        assert_eq!(interface_addresses("nxm").unwrap(), bridge);
        let all = [
            "192.0.2.1",
            "192.0.2.2",
            "203.0.113.7",
            "2001:db8::1",
            "2001:db8:b::1",
        ];
        assert_eq!(interface_addresses("nx0").unwrap(), all.map(parse));
        assert_eq!(interface_addresses("nx1").unwrap(), [parse("198.51.100.1")]);
    });
}
