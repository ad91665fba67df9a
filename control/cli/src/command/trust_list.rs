//! `nexus trust list`: trust anchors and where each of their keys stands.

use std::io::Write;

use node::admin::{Request, Response};

use crate::exit::Exit;
use crate::options::Options;
use crate::print::{self, Align, Table};

const EXAMPLES: &str = "\
Examples:
  nexus trust list
  nexus trust list --json | jq -r 'select(.state == \"add-pend\").key_tag'

States (RFC 5011): add-pend is seen and not yet trusted, valid is trusted, missing is trusted and was
not seen of late, revoked and removed are trusted no more. Without a time to refresh, an anchor does
not roll over.";

/// List the keys of all trust anchors with tag, algorithm and state.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct TrustList {}

impl TrustList {
    /// Asks control and prints one key a line.
    ///
    /// # Errors
    /// When control does not answer.
    pub fn run(&self, options: &Options, out: &mut impl Write) -> anyhow::Result<Exit> {
        let mut client = options.connect()?;
        let Response::TrustAnchors { anchors } = client.ask(&Request::TrustAnchorList {})? else {
            return Err(client.mismatch().into());
        };
        let mut table = Table::new(&[
            ("ZONE", Align::Left),
            ("TAG", Align::Right),
            ("ALGORITHM", Align::Right),
            ("STATE", Align::Left),
            ("SINCE", Align::Left),
            ("REFRESH", Align::Left),
        ]);
        for anchor in &anchors {
            if options.json {
                print::json(out, anchor)?;
            }
            let since = match anchor.since_secs_ago {
                Some(secs) => format!("{} ago", print::duration(secs)),
                None => "configured".to_owned(),
            };
            let refresh = match anchor.refresh_in_secs {
                Some(secs) => format!("in {}", print::duration(secs)),
                None => "never".to_owned(),
            };
            table.row([
                &anchor.zone,
                &anchor.key_tag.to_string(),
                &anchor.algorithm.to_string(),
                &anchor.state,
                &since,
                &refresh,
            ]);
        }
        if !options.json {
            table.write(out)?;
        }
        Ok(Exit::Success)
    }
}
