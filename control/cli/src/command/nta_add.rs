//! `nexus nta add`: a zone counts as unsigned from now on, for a while.

use std::io::Write;

use node::admin::Request;

use super::nta_del::change;
use crate::exit::Exit;
use crate::options::Options;
use crate::print;

const HOUR_SECS: u64 = 3_600;
const WEEK_SECS: u64 = 7 * 24 * HOUR_SECS;

const EXAMPLES: &str = "\
Examples:
  nexus nta add example.com
  nexus nta add example.com --for 12h --reason ticket-4711

First make sure, by another way than DNS, that the zone's owner has made a mistake: while a negative
trust anchor holds, forged answers of that zone are not told from real ones.";

/// Let a zone count as unsigned, with all below it, until its time is up.
///
/// What was cached below it is forgotten, so that it acts at once. It survives a restart.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct NtaAdd {
    /// The zone.
    zone: String,
    /// For how long: a number of s, m, h, d or w; at most a week.
    #[arg(long = "for", value_name = "TIME", default_value = "1h", value_parser = read_time)]
    lifetime_secs: u64,
    /// Why, for whoever reads the list.
    #[arg(long, value_name = "TEXT", default_value = "")]
    reason: String,
}

impl NtaAdd {
    /// Asks control to add it and prints what was forgotten.
    ///
    /// # Errors
    /// When control does not answer or refuses.
    pub fn run(&self, options: &Options, out: &mut impl Write) -> anyhow::Result<Exit> {
        let request = Request::NegativeAnchorAdd {
            zone: self.zone.clone(),
            lifetime_secs: self.lifetime_secs,
            reason: self.reason.clone(),
        };
        let time = print::duration(self.lifetime_secs);
        change(
            &request,
            &format!("counts as unsigned for {time}"),
            options,
            out,
        )
    }
}

/// `90s`, `30m`, `12h`, `2d`, `1w`; in seconds.
fn read_time(text: &str) -> Result<u64, String> {
    let expected = || format!("`{text}`: expected a time such as 90s, 30m, 12h, 2d or 1w");
    let unit_at = text.len().saturating_sub(1);
    let (number, unit) = text.split_at_checked(unit_at).ok_or_else(expected)?;
    let unit_secs = match unit {
        "s" => 1,
        "m" => 60,
        "h" => HOUR_SECS,
        "d" => 24 * HOUR_SECS,
        "w" => WEEK_SECS,
        _ => return Err(expected()),
    };
    let number: u64 = number.parse().map_err(|_| expected())?;
    match number.checked_mul(unit_secs) {
        Some(secs) if (1..=WEEK_SECS).contains(&secs) => Ok(secs),
        _ => Err(format!("`{text}`: expected at least 1s and at most 1w")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_have_a_unit_and_end_within_a_week() {
        for (text, secs) in [("90s", 90), ("30m", 1_800), ("1h", 3_600), ("2d", 172_800)] {
            assert_eq!(read_time(text), Ok(secs));
        }
        assert_eq!(read_time("1w"), Ok(WEEK_SECS));
        let huge = format!("{}w", u64::MAX);
        for text in ["", "h", "1", "1 h", "-1h", "0s", "8d", "1y", "1ä", &huge] {
            assert!(read_time(text).is_err(), "{text}");
        }
    }
}
