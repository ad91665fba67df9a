//! Trust anchors, positive and negative, for the command line.

use std::sync::Arc;

use hickory_proto::rr::Name;
use resolver::iterate::{NegativeAnchor, NegativeAnchorError, Resolver};

use super::{Control, apart, parse_name, wire_name_of};
use crate::admin::{Failure, FailureCode, NegativeAnchorStatus, Response, TrustAnchorStatus};
use crate::trust_keeper::NEGATIVE_SECS_MAX;

/// Longest reason for a negative anchor, in bytes.
const REASON_BYTES_MAX: usize = 512;

/// What came of a change: RRsets and failures that went, and all anchors after it.
type Changed = Result<(usize, Vec<NegativeAnchor>), NegativeAnchorError>;

impl Control {
    pub(super) async fn add_negative(
        &self,
        zone: &str,
        lifetime_secs: u64,
        reason: String,
    ) -> Result<Response, Failure> {
        let bad = |message: String| Err(Failure::new(FailureCode::BadRequest, message));
        let name = parse_name(zone)?.to_lowercase();
        if !(1..=NEGATIVE_SECS_MAX).contains(&lifetime_secs) {
            return bad(format!(
                "{lifetime_secs} s; expected at least a second and at most a week"
            ));
        }
        if reason.len() > REASON_BYTES_MAX {
            return bad(format!(
                "the reason has {} bytes; expected at most {REASON_BYTES_MAX}",
                reason.len()
            ));
        }
        tracing::info!(zone = %name, lifetime_secs, reason, "negative trust anchor added");
        let zone = name.clone();
        self.change_negative(name, move |resolver, now_ms| {
            let records = resolver.add_negative_anchor(now_ms, &zone, lifetime_secs, reason)?;
            Ok((records, resolver.negative_anchors(now_ms).collect()))
        })
        .await
    }

    pub(super) async fn remove_negative(&self, zone: &str) -> Result<Response, Failure> {
        let name = parse_name(zone)?.to_lowercase();
        tracing::info!(zone = %name, "negative trust anchor removed");
        let zone = name.clone();
        self.change_negative(name, move |resolver, now_ms| {
            let records = resolver.remove_negative_anchor(&zone)?;
            Ok((records, resolver.negative_anchors(now_ms).collect()))
        })
        .await
    }

    /// Changes the resolver, then the file, then forgets what workers know: whoever asks after the
    /// reply gets what the change brings.
    async fn change_negative(
        &self,
        zone: Name,
        change: impl FnOnce(&mut Resolver, u64) -> Changed + Send + 'static,
    ) -> Result<Response, Failure> {
        // One after the other, so that the file has the last change.
        let _guard = self.0.trust_files.changes.lock().await;
        let changed = self.0.engine.with(change).await.ok_or_else(stopping)?;
        let (records, all) = changed.map_err(|error| {
            let code = match error {
                NegativeAnchorError::Unknown => FailureCode::NotFound,
                _ => FailureCode::BadRequest,
            };
            Failure::new(code, format!("{zone}: {error}"))
        })?;
        let files = Arc::clone(&self.0.trust_files);
        let kept = apart(move || files.keep_negative(&all)).await?;
        let warning = kept.err().map(|error| {
            tracing::warn!("negative trust anchors: {error}");
            format!("in effect, but not over a restart: {error}")
        });
        let entries = self.forget(Some((wire_name_of(&zone), true))).await?;
        Ok(Response::NegativeAnchorChanged {
            zone: zone.to_ascii(),
            entries,
            records: records as u64,
            warning,
        })
    }

    pub(super) async fn list_negative(&self) -> Result<Response, Failure> {
        let list = |resolver: &mut Resolver, now_ms| {
            let all = resolver.negative_anchors(now_ms);
            all.map(|anchor| NegativeAnchorStatus {
                zone: anchor.zone.to_ascii(),
                permanent: anchor.left_secs.is_none(),
                left_secs: anchor.left_secs,
                reason: anchor.reason,
            })
            .collect()
        };
        let anchors = self.0.engine.with(list).await.ok_or_else(stopping)?;
        let mut anchors: Vec<NegativeAnchorStatus> = anchors;
        anchors.sort_by(|one, other| one.zone.cmp(&other.zone));
        Ok(Response::NegativeAnchors { anchors })
    }

    pub(super) async fn list_trust(&self) -> Result<Response, Failure> {
        let all = self
            .0
            .engine
            .with(|resolver, now_ms| resolver.trust_anchors(now_ms));
        let all = all.await.ok_or_else(stopping)?;
        let show = |anchor: &resolver::iterate::AnchorStatus| TrustAnchorStatus {
            zone: anchor.zone.to_ascii(),
            key_tag: anchor.key_tag,
            algorithm: anchor.algorithm,
            state: anchor.state.word().to_owned(),
            since_secs_ago: anchor.age_secs,
            refresh_in_secs: anchor.refresh_in_secs,
        };
        let anchors = all.iter().map(show).collect();
        Ok(Response::TrustAnchors { anchors })
    }
}

fn stopping() -> Failure {
    Failure::new(FailureCode::Unavailable, "the resolver is stopping")
}
