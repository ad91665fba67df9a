//! Whether a certificate is one for a host (RFC 9525 §6): by its alternative names only, never by the common name.

use rustls_pki_types::{IpAddr, ServerName};

use crate::certificate::Certificate;
use crate::der::DerError;
use crate::extension::AlternativeName;

impl Certificate<'_> {
    /// Whether an alternative name is that of the host. A wildcard stands for the whole leftmost label and for nothing else.
    ///
    /// # Errors
    /// If the alternative names are not of their syntax.
    pub fn covers_host(&self, host: &ServerName<'_>) -> Result<bool, DerError> {
        let names = self.alternative_names()?.unwrap_or_default();
        Ok(names.iter().any(|name| is_host(name, host)))
    }
}

fn is_host(name: &AlternativeName<'_>, host: &ServerName<'_>) -> bool {
    match (name, host) {
        (AlternativeName::Dns(pattern), ServerName::DnsName(host)) => {
            is_domain(pattern, host.as_ref())
        }
        (
            AlternativeName::Ip(std::net::IpAddr::V4(address)),
            ServerName::IpAddress(IpAddr::V4(host)),
        ) => address.octets() == *host.as_ref(),
        (
            AlternativeName::Ip(std::net::IpAddr::V6(address)),
            ServerName::IpAddress(IpAddr::V6(host)),
        ) => address.octets() == *host.as_ref(),
        _ => false,
    }
}

/// RFC 9525 §6.3.
fn is_domain(pattern: &str, host: &str) -> bool {
    let host = host.strip_suffix('.').unwrap_or(host);
    match (pattern.strip_prefix("*."), host.split_once('.')) {
        (Some(pattern), Some((_, parent))) => pattern.eq_ignore_ascii_case(parent),
        (Some(_), None) => false,
        (None, _) => pattern.eq_ignore_ascii_case(host),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wildcard_is_one_whole_label_and_case_and_final_dot_do_not_count() {
        for (pattern, host, expected) in [
            ("example.com", "example.com", true),
            ("EXAMPLE.com", "example.COM", true),
            ("example.com", "example.com.", true),
            ("example.com.", "example.com", false),
            ("example.com", "www.example.com", false),
            ("*.example.com", "www.example.com", true),
            ("*.example.com", "www.example.com.", true),
            ("*.example.com", "example.com", false),
            ("*.example.com", "a.www.example.com", false),
            ("www.*.com", "www.example.com", false),
            ("w*.example.com", "www.example.com", false),
            ("*w.example.com", "www.example.com", false),
            ("*", "com", false),
            ("*.com", "com", false),
            ("", "com", false),
        ] {
            assert_eq!(is_domain(pattern, host), expected, "{pattern} {host}");
        }
    }
}
