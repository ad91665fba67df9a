//! Keeps the house in order: rules of the whole repository that no compiler checks.
//!
//! Each test names one rule and lists every place that breaks it. They read the tree and
//! `cargo metadata`, need no network, and live here because the command line builds last.

#![expect(
    clippy::unwrap_used,
    reason = "a test that cannot read the tree must fail"
)]

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

/// Crates that decide: no clock, socket, thread, file or randomness.
const PURE: [&str; 7] = ["cache", "ct", "guard", "ledger", "pki", "resolver", "wire"];
/// Pure crates that need no operating system either.
const NO_STD: [&str; 3] = ["cache", "guard", "wire"];
/// The only crates that may contain `unsafe`.
const EDGE: [&str; 3] = ["bpf-redirect", "exchange", "port"];

const FILE_LINES_MAX: usize = 800;
const BPF_LINES_MAX: usize = 100;
const README_LINES_MAX: usize = 250;

/// Licences that may be linked; deny.toml lists the same.
const LICENCES: [&str; 10] = [
    "0BSD",
    "Apache-2.0",
    "Apache-2.0 WITH LLVM-exception",
    "BSD-2-Clause",
    "BSD-3-Clause",
    "ISC",
    "MIT",
    "Unicode-3.0",
    "Unlicense",
    "Zlib",
];

#[test]
fn folder_of_a_crate_bears_its_name() {
    for (name, folder) in members() {
        assert_eq!(
            folder.file_name().and_then(|part| part.to_str()),
            Some(name.as_str())
        );
    }
}

#[test]
fn every_source_file_begins_with_a_module_comment() {
    let sources = files(&["rs"]);
    let mut broken = Vec::new();
    for file in &sources {
        if !read(file).starts_with("//!") {
            broken.push(file);
        }
    }
    assert!(
        sources.len() > 20,
        "found only {} source files",
        sources.len()
    );
    assert!(broken.is_empty(), "no `//!` on the first line: {broken:#?}");
}

#[test]
fn pure_crate_names_nothing_from_outside() {
    let banned = [
        "Instant::",
        "SystemTime",
        "UNIX_EPOCH",
        "UdpSocket",
        "TcpStream",
        "TcpListener",
        "UnixStream",
        "UnixListener",
        "UnixDatagram",
        "std::thread",
        "std::fs",
        "std::env",
        "std::process",
        "std::io",
        "thread_rng",
        "getrandom",
        "RandomState",
        "tokio",
    ];
    let folders = members();
    let mut broken = Vec::new();
    for name in PURE {
        for file in sources_of(&folders[name]) {
            let text = without_tests(&read(&file));
            for (number, line) in text.lines().enumerate() {
                let code = line.split("//").next().unwrap_or_default();
                let found = banned.iter().filter(|word| code.contains(**word));
                broken.extend(found.map(|word| (file.clone(), number + 1, *word)));
            }
        }
    }
    assert!(broken.is_empty(), "{broken:#?}");
}

#[test]
fn pure_crate_depends_on_nothing_that_touches_the_outside() {
    let outside = [
        "tokio", "mio", "socket2", "rustix", "libc", "rand", "io-uring", "xsk-rs",
    ];
    for name in NO_STD {
        assert_depends_on_none(name, &outside);
    }
    assert_depends_on_none(
        "resolver",
        &["tokio", "mio", "socket2", "io-uring", "xsk-rs"],
    );
}

#[test]
fn crate_that_is_no_edge_forbids_unsafe_code() {
    let mut broken = Vec::new();
    for (name, folder) in members() {
        let roots = ["src/lib.rs", "src/main.rs"].map(|file| folder.join(file));
        for root in roots.into_iter().filter(|root| root.exists()) {
            let text = read(&root);
            let forbids = text.contains("#![forbid(unsafe_code)]");
            let is_edge = EDGE.contains(&name.as_str());
            let keeps_no_std = !NO_STD.contains(&name.as_str()) || text.contains("#![no_std]");
            if !(forbids || is_edge) || !keeps_no_std {
                broken.push(root);
            }
        }
    }
    assert!(
        broken.is_empty(),
        "no forbid(unsafe_code), or no no_std: {broken:#?}"
    );
}

#[test]
fn worker_links_no_async_runtime_and_control_no_packet_ring() {
    assert_depends_on_none(
        "worker",
        &["tokio", "mio", "axum", "async-io", "node", "resolver"],
    );
    assert_depends_on_none(
        "node",
        &["port", "worker", "bpf-redirect", "xsk-rs", "libbpf-rs"],
    );
    assert_depends_on_none("cli", &["port", "worker", "xsk-rs"]);
}

#[test]
fn every_dependency_has_a_licence_on_the_list() {
    let metadata = metadata();
    let packages = metadata["packages"].as_array().unwrap();
    assert!(packages.len() > 50);
    for package in packages {
        let licence = package["license"].as_str().unwrap_or("none");
        assert!(is_allowed(licence), "{}: {licence}", package["name"]);
    }
    let policy = read(&root().join("deny.toml"));
    for licence in LICENCES {
        assert!(
            policy.contains(&format!("    \"{licence}\",")),
            "deny.toml lacks {licence}"
        );
    }
}

#[test]
fn licence_expression_with_only_copyleft_is_refused() {
    let cases = [
        ("MIT OR Apache-2.0", true),
        ("MIT/Apache-2.0", true),
        ("LGPL-2.1-only OR BSD-2-Clause", true),
        ("(MIT OR Apache-2.0) AND Unicode-3.0", true),
        ("Apache-2.0 WITH LLVM-exception OR GPL-2.0", true),
        ("GPL-2.0-only", false),
        ("(MIT OR Apache-2.0) AND GPL-3.0-only", false),
        ("MIT AND (GPL-2.0 OR LGPL-2.1)", false),
        ("none", false),
    ];
    for (expression, allowed) in cases {
        assert_eq!(is_allowed(expression), allowed, "{expression}");
    }
}

#[test]
fn no_file_outgrows_its_limit() {
    let mut broken = Vec::new();
    for file in files(&["rs", "c", "h"]) {
        let text = read(&file);
        let is_bpf = file.to_string_lossy().ends_with(".bpf.c");
        let lines_max = if is_bpf {
            BPF_LINES_MAX
        } else {
            FILE_LINES_MAX
        };
        let lines = without_tests(&text).lines().count();
        if lines > lines_max {
            broken.push((file, lines));
        }
    }
    assert!(broken.is_empty(), "too long without tests: {broken:#?}");
}

#[test]
fn no_tracked_file_names_a_path_of_one_machine() {
    // Put together here, so that this file does not break its own rule.
    let banned = [
        ["/wo", "rk/"],
        ["/ro", "ot/"],
        ["/tmp/tar", "get"],
        ["/.car", "go/"],
    ];
    let banned = banned.map(|parts| parts.concat());
    let mut broken = Vec::new();
    for file in files(&[]) {
        let Ok(text) = fs::read_to_string(&file) else {
            continue;
        }; // Binary: a corpus, an image.
        for (number, line) in text.lines().enumerate() {
            if banned.iter().any(|path| line.contains(path)) {
                broken.push(format!("{}:{}: {line}", file.display(), number + 1));
            }
        }
    }
    assert!(broken.is_empty(), "{broken:#?}");
}

#[test]
fn no_stub_or_silenced_test_is_left() {
    let banned = [["todo", "!("], ["unimpl", "emented!("], ["#[ig", "nore]"]];
    let banned = banned.map(|parts| parts.concat());
    let mut broken = Vec::new();
    for file in files(&["rs"]) {
        for (number, line) in read(&file).lines().enumerate() {
            if banned.iter().any(|word| line.contains(word)) {
                broken.push(format!("{}:{}: {line}", file.display(), number + 1));
            }
        }
    }
    assert!(broken.is_empty(), "{broken:#?}");
}

#[test]
fn readme_is_short_and_maps_every_crate_with_its_kind() {
    let readme = read(&root().join("README.md"));
    let lines = readme.lines().count();
    assert!(lines < README_LINES_MAX, "README.md has {lines} lines");
    for (name, folder) in members() {
        let folder = folder.strip_prefix(root()).unwrap().display().to_string();
        let start = format!("| `{folder}/` | ");
        let row = readme.lines().find_map(|line| line.strip_prefix(&start));
        let row = row.unwrap_or_else(|| panic!("README.md has no row {start}"));
        let kind = row.split(' ').next().unwrap();
        assert_eq!(
            kind == "edge",
            EDGE.contains(&name.as_str()),
            "{folder} is called {kind}"
        );
        assert!(
            kind == "pure" || !PURE.contains(&name.as_str()),
            "{folder} is called {kind}"
        );
    }
}

#[test]
fn readme_names_only_files_that_exist() {
    let readme = read(&root().join("README.md"));
    let words = readme.split(['`', '(', ')', ' ', '\n']);
    let paths: BTreeSet<&str> = words.filter(|word| is_path(word)).collect();
    let missing: Vec<_> = paths
        .iter()
        .filter(|path| !root().join(path).exists())
        .collect();
    assert!(paths.len() > 10, "found only {paths:?}");
    assert!(missing.is_empty(), "README.md names {missing:?}");
}

#[test]
fn units_name_what_the_package_installs() {
    let manifest = read(&root().join("control/cli/Cargo.toml"));
    for unit in [
        "nexus-dataplane.service",
        "nexus-control.service",
        "nexus-certwatch.service",
    ] {
        let text = read(&root().join("packaging").join(unit));
        assert!(manifest.contains(unit), "{unit} is not packaged");
        // Nothing is final: a NIC or an address that is missing now may be there later. But what is
        // off stays so until somebody changes it.
        assert!(text.contains("\nRestart=always\n"), "{unit}");
        let is_optional = unit == "nexus-certwatch.service";
        assert_eq!(text.contains("RestartPrevent"), is_optional, "{unit}");
        let commands = text.lines().filter_map(|line| line.strip_prefix("Exec"));
        for command in commands.filter_map(|line| line.split_once('=')) {
            let program = command.1.split_whitespace().next().unwrap();
            let (folder, name) = program.rsplit_once('/').unwrap();
            let asset = format!("[\"target/release/{name}\", \"{}/\"", &folder[1..]);
            assert!(
                manifest.contains(&asset),
                "{unit}: {program} is not packaged"
            );
        }
    }
    let workers = read(&root().join("packaging/nexus-dataplane.service"));
    assert!(workers.contains("RestrictAddressFamilies=AF_XDP "));
}

// Helpers.

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../..")
        .canonicalize()
        .unwrap()
}

fn read(path: &Path) -> String {
    fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// Whether a word of the README is a path of this tree: it begins with one of its folders.
fn is_path(word: &str) -> bool {
    let first = word.split_once('/').map(|(first, _)| first);
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"/._-".contains(&byte);
    first.is_some_and(|first| !first.is_empty() && root().join(first).is_dir())
        && word.bytes().all(is_plain)
}

/// Lines before the tests at the end of a file; nothing of a file of tests.
fn without_tests(text: &str) -> String {
    let lines = text
        .lines()
        .take_while(|line| line.trim() != "#[cfg(test)]");
    lines.collect::<Vec<_>>().join("\n")
}

/// Files of these endings, or all: tracked ones, or every one where there is no repository.
fn files(endings: &[&str]) -> Vec<PathBuf> {
    let root = root();
    let listed = Command::new("git")
        .args(["ls-files", "-z"])
        .current_dir(&root)
        .output();
    let mut files = match listed {
        Ok(listed) if listed.status.success() => {
            let names = String::from_utf8(listed.stdout).unwrap();
            names
                .split_terminator('\0')
                .map(|name| root.join(name))
                .collect()
        }
        _ => walk(&root),
    };
    files.retain(|file| {
        let ending = file
            .extension()
            .and_then(|ending| ending.to_str())
            .unwrap_or_default();
        file.is_file() && (endings.is_empty() || endings.contains(&ending))
    });
    files
}

fn walk(folder: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap_or_default();
        match path.is_dir() {
            true if name == "target" || name == ".git" => {}
            true => files.extend(walk(&path)),
            false => files.push(path),
        }
    }
    files
}

/// Source files of a crate that are no tests.
fn sources_of(folder: &Path) -> Vec<PathBuf> {
    let sources = folder.join("src");
    let mut files = walk(&sources);
    files.retain(|file| {
        let is_test = file.file_stem().is_some_and(|stem| stem == "tests");
        let in_tests = file.components().any(|part| part.as_os_str() == "tests");
        file.extension().is_some_and(|ending| ending == "rs") && !is_test && !in_tests
    });
    assert!(!files.is_empty(), "{}", sources.display());
    files
}

fn cargo(arguments: &[&str]) -> String {
    let output = Command::new(env!("CARGO"))
        .args(arguments)
        .current_dir(root())
        .output()
        .unwrap();
    let complaint = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "cargo {arguments:?}: {complaint}");
    String::from_utf8(output.stdout).unwrap()
}

fn metadata() -> Value {
    let text = cargo(&["metadata", "--offline", "--locked", "--format-version", "1"]);
    serde_json::from_str(&text).unwrap()
}

/// Name and folder of each crate of the workspace.
fn members() -> BTreeMap<String, PathBuf> {
    let text = cargo(&[
        "metadata",
        "--no-deps",
        "--offline",
        "--locked",
        "--format-version",
        "1",
    ]);
    let metadata: Value = serde_json::from_str(&text).unwrap();
    let packages = metadata["packages"].as_array().unwrap();
    let member = |package: &Value| {
        let manifest = Path::new(package["manifest_path"].as_str().unwrap());
        (
            package["name"].as_str().unwrap().to_owned(),
            manifest.parent().unwrap().to_owned(),
        )
    };
    packages.iter().map(member).collect()
}

/// What a crate links, itself excluded; build scripts and tests do not count.
fn dependencies(name: &str) -> BTreeSet<String> {
    let tree = cargo(&[
        "tree",
        "--offline",
        "--locked",
        "-p",
        name,
        "-e",
        "normal",
        "--prefix",
        "none",
        "-f",
        "{p}",
    ]);
    let first_words = tree
        .lines()
        .filter_map(|line| line.split_whitespace().next());
    first_words
        .filter(|word| *word != name)
        .map(str::to_owned)
        .collect()
}

fn assert_depends_on_none(name: &str, banned: &[&str]) {
    let dependencies = dependencies(name);
    let found: Vec<_> = banned
        .iter()
        .filter(|ban| dependencies.contains(**ban))
        .collect();
    assert!(found.is_empty(), "{name} links {found:?}");
}

/// Whether some choice of an SPDX expression stays on the list. `AND` binds tighter than `OR`.
fn is_allowed(expression: &str) -> bool {
    let spaced = expression
        .replace('/', " OR ")
        .replace('(', " ( ")
        .replace(')', " ) ");
    let words: Vec<&str> = spaced.split_whitespace().collect();
    let mut rest = words.as_slice();
    any_of(&mut rest) && rest.is_empty()
}

fn any_of(rest: &mut &[&str]) -> bool {
    let mut allowed = all_of(rest);
    while let [first, tail @ ..] = *rest
        && *first == "OR"
    {
        *rest = tail;
        allowed |= all_of(rest);
    }
    allowed
}

fn all_of(rest: &mut &[&str]) -> bool {
    let mut allowed = one(rest);
    while let [first, tail @ ..] = *rest
        && *first == "AND"
    {
        *rest = tail;
        allowed &= one(rest);
    }
    allowed
}

fn one(rest: &mut &[&str]) -> bool {
    match *rest {
        ["(", tail @ ..] => {
            *rest = tail;
            let allowed = any_of(rest);
            if let [")", tail @ ..] = *rest {
                *rest = tail;
            }
            allowed
        }
        [licence, "WITH", exception, tail @ ..] => {
            *rest = tail;
            LICENCES.contains(&format!("{licence} WITH {exception}").as_str())
        }
        [licence, tail @ ..] => {
            *rest = tail;
            LICENCES.contains(licence)
        }
        [] => false,
    }
}
