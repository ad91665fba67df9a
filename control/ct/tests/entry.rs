//! Entries as `static_ct_api` writes and reads them, and as RFC 6962's get-entries gives them.

#![expect(clippy::unwrap_used, reason = "a helper that fails must fail the test")]

mod support;

use ct::{
    CHAIN_MAX, CtExtensions, CtExtensionsError, DataTileError, EntryError, EntryKind, Hash,
    LogEntry, SignedEntry, TileId, TileKind, TimestampedEntry, read_data_tile,
};
use proptest::prelude::*;
use static_ct_api::TileIterator;
use support::{damage, data_tile, entry};

fn tile(index: u64, width: u16) -> TileId {
    TileId::new(TileKind::Data, index, width).unwrap()
}

/// The same entry as `static_ct_api` has it.
fn oracle(entry: &TimestampedEntry) -> static_ct_api::LogEntry {
    let chain = entry.entry().chain.iter().map(|hash| hash.0);
    let mut oracle = static_ct_api::LogEntry {
        chain_fingerprints: chain.collect(),
        leaf_index: entry.extensions().leaf_index().unwrap(),
        timestamp: entry.timestamp_ms(),
        ..Default::default()
    };
    match &entry.entry().kind {
        EntryKind::Certificate(der) => oracle.certificate = der.to_vec(),
        EntryKind::Precertificate {
            issuer_key_hash,
            tbs,
            submitted,
        } => {
            oracle.is_precert = true;
            oracle.issuer_key_hash = issuer_key_hash.0;
            oracle.certificate = tbs.to_vec();
            oracle.pre_certificate = submitted.to_vec();
        }
    }
    oracle
}

fn entries() -> impl Strategy<Value = TimestampedEntry> {
    let der = || prop::collection::vec(any::<u8>(), 1..300);
    let chain = prop::collection::vec(any::<[u8; 32]>(), 0..5);
    let parts = (der(), der(), any::<bool>(), chain, any::<[u8; 32]>());
    (parts, any::<u64>(), 0u64..1 << 40).prop_map(|(parts, timestamp_ms, index)| {
        let (first, second, is_precertificate, chain, key_hash) = parts;
        let kind = if is_precertificate {
            EntryKind::Precertificate {
                issuer_key_hash: Hash(key_hash),
                tbs: first.into(),
                submitted: second.into(),
            }
        } else {
            EntryKind::Certificate(first.into())
        };
        let chain = chain.into_iter().map(Hash).collect();
        let extensions = CtExtensions::of_index(index).unwrap();
        TimestampedEntry::new(LogEntry { kind, chain }, timestamp_ms, extensions).unwrap()
    })
}

proptest! {
    #[test]
    fn entry_has_the_bytes_that_static_ct_api_gives_it(entry in entries()) {
        let oracle = oracle(&entry);
        prop_assert_eq!(entry.leaf_input(), oracle.merkle_tree_leaf());
        prop_assert_eq!(entry.leaf_hash(), Hash::leaf(&entry.leaf_input()));
        let mut bytes = Vec::new();
        entry.write_tile_leaf(&mut bytes);
        prop_assert_eq!(&bytes, &oracle.tile_leaf());
        let read = TileIterator::new(bytes, 1).next().unwrap().unwrap();
        prop_assert_eq!(read, oracle);
    }

    #[test]
    fn data_tile_gives_the_entries_that_were_written(first in 0u64..1000, width in 1u16..=256) {
        let tile = tile(first, width);
        let bytes = data_tile(tile);
        let read = read_data_tile(tile, &bytes).unwrap();
        prop_assert_eq!(read.len(), usize::from(width));
        let mut again = Vec::new();
        for (place, found) in (0..).zip(&read) {
            prop_assert_eq!(found, &entry(first * 256 + place, 1_700_000_000_000 + place));
            found.write_tile_leaf(&mut again);
        }
        prop_assert_eq!(&again, &bytes);
        let theirs = TileIterator::new(bytes, usize::from(width));
        for (ours, theirs) in read.iter().zip(theirs) {
            prop_assert_eq!(oracle(ours), theirs.unwrap());
        }
    }

    #[test]
    fn get_entries_gives_the_entry_back(mut entry in entries(), chain in prop::collection::vec(
        prop::collection::vec(any::<u8>(), 1..100), 0..4,
    )) {
        let fingerprints = chain.iter().map(|issuer| Hash::of(issuer)).collect();
        let log_entry = LogEntry { chain: fingerprints, ..entry.entry().clone() };
        entry = TimestampedEntry::new(log_entry, entry.timestamp_ms(), entry.extensions().clone()).unwrap();
        let issuer = |wanted: &Hash| chain.iter().find(|issuer| Hash::of(issuer) == *wanted);
        let extra = entry.extra_data(issuer).unwrap();
        let (read, issuers) = TimestampedEntry::from_get_entries(&entry.leaf_input(), &extra).unwrap();
        prop_assert_eq!(&read, &entry);
        prop_assert_eq!(issuers, chain);
        for length in 0..extra.len() {
            prop_assert!(TimestampedEntry::from_get_entries(&entry.leaf_input(), &extra[..length]).is_err());
        }
    }
}

#[test]
fn data_tile_cut_at_every_byte_is_truncated() {
    let tile = tile(7, 5);
    let bytes = data_tile(tile);
    for length in 0..bytes.len() {
        let error = read_data_tile(tile, &bytes[..length]).unwrap_err();
        let truncated = matches!(
            error,
            DataTileError::Entry {
                error: EntryError::Truncated(_),
                ..
            }
        );
        assert!(truncated, "length={length}: {error}");
    }
}

#[test]
fn data_tile_with_any_byte_changed_is_refused_or_has_another_leaf() {
    let tile = tile(7, 4);
    let bytes = data_tile(tile);
    let leaves: Vec<_> = read_data_tile(tile, &bytes).unwrap();
    for place in 0..bytes.len() {
        let place = u16::try_from(place).unwrap().to_be_bytes();
        let changed = damage(&bytes, &[place[0], place[1], 0x10]);
        if let Ok(read) = read_data_tile(tile, &changed) {
            assert_ne!(read, leaves);
        }
    }
}

#[test]
fn data_tile_of_another_place_or_width_is_refused() {
    let bytes = data_tile(tile(7, 4));
    assert_eq!(
        read_data_tile(tile(8, 4), &bytes),
        Err(DataTileError::Index {
            expected: 2048,
            found: Some(1792)
        })
    );
    let narrower = read_data_tile(tile(7, 3), &bytes);
    assert!(matches!(
        narrower,
        Err(DataTileError::Trailing { left: 1.. })
    ));
    let wider = read_data_tile(tile(7, 5), &bytes);
    assert!(matches!(
        wider,
        Err(DataTileError::Entry { index: 1796, .. })
    ));
}

#[test]
fn leaf_of_another_version_or_type_is_refused() {
    let whole = entry(1, 2).leaf_input();
    let extra = entry(0, 2).extra_data(|_| None::<Vec<u8>>).unwrap();
    let with = |place: usize, value: u8| {
        let mut leaf = whole.clone();
        leaf[place] = value;
        TimestampedEntry::from_get_entries(&leaf, &[0, 0, 0]).unwrap_err()
    };
    assert!(TimestampedEntry::from_get_entries(&whole, &[0, 0, 0]).is_ok());
    assert_eq!(with(0, 1), EntryError::Version(1));
    assert_eq!(with(1, 1), EntryError::LeafType(1));
    assert_eq!(with(11, 2), EntryError::EntryType(2));
    let longer = [whole.as_slice(), &[0]].concat();
    let error = TimestampedEntry::from_get_entries(&longer, &[0, 0, 0]).unwrap_err();
    assert_eq!(error, EntryError::Trailing { left: 1 });
    let error = TimestampedEntry::from_get_entries(&whole, &extra).unwrap_err();
    assert!(matches!(error, EntryError::Trailing { .. }));
}

#[test]
fn entry_beyond_its_bounds_is_refused() {
    let new = |kind, chain: usize| {
        let chain = vec![Hash([0; 32]); chain].into();
        TimestampedEntry::new(LogEntry { kind, chain }, 0, CtExtensions::none())
    };
    let certificate = |bytes: usize| EntryKind::Certificate(vec![0; bytes].into());
    let precertificate = |bytes: usize| EntryKind::Precertificate {
        issuer_key_hash: Hash([0; 32]),
        tbs: [0].into(),
        submitted: vec![0; bytes].into(),
    };
    let too_long = EntryError::Der { found: 1 << 24 };
    let none = EntryError::Der { found: 0 };
    assert_eq!(new(certificate(1 << 24), 0), Err(too_long));
    assert_eq!(new(certificate(0), 0), Err(none));
    assert_eq!(new(precertificate(1 << 24), 0), Err(too_long));
    assert_eq!(new(precertificate(0), 0), Err(none));
    let found = CHAIN_MAX + 1;
    assert_eq!(new(certificate(1), found), Err(EntryError::Chain { found }));

    let largest = new(precertificate((1 << 24) - 1), CHAIN_MAX).unwrap();
    let mut bytes = Vec::new();
    largest.write_tile_leaf(&mut bytes);
    let error = read_data_tile(tile(0, 1), &bytes).unwrap_err();
    let expected = DataTileError::Index {
        expected: 0,
        found: None,
    };
    assert_eq!(error, expected, "read in full, but without an index");
}

#[test]
fn chain_that_the_log_does_not_have_or_that_is_too_long_gives_no_extra_data() {
    let missing = entry(1, 0).extra_data(|_| None::<Vec<u8>>);
    assert_eq!(missing, Err(EntryError::Issuer(Hash::of(&[0; 8]))));
    let huge = vec![0; (1 << 23) + 1];
    let too_long = entry(2, 0).extra_data(|_| Some(&huge));
    assert_eq!(too_long, Err(EntryError::Chain { found: 2 }));
    let empty = entry(1, 0).extra_data(|_| Some([]));
    assert_eq!(empty, Err(EntryError::Der { found: 0 }));
}

#[test]
fn extension_of_the_specification_has_eight_bytes() {
    let extensions = CtExtensions::of_index(0x01_0203_0405).unwrap();
    assert_eq!(extensions.as_bytes(), [0, 0, 5, 1, 2, 3, 4, 5]);
    assert_eq!(CtExtensions::parse(extensions.as_bytes()), Ok(extensions));
    assert_eq!(CtExtensions::of_index(1 << 40), None);
    assert_eq!(CtExtensions::none().leaf_index(), None);
    assert_eq!(CtExtensions::parse(&[]), Ok(CtExtensions::none()));
}

#[test]
fn extensions_in_any_order_are_read_and_faults_have_their_errors() {
    let parse = |bytes: &[u8]| CtExtensions::parse(bytes).map(|extensions| extensions.leaf_index());
    assert_eq!(parse(&[9, 0, 1, 7, 0, 0, 5, 0, 0, 0, 0, 3]), Ok(Some(3)));
    assert_eq!(parse(&[9, 0, 0]), Ok(None));
    assert_eq!(
        parse(&[9, 0, 0, 9, 0, 0]),
        Err(CtExtensionsError::Duplicate(9))
    );
    assert_eq!(
        parse(&[0, 0, 4, 0, 0, 0, 3]),
        Err(CtExtensionsError::LeafIndex { found: 4 })
    );
    assert!(matches!(
        parse(&[0, 0, 5, 0, 0, 0, 3]),
        Err(CtExtensionsError::Truncated(_))
    ));
    assert_eq!(
        parse(&vec![9; 1 << 16]),
        Err(CtExtensionsError::Length { found: 1 << 16 })
    );
}

#[test]
fn signed_part_of_an_entry_is_without_what_was_submitted() {
    let entry = entry(3, 0);
    let SignedEntry::Precertificate { tbs, .. } = entry.entry().signed() else {
        panic!("entry 3 is a precertificate");
    };
    assert_eq!(tbs, b"tbs 3");
}
