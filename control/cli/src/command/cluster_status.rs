//! `nexus cluster status`: who leads, how far everybody is, and what is wrong.

use std::io::{self, Write};

use node::admin::{
    ClusterStatus as Answer, MemberStatus, MeshRequest, PhaseStatus, Request, Response,
};

use crate::exit::Exit;
use crate::options::Options;
use crate::print::{self, Align, Table};

const EXAMPLES: &str = "\
Examples:
  nexus cluster status
  nexus cluster status --json | jq -r .primary
  nexus cluster status --json | jq '.members[] | select(.connected | not) | .address'

A batch of changes is committed when a quorum has signed it: 3 of 4 voters, 5 of 7. The primary of the view
proposes; when it fails, the others change the view. EXECUTED and LAG are what each node says of itself.
Of the phases, `fast` are those committed by the consent of all voters in one round, `slow` those that
took a quorum's two.

Exit status 1 if this node takes no part or no quorum answers; the last lines say why.";

/// Show this node's part in the mesh: view, heights, members, how long each phase takes, what is wrong.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct ClusterStatus {}

impl ClusterStatus {
    /// Asks control and prints what it says.
    ///
    /// # Errors
    /// When control does not answer, or this node stands alone.
    pub fn run(&self, options: &Options, out: &mut impl Write) -> anyhow::Result<Exit> {
        let mut client = options.connect()?;
        let request = Request::Mesh(MeshRequest::ClusterStatus {});
        let Response::ClusterStatus(status) = client.ask(&request)? else {
            return Err(client.mismatch().into());
        };
        if options.json {
            print::json(out, &status)?;
        } else {
            write_own(out, &status)?;
            write_members(out, &status)?;
            write_phases(out, &status.phases)?;
            write_problems(out, &status)?;
        }
        let is_well = status.problems.is_empty();
        Ok(if is_well {
            Exit::Success
        } else {
            Exit::Failure
        })
    }
}

fn write_own(out: &mut impl Write, status: &Answer) -> io::Result<()> {
    let role = status.role.as_deref().unwrap_or("no member");
    let (node, role) = (print::clean(&status.node), print::clean(role));
    writeln!(out, "node      {node} ({role})")?;
    let cluster = print::clean(&status.cluster);
    writeln!(out, "cluster   {cluster}, epoch {}", status.epoch)?;
    let changing = if status.is_changing { ", changing" } else { "" };
    let primary = print::clean(&status.primary);
    writeln!(
        out,
        "view      {}{changing}, primary {primary}",
        status.view
    )?;
    let catching_up = if status.is_catching_up {
        ", catching up"
    } else {
        ""
    };
    writeln!(
        out,
        "executed  {}, stable {}, highest claimed {}, lag {}{catching_up}",
        print::thousands(status.executed),
        print::thousands(status.stable),
        print::thousands(status.highest_claimed),
        print::thousands(status.lag),
    )?;
    writeln!(
        out,
        "requests  {} pending, {} of this node on their way, {} waiting",
        print::thousands(status.pending),
        print::thousands(status.lanes_busy),
        print::thousands(status.waiting),
    )?;
    let history = match status.store.history {
        Some((first, last)) => format!(
            "batches {} to {} ({} KiB)",
            print::thousands(first),
            print::thousands(last),
            print::thousands(status.store.history_bytes / 1024)
        ),
        None => "no batches".to_owned(),
    };
    let snapshot = match status.store.snapshot {
        Some(sequence) => format!("snapshot at {}", print::thousands(sequence)),
        None => "no snapshot".to_owned(),
    };
    writeln!(out, "store     {history}, {snapshot}")
}

fn write_members(out: &mut impl Write, status: &Answer) -> io::Result<()> {
    writeln!(out)?;
    let mut table = Table::new(&[
        ("MEMBER", Align::Left),
        ("ROLE", Align::Left),
        ("ADDRESS", Align::Left),
        ("LINK", Align::Left),
        ("RTT", Align::Right),
        ("VIEW", Align::Right),
        ("EXECUTED", Align::Right),
        ("LAG", Align::Right),
        ("SCORE", Align::Right),
        ("ISOLATION", Align::Left),
    ]);
    for member in &status.members {
        let said = |number: Option<u64>| number.map_or("-".to_owned(), print::thousands);
        let word = member.said.as_ref();
        let primary = if member.node == status.primary {
            " (primary)"
        } else {
            ""
        };
        let isolation = match (
            isolation(member.isolated_until_ms.is_some(), member.shut_out),
            member.isolated_until_ms,
        ) {
            (Some(what), Some(until_ms)) => format!("{what} {}", until(until_ms, status.now_ms)),
            (what, _) => what.unwrap_or_default().to_owned(),
        };
        table.row([
            &member.node,
            &format!("{}{primary}", member.role),
            &member.address.to_string(),
            link(member),
            &milliseconds(member.round_trip_us),
            &said(word.map(|word| word.view)),
            &said(word.map(|word| word.executed)),
            &said(word.map(|word| word.lag)),
            &member
                .score
                .map_or("-".to_owned(), |score| format!("{score:.2}")),
            &isolation,
        ]);
    }
    table.write(out)
}

fn link(member: &MemberStatus) -> &'static str {
    match (member.is_self, member.connected) {
        (true, _) => "itself",
        (false, true) => "up",
        (false, false) => "DOWN",
    }
}

fn write_phases(out: &mut impl Write, phases: &[PhaseStatus]) -> io::Result<()> {
    if phases.is_empty() {
        return Ok(());
    }
    writeln!(out)?;
    let mut table = Table::new(&[
        ("PHASE", Align::Left),
        ("PATH", Align::Left),
        ("COUNT", Align::Right),
        ("MEDIAN", Align::Right),
        ("P99", Align::Right),
        ("MAX", Align::Right),
    ]);
    for phase in phases {
        table.row([
            &phase.phase,
            phase.path.as_deref().unwrap_or("-"),
            &print::thousands(phase.count),
            &milliseconds(Some(phase.median_us)),
            &milliseconds(Some(phase.p99_us)),
            &milliseconds(Some(phase.max_us)),
        ]);
    }
    table.write(out)
}

fn write_problems(out: &mut impl Write, status: &Answer) -> io::Result<()> {
    writeln!(out)?;
    let (answering, voters, quorum) = (status.answering, status.voters, status.quorum);
    if status.problems.is_empty() {
        let text = format!("{answering} of {voters} voters answer; {quorum} are needed");
        return writeln!(out, "{text}");
    }
    let mut problems = status.problems.iter();
    problems.try_for_each(|problem| writeln!(out, "PROBLEM: {}", print::clean(problem)))
}

/// `0.35 ms`, and `-` where nothing was measured.
pub(super) fn milliseconds(microseconds: Option<u64>) -> String {
    microseconds.map_or("-".to_owned(), |us| format!("{:.2} ms", us as f64 / 1000.0))
}

/// `for 12 min 5 s`.
pub(super) fn until(until_ms: u64, now_ms: u64) -> String {
    let secs = until_ms.saturating_sub(now_ms) / 1000;
    format!("for {}", print::duration(secs))
}

/// Isolated nodes are shut out, unless that were more than may be faulty.
pub(super) fn isolation(is_isolated: bool, is_shut_out: bool) -> Option<&'static str> {
    match (is_isolated, is_shut_out) {
        (_, true) => Some("shut out"),
        (true, false) => Some("isolated"),
        (false, false) => None,
    }
}
