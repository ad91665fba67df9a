//! [`Tally`]: what is counted here, beside the program's own counters, and how both are shown.

use std::fmt::Write as _;
use std::sync::atomic::{AtomicU64, Ordering};

use bpf_redirect::cert_validator::{Counts, Status};

/// Name without prefix, help, and samples by their labels.
type Family = (&'static str, &'static str, Vec<(&'static str, u64)>);

/// Numbers since the start.
#[derive(Debug, Default)]
pub struct Tally {
    /// Verdicts that control gave: valid, invalid, unknown.
    verdicts: [AtomicU64; 3],
    /// Connections with a certificate that is judged bad.
    pub alerts: AtomicU64,
    /// From the first sight of those certificates to the lines in the log, in nanoseconds together.
    pub alert_ns: AtomicU64,
    /// Questions that control did not answer.
    pub unanswered: AtomicU64,
    /// Chains that were given up: something was lost, or there was no room.
    pub dropped: AtomicU64,
    /// Records that could not be read.
    pub unreadable: AtomicU64,
    /// Libraries that are watched.
    pub libraries: AtomicU64,
}

impl Tally {
    /// One more of a number.
    pub fn add(&self, number: impl FnOnce(&Self) -> &AtomicU64) {
        number(self).fetch_add(1, Ordering::Relaxed);
    }

    /// One more verdict.
    pub fn add_verdict(&self, status: Status) {
        let [valid, invalid, unknown] = &self.verdicts;
        let counter = match status {
            Status::Valid => valid,
            Status::Invalid => invalid,
            Status::Unknown => unknown,
        };
        counter.fetch_add(1, Ordering::Relaxed);
    }

    /// Everything in Prometheus text form.
    pub fn render(&self, counts: &Counts) -> String {
        let mut text = String::new();
        for (name, help, samples) in seen(counts).into_iter().chain(self.judged()) {
            let name = format!("nexus_certwatch_{name}");
            let _ = writeln!(text, "# HELP {name} {help}\n# TYPE {name} counter");
            for (labels, value) in samples {
                let _ = writeln!(text, "{name}{labels} {value}");
            }
        }
        let name = "nexus_certwatch_libraries";
        let help = format!("# HELP {name} Libraries that are watched.");
        let libraries = self.libraries.load(Ordering::Relaxed);
        let _ = writeln!(text, "{help}\n# TYPE {name} gauge\n{name} {libraries}");
        text
    }

    fn judged(&self) -> Vec<Family> {
        let one = |number: &AtomicU64| vec![("", number.load(Ordering::Relaxed))];
        let [valid, invalid, unknown] = &self.verdicts;
        let [valid, invalid, unknown] =
            [valid, invalid, unknown].map(|number| number.load(Ordering::Relaxed));
        vec![
            (
                "verdicts_total",
                "Verdicts of nexus-control.",
                vec![
                    (r#"{status="valid"}"#, valid),
                    (r#"{status="invalid"}"#, invalid),
                    (r#"{status="unknown"}"#, unknown),
                ],
            ),
            (
                "unanswered_total",
                "Questions that nexus-control did not answer.",
                one(&self.unanswered),
            ),
            (
                "alerts_total",
                "Connections with a certificate that is judged bad.",
                one(&self.alerts),
            ),
            (
                "alert_nanoseconds_total",
                "From the sight of those certificates to the alerts, together.",
                one(&self.alert_ns),
            ),
            (
                "dropped_chains_total",
                "Chains given up before they were judged.",
                one(&self.dropped),
            ),
            (
                "unreadable_records_total",
                "Records that are none.",
                one(&self.unreadable),
            ),
        ]
    }
}

/// What the program in the kernel counts.
fn seen(counts: &Counts) -> Vec<Family> {
    vec![
        (
            "certificates_total",
            "Certificates of peers seen in handshakes, by whether the leaf's verdict was known.",
            vec![
                (r#"{verdict="known"}"#, counts.seen_known),
                (
                    r#"{verdict="asked"}"#,
                    counts.seen.saturating_sub(counts.seen_known),
                ),
            ],
        ),
        (
            "ignored_certificates_total",
            "Certificates parsed that are no peer's, or are not judged.",
            vec![
                (r#"{reason="outside"}"#, counts.ignored_outside),
                (r#"{reason="own"}"#, counts.ignored_own),
                (r#"{reason="large"}"#, counts.ignored_large),
                (r#"{reason="client"}"#, counts.ignored_client),
            ],
        ),
        (
            "streams_total",
            "Connections whose beginning was read off the wire.",
            vec![("", counts.streams)],
        ),
        (
            "segments_total",
            "TCP segments that were not let out, by why.",
            vec![
                (r#"{action="held"}"#, counts.segments_held),
                (r#"{action="blocked"}"#, counts.segments_blocked),
            ],
        ),
        (
            "lost_records_total",
            "Records for which the ring buffer had no room.",
            vec![("", counts.lost)],
        ),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_number_has_a_line_of_its_own() {
        let tally = Tally::default();
        tally.add(|tally| &tally.alerts);
        for (status, times) in [
            (Status::Valid, 2),
            (Status::Invalid, 3),
            (Status::Unknown, 4),
        ] {
            (0..times).for_each(|_| tally.add_verdict(status));
        }
        let counts = Counts {
            seen: 10,
            seen_known: 4,
            segments_held: 5,
            lost: 6,
            ..Counts::default()
        };
        let text = tally.render(&counts);
        for line in [
            r#"nexus_certwatch_certificates_total{verdict="known"} 4"#,
            r#"nexus_certwatch_certificates_total{verdict="asked"} 6"#,
            r#"nexus_certwatch_segments_total{action="held"} 5"#,
            "nexus_certwatch_lost_records_total 6",
            "nexus_certwatch_alerts_total 1",
            r#"nexus_certwatch_verdicts_total{status="valid"} 2"#,
            r#"nexus_certwatch_verdicts_total{status="invalid"} 3"#,
            r#"nexus_certwatch_verdicts_total{status="unknown"} 4"#,
        ] {
            assert!(text.lines().any(|own| own == line), "{line} in\n{text}");
        }
    }
}
