//! [`Asked`]: the shard and the parameters of a call.

use std::sync::Arc;

use axum::extract::{FromRequestParts, RawPathParams};
use axum::http::request::Parts;
use ct::Hash;
use data_encoding::BASE64;

use super::faces::Faces;
use super::refusal::Refusal;
use crate::{Published, ShardReader};

/// Of a call: the shard that its path names, or its parameter `shard`, and the other parameters.
#[derive(Debug)]
pub(super) struct Asked {
    /// None if neither names one.
    pub(super) named: Option<ShardReader>,
    /// Of the path.
    path: Vec<(String, String)>,
    /// As they stood in the query, decoded.
    query: Vec<(String, String)>,
    faces: Arc<Faces>,
}

impl FromRequestParts<Arc<Faces>> for Asked {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, faces: &Arc<Faces>) -> Result<Self, Refusal> {
        let path = RawPathParams::from_request_parts(parts, faces).await;
        let path = path.map_err(Refusal::bad_request)?;
        let owned = |(name, value): (&str, &str)| (name.to_owned(), value.to_owned());
        let path: Vec<_> = path.iter().map(owned).collect();
        let query = form_urlencoded::parse(parts.uri.query().unwrap_or_default().as_bytes());
        let mut asked = Self {
            named: None,
            path,
            query: query.into_owned().collect(),
            faces: Arc::clone(faces),
        };
        let name = asked.step("shard").or_else(|| asked.parameter("shard"));
        asked.named = name.map(|name| faces.shard(name)).transpose()?;
        Ok(asked)
    }
}

impl Asked {
    /// The shard that was named, or that of today.
    pub(super) fn face(&self) -> Result<ShardReader, Refusal> {
        match &self.named {
            Some(face) => Ok(face.clone()),
            None => self.faces.current(),
        }
    }

    /// The newest head of that shard, which is not too old.
    pub(super) fn newest(&self) -> Result<Arc<Published>, Refusal> {
        self.faces.newest(&self.face()?)
    }

    /// A step of the path.
    pub(super) fn step(&self, name: &str) -> Option<&str> {
        find(&self.path, name)
    }

    /// A parameter of the query; the first, if there are several.
    fn parameter(&self, name: &str) -> Option<&str> {
        find(&self.query, name)
    }

    fn required(&self, name: &str) -> Result<&str, Refusal> {
        let value = self.parameter(name);
        value.ok_or_else(|| Refusal::bad_request(format_args!("parameter {name} is missing")))
    }

    /// A decimal number.
    pub(super) fn number(&self, name: &str) -> Result<u64, Refusal> {
        let text = self.required(name)?;
        let digits = text.bytes().all(|byte| byte.is_ascii_digit());
        let number = text.parse().ok().filter(|_| digits);
        number.ok_or_else(|| {
            Refusal::bad_request(format_args!("parameter {name} is no number: {text:?}"))
        })
    }

    /// A hash in base64.
    pub(super) fn hash(&self, name: &str) -> Result<Hash, Refusal> {
        // Clients that do not escape the plus send what decodes to a space, which base64 does not have.
        let text = self.required(name)?.replace(' ', "+");
        let bytes = BASE64.decode(text.as_bytes()).ok();
        let hash = bytes.and_then(|bytes| bytes.try_into().ok()).map(Hash);
        hash.ok_or_else(|| {
            Refusal::bad_request(format_args!(
                "parameter {name} is no base64 of 32 bytes: {text:?}"
            ))
        })
    }
}

fn find<'a>(pairs: &'a [(String, String)], name: &str) -> Option<&'a str> {
    let pair = pairs.iter().find(|(found, _)| found == name);
    pair.map(|(_, value)| value.as_str())
}
