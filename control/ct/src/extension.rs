//! [`Extension`], and what the extensions of a [`Certificate`] say (RFC 5280 §4.2, RFC 6962 §3.3, RFC 7633).
//!
//! Each is decoded when it is asked for: `None` if the certificate lacks it, an error if its value is not of its syntax.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use crate::certificate::Certificate;
use crate::der::{DerError, Element, Reader, tag};
use crate::oid::Oid;

/// One extension.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Extension<'a> {
    /// Its identifier.
    pub id: Oid<'a>,
    /// Whether who does not know it must refuse the certificate.
    pub is_critical: bool,
    /// DER of its value.
    pub value: &'a [u8],
    /// The whole Extension.
    pub(crate) raw: &'a [u8],
    /// Of the value in the certificate.
    offset: usize,
}

impl<'a> Extension<'a> {
    /// Reads one from the front of a list.
    ///
    /// # Errors
    /// If something else stands there.
    pub fn read(reader: &mut Reader<'a>) -> Result<Self, DerError> {
        let element = reader.element(tag::SEQUENCE)?;
        let mut fields = element.open();
        let id = Oid::read(&mut fields)?;
        let is_critical = fields.boolean_or_false()?;
        let value = fields.element(tag::OCTET_STRING)?;
        fields.end()?;
        Ok(Self {
            id,
            is_critical,
            value: value.contents,
            raw: element.raw,
            offset: value.offset,
        })
    }

    /// The one element that the value consists of.
    ///
    /// # Errors
    /// If it is another, or something follows.
    pub fn open(&self, expected: u8) -> Result<Element<'a>, DerError> {
        Reader::at(self.value, self.offset).only(expected)
    }
}

/// RFC 5280 §4.2.1.9.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct BasicConstraints {
    /// Whether the subject may issue certificates.
    pub is_ca: bool,
    /// How many certificates of authorities may stand between it and an end entity, those that are self-issued not counted.
    pub path_length: Option<u32>,
}

/// RFC 5280 §4.2.1.3: bit 0 of the text is the highest of these.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct KeyUsage(pub u16);

impl KeyUsage {
    /// digitalSignature.
    pub const DIGITAL_SIGNATURE: u16 = 1 << 15;
    /// keyCertSign.
    pub const CERTIFICATE_SIGNING: u16 = 1 << 10;
    /// cRLSign.
    pub const CRL_SIGNING: u16 = 1 << 9;

    /// Whether the bit is set.
    #[must_use]
    pub fn has(self, bit: u16) -> bool {
        self.0 & bit != 0
    }
}

/// An alternative name of the subject (RFC 5280 §4.2.1.6).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AlternativeName<'a> {
    /// A domain, possibly with a wildcard, as it was written.
    Dns(&'a str),
    /// An address.
    Ip(IpAddr),
    /// A name of another kind.
    Other {
        /// Number of its kind: 1 e-mail, 4 directory name, 6 URI.
        kind: u8,
        /// DER of the name without its header.
        value: &'a [u8],
    },
}

/// Where more is to be had about the issuer (RFC 5280 §4.2.2.1). URLs as they were written.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct AuthorityInformation<'a> {
    /// OCSP responders.
    pub ocsp_urls: Vec<&'a str>,
    /// Certificates of the issuer.
    pub issuer_urls: Vec<&'a str>,
}

const URI: u8 = 6;

impl<'a> Certificate<'a> {
    fn opened(&self, id: Oid<'_>, expected: u8) -> Result<Option<Element<'a>>, DerError> {
        let extension = self.extension(id);
        extension
            .map(|extension| extension.open(expected))
            .transpose()
    }

    /// Basic constraints.
    ///
    /// # Errors
    /// If the value is not of its syntax.
    pub fn basic_constraints(&self) -> Result<Option<BasicConstraints>, DerError> {
        let Some(element) = self.opened(Oid::BASIC_CONSTRAINTS, tag::SEQUENCE)? else {
            return Ok(None);
        };
        let mut fields = element.open();
        let is_ca = fields.boolean_or_false()?;
        let has_length = !fields.is_at_end();
        let path_length = has_length.then(|| fields.small_integer()).transpose()?;
        fields.end()?;
        Ok(Some(BasicConstraints { is_ca, path_length }))
    }

    /// Key usage.
    ///
    /// # Errors
    /// If the value is not of its syntax.
    pub fn key_usage(&self) -> Result<Option<KeyUsage>, DerError> {
        let Some(element) = self.opened(Oid::KEY_USAGE, tag::BIT_STRING)? else {
            return Ok(None);
        };
        match element.contents {
            [0..8, bits @ ..] if bits.len() <= 2 => {
                let first = bits.first().copied().unwrap_or_default();
                let second = bits.get(1).copied().unwrap_or_default();
                Ok(Some(KeyUsage(u16::from_be_bytes([first, second]))))
            }
            _ => Err(element.invalid("KeyUsage")),
        }
    }

    /// Purposes of the key.
    ///
    /// # Errors
    /// If the value is not of its syntax.
    pub fn purposes(&self) -> Result<Option<Vec<Oid<'a>>>, DerError> {
        let Some(element) = self.opened(Oid::EXTENDED_KEY_USAGE, tag::SEQUENCE)? else {
            return Ok(None);
        };
        each(element, Oid::read).map(Some)
    }

    /// RFC 6962 §3.1: whether the key signs precertificates only, and its issuer the final certificates.
    ///
    /// # Errors
    /// If the extended key usage is not of its syntax.
    pub fn is_precertificate_signing(&self) -> Result<bool, DerError> {
        let purposes = self.purposes()?.unwrap_or_default();
        Ok(purposes.contains(&Oid::PURPOSE_PRECERTIFICATE_SIGNING))
    }

    /// Alternative names of the subject.
    ///
    /// # Errors
    /// If the value is not of its syntax.
    pub fn alternative_names(&self) -> Result<Option<Vec<AlternativeName<'a>>>, DerError> {
        let Some(element) = self.opened(Oid::SUBJECT_ALT_NAME, tag::SEQUENCE)? else {
            return Ok(None);
        };
        each(element, |names| alternative_name(&names.any()?)).map(Some)
    }

    /// Policies under which the certificate was issued (RFC 5280 §4.2.1.4), without their qualifiers.
    ///
    /// # Errors
    /// If the value is not of its syntax.
    pub fn policies(&self) -> Result<Vec<Oid<'a>>, DerError> {
        let Some(element) = self.opened(Oid::CERTIFICATE_POLICIES, tag::SEQUENCE)? else {
            return Ok(Vec::new());
        };
        each(element, |policies| Oid::read(&mut policies.sequence()?))
    }

    /// Identifier of the issuer's key.
    ///
    /// # Errors
    /// If the value is not of its syntax.
    pub fn authority_key_identifier(&self) -> Result<Option<&'a [u8]>, DerError> {
        let Some(element) = self.opened(Oid::AUTHORITY_KEY_IDENTIFIER, tag::SEQUENCE)? else {
            return Ok(None);
        };
        let identifier = element.open().optional(tag::context(0))?;
        Ok(identifier.map(|identifier| identifier.contents))
    }

    /// Identifier of the subject's key.
    ///
    /// # Errors
    /// If the value is not of its syntax.
    pub fn subject_key_identifier(&self) -> Result<Option<&'a [u8]>, DerError> {
        let identifier = self.opened(Oid::SUBJECT_KEY_IDENTIFIER, tag::OCTET_STRING)?;
        Ok(identifier.map(|identifier| identifier.contents))
    }

    /// Where to ask about the certificate and its issuer. Access methods and names of other kinds are passed over.
    ///
    /// # Errors
    /// If the value is not of its syntax.
    pub fn authority_information(&self) -> Result<AuthorityInformation<'a>, DerError> {
        let mut information = AuthorityInformation::default();
        let Some(element) = self.opened(Oid::AUTHORITY_INFORMATION_ACCESS, tag::SEQUENCE)? else {
            return Ok(information);
        };
        each(element, |list| {
            let mut description = list.sequence()?;
            let method = Oid::read(&mut description)?;
            let location = description.any()?;
            description.end()?;
            let urls = match method {
                Oid::ACCESS_OCSP => &mut information.ocsp_urls,
                Oid::ACCESS_CA_ISSUERS => &mut information.issuer_urls,
                _ => return Ok(()),
            };
            urls.extend(url(&location)?);
            Ok(())
        })?;
        Ok(information)
    }

    /// Where lists of revoked certificates are (RFC 5280 §4.2.1.13). Names of other kinds are passed over.
    ///
    /// # Errors
    /// If the value is not of its syntax.
    pub fn revocation_list_urls(&self) -> Result<Vec<&'a str>, DerError> {
        let mut urls = Vec::new();
        let Some(element) = self.opened(Oid::CRL_DISTRIBUTION_POINTS, tag::SEQUENCE)? else {
            return Ok(urls);
        };
        each(element, |points| {
            let mut point = points.sequence()?;
            let Some(name) = point.optional(tag::context_constructed(0))? else {
                return Ok(());
            };
            if let Some(full) = name.open().optional(tag::context_constructed(0))? {
                urls.extend(
                    each(full, |names| url(&names.any()?))?
                        .into_iter()
                        .flatten(),
                );
            }
            Ok(())
        })?;
        Ok(urls)
    }

    /// RFC 6962 §3.3: SignedCertificateTimestampList, in the form of TLS.
    ///
    /// # Errors
    /// If the value is not an OCTET STRING.
    pub fn sct_list(&self) -> Result<Option<&'a [u8]>, DerError> {
        let list = self.opened(Oid::SCT_LIST, tag::OCTET_STRING)?;
        Ok(list.map(|list| list.contents))
    }

    /// RFC 7633 §4.2.3: whether a server must staple an OCSP response, by `status_request` (5) or `status_request_v2` (17).
    ///
    /// # Errors
    /// If the value is not of its syntax.
    pub fn must_staple(&self) -> Result<bool, DerError> {
        let features = self.tls_features()?;
        Ok(features.iter().any(|feature| [5, 17].contains(feature)))
    }

    /// Extensions of TLS that a server with this certificate must support (RFC 7633 §4).
    ///
    /// # Errors
    /// If the value is not of its syntax.
    pub fn tls_features(&self) -> Result<Vec<u32>, DerError> {
        match self.opened(Oid::TLS_FEATURE, tag::SEQUENCE)? {
            Some(element) => each(element, Reader::small_integer),
            None => Ok(Vec::new()),
        }
    }
}

/// Reads a SEQUENCE OF to its end.
pub(crate) fn each<'a, T>(
    element: Element<'a>,
    mut read: impl FnMut(&mut Reader<'a>) -> Result<T, DerError>,
) -> Result<Vec<T>, DerError> {
    let mut list = element.open();
    let mut values = Vec::new();
    while !list.is_at_end() {
        values.push(read(&mut list)?);
    }
    Ok(values)
}

fn alternative_name<'a>(name: &Element<'a>) -> Result<AlternativeName<'a>, DerError> {
    const DNS: u8 = tag::context(2);
    const IP: u8 = tag::context(7);
    Ok(match (name.tag, name.contents) {
        (DNS, _) => AlternativeName::Dns(name.text()?),
        (IP, contents) => AlternativeName::Ip(address(contents).ok_or(name.invalid("iPAddress"))?),
        (tag, value) => AlternativeName::Other {
            kind: tag & 0x1f,
            value,
        },
    })
}

fn address(contents: &[u8]) -> Option<IpAddr> {
    let four = || <[u8; 4]>::try_from(contents).map(|octets| Ipv4Addr::from(octets).into());
    let sixteen = || <[u8; 16]>::try_from(contents).map(|octets| Ipv6Addr::from(octets).into());
    four().or_else(|_| sixteen()).ok()
}

fn url<'a>(name: &Element<'a>) -> Result<Option<&'a str>, DerError> {
    (name.tag == tag::context(URI))
        .then(|| name.text())
        .transpose()
}
