//! [`Oid`]: object identifiers, and those that certificates and logs use.

use core::fmt;

use crate::der::{DerError, Reader, tag};

/// An object identifier as the contents of its DER form (X.690 §8.19).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Oid<'a>(&'a [u8]);

macro_rules! known {
    ($($(#[$doc:meta])* $name:ident = $($octet:literal)+;)+) => {
        impl Oid<'static> {
            $($(#[$doc])* pub const $name: Self = Self(&[$($octet),+]);)+
        }
    };
}

known! {
    /// 2.5.4.3, RFC 5280 appendix A.1.
    COMMON_NAME = 0x55 0x04 0x03;
    /// 2.5.4.6, RFC 5280 appendix A.1.
    COUNTRY = 0x55 0x04 0x06;
    /// 2.5.4.10, RFC 5280 appendix A.1.
    ORGANIZATION = 0x55 0x04 0x0a;
    /// 2.5.4.11, RFC 5280 appendix A.1.
    ORGANIZATIONAL_UNIT = 0x55 0x04 0x0b;
    /// 2.23.140.1.1: extended validation, Baseline Requirements of the CA/Browser Forum §7.1.6.1.
    POLICY_EXTENDED_VALIDATION = 0x67 0x81 0x0c 0x01 0x01;
    /// 2.23.140.1.2.1: domain validation, there.
    POLICY_DOMAIN_VALIDATION = 0x67 0x81 0x0c 0x01 0x02 0x01;
    /// 2.23.140.1.2.2: organization validation, there.
    POLICY_ORGANIZATION_VALIDATION = 0x67 0x81 0x0c 0x01 0x02 0x02;
    /// 2.23.140.1.2.3: individual validation, there.
    POLICY_INDIVIDUAL_VALIDATION = 0x67 0x81 0x0c 0x01 0x02 0x03;
    /// 2.5.29.14, RFC 5280 §4.2.1.2.
    SUBJECT_KEY_IDENTIFIER = 0x55 0x1d 0x0e;
    /// 2.5.29.15, RFC 5280 §4.2.1.3.
    KEY_USAGE = 0x55 0x1d 0x0f;
    /// 2.5.29.17, RFC 5280 §4.2.1.6.
    SUBJECT_ALT_NAME = 0x55 0x1d 0x11;
    /// 2.5.29.19, RFC 5280 §4.2.1.9.
    BASIC_CONSTRAINTS = 0x55 0x1d 0x13;
    /// 2.5.29.28, RFC 5280 §5.2.5.
    ISSUING_DISTRIBUTION_POINT = 0x55 0x1d 0x1c;
    /// 2.5.29.30, RFC 5280 §4.2.1.10.
    NAME_CONSTRAINTS = 0x55 0x1d 0x1e;
    /// 2.5.29.31, RFC 5280 §4.2.1.13.
    CRL_DISTRIBUTION_POINTS = 0x55 0x1d 0x1f;
    /// 2.5.29.32, RFC 5280 §4.2.1.4.
    CERTIFICATE_POLICIES = 0x55 0x1d 0x20;
    /// 2.5.29.35, RFC 5280 §4.2.1.1.
    AUTHORITY_KEY_IDENTIFIER = 0x55 0x1d 0x23;
    /// 2.5.29.37, RFC 5280 §4.2.1.12.
    EXTENDED_KEY_USAGE = 0x55 0x1d 0x25;
    /// 1.3.6.1.5.5.7.1.1, RFC 5280 §4.2.2.1.
    AUTHORITY_INFORMATION_ACCESS = 0x2b 0x06 0x01 0x05 0x05 0x07 0x01 0x01;
    /// 1.3.6.1.5.5.7.1.24, RFC 7633 §4.
    TLS_FEATURE = 0x2b 0x06 0x01 0x05 0x05 0x07 0x01 0x18;
    /// 1.3.6.1.5.5.7.48.1, RFC 5280 §4.2.2.1.
    ACCESS_OCSP = 0x2b 0x06 0x01 0x05 0x05 0x07 0x30 0x01;
    /// 1.3.6.1.5.5.7.48.2, RFC 5280 §4.2.2.1.
    ACCESS_CA_ISSUERS = 0x2b 0x06 0x01 0x05 0x05 0x07 0x30 0x02;
    /// 1.3.6.1.5.5.7.3.1, RFC 5280 §4.2.1.12.
    PURPOSE_SERVER = 0x2b 0x06 0x01 0x05 0x05 0x07 0x03 0x01;
    /// 1.3.6.1.5.5.7.3.9, RFC 6960 §4.2.2.2.
    PURPOSE_OCSP_SIGNING = 0x2b 0x06 0x01 0x05 0x05 0x07 0x03 0x09;
    /// 1.3.6.1.5.5.7.48.1.1, RFC 6960 §4.2.1.
    OCSP_BASIC = 0x2b 0x06 0x01 0x05 0x05 0x07 0x30 0x01 0x01;
    /// 1.3.6.1.5.5.7.48.1.2, RFC 6960 §4.4.1.
    OCSP_NONCE = 0x2b 0x06 0x01 0x05 0x05 0x07 0x30 0x01 0x02;
    /// 1.3.6.1.4.1.11129.2.4.5, RFC 6962 §3.3.
    OCSP_SCT_LIST = 0x2b 0x06 0x01 0x04 0x01 0xd6 0x79 0x02 0x04 0x05;
    /// 1.3.6.1.4.1.11129.2.4.2, RFC 6962 §3.3.
    SCT_LIST = 0x2b 0x06 0x01 0x04 0x01 0xd6 0x79 0x02 0x04 0x02;
    /// 1.3.6.1.4.1.11129.2.4.3, RFC 6962 §3.1.
    POISON = 0x2b 0x06 0x01 0x04 0x01 0xd6 0x79 0x02 0x04 0x03;
    /// 1.3.6.1.4.1.11129.2.4.4, RFC 6962 §3.1.
    PURPOSE_PRECERTIFICATE_SIGNING = 0x2b 0x06 0x01 0x04 0x01 0xd6 0x79 0x02 0x04 0x04;
    /// 1.2.840.113549.1.1.1, RFC 3279 §2.3.1.
    RSA = 0x2a 0x86 0x48 0x86 0xf7 0x0d 0x01 0x01 0x01;
    /// 1.2.840.113549.1.1.4, RFC 3279 §2.2.1.
    RSA_MD5 = 0x2a 0x86 0x48 0x86 0xf7 0x0d 0x01 0x01 0x04;
    /// 1.2.840.113549.1.1.5, RFC 3279 §2.2.1.
    RSA_SHA1 = 0x2a 0x86 0x48 0x86 0xf7 0x0d 0x01 0x01 0x05;
    /// 1.2.840.113549.1.1.10, RFC 4055 §3.1.
    RSA_PSS = 0x2a 0x86 0x48 0x86 0xf7 0x0d 0x01 0x01 0x0a;
    /// 1.2.840.113549.1.1.11, RFC 4055 §5.
    RSA_SHA256 = 0x2a 0x86 0x48 0x86 0xf7 0x0d 0x01 0x01 0x0b;
    /// 1.2.840.113549.1.1.12, RFC 4055 §5.
    RSA_SHA384 = 0x2a 0x86 0x48 0x86 0xf7 0x0d 0x01 0x01 0x0c;
    /// 1.2.840.113549.1.1.13, RFC 4055 §5.
    RSA_SHA512 = 0x2a 0x86 0x48 0x86 0xf7 0x0d 0x01 0x01 0x0d;
    /// 1.2.840.10045.2.1, RFC 5480 §2.1.1.
    ECDSA_KEY = 0x2a 0x86 0x48 0xce 0x3d 0x02 0x01;
    /// 1.2.840.10045.3.1.7, RFC 5480 §2.1.1.1.
    P256 = 0x2a 0x86 0x48 0xce 0x3d 0x03 0x01 0x07;
    /// 1.3.132.0.34, RFC 5480 §2.1.1.1.
    P384 = 0x2b 0x81 0x04 0x00 0x22;
    /// 1.3.132.0.35, RFC 5480 §2.1.1.1.
    P521 = 0x2b 0x81 0x04 0x00 0x23;
    /// 1.2.840.10045.4.1, RFC 3279 §2.2.3.
    ECDSA_SHA1 = 0x2a 0x86 0x48 0xce 0x3d 0x04 0x01;
    /// 1.2.840.10045.4.3.2, RFC 5758 §3.2.
    ECDSA_SHA256 = 0x2a 0x86 0x48 0xce 0x3d 0x04 0x03 0x02;
    /// 1.2.840.10045.4.3.3, RFC 5758 §3.2.
    ECDSA_SHA384 = 0x2a 0x86 0x48 0xce 0x3d 0x04 0x03 0x03;
    /// 1.2.840.10045.4.3.4, RFC 5758 §3.2.
    ECDSA_SHA512 = 0x2a 0x86 0x48 0xce 0x3d 0x04 0x03 0x04;
    /// 1.3.101.112, RFC 8410 §3.
    ED25519 = 0x2b 0x65 0x70;
    /// 1.3.14.3.2.26, RFC 4055 §2.1.
    SHA1 = 0x2b 0x0e 0x03 0x02 0x1a;
    /// 2.16.840.1.101.3.4.2.1, RFC 4055 §2.1.
    SHA256 = 0x60 0x86 0x48 0x01 0x65 0x03 0x04 0x02 0x01;
    /// 2.16.840.1.101.3.4.2.2, RFC 4055 §2.1.
    SHA384 = 0x60 0x86 0x48 0x01 0x65 0x03 0x04 0x02 0x02;
    /// 2.16.840.1.101.3.4.2.3, RFC 4055 §2.1.
    SHA512 = 0x60 0x86 0x48 0x01 0x65 0x03 0x04 0x02 0x03;
}

impl<'a> Oid<'a> {
    /// Reads one from the front.
    ///
    /// # Errors
    /// If something else stands there, or it is empty, cut or padded.
    pub fn read(reader: &mut Reader<'a>) -> Result<Self, DerError> {
        let element = reader.element(tag::OID)?;
        let starts = core::iter::once(&0).chain(element.contents); // The octet before each.
        let is_padded = starts
            .zip(element.contents)
            .any(|(before, octet)| *before < 0x80 && *octet == 0x80);
        match element.contents.last() {
            Some(..0x80) if !is_padded => Ok(Self(element.contents)),
            _ => Err(element.invalid("OBJECT IDENTIFIER")),
        }
    }

    /// Contents of its DER form.
    #[must_use]
    pub fn as_bytes(&self) -> &'a [u8] {
        self.0
    }

    /// Of an AlgorithmIdentifier, given as the contents of its SEQUENCE.
    pub(crate) fn of_algorithm(contents: &'a [u8]) -> Result<Self, DerError> {
        Self::read(&mut Reader::new(contents))
    }
}

impl fmt::Display for Oid<'_> {
    /// Dotted numbers; those of 2^64 and more as `?`.
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut arc = Some(0_u64);
        let mut is_first = true;
        for octet in self.0 {
            arc = arc
                .and_then(|arc| arc.checked_mul(128))
                .map(|arc| arc | u64::from(octet & 0x7f));
            if *octet >= 0x80 {
                continue;
            }
            match (arc, is_first) {
                (Some(both), true) => {
                    let root = (both / 40).min(2);
                    write!(out, "{root}.{}", both - root * 40)?;
                }
                (Some(arc), false) => write!(out, ".{arc}")?,
                (None, _) => out.write_str(".?")?,
            }
            (arc, is_first) = (Some(0), false);
        }
        Ok(())
    }
}

impl fmt::Debug for Oid<'_> {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, out)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_identifiers_are_the_dotted_numbers_of_their_texts() {
        for (oid, dotted) in [
            (Oid::COMMON_NAME, "2.5.4.3"),
            (Oid::COUNTRY, "2.5.4.6"),
            (Oid::ORGANIZATION, "2.5.4.10"),
            (Oid::ORGANIZATIONAL_UNIT, "2.5.4.11"),
            (Oid::POLICY_EXTENDED_VALIDATION, "2.23.140.1.1"),
            (Oid::POLICY_DOMAIN_VALIDATION, "2.23.140.1.2.1"),
            (Oid::POLICY_ORGANIZATION_VALIDATION, "2.23.140.1.2.2"),
            (Oid::POLICY_INDIVIDUAL_VALIDATION, "2.23.140.1.2.3"),
            (Oid::POISON, "1.3.6.1.4.1.11129.2.4.3"),
            (Oid::SCT_LIST, "1.3.6.1.4.1.11129.2.4.2"),
            (
                Oid::PURPOSE_PRECERTIFICATE_SIGNING,
                "1.3.6.1.4.1.11129.2.4.4",
            ),
            (Oid::TLS_FEATURE, "1.3.6.1.5.5.7.1.24"),
            (Oid::AUTHORITY_INFORMATION_ACCESS, "1.3.6.1.5.5.7.1.1"),
            (Oid::ACCESS_OCSP, "1.3.6.1.5.5.7.48.1"),
            (Oid::ACCESS_CA_ISSUERS, "1.3.6.1.5.5.7.48.2"),
            (Oid::PURPOSE_OCSP_SIGNING, "1.3.6.1.5.5.7.3.9"),
            (Oid::OCSP_BASIC, "1.3.6.1.5.5.7.48.1.1"),
            (Oid::OCSP_NONCE, "1.3.6.1.5.5.7.48.1.2"),
            (Oid::OCSP_SCT_LIST, "1.3.6.1.4.1.11129.2.4.5"),
            (Oid::ISSUING_DISTRIBUTION_POINT, "2.5.29.28"),
            (Oid::SHA1, "1.3.14.3.2.26"),
            (Oid::PURPOSE_SERVER, "1.3.6.1.5.5.7.3.1"),
            (Oid::EXTENDED_KEY_USAGE, "2.5.29.37"),
            (Oid::AUTHORITY_KEY_IDENTIFIER, "2.5.29.35"),
            (Oid::RSA_PSS, "1.2.840.113549.1.1.10"),
            (Oid::ECDSA_KEY, "1.2.840.10045.2.1"),
            (Oid::ECDSA_SHA384, "1.2.840.10045.4.3.3"),
            (Oid::P256, "1.2.840.10045.3.1.7"),
            (Oid::P521, "1.3.132.0.35"),
            (Oid::ED25519, "1.3.101.112"),
            (Oid::SHA512, "2.16.840.1.101.3.4.2.3"),
        ] {
            assert_eq!(oid.to_string(), dotted);
        }
    }

    #[test]
    fn identifiers_that_are_empty_cut_or_padded_are_refused() {
        for contents in [&[][..], &[0x80, 0x01], &[0x55, 0x80, 0x01], &[0x55, 0x81]] {
            let mut bytes = vec![tag::OID, u8::try_from(contents.len()).unwrap()];
            bytes.extend_from_slice(contents);
            let result = Oid::read(&mut Reader::new(&bytes));
            assert!(
                matches!(result, Err(DerError::Value { .. })),
                "{contents:x?}"
            );
        }
    }

    #[test]
    fn number_of_any_length_is_printed() {
        let long = [&[0x2a][..], &[0xff; 40], &[0x7f]].concat();
        assert_eq!(Oid(&long).to_string(), "1.2.?");
    }
}
