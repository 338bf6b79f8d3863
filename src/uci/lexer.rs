//! Cuts UCI text into words the way libuci does: it sees one line at a time, and a quote or a backslash may
//! pull in the next. Its quirks are kept, because LuCI and `uci show` have them too.

pub(super) struct Lexer<'a> {
    text: &'a [u8],
    position: usize,
    /// Where the visible part of the current line ends; the line break is visible.
    end: usize,
    next_line: usize,
    line: u32,
    /// The line holds a NUL byte, and what follows it is lost.
    cut_by_nul: bool,
}

#[derive(Debug)]
pub(super) struct UnterminatedQuote {
    /// Where it was opened.
    pub line: u32,
}

pub(super) struct Command<'a> {
    pub word: &'a [u8],
    /// Nothing can follow: not even a blank stands behind the word.
    pub ends_line: bool,
}

impl<'a> Lexer<'a> {
    pub fn new(text: &'a [u8]) -> Lexer<'a> {
        Lexer { text, position: 0, end: 0, next_line: 0, line: 0, cut_by_nul: false }
    }

    pub fn line(&self) -> u32 {
        self.line
    }

    /// Goes to the start of the next line, whatever is left of this one. False at the end of the text.
    pub fn next_line(&mut self) -> bool {
        self.position = self.next_line;
        let rest = self.text.get(self.next_line..).unwrap_or_default();
        if rest.is_empty() {
            self.end = self.position;
            return false;
        }
        let length = rest.iter().position(|byte| *byte == b'\n').map_or(rest.len(), |at| at + 1);
        let visible = rest.iter().take(length).position(|byte| *byte == 0);
        self.cut_by_nul |= visible.is_some();
        self.end = self.next_line + visible.unwrap_or(length);
        self.next_line += length;
        self.line = self.line.saturating_add(1);
        true
    }

    /// Whether a NUL byte was met since the last call.
    pub fn take_cut_by_nul(&mut self) -> bool {
        std::mem::take(&mut self.cut_by_nul)
    }

    pub fn at_end_of_line(&self) -> bool {
        self.current() == 0
    }

    pub fn skip_space(&mut self) {
        while is_space(self.current()) {
            self.position += 1;
        }
    }

    /// The next word up to a blank, without any quoting: keywords are cut before arguments are.
    pub fn command(&mut self) -> Option<Command<'a>> {
        while is_blank(self.current()) {
            self.position += 1;
        }
        let start = self.position;
        while self.current() != 0 && !is_blank(self.current()) {
            self.position += 1;
        }
        let word = self.text.get(start..self.position).filter(|word| !word.is_empty())?;
        let ends_line = self.at_end_of_line();
        if !ends_line {
            self.position += 1;
        }
        Some(Command { word, ends_line })
    }

    /// The next argument with its quotes resolved; empty where there is none before the end of the line,
    /// a comment or a `;`.
    pub fn argument(&mut self) -> Result<Vec<u8>, UnterminatedQuote> {
        self.skip_space();
        let mut word = Vec::new();
        if self.current() == b';' {
            self.position += 1;
            return Ok(word);
        }
        let mut is_plain = true;
        loop {
            match self.current() {
                b'\'' => {
                    is_plain = false;
                    self.single_quoted(&mut word)?;
                }
                b'"' => {
                    is_plain = false;
                    self.double_quoted(&mut word)?;
                }
                b'\\' => {
                    is_plain = false;
                    self.escaped(&mut word);
                }
                b'#' => {
                    self.end = self.position;
                    break;
                }
                b';' => {
                    // libuci ends the word by a NUL in place. Where no quote made the word shorter than its
                    // source, that overwrites the ';', and the rest of the line is lost with it.
                    if is_plain {
                        self.end = self.position;
                    }
                    return Ok(word);
                }
                0 => break,
                other => {
                    word.push(other);
                    self.position += 1;
                }
            }
            if self.at_end_of_line() || is_space(self.current()) {
                break;
            }
        }
        if !self.at_end_of_line() {
            self.position += 1;
        }
        Ok(word)
    }

    fn single_quoted(&mut self, word: &mut Vec<u8>) -> Result<(), UnterminatedQuote> {
        let line = self.line;
        self.position += 1;
        loop {
            match self.current() {
                b'\'' => break,
                0 if self.next_line() => {}
                0 => return Err(UnterminatedQuote { line }),
                other => {
                    word.push(other);
                    self.position += 1;
                }
            }
        }
        self.position += 1;
        Ok(())
    }

    fn double_quoted(&mut self, word: &mut Vec<u8>) -> Result<(), UnterminatedQuote> {
        let line = self.line;
        self.position += 1;
        loop {
            match self.current() {
                b'"' => break,
                0 if self.next_line() => {}
                0 => return Err(UnterminatedQuote { line }),
                b'\\' => self.escaped(word),
                other => {
                    word.push(other);
                    self.position += 1;
                }
            }
        }
        self.position += 1;
        Ok(())
    }

    /// A backslash takes the next byte as it is; at the end of a line it takes the line break away.
    fn escaped(&mut self, word: &mut Vec<u8>) {
        self.position += 1;
        let ends_line = match self.current() {
            0 | b'\n' => true,
            b'\r' => self.ahead(1) == b'\n' && self.ahead(2) == 0,
            _ => false,
        };
        if ends_line {
            self.next_line();
        } else {
            word.push(self.current());
            self.position += 1;
        }
    }

    /// The byte at the position, 0 at the end of the visible line.
    fn current(&self) -> u8 {
        self.ahead(0)
    }

    fn ahead(&self, distance: usize) -> u8 {
        let at = self.position + distance;
        if at < self.end { self.text.get(at).copied().unwrap_or(0) } else { 0 }
    }
}

fn is_blank(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t')
}

/// C's isspace.
fn is_space(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t'..=b'\r')
}
