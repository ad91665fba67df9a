//! The dataplane's memory, attached read-only: what is left to ask when control is dead.

use std::time::Duration;

use anyhow::Context;
use exchange::Region;
use exchange::handover::{self, Role};
use node::admin::{DataplaneStatus, Stats, is_silent};
use rustix::time::{ClockId, clock_gettime};

use crate::options::Options;
use crate::print;

/// How long a dataplane may take to hand over its memory.
const HANDOVER_TIMEOUT: Duration = Duration::from_secs(2);

/// What the dataplane's memory says of both planes.
#[derive(Debug)]
pub struct Observed {
    /// The dataplane.
    pub dataplane: DataplaneStatus,
    /// When control was last seen, in words; `None` while it is alive.
    pub control: Option<String>,
}

/// Reads the state of both planes.
///
/// # Errors
/// When the dataplane does not hand over its memory.
pub fn status(options: &Options) -> anyhow::Result<Observed> {
    let region = attach(options)?;
    let configuration = options.configuration()?;
    let interface = configuration.dataplane.interface.unwrap_or_default();
    let now_ms = now_ms();
    let dataplane = DataplaneStatus::read(&region, &interface, now_ms)
        .context("the dataplane is writing its status; ask again")?;
    Ok(Observed {
        dataplane,
        control: last_seen(&region, now_ms),
    })
}

/// Reads every counter of the workers.
///
/// # Errors
/// When the dataplane does not hand over its memory.
pub fn stats(options: &Options) -> anyhow::Result<Stats> {
    let region = attach(options)?;
    Ok(Stats::read(&region, now_ms()))
}

fn attach(options: &Options) -> anyhow::Result<Region> {
    let path = options.dataplane_socket()?;
    let attached = handover::connect(&path, Role::Observer, HANDOVER_TIMEOUT)
        .with_context(|| format!("the dataplane does not answer on {}", path.display()))?;
    Ok(attached.region)
}

fn last_seen(region: &Region, now_ms: u64) -> Option<String> {
    let control = region.control_status();
    if !is_silent(control.heartbeat_ms, now_ms) {
        return None;
    }
    if control.epoch == 0 {
        return Some("it never attached to this dataplane".to_owned());
    }
    let silent_secs = now_ms.saturating_sub(control.heartbeat_ms) / 1_000;
    let silent = print::duration(silent_secs);
    Some(format!(
        "last sign of life {silent} ago from pid {}",
        control.pid
    ))
}

/// Milliseconds of CLOCK_MONOTONIC, the time of everything in the shared memory.
fn now_ms() -> u64 {
    let now = clock_gettime(ClockId::Monotonic);
    let (seconds, nanoseconds) = (u64::try_from(now.tv_sec), u64::try_from(now.tv_nsec));
    // Neither is ever negative on this clock.
    seconds.unwrap_or(0) * 1_000 + nanoseconds.unwrap_or(0) / 1_000_000
}
