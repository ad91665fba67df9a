//! `nexus peers show`: one node, and the events behind its score.

use std::io::{self, Write};

use node::admin::{MeshRequest, PeerDetail, PeerEvent, Request, Response};

use super::cluster_status::{milliseconds, until};
use super::peers_list::share;
use crate::exit::Exit;
use crate::options::Options;
use crate::print::{self, Align, Table};

const EXAMPLES: &str = "\
Examples:
  nexus peers show 3f2a                 As much of the id as no other node has
  nexus peers show 3f2a --json | jq '.events[-1]'

Each event says what it did to the score. Those that others report count only once more nodes than may
lie have reported them; evidence counts at once, since a node's own signatures prove it.";

/// Show what is known of one node, and the events behind its score.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct PeersShow {
    /// Its id, or as much of the beginning as no other node has.
    #[arg(value_name = "ID")]
    node: String,
}

impl PeersShow {
    /// Asks control and prints the assessment and the events.
    ///
    /// # Errors
    /// When control does not answer, or knows no such node.
    pub fn run(&self, options: &Options, out: &mut impl Write) -> anyhow::Result<Exit> {
        let mut client = options.connect()?;
        let node = self.node.clone();
        let request = Request::Mesh(MeshRequest::PeerShow { node });
        let Response::Peer(peer) = client.ask(&request)? else {
            return Err(client.mismatch().into());
        };
        if options.json {
            print::json(out, &peer)?;
        } else {
            write_assessment(out, &peer)?;
            write_events(out, &peer)?;
        }
        Ok(Exit::Success)
    }
}

fn write_assessment(out: &mut impl Write, peer: &PeerDetail) -> io::Result<()> {
    let known = &peer.assessment;
    let own = if known.is_self {
        ", the one that was asked"
    } else {
        ""
    };
    let (node, role) = (print::clean(&known.node), print::clean(&known.role));
    writeln!(out, "node        {node} ({role}, {}{own})", known.address)?;
    let (score, average, trust) = (known.score, known.average, known.trust);
    writeln!(
        out,
        "score       {score:.2}, {average:.2} in the long run; trust of the others {trust:.2}; {}",
        print::clean(&known.class)
    )?;
    if let Some(until_ms) = known.isolated_until_ms {
        let what = if known.shut_out {
            "shut out"
        } else {
            "isolated"
        };
        writeln!(out, "isolation   {what} {}", until(until_ms, peer.now_ms))?;
    }
    writeln!(
        out,
        "latency     {}",
        milliseconds(known.latency_us.map(u64::from))
    )?;
    writeln!(out, "votes       {}", share(known.participation))?;
    writeln!(out, "uptime      {}", share(known.uptime))?;
    writeln!(out, "signatures  {}", share(known.signatures))?;
    writeln!(out, "answers     {}", share(known.accuracy))?;
    writeln!(out, "confidence  {:.2}", known.confidence)?;
    let mut indicators = known.indicators.iter();
    indicators
        .try_for_each(|indicator| writeln!(out, "remark      {}", print::clean(&indicator.text)))
}

fn write_events(out: &mut impl Write, peer: &PeerDetail) -> io::Result<()> {
    if peer.events.is_empty() {
        return writeln!(out, "events      none");
    }
    writeln!(out)?;
    let mut table = Table::new(&[
        ("WHEN", Align::Left),
        ("CHANGE", Align::Right),
        ("SCORE", Align::Right),
        ("TIMES", Align::Right),
        ("EVENT", Align::Left),
        ("REPORTED BY", Align::Left),
    ]);
    for event in &peer.events {
        table.row([
            &ago(event, peer.now_ms),
            &format!("{:+.3}", event.change),
            &format!("{:.3}", event.score),
            &event.count.to_string(),
            &event.text,
            &event.reporters.join(" "),
        ]);
    }
    table.write(out)
}

fn ago(event: &PeerEvent, now_ms: u64) -> String {
    let secs = now_ms.saturating_sub(event.time_ms) / 1000;
    format!("{} ago", print::duration(secs))
}
