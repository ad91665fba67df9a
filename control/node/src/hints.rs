//! Root hints from a file in the form of `named.root`: NS, A and AAAA records.

use std::net::IpAddr;
use std::path::Path;

use hickory_proto::rr::Name;

/// Longest hints file, in bytes: the real one has 3 KiB.
const HINTS_BYTES_MAX: u64 = 1 << 20;

/// What is wrong with a hints file.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct HintsError {
    /// Counted from 1; absent for the file as a whole.
    pub line: Option<u32>,
    /// What should stand there, or why it cannot be read.
    pub message: String,
}

impl HintsError {
    fn whole(message: String) -> Self {
        Self {
            line: None,
            message,
        }
    }
}

/// Servers of the root, each with its addresses.
type Servers = Vec<(Name, Vec<IpAddr>)>;

/// Reads the file at `path`; `nexus check` reads it here, too.
///
/// # Errors
/// [`HintsError`] if it cannot be read or is no hints file.
pub fn read_hints(path: &Path) -> Result<Servers, HintsError> {
    let unreadable = |error| HintsError::whole(format!("cannot be read: {error}"));
    let bytes = std::fs::metadata(path).map_err(unreadable)?.len();
    if bytes > HINTS_BYTES_MAX {
        let message = format!("is longer than {HINTS_BYTES_MAX} bytes");
        return Err(HintsError::whole(message));
    }
    parse_hints(&std::fs::read_to_string(path).map_err(unreadable)?)
}

/// Reads lines of `name [ttl] [IN] type data`.
///
/// # Errors
/// The first line that is none, or that there is no address.
fn parse_hints(text: &str) -> Result<Servers, HintsError> {
    let mut servers = Servers::new();
    for (index, line) in text.lines().enumerate() {
        let fault = |expected: &str| HintsError {
            line: u32::try_from(index + 1).ok(),
            message: expected.to_owned(),
        };
        let content = line.split(';').next().unwrap_or_default();
        let words: Vec<&str> = content.split_whitespace().collect();
        let Some((owner, rest)) = words.split_first() else {
            continue;
        };
        let owner = Name::from_ascii(owner).map_err(|_| fault("expected a domain name"))?;
        let numeric = |word: &str| word.bytes().all(|byte| byte.is_ascii_digit());
        let rest: Vec<&str> = rest
            .iter()
            .copied()
            .skip_while(|word| numeric(word) || word.eq_ignore_ascii_case("IN"))
            .collect();
        let [rtype, data] = rest[..] else {
            return Err(fault("expected a type and its data"));
        };
        match rtype.to_ascii_uppercase().as_str() {
            "NS" if owner.is_root() => {
                let server = Name::from_ascii(data).map_err(|_| fault("expected a name server"))?;
                addresses_of(&mut servers, server);
            }
            "A" => {
                let address = data
                    .parse()
                    .map_err(|_| fault("expected an IPv4 address"))?;
                addresses_of(&mut servers, owner).push(IpAddr::V4(address));
            }
            "AAAA" => {
                let address = data
                    .parse()
                    .map_err(|_| fault("expected an IPv6 address"))?;
                addresses_of(&mut servers, owner).push(IpAddr::V6(address));
            }
            _ => return Err(fault("expected NS of the root, A or AAAA")),
        }
    }
    servers.retain(|(_, addresses)| !addresses.is_empty());
    if servers.is_empty() {
        let message = "names no root server with an address".to_owned();
        Err(HintsError::whole(message))
    } else {
        Ok(servers)
    }
}

fn addresses_of(servers: &mut Servers, mut name: Name) -> &mut Vec<IpAddr> {
    name.set_fqdn(true);
    let index = servers
        .iter()
        .position(|(known, _)| *known == name)
        .unwrap_or_else(|| {
            servers.push((name, Vec::new()));
            servers.len() - 1
        });
    &mut servers[index].1
}

#[cfg(test)]
mod tests {
    use super::*;

    const ROOT: &str = "\
; comment
.                        3600000      NS    A.ROOT-SERVERS.NET.
A.ROOT-SERVERS.NET.      3600000      A     198.41.0.4
a.root-servers.net       3600000 IN   AAAA  2001:503:ba3e::2:30
. IN NS b.root-servers.net.
b.root-servers.net. A 170.247.170.2 ; moved in 2023
";

    #[test]
    fn servers_come_with_all_their_addresses() {
        let servers = parse_hints(ROOT).unwrap();
        assert_eq!(servers.len(), 2);
        assert_eq!(servers[0].1.len(), 2);
        assert_eq!(servers[1].1, ["170.247.170.2".parse::<IpAddr>().unwrap()]);
    }

    #[test]
    fn a_line_that_is_no_hint_is_named() {
        for (text, line) in [
            (". NS a.\na. A 300.0.0.1", 2),
            ("a. AAAA 10.0.0.1", 1),
            ("com. NS a.", 1),
            ("a. A", 1),
            ("a. TXT x", 1),
        ] {
            assert_eq!(parse_hints(text).unwrap_err().line, Some(line), "{text}");
        }
        let empty = parse_hints("; nothing\n. NS a.").unwrap_err();
        assert_eq!(empty.line, None, "{empty}");
    }

    #[test]
    fn any_text_parses_or_fails() {
        bolero::check!()
            .with_iterations(10_000)
            .for_each(|bytes: &[u8]| {
                if let Ok(servers) = parse_hints(&String::from_utf8_lossy(bytes)) {
                    assert!(servers.iter().all(|(_, addresses)| !addresses.is_empty()));
                }
            });
    }
}
