//! `nexus peers list`: one node a line.

use std::io::Write;

use node::admin::{MeshRequest, PeerAssessment, Request, Response};

use super::cluster_status::{isolation, milliseconds};
use crate::exit::Exit;
use crate::options::Options;
use crate::print::{self, Align, Table};

/// List all nodes with score, votes, uptime and what stands out.
#[derive(Debug, clap::Args)]
#[command(after_help = Self::EXAMPLES)]
pub struct PeersList {}

impl PeersList {
    pub(super) const EXAMPLES: &str = "\
Examples:
  nexus peers
  nexus peers show 3f2a                 One node, and the events behind its score
  nexus peers list --json | jq -r 'select(.score < 0.4).node'

SCORE goes from 0 to 1 and back toward 0.50 with time. LATENCY is the median time to a node's votes, VOTES
the share of batches on which it voted, ANSWERS the share on which it agreed with the quorum, SURE how
much was measured. All of it is what a majority reports, and no node reports on itself.";

    /// Asks control and prints one node a line.
    ///
    /// # Errors
    /// When control does not answer, or this node stands alone.
    pub fn run(&self, options: &Options, out: &mut impl Write) -> anyhow::Result<Exit> {
        let mut client = options.connect()?;
        let request = Request::Mesh(MeshRequest::PeerList {});
        let Response::Peers { peers } = client.ask(&request)? else {
            return Err(client.mismatch().into());
        };
        let mut table = Table::new(&[
            ("NODE", Align::Left),
            ("ROLE", Align::Left),
            ("SCORE", Align::Right),
            ("AVERAGE", Align::Right),
            ("CLASS", Align::Left),
            ("LATENCY", Align::Right),
            ("VOTES", Align::Right),
            ("UPTIME", Align::Right),
            ("SIGNATURES", Align::Right),
            ("ANSWERS", Align::Right),
            ("SURE", Align::Right),
            ("REMARKS", Align::Left),
        ]);
        for peer in &peers {
            if options.json {
                print::json(out, peer)?;
            }
            table.row([
                &name(peer),
                &peer.role,
                &format!("{:.2}", peer.score),
                &format!("{:.2}", peer.average),
                &peer.class,
                &milliseconds(peer.latency_us.map(u64::from)),
                &share(peer.participation),
                &share(peer.uptime),
                &share(peer.signatures),
                &share(peer.accuracy),
                &format!("{:.2}", peer.confidence),
                &remarks(peer),
            ]);
        }
        if !options.json {
            table.write(out)?;
        }
        Ok(Exit::Success)
    }
}

/// The node that was asked has a star.
fn name(peer: &PeerAssessment) -> String {
    format!("{}{}", peer.node, if peer.is_self { "*" } else { "" })
}

fn remarks(peer: &PeerAssessment) -> String {
    let isolation = isolation(peer.isolated_until_ms.is_some(), peer.shut_out);
    let kinds = peer.indicators.iter().map(|indicator| &*indicator.kind);
    let words: Vec<&str> = isolation.into_iter().chain(kinds).collect();
    words.join(", ")
}

/// `99.5 %`, and `-` where nothing was measured.
pub(super) fn share(share: Option<f64>) -> String {
    share.map_or("-".to_owned(), |share| format!("{:.1} %", 100.0 * share))
}
