//! Proofs that a log shows an entry, from logs that are read over plain HTTP: the cluster's own, or one on the operator's network.
//!
//! A log that is in the list by HTTPS only is not asked: browsers do not ask either, since it would tell the log who sees what.
//! Whether its heads are consistent with each other is for a monitor to follow; here a head counts if the log has signed it.

use std::collections::BTreeMap;

use ct::{
    Base64, GetSthReply, Hash, HeadError, KeyName, Log, LogAddress, LogSignatureError, Note,
    NoteError, SignedTreeHead, TileId, TreeHead,
};
use pki::Inclusion;
use serde::Deserialize;
use webpki::ALL_VERIFICATION_ALGS;

use super::fetcher::{FetchError, Fetcher};

/// Octets of a checkpoint, a tree head or a proof at most.
const REPLY_BYTES_MAX: usize = 64 << 10;
/// Tiles of a proof at most: two for each level of tiles.
const TILES_MAX: usize = 16;

/// Why there is no proof.
#[derive(Debug, thiserror::Error)]
pub(super) enum ProofError {
    #[error(transparent)]
    Fetch(#[from] FetchError),
    #[error("checkpoint: {0}")]
    Note(#[from] NoteError),
    #[error("the log's name `{0}` is none of a checkpoint")]
    Name(String),
    #[error("tree head: {0}")]
    Head(#[from] HeadError),
    #[error("tree head: {0}")]
    Signature(#[from] LogSignatureError),
    #[error("reply: {0}")]
    Json(#[from] serde_json::Error),
    #[error("a hash of {0} octets")]
    Hash(usize),
    #[error("the timestamp does not say where the entry is")]
    NoIndex,
    #[error("more than {TILES_MAX} tiles")]
    TooManyTiles,
}

/// get-proof-by-hash of RFC 6962 §4.5.
#[derive(Deserialize)]
struct ProofReply {
    leaf_index: u64,
    audit_path: Vec<Base64>,
}

/// Asks a log for its head, and for the proof that a leaf is below it.
pub(super) async fn prove(
    fetcher: &Fetcher,
    log: &Log,
    leaf: &Hash,
    index: Option<u64>,
) -> Result<Inclusion, ProofError> {
    match &log.address {
        LogAddress::Tiled {
            submission_url,
            monitoring_url,
        } => {
            let index = index.ok_or(ProofError::NoIndex)?;
            let head = checkpoint(fetcher, log, submission_url, monitoring_url).await?;
            by_tiles(fetcher, monitoring_url, &head, index).await
        }
        LogAddress::Rfc6962 { url } => by_hash(fetcher, log, url, leaf).await,
    }
}

/// static-ct-api, "Checkpoints": of the log whose name is its submission prefix without scheme and final slash.
async fn checkpoint(
    fetcher: &Fetcher,
    log: &Log,
    submission_url: &str,
    monitoring_url: &str,
) -> Result<TreeHead, ProofError> {
    let origin = submission_url.split_once("://");
    let origin = origin.map_or(submission_url, |(_, origin)| origin);
    let origin = origin.trim_end_matches('/');
    let origin = KeyName::new(origin).ok_or_else(|| ProofError::Name(origin.to_owned()))?;
    let url = below(monitoring_url, "checkpoint");
    let note = Note::parse(&fetcher.get(&url, REPLY_BYTES_MAX).await?)?;
    let signed = SignedTreeHead::from_note(&note, &origin, &log.key, ALL_VERIFICATION_ALGS)?;
    Ok(signed.head)
}

/// Reads one tile after the other, as the proof needs them.
async fn by_tiles(
    fetcher: &Fetcher,
    monitoring_url: &str,
    head: &TreeHead,
    index: u64,
) -> Result<Inclusion, ProofError> {
    let mut tiles = BTreeMap::<TileId, Vec<u8>>::new();
    while tiles.len() <= TILES_MAX {
        let fetched = |tile| tiles.get(&tile).ok_or(tile);
        let missing = match Inclusion::from_tiles(head.size, head.root, index, fetched) {
            Ok(inclusion) => return Ok(inclusion),
            Err(missing) => missing,
        };
        tiles.insert(missing, tile(fetcher, monitoring_url, missing).await?);
    }
    Err(ProofError::TooManyTiles)
}

/// A partial tile may be gone when a full one has taken its place (static-ct-api, "Partial tiles").
async fn tile(
    fetcher: &Fetcher,
    monitoring_url: &str,
    tile: TileId,
) -> Result<Vec<u8>, FetchError> {
    let bytes = |tile: TileId| usize::from(tile.width()) * Hash::BYTES;
    let get = async |tile: TileId| {
        let url = below(monitoring_url, &tile.to_string());
        fetcher.get(&url, bytes(tile)).await
    };
    match get(tile).await {
        Err(FetchError::Status(_)) if !tile.is_full() => {
            let mut full = get(tile.full()).await?;
            full.truncate(bytes(tile));
            Ok(full)
        }
        fetched => fetched,
    }
}

async fn by_hash(
    fetcher: &Fetcher,
    log: &Log,
    url: &str,
    leaf: &Hash,
) -> Result<Inclusion, ProofError> {
    let call = below(url, "ct/v1/get-sth");
    let head: GetSthReply = serde_json::from_slice(&fetcher.get(&call, REPLY_BYTES_MAX).await?)?;
    let signed = SignedTreeHead::try_from(&head)?;
    signed.verify(&log.key, ALL_VERIFICATION_ALGS)?;
    let TreeHead { size, root, .. } = signed.head;
    let hash = data_encoding::BASE64.encode(&leaf.0);
    let hash = hash
        .replace('+', "%2B")
        .replace('/', "%2F")
        .replace('=', "%3D");
    let call = format!("ct/v1/get-proof-by-hash?hash={hash}&tree_size={size}");
    let proof = match fetcher.get(&below(url, &call), REPLY_BYTES_MAX).await {
        // RFC 6962 §4: what a log does not find it refuses. Until its maximum merge delay is over it may.
        Err(FetchError::Status(status)) if status.is_client_error() => {
            return Ok(Inclusion::Pending);
        }
        reply => serde_json::from_slice::<ProofReply>(&reply?)?,
    };
    let path = proof.audit_path.into_iter().map(|hash| {
        let octets = hash.0.len();
        let hash = hash.0.try_into().map(Hash);
        hash.map_err(|_| ProofError::Hash(octets))
    });
    Ok(Inclusion::Proof {
        size,
        root,
        index: proof.leaf_index,
        path: path.collect::<Result<_, _>>()?,
    })
}

fn below(url: &str, path: &str) -> String {
    format!("{}/{path}", url.trim_end_matches('/'))
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use aws_lc_rs::rand::SystemRandom;
    use aws_lc_rs::signature::{ECDSA_P256_SHA256_ASN1_SIGNING, EcdsaKeyPair, KeyPair as _};
    use axum::Router;
    use axum::http::StatusCode;
    use ct::{DigitallySigned, HashSource, LogList, TiledTree, prove_inclusion};
    use data_encoding::BASE64;

    use super::*;

    const SIZE: u64 = 300;
    const INDEX: u64 = 270;

    /// What a log serves, by path.
    type Files = BTreeMap<String, Vec<u8>>;

    /// A tree of different leaves.
    struct Tree(Vec<Hash>);

    impl HashSource for Tree {
        type Error = core::convert::Infallible;

        fn hash(&mut self, level: u8, index: u64) -> Result<Hash, Self::Error> {
            let Some(below) = level.checked_sub(1) else {
                return Ok(self.0[usize::try_from(index).unwrap()]);
            };
            let (left, right) = (
                self.hash(below, 2 * index)?,
                self.hash(below, 2 * index + 1)?,
            );
            Ok(Hash::node(&left, &right))
        }
    }

    /// A log with its list entry, and what it serves.
    fn log(address: &str) -> (Log, Files, Hash) {
        let key = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_ASN1_SIGNING).unwrap();
        // SubjectPublicKeyInfo of a point on P-256 (RFC 5480 §2).
        let head = BASE64
            .decode(b"MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgA=")
            .unwrap();
        let spki = [&head[..], key.public_key().as_ref()].concat();
        let id = Hash::of(&spki);
        let list = format!(
            r#"{{"operators": [{{"name": "o", "tiled_logs": [{{"description": "d", "mmd": 60,
            "log_id": "{}", "key": "{}", "submission_url": "https://log.example/a/",
            "monitoring_url": "{address}"}}]}}]}}"#,
            BASE64.encode(&id.0),
            BASE64.encode(&spki)
        );
        let list = LogList::parse(list.as_bytes()).unwrap();
        let log = list.get(&id).unwrap().clone();

        let leaves = (0..SIZE).map(|leaf| Hash::leaf(&leaf.to_be_bytes()));
        let mut tree = Tree(leaves.collect());
        let Ok(root) = ct::root(&mut tree, SIZE);
        let head = TreeHead {
            size: SIZE,
            root,
            timestamp_ms: 5,
        };
        let signature = key
            .sign(&SystemRandom::new(), &head.signed_input())
            .unwrap();
        let signature = DigitallySigned::ecdsa(signature.as_ref().to_vec()).unwrap();
        let signed = SignedTreeHead { head, signature };
        let note = signed.to_note(&KeyName::new("log.example/a").unwrap(), &id);
        let mut files = Files::from([("/checkpoint".to_owned(), note.to_string().into_bytes())]);
        let mut tiled = TiledTree::new();
        for leaf in &tree.0 {
            let full =
                |tile: TileId, bytes: &[u8]| _ = files.insert(format!("/{tile}"), bytes.to_vec());
            tiled.push(*leaf, full).unwrap();
        }
        let octets = |hashes: &[Hash]| hashes.iter().flat_map(|hash| hash.0).collect::<Vec<_>>();
        files.insert("/tile/0/001.p/44".to_owned(), octets(&tree.0[256..]));
        let Ok(first) = tree.hash(8, 0);
        files.insert("/tile/1/000.p/1".to_owned(), octets(&[first]));

        let leaf = tree.0[usize::try_from(INDEX).unwrap()];
        let path = prove_inclusion(&mut tree, INDEX, SIZE).unwrap();
        let path: Vec<_> = path.iter().map(|hash| Base64(hash.0.to_vec())).collect();
        let proof = serde_json::json!({ "leaf_index": INDEX, "audit_path": path });
        let sth = serde_json::to_vec(&GetSthReply::from(&signed)).unwrap();
        files.insert("/ct/v1/get-sth".to_owned(), sth);
        let hash = BASE64.encode(&leaf.0);
        let hash = hash
            .replace('+', "%2B")
            .replace('/', "%2F")
            .replace('=', "%3D");
        let call = format!("/ct/v1/get-proof-by-hash?hash={hash}&tree_size={SIZE}");
        files.insert(call, proof.to_string().into_bytes());
        (log, files, leaf)
    }

    /// Has the log served, and asks it.
    async fn ask(
        change: impl FnOnce(&mut Log, &mut Files),
        index: Option<u64>,
    ) -> Result<bool, ProofError> {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = format!("http://{}", listener.local_addr().unwrap());
        let (mut log, mut files, leaf) = log(&address);
        change(&mut log, &mut files);
        if let LogAddress::Rfc6962 { url } = &mut log.address {
            url.clone_from(&address);
        }
        let files = Arc::new(files);
        let serve = move |uri: axum::http::Uri| async move {
            files
                .get(&uri.to_string())
                .cloned()
                .ok_or(StatusCode::BAD_REQUEST)
        };
        let server =
            tokio::spawn(async { axum::serve(listener, Router::new().fallback(serve)).await });
        let fetcher = Fetcher::new(1_000, config::Networks::default());
        let inclusion = prove(&fetcher, &log, &leaf, index).await;
        server.abort();
        Ok(match inclusion? {
            Inclusion::Proof {
                size,
                root,
                index,
                path,
            } => ct::verify_inclusion(&leaf, index, size, &path, &root).is_ok(),
            _ => false,
        })
    }

    fn by_rfc6962(log: &mut Log) {
        log.address = LogAddress::Rfc6962 { url: String::new() };
    }

    #[tokio::test]
    async fn leaf_is_proven_by_either_api() {
        assert!(ask(|_, _| {}, Some(INDEX)).await.unwrap());
        assert!(ask(|log, _| by_rfc6962(log), None).await.unwrap());
        assert!(matches!(
            ask(|_, _| {}, None).await,
            Err(ProofError::NoIndex)
        ));
        let grows = |_: &mut Log, files: &mut Files| {
            let mut partial = files.remove("/tile/0/001.p/44").unwrap();
            partial.resize(256 * Hash::BYTES, 7);
            files.insert("/tile/0/001".to_owned(), partial);
        };
        assert!(ask(grows, Some(INDEX)).await.unwrap());
        // Not yet in the tree.
        assert!(!ask(|_, _| {}, Some(SIZE)).await.unwrap());
        let forgets = |log: &mut Log, files: &mut Files| {
            by_rfc6962(log);
            files.retain(|path, _| !path.contains("get-proof"));
        };
        assert!(!ask(forgets, None).await.unwrap());
    }

    #[tokio::test]
    async fn head_of_another_log_and_tampered_tile_prove_nothing() {
        let (_, others, _) = log("http://127.0.0.1");
        let head = |path: &'static str| {
            let other = others[path].clone();
            move |files: &mut Files| _ = files.insert(path.to_owned(), other)
        };
        let checkpoint = head("/checkpoint");
        let asked = ask(|_, files| checkpoint(files), Some(INDEX)).await;
        assert!(matches!(asked, Err(ProofError::Head(_))), "{asked:?}");
        let sth = head("/ct/v1/get-sth");
        let sth = |log: &mut Log, files: &mut Files| {
            by_rfc6962(log);
            sth(files);
        };
        assert!(matches!(
            ask(sth, None).await,
            Err(ProofError::Signature(_))
        ));
        let tamper = |_: &mut Log, files: &mut Files| {
            files.get_mut("/tile/0/001.p/44").unwrap()[0] ^= 1;
        };
        assert!(!ask(tamper, Some(INDEX)).await.unwrap());
    }
}
