//! `ct.copies`: object stores that get a copy of the log's public files.

use std::fmt;
use std::path::{Path, PathBuf};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::SecretError;
use crate::ct_monitor::read_secret;
use crate::error::Problem;
use crate::number::number;

/// Lengths of a bucket's name.
const BUCKET_BYTES_MIN: usize = 3;
const BUCKET_BYTES_MAX: usize = 63;

/// An object store that speaks S3 and keeps a copy of checkpoint, tiles and issuers of each shard for readers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct CtCopy {
    /// Bucket, and a prefix in it: `s3://bucket/prefix`. Shards are below it.
    #[schemars(regex(pattern = "^s3://[a-z0-9.-]{3,63}(/[A-Za-z0-9._-]+)*$"))]
    pub url: String,
    /// The store, with http:// or https://. Left out: Amazon's in `region`.
    #[serde(default)]
    pub endpoint: Option<String>,
    /// What requests are signed for; most stores but Amazon's take any.
    #[serde(default = "region")]
    pub region: String,
    /// File with the access key's name, relative to the folder of the configuration file.
    #[serde(deserialize_with = "crate::zone::file")]
    pub access_key_file: PathBuf,
    /// File with the access key's secret, relative to the folder of the configuration file.
    #[serde(deserialize_with = "crate::zone::file")]
    pub secret_key_file: PathBuf,
    /// A shard's copy gets a new checkpoint at most so often, in milliseconds: each costs some requests.
    #[serde(
        default = "interval_ms",
        deserialize_with = "number::<100, 3600000, _, _>"
    )]
    #[schemars(range(min = 100, max = 3_600_000))]
    pub interval_ms: u32,
    /// Whether the store writes on condition (`If-Match`), so that several nodes may share a prefix. Without it each node
    /// needs its own.
    #[serde(default = "conditional_writes")]
    pub conditional_writes: bool,
}

/// An access key, out of its files.
#[derive(Clone, PartialEq, Eq)]
pub struct CtCopyKey {
    /// Its name.
    pub access: String,
    /// What signs.
    pub secret: String,
}

fn region() -> String {
    "us-east-1".to_owned()
}

fn interval_ms() -> u32 {
    5_000
}

fn conditional_writes() -> bool {
    true
}

impl CtCopy {
    /// Bucket and prefix. The prefix may be empty, and has no slash at either end.
    #[must_use]
    pub fn bucket_and_prefix(&self) -> (&str, &str) {
        let path = self.url.strip_prefix("s3://").unwrap_or(&self.url);
        path.split_once('/').unwrap_or((path, ""))
    }

    /// The access key.
    ///
    /// # Errors
    /// A file cannot be read, or has no key.
    pub fn key(&self) -> Result<CtCopyKey, SecretError> {
        Ok(CtCopyKey {
            access: read_key(&self.access_key_file)?,
            secret: read_key(&self.secret_key_file)?,
        })
    }

    pub(crate) fn resolve_relative_to(&mut self, folder: &Path) {
        for file in [&mut self.access_key_file, &mut self.secret_key_file] {
            *file = folder.join(&*file);
        }
    }
}

impl fmt::Debug for CtCopyKey {
    /// Keeps secrets out of logs.
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("CtCopyKey(..)")
    }
}

fn read_key(path: &Path) -> Result<String, SecretError> {
    let bad = |message: String| SecretError {
        path: path.to_owned(),
        message,
    };
    let bytes = read_secret(path, 1).map_err(bad)?;
    let text = String::from_utf8(bytes).ok();
    let text = text.filter(|text| text.bytes().all(|byte| byte.is_ascii_graphic()));
    text.ok_or_else(|| bad("expected one word of printable ASCII".to_owned()))
}

/// What one key alone cannot say.
pub(crate) fn check(copies: &[CtCopy]) -> Result<(), Problem> {
    for (index, copy) in copies.iter().enumerate() {
        let key = |key: &str| format!("ct.copies[{index}].{key}");
        if !is_place(&copy.url) {
            let message = format!(
                "`{}`: expected s3://bucket or s3://bucket/prefix, without a slash at its end",
                copy.url
            );
            return Err(Problem::new(key("url"), message));
        }
        if let Some(endpoint) = &copy.endpoint {
            crate::ct_monitor::check_url(key("endpoint"), endpoint)?;
        }
        let is_word = |byte| matches!(byte, b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-');
        if copy.region.is_empty() || !copy.region.bytes().all(is_word) {
            let message = format!("`{}`: expected letters, digits and -", copy.region);
            return Err(Problem::new(key("region"), message));
        }
        let is_same = |other: &CtCopy| other.url == copy.url && other.endpoint == copy.endpoint;
        if copies[..index].iter().any(is_same) {
            let message = format!("{} is listed twice; expected one entry a place", copy.url);
            return Err(Problem::new(key("url"), message));
        }
    }
    Ok(())
}

/// Whether it is a bucket and steps that are the same in each encoding of URLs.
fn is_place(url: &str) -> bool {
    let Some(path) = url.strip_prefix("s3://") else {
        return false;
    };
    let mut steps = path.split('/');
    let bucket = steps.next().unwrap_or_default();
    let of_bucket = |byte| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'.' | b'-');
    let of_step = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-');
    let is_step = |step: &str| !matches!(step, "" | "." | "..") && step.bytes().all(of_step);
    (BUCKET_BYTES_MIN..=BUCKET_BYTES_MAX).contains(&bucket.len())
        && bucket.bytes().all(of_bucket)
        && steps.all(is_step)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Config;

    fn parse(copies: &str) -> Result<Config, crate::ConfigError> {
        let key = "0123456789abcdef".repeat(4);
        let member = format!("{{key: {key}, address: '192.0.2.1:4853'}}");
        let text = format!(
            "consensus: {{members: [{member}]}}\nct: {{log_id: x, roots: r, copies: [{copies}]}}"
        );
        Config::parse(&text, Path::new("nexus.yaml"))
    }

    #[test]
    fn copy_needs_a_place_and_files_of_a_key_and_has_defaults_for_the_rest() {
        let copy = "{url: 's3://logs/ct/a', access_key_file: id, secret_key_file: secret}";
        let mut copy = parse(copy).unwrap().ct.copies.remove(0);
        copy.resolve_relative_to(Path::new("/etc/nexus"));
        assert_eq!(copy.bucket_and_prefix(), ("logs", "ct/a"));
        assert_eq!(copy.access_key_file, Path::new("/etc/nexus/id"));
        assert_eq!(copy.secret_key_file, Path::new("/etc/nexus/secret"));
        assert_eq!(
            (copy.endpoint.as_deref(), &*copy.region, copy.interval_ms),
            (None, "us-east-1", 5_000)
        );
        assert!(copy.conditional_writes);
        assert!(parse("{url: 's3://logs', access_key_file: id}").is_err());
        assert!(parse("{url: 's3://logs', secret_key_file: ''}").is_err());
    }

    #[test]
    fn what_names_no_place_names_its_key() {
        let files = "access_key_file: id, secret_key_file: secret";
        for url in [
            "https://logs",
            "s3://",
            "s3://lo",
            "s3://Logs",
            "s3://logs/",
            "s3://logs//a",
            "s3://logs/../a",
            "s3://logs/a b",
            "s3://logs/a?b",
            "s3://logs/ä",
        ] {
            let error = parse(&format!("{{url: '{url}', {files}}}")).unwrap_err();
            assert_eq!(error.key.as_deref(), Some("ct.copies[0].url"), "{url}");
        }
        let good = format!("{{url: 's3://logs', {files}}}");
        for (copies, key) in [
            (format!("{good}, {good}"), "ct.copies[1].url"),
            (
                format!("{{url: 's3://logs', endpoint: 'ftp://a', {files}}}"),
                "ct.copies[0].endpoint",
            ),
            (
                format!("{{url: 's3://logs', region: 'a/b', {files}}}"),
                "ct.copies[0].region",
            ),
        ] {
            let error = parse(&copies).unwrap_err();
            assert_eq!(error.key.as_deref(), Some(key), "{copies}");
        }
        // Two stores may each have a bucket of this name.
        parse(&format!(
            "{good}, {{url: 's3://logs', endpoint: 'http://store:9000', {files}}}"
        ))
        .unwrap();
    }

    #[test]
    fn key_is_a_word_of_each_file_and_is_not_shown() {
        let folder = tempfile::tempdir().unwrap();
        let file = |name: &str, text: &str| {
            let path = folder.path().join(name);
            std::fs::write(&path, text).unwrap();
            path
        };
        let mut copy = parse("{url: 's3://logs', access_key_file: a, secret_key_file: b}")
            .unwrap()
            .ct
            .copies
            .remove(0);
        assert!(copy.key().is_err());
        copy.access_key_file = file("id", "AKIA0\n");
        copy.secret_key_file = file("secret", " s3cr+t/ \n");
        let key = copy.key().unwrap();
        assert_eq!((&*key.access, &*key.secret), ("AKIA0", "s3cr+t/"));
        assert_eq!(format!("{key:?}"), "CtCopyKey(..)");
        for text in ["", "\n", "two words", "s\u{e4}"] {
            copy.secret_key_file = file("secret", text);
            let error = copy.key().unwrap_err();
            assert_eq!(error.path, copy.secret_key_file, "{text:?}");
        }
    }
}
