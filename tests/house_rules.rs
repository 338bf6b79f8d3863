//! What would make the program die on a router: places in src/ that can panic, and what a 32-bit MIPS lacks.
//! Every exception stands here with the reason why no input from outside can reach it.

use std::fs;
use std::path::{Path, PathBuf};

/// File, a piece of the line, and why it cannot fail.
const MAY_PANIC: &[(&str, &str, &str)] = &[
    ("sorted.rs", "no such key", "an index, for tests; the program has none, which the next test guards"),
    ("config/fields.rs", "is a number in the table", "tests/config.rs reads every option of the table"),
    ("config/fields.rs", "is a duration in the table", "tests/config.rs reads every option of the table"),
    ("config/fields.rs", "is a choice in the table", "tests/config.rs reads every option of the table"),
    ("config/fields.rs", "the defaults in the table are valid", "tests/config.rs reads every default"),
    ("config/fields.rs", "asks for options of the table only", "the names are constants, all read by a test"),
];

const MAY_INDEX: &[(&str, &str, &str)] = &[
    ("config/check/usage.rs", "Family::BOTH[..1]", "a constant of two"),
    ("network/netifd.rs", "v6.segments()[4..]", "eight segments"),
    ("network/plain.rs", "segments()[0]", "eight segments"),
    ("network/source.rs", "segments()[0]", "eight segments"),
    ("nft/build.rs", "[place]", "it was just put there"),
    ("sorted.rs", "self.values[place]", "it was found, or just put there"),
    ("sorted/sort.rs", "&self.items[o", "both are below the count"),
    ("sorted/sort.rs", "origins[place]", "a permutation of what is below the count"),
    ("sorted.rs", "self.items[middle]", "below the end of what is searched"),
    ("plan/dispatch.rs", "spans[dimension]", "dimensions count up to the length of the array"),
    ("plan/dispatch.rs", "spans[*dimension]", "dimensions count up to the length of the array"),
    ("system/probe/socket.rs", "&blocked[0]", "an array"),
    ("system/route/routes.rs", "header[", "an array of the header's size"),
    ("system/route/rules.rs", "header[", "an array of the header's size"),
    ("system/route/listing.rs", "header[0]", "an array of the header's size"),
    ("system/netlink/message.rs", "self.bytes[start..start + 2]", "two bytes were put there before"),
    ("system/netlink/message.rs", "self.value[..end]", "the end is a position in it, or its length"),
    ("system/ubus.rs", "&SOCKETS[0]", "a constant of two"),
];

/// What is not in MIPS's std, or iterates in another order on every run.
const MAY_NOT_USE: &[&str] = &["AtomicU64", "AtomicI64", "HashMap", "HashSet"];

const PANICS: &[&str] = &[
    ".unwrap(",
    ".expect(",
    "panic!(",
    "unreachable!(",
    "unimplemented!(",
    "todo!(",
    "assert!(",
    "assert_eq!(",
];

#[test]
fn nothing_panics_but_where_a_reason_says_it_cannot() {
    let panics = |line: &str| PANICS.iter().any(|panic| line.contains(panic));
    assert_only(&found(panics), MAY_PANIC);
}

/// Programs for routers are built without it: `-Zfmt-debug=none`.
#[test]
fn nobody_is_told_a_debug_text() {
    let debugs = |line: &str| [":?}", ":#?}", "dbg!("].iter().any(|debug| line.contains(debug));
    assert_only(&found(debugs), &[]);
}

#[test]
fn nothing_is_indexed_but_where_a_reason_says_it_is_there() {
    assert_only(&found(indexes), MAY_INDEX);
}

#[test]
fn nothing_is_used_that_the_smallest_router_lacks_or_that_has_no_order() {
    let hits = found(|line| MAY_NOT_USE.iter().any(|word| line.contains(word)));
    assert!(hits.is_empty(), "{hits:#?}");
}

#[test]
fn the_guard_tells_an_index_from_what_looks_like_one() {
    for index in ["let a = bytes[2];", "&value[..end]", "answer()[0]", "table[3][4]", "name?[1..]"] {
        assert!(indexes(index), "{index}");
    }
    for other in
        ["#[derive(Debug)]", "vec![1, 2]", "fn f(a: &[u8; 4]) -> [u8]", "let [a, b] = &all[..];", "in [1, 2]"]
    {
        assert!(!indexes(other), "{other}");
    }
}

fn assert_only(found: &[(String, usize, String)], allowed: &[(&str, &str, &str)]) {
    let is_allowed = |hit: &&(String, usize, String)| {
        allowed.iter().any(|(file, piece, _)| hit.0 == *file && hit.2.contains(piece))
    };
    let wrong: Vec<_> = found.iter().filter(|hit| !is_allowed(hit)).collect();
    assert!(wrong.is_empty(), "give a reason or another form: {wrong:#?}");
    let is_met = |(file, piece, _): &&(&str, &str, &str)| {
        found.iter().any(|(found_in, _, line)| found_in == file && line.contains(piece))
    };
    let stale: Vec<_> = allowed.iter().filter(|one| !is_met(one)).collect();
    assert!(stale.is_empty(), "no longer there: {stale:#?}");
}

/// `x[…]` with anything but the whole range.
fn indexes(line: &str) -> bool {
    let characters: Vec<char> = line.chars().collect();
    characters.windows(2).enumerate().any(|(position, pair)| {
        let is_place = pair[0].is_alphanumeric() || matches!(pair[0], '_' | ')' | ']' | '?');
        let rest: String = characters[position + 1..].iter().take(4).collect();
        is_place && pair[1] == '[' && rest != "[..]"
    })
}

/// File below src/, line number and line of every hit outside of comments.
fn found(is_hit: impl Fn(&str) -> bool) -> Vec<(String, usize, String)> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut files = Vec::new();
    collect(&root, &mut files);
    assert!(files.len() > 50, "only {} files seen", files.len());
    let mut hits = Vec::new();
    for file in files {
        let name = file.strip_prefix(&root).expect("below src").display().to_string();
        let text = fs::read_to_string(&file).expect("readable");
        for (line, number) in text.lines().zip(1..) {
            let code = line.split("//").next().unwrap_or("");
            if is_hit(code) {
                hits.push((name.clone(), number, code.trim().to_owned()));
            }
        }
    }
    hits
}

fn collect(folder: &Path, files: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).expect("readable") {
        let path = entry.expect("readable").path();
        if path.is_dir() {
            collect(&path, files);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            files.push(path);
        }
    }
}
