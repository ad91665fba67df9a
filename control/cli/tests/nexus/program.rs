//! The `nexus` binary itself: exit statuses, usage, streams.

use std::process::{Command, Output, Stdio};

use crate::support::{Fake, Place, refusal};
use node::admin::{FailureCode, Response};

fn nexus(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_nexus"))
        .args(arguments)
        .output()
        .unwrap()
}

fn text(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).unwrap()
}

#[test]
fn help_of_every_command_succeeds_and_shows_an_example() {
    let commands: [&[&str]; 12] = [
        &[],
        &["status"],
        &["stats"],
        &["lookup"],
        &["cache", "dump"],
        &["cache", "flush"],
        &["zone", "list"],
        &["zone", "reload"],
        &["reload"],
        &["check"],
        &["metrics"],
        &["completions"],
    ];
    for command in commands {
        let output = nexus(&[command, &["--help"]].concat());
        assert_eq!(output.status.code(), Some(0), "{command:?}");
        assert!(
            text(&output.stdout).contains("Examples:\n  nexus "),
            "{command:?}"
        );
        assert!(
            !text(&output.stdout).contains('\u{1b}'),
            "colour without a terminal"
        );
    }
}

#[test]
fn wrong_arguments_exit_with_status_2_and_explain_on_standard_error() {
    let wrong: [&[&str]; 7] = [
        &[],
        &["stauts"],
        &["status", "--verbose"],
        &["lookup"],
        &["cache", "flush", "--subtree"],
        &["stats", "--interval", "0"],
        &["completions", "tcsh"],
    ];
    for arguments in wrong {
        let output = nexus(arguments);
        assert_eq!(output.status.code(), Some(2), "{arguments:?}");
        assert!(output.stdout.is_empty(), "{arguments:?}");
        assert!(
            text(&output.stderr).contains("--help") || arguments.is_empty(),
            "{arguments:?}"
        );
    }
}

#[test]
fn no_plane_at_all_exits_with_status_1() {
    let place = Place::new();
    let config = place.config();
    let config = config.to_str().unwrap();
    let status = nexus(&["status", "--config", config]);
    assert_eq!(status.status.code(), Some(1));
    assert!(text(&status.stdout).starts_with("control    silent"));
    let lookup = nexus(&["lookup", "example.com", "--config", config]);
    assert_eq!(lookup.status.code(), Some(1));
    assert!(text(&lookup.stderr).starts_with("nexus: control does not answer on "));
}

#[test]
fn unreadable_configuration_exits_with_status_2_and_names_the_file() {
    let place = Place::new();
    let config = place.write("broken.yaml", "api:\n  sokcet: /run/x\n");
    for command in ["status", "reload"] {
        let output = nexus(&[command, "--config", config.to_str().unwrap()]);
        assert_eq!(output.status.code(), Some(2), "{command}");
        assert!(
            text(&output.stderr).contains("broken.yaml:2:"),
            "{}",
            text(&output.stderr)
        );
    }
}

#[test]
fn refused_argument_exits_with_status_2() {
    let fake = Fake::new(vec![refusal(FailureCode::BadRequest, "no type NOPE")]);
    let config = fake.config();
    let output = nexus(&["lookup", "a", "NOPE", "--config", config.to_str().unwrap()]);
    assert_eq!(output.status.code(), Some(2));
    assert_eq!(text(&output.stderr), "nexus: no type NOPE\n");
}

#[test]
fn reader_that_goes_away_is_no_failure() {
    let metrics = Response::Metrics {
        text: "# a line of metrics\n".repeat(10_000),
    };
    let fake = Fake::new(vec![metrics.into()]);
    let mut child = Command::new(env!("CARGO_BIN_EXE_nexus"))
        .args(["metrics", "--config", fake.config().to_str().unwrap()])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    drop(child.stdout.take());
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(0));
    assert_eq!(text(&output.stderr), "");
}
