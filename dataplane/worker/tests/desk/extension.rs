//! Queries that carry the Nexus extension.

use super::{Bench, query};

#[test]
fn query_with_the_extension_goes_to_control_and_to_the_cache_without() {
    let mut bench = Bench::new();
    bench.learn(&query(1, "www.example"), 300);
    let mut extended = query(2, "www.example");
    extended[11] = 1;
    extended.extend(b"\x00\x00\x29\x04\xd0\x00\x00\x00\x00\x00\x14\xfe\x1d\x00\x10");
    extended.extend([0; 16]);
    assert_eq!(bench.ask(&extended), vec![]);
    assert_eq!(bench.punted().unwrap().1, extended);
    bench.control_alive = false;
    assert_eq!(bench.ask(&extended).len(), 1);
    assert_eq!(bench.punted(), None);
}
