//! Calls of the log's HTTP interface that come by the command line's socket: the same paths, without HTTP.

use std::net::Ipv4Addr;

use axum::body::{Body, to_bytes};
use axum::extract::ConnectInfo;
use axum::http::{Method, Request};
use ctlog::http::Client;
use prometheus_client::collector::Collector;
use tower::ServiceExt as _;

use super::LogService;
use crate::admin::{CtReply, Failure, FailureCode};

/// Most bytes of a reply: what goes into one line of the admin protocol.
const REPLY_BYTES_MAX: usize = 16 << 20;

impl LogService {
    /// Answers one call, as over HTTP.
    ///
    /// # Errors
    /// It is no request, or its reply is not text.
    pub(crate) async fn call(&self, path: &str, body: Option<String>) -> Result<CtReply, Failure> {
        let bad = |error: &dyn std::fmt::Display| {
            Failure::new(FailureCode::BadRequest, format!("{path}: {error}"))
        };
        let method = match body {
            Some(_) => Method::POST,
            None => Method::GET,
        };
        let request = Request::builder().method(method).uri(path);
        let request = request.header("content-type", "application/json");
        let request = request
            .extension(ConnectInfo(Client((Ipv4Addr::LOCALHOST, 0).into())))
            .body(Body::from(body.unwrap_or_default()))
            .map_err(|error| bad(&error))?;
        let router = ctlog::http::router(self.faces.clone());
        let response = match router.oneshot(request).await {
            Ok(response) => response,
            Err(never) => match never {},
        };
        let status = response.status().as_u16();
        let bytes = to_bytes(response.into_body(), REPLY_BYTES_MAX).await;
        let bytes = bytes.map_err(|error| bad(&error))?;
        let body = String::from_utf8(bytes.into()).map_err(|_| bad(&"the reply is no text"))?;
        Ok(CtReply { status, body })
    }

    /// What is counted of it.
    pub(crate) fn collectors(&self) -> Vec<Box<dyn Collector>> {
        let mut all: Vec<Box<dyn Collector>> = vec![
            Box::new(self.handle.metrics().clone()),
            Box::new(self.faces.meter()),
            Box::new(self.copies.clone()),
        ];
        if let Some(outsiders) = &self.outsiders {
            all.push(Box::new(outsiders.clone()));
        }
        all
    }
}
