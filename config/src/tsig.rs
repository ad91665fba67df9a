//! `tsig`: a secret shared with the primaries of a zone.

use std::path::PathBuf;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A secret shared with primaries, by which transfers are signed (RFC 8945).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Tsig {
    /// Name of the key, the same at the primaries. Kept in lower case with the final dot.
    #[serde(deserialize_with = "crate::zone::name")]
    pub name: String,
    /// By which it signs.
    #[serde(default)]
    pub algorithm: TsigAlgorithm,
    /// File with the secret in base64, relative to the folder of the configuration file.
    #[serde(deserialize_with = "crate::zone::file")]
    pub secret_file: PathBuf,
}

/// By which transfers are signed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum TsigAlgorithm {
    /// HMAC with SHA-256.
    #[default]
    #[serde(rename = "hmac-sha256")]
    HmacSha256,
    /// HMAC with SHA-384.
    #[serde(rename = "hmac-sha384")]
    HmacSha384,
    /// HMAC with SHA-512.
    #[serde(rename = "hmac-sha512")]
    HmacSha512,
}
