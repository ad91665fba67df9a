//! Entries as another process may leave them: never a panic, never a byte outside of the entry.

mod support;

use cache::{Cache, ENTRY_BYTES_MAX, Entry, EntryError, EntryMeta, Hasher, encode};
use support::{Generation, entry, qname, response};
use wire::answer::{Age, write_answer};
use wire::query::{CheckedCookie, Query};

const META: EntryMeta = EntryMeta {
    stored_at: 5,
    ttl: 300,
    zone: 1,
    generation: 2,
};

/// Does with an entry whatever a worker does, for queries without EDNS, with it, and with a cookie.
fn use_entry(cache: &mut Cache, entry: &Entry<'_>) {
    assert!(entry.as_bytes().len() <= ENTRY_BYTES_MAX);
    assert!(entry.as_bytes().len().is_multiple_of(8));
    cache.insert(entry);
    let key = entry.key();
    let slot = cache.locate(key.hash);
    cache.get(slot, &key, 6, &Generation(2));
    let opts: [&[u8]; 3] = [
        &[],
        &[0, 0, 41, 0xff, 0xff, 0, 0, 0x80, 0, 0, 0],
        b"\0\0\x29\x04\xd0\0\0\0\0\0\x0c\0\x0a\0\x08client-c",
    ];
    for opt in opts {
        let mut message = vec![0, 7, 1, 0, 0, 1, 0, 0, 0, 0, 0, u8::from(!opt.is_empty())];
        message.extend(entry.qname());
        message.extend([0, 1, 0, 1]);
        message.extend(opt);
        let mut query = Query::parse(&message).expect("the name of an entry is a name");
        if let Some(edns) = &mut query.edns {
            edns.checked_cookie = Some(CheckedCookie {
                server: [0xc5; 16],
                is_valid: true,
            });
        }
        message.resize(1400, 0);
        for age in [Age::Fresh(100), Age::Fresh(u32::MAX), Age::Stale] {
            let limit = query.response_limit(1232);
            let mut message = message.clone();
            let bytes = write_answer(&mut message, &query, &entry.answer(), age, limit);
            assert!(bytes <= usize::from(limit));
            let cookie =
                b"client-c\xc5\xc5\xc5\xc5\xc5\xc5\xc5\xc5\xc5\xc5\xc5\xc5\xc5\xc5\xc5\xc5";
            let sent = message[..bytes].windows(24).any(|part| part == cookie);
            assert!(sent || !query.has_cookie());
        }
    }
}

#[test]
fn any_bytes_are_an_entry_or_an_error_and_never_a_panic() {
    let mut cache = Cache::with_bytes(1 << 16);
    bolero::check!()
        .with_iterations(20_000)
        .for_each(|bytes: &[u8]| {
            if let Ok(entry) = Entry::parse(bytes) {
                use_entry(&mut cache, &entry);
            }
        });
}

#[test]
fn changed_entry_is_an_entry_or_an_error_and_never_a_panic() {
    let hasher = Hasher::new(1, 2);
    let whole = entry(&hasher, &qname(7), 9, &META);
    let mut cache = Cache::with_bytes(1 << 16);
    bolero::check!()
        .with_iterations(5_000)
        .with_type::<([(u8, u8); 3], u16)>()
        .for_each(|(changes, length)| {
            let mut bytes = whole.clone();
            for (offset, value) in changes {
                // Mostly the header, where the lengths are.
                let offset = usize::from(*offset) % bytes.len();
                bytes[offset] = *value;
            }
            bytes.truncate(usize::from(*length).max(40));
            if let Ok(entry) = Entry::parse(&bytes) {
                use_entry(&mut cache, &entry);
            }
        });
}

#[test]
fn entry_cut_at_every_byte_is_truncated() {
    let whole = entry(&Hasher::new(1, 2), &qname(7), 9, &META);
    for length in 0..whole.len() {
        assert_eq!(
            Entry::parse(&whole[..length]),
            Err(EntryError::Truncated),
            "length={length}"
        );
    }
    let followed = [whole.as_slice(), &[0xff; 9]].concat();
    assert_eq!(Entry::parse(&followed).unwrap().as_bytes(), whole);
}

#[test]
fn entry_with_contradicting_lengths_is_refused() {
    let whole = entry(&Hasher::new(1, 2), &qname(7), 9, &META);
    for (offset, value, error) in [
        (24, 0, EntryError::Length),       // Entry length.
        (25, 0xff, EntryError::Length),    // Entry length beyond the maximum.
        (26, 0xff, EntryError::Length),    // Body length.
        (29, 0xff, EntryError::Length),    // Required prefix beyond the body.
        (44, 0, EntryError::Length),       // Name length.
        (47, 0xff, EntryError::Length),    // Record count.
        (48, 200, EntryError::Qname),      // Label beyond 63 bytes.
        (48, 17, EntryError::Qname),       // Label that hides the next one.
        (48, 0, EntryError::Qname),        // Root byte before the end.
        (74, 0xff, EntryError::TtlOffset), // High byte of the first TTL offset.
    ] {
        let mut bytes = whole.clone();
        bytes[offset] = value;
        assert_eq!(Entry::parse(&bytes), Err(error), "offset={offset}");
    }
}

#[test]
fn message_that_answers_another_question_is_refused() {
    let hasher = Hasher::new(1, 2);
    let mut out = [0; ENTRY_BYTES_MAX];
    let (mine, other) = (qname(1), qname(2));
    let message = response(&mine, 1, 60);
    for key in [
        hasher.key_of(&other, 1, 1, 1),
        hasher.key_of(&mine[..mine.len() - 1], 1, 1, 1),
        hasher.key_of(&mine, 28, 1, 1),
        hasher.key_of(&mine, 1, 3, 1),
    ] {
        let result = encode(&message, &key, &META, &mut out);
        assert_eq!(result, Err(EntryError::Question));
    }
}

#[test]
fn message_too_long_or_malformed_and_room_too_short_are_errors() {
    let hasher = Hasher::new(1, 2);
    let qname = qname(1);
    let key = hasher.key_of(&qname, 1, 1, 1);
    let mut out = [0; ENTRY_BYTES_MAX];
    let long = response(&qname, 75, 60);
    let result = encode(&long, &key, &META, &mut out);
    assert_eq!(result, Err(EntryError::MessageLength(long.len())));
    let message = response(&qname, 1, 60);
    let cut = encode(&message[..message.len() - 1], &key, &META, &mut out);
    assert!(matches!(cut, Err(EntryError::Message(_))));
    let needed = encode(&message, &key, &META, &mut out).unwrap();
    let short = encode(&message, &key, &META, &mut out[..needed - 1]);
    assert_eq!(short, Err(EntryError::Room { needed }));
}

#[test]
fn largest_message_of_smallest_records_fits_into_an_entry() {
    // 110 records of 11 bytes: root owner, no data.
    let mut message = vec![0, 0, 0x81, 0x80, 0, 1, 0, 110, 0, 0, 0, 0, 0, 0, 1, 0, 1];
    for _ in 0..110 {
        message.extend([0, 0, 16, 0, 1, 0, 0, 0, 60, 0, 0]);
    }
    assert!(message.len() <= 1232 && message.len() + 11 > 1232);
    let key = Hasher::new(1, 2).key_of(&[0], 1, 1, 1);
    let mut out = [0; ENTRY_BYTES_MAX];
    let length = encode(&message, &key, &META, &mut out).unwrap();
    let entry = Entry::parse(&out[..length]).unwrap();
    assert_eq!(entry.answer().counts, [110, 0, 0]);
    assert_eq!(entry.answer().body, &message[17..]);
    assert_eq!(entry.ttl(), 60);
}

#[test]
fn entry_gives_back_what_was_encoded() {
    let hasher = Hasher::new(1, 2);
    let qname = qname(9);
    let mut message = response(&qname, 2, 1000);
    message[11] = 1;
    // OPT with extended RCODE 1 and an extended error: "Blocked" (15).
    message.extend([0, 0, 41, 4, 0xd0, 1, 0, 0, 0, 0, 6, 0, 15, 0, 2, 0, 15]);
    let key = hasher.key_of(&qname, 1, 1, 5);
    let mut out = [0; ENTRY_BYTES_MAX];
    let length = encode(&message, &key, &META, &mut out).unwrap();
    let entry = Entry::parse(&out[..length]).unwrap();
    assert_eq!(entry.key(), key);
    assert_eq!((entry.stored_at(), entry.ttl()), (5, 300));
    assert_eq!((entry.zone(), entry.generation()), (1, 2));
    let answer = entry.answer();
    assert_eq!(answer.flags, 0x0080);
    assert_eq!(answer.rcode_high, 1);
    assert_eq!(answer.extended_error, Some(15));
    assert_eq!(answer.counts, [2, 0, 0]);
    assert_eq!(answer.required_bytes, 32);
    assert_eq!(answer.ttl_offsets, [6, 0, 22, 0]);
}

#[test]
fn cookies_and_padding_of_a_response_are_not_kept() {
    let hasher = Hasher::new(1, 2);
    let qname = qname(9);
    let key = hasher.key_of(&qname, 1, 1, 1);
    let entry = |options: &[u8]| {
        let mut message = response(&qname, 2, 1000);
        message[11] = 1;
        message.extend([0, 0, 41, 4, 0xd0, 0, 0, 0, 0]);
        message.extend(u16::try_from(options.len()).unwrap().to_be_bytes());
        message.extend(options);
        let mut out = [0; ENTRY_BYTES_MAX];
        let length = encode(&message, &key, &META, &mut out).unwrap();
        out[..length].to_vec()
    };
    let plain = entry(&[]);
    bolero::check!()
        .with_iterations(5_000)
        .with_type::<(Vec<u8>, bool)>()
        .for_each(|(data, is_cookie)| {
            let data = &data[..data.len().min(99)];
            let code = if *is_cookie { 10 } else { 12 };
            let mut option = vec![0, code, 0, u8::try_from(data.len()).unwrap()];
            option.extend(data);
            assert_eq!(entry(&option), plain);
        });
}
