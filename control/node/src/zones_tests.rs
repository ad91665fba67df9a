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

fn built(name: &str, serial: u32) -> Arc<Zone> {
    let apex = zone_file::wire_name(name).unwrap();
    let text = ZONE.replace(" 7 ", &format!(" {serial} "));
    let read = Zone::read(&apex, text.as_bytes(), "zone", &mut |_, _| {
        Err(String::new())
    });
    Arc::new(read.unwrap().0)
}

fn agreed(name: &str) -> config::Zone {
    config::Zone {
        name: name.to_owned(),
        agreed: true,
        ..config::Zone::default()
    }
}

#[test]
fn an_agreed_zone_is_awaited_until_it_is_published_and_again_when_it_is_withdrawn() {
    let configured = vec![agreed("test."), agreed("sub.test.")];
    let zones = Zones::load(configured, TsigKeys::default(), Arc::default()).unwrap();
    let table = || zones.shared().load_full();
    let is_awaited = |name: &str| {
        let (name, table) = (zone_file::wire_name(name).unwrap(), table());
        table.is_awaited(&name, table.find(&name, 1))
    };
    assert!(is_awaited("www.test.") && is_awaited("sub.test.") && !is_awaited("example."));
    let reloaded = zones.publish(built("test.", 1), Vec::new()).unwrap();
    assert_eq!(reloaded.redrawn, ["test."]);
    assert!(!is_awaited("www.test.") && is_awaited("www.sub.test."));
    // Names are the same as before: what was resolved elsewhere still holds.
    let reloaded = zones.publish(built("test.", 2), Vec::new()).unwrap();
    assert!(reloaded.redrawn.is_empty() && reloaded.zones[0].changed);
    assert!(zones.withdraw(b"\x03sub\x04test\0").is_none());
    assert_eq!(zones.withdraw(b"\x04test\0").unwrap().redrawn, ["test."]);
    assert!(is_awaited("www.test."));
}

#[test]
fn a_reload_leaves_agreed_zones_in_service_and_their_journal_whole() {
    let configured = vec![agreed("test.")];
    let zones = Zones::load(configured.clone(), TsigKeys::default(), Arc::default()).unwrap();
    let apex = b"\x04test\0";
    let mut contents = resolver::zone::ZoneContents::from_zone(&built("test.", 1));
    zones.publish(built("test.", 1), Vec::new()).unwrap();
    let next = resolver::zone::ZoneContents::from_zone(&built("test.", 5));
    let step = contents.replace(&next).unwrap().delta();
    zones.publish(built("test.", 5), vec![step]).unwrap();
    let journal_steps = || {
        let table = zones.shared().load_full();
        table.find_apex(apex).map(|zone| zone.journal.steps_count())
    };
    assert_eq!(journal_steps(), Some(1));
    assert!(zones.reload(None).unwrap().zones.is_empty());
    zones.reconfigure(configured, TsigKeys::default());
    assert_eq!(journal_steps(), Some(1));
    assert_eq!(zones.status(|number| number)[0].file, "(agreed)");
    // A version that no step leads to begins anew.
    zones.publish(built("test.", 9), Vec::new()).unwrap();
    assert_eq!(journal_steps(), Some(0));
    // It is the mesh that ends it, not the configuration.
    let reloaded = zones.reconfigure(Vec::new(), TsigKeys::default());
    assert!(reloaded.redrawn.is_empty());
    assert_eq!(zones.status(|number| number)[0].file, "(agreed)");
    assert_eq!(zones.withdraw(apex).unwrap().redrawn, ["test."]);
    assert_eq!(journal_steps(), None);
}

#[test]
fn an_agreed_zone_that_is_not_configured_is_served_and_nobody_may_copy_or_change_it() {
    let zones = Zones::load(Vec::new(), TsigKeys::default(), Arc::default()).unwrap();
    let reloaded = zones.publish(built("zone.test.", 1), Vec::new()).unwrap();
    assert_eq!(reloaded.redrawn, ["zone.test."]);
    let access = || {
        let table = zones.shared().load_full();
        let served = table.find_name("zone.test.").unwrap();
        (
            served.access.takes_updates(),
            served.access.allows_transfer([127, 0, 0, 1].into(), None),
        )
    };
    assert_eq!(access(), (false, false));
    let text = "zones: [{name: zone.test., agreed: true, allow_transfer: [127.0.0.0/8]}]";
    let configured = config::Config::parse(text, std::path::Path::new("nexus.yaml"));
    zones.reconfigure(configured.unwrap().zones, TsigKeys::default());
    assert_eq!(access(), (false, true));
    zones.reconfigure(Vec::new(), TsigKeys::default());
    assert_eq!(access(), (false, false));
}

#[test]
fn a_zone_of_a_file_gives_way_to_no_agreed_one_of_its_name() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("zone");
    std::fs::write(
        &file,
        "@ 60 SOA a b 1 60 60 60 60\n@ 60 NS a\na 60 A 192.0.2.1\n",
    )
    .unwrap();
    let configured = config::Zone {
        name: "test.".to_owned(),
        file: Some(file),
        ..config::Zone::default()
    };
    let zones = Zones::load(vec![configured], TsigKeys::default(), Arc::default()).unwrap();
    let refused = zones.publish(built("test.", 9), Vec::new());
    assert_eq!(refused.unwrap_err(), Unserved::FromFile);
    assert!(zones.withdraw(b"\x04test\0").is_none());
    assert_eq!(zones.status(|number| number)[0].serial, Some(1));
}
