//! [`Certificate`]: an X.509 certificate as slices of its DER (RFC 5280 §4.1).
//!
//! The frame is read strictly, so that it can be cut and put together again octet by octet. What stands in it is read lazily:
//! names are never opened, and an extension only when somebody asks for it, because a log takes certificates that break rules.

use crate::der::{DerError, Element, Reader, tag, write_header};
use crate::extension::{Extension, each};
use crate::hash::Hash;
use crate::oid::Oid;
use crate::time::read_time;

/// Extensions of one certificate at most. Those of public authorities have about ten.
pub const EXTENSIONS_MAX: usize = 64;

/// Why bytes are not a certificate.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CertificateError {
    /// Not DER, or other elements than RFC 5280 §4.1 has.
    #[error(transparent)]
    Der(#[from] DerError),
    /// RFC 5280 §4.1.1.2: what the issuer signed and what stands beside the signature differ.
    #[error(
        "signature algorithm {inner} within and {outer} beside the signed part, or other parameters"
    )]
    UnequalAlgorithms {
        /// In the TBSCertificate.
        inner: String,
        /// Beside the signature.
        outer: String,
    },
    /// RFC 5280 §4.2: an extension occurs once.
    #[error("extension {id} twice")]
    DuplicateExtension {
        /// Its identifier.
        id: String,
    },
    /// RFC 5280 §4.1.2.9: a list of extensions has at least one.
    #[error("an empty list of extensions")]
    NoExtension,
    /// More extensions than [`EXTENSIONS_MAX`].
    #[error("more than {EXTENSIONS_MAX} extensions")]
    TooManyExtensions,
}

/// When a certificate is valid; both ends belong to it (RFC 5280 §4.1.2.5).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Validity {
    /// In seconds since 1970.
    pub not_before: i64,
    /// In seconds since 1970.
    pub not_after: i64,
}

/// A key and what it is used with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PublicKey<'a> {
    /// SubjectPublicKeyInfo, whole.
    pub spki: &'a [u8],
    /// AlgorithmIdentifier without its header, the form of [`rustls_pki_types::AlgorithmIdentifier`].
    pub algorithm: &'a [u8],
    /// The key's octets.
    pub octets: &'a [u8],
}

impl<'a> PublicKey<'a> {
    /// Reads a SubjectPublicKeyInfo that is all of `spki`.
    pub(crate) fn parse(spki: &'a [u8]) -> Result<Self, DerError> {
        let mut reader = Reader::new(spki);
        let key = Self::read(&mut reader)?;
        reader.end()?;
        Ok(key)
    }

    fn read(reader: &mut Reader<'a>) -> Result<Self, DerError> {
        let spki = reader.element(tag::SEQUENCE)?;
        let mut fields = spki.open();
        let algorithm = read_algorithm(&mut fields)?.contents;
        let octets = fields.whole_octets()?;
        fields.end()?;
        Ok(Self {
            spki: spki.raw,
            algorithm,
            octets,
        })
    }

    /// SHA-256 of the SubjectPublicKeyInfo: `issuer_key_hash` of RFC 6962 §3.2.
    #[must_use]
    pub fn hash(&self) -> Hash {
        Hash::of(self.spki)
    }
}

/// The signed part, in the pieces that a log cuts it into. Put together again by [`Tbs::assemble`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Tbs<'a> {
    /// Version, serial number and signature algorithm.
    head: &'a [u8],
    pub(crate) issuer: &'a [u8],
    /// Validity, subject, key and unique identifiers.
    middle: &'a [u8],
    pub(crate) extensions: Vec<Extension<'a>>,
}

impl Tbs<'_> {
    /// The DER form. Without extensions their list is left out, as RFC 5280 §4.1.2.9 has it.
    pub(crate) fn assemble(&self) -> Vec<u8> {
        let list_bytes = self
            .extensions
            .iter()
            .map(|extension| extension.raw.len())
            .sum();
        let mut list = Vec::with_capacity(list_bytes + 8);
        if list_bytes > 0 {
            let mut list_header = Vec::new();
            write_header(tag::SEQUENCE, list_bytes, &mut list_header);
            write_header(
                tag::context_constructed(3),
                list_header.len() + list_bytes,
                &mut list,
            );
            list.extend_from_slice(&list_header);
            for extension in &self.extensions {
                list.extend_from_slice(extension.raw);
            }
        }
        let pieces = [self.head, self.issuer, self.middle, &list];
        let bytes = pieces.iter().map(|piece| piece.len()).sum();
        let mut tbs = Vec::with_capacity(bytes + 4);
        write_header(tag::SEQUENCE, bytes, &mut tbs);
        for piece in pieces {
            tbs.extend_from_slice(piece);
        }
        tbs
    }
}

/// A certificate or precertificate. What it says is not judged.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Certificate<'a> {
    der: &'a [u8],
    tbs_der: &'a [u8],
    tbs: Tbs<'a>,
    serial: &'a [u8],
    algorithm: &'a [u8],
    validity: Validity,
    subject: &'a [u8],
    key: PublicKey<'a>,
    signature: &'a [u8],
}

impl<'a> Certificate<'a> {
    /// Reads the whole of `der`.
    ///
    /// # Errors
    /// If it is not one certificate, its two signature algorithms differ, or an extension occurs twice.
    pub fn parse(der: &'a [u8]) -> Result<Self, CertificateError> {
        let mut fields = Reader::new(der).only(tag::SEQUENCE)?.open();
        let tbs = fields.element(tag::SEQUENCE)?;
        let outer = read_algorithm(&mut fields)?;
        let signature = fields.whole_octets()?;
        fields.end()?;
        let certificate = Self::read(der, tbs, signature, read_extensions)?;
        // After all else: only algorithms in a certificate that is otherwise whole are compared.
        if certificate.algorithm != outer.contents {
            return Err(CertificateError::UnequalAlgorithms {
                inner: Oid::of_algorithm(certificate.algorithm)?.to_string(),
                outer: Oid::of_algorithm(outer.contents)?.to_string(),
            });
        }
        Ok(certificate)
    }

    /// Reads a certificate that some log took, for whoever looks for names in it: with any number of extensions, also the same
    /// again, and whatever its two signature algorithms are. Else one flaw would hide all that it says.
    ///
    /// # Errors
    /// If it is not one certificate.
    pub fn parse_logged(der: &'a [u8]) -> Result<Self, CertificateError> {
        let mut fields = Reader::new(der).only(tag::SEQUENCE)?.open();
        let tbs = fields.element(tag::SEQUENCE)?;
        read_algorithm(&mut fields)?;
        let signature = fields.whole_octets()?;
        fields.end()?;
        Self::read(der, tbs, signature, read_all_extensions)
    }

    /// [`Self::parse_logged`] of a TBSCertificate that is all of `tbs`: what a log has of a precertificate (RFC 6962 §3.2). The
    /// whole is then the signed part, and the signature is empty.
    ///
    /// # Errors
    /// If it is not one TBSCertificate.
    pub fn parse_tbs(tbs: &'a [u8]) -> Result<Self, CertificateError> {
        let element = Reader::new(tbs).only(tag::SEQUENCE)?;
        Self::read(tbs, element, &[], read_all_extensions)
    }

    fn read(
        der: &'a [u8],
        tbs: Element<'a>,
        signature: &'a [u8],
        read_extensions: fn(&mut Reader<'a>) -> Result<Vec<Extension<'a>>, CertificateError>,
    ) -> Result<Self, CertificateError> {
        let start = tbs.open();
        let mut fields = start;
        fields.optional(tag::context_constructed(0))?; // Version: a log takes any.
        let serial = fields.integer()?.contents;
        let algorithm = read_algorithm(&mut fields)?.contents;
        let head = fields.passed();
        let issuer = fields.element(tag::SEQUENCE)?.raw;
        let after_issuer = fields;
        let validity = read_validity(&mut fields)?;
        let subject = fields.element(tag::SEQUENCE)?.raw;
        let key = PublicKey::read(&mut fields)?;
        fields.optional(tag::context(1))?; // Unique identifiers of issuer and subject.
        fields.optional(tag::context(2))?;
        let middle = fields.passed_since(&after_issuer);
        let extensions = read_extensions(&mut fields)?;
        fields.end()?;
        Ok(Self {
            der,
            tbs_der: tbs.raw,
            tbs: Tbs {
                head,
                issuer,
                middle,
                extensions,
            },
            serial,
            algorithm,
            validity,
            subject,
            key,
            signature,
        })
    }

    /// The whole, as it was read.
    #[must_use]
    pub fn der(&self) -> &'a [u8] {
        self.der
    }

    /// SHA-256 of the whole.
    #[must_use]
    pub fn fingerprint(&self) -> Hash {
        Hash::of(self.der)
    }

    /// TBSCertificate: what the issuer signed.
    #[must_use]
    pub fn tbs(&self) -> &'a [u8] {
        self.tbs_der
    }

    pub(crate) fn tbs_pieces(&self) -> &Tbs<'a> {
        &self.tbs
    }

    /// Contents of the serial number, big-endian. It can be negative, zero or longer than allowed.
    #[must_use]
    pub fn serial(&self) -> &'a [u8] {
        self.serial
    }

    /// AlgorithmIdentifier of the signature without its header, the form of [`rustls_pki_types::AlgorithmIdentifier`].
    #[must_use]
    pub fn signature_algorithm(&self) -> &'a [u8] {
        self.algorithm
    }

    /// The signature's octets.
    #[must_use]
    pub fn signature(&self) -> &'a [u8] {
        self.signature
    }

    /// Name of the issuer, in DER.
    #[must_use]
    pub fn issuer(&self) -> &'a [u8] {
        self.tbs.issuer
    }

    /// Name of the subject, in DER.
    #[must_use]
    pub fn subject(&self) -> &'a [u8] {
        self.subject
    }

    /// RFC 5280 §3.2: issuer and subject are the same.
    #[must_use]
    pub fn is_self_issued(&self) -> bool {
        self.subject == self.issuer()
    }

    /// When it is valid. The end can lie before the beginning.
    #[must_use]
    pub fn validity(&self) -> Validity {
        self.validity
    }

    /// Key of the subject.
    #[must_use]
    pub fn public_key(&self) -> PublicKey<'a> {
        self.key
    }

    /// In their order; each identifier once, except in [`Self::parse_logged`].
    #[must_use]
    pub fn extensions(&self) -> &[Extension<'a>] {
        &self.tbs.extensions
    }

    /// The first extension with this identifier.
    #[must_use]
    pub fn extension(&self, id: Oid<'_>) -> Option<&Extension<'a>> {
        self.extensions()
            .iter()
            .find(|extension| extension.id == id)
    }
}

/// AlgorithmIdentifier: an identifier and any parameters.
fn read_algorithm<'a>(reader: &mut Reader<'a>) -> Result<Element<'a>, DerError> {
    let element = reader.element(tag::SEQUENCE)?;
    let mut fields = element.open();
    Oid::read(&mut fields)?;
    if !fields.is_at_end() {
        fields.any()?;
    }
    fields.end()?;
    Ok(element)
}

fn read_validity(reader: &mut Reader<'_>) -> Result<Validity, DerError> {
    let mut fields = reader.sequence()?;
    let validity = Validity {
        not_before: read_time(&mut fields)?,
        not_after: read_time(&mut fields)?,
    };
    fields.end()?;
    Ok(validity)
}

fn read_extensions<'a>(reader: &mut Reader<'a>) -> Result<Vec<Extension<'a>>, CertificateError> {
    let Some(wrapper) = reader.optional(tag::context_constructed(3))? else {
        return Ok(Vec::new());
    };
    let mut list = wrapper.open().only(tag::SEQUENCE)?.open();
    let mut extensions: Vec<Extension<'a>> = Vec::with_capacity(12);
    while !list.is_at_end() {
        if extensions.len() == EXTENSIONS_MAX {
            return Err(CertificateError::TooManyExtensions);
        }
        let extension = Extension::read(&mut list)?;
        if extensions.iter().any(|earlier| earlier.id == extension.id) {
            return Err(CertificateError::DuplicateExtension {
                id: extension.id.to_string(),
            });
        }
        extensions.push(extension);
    }
    if extensions.is_empty() {
        return Err(CertificateError::NoExtension);
    }
    Ok(extensions)
}

fn read_all_extensions<'a>(
    reader: &mut Reader<'a>,
) -> Result<Vec<Extension<'a>>, CertificateError> {
    let Some(wrapper) = reader.optional(tag::context_constructed(3))? else {
        return Ok(Vec::new());
    };
    let list = wrapper.open().only(tag::SEQUENCE)?;
    Ok(each(list, Extension::read)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pieces_of_any_certificate_make_what_was_signed() {
        let made = rcgen::generate_simple_self_signed(["example.com".to_owned()]).unwrap();
        let sample = made.cert.der();
        assert!(Certificate::parse(sample).is_ok());
        bolero::check!().with_type::<(u16, u8, Vec<u8>)>().for_each(
            |(place, removed, inserted)| {
                let mut bytes = sample.to_vec();
                let start = usize::from(*place) % bytes.len();
                let end = bytes.len().min(start + usize::from(*removed % 4));
                bytes.splice(start..end, inserted.iter().copied().take(4));
                for bytes in [&bytes, inserted] {
                    if let Ok(certificate) = Certificate::parse(bytes) {
                        assert_eq!(certificate.tbs_pieces().assemble(), certificate.tbs());
                    }
                }
            },
        );
    }
}
