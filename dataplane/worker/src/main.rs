//! nexus-dataplane: answers DNS from memory on dedicated NIC queues.

#![forbid(unsafe_code)]

use std::io::{IsTerminal, stderr};
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use clap::Parser;
use config::Config;
use tracing_subscriber::EnvFilter;
use worker::process::{self, Failure};

/// Answer DNS from memory on dedicated NIC queues.
///
/// Loads the steering program onto the configured interface, takes port-53 packets through AF_XDP
/// and answers them from per-core caches; what the caches do not know goes to nexus-control, which
/// attaches by a unix socket and may come and go. All other packets stay with the kernel, and so
/// does everything when this process ends.
///
/// Modes: zero-copy and copy use AF_XDP, socket uses io_uring on kernel sockets and needs no
/// privilege but the port; auto takes the first that passes its self-test and logs why.
#[derive(Debug, Parser)]
#[command(
    name = "nexus-dataplane",
    version,
    after_help = "\
Examples:
  nexus-dataplane --config /etc/nexus/nexus.yaml
  RUST_LOG=debug nexus-dataplane            every default, more log

Exit status: 0 stopped by a signal; 1 could not go on; 2 wrong configuration or environment."
)]
struct Arguments {
    /// The configuration [default: /etc/nexus/nexus.yaml if there is one, else every default]
    #[arg(short, long, value_name = "FILE")]
    config: Option<PathBuf>,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("info"));
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(stderr)
        .with_ansi(stderr().is_terminal())
        .init();
    match run(&arguments) {
        Ok(()) => ExitCode::SUCCESS,
        Err(Failure::Setup(error)) => fail(2, &error),
        Err(Failure::Running(error)) => fail(1, &error),
    }
}

fn fail(status: u8, error: &anyhow::Error) -> ExitCode {
    tracing::error!("{error:#}");
    ExitCode::from(status)
}

fn run(arguments: &Arguments) -> Result<(), Failure> {
    let config = Config::load_or_default(arguments.config.as_deref())
        .map_err(|error| Failure::Setup(error.into()))?;
    let stop = Arc::new(AtomicBool::new(false));
    for signal in [signal_hook::consts::SIGTERM, signal_hook::consts::SIGINT] {
        signal_hook::flag::register(signal, Arc::clone(&stop))
            .map_err(|error| Failure::Setup(error.into()))?;
    }
    process::run(&config, &stop)
}
