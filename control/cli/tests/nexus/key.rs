//! `nexus key show`, and what `nexus check` says of lines that it prints.

use cli::exit::Exit;
use serde_json::Value;

use crate::support::Place;

fn place(number: u8) -> Place {
    let place = Place::new();
    let folder = place.path(&format!("node{number}"));
    let text = format!("node: {{data_dir: {}}}\n", folder.display());
    place.write("nexus.yaml", &text);
    place
}

#[test]
fn lines_of_four_nodes_make_a_configuration_that_is_good() {
    let nodes = [1, 2, 3, 4].map(place);
    let lines = nodes.iter().enumerate().map(|(index, node)| {
        let (exit, line) = node.run(&["key", "show", &format!("192.0.2.{}", index + 1)]);
        assert_eq!(exit.unwrap(), Exit::Success);
        let again = node.run(&["key", "show", &format!("192.0.2.{}", index + 1)]);
        assert_eq!(again.1, line, "the key stays");
        line
    });
    let members: String = lines.collect();
    let place = Place::new();
    let file = place.write("all.yaml", &format!("consensus:\n  members:\n{members}"));
    let (exit, text) = place.run(&["check", file.to_str().unwrap()]);
    assert_eq!(exit.unwrap(), Exit::Success, "{text}");
}

#[test]
fn key_is_shown_as_json() {
    let node = place(1);
    let (exit, text) = node.run(&["key", "show", "2001:db8::1", "--role", "witness", "--json"]);
    assert_eq!(exit.unwrap(), Exit::Success);
    let value: Value = serde_json::from_str(&text).unwrap();
    assert_eq!(value["address"], "[2001:db8::1]:4853");
    assert_eq!(value["role"], "witness");
    assert_eq!(value["key"].as_str().unwrap().len(), 64);
    assert_eq!(value["node"].as_str().unwrap().len(), 16);
}

#[test]
fn members_that_would_not_be_safe_are_a_mistake() {
    let place = Place::new();
    let key = "00".repeat(32);
    let member = format!("{{key: \"{key}\", role: edge, address: \"192.0.2.1:4853\"}}");
    let text = format!("consensus: {{members: [{member}]}}");
    let file = place.write("all.yaml", &text);
    let (exit, text) = place.run(&["check", file.to_str().unwrap()]);
    assert_eq!(exit.unwrap(), Exit::Usage);
    assert!(text.contains("consensus.members: 0 voters"), "{text}");
}
