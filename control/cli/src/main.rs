//! The `nexus` program: arguments in, text and an exit status out.

#![forbid(unsafe_code)]

use std::io::{self, Write};
use std::process::ExitCode;

use clap::Parser;
use cli::exit::Exit;
use cli::options::Cli;

fn main() -> ExitCode {
    let cli = Cli::parse(); // Prints usage and exits with status 2 by itself.
    let mut out = io::stdout().lock();
    let result = cli.run(&mut out).and_then(|exit| {
        out.flush()?;
        Ok(exit)
    });
    match result {
        Ok(exit) => exit.into(),
        Err(error) if reader_went_away(&error) => Exit::Success.into(),
        Err(error) => {
            // Nobody is left to tell when this fails too.
            let _ = writeln!(io::stderr(), "nexus: {error:#}");
            Exit::of(&error).into()
        }
    }
}

/// `nexus … | head` is no failure. Errors of the admin socket have a type of their own.
fn reader_went_away(error: &anyhow::Error) -> bool {
    let error = error.downcast_ref::<io::Error>();
    error.is_some_and(|error| error.kind() == io::ErrorKind::BrokenPipe)
}
