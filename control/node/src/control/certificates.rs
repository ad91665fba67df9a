//! Certificates for the command line: judged, and by what.

use super::{Control, Failure, apart};
use crate::admin::{CertificateChain, Response};
use crate::certs::Materials;

impl Control {
    pub(super) async fn validate_certificate(
        &self,
        chain: CertificateChain,
    ) -> Result<Response, Failure> {
        let (request, lists) = chain.into_request()?;
        let verdict = self.0.judge.judge(request, lists).await?;
        Ok(Response::CertificateVerdict(Box::new(verdict)))
    }

    /// Reads what certificates are judged by again; gives why it is not taken.
    pub(super) async fn reload_materials(
        &self,
        fresh: config::Ct,
    ) -> Result<Option<String>, Failure> {
        let config = fresh.clone();
        Ok(match apart(move || Materials::read(&fresh)).await? {
            Ok(materials) => {
                self.0.judge.replace(materials, &config);
                None
            }
            Err(error) => {
                tracing::error!(%error, "certificates are judged as before");
                Some(error.to_string())
            }
        })
    }
}
