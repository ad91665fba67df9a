//! What RFC 6962 §4.3 to §4.8 reads, made from published tiles.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use axum::body::Bytes;
use axum::extract::State;
use axum::response::Response;
use ct::{Base64, GetSthReply, Hash, RangeError, Roots, TILE_WIDTH, TimestampedEntry};
use serde::Serialize;

use super::faces::{Faces, published};
use super::query::Asked;
use super::refusal::{Refusal, blocking, json, json_text, written_json};
use crate::{ReaderProveError, ShardReader};

/// Bytes of entries of one reply, before base64, unless it is a single one: entries may have more than 100 KiB with their chains.
const REPLY_BYTES_MAX: usize = 1 << 20;

#[derive(Serialize)]
struct Consistency {
    consistency: Vec<Base64>,
}

#[derive(Serialize)]
struct Inclusion {
    leaf_index: u64,
    audit_path: Vec<Base64>,
}

#[derive(Serialize)]
struct Entry {
    leaf_input: Base64,
    extra_data: Base64,
}

#[derive(Serialize)]
struct Entries {
    entries: Vec<Entry>,
}

#[derive(Serialize)]
struct EntryAndProof {
    #[serde(flatten)]
    entry: Entry,
    audit_path: Vec<Base64>,
}

#[derive(Serialize)]
struct RootCertificates {
    certificates: Vec<Base64>,
}

/// The last reply to get-roots, which takes some hundred KiB, with the roots that it is of: they change only when the members
/// decide so.
#[derive(Debug, Default)]
pub(super) struct RootsReply(Mutex<Option<(Arc<Roots>, Bytes)>>);

impl RootsReply {
    /// Written anew if these are others. While they are kept, no others can lie where they do.
    fn of(&self, roots: Arc<Roots>) -> Bytes {
        let mut last = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match &*last {
            Some((same, text)) if Arc::ptr_eq(same, &roots) => text.clone(),
            _ => {
                let certificates = roots.iter().map(|(_, der)| Base64(der.to_vec()));
                let certificates = certificates.collect();
                let text = Bytes::from(json_text(&RootCertificates { certificates }));
                *last = Some((roots, text.clone()));
                text
            }
        }
    }
}

/// RFC 6962 §4.3.
pub(super) async fn get_sth(asked: Asked) -> Result<Response, Refusal> {
    let newest = asked.newest()?;
    Ok(json(&GetSthReply::from(&newest.signed)))
}

/// RFC 6962 §4.4.
pub(super) async fn get_sth_consistency(asked: Asked) -> Result<Response, Refusal> {
    let (first, second) = (asked.number("first")?, asked.number("second")?);
    read(&asked, move |face, size| {
        check_size("second", second, size)?;
        let proof = face.prove_consistency(first, second).map_err(unproven)?;
        let consistency = base64(proof);
        Ok(json(&Consistency { consistency }))
    })
    .await
}

/// RFC 6962 §4.5.
pub(super) async fn get_proof_by_hash(asked: Asked) -> Result<Response, Refusal> {
    let (hash, tree_size) = (asked.hash("hash")?, asked.number("tree_size")?);
    read(&asked, move |face, size| {
        check_size("tree_size", tree_size, size)?;
        let found = face.find_leaf(&hash).map_err(Refusal::unread)?;
        let found = found.filter(|index| *index < tree_size);
        let leaf_index = found.ok_or_else(|| {
            Refusal::not_found(format_args!("no such leaf in a tree of {tree_size}"))
        })?;
        let path = face.prove_inclusion(leaf_index, tree_size);
        let audit_path = base64(path.map_err(unproven)?);
        Ok(json(&Inclusion {
            leaf_index,
            audit_path,
        }))
    })
    .await
}

/// RFC 6962 §4.6. Of what is asked for, it gives as much as the data tile of the first entry has, and no more than a reply may
/// hold: a client that goes on from there gets the rest.
pub(super) async fn get_entries(asked: Asked) -> Result<Response, Refusal> {
    let (start, end) = (asked.number("start")?, asked.number("end")?);
    if start > end {
        let reason = format_args!("start {start} is beyond end {end}");
        return Err(Refusal::bad_request(reason));
    }
    read(&asked, move |face, size| {
        if start >= size {
            let range = RangeError::Leaf { index: start, size };
            return Err(Refusal::bad_request(range));
        }
        let width = u64::from(TILE_WIDTH);
        let end = end.saturating_add(1).min((start / width + 1) * width);
        let entries = face.entries(start..end).map_err(Refusal::failed)?;
        let entries = render(face, &entries)?;
        Ok(json(&Entries { entries }))
    })
    .await
}

/// RFC 6962 §4.7.
pub(super) async fn get_roots(
    State(faces): State<Arc<Faces>>,
    _: Asked,
) -> Result<Response, Refusal> {
    let roots = Arc::clone(&faces.agreed.borrow().roots);
    blocking(move || Ok(written_json(faces.roots_reply.of(roots)))).await
}

/// RFC 6962 §4.8.
pub(super) async fn get_entry_and_proof(asked: Asked) -> Result<Response, Refusal> {
    let (index, tree_size) = (asked.number("leaf_index")?, asked.number("tree_size")?);
    read(&asked, move |face, size| {
        check_size("tree_size", tree_size, size)?;
        let path = face.prove_inclusion(index, tree_size).map_err(unproven)?;
        let entries = face.entries(index..index + 1).map_err(Refusal::failed)?;
        let entry = render(face, &entries)?.pop();
        let missing = || Refusal::failed(format_args!("entry {index} is not there"));
        Ok(json(&EntryAndProof {
            entry: entry.ok_or_else(missing)?,
            audit_path: base64(path),
        }))
    })
    .await
}

/// Reads of the shard that was asked for, of which `work` also gets the published size.
async fn read(
    asked: &Asked,
    work: impl FnOnce(&ShardReader, u64) -> Result<Response, Refusal> + Send + 'static,
) -> Result<Response, Refusal> {
    let face = asked.face()?;
    let size = published(&face)?.size();
    blocking(move || work(&face, size)).await
}

/// That a tree has been published which a client knows.
fn check_size(name: &str, asked: u64, size: u64) -> Result<(), Refusal> {
    if asked <= size {
        return Ok(());
    }
    Err(Refusal::bad_request(format_args!(
        "{name} {asked} is beyond the tree, which has {size} leaves"
    )))
}

/// Entries as get-entries gives them, each issuer of them read once: the first, and as many as a reply holds.
fn render(face: &ShardReader, entries: &[TimestampedEntry]) -> Result<Vec<Entry>, Refusal> {
    let mut issuers = BTreeMap::new();
    let (mut rendered, mut bytes) = (Vec::with_capacity(entries.len()), 0);
    for entry in entries {
        for fingerprint in entry.entry().chain.iter() {
            if !issuers.contains_key(fingerprint) {
                let issuer = face.issuer(fingerprint).map_err(Refusal::failed)?;
                issuers.extend(issuer.map(|der| (*fingerprint, der)));
            }
        }
        let extra_data = entry.extra_data(|fingerprint| issuers.get(fingerprint));
        let (leaf_input, extra_data) = (entry.leaf_input(), extra_data.map_err(Refusal::failed)?);
        bytes += leaf_input.len() + extra_data.len();
        if bytes > REPLY_BYTES_MAX && !rendered.is_empty() {
            break;
        }
        rendered.push(Entry {
            leaf_input: Base64(leaf_input),
            extra_data: Base64(extra_data),
        });
    }
    Ok(rendered)
}

/// A proof was asked for that cannot be, or the store failed.
fn unproven(error: ReaderProveError) -> Refusal {
    match error {
        ct::ProveError::Range(range) => Refusal::bad_request(range),
        ct::ProveError::Source(error) => Refusal::failed(error),
    }
}

fn base64(hashes: Vec<Hash>) -> Vec<Base64> {
    let hashes = hashes.into_iter();
    hashes.map(|hash| Base64(hash.0.to_vec())).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reply_with_the_roots_is_written_once_for_each_set_of_them() {
        let reply = RootsReply::default();
        let [first, second] = [(); 2].map(|()| Arc::new(Roots::default()));
        let place = |roots: &Arc<Roots>| reply.of(Arc::clone(roots)).as_ptr();
        let written = place(&first);
        assert_eq!(place(&first), written);
        let last = reply.of(Arc::clone(&first));
        assert_ne!(place(&second), last.as_ptr());
        assert_eq!(last, &br#"{"certificates":[]}"#[..]);
    }
}
