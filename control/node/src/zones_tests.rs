//! Tests of the zones in service.

use super::*;

const ZONE: &str = "@ 60 SOA ns.test. host.test. 7 3600 600 86400 60\n@ 60 NS ns.test.\n";

#[test]
fn many_zones_are_listed_by_name_and_stay_apart_when_some_go() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("zone");
    std::fs::write(&file, ZONE).unwrap();
    let zone = |index: u32| config::Zone {
        name: format!("z{index}.test."),
        file: Some(file.clone()),
        ..config::Zone::default()
    };
    let all = (0..5_000).map(zone).collect();
    let zones = Zones::load(all, TsigKeys::default(), Arc::default()).unwrap();
    let some = (2_500..5_000).chain([9_000]).map(zone).collect();
    let reloaded = zones.reconfigure(some, TsigKeys::default());
    assert_eq!(reloaded.redrawn.len(), 2_501);
    let status = zones.status(|number| number);
    assert_eq!(status.len(), 2_501);
    assert!(status.is_sorted_by(|one, next| one.name < next.name));
    let numbers: std::collections::BTreeSet<_> =
        status.iter().map(|zone| zone.generation).collect();
    assert_eq!(numbers.len(), status.len());
    assert!(status.iter().all(|zone| zone.serial == Some(7)));
}
