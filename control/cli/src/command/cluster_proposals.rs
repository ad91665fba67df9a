//! `nexus cluster proposals`: changes that wait for support.

use std::io::Write;

use node::admin::{MeshRequest, Request, Response};

use crate::exit::Exit;
use crate::options::Options;
use crate::print;

const EXAMPLES: &str = "\
Examples:
  nexus cluster proposals
  nexus cluster proposals --json | jq -r .command

Look at who asked, and why, before the command that is printed is run at another node.";

/// List changes of members that wait for support by other nodes.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct ClusterProposals {}

impl ClusterProposals {
    /// Asks control and prints each with the command that supports it.
    ///
    /// # Errors
    /// When control does not answer, or this node stands alone.
    pub fn run(&self, options: &Options, out: &mut impl Write) -> anyhow::Result<Exit> {
        let mut client = options.connect()?;
        let request = Request::Mesh(MeshRequest::ProposalList {});
        let Response::Proposals { proposals } = client.ask(&request)? else {
            return Err(client.mismatch().into());
        };
        for proposal in &proposals {
            if options.json {
                print::json(out, proposal)?;
                continue;
            }
            let (supporters, wanted) = (proposal.supporters.len(), proposal.wanted);
            let age = print::duration(proposal.opened_secs_ago);
            let left = print::duration(proposal.expires_in_secs);
            writeln!(out, "{}", print::clean(&proposal.change))?;
            writeln!(
                out,
                "  {supporters} of {wanted} nodes: {}; asked for {age} ago, forgotten in {left}",
                print::clean(&proposal.supporters.join(" "))
            )?;
            writeln!(out, "  {}", print::clean(&proposal.command))?;
        }
        if proposals.is_empty() && !options.json {
            writeln!(out, "nothing waits for support")?;
        }
        Ok(Exit::Success)
    }
}
