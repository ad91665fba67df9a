//! The durable log under cuts, flipped bits and arbitrary bytes.

use super::*;

fn new_log(folder: &Path) -> (Log, PathBuf) {
    let path = folder.join("log");
    let log = Log::create(Arc::new(RealDisk), &path, owner()).unwrap();
    (log, path)
}

fn reopen(path: &Path) -> Result<(Log, Vec<Record>), StoreError> {
    Log::open(Arc::new(RealDisk), path, owner())
}

#[test]
fn records_come_back_in_order_and_more_can_follow() {
    let folder = TempDir::new().unwrap();
    let (mut log, path) = new_log(folder.path());
    log.append(&records(0..3)).unwrap();
    log.append(&[]).unwrap();
    log.append(&records(3..4)).unwrap();
    drop(log);
    let (mut log, found) = reopen(&path).unwrap();
    assert_eq!(found, records(0..4));
    log.append(&records(4..6)).unwrap();
    log.close().unwrap();
    let (mut log, found) = reopen(&path).unwrap();
    assert_eq!(found, records(0..6));
    log.append(&records(6..7)).unwrap();
    assert_eq!(reopen(&path).unwrap().1, records(0..7));
}

#[test]
fn records_larger_than_a_group_are_split_and_come_back() {
    let folder = TempDir::new().unwrap();
    let (mut log, path) = new_log(folder.path());
    let large: Vec<_> = (0..20).map(|_| Record::Batch(batch_of(500_000))).collect();
    log.append(&large).unwrap();
    assert_eq!(reopen(&path).unwrap().1, large);
    log.replace(&large).unwrap();
    log.append(&records(0..1)).unwrap();
    let (_, found) = reopen(&path).unwrap();
    assert_eq!(found.len(), 21);
    assert_eq!(found[..20], large);
}

#[test]
fn replaced_log_holds_the_new_records_and_what_follows_them() {
    let folder = TempDir::new().unwrap();
    let (mut log, path) = new_log(folder.path());
    log.append(&records(0..50)).unwrap();
    let before = log.bytes_count();
    log.replace(&records(40..42)).unwrap();
    assert!(log.bytes_count() < before);
    log.append(&records(50..51)).unwrap();
    drop(log);
    let found = reopen(&path).unwrap().1;
    assert_eq!(found, [records(40..42), records(50..51)].concat());
}

#[test]
fn disk_that_writes_little_at_once_loses_nothing() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("log");
    let mut log = Log::create(Arc::new(SlowDisk), &path, owner()).unwrap();
    log.append(&records(0..5)).unwrap();
    assert_eq!(reopen(&path).unwrap().1, records(0..5));
}

#[test]
fn log_cut_at_every_byte_of_an_append_has_all_groups_before_and_goes_on() {
    let folder = TempDir::new().unwrap();
    let (mut log, path) = new_log(folder.path());
    log.append(&records(0..2)).unwrap();
    let durable = usize::try_from(log.bytes_count()).unwrap();
    log.append(&records(2..4)).unwrap();
    drop(log);
    let whole = std::fs::read(&path).unwrap();
    for length in durable..whole.len() {
        std::fs::write(&path, &whole[..length]).unwrap();
        let (mut log, found) = reopen(&path).unwrap();
        assert_eq!(found, records(0..2), "length={length}");
        log.append(&records(9..10)).unwrap();
        drop(log);
        let found = reopen(&path).unwrap().1;
        assert_eq!(
            found,
            [records(0..2), records(9..10)].concat(),
            "length={length}"
        );
    }
}

#[test]
fn log_cut_within_its_header_or_what_was_sealed_is_refused() {
    let folder = TempDir::new().unwrap();
    let (mut log, path) = new_log(folder.path());
    log.replace(&records(0..2)).unwrap();
    drop(log);
    let whole = std::fs::read(&path).unwrap();
    for length in 0..whole.len() {
        std::fs::write(&path, &whole[..length]).unwrap();
        let error = reopen(&path).unwrap_err();
        assert!(
            matches!(error, StoreError::Damaged { .. }),
            "length={length}"
        );
    }
}

#[test]
fn tail_whose_pages_came_out_of_order_is_cut_off() {
    let folder = TempDir::new().unwrap();
    let (mut log, path) = new_log(folder.path());
    log.append(&records(0..2)).unwrap();
    let durable = usize::try_from(log.bytes_count()).unwrap();
    log.append(&records(2..200)).unwrap();
    drop(log);
    let whole = std::fs::read(&path).unwrap();
    for begin in (durable..whole.len()).step_by(997) {
        let mut bytes = whole.clone();
        let end = (begin + 512).min(bytes.len());
        bytes[begin..end].fill(0);
        std::fs::write(&path, &bytes).unwrap();
        assert_eq!(reopen(&path).unwrap().1, records(0..2), "begin={begin}");
    }
}

#[test]
fn zeros_behind_the_last_group_are_cut_off() {
    let folder = TempDir::new().unwrap();
    let (mut log, path) = new_log(folder.path());
    log.append(&records(0..2)).unwrap();
    drop(log);
    let mut bytes = std::fs::read(&path).unwrap();
    bytes.extend_from_slice(&[0; 10_000]);
    std::fs::write(&path, &bytes).unwrap();
    assert_eq!(reopen(&path).unwrap().1, records(0..2));
}

#[test]
fn flipped_bit_anywhere_is_refused_or_costs_the_last_group_alone() {
    let folder = TempDir::new().unwrap();
    let (mut log, path) = new_log(folder.path());
    log.append(&records(0..2)).unwrap();
    log.append(&records(2..3)).unwrap();
    let last = usize::try_from(log.bytes_count()).unwrap();
    log.append(&records(3..5)).unwrap();
    drop(log);
    let whole = std::fs::read(&path).unwrap();
    for place in 0..whole.len() * 8 {
        let mut bytes = whole.clone();
        bytes[place / 8] ^= 1 << (place % 8);
        std::fs::write(&path, &bytes).unwrap();
        match reopen(&path) {
            Ok((_, found)) => {
                assert!(place / 8 >= last, "place={place}");
                assert_eq!(found, records(0..3), "place={place}");
            }
            Err(error) => {
                assert!(place / 8 < last, "place={place}");
                let text = error.to_string();
                assert!(text.contains("damaged at byte"), "{text}");
                assert!(text.contains("replace-key"), "{text}");
            }
        }
    }
}

#[test]
fn flipped_bit_in_a_log_closed_in_order_is_refused_wherever_a_record_is() {
    let folder = TempDir::new().unwrap();
    let (mut log, path) = new_log(folder.path());
    log.append(&records(0..2)).unwrap();
    let records_end = usize::try_from(log.bytes_count()).unwrap();
    log.close().unwrap();
    let whole = std::fs::read(&path).unwrap();
    for place in 0..whole.len() {
        let mut bytes = whole.clone();
        bytes[place] ^= 0x10;
        std::fs::write(&path, &bytes).unwrap();
        match reopen(&path) {
            Ok((_, found)) => assert_eq!(found, records(0..2), "place={place}"),
            Err(_) => assert!(place < records_end, "place={place}"),
        }
    }
}

#[test]
fn frame_that_a_client_wrote_into_its_command_does_not_pass_for_one() {
    // An older log of the same node: its bytes inside a torn group must not look like what follows.
    let folder = TempDir::new().unwrap();
    let (mut old, old_path) = new_log(folder.path());
    old.append(&records(0..3)).unwrap();
    let old_bytes = std::fs::read(&old_path).unwrap();
    let (mut log, path) = new_log(folder.path());
    log.append(&records(0..1)).unwrap();
    drop(log);
    let mut bytes = std::fs::read(&path).unwrap();
    bytes.extend_from_slice(&old_bytes);
    std::fs::write(&path, &bytes).unwrap();
    assert_eq!(reopen(&path).unwrap().1, records(0..1));
}

#[test]
fn opener_survives_arbitrary_bytes_behind_a_header() {
    let folder = TempDir::new().unwrap();
    let (mut log, path) = new_log(folder.path());
    log.append(&records(0..1)).unwrap();
    drop(log);
    let whole = std::fs::read(&path).unwrap();
    bolero::check!()
        .with_iterations(2_000)
        .with_type::<(u16, Vec<u8>)>()
        .for_each(|(place, bytes)| {
            let mut file = whole.clone();
            file.truncate(usize::from(*place) % (whole.len() + 1));
            file.extend_from_slice(bytes);
            std::fs::write(&path, &file).unwrap();
            match reopen(&path) {
                Ok((_, found)) => assert!(found.len() <= 1),
                Err(StoreError::Damaged { offset, .. }) => assert!(offset <= file.len() as u64),
                Err(error) => panic!("{error}"),
            }
        });
}
