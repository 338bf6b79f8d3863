//! The house rules that a compiler does not know: which module may use which, and that the core stays pure.

use std::fs;
use std::path::{Path, PathBuf};

/// Each top module with what it may use, from the ground up. A module may always use itself.
const LAYERS: &[(&str, &[&str])] = &[
    ("sorted", &[]),
    ("address", &["sorted"]),
    ("alert", &[]),
    ("import", &["sorted"]),
    ("mark", &[]),
    ("uci", &["sorted"]),
    ("network", &["address", "mark", "sorted"]),
    ("nft", &["address", "sorted"]),
    ("config", &["address", "mark", "network", "sorted", "uci"]),
    ("probe_packet", &["address"]),
    ("health", &["address", "config", "sorted"]),
    ("plan", &["address", "config", "mark", "network", "nft", "sorted"]),
    ("report", &["address", "config", "health", "mark", "network", "nft", "plan", "sorted"]),
    (
        "system",
        &[
            "address",
            "alert",
            "config",
            "health",
            "mark",
            "network",
            "nft",
            "plan",
            "probe_packet",
            "report",
            "sorted",
            "uci",
        ],
    ),
    ("reconcile", &["config", "network", "nft", "plan", "system"]),
    ("control", &["system"]),
    ("scrape", &["system"]),
    (
        "track",
        &[
            "address",
            "alert",
            "config",
            "control",
            "health",
            "mark",
            "network",
            "plan",
            "reconcile",
            "report",
            "scrape",
            "sorted",
            "system",
        ],
    ),
    (
        "cli",
        &[
            "address",
            "alert",
            "config",
            "control",
            "health",
            "import",
            "mark",
            "network",
            "nft",
            "plan",
            "reconcile",
            "report",
            "system",
            "track",
            "uci",
        ],
    ),
];

/// Modules above the line act; everything else only computes.
const SHELL: [&str; 6] = ["system", "reconcile", "control", "scrape", "track", "cli"];

const EFFECTS: [&str; 12] = [
    "std::fs",
    "std::env",
    "std::process",
    "std::thread",
    "std::os",
    "Instant::now",
    "SystemTime",
    "TcpStream",
    "UdpSocket",
    "UnixStream",
    "libc::",
    "log::",
];

#[test]
fn modules_use_only_what_lies_below_them() {
    let mut wrong = Vec::new();
    for (module, file, text) in sources() {
        let Some((_, allowed)) = LAYERS.iter().find(|(name, _)| *name == module) else {
            wrong.push(format!("{}: module {module} has no place in the layers", file.display()));
            continue;
        };
        for used in uses(&text) {
            if used != module && !allowed.contains(&used.as_str()) {
                wrong.push(format!("{}: {module} may not use {used}", file.display()));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn the_core_has_no_effects() {
    let mut wrong = Vec::new();
    for (module, file, text) in sources().into_iter().filter(|(module, ..)| !SHELL.contains(&module.as_str()))
    {
        for effect in EFFECTS {
            if code(&text).any(|line| line.contains(effect)) {
                wrong.push(format!("{}: {module} uses {effect}", file.display()));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn unsafe_code_stays_at_the_syscall_edge() {
    for (module, file, text) in sources() {
        let has_unsafe = code(&text).any(|line| line.contains("unsafe "));
        assert!(!has_unsafe || module == "system", "{}: unsafe outside of system", file.display());
    }
}

#[test]
fn files_stay_small_enough_to_hold_in_the_head() {
    for (_, file, text) in sources() {
        let lines = text.lines().count();
        assert!(lines <= 500, "{}: {lines} lines", file.display());
    }
}

#[test]
fn the_guard_sees_a_planted_upward_use() {
    let planted = "use crate::system::files::Directories;\nfn f() { crate::cli::run([]); }\nuse crate::{plan, mark::X};";
    let mut found = uses(planted);
    found.sort();
    assert_eq!(found, ["cli", "mark", "plan", "system"]);
}

/// Module, file and text of every source file of the library.
fn sources() -> Vec<(String, PathBuf, String)> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut found = Vec::new();
    collect(&root, &mut found);
    assert!(found.len() > 20, "only {} files seen", found.len());
    found
        .into_iter()
        .filter_map(|file| {
            let relative = file.strip_prefix(&root).expect("below src");
            let first = relative.components().next().expect("not empty").as_os_str().to_string_lossy();
            let module = first.trim_end_matches(".rs").to_owned();
            let text = fs::read_to_string(&file).expect("readable");
            (module != "lib" && module != "main").then_some((module, file, text))
        })
        .collect()
}

fn collect(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).expect("readable") {
        let path = entry.expect("readable").path();
        if path.is_dir() {
            collect(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
}

/// Without comments and strings' worst offenders: doc lines and line comments.
fn code(text: &str) -> impl Iterator<Item = &str> {
    text.lines().map(|line| line.split("//").next().unwrap_or(""))
}

/// The top modules named behind `crate::`, also in braces.
fn uses(text: &str) -> Vec<String> {
    let mut found = Vec::new();
    let all: String = code(text).collect::<Vec<_>>().join("\n");
    for (position, _) in all.match_indices("crate::") {
        let rest = &all[position + "crate::".len()..];
        match rest.strip_prefix('{') {
            Some(list) => {
                let end = list.find(';').unwrap_or(list.len());
                let mut depth = 0;
                let mut word = String::new();
                for character in list[..end].chars() {
                    match character {
                        '{' => depth += 1,
                        '}' => depth -= 1,
                        ',' if depth == 0 => found.push(std::mem::take(&mut word)),
                        c if depth == 0 => word.push(c),
                        _ => {}
                    }
                    if depth < 0 {
                        break;
                    }
                }
                found.push(word);
            }
            None => found.push(rest.to_owned()),
        }
    }
    let first_word = |path: String| -> String {
        path.trim().chars().take_while(|c| c.is_ascii_alphanumeric() || *c == '_').collect()
    };
    let mut modules: Vec<String> =
        found.into_iter().map(first_word).filter(|name| !name.is_empty()).collect();
    // Items of lib.rs itself start with a capital or are macros.
    modules.retain(|name| name.starts_with(|c: char| c.is_ascii_lowercase()));
    modules.sort();
    modules.dedup();
    modules
}
