//! `nexus-control`: the resolver, zones and interfaces of a Nexus node.

#![forbid(unsafe_code)]

use std::io::IsTerminal;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::Parser;
use config::Config;
use tracing_subscriber::EnvFilter;

/// Exit status for what the operator has to mend: configuration or environment.
const EXIT_UNUSABLE: u8 = 2;

/// Answers DNS questions that the packet workers cannot: zones, recursion, TCP.
///
/// Works with nexus-dataplane, which answers from memory at packet speed and passes everything
/// else here; and without it, as a plain DNS server on kernel sockets. Either may die or restart
/// while the other goes on.
#[derive(Debug, Parser)]
#[command(name = "nexus-control", version, after_help = HELP)]
struct Options {
    /// Configuration file. Without it: /etc/nexus/nexus.yaml if that exists, else all defaults.
    #[arg(long, short, value_name = "PATH")]
    config: Option<PathBuf>,
}

const HELP: &str = "\
Examples:
  nexus-control --config ./nexus.yaml
  RUST_LOG=debug nexus-control         more to read on stderr (error, warn, info, debug, trace)

A first configuration, for a port that needs no privilege:
  dataplane: {ports: {dns: 5353}, socket: ./dataplane.sock}
  resolver: {listen: [127.0.0.1]}
  zones: [{name: example.com., file: example.com.zone}]
  api: {listen: 127.0.0.1:8053, socket: ./control.sock}
then: kdig @127.0.0.1 -p 5353 example.com SOA

Signals:
  SIGHUP            read the configuration's zones and policy and their files again (`nexus reload`)
  SIGTERM, SIGINT   stop

Exit status: 0 stopped on request, 1 failed while running, 2 configuration or environment does not
fit: one message says what and where. `nexus check FILE` finds mistakes without starting.";

fn main() -> ExitCode {
    let options = Options::parse();
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("info"));
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal())
        .init();
    // Half a control is worse than none: whichever thread panics takes the process with it, the
    // service manager starts another, and the workers go on meanwhile.
    let print = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        print(panic);
        std::process::abort();
    }));
    let config = match Config::load_or_default(options.config.as_deref()) {
        Ok(config) => config,
        Err(error) => return unusable(&error),
    };
    let prepared = match node::start::prepare(&config, options.config) {
        Ok(prepared) => prepared,
        Err(error) => return unusable(&error),
    };
    match prepared.run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("nexus-control: {error}");
            ExitCode::FAILURE
        }
    }
}

fn unusable(error: &dyn std::error::Error) -> ExitCode {
    eprintln!("nexus-control: {error}");
    ExitCode::from(EXIT_UNUSABLE)
}
