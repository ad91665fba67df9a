//! [`Anchors`]: the authorities that paths may end in.

use rustls_pki_types::{CertificateDer, TrustAnchor};

use ct::{Roots, RootsError};

/// Trusted authorities: public ones, of which the rules for public certificates are demanded, and private ones.
#[derive(Debug, Clone, Default)]
pub struct Anchors {
    anchors: Vec<TrustAnchor<'static>>,
    origins: Vec<Origin>,
}

/// The certificate that an anchor was taken from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Origin {
    pub(crate) der: Vec<u8>,
    pub(crate) is_public: bool,
}

/// Why authorities are not taken.
#[derive(Debug, thiserror::Error)]
pub enum AnchorsError {
    /// Not a text of certificates.
    #[error(transparent)]
    Roots(#[from] RootsError),
    /// A certificate that path validation cannot use.
    #[error("root {fingerprint}: {error}")]
    Unusable {
        /// SHA-256 of the certificate.
        fingerprint: ct::Hash,
        /// What is wrong.
        error: webpki::Error,
    },
}

impl Anchors {
    /// Adds every certificate of a PEM text. Of a public authority the Baseline Requirements and timestamps of logs are
    /// demanded, as browsers do; one of the operator's own may issue as it likes.
    ///
    /// # Errors
    /// If one is not a certificate. Those before it are then added.
    pub fn add_pem(&mut self, text: &[u8], is_public: bool) -> Result<(), AnchorsError> {
        let roots = Roots::from_pem(text)?;
        for (fingerprint, der) in roots.iter() {
            self.add(der, is_public).map_err(|error| {
                let fingerprint = *fingerprint;
                AnchorsError::Unusable { fingerprint, error }
            })?;
        }
        Ok(())
    }

    /// Adds one certificate.
    ///
    /// # Errors
    /// If it is none.
    pub fn add(&mut self, der: &[u8], is_public: bool) -> Result<(), webpki::Error> {
        let certificate = CertificateDer::from(der);
        let anchor = webpki::anchor_from_trusted_cert(&certificate)?.to_owned();
        let der = der.to_vec();
        self.anchors.push(anchor);
        self.origins.push(Origin { der, is_public });
        Ok(())
    }

    /// How many there are.
    #[must_use]
    pub fn count(&self) -> usize {
        self.anchors.len()
    }

    pub(crate) fn anchors(&self) -> &[TrustAnchor<'static>] {
        &self.anchors
    }

    pub(crate) fn origin(&self, index: usize) -> Option<&Origin> {
        self.origins.get(index)
    }
}
