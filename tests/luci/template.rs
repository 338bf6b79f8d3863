//! Collects what the pages say, for translators: `_('…')` and `N_('…')` in scripts, titles in menus,
//! descriptions of access groups.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use serde_json::Value;

const HEAD: &str = "msgid \"\"\nmsgstr \"Content-Type: text/plain; charset=UTF-8\"\n";

/// Text, plural, and the places that have it.
type Strings = BTreeMap<(String, Option<String>), Vec<String>>;

pub fn of(app: &Path) -> String {
    let mut strings = Strings::new();
    for file in ["htdocs", "root"].iter().flat_map(|folder| files(&app.join(folder))) {
        let text = fs::read_to_string(&file).expect("a text file");
        let name = file.strip_prefix(app).expect("below the app").display().to_string();
        let folder = file.parent().expect("in a folder");
        if name.ends_with(".js") {
            of_script(&text, &name, &mut strings);
        } else if folder.ends_with("menu.d") || folder.ends_with("acl.d") {
            let json: Value = serde_json::from_str(&text).unwrap_or_else(|error| panic!("{name}: {error}"));
            for node in json.as_object().into_iter().flat_map(|nodes| nodes.values()) {
                for key in ["title", "description"] {
                    if let Some(text) = node[key].as_str() {
                        note(&mut strings, text.to_owned(), None, &name);
                    }
                }
            }
        }
    }
    strings.iter().fold(HEAD.to_owned(), |text, (key, places)| text + &entry(key, places))
}

/// In a fixed order.
fn files(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).expect("a folder") {
        let path = entry.expect("an entry").path();
        if path.is_dir() { found.extend(files(&path)) } else { found.push(path) }
    }
    found.sort();
    found
}

fn of_script(text: &str, name: &str, strings: &mut Strings) {
    let mut rest = text;
    while let Some(position) = rest.find("_(") {
        let before = rest[..position].chars().next_back();
        let is_plural = before == Some('N');
        let is_call = is_plural
            || !before.is_some_and(|letter| letter.is_alphanumeric() || letter == '_' || letter == '.');
        rest = &rest[position + 2..];
        if !is_call {
            continue;
        }
        let line = text[..text.len() - rest.len()].matches('\n').count() + 1;
        let arguments = literals(rest);
        let at = format!("{name}:{line}");
        match (is_plural, &arguments[..]) {
            (false, [one]) => note(strings, one.clone(), None, &at),
            (true, [one, many]) => note(strings, one.clone(), Some(many.clone()), &at),
            _ => panic!("{at}: only literals can be translated"),
        }
    }
}

/// The string literals among the arguments of a call, up to its closing bracket. A first argument of N_ is a
/// number and may be any expression without strings.
fn literals(call: &str) -> Vec<String> {
    let (mut found, mut depth, mut letters) = (Vec::new(), 0, call.chars());
    while let Some(letter) = letters.next() {
        match letter {
            '\'' | '"' => {
                let mut text = String::new();
                while let Some(inner) = letters.next().filter(|inner| *inner != letter) {
                    match inner {
                        '\\' => match letters.next() {
                            Some('n') => text.push('\n'),
                            other => text.extend(other),
                        },
                        other => text.push(other),
                    }
                }
                found.push(text);
            }
            '(' => depth += 1,
            ')' if depth == 0 => break,
            ')' => depth -= 1,
            _ => {}
        }
    }
    found
}

/// Line numbers would change with every edit: only files are told.
fn note(strings: &mut Strings, text: String, plural: Option<String>, place: &str) {
    let file = place.split(':').next().unwrap_or_default().to_owned();
    let places = strings.entry((text, plural)).or_default();
    if !places.contains(&file) {
        places.push(file);
    }
}

fn entry((text, plural): &(String, Option<String>), places: &[String]) -> String {
    let places: String = places.iter().map(|place| format!("#: {place}\n")).collect();
    match plural {
        None => format!("\n{places}msgid {}\nmsgstr \"\"\n", quoted(text)),
        Some(plural) => format!(
            "\n{places}msgid {}\nmsgid_plural {}\nmsgstr[0] \"\"\nmsgstr[1] \"\"\n",
            quoted(text),
            quoted(plural)
        ),
    }
}

fn quoted(text: &str) -> String {
    format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n"))
}
