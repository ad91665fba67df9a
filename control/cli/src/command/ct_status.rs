//! `nexus ct status`: how far the log is at this node.

use std::io::Write;

use node::admin::{CtCopyStatus, CtShardStatus, Request, Response};

use crate::exit::Exit;
use crate::options::Options;
use crate::print;

const EXAMPLES: &str = "\
Examples:
  nexus ct status
  nexus ct status --json | jq '.shards[] | {name, agreed_size, published_size}'

Exit status 1 if something keeps this node from its part: shards or roots on which the members have not agreed, too few
cosigners, heads that are not published any more, or a copy in an object store that has failed for a minute.";

/// Show the shards of the log, and who cosigns their heads.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct CtStatus {}

impl CtStatus {
    /// Asks control and prints.
    ///
    /// # Errors
    /// When control does not answer, or has no part in a log.
    pub fn run(&self, options: &Options, out: &mut impl Write) -> anyhow::Result<Exit> {
        let mut client = options.connect()?;
        let Response::CtStatus(status) = client.ask(&Request::CtStatus {})? else {
            return Err(client.mismatch().into());
        };
        let exit = match status.problems.is_empty() {
            true => Exit::Success,
            false => Exit::Failure,
        };
        if options.json {
            print::json(out, &status)?;
            return Ok(exit);
        }
        writeln!(out, "log       {}", print::clean(&status.name))?;
        writeln!(
            out,
            "cosigners {} ({} are a quorum): {}",
            status.cosigners.len(),
            status.quorum,
            status.cosigners.join(" ")
        )?;
        for shard in &status.shards {
            write_shard(out, shard)?;
        }
        for copy in &status.copies {
            write_copy(out, copy)?;
        }
        for problem in &status.problems {
            writeln!(out, "problem   {}", print::clean(problem))?;
        }
        Ok(exit)
    }
}

fn write_shard(out: &mut impl Write, shard: &CtShardStatus) -> anyhow::Result<()> {
    writeln!(
        out,
        "shard     {}: certificates that end from {} to {}{}{}",
        print::clean(&shard.name),
        shard.start,
        shard.end,
        if shard.is_closed { ", closed" } else { "" },
        if shard.has_key { "" } else { ", cosigned only" },
    )?;
    let published = match (shard.published_size, shard.published_secs_ago) {
        (Some(size), Some(ago)) => format!("{size} published {} ago", print::duration(ago)),
        _ => "none published here".to_owned(),
    };
    writeln!(
        out,
        "          {} entries agreed, {published}",
        shard.agreed_size
    )?;
    writeln!(out, "          log id {}", shard.log_id)?;
    Ok(())
}

fn write_copy(out: &mut impl Write, copy: &CtCopyStatus) -> anyhow::Result<()> {
    let far = match (copy.size, copy.behind_secs) {
        (Some(size), Some(behind)) if copy.behind_entries > 0 => format!(
            "{size} entries, {} entries and {} behind",
            copy.behind_entries,
            print::duration(behind)
        ),
        (Some(size), _) => format!("{size} entries"),
        (None, _) => "nothing yet".to_owned(),
    };
    let (shard, place) = (print::clean(&copy.shard), print::clean(&copy.place));
    writeln!(out, "copy      {shard} in {place}: {far}")?;
    if let Some(fault) = &copy.fault {
        writeln!(out, "          last failure: {}", print::clean(fault))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn copy_says_how_far_it_is_and_why_not_further() {
        let mut copy = CtCopyStatus {
            place: "s3://logs/ct".to_owned(),
            shard: "2026h1".to_owned(),
            size: None,
            behind_entries: 7,
            behind_secs: None,
            fault: Some("checkpoint: no\nreply".to_owned()),
        };
        let written = |copy: &CtCopyStatus| {
            let mut out = Vec::new();
            write_copy(&mut out, copy).unwrap();
            String::from_utf8(out).unwrap()
        };
        let text = written(&copy);
        let (first, rest) = text.split_once('\n').unwrap();
        assert_eq!(first, "copy      2026h1 in s3://logs/ct: nothing yet");
        assert_eq!(rest.lines().count(), 1, "{rest}");
        assert!(rest.starts_with("          last failure: checkpoint: no"));
        copy.fault = None;
        (copy.size, copy.behind_secs) = (Some(300), Some(5));
        let expected = "copy      2026h1 in s3://logs/ct: 300 entries, 7 entries and 5 s behind\n";
        assert_eq!(written(&copy), expected);
        copy.behind_entries = 0;
        assert_eq!(
            written(&copy),
            "copy      2026h1 in s3://logs/ct: 300 entries\n"
        );
    }
}
