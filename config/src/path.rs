//! From a place in the text to the key that stands there, and back. Used for errors only.

use serde_saphyr::granit_parser::{Event, Parser};

/// Line and column, both counted from 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Position {
    pub(crate) line: u64,
    pub(crate) column: u64,
}

/// A key or a value, named by its path from the root.
#[derive(Debug)]
struct Node {
    path: String,
    /// Path of the mapping around it, for a key.
    mapping: Option<String>,
    at: Position,
}

/// What surrounds the event that comes next.
enum Frame {
    /// A mapping, and the path of the key whose value comes next.
    Mapping {
        path: String,
        key: Option<String>,
    },
    Sequence {
        path: String,
        index: usize,
    },
}

/// Path of the key at `at`, or of the last one before it.
pub(crate) fn key_at(text: &str, at: Position) -> Option<String> {
    let node = nodes(text)
        .into_iter()
        .take_while(|node| node.at <= at)
        .last()?;
    (!node.path.is_empty()).then_some(node.path)
}

/// Path of the mapping at `at`, which starts where its first key does.
pub(crate) fn mapping_at(text: &str, at: Position) -> Option<String> {
    let node = nodes(text)
        .into_iter()
        .take_while(|node| node.at <= at)
        .last()?;
    let path = match node.mapping {
        Some(mapping) => mapping,
        None => node.path,
    };
    (!path.is_empty()).then_some(path)
}

/// Where the value of `path` stands; if it was left out, where the nearest part around it does.
pub(crate) fn position_of(text: &str, path: &str) -> Option<Position> {
    let nodes = nodes(text);
    let mut path = path;
    loop {
        // The value comes after its key under the same path.
        if let Some(node) = nodes.iter().rev().find(|node| node.path == path) {
            return Some(node.at);
        }
        path = path.get(..path.rfind(['.', '['])?)?;
    }
}

/// All keys and values in reading order, as far as the text can be scanned.
fn nodes(text: &str) -> Vec<Node> {
    let mut nodes = Vec::new();
    let mut frames: Vec<Frame> = Vec::new();
    for event in Parser::new_from_str(text) {
        let Ok((event, span)) = event else { break };
        let at = Position {
            line: span.start.line() as u64,
            column: span.start.col() as u64 + 1,
        };
        match event {
            Event::Scalar(value, ..) => {
                let mapping = match frames.last() {
                    Some(Frame::Mapping { path, key: None }) => Some(path.clone()),
                    _ => None,
                };
                let path = enter(&mut frames, Some(&value));
                nodes.push(Node { path, mapping, at });
            }
            Event::Alias(_) => {
                let path = enter(&mut frames, None);
                nodes.push(Node {
                    path,
                    mapping: None,
                    at,
                });
            }
            Event::MappingStart(..) => {
                let path = enter(&mut frames, None);
                nodes.push(Node {
                    path: path.clone(),
                    mapping: None,
                    at,
                });
                frames.push(Frame::Mapping { path, key: None });
            }
            Event::SequenceStart(..) => {
                let path = enter(&mut frames, None);
                nodes.push(Node {
                    path: path.clone(),
                    mapping: None,
                    at,
                });
                frames.push(Frame::Sequence { path, index: 0 });
            }
            Event::MappingEnd | Event::SequenceEnd => {
                frames.pop();
            }
            _ => {}
        }
    }
    nodes
}

/// The path of the node that starts now; `scalar` is its text if it is one.
fn enter(frames: &mut [Frame], scalar: Option<&str>) -> String {
    match frames.last_mut() {
        None => String::new(),
        Some(Frame::Sequence { path, index }) => {
            let path = format!("{path}[{index}]");
            *index += 1;
            path
        }
        Some(Frame::Mapping { path, key }) => match key.take() {
            Some(path_of_value) => path_of_value,
            None => {
                let name = scalar.unwrap_or("?").escape_debug();
                let path_of_key = if path.is_empty() {
                    name.to_string()
                } else {
                    format!("{path}.{name}")
                };
                *key = Some(path_of_key.clone());
                path_of_key
            }
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "a: 1\nb:\n  c: [x, {d: 2}]\n  e: ~\n";

    #[test]
    fn every_value_is_found_by_its_path_and_names_it_back() {
        for (path, line, column) in [
            ("a", 1, 4),
            ("b", 3, 3),
            ("b.c[0]", 3, 7),
            ("b.c[1].d", 3, 14),
            ("b.e", 4, 6),
        ] {
            let at = Position { line, column };
            assert_eq!(position_of(TEXT, path), Some(at), "{path}");
        }
        for (path, line, column) in [("a", 1, 1), ("b.c[0]", 3, 7), ("b.c[1].d", 3, 14)] {
            assert_eq!(
                key_at(TEXT, Position { line, column }).as_deref(),
                Some(path)
            );
        }
    }

    #[test]
    fn a_key_that_was_left_out_is_placed_at_what_surrounds_it() {
        assert_eq!(position_of(TEXT, "b.x.y"), position_of(TEXT, "b"));
        assert_eq!(position_of(TEXT, "zzz"), None);
    }
}
