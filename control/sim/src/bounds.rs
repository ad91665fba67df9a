//! How much a replica may keep: what bounds its memory.

use consensus::{Configuration, Summary};

/// Earlier proposals that a replica keeps at a place.
const EARLIER_MAX: usize = 8;
/// Lanes of a client that a replica keeps a request for.
const LANES_MAX: usize = 64;

/// What there is too much of.
pub(crate) fn excess(summary: &Summary, configuration: &Configuration) -> Option<String> {
    let window = usize::try_from(configuration.window()).unwrap_or(usize::MAX);
    // A slot speaks of three batches at most: accepted, prepared, decided; and of earlier ones of a few views. A few
    // more are on their way.
    let batches_max = (3 + EARLIER_MAX) * window + 16;
    let requests_max = LANES_MAX * configuration.members().count();
    let found = [
        ("slots", summary.slots, window),
        ("batches", summary.batches, batches_max),
        ("requests", summary.pending, requests_max),
    ];
    let over = found.into_iter().find(|(_, count, max)| count > max);
    over.map(|(what, count, max)| format!("{count} {what}, at most {max} are allowed"))
}
