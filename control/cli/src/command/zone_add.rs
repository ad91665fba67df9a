//! `nexus zone add`: a record for all nodes of the mesh.

use std::io::Write;

use node::admin::{MeshRequest, Request};

use super::zone_change::change;
use crate::exit::Exit;
use crate::options::Options;

const EXAMPLES: &str = "\
Examples:
  nexus zone add example.net www 300 A 192.0.2.7
  nexus zone add example.net @ 3600 MX 10 mail.example.net.
  nexus zone add example.net _dmarc 3600 TXT v=DMARC1;p=none

Names are written as in a zone file: relative to the zone, @ for the zone itself, or with a last dot; an
owner that ends with the zone's name needs none. An argument of a TXT record is one string, spaces and all.
At any node; the answer comes when it is committed and in force at this node. The TTL is that of the whole
set from then on. A name that has a CNAME takes nothing else, and the other way round: unchanged.";

/// Add a record to a zone of the mesh.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct ZoneAdd {
    /// The zone.
    zone: String,
    /// Whose record: @ for the zone itself.
    owner: String,
    /// Seconds for which others may keep it.
    ttl: u32,
    /// Its type.
    #[arg(value_name = "TYPE")]
    record_type: String,
    /// Its data.
    #[arg(required = true, allow_hyphen_values = true)]
    data: Vec<String>,
}

impl ZoneAdd {
    /// Asks control and prints the new serial.
    ///
    /// # Errors
    /// When control does not answer, this is no record, or the cluster refuses.
    pub fn run(&self, options: &Options, out: &mut impl Write) -> anyhow::Result<Exit> {
        let request = Request::Mesh(MeshRequest::ZoneAdd {
            zone: self.zone.clone(),
            owner: self.owner.clone(),
            ttl_secs: self.ttl,
            record_type: self.record_type.clone(),
            data: words(&self.record_type, &self.data),
        });
        change(&request, options.connect()?, options, out)
    }
}

/// As in a zone file. The shell has taken the quotes from around strings.
pub(super) fn words(record_type: &str, data: &[String]) -> String {
    let is_text = ["TXT", "SPF"]
        .iter()
        .any(|text| record_type.eq_ignore_ascii_case(text));
    let quote = |word: &String| match word.starts_with('"') || !is_text {
        true => word.clone(),
        false => format!("\"{}\"", word.replace('\\', "\\\\").replace('"', "\\\"")),
    };
    let words: Vec<String> = data.iter().map(quote).collect();
    words.join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arguments_of_text_are_strings_and_others_stay_as_they_are() {
        let data = |words: &[&str]| {
            words
                .iter()
                .map(|word| (*word).to_owned())
                .collect::<Vec<_>>()
        };
        assert_eq!(words("MX", &data(&["10", "mail"])), "10 mail");
        assert_eq!(words("MX", &data(&["10 mail"])), "10 mail");
        assert_eq!(words("txt", &data(&["a b;c", "d"])), r#""a b;c" "d""#);
        assert_eq!(words("TXT", &data(&[r#""a" "b""#])), r#""a" "b""#);
        assert_eq!(words("TXT", &data(&[r#"a"b\"#])), r#""a\"b\\""#);
    }
}
