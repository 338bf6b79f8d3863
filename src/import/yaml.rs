//! The part of YAML that people write by hand: nested mappings and lists by indentation, lists in brackets, comments,
//! quotes. A document becomes a flat list of values by path, `WANS[1].filters[0].dports[2]`.

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Entry {
    pub path: String,
    pub value: String,
    pub line: u32,
}

/// A line that is not understood, and why.
pub(super) type Trouble = (u32, &'static str);

/// Where the children of one mapping or list stand.
struct Level {
    indent: usize,
    path: String,
    items: usize,
    is_list: bool,
}

struct Reader {
    levels: Vec<Level>,
    /// A key without a value yet, with its column: its children may follow.
    open: Option<(usize, String)>,
    entries: Vec<Entry>,
}

pub(super) fn read(text: &str) -> (Vec<Entry>, Vec<Trouble>) {
    let root = Level { indent: 0, path: String::new(), items: 0, is_list: false };
    let mut reader = Reader { levels: vec![root], open: None, entries: Vec::new() };
    let mut troubles = Vec::new();
    for (line, number) in text.lines().zip(1..) {
        let content = without_comment(line).trim_end();
        let body = content.trim_start_matches(' ');
        if body.is_empty() || body == "---" {
            continue;
        }
        if let Err(reason) = reader.take(body, content.len() - body.len(), number) {
            troubles.push((number, reason));
        }
    }
    (reader.entries, troubles)
}

impl Reader {
    fn take(&mut self, body: &str, indent: usize, line: u32) -> Result<(), &'static str> {
        if body.starts_with('\t') {
            return Err("indented with a tab");
        }
        self.find_level(indent, is_item(body))?;
        let (mut body, mut indent) = (body, indent);
        while is_item(body) {
            let path = self.next_item().ok_or("a list item where none is expected")?;
            let rest = body.strip_prefix('-').unwrap_or(body).trim_start();
            let column = indent;
            indent += body.len() - rest.len();
            body = rest;
            if body.is_empty() {
                self.open = Some((column, path));
                return Ok(());
            }
            if !is_item(body) && key_and_value(body).is_none() {
                return self.put(path, body, line);
            }
            self.levels.push(Level { indent, path, items: 0, is_list: false });
        }
        let (key, value) = key_and_value(body).ok_or("neither a key with a value nor a list item")?;
        let parent = self.levels.last().map_or("", |level| &level.path);
        let path = if parent.is_empty() { key.to_owned() } else { format!("{parent}.{key}") };
        if value.is_empty() {
            self.open = Some((indent, path));
            return Ok(());
        }
        self.put(path, value, line)
    }

    /// Makes the level to which a line of this column belongs the last one.
    fn find_level(&mut self, indent: usize, is_item: bool) -> Result<(), &'static str> {
        if let Some((column, path)) = self.open.take() {
            // A list may stand in the column of its key.
            if indent > column || indent == column && is_item {
                self.levels.push(Level { indent, path, items: 0, is_list: is_item });
                return Ok(());
            }
        }
        while self.levels.len() > 1
            && self.levels.last().is_some_and(|level| {
                level.indent > indent || level.indent == indent && level.is_list != is_item
            })
        {
            self.levels.pop();
        }
        match self.levels.last() {
            Some(level) if level.indent == indent => Ok(()),
            _ => Err("its indentation fits no line above"),
        }
    }

    fn next_item(&mut self) -> Option<String> {
        let level = self.levels.last_mut()?;
        if !level.is_list && level.items == 0 && !level.path.is_empty() && !level.path.ends_with(']') {
            return None;
        }
        level.is_list = true;
        level.items += 1;
        Some(format!("{}[{}]", level.path, level.items - 1))
    }

    fn put(&mut self, path: String, value: &str, line: u32) -> Result<(), &'static str> {
        if let Some(list) = value.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
            let items = list.split(',').map(str::trim).filter(|item| !item.is_empty());
            for (number, item) in items.enumerate() {
                let value = unquoted(item)?;
                self.entries.push(Entry { path: format!("{path}[{number}]"), value, line });
            }
            return Ok(());
        }
        let value = unquoted(value)?;
        self.entries.push(Entry { path, value, line });
        Ok(())
    }
}

fn is_item(body: &str) -> bool {
    body == "-" || body.starts_with("- ")
}

fn key_and_value(body: &str) -> Option<(&str, &str)> {
    let (key, value) = match body.split_once(": ") {
        Some(pair) => pair,
        None => (body.strip_suffix(':')?, ""),
    };
    let is_key =
        !key.is_empty() && key.chars().all(|letter| letter.is_ascii_alphanumeric() || "_-".contains(letter));
    is_key.then_some((key, value.trim()))
}

fn unquoted(value: &str) -> Result<String, &'static str> {
    if value.chars().any(char::is_control) {
        return Err("a control character");
    }
    for quote in ['"', '\''] {
        if let Some(rest) = value.strip_prefix(quote) {
            let inner = rest.strip_suffix(quote).ok_or("a quote is not closed")?;
            return Ok(inner.replace("\\\"", "\"").replace("''", "'"));
        }
    }
    if value.starts_with(['{', '&', '*', '|', '>', '!', '[']) {
        return Err("this kind of value is not read here");
    }
    Ok(value.to_owned())
}

/// A `#` begins a comment at the start and behind a space, outside of quotes.
fn without_comment(line: &str) -> &str {
    let mut quote = None;
    let mut before = ' ';
    for (position, letter) in line.char_indices() {
        match (quote, letter) {
            (None, '#') if before == ' ' => return line.get(..position).unwrap_or(line),
            (None, '"' | '\'') if " [,-:".contains(before) => quote = Some(letter),
            (Some(open), _) if open == letter => quote = None,
            _ => {}
        }
        before = letter;
    }
    line
}
