//! The clauses of an `unbound.conf` and of all files that it includes.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context, bail};

use super::statement::{self, CLAUSES, Statement};

/// Longest file, in bytes: lists of blocked names are long.
const FILE_BYTES_MAX: u64 = 64 << 20;
/// Files read, each counted as often as it is included.
const FILES_MAX: usize = 1_000;
/// Files that include each other.
const DEPTH_MAX: usize = 16;

/// `server:` or another part of the file.
#[derive(Debug)]
pub(super) struct Clause {
    pub(super) kind: String,
    pub(super) file: Arc<Path>,
    pub(super) line: u32,
    pub(super) settings: Vec<Setting>,
}

/// One option with its words.
#[derive(Clone, Debug)]
pub(super) struct Setting {
    pub(super) file: Arc<Path>,
    pub(super) line: u32,
    /// Under the name that Unbound's manual prefers today.
    pub(super) option: String,
    pub(super) values: Vec<String>,
}

impl Setting {
    /// The only word, or the first one.
    pub(super) fn value(&self) -> &str {
        self.values.first().map_or("", String::as_str)
    }
}

impl Clause {
    /// What an option says the last time; Unbound goes by that.
    pub(super) fn last(&self, option: &str) -> Option<&str> {
        let mut settings = self.settings.iter().rev();
        let setting = settings.find(|setting| setting.option == option)?;
        Some(setting.value())
    }

    /// All settings of an option.
    pub(super) fn all<'s>(&'s self, option: &'s str) -> impl Iterator<Item = &'s Setting> {
        let settings = self.settings.iter();
        settings.filter(move |setting| setting.option == option)
    }
}

/// Reads a file and what it includes. Names of included files are relative to the folder of the file
/// that includes them.
///
/// # Errors
/// With file and line: what cannot be read, or is no `unbound.conf`.
pub(super) fn read(path: &Path) -> anyhow::Result<Vec<Clause>> {
    let mut reader = Reader {
        clauses: Vec::new(),
        is_inside: false,
        files: 0,
        names: BTreeMap::from(ALIASES),
    };
    reader.read(path, 0)?;
    Ok(reader.clauses)
}

/// Former names of options.
const ALIASES: [(&str, &str); 13] = [
    ("ip-address", "interface"),
    ("master", "primary"),
    ("caps-whitelist", "caps-exempt"),
    ("ipsecmod-whitelist", "ipsecmod-allow"),
    ("ssl-upstream", "tls-upstream"),
    ("ssl-service-key", "tls-service-key"),
    ("ssl-service-pem", "tls-service-pem"),
    ("ssl-port", "tls-port"),
    ("ssl-cert-bundle", "tls-cert-bundle"),
    ("stub-ssl-upstream", "stub-tls-upstream"),
    ("forward-ssl-upstream", "forward-tls-upstream"),
    ("additional-tls-port", "tls-additional-port"),
    ("val-override-date-time", "val-override-date"),
];

struct Reader {
    clauses: Vec<Clause>,
    /// Whether options go into the last clause.
    is_inside: bool,
    files: usize,
    names: BTreeMap<&'static str, &'static str>,
}

impl Reader {
    fn read(&mut self, path: &Path, depth: usize) -> anyhow::Result<()> {
        self.files += 1;
        if self.files > FILES_MAX || depth > DEPTH_MAX {
            bail!(
                "{}: expected at most {FILES_MAX} files, included {DEPTH_MAX} deep; does one include itself?",
                path.display()
            );
        }
        let text = read_text(path)?;
        let statements = statement::parse(&text);
        let statements =
            statements.map_err(|error| anyhow::anyhow!("{}:{error}", path.display()))?;
        let file: Arc<Path> = path.into();
        for statement in statements {
            self.take(&file, statement, depth)?;
        }
        Ok(())
    }

    fn take(&mut self, file: &Arc<Path>, statement: Statement, depth: usize) -> anyhow::Result<()> {
        let Statement {
            line,
            keyword,
            values,
        } = statement;
        let place = || format!("{}:{line}", file.display());
        match keyword.as_str() {
            "include" | "include-toplevel" => {
                let is_toplevel = keyword == "include-toplevel";
                self.is_inside &= !is_toplevel;
                for value in &values {
                    for path in included(file, value).with_context(place)? {
                        self.read(&path, depth + 1).with_context(place)?;
                    }
                }
                self.is_inside &= !is_toplevel;
            }
            kind if CLAUSES.contains(&kind) => {
                self.is_inside = true;
                self.clauses.push(Clause {
                    kind: keyword,
                    file: Arc::clone(file),
                    line,
                    settings: Vec::new(),
                });
            }
            _ => match self.clauses.last_mut() {
                Some(clause) if self.is_inside => {
                    let option = self.names.get(keyword.as_str());
                    clause.settings.push(Setting {
                        file: Arc::clone(file),
                        line,
                        option: option.map_or(keyword, |name| (*name).to_owned()),
                        values,
                    });
                }
                _ => bail!(
                    "{}: `{keyword}:` stands before any clause; expected one such as `server:` above it",
                    place()
                ),
            },
        }
        Ok(())
    }
}

/// The files of one include, in the order of their names. A pattern may match none; a name must exist.
fn included(file: &Path, pattern: &str) -> anyhow::Result<Vec<PathBuf>> {
    let folder = file.parent().unwrap_or(Path::new(""));
    if !pattern.contains(['*', '?', '[']) {
        return Ok(vec![folder.join(pattern)]);
    }
    // Letters of the folder's own name are no pattern.
    let folder = glob::Pattern::escape(&folder.to_string_lossy());
    let whole = Path::new(&folder).join(pattern);
    let paths = glob::glob(&whole.to_string_lossy())
        .with_context(|| format!("`{pattern}` is no pattern of file names"))?;
    let mut files = Vec::new();
    for path in paths.take(FILES_MAX + 1) {
        let path = path?;
        if path.is_file() {
            files.push(path);
        }
    }
    files.sort();
    Ok(files)
}

fn read_text(path: &Path) -> anyhow::Result<String> {
    let name = || path.display().to_string();
    let file = File::open(path).with_context(name)?;
    let mut bytes = Vec::new();
    file.take(FILE_BYTES_MAX + 1)
        .read_to_end(&mut bytes)
        .with_context(name)?;
    if bytes.len() as u64 > FILE_BYTES_MAX {
        bail!("{}: is longer than {FILE_BYTES_MAX} bytes", path.display());
    }
    // Comments may be in any encoding; names and numbers are ASCII.
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}
