//! Splits a master file into entries and words (RFC 1035 §5.1): comments, parentheses and quotes are resolved here.
//!
//! Escapes stay as written, since `\.` means different things in a name and in a string.

use super::error::{Fault, Problem, quote_word};

/// One word of an entry.
#[derive(Debug, Clone, Copy)]
pub(super) struct Token<'a> {
    /// The word without its quotes, escapes as written.
    pub(super) raw: &'a [u8],
    pub(super) quoted: bool,
    /// No space stood between this word and the one before: `key="value"` is two joined words.
    pub(super) joined: bool,
    pub(super) line: u32,
    /// Of the first byte, or of the opening quote.
    pub(super) column: u32,
}

impl Token<'_> {
    /// A fault at the start of this word.
    pub(super) fn fault(&self, problem: Problem) -> Fault {
        Fault {
            line: self.line,
            column: self.column,
            problem,
        }
    }

    /// A fault at a byte of `raw`.
    pub(super) fn fault_at(&self, offset: usize, problem: Problem) -> Fault {
        let before = self.raw.get(..offset).unwrap_or(self.raw);
        let lines = before.iter().filter(|&&byte| byte == b'\n').count();
        let start = before.iter().rposition(|&byte| byte == b'\n');
        // On a further line the columns count from the line end before, on the first from the word.
        let (column, skipped) = match start {
            Some(start) => (0, offset - start),
            None => (self.column.saturating_add(u32::from(self.quoted)), offset),
        };
        let count = |number: usize| u32::try_from(number).unwrap_or(u32::MAX);
        Fault {
            line: self.line.saturating_add(count(lines)),
            column: column.saturating_add(count(skipped)),
            problem,
        }
    }

    /// The fault of being something else than `expected`.
    pub(super) fn unexpected(&self, expected: &'static str) -> Fault {
        self.fault(Problem::Unexpected {
            found: quote_word(self.raw),
            expected,
        })
    }

    /// The word as text, when it is unquoted ASCII.
    pub(super) fn word(&self) -> Option<&str> {
        if self.quoted || !self.raw.is_ascii() {
            return None;
        }
        std::str::from_utf8(self.raw).ok()
    }

    /// The word as an unsigned decimal number without sign.
    pub(super) fn number<T: std::str::FromStr>(&self) -> Option<T> {
        self.word()
            .filter(|word| word.bytes().all(|byte| byte.is_ascii_digit()))?
            .parse()
            .ok()
    }
}

/// What [`Scanner::next_entry`] found besides the words.
#[derive(Debug, Clone, Copy)]
pub(super) struct Entry {
    /// The entry starts with a space: its owner is that of the record before.
    pub(super) blank_owner: bool,
    /// Where the entry ends, for errors about what is missing.
    pub(super) end_line: u32,
    pub(super) end_column: u32,
}

/// Reads one file from its start to its end.
pub(super) struct Scanner<'a> {
    text: &'a [u8],
    offset: usize,
    line: u32,
    line_start: usize,
}

impl<'a> Scanner<'a> {
    pub(super) fn new(text: &'a [u8]) -> Self {
        // A byte order mark, which some editors write, is not part of the first owner name.
        let text = text.strip_prefix(b"\xef\xbb\xbf").unwrap_or(text);
        Self {
            text,
            offset: 0,
            line: 1,
            line_start: 0,
        }
    }

    /// Reads up to the next entry with at least one word and puts its words into `tokens`. `None` at the end of the file.
    pub(super) fn next_entry(
        &mut self,
        tokens: &mut Vec<Token<'a>>,
    ) -> Result<Option<Entry>, Fault> {
        loop {
            tokens.clear();
            if self.offset >= self.text.len() {
                return Ok(None);
            }
            let blank_owner = matches!(self.text.get(self.offset), Some(b' ' | b'\t'));
            let (end_line, end_column) = self.read_entry(tokens)?;
            if !tokens.is_empty() {
                return Ok(Some(Entry {
                    blank_owner,
                    end_line,
                    end_column,
                }));
            }
        }
    }

    /// Reads words until a line end outside of parentheses; returns where that is.
    fn read_entry(&mut self, tokens: &mut Vec<Token<'a>>) -> Result<(u32, u32), Fault> {
        let mut depth_opened: Vec<(u32, u32)> = Vec::new();
        let mut joined = false;
        loop {
            let Some(&byte) = self.text.get(self.offset) else {
                return match depth_opened.last() {
                    None => Ok((self.line, self.column())),
                    Some(&(line, column)) => Err(Fault {
                        line,
                        column,
                        problem: Problem::ParenthesisOpen,
                    }),
                };
            };
            match byte {
                b'\n' => {
                    let end = (self.line, self.column());
                    self.end_line();
                    if depth_opened.is_empty() {
                        return Ok(end);
                    }
                    joined = false;
                }
                b' ' | b'\t' | b'\r' => {
                    self.offset += 1;
                    joined = false;
                }
                b';' => {
                    self.skip_comment();
                    joined = false;
                }
                b'(' => {
                    depth_opened.push((self.line, self.column()));
                    self.offset += 1;
                    joined = false;
                }
                b')' => {
                    if depth_opened.pop().is_none() {
                        return Err(self.fault(Problem::ParenthesisClose));
                    }
                    self.offset += 1;
                    joined = false;
                }
                b'"' => {
                    tokens.push(self.read_quoted(joined, !depth_opened.is_empty())?);
                    joined = true;
                }
                _ => {
                    tokens.push(self.read_plain(joined));
                    joined = true;
                }
            }
        }
    }

    /// In parentheses a line end is no end (RFC 1035 §5.1), nor is it one inside of quotes there. Elsewhere a quote that was
    /// forgotten must not swallow the lines up to the next one; NSD takes that, Knot DNS does not.
    fn read_quoted(&mut self, joined: bool, in_parentheses: bool) -> Result<Token<'a>, Fault> {
        let (line, column) = (self.line, self.column());
        self.offset += 1;
        let start = self.offset;
        loop {
            match self.text.get(self.offset) {
                Some(b'"') => break,
                Some(b'\n') if in_parentheses => self.end_line(),
                Some(b'\n') | None => {
                    return Err(Fault {
                        line,
                        column,
                        problem: Problem::QuoteOpen,
                    });
                }
                Some(b'\\') if !self.at_line_end(self.offset + 1) => self.offset += 2,
                Some(_) => self.offset += 1,
            }
        }
        let raw = self.text.get(start..self.offset).unwrap_or(&[]);
        self.offset += 1;
        Ok(Token {
            raw,
            quoted: true,
            joined,
            line,
            column,
        })
    }

    fn read_plain(&mut self, joined: bool) -> Token<'a> {
        let (line, column, start) = (self.line, self.column(), self.offset);
        while let Some(&byte) = self.text.get(self.offset) {
            match byte {
                b' ' | b'\t' | b'\r' | b'\n' | b';' | b'(' | b')' | b'"' => break,
                b'\\' if !self.at_line_end(self.offset + 1) => self.offset += 2,
                _ => self.offset += 1,
            }
        }
        let raw = self.text.get(start..self.offset).unwrap_or(&[]);
        Token {
            raw,
            quoted: false,
            joined,
            line,
            column,
        }
    }

    fn skip_comment(&mut self) {
        let rest = self.text.get(self.offset..).unwrap_or(&[]);
        self.offset += rest
            .iter()
            .position(|&byte| byte == b'\n')
            .unwrap_or(rest.len());
    }

    fn at_line_end(&self, offset: usize) -> bool {
        matches!(self.text.get(offset), None | Some(b'\n'))
            || self.text.get(offset..offset + 2) == Some(b"\r\n")
    }

    fn end_line(&mut self) {
        self.offset += 1;
        self.line = self.line.saturating_add(1);
        self.line_start = self.offset;
    }

    fn column(&self) -> u32 {
        u32::try_from(self.offset - self.line_start + 1).unwrap_or(u32::MAX)
    }

    fn fault(&self, problem: Problem) -> Fault {
        Fault {
            line: self.line,
            column: self.column(),
            problem,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(text: &str) -> Vec<Vec<String>> {
        let mut scanner = Scanner::new(text.as_bytes());
        let (mut entries, mut tokens) = (Vec::new(), Vec::new());
        while scanner
            .next_entry(&mut tokens)
            .expect("text without faults")
            .is_some()
        {
            entries.push(
                tokens
                    .iter()
                    .map(|token| String::from_utf8_lossy(token.raw).into_owned())
                    .collect(),
            );
        }
        entries
    }

    #[test]
    fn comments_and_empty_lines_give_no_entry() {
        assert_eq!(words("; one\n\n   ; two\n\t\r\n a b ; c\n"), [["a", "b"]]);
    }

    #[test]
    fn parentheses_join_lines_and_may_be_nested() {
        assert_eq!(
            words("a (b ; x\n ( c\n\n) d\n) e\nf\n"),
            [vec!["a", "b", "c", "d", "e"], vec!["f"]]
        );
    }

    #[test]
    fn quotes_keep_spaces_semicolons_and_escaped_quotes() {
        assert_eq!(
            words(r#"a "b ;( c" "" "\"d" e\ f"#),
            [["a", "b ;( c", "", r#"\"d"#, r"e\ f"]]
        );
    }

    #[test]
    fn words_without_space_between_are_marked_joined() {
        let mut tokens = Vec::new();
        Scanner::new(b"k=\"v\" x")
            .next_entry(&mut tokens)
            .expect("no faults");
        let joined: Vec<bool> = tokens.iter().map(|token| token.joined).collect();
        assert_eq!(joined, [false, true, false]);
    }

    #[test]
    fn faults_name_where_the_open_quote_or_parenthesis_stands() {
        let cases = [
            ("a\n b \"c\nd\"", 2, 4, Problem::QuoteOpen),
            ("a (\n (b)\n c\n", 1, 3, Problem::ParenthesisOpen),
            ("a (b))", 1, 6, Problem::ParenthesisClose),
            ("a \"b\\", 1, 3, Problem::QuoteOpen),
        ];
        for (text, line, column, problem) in cases {
            let mut scanner = Scanner::new(text.as_bytes());
            let mut tokens = Vec::new();
            let fault = loop {
                match scanner.next_entry(&mut tokens) {
                    Ok(Some(_)) => {}
                    Ok(None) => panic!("no fault in {text:?}"),
                    Err(fault) => break fault,
                }
            };
            assert_eq!(
                fault,
                Fault {
                    line,
                    column,
                    problem
                },
                "{text:?}"
            );
        }
    }
}
