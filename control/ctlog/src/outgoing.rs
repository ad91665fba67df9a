//! Connections that this crate opens: to witnesses and object stores.

use axum::body::HttpBody;
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;

/// A client of HTTP/1.1 for bodies of this type, with its connections. Clones share them.
pub(crate) type Outgoing<B> = Client<HttpsConnector<HttpConnector>, B>;

/// A client that believes the servers this configuration believes.
pub(crate) fn client<B>(tls: rustls::ClientConfig) -> Outgoing<B>
where
    B: HttpBody + Send,
    B::Data: Send,
{
    let connector = HttpsConnectorBuilder::new()
        .with_tls_config(tls)
        .https_or_http()
        .enable_http1()
        .build();
    Client::builder(TokioExecutor::new()).build(connector)
}

/// An error and what caused it, unless it says so itself: of a client, the first says little.
pub(crate) fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        let said = cause.to_string();
        if !text.contains(&said) {
            text += &format!(": {said}");
        }
        source = cause.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use std::io;

    use super::*;

    #[derive(Debug, thiserror::Error)]
    #[error("{text}")]
    struct Outer {
        text: &'static str,
        source: io::Error,
    }

    #[test]
    fn cause_is_said_once() {
        for (text, said) in [
            ("no reply", "no reply: it hangs"),
            ("no reply, because it hangs", "no reply, because it hangs"),
        ] {
            let source = io::Error::other("it hangs");
            assert_eq!(chain(&Outer { text, source }), said);
        }
    }
}
