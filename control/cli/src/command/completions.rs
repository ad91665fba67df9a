//! `nexus completions`: a script that teaches a shell our arguments.

use std::io::Write;

use clap::CommandFactory;
use clap_complete::Shell;

use crate::exit::Exit;
use crate::options::Cli;

const EXAMPLES: &str = "\
Examples:
  nexus completions bash > ~/.local/share/bash-completion/completions/nexus
  nexus completions zsh > ~/.zfunc/_nexus
  nexus completions fish > ~/.config/fish/completions/nexus.fish

The Debian package installs those of bash, zsh and fish.";

/// Print a completion script for a shell.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Completions {
    /// The shell.
    #[arg(value_enum)]
    shell: Shell,
}

impl Completions {
    /// Writes the script.
    ///
    /// # Errors
    /// When the writer fails.
    pub fn run(&self, out: &mut impl Write) -> anyhow::Result<Exit> {
        let mut script = Vec::new(); // The generator panics on a writer that fails.
        clap_complete::generate(self.shell, &mut Cli::command(), "nexus", &mut script);
        out.write_all(&script)?;
        Ok(Exit::Success)
    }
}
