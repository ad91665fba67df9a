//! The command line: what it prints and how it ends.

use std::path::PathBuf;
use std::process::{Command, Output};

fn sim(arguments: &[&str]) -> (Option<i32>, String) {
    let output: Output = Command::new(env!("CARGO_BIN_EXE_sim"))
        .args(arguments)
        .output()
        .expect("the program starts");
    let text = [output.stdout, output.stderr].concat();
    (
        output.status.code(),
        String::from_utf8_lossy(&text).into_owned(),
    )
}

fn file(name: &str, lines: &[&str]) -> String {
    let path = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(name);
    std::fs::write(&path, lines.join("\n")).expect("the folder is there");
    path.display().to_string()
}

const WRITE: &str = r#"{"process":"a","op":"write","key":"k","value":"1","call":0,"return":10}"#;

#[test]
fn run_that_holds_ends_with_status_0_and_its_counts() {
    let (code, text) = sim(&["--seed", "1", "--faults", "loss,crash"]);
    assert_eq!(code, Some(0), "{text}");
    assert!(text.contains("committed: "), "{text}");
}

#[test]
fn more_liars_than_bearable_end_with_status_1_and_a_seed() {
    let (code, text) = sim(&[
        "--seeds",
        "0..40",
        "--faults",
        "byzantine,delay",
        "--liars",
        "2",
    ]);
    assert_eq!(code, Some(1), "{text}");
    assert!(text.contains("VIOLATION with seed "), "{text}");
}

#[test]
fn unknown_fault_is_refused_with_those_that_there_are() {
    let (code, text) = sim(&["--seed", "1", "--faults", "fire"]);
    assert_eq!(code, Some(2), "{text}");
    assert!(
        text.contains("`fire`") && text.contains("partition"),
        "{text}"
    );
}

#[test]
fn history_that_could_have_been_ends_with_status_0() {
    let read = r#"{"process":"b","op":"read","key":"k","value":"1","call":20,"return":30}"#;
    let (code, text) = sim(&["check-history", &file("good.jsonl", &[WRITE, read])]);
    assert_eq!(code, Some(0), "{text}");
}

#[test]
fn history_with_a_lost_write_ends_with_status_1() {
    let read = r#"{"process":"b","op":"read","key":"k","value":null,"call":20,"return":30}"#;
    let (code, text) = sim(&["check-history", &file("lost.jsonl", &[WRITE, read])]);
    assert_eq!(code, Some(1), "{text}");
}

#[test]
fn history_with_a_bad_line_names_file_and_line() {
    let (code, text) = sim(&["check-history", &file("bad.jsonl", &[WRITE, "{}"])]);
    assert_eq!(code, Some(2), "{text}");
    assert!(text.contains("bad.jsonl:2"), "{text}");
}
