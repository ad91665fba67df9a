//! Arguments of `nexus`: what every command understands, and the commands.

use std::io::Write;
use std::path::PathBuf;
use std::time::Duration;

use clap::{Parser, Subcommand};

use crate::client::{Client, REPLY_TIMEOUT};
use crate::command::{
    Cache, Check, Cluster, Completions, Ct, Key, Lookup, Metrics, Migrate, Nta, Peers, Reload,
    Stats, Status, Trust, Zone,
};
use crate::exit::Exit;

const EXAMPLES: &str = "\
Examples:
  nexus status                          Are both planes alive, in which mode, and why?
  nexus stats                           Rates, one line each second
  nexus lookup www.example.com AAAA     Resolve a name as a client would
  nexus cache flush example.com --subtree
  nexus cluster status                  Who leads the mesh, how far is everybody?
  nexus ct monitor alerts --follow      Certificates for watched names, as they are logged
  nexus nta add example.com             Its signatures are broken: unsigned for an hour
  nexus check /etc/nexus/nexus.yaml     Find mistakes before a restart does
  nexus reload                          Take edited zone files into service

Exit status: 0 done, 1 could not be done, 2 wrong arguments or input, 3 not known.";

/// Look at a Nexus DNS appliance and steer it.
#[derive(Debug, Parser)]
#[command(name = "nexus", version, after_help = EXAMPLES, max_term_width = 100)]
pub struct Cli {
    /// What every command understands.
    #[command(flatten)]
    pub options: Options,
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// What every command understands.
#[derive(Clone, Debug, Default, clap::Args)]
pub struct Options {
    /// Print JSON: one object, or one object a line for lists.
    #[arg(long, global = true)]
    pub json: bool,
    /// Admin socket of nexus-control instead of the configured one.
    #[arg(long, global = true, value_name = "PATH")]
    pub socket: Option<PathBuf>,
    /// Configuration file that says where the sockets are [default: /etc/nexus/nexus.yaml].
    #[arg(long, global = true, value_name = "PATH")]
    pub config: Option<PathBuf>,
}

/// The commands.
#[derive(Debug, Subcommand)]
#[expect(
    missing_docs,
    reason = "each takes the doc comment of its struct as its help"
)]
pub enum Command {
    Status(Status),
    Stats(Stats),
    Lookup(Lookup),
    #[command(subcommand)]
    Cache(Cache),
    #[command(subcommand)]
    Nta(Nta),
    #[command(subcommand)]
    Trust(Trust),
    #[command(subcommand)]
    Zone(Zone),
    #[command(subcommand)]
    Cluster(Cluster),
    Peers(Peers),
    #[command(subcommand)]
    Ct(Ct),
    #[command(subcommand)]
    Key(Key),
    Reload(Reload),
    Check(Check),
    Migrate(Migrate),
    Metrics(Metrics),
    Completions(Completions),
}

impl Cli {
    /// Runs the command and writes its result to `out`.
    ///
    /// # Errors
    /// What went wrong, in words for a person; [`Exit::of`] gives the exit status.
    pub fn run(&self, out: &mut impl Write) -> anyhow::Result<Exit> {
        let options = &self.options;
        match &self.command {
            Command::Status(status) => status.run(options, out),
            Command::Stats(stats) => stats.run(options, out),
            Command::Lookup(lookup) => lookup.run(options, out),
            Command::Cache(cache) => cache.run(options, out),
            Command::Nta(nta) => nta.run(options, out),
            Command::Trust(trust) => trust.run(options, out),
            Command::Zone(zone) => zone.run(options, out),
            Command::Cluster(cluster) => cluster.run(options, out),
            Command::Peers(peers) => peers.run(options, out),
            Command::Ct(ct) => ct.run(options, out),
            Command::Key(key) => key.run(options, out),
            Command::Reload(reload) => reload.run(options, out),
            Command::Check(check) => check.run(options, out),
            Command::Migrate(migrate) => migrate.run(options, out),
            Command::Metrics(metrics) => metrics.run(options, out),
            Command::Completions(completions) => completions.run(out),
        }
    }
}

impl Options {
    /// The admin socket: as asked, else as configured.
    ///
    /// # Errors
    /// When the configuration cannot be read.
    pub fn control_socket(&self) -> anyhow::Result<PathBuf> {
        match &self.socket {
            Some(path) => Ok(path.clone()),
            None => Ok(self.configuration()?.api.socket),
        }
    }

    /// The dataplane's hand-over socket as configured.
    ///
    /// # Errors
    /// When the configuration cannot be read.
    pub fn dataplane_socket(&self) -> anyhow::Result<PathBuf> {
        Ok(self.configuration()?.dataplane.socket)
    }

    /// A connection to control with the usual patience.
    ///
    /// # Errors
    /// When control does not answer.
    pub fn connect(&self) -> anyhow::Result<Client> {
        self.connect_for(REPLY_TIMEOUT)
    }

    /// A connection to control that waits this long for a reply.
    ///
    /// # Errors
    /// When control does not answer.
    pub fn connect_for(&self, timeout: Duration) -> anyhow::Result<Client> {
        Ok(Client::connect(&self.control_socket()?, timeout)?)
    }

    /// The configuration, or its defaults where there is none.
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn configuration(&self) -> anyhow::Result<config::Config> {
        Ok(config::Config::load_or_default(self.config.as_deref())?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn every_command_line_definition_is_sound() {
        Cli::command().debug_assert();
    }

    #[test]
    fn every_example_in_a_help_text_parses() {
        let mut commands = vec![Cli::command()];
        let mut examples = 0;
        while let Some(command) = commands.pop() {
            let help = command
                .get_after_help()
                .map(ToString::to_string)
                .unwrap_or_default();
            for line in help
                .lines()
                .filter_map(|line| line.strip_prefix("  nexus "))
            {
                // A comment stands behind two spaces; what the shell does with us, behind one.
                let ends = ["  ", " | ", " > ", " && "].map(|end| line.find(end));
                let end = ends.into_iter().flatten().min().unwrap_or(line.len());
                let arguments = ["nexus"].into_iter().chain(line[..end].split_whitespace());
                Cli::try_parse_from(arguments).unwrap_or_else(|error| panic!("{line}: {error}"));
                examples += 1;
            }
            commands.extend(command.get_subcommands().cloned());
        }
        assert!(examples > 10, "examples={examples}");
    }

    #[test]
    fn every_command_teaches_with_an_example() {
        let mut commands = vec![Cli::command()];
        while let Some(command) = commands.pop() {
            let help = command
                .get_after_help()
                .map(ToString::to_string)
                .unwrap_or_default();
            let has_subcommands = command.get_subcommands().next().is_some();
            assert!(
                has_subcommands || help.contains("  nexus "),
                "{}",
                command.get_name()
            );
            assert!(command.get_about().is_some(), "{}", command.get_name());
            commands.extend(command.get_subcommands().cloned());
        }
    }
}
