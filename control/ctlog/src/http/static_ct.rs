//! `static-ct-api`: checkpoint, tiles and issuers, as files that never change but for the checkpoint.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::State;
use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE, ETAG, IF_NONE_MATCH};
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use ct::{Hash, TileId};
use data_encoding::HEXLOWER;

use super::faces::Faces;
use super::query::Asked;
use super::refusal::{Refusal, blocking};
use crate::ReadError;
use crate::served::Served;

/// `/<shard>/checkpoint`.
pub(super) async fn checkpoint(asked: Asked, headers: HeaderMap) -> Result<Response, Refusal> {
    let newest = asked.newest()?;
    note(newest.checkpoint.to_vec(), &headers)
}

/// `/<shard>/witnessed-checkpoint`: the newest that an outside witness has cosigned, which the newest of all seldom is.
pub(super) async fn witnessed_checkpoint(
    State(faces): State<Arc<Faces>>,
    asked: Asked,
    headers: HeaderMap,
) -> Result<Response, Refusal> {
    let face = asked.face()?;
    let outsiders = faces.outsiders.as_ref();
    let newest = outsiders.and_then(|outsiders| outsiders.newest(&face.spec().window.name));
    let newest = newest.ok_or_else(|| Refusal::not_found("no outside witness has cosigned"))?;
    note(newest.into_bytes(), &headers)
}

/// A note, unless the client has it.
fn note(note: Vec<u8>, headers: &HeaderMap) -> Result<Response, Refusal> {
    let etag = format!("\"{}\"", Hash::of(&note));
    let known = headers.get_all(IF_NONE_MATCH).iter();
    let mut known = known.filter_map(|value| value.to_str().ok());
    let is_known = known.any(|tags| tags.split(',').any(|tag| is_tag(tag.trim(), &etag)));
    let etag = HeaderValue::from_str(&etag).map_err(Refusal::failed)?;
    let [kind, caching] = headers_of(Served::CHECKPOINT);
    let caching = [caching, (ETAG, etag)];
    if is_known {
        return Ok((StatusCode::NOT_MODIFIED, caching).into_response());
    }
    Ok((caching, [kind], Body::from(note)).into_response())
}

/// RFC 9110 §13.1.2: the comparison is weak, and a star is any.
fn is_tag(tag: &str, etag: &str) -> bool {
    tag == "*" || tag.strip_prefix("W/").unwrap_or(tag) == etag
}

/// `/<shard>/tile/…`.
pub(super) async fn tile(asked: Asked) -> Result<Response, Refusal> {
    let face = asked.face()?;
    let path = format!("tile/{}", asked.step("tile").unwrap_or_default());
    // A path that names no tile names nothing.
    let tile = TileId::parse(&path).map_err(Refusal::not_found)?;
    file(Served::TILE, path, move || face.tile(tile)).await
}

/// `/<shard>/issuer/<SHA-256 in lower-case hexadecimal>`.
pub(super) async fn issuer(asked: Asked) -> Result<Response, Refusal> {
    let face = asked.face()?;
    let name = asked.step("fingerprint").unwrap_or_default();
    let bytes = HEXLOWER.decode(name.as_bytes()).ok();
    let fingerprint = bytes.and_then(|bytes| bytes.try_into().ok()).map(Hash);
    let fingerprint = fingerprint.ok_or_else(|| {
        Refusal::not_found("an issuer is named by 64 digits of lower-case hexadecimal")
    })?;
    file(Served::ISSUER, format!("issuer/{name}"), move || {
        face.issuer(&fingerprint)
    })
    .await
}

/// What is there stays as it is.
async fn file(
    served: Served,
    path: String,
    read: impl FnOnce() -> Result<Option<Vec<u8>>, ReadError> + Send + 'static,
) -> Result<Response, Refusal> {
    let bytes = blocking(|| read().map_err(Refusal::failed)).await?;
    let bytes = bytes.ok_or_else(|| Refusal::not_found(format_args!("there is no {path}")))?;
    Ok((headers_of(served), Body::from(bytes)).into_response())
}

fn headers_of(served: Served) -> [(HeaderName, HeaderValue); 2] {
    [
        (CONTENT_TYPE, served.content_type),
        (CACHE_CONTROL, served.cache_control),
    ]
    .map(|(name, value)| (name, HeaderValue::from_static(value)))
}
