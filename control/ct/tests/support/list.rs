//! Log lists in Chrome's form.

use ct::{Hash, LogList};
use data_encoding::BASE64;
use serde_json::{Value, json};

use super::{log_key, log_signer, spki};

/// 2026-01-01T00:00:00Z.
pub(crate) const LISTED_MS: u64 = 1_767_225_600_000;

/// Id of the log with the key of this seed.
pub(crate) fn log_id(seed: u8) -> Hash {
    log_key(&log_signer(seed)).id()
}

/// A log as the list has it; `kind` is its state.
pub(crate) fn log(seed: u8, kind: &str) -> Value {
    json!({
        "description": format!("Log {seed}"),
        "log_id": BASE64.encode(&log_id(seed).0),
        "key": BASE64.encode(&spki(&log_signer(seed))),
        "url": format!("https://log{seed}.example/"),
        "mmd": 86400,
        "state": { kind: { "timestamp": "2025-01-01T00:00:00Z" } },
        "temporal_interval": {
            "start_inclusive": "2026-01-01T00:00:00Z",
            "end_exclusive": "2026-07-01T00:00:00Z",
        },
    })
}

/// A log with tiles.
pub(crate) fn tiled(seed: u8, kind: &str) -> Value {
    let mut log = log(seed, kind);
    let fields = log.as_object_mut().unwrap();
    fields.remove("url");
    fields.insert(
        "submission_url".into(),
        json!("https://submit.example/2026h1/"),
    );
    fields.insert("monitoring_url".into(), json!("https://read.example/"));
    fields.insert("mmd".into(), json!(60));
    log
}

/// A list of these operators.
pub(crate) fn list_of(operators: &Value) -> LogList {
    let list = json!({
        "version": "61.2",
        "log_list_timestamp": "2026-01-01T00:00:00Z",
        "operators": operators,
    });
    LogList::parse(list.to_string().as_bytes()).unwrap()
}

/// Logs 1 and 2 of one operator, 3 (tiled) and 4 of another, 5 retired and 6 pending of a third.
pub(crate) fn list() -> LogList {
    list_of(&json!([
        { "name": "One", "email": [], "logs": [log(1, "usable"), log(2, "qualified")] },
        { "name": "Two", "logs": [log(4, "readonly")], "tiled_logs": [tiled(3, "usable")] },
        { "name": "Three", "logs": [log(5, "retired"), log(6, "pending"), log(7, "rejected")] },
    ]))
}
