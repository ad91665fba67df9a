//! `nexus status`: are both planes alive, in which mode, and why.

use std::io::{self, Write};

use node::admin::{
    ControlStatus, CopyPurpose, CopyStatus, DataplaneStatus, Request, ResolverMode, Response,
    UpstreamStatus, WorkerStatus,
};
use serde::Serialize;

use crate::client::{Client, PROBE_TIMEOUT};
use crate::exit::Exit;
use crate::observe;
use crate::options::Options;
use crate::print::{self, Align, Table};

const EXAMPLES: &str = "\
Examples:
  nexus status
  nexus status --json | jq -r .dataplane.mode

When control is dead the dataplane's memory is read directly, as far as this user may.
Exit status 0 when at least one plane runs, 1 when none does.";

/// Show both planes: alive or silent, mode and why it was taken, workers, zones, resolver.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Status {}

/// What could be learnt of both planes; where nothing could, why not.
#[derive(Debug, Default, Serialize)]
struct Planes {
    control: Option<ControlStatus>,
    control_error: Option<String>,
    dataplane: Option<DataplaneStatus>,
    dataplane_error: Option<String>,
}

impl Status {
    /// Asks control, then whatever else knows, and prints both planes.
    ///
    /// # Errors
    /// When the configuration cannot be read or the writer fails.
    pub fn run(&self, options: &Options, out: &mut impl Write) -> anyhow::Result<Exit> {
        let planes = look(options)?;
        if options.json {
            print::json(out, &planes)?;
        } else {
            write_control(out, &planes)?;
            write_dataplane(out, &planes)?;
        }
        let is_dataplane_running = planes.dataplane.is_some_and(|dataplane| dataplane.running);
        let runs = planes.control.is_some() || is_dataplane_running;
        Ok(if runs { Exit::Success } else { Exit::Failure })
    }
}

fn look(options: &Options) -> anyhow::Result<Planes> {
    let mut planes = Planes::default();
    let reply = Client::connect(&options.control_socket()?, PROBE_TIMEOUT)
        .map_err(anyhow::Error::from)
        .and_then(|mut client| client.ask(&Request::Status {}));
    match reply {
        Ok(Response::Status(status)) => {
            planes.control = Some(status.control);
            planes.dataplane = status.dataplane;
        }
        Ok(_) => planes.control_error = Some("control gave a reply that does not fit".to_owned()),
        Err(error) => planes.control_error = Some(format!("{error:#}")),
    }
    if planes.dataplane.is_none() {
        match observe::status(options) {
            Ok(observed) => {
                planes.dataplane = Some(observed.dataplane);
                if let (Some(error), Some(last)) = (&mut planes.control_error, observed.control) {
                    error.push_str("; ");
                    error.push_str(&last);
                }
            }
            Err(error) => planes.dataplane_error = Some(format!("{error:#}")),
        }
    }
    Ok(planes)
}

fn write_control(out: &mut impl Write, planes: &Planes) -> io::Result<()> {
    let Some(control) = &planes.control else {
        let error = planes.control_error.as_deref().unwrap_or_default();
        return writeln!(out, "control    silent   {}", print::clean(error));
    };
    writeln!(
        out,
        "control    running  pid {}, up {}, version {}",
        control.pid,
        print::duration(control.uptime_secs),
        print::clean(&control.version)
    )?;
    let listen: Vec<String> = control.listen.iter().map(ToString::to_string).collect();
    let runs = |dataplane: &DataplaneStatus| dataplane.running;
    let role = match (
        control.serving_udp,
        planes.dataplane.as_ref().is_some_and(runs),
    ) {
        (true, _) => "UDP and TCP",
        (false, true) => "TCP; UDP is with the workers",
        (false, false) => "TCP; UDP once the workers have been silent for a moment",
    };
    writeln!(out, "  listen     {} ({role})", listen.join(", "))?;
    writeln!(out, "  zones      {}", print::thousands(control.zones))?;
    let resolver = &control.resolver;
    let mode = match resolver.mode {
        ResolverMode::Forward => "forwards to",
        ResolverMode::Recurse if resolver.upstreams.is_empty() => "recurses from the root",
        ResolverMode::Recurse => "recurses from the root; asks",
    };
    let upstreams: Vec<String> = resolver.upstreams.iter().map(upstream).collect();
    let space = if upstreams.is_empty() { "" } else { " " };
    let in_flight = print::thousands(resolver.queries_in_flight);
    writeln!(
        out,
        "  resolver   {mode}{space}{}, {in_flight} in flight",
        upstreams.join(", ")
    )?;
    let mut copies = control.copies.iter();
    copies.try_for_each(|copy| writeln!(out, "  copy       {}", print::clean(&describe(copy))))
}

/// One zone that is copied: what is in service, and how fresh it is.
fn describe(copy: &CopyStatus) -> String {
    let purpose = match copy.purpose {
        CopyPurpose::PolicyZone => "policy zone",
        CopyPurpose::LocalRoot => "local root",
    };
    let mut text = format!("{} ({purpose})", copy.zone);
    match (copy.serial, copy.confirmed_secs_ago) {
        (Some(serial), _) => {
            let records = print::plural(copy.records, "record");
            text.push_str(&format!(", serial {serial}, {records}"));
        }
        (None, Some(_)) => text.push_str(", EXPIRED"),
        (None, None) => text.push_str(", not yet transferred"),
    }
    if let Some(secs) = copy.confirmed_secs_ago {
        text.push_str(&format!(", confirmed {} ago", print::duration(secs)));
    }
    if let Some(error) = &copy.error {
        text.push_str(&format!("; {error}"));
    }
    text
}

fn upstream(upstream: &UpstreamStatus) -> String {
    let place = match &*upstream.zone {
        "." => upstream.address.to_string(),
        zone => format!("{} for {}", upstream.address, print::clean(zone)),
    };
    match (upstream.healthy, upstream.round_trip_us) {
        (false, _) => format!("{place} (down)"),
        (true, None) => place,
        (true, Some(microseconds)) => format!("{place} ({} us)", print::thousands(microseconds)),
    }
}

fn write_dataplane(out: &mut impl Write, planes: &Planes) -> io::Result<()> {
    let Some(dataplane) = &planes.dataplane else {
        let error = planes.dataplane_error.as_deref().unwrap_or_default();
        return writeln!(out, "dataplane  silent   {}", print::clean(error));
    };
    writeln!(
        out,
        "dataplane  {:<7}  pid {}, up {}",
        liveness(dataplane.running),
        dataplane.pid,
        print::duration(dataplane.uptime_secs)
    )?;
    writeln!(out, "  mode       {}", print::clean(&dataplane.mode))?;
    if !dataplane.reason.is_empty() {
        writeln!(out, "  reason     {}", print::clean(&dataplane.reason))?;
    }
    if !dataplane.interface.is_empty() {
        writeln!(out, "  interface  {}", print::clean(&dataplane.interface))?;
    }
    let mut table = Table::new(&[
        ("  WORKER", Align::Right),
        ("STATE", Align::Left),
        ("HEARTBEAT", Align::Right),
        ("QUERIES", Align::Right),
        ("HITS", Align::Right),
        ("PUNTS", Align::Right),
    ]);
    for worker in &dataplane.workers {
        table.row([
            &worker.index.to_string(),
            liveness(worker.running),
            &heartbeat(worker),
            &print::thousands(worker.queries),
            &print::percent(worker.hits, worker.queries),
            &print::thousands(worker.punts),
        ]);
    }
    table.write(out)
}

fn liveness(running: bool) -> &'static str {
    if running { "running" } else { "silent" }
}

fn heartbeat(worker: &WorkerStatus) -> String {
    match worker.heartbeat_age_ms {
        age_ms if worker.running => format!("{age_ms} ms ago"),
        age_ms => format!("{} ago", print::duration(age_ms / 1_000)),
    }
}
