//! How much a replica may keep.

use consensus::{Configuration, Summary};

/// What there is too much of.
pub(crate) fn excess(_: &Summary, _: &Configuration) -> Option<String> {
    None
}
