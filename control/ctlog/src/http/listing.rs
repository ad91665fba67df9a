//! What the log says of itself: its shards for people, its log list, and the policy of its cosignatures.

use std::fmt::Write as _;
use std::sync::Arc;

use axum::extract::State;
use axum::http::HeaderValue;
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};
use ct::{DAY_SECONDS, Endpoint, VerifierKey, WitnessPolicy};
use data_encoding::BASE64;
use serde_json::{Value, json};

use super::faces::{Faces, now_s};
use super::query::Asked;
use super::refusal::{self, Refusal};
use crate::ShardReader;

/// Maximum merge delay, in seconds, that Chrome asks of tiled logs. A timestamp is not released before its entry is in a
/// published tree, so there is none.
pub(super) const MMD_S: u32 = 60;

/// `/`: one line a shard.
pub(super) async fn index(State(faces): State<Arc<Faces>>) -> Response {
    let mut page = format!(
        "Certificate Transparency log of {}.\n\nEach shard takes certificates whose validity ends in its window.\n\n",
        faces.operator.name
    );
    for face in &faces.shards {
        let window = &face.spec().window;
        let published = face.watch().borrow().clone();
        let size = published.map_or(0, |newest| newest.size());
        let (start, end) = (rfc3339(window.start), rfc3339(window.end));
        let id = BASE64.encode(&face.spec().key.id().0);
        let url = faces.url(face);
        let _ = writeln!(page, "{url} {start} {end} {size} entries, log id {id}");
    }
    page += "\nReading: checkpoint, tile/, issuer/ (static-ct-api) or ct/v1/ (RFC 6962). Policy: policy. Log list: /log-list.json\n";
    text(page)
}

/// `/log-list.json`: the shards in Chrome's form, for clients that trust this log without a browser's list.
pub(super) async fn log_list(State(faces): State<Arc<Faces>>) -> Response {
    let tiled = faces.shards.iter().map(|face| listed(&faces, face));
    refusal::json(&json!({
        "version": "1.0",
        "log_list_timestamp": rfc3339(now_s()),
        "operators": [{
            "name": faces.operator.name,
            "email": faces.operator.email,
            "logs": [],
            "tiled_logs": tiled.collect::<Vec<_>>(),
        }],
    }))
}

fn listed(faces: &Faces, face: &ShardReader) -> Value {
    let window = &face.spec().window;
    let url = faces.url(face);
    json!({
        "description": format!("{} {}", faces.operator.name, window.name),
        "log_id": BASE64.encode(&face.spec().key.id().0),
        "key": BASE64.encode(face.spec().key.spki()),
        "submission_url": url,
        "monitoring_url": url,
        "mmd": MMD_S,
        // Who takes this list takes the log. Since when is asked of logs that were retired only.
        "state": { "usable": { "timestamp": rfc3339(0) } },
        "temporal_interval": {
            "start_inclusive": rfc3339(window.start),
            "end_exclusive": rfc3339(window.end),
        },
    })
}

/// `/<shard>/policy`: the validators and their quorum (tlog-policy).
pub(super) async fn policy(
    State(faces): State<Arc<Faces>>,
    asked: Asked,
) -> Result<Response, Refusal> {
    let face = asked.face()?;
    let url = Some(faces.url(&face));
    let log = face.note_key().map(|key| Endpoint { key, url });
    let validators = Arc::clone(&faces.agreed.borrow().validators);
    let witness = |key: &VerifierKey| {
        let node = key.name().as_str().rsplit('/').next().unwrap_or_default();
        let key = key.clone();
        (node.to_owned(), Endpoint { key, url: None })
    };
    let witnesses: Vec<_> = validators.keys().iter().map(witness).collect();
    let policy = WitnessPolicy::of_group(log.as_slice(), &witnesses, validators.quorum());
    let policy = policy.map_err(|error| {
        Refusal::busy(format_args!("the validators are not known yet: {error}"))
    })?;
    Ok(text(policy.to_string()))
}

fn text(page: String) -> Response {
    let kind = HeaderValue::from_static("text/plain; charset=utf-8");
    ([(CONTENT_TYPE, kind)], page).into_response()
}

/// Seconds since 1970 as RFC 3339 in UTC.
pub(super) fn rfc3339(time_s: i64) -> String {
    let (days, second) = (
        time_s.div_euclid(DAY_SECONDS),
        time_s.rem_euclid(DAY_SECONDS),
    );
    // Years begin with March here, so that the odd day comes last: eras of 400 years all have as many days.
    let from_march = days + 719_468;
    let (era, day) = (
        from_march.div_euclid(146_097),
        from_march.rem_euclid(146_097),
    );
    let year = (day - day / 1_460 + day / 36_524 - day / 146_096) / 365;
    let day = day - (365 * year + year / 4 - year / 100);
    let month = (5 * day + 2) / 153;
    let day = day - (153 * month + 2) / 5 + 1;
    let (month, next) = if month < 10 {
        (month + 3, 0)
    } else {
        (month - 9, 1)
    };
    let year = era * 400 + year + next;
    let (hour, minute, second) = (second / 3_600, second / 60 % 60, second % 60);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}Z")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_day_is_written_as_it_is_read() {
        assert_eq!(rfc3339(-1), "1969-12-31T23:59:59Z");
        assert_eq!(rfc3339(951_782_400), "2000-02-29T00:00:00Z");
        for year in (1600..2600).step_by(4).chain([1900, 1901, 2100, 2101]) {
            for month in 1..=12 {
                for day in [1, 28] {
                    let expected = format!("{year:04}-{month:02}-{day:02}T13:14:15Z");
                    let noon = ct::unix_midnight(year, month, day) + 47_655;
                    assert_eq!(rfc3339(noon), expected);
                }
            }
        }
    }
}
