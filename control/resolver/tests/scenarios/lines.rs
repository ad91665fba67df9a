//! The lines of a scenario file, those of included files in their places, and errors that name them.

use std::path::{Path, PathBuf};
use std::rc::Rc;

/// Most files that may be open inside each other by `INCLUDE`.
const INCLUDE_DEPTH_MAX: usize = 4;

/// Where a line stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Place {
    pub(crate) file: Rc<str>,
    /// From 1.
    pub(crate) line: usize,
}

impl Place {
    pub(crate) fn fault(&self, text: impl Into<String>) -> Fault {
        Fault {
            place: self.clone(),
            text: text.into(),
        }
    }
}

impl std::fmt::Display for Place {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}:{}", self.file, self.line)
    }
}

/// What is wrong with a file, or with what the resolver did with it.
#[derive(Debug)]
pub(crate) struct Fault {
    pub(crate) place: Place,
    pub(crate) text: String,
}

impl std::fmt::Display for Fault {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}: {}", self.place, self.text)
    }
}

/// One line as it stands in its file.
#[derive(Clone, Debug)]
pub(crate) struct Line {
    pub(crate) place: Place,
    pub(crate) raw: String,
}

impl Line {
    /// Its words, without a comment.
    pub(crate) fn words(&self) -> Vec<&str> {
        let statement = self.raw.split(';').next().unwrap_or_default();
        statement.split_whitespace().collect()
    }

    pub(crate) fn fault(&self, text: impl Into<String>) -> Fault {
        self.place.fault(text)
    }
}

/// Gives the text of a file named in a scenario, or says why not.
pub(crate) type Loader = Box<dyn Fn(&str) -> Result<String, String>>;

/// All lines of a scenario, and how far they were read.
pub(crate) struct Text {
    lines: Vec<Line>,
    next: usize,
    /// Opens files by their path from the folder of scenarios.
    pub(crate) load: Loader,
}

impl Text {
    /// Opens a file by its path from the folder of scenarios.
    pub(crate) fn open(root: &Path, name: &str) -> Result<Self, Fault> {
        let root: PathBuf = root.to_owned();
        let load: Loader = Box::new(move |path| {
            std::fs::read_to_string(root.join(path)).map_err(|error| format!("{path}: {error}"))
        });
        let start = Place {
            file: name.into(),
            line: 1,
        };
        let text = load(name).map_err(|error| start.fault(error))?;
        Self::new(name, &text, load)
    }

    /// Takes a text, and those that it includes.
    pub(crate) fn new(name: &str, text: &str, load: Loader) -> Result<Self, Fault> {
        let mut lines = Vec::new();
        take(name, text, &load, 0, &mut lines)?;
        Ok(Self {
            lines,
            next: 0,
            load,
        })
    }

    /// Whether the file begins with a comment, and that names an RFC.
    pub(crate) fn starts_with_citation(&self) -> bool {
        let comment = self.lines.iter().map(|line| line.raw.as_str());
        let mut comment = comment.take_while(|raw| raw.starts_with("; "));
        comment.any(|raw| raw.contains("RFC "))
    }

    /// The next line, whatever it is.
    pub(crate) fn next_raw(&mut self) -> Option<Line> {
        let line = self.lines.get(self.next)?.clone();
        self.next += 1;
        Some(line)
    }

    /// The next line that is neither empty nor a comment.
    pub(crate) fn next(&mut self) -> Option<Line> {
        loop {
            let line = self.next_raw()?;
            if !line.words().is_empty() {
                return Some(line);
            }
        }
    }

    /// The next line with a statement, which must exist.
    pub(crate) fn expect(&mut self, what: &str) -> Result<Line, Fault> {
        let end = self.end();
        self.next()
            .ok_or_else(|| end.fault(format!("the file ends, {what} was expected")))
    }

    /// Lets the line that was read last be read again.
    pub(crate) fn go_back(&mut self) {
        self.next = self.next.saturating_sub(1);
    }

    /// The place of the last line.
    pub(crate) fn end(&self) -> Place {
        let last = self.lines.last().map(|line| line.place.clone());
        last.unwrap_or(Place {
            file: "".into(),
            line: 1,
        })
    }
}

fn take(
    name: &str,
    text: &str,
    load: &Loader,
    depth: usize,
    out: &mut Vec<Line>,
) -> Result<(), Fault> {
    let file: Rc<str> = name.into();
    for (index, raw) in text.lines().enumerate() {
        let place = Place {
            file: Rc::clone(&file),
            line: index + 1,
        };
        let line = Line {
            place,
            raw: raw.to_owned(),
        };
        match line.words().as_slice() {
            ["INCLUDE", path] if depth < INCLUDE_DEPTH_MAX => {
                let included = load(path).map_err(|error| line.fault(error))?;
                take(path, &included, load, depth + 1, out)?;
            }
            ["INCLUDE", ..] => {
                let text =
                    format!("INCLUDE takes one path, {INCLUDE_DEPTH_MAX} files deep at most");
                return Err(line.fault(text));
            }
            _ => out.push(line),
        }
    }
    Ok(())
}
