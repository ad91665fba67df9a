//! Replies of a log that ran in public, Google's Argon 2020, as it ended with 961,984,011 entries.

mod support;

use ct::{
    Base64, EntryKind, GetSthReply, Hash, LogKey, SignedTreeHead, TimestampedEntry,
    verify_consistency, verify_inclusion,
};
use data_encoding::BASE64;
use serde_json::Value;
use support::ALGORITHMS;

/// As in every list of logs of its time.
const KEY: &str = "MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAE6Tx2p1yKY4015NyIYvdrk36es0uAc1zA4PQ+TGRY+3Zj\
    UTIYY9Wyu+3q/147JG4vNVKLtDWarZwVqGkg6lAYzA==";
const LOG_ID: &str = "sh4FzIuizYogTodm+Su5iiUgZ2va+nDnsklTLe+LkF4=";
/// Root of its first 3,654,490 entries.
const OLD_ROOT: &str = "AuIZ5V6sDUj1vn3Y1K85oOaQ7y+FJJKtyRTl1edIKBQ=";
const OLD_SIZE: u64 = 3_654_490;
const INDEX: u64 = 10_000;

fn reply(call: &str) -> Value {
    let replies: Value = serde_json::from_str(include_str!("argon2020.json")).expect("JSON");
    replies[call].clone()
}

fn hash(base64: &str) -> Hash {
    let bytes = BASE64.decode(base64.as_bytes()).expect("base64");
    Hash(bytes.try_into().expect("32 bytes"))
}

fn hashes(list: &Value) -> Vec<Hash> {
    let list = list.as_array().expect("a list").iter();
    list.map(|text| hash(text.as_str().expect("text")))
        .collect()
}

fn head() -> SignedTreeHead {
    let reply: GetSthReply = serde_json::from_value(reply("get-sth")).expect("a tree head");
    SignedTreeHead::try_from(&reply).expect("a tree head")
}

#[test]
fn tree_head_is_signed_by_the_key_whose_hash_is_the_id() {
    let key = LogKey::new(&BASE64.decode(KEY.as_bytes()).unwrap()).unwrap();
    assert_eq!(key.id(), hash(LOG_ID));
    assert_eq!(head().head.size, 961_984_011);
    assert_eq!(head().verify(&key, ALGORITHMS), Ok(()));
}

#[test]
fn entry_is_read_in_full_and_included() {
    let entry = reply("get-entries?start=10000&end=10000")["entries"][0].clone();
    let field = |name: &str| {
        serde_json::from_value::<Base64>(entry[name].clone())
            .unwrap()
            .0
    };
    let (leaf_input, extra_data) = (field("leaf_input"), field("extra_data"));
    let (entry, issuers) = TimestampedEntry::from_get_entries(&leaf_input, &extra_data).unwrap();
    assert_eq!(entry.leaf_input(), leaf_input);
    let issuer = |wanted: &Hash| issuers.iter().find(|der| Hash::of(der) == *wanted);
    assert_eq!(entry.extra_data(issuer).unwrap(), extra_data);
    assert!(matches!(entry.entry().kind, EntryKind::Certificate(_)));
    assert_eq!(issuers.len(), 3);

    let path = hashes(&reply("get-proof-by-hash")["audit_path"]);
    let (leaf, head) = (entry.leaf_hash(), head().head);
    let result = verify_inclusion(&leaf, INDEX, head.size, &path, &head.root);
    assert_eq!(result, Ok(()));
    assert!(verify_inclusion(&leaf, INDEX + 1, head.size, &path, &head.root).is_err());
}

#[test]
fn last_tree_continues_an_early_one() {
    let path = hashes(&reply("get-sth-consistency?first=3654490")["consistency"]);
    let head = head().head;
    let result = verify_consistency(OLD_SIZE, head.size, &path, &hash(OLD_ROOT), &head.root);
    assert_eq!(result, Ok(()));
    let shorter = OLD_SIZE - 1;
    assert!(verify_consistency(shorter, head.size, &path, &hash(OLD_ROOT), &head.root).is_err());
}
