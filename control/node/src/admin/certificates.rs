//! Certificates to be judged, as they stand in a request.

use std::sync::Arc;

use ct::Base64;
use pki::crl::{Crl, CrlError};
use serde::{Deserialize, Serialize};

use super::{Failure, FailureCode};

/// A chain, and what is known of the handshake that it came by.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CertificateChain {
    /// DER in base64, the certificate to be judged first.
    pub chain: Vec<Base64>,
    /// Domain or address that it should be for.
    #[serde(default)]
    pub host: Option<String>,
    /// TCP port of the server: with it, TLSA records of the host count.
    #[serde(default)]
    pub port: Option<u16>,
    /// OCSP response of the handshake, DER in base64.
    #[serde(default)]
    pub ocsp: Option<Base64>,
    /// SignedCertificateTimestampList of the handshake's extension, in base64.
    #[serde(default)]
    pub scts: Option<Base64>,
    /// Revocation lists at hand, DER in base64.
    #[serde(default)]
    pub lists: Vec<Base64>,
}

impl CertificateChain {
    /// What is to be judged, and the lists to judge it by.
    ///
    /// # Errors
    /// If a list is none.
    pub fn into_request(self) -> Result<(pki::Request, Vec<Arc<Crl>>), Failure> {
        let lists = self.lists.into_iter().map(|list| {
            let parsed = Crl::parse(list.0).map(Arc::new);
            parsed
                .map_err(|error: CrlError| Failure::new(FailureCode::BadRequest, error.to_string()))
        });
        let lists = lists.collect::<Result<_, _>>()?;
        let request = pki::Request {
            chain: self.chain.into_iter().map(|der| der.0).collect(),
            host: self.host,
            port: self.port,
            ocsp: self.ocsp.map(|response| response.0),
            sct_list: self.scts.map(|list| list.0),
            purpose: pki::Purpose::Server,
        };
        Ok((request, lists))
    }
}
