//! nexus-certwatch: the certificates that programs on this host are shown, judged in real time.

#![forbid(unsafe_code)]

use std::io::{IsTerminal, stderr};
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use certwatch::process::{self, Failure};
use clap::Parser;
use config::Config;
use tracing_subscriber::EnvFilter;

/// Watch the certificates that programs on this host are shown, and have nexus-control judge them.
///
/// Probes in OpenSSL's libraries see each certificate that a peer shows in a TLS handshake; what
/// other programs are shown in TLS 1.2 is read off the wire. A certificate that is judged bad is a
/// line in the log (ct.enforce: alert); with ct.enforce: block, the connection's data are held until
/// the verdict and dropped if it is bad. When this process ends, however it ends, nothing is watched or
/// held any more.
///
/// Needs Linux 5.17 with BTF, cgroup v2, and the capabilities BPF, PERFMON, NET_ADMIN and, to find
/// libraries in other users' programs, SYS_PTRACE.
#[derive(Debug, Parser)]
#[command(
    name = "nexus-certwatch",
    version,
    after_help = "\
Examples:
  nexus-certwatch --config /etc/nexus/nexus.yaml
  RUST_LOG=debug nexus-certwatch            more log
  curl http://127.0.0.1:8055/metrics        what it has seen (ct.watch.listen)

Exit status: 0 stopped by a signal; 1 could not go on; 2 wrong configuration or environment, or
ct.enforce is off."
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
