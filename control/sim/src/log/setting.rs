//! What all logs of a run have in common: the shard, its key, names, and the certificates that are submitted.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use consensus::{ClusterId, Digest, NodeId};
use ct::der::{tag, write_header};
use ct::{EntryKind, KeyKind, KeyName, LogEntry, Shard, VerifierKey};
use ctlog::{Mesh, Settings, ShardSettings, ShardSpec, load_or_create_shard_key};
use ed25519_zebra::{SigningKey, VerificationKeyBytes};
use ledger::{CtCosignerKey, CtShard, CtSubmission};

use crate::random::Random;

/// The shard.
pub(crate) const SHARD: &str = "sim";
/// Roots that all accept: what was submitted has been checked elsewhere.
pub(crate) const ROOTS: Digest = Digest([7; 32]);

/// Seconds of the shard's window, in which all certificates of [`certificate`] end.
const WINDOW: (i64, i64) = (1_767_225_600, 1_798_761_600);

/// The common part. Its folder holds the shard's key and indices, and goes with it.
#[derive(Debug)]
pub(crate) struct Setting {
    folder: tempfile::TempDir,
    runtime: tokio::runtime::Runtime,
    key_file: PathBuf,
    /// The moment of the beginning, for clocks of the logs.
    begun: Instant,
    pub(crate) name: KeyName,
    pub(crate) spec: ShardSpec,
    seed: u64,
}

impl Setting {
    pub(crate) fn new(seed: u64) -> Self {
        let folder = tempfile::tempdir().expect("a place for small files");
        let key_file = folder.path().join("shard.key");
        std::fs::write(&key_file, shard_secret(seed)).expect("a place for small files");
        let key = load_or_create_shard_key(&key_file).expect("the key just written");
        let runtime = tokio::runtime::Builder::new_current_thread().build();
        let (start, end) = WINDOW;
        let window = Shard {
            name: SHARD.to_owned(),
            start,
            end,
        };
        Self {
            folder,
            // Nothing runs on it: all nodes see every entry, so that none fetches any.
            runtime: runtime.expect("an idle runtime"),
            key_file,
            begun: Instant::now(),
            name: key_name("log.example"),
            spec: ShardSpec {
                window,
                origin: key_name(&format!("log.example/{SHARD}")),
                key,
            },
            seed,
        }
    }

    /// When this is, for a log.
    pub(crate) fn moment(&self, now_us: u64) -> Instant {
        self.begun + Duration::from_micros(now_us)
    }

    /// Of the log of one process.
    pub(crate) fn settings(&self, process: &str, node: NodeId, mesh: Arc<dyn Mesh>) -> Settings {
        Settings {
            name: self.name.clone(),
            node: node.to_string(),
            shards: vec![ShardSettings {
                spec: self.spec.clone(),
                key_file: Some(self.key_file.clone()),
            }],
            folder: self.folder.path().join(process).join("public"),
            state_folder: self.folder.path().join(process).join("state"),
            publish_gap: Settings::PUBLISH_GAP,
            folder_gap: Settings::FOLDER_GAP,
            partial_keep: Settings::PARTIAL_KEEP,
            mesh,
            runtime: self.runtime.handle().clone(),
        }
    }

    /// The seed of a node's cosigner.
    pub(crate) fn cosigner_seed(&self, node: NodeId) -> [u8; 32] {
        drawn(self.seed, &format!("cosigner {node}"))
    }

    /// The public half, under the node's name.
    pub(crate) fn cosigner(&self, node: NodeId) -> VerifierKey {
        let key = SigningKey::from(self.cosigner_seed(node));
        let name = key_name(&format!("{}/{node}", self.name));
        let public = VerificationKeyBytes::from(&key).into();
        VerifierKey::new(name, KeyKind::Cosignature, public)
    }

    /// What a node says of its key to the ledger.
    pub(crate) fn cosigner_key(&self, cluster: ClusterId, node: NodeId) -> CtCosignerKey {
        let key = SigningKey::from(self.cosigner_seed(node));
        CtCosignerKey {
            key: VerificationKeyBytes::from(&key).into(),
            proof: key.sign(&CtCosignerKey::statement(cluster, node)).into(),
        }
    }

    /// The shard as members ask for it.
    pub(crate) fn shard(&self) -> CtShard {
        CtShard {
            name: SHARD.into(),
            origin: self.spec.origin.as_str().into(),
            start: self.spec.window.start,
            end: self.spec.window.end,
            spki: self.spec.key.spki().into(),
        }
    }
}

/// Bytes that the seed and a word decide.
fn drawn(seed: u64, label: &str) -> [u8; 32] {
    let mut random = Random::new(seed, label);
    let mut bytes = [0; 32];
    for part in bytes.chunks_mut(8) {
        part.copy_from_slice(&random.bits().to_be_bytes());
    }
    bytes
}

/// A private key on P-256 (SEC 1 §C.4), the same for the same seed.
fn shard_secret(seed: u64) -> Vec<u8> {
    const PRIME256V1: [u8; 8] = [0x2a, 0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07];
    let mut secret = drawn(seed, "shard");
    secret[0] = 0; // Below the order of the curve.
    let curve = element(tag::OID, &[&PRIME256V1]);
    element(
        tag::SEQUENCE,
        &[
            &element(tag::INTEGER, &[&[1]]),
            &element(tag::OCTET_STRING, &[&secret]),
            &element(tag::context_constructed(0), &[&curve]),
        ],
    )
}

pub(crate) fn key_name(name: &str) -> KeyName {
    KeyName::new(name).expect("a name of letters and dots")
}

/// Certificates as a request of the ledger: without any above them, which would all be the same.
pub(crate) fn submission(certificates: &[Arc<[u8]>]) -> CtSubmission {
    let entries = certificates.iter().map(|der| LogEntry {
        kind: EntryKind::Certificate(Arc::clone(der)),
        chain: [].into(),
    });
    CtSubmission {
        shard: SHARD.into(),
        roots: ROOTS,
        issuers: Vec::new(),
        entries: entries.collect(),
    }
}

/// A certificate that says little but its number, and is signed by nobody.
pub(crate) fn certificate(serial: u64) -> Arc<[u8]> {
    let algorithm = element(tag::SEQUENCE, &[&element(tag::OID, &[&[0x2b, 0x65, 0x70]])]);
    let name = element(tag::SEQUENCE, &[]);
    let [begin, end] =
        ["250601000000Z", "260601000000Z"].map(|time| element(tag::UTC_TIME, &[time.as_bytes()]));
    let key = element(tag::BIT_STRING, &[&[0; 33]]);
    let tbs = element(
        tag::SEQUENCE,
        &[
            &element(
                tag::context_constructed(0),
                &[&element(tag::INTEGER, &[&[2]])],
            ),
            &element(tag::INTEGER, &[&[1], &serial.to_be_bytes()]),
            &algorithm,
            &name,
            &element(tag::SEQUENCE, &[&begin, &end]),
            &name,
            &element(tag::SEQUENCE, &[&algorithm, &key]),
        ],
    );
    let signature = element(tag::BIT_STRING, &[&[0; 65]]);
    element(tag::SEQUENCE, &[&tbs, &algorithm, &signature]).into()
}

fn element(tag: u8, parts: &[&[u8]]) -> Vec<u8> {
    let (mut out, contents) = (Vec::new(), parts.concat());
    write_header(tag, contents.len(), &mut out);
    out.extend(contents);
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn certificate_is_one_and_ends_within_the_window() {
        let der = certificate(u64::MAX);
        let read = ct::Certificate::parse(&der).expect("a certificate");
        assert!((WINDOW.0..WINDOW.1).contains(&read.validity().not_after));
        assert_ne!(der, certificate(7));
    }
}
