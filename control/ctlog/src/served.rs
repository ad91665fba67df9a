//! [`Served`]: how a public file is served, by this node or by an object store that has a copy.

/// What its contents are, and for how long readers may keep them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Served {
    /// `Content-Type`.
    pub(crate) content_type: &'static str,
    /// `Cache-Control`.
    pub(crate) cache_control: &'static str,
}

/// For what has its contents in its name: a year, and no questions.
const IMMUTABLE: &str = "public, max-age=31536000, immutable";

impl Served {
    /// Tiles of hashes and of entries, full or partial.
    pub(crate) const TILE: Self = Self {
        content_type: "application/octet-stream",
        cache_control: IMMUTABLE,
    };
    /// Certificates that chains name.
    pub(crate) const ISSUER: Self = Self {
        content_type: "application/pkix-cert",
        cache_control: IMMUTABLE,
    };
    /// Checkpoints: heads follow one another in less.
    pub(crate) const CHECKPOINT: Self = Self {
        content_type: "text/plain; charset=utf-8",
        cache_control: "public, max-age=1",
    };
}
