//! The text of an `unbound.conf`: keywords that end with a colon, each with as many words as it takes.
//!
//! Lines mean nothing but the end of a comment or of a quoted word.

/// One keyword with its words.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Statement {
    pub(super) line: u32,
    /// Without the colon.
    pub(super) keyword: String,
    pub(super) values: Vec<String>,
}

/// Why a text is no `unbound.conf`.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum SyntaxError {
    #[error("{line}: found `{found}`; expected a keyword and a colon, such as `port:`")]
    Keyword { line: u32, found: String },
    #[error("{line}: `{keyword}:` ends too early; expected {expected} after it")]
    Values {
        line: u32,
        keyword: String,
        expected: String,
    },
    #[error("{line}: the word that begins with {quote} never ends; expected {quote} on that line")]
    Quote { line: u32, quote: char },
}

/// What opens a part of the file and has no word of its own.
pub(super) const CLAUSES: [&str; 13] = [
    "server",
    "remote-control",
    "stub-zone",
    "forward-zone",
    "auth-zone",
    "rpz",
    "view",
    "python",
    "dynlib",
    "dnscrypt",
    "cachedb",
    "ipset",
    "dnstap",
];

/// Keywords of several words; all others have one.
const TWO_WORDS: [&str; 13] = [
    "access-control",
    "access-control-tag",
    "access-control-view",
    "interface-action",
    "interface-tag",
    "interface-view",
    "local-zone",
    "local-zone-tag",
    "response-ip",
    "response-ip-data",
    "response-ip-tag",
    "edns-client-string",
    "wait-limit-netblock",
];
const TWO_NUMBERS: [&str; 3] = [
    "ratelimit-for-domain",
    "ratelimit-below-domain",
    "wait-limit-cookie-netblock",
];
const THREE_WORDS: [&str; 5] = [
    "access-control-tag-action",
    "access-control-tag-data",
    "interface-tag-action",
    "interface-tag-data",
    "local-zone-override",
];

/// Splits a text into its statements.
pub(super) fn parse(text: &str) -> Result<Vec<Statement>, SyntaxError> {
    let mut words = Words {
        rest: text,
        line: 1,
    };
    let mut statements = Vec::new();
    while let Some((line, keyword)) = words.keyword()? {
        let count = words_of(keyword);
        let mut values = Vec::with_capacity(count);
        for _ in 0..count {
            let value = words.value()?.ok_or_else(|| SyntaxError::Values {
                line,
                keyword: keyword.to_owned(),
                expected: match count {
                    1 => "a word".to_owned(),
                    _ => format!("{count} words"),
                },
            })?;
            values.push(value.to_owned());
        }
        statements.push(Statement {
            line,
            keyword: keyword.to_owned(),
            values,
        });
    }
    Ok(statements)
}

fn words_of(keyword: &str) -> usize {
    if CLAUSES.contains(&keyword) {
        0
    } else if THREE_WORDS.contains(&keyword) {
        3
    } else if TWO_WORDS.contains(&keyword) || TWO_NUMBERS.contains(&keyword) {
        2
    } else {
        1
    }
}

struct Words<'t> {
    rest: &'t str,
    line: u32,
}

impl<'t> Words<'t> {
    /// The next keyword and its line; `None` at the end.
    fn keyword(&mut self) -> Result<Option<(u32, &'t str)>, SyntaxError> {
        self.skip_blanks();
        if self.rest.is_empty() {
            return Ok(None);
        }
        let end = self.rest.find(|c: char| c == ':' || is_end(c));
        match end.and_then(|end| self.rest.split_at_checked(end)) {
            Some((keyword, after)) if !keyword.is_empty() && after.starts_with(':') => {
                self.rest = after.strip_prefix(':').unwrap_or_default();
                Ok(Some((self.line, keyword)))
            }
            _ => {
                let found = self.rest.split(char::is_whitespace).next();
                Err(SyntaxError::Keyword {
                    line: self.line,
                    found: found.unwrap_or_default().chars().take(80).collect(),
                })
            }
        }
    }

    /// The next word, without its quotes; `None` at the end. A colon is a letter here.
    fn value(&mut self) -> Result<Option<&'t str>, SyntaxError> {
        self.skip_blanks();
        let Some(first) = self.rest.chars().next() else {
            return Ok(None);
        };
        if first != '"' && first != '\'' {
            let end = end_of(self.rest, is_end);
            let (word, after) = self.rest.split_at_checked(end).unwrap_or((self.rest, ""));
            self.rest = after;
            return Ok(Some(word));
        }
        let inside = self.rest.strip_prefix(first).unwrap_or_default();
        let end = end_of(inside, |c| c == first || c == '\n');
        let split = inside.split_at_checked(end);
        match split.and_then(|(word, after)| Some((word, after.strip_prefix(first)?))) {
            Some((word, after)) => {
                self.rest = after;
                Ok(Some(word))
            }
            None => Err(SyntaxError::Quote {
                line: self.line,
                quote: first,
            }),
        }
    }

    fn skip_blanks(&mut self) {
        loop {
            let trimmed = self.rest.trim_start();
            let blanks = self.rest.len() - trimmed.len();
            let lines = self.rest.bytes().take(blanks).filter(|&byte| byte == b'\n');
            self.line = self
                .line
                .saturating_add(u32::try_from(lines.count()).unwrap_or(u32::MAX));
            self.rest = trimmed;
            if !trimmed.starts_with('#') {
                return;
            }
            let end = trimmed.find('\n').unwrap_or(trimmed.len());
            self.rest = trimmed.get(end..).unwrap_or_default();
        }
    }
}

fn is_end(c: char) -> bool {
    c.is_whitespace() || c == '"' || c == '\''
}

/// Where the first letter that `ends` accepts stands; a backslash covers the letter behind it.
fn end_of(text: &str, ends: impl Fn(char) -> bool) -> usize {
    let mut is_covered = false;
    for (index, c) in text.char_indices() {
        if c == '\n' || !is_covered {
            if ends(c) {
                return index;
            }
            is_covered = c == '\\';
        } else {
            is_covered = false;
        }
    }
    text.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn short(text: &str) -> Vec<String> {
        let statements = parse(text).unwrap();
        let show = |s: Statement| format!("{} {} {}", s.line, s.keyword, s.values.join("|"));
        statements.into_iter().map(show).collect()
    }

    #[test]
    fn keywords_take_their_words_across_lines_comments_and_quotes() {
        let text = "server: # a comment: with colon\n  port:53 interface: ::1@5353\n\
                    access-control:\n\t10.0.0.0/8 # why\n\tallow\n\
                    local-data: 'a. TXT \"b # c\"'\nlocal-data: \"d. TXT \\\"e\\\"\"\nname: .";
        assert_eq!(
            short(text),
            [
                "1 server ",
                "2 port 53",
                "2 interface ::1@5353",
                "3 access-control 10.0.0.0/8|allow",
                "6 local-data a. TXT \"b # c\"",
                "7 local-data d. TXT \\\"e\\\"",
                "8 name .",
            ]
        );
    }

    #[test]
    fn what_is_no_keyword_or_lacks_its_words_is_an_error_with_its_line() {
        for (text, expected) in [
            ("server:\nport 53", "2: found `port`; expected a keyword"),
            ("\"server:\"", "1: found `\"server:\"`; expected a keyword"),
            (":", "1: found `:`; expected a keyword"),
            ("port:", "1: `port:` ends too early; expected a word"),
            (
                "\naccess-control: ::1",
                "2: `access-control:` ends too early; expected 2 words",
            ),
            ("a: 'b\n'", "1: the word that begins with ' never ends"),
            ("a: \"b\\\"", "1: the word that begins with \" never ends"),
        ] {
            let error = parse(text).unwrap_err().to_string();
            assert!(error.starts_with(expected), "{text}: {error}");
        }
    }

    #[test]
    fn any_text_is_split_or_refused_and_no_word_has_a_line_end_inside_quotes() {
        bolero::check!()
            .with_iterations(20_000)
            .for_each(|bytes: &[u8]| {
                let text = String::from_utf8_lossy(bytes);
                let Ok(statements) = parse(&text) else { return };
                let lines = text.bytes().filter(|&byte| byte == b'\n').count();
                for statement in statements {
                    assert!(!statement.keyword.is_empty());
                    assert!(statement.line as usize <= lines + 1);
                    assert_eq!(statement.values.len(), words_of(&statement.keyword));
                }
            });
    }
}
