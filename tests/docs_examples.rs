//! What the documentation promises: its configurations are good, its commands exist, its links lead somewhere.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use mwan3::config::{self, Problem};
use mwan3::uci;

/// Fewer would mean that the search is broken.
const FEWEST_EXAMPLES: usize = 25;
const FEWEST_COMMANDS: usize = 20;
const FEWEST_LINKS: usize = 60;

/// What a fragment stands in: two uplinks for each family, and a policy of each kind.
const BASE: &str = "
config interface 'wan'
	option enabled '1'
config interface 'wanb'
	option enabled '1'
config interface 'wan6'
	option enabled '1'
	option family 'ipv6'
config interface 'wanb6'
	option enabled '1'
	option family 'ipv6'
config member 'base_wan'
	option interface 'wan'
config member 'base_wanb'
	option interface 'wanb'
config member 'base_wan6'
	option interface 'wan6'
config member 'base_wanb6'
	option interface 'wanb6'
config policy 'balanced'
	list use_member 'base_wan'
	list use_member 'base_wanb'
	list use_member 'base_wan6'
	list use_member 'base_wanb6'
config policy 'wan_only'
	list use_member 'base_wan'
	list use_member 'base_wan6'
config policy 'wanb_only'
	list use_member 'base_wanb'
	list use_member 'base_wanb6'
";

#[test]
fn every_configuration_in_the_documentation_is_good() {
    let mut count = 0;
    let mut wrong = Vec::new();
    for page in pages() {
        for fence in fences(&read(&page)).into_iter().filter(|fence| fence.language.starts_with("uci")) {
            count += 1;
            let text = match fence.language.as_str() {
                "uci" => fence.text,
                "uci fragment" => format!("{BASE}{}", fence.text),
                other => panic!("{}:{}: what is '{other}'?", page.display(), fence.line),
            };
            let problems = problems(&text);
            wrong.extend(
                problems
                    .iter()
                    .filter(|problem| !problem.is_note())
                    .map(|problem| format!("{}:{}: {problem}", page.display(), fence.line)),
            );
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(count >= FEWEST_EXAMPLES, "only {count} configurations found");
}

/// A name of the base that a fragment uses again merges with it, as UCI does.
fn problems(text: &str) -> Vec<Problem> {
    let package = uci::parse("mwan3", text.as_bytes());
    let (config, mut problems) = config::read(&package, "example");
    problems.extend(config::check(&config, &package, "example", None));
    problems
}

#[test]
fn the_base_of_the_fragments_is_good_and_a_mistake_in_an_example_is_found() {
    let told = |text: &str| problems(text).iter().filter(|problem| !problem.is_note()).count();
    assert_eq!(told(BASE), 0);
    assert_eq!(told(&format!("{BASE}config rule 'x'\n\toption use_policy 'missing'\n")), 1);
    let fence = fences("text\n```uci fragment\nconfig rule 'x'\n```\n");
    assert_eq!(
        (fence[0].language.as_str(), fence[0].text.as_str(), fence[0].line),
        ("uci fragment", "config rule 'x'\n", 2)
    );
}

#[test]
fn every_command_in_the_documentation_exists() {
    let help = help();
    let verbs: BTreeSet<&str> = help
        .lines()
        .filter_map(|line| line.split([' ', ',']).next())
        .filter(|word| !word.is_empty())
        .collect();
    // Called by scripts alone, so the help leaves them out.
    let known = |verb: &str| verbs.contains(verb) || ["hotplug", "rpcd"].contains(&verb);
    let mut found = BTreeSet::new();
    let mut wrong = Vec::new();
    for page in pages() {
        for (line, code) in code_of(&read(&page)) {
            for command in commands_in(&code) {
                let mut words = command.split_whitespace().filter(|word| !word.starts_with('-'));
                let Some(verb) = words.next() else { continue };
                if known(verb) {
                    found.insert(verb.to_owned());
                } else {
                    wrong.push(format!("{}:{line}: mwan3 {command}", page.display()));
                }
                for option in command.split_whitespace().take_while(|word| *word != "use") {
                    let name = option.split('=').next().unwrap_or_default();
                    if name.starts_with("--") && !help.contains(name) {
                        wrong.push(format!("{}:{line}: no option {name}: mwan3 {command}", page.display()));
                    }
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(found.len() >= FEWEST_COMMANDS, "only these commands are shown: {found:?}");
}

#[test]
fn commands_are_found_in_lines_and_pipes() {
    assert_eq!(commands_in("mwan3 check -v  # mistakes"), ["check -v"]);
    assert_eq!(commands_in("/usr/sbin/mwan3 stop && mwan3 frobnicate"), ["stop", "frobnicate"]);
    assert_eq!(commands_in("uci commit; mwan3 reload"), ["reload"]);
    assert_eq!(commands_in("mwan3: not a command"), Vec::<String>::new());
}

#[test]
fn every_command_of_the_help_is_in_the_manual_page() {
    let manual = read(&root().join("docs/man/mwan3.8")).replace('\\', "");
    let help = help();
    let verbs = help.lines().skip_while(|line| !line.starts_with("Available")).filter(|line| {
        let column = line.get(..25).unwrap_or_default();
        column.ends_with(' ') && column.starts_with(|first: char| first.is_ascii_lowercase())
    });
    let mut count = 0;
    for line in verbs {
        let verb = line.split([' ', ',']).next().unwrap_or_default();
        assert!(manual.contains(&format!("\n.B {verb}")), "docs/man/mwan3.8 lacks '{verb}'");
        count += 1;
    }
    assert!(count >= FEWEST_COMMANDS, "only {count} commands found in the help");
    for option in ["--json", "--diff", "--from", "--strict", "--verbose"] {
        assert!(manual.contains(option) && help.contains(option), "{option}");
    }
}

#[test]
fn every_link_in_the_documentation_leads_somewhere() {
    let mut count = 0;
    let mut dead = Vec::new();
    for page in pages() {
        for (line, target) in links(&read(&page)) {
            if target.contains("://") || target.starts_with("mailto:") {
                continue;
            }
            count += 1;
            let (path, anchor) = target.split_once('#').unwrap_or((&target, ""));
            let file = match path {
                "" => page.clone(),
                path => page.parent().expect("a page has a folder").join(path),
            };
            if !file.exists() {
                dead.push(format!("{}:{line}: {target}", page.display()));
            } else if !anchor.is_empty() && !anchors(&read(&file)).contains(anchor) {
                dead.push(format!("{}:{line}: no heading for {target}", page.display()));
            }
        }
    }
    assert!(dead.is_empty(), "{}", dead.join("\n"));
    assert!(count >= FEWEST_LINKS, "only {count} links found");
}

#[test]
fn every_test_that_the_documentation_names_exists() {
    let mut wrong = Vec::new();
    for page in pages() {
        for (line, code) in code_of(&read(&page)) {
            let path = code.split_whitespace().next().unwrap_or_default();
            let is_ours =
                ["tests/", "src/", "docs/", "lab/", "files/"].iter().any(|top| path.starts_with(top));
            // FOLDER and NAME stand for something.
            let is_pattern = path.contains(['*', '{', '<']) || path.chars().any(|c| c.is_ascii_uppercase());
            if is_ours && !is_pattern && !root().join(path).exists() {
                wrong.push(format!("{}:{line}: {path}", page.display()));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

struct Fence {
    language: String,
    text: String,
    line: usize,
}

fn fences(page: &str) -> Vec<Fence> {
    let mut fences = Vec::new();
    let mut open: Option<Fence> = None;
    for (number, line) in page.lines().enumerate() {
        match (line.strip_prefix("```"), &mut open) {
            (Some(language), None) => {
                open = Some(Fence { language: language.to_owned(), text: String::new(), line: number + 1 });
            }
            (Some(_), Some(_)) => fences.extend(open.take()),
            (None, Some(fence)) => fence.text += &format!("{line}\n"),
            (None, None) => {}
        }
    }
    assert!(open.is_none(), "a fence is never closed");
    fences
}

/// Everything set as code: blocks line by line, and words between backquotes.
fn code_of(page: &str) -> Vec<(usize, String)> {
    let mut code = Vec::new();
    let mut is_fenced = false;
    for (number, line) in page.lines().enumerate() {
        if line.starts_with("```") {
            is_fenced = !is_fenced;
        } else if is_fenced || line.starts_with("    ") {
            code.push((number + 1, line.trim().to_owned()));
        } else {
            code.extend(line.split('`').skip(1).step_by(2).map(|word| (number + 1, word.to_owned())));
        }
    }
    code
}

/// What follows `mwan3` where it is the first word of a command.
fn commands_in(code: &str) -> Vec<String> {
    let code = code.split(" #").next().unwrap_or_default();
    code.split(["&&", "|", ";"].map(|sign| sign.chars().next().unwrap_or(';')))
        .filter_map(|part| {
            let part = part.trim().trim_start_matches("# ").trim_start_matches("ExecStart=");
            let rest = part.strip_prefix("/usr/sbin/").unwrap_or(part).strip_prefix("mwan3 ")?.trim();
            // A line that the program printed, or a synopsis.
            (!rest.contains(": ") && !rest.starts_with(['=', '[', '{', '('])).then(|| rest.to_owned())
        })
        .collect()
}

fn links(page: &str) -> Vec<(usize, String)> {
    let mut links = Vec::new();
    let mut is_fenced = false;
    for (number, line) in page.lines().enumerate() {
        is_fenced ^= line.starts_with("```");
        if is_fenced {
            continue;
        }
        for part in line.split("](").skip(1) {
            links.extend(part.split(')').next().map(|target| (number + 1, target.to_owned())));
        }
    }
    links
}

/// As a web view makes them from headings.
fn anchors(page: &str) -> BTreeSet<String> {
    page.lines()
        .filter(|line| line.starts_with('#'))
        .map(|line| {
            let heading = line.trim_start_matches('#').trim().to_lowercase();
            let kept = heading.chars().filter(|c| c.is_alphanumeric() || matches!(c, ' ' | '-' | '_'));
            kept.map(|c| if c == ' ' { '-' } else { c }).collect()
        })
        .collect()
}

fn help() -> String {
    let output = Command::new(env!("CARGO_BIN_EXE_mwan3")).arg("help").output().expect("the program runs");
    String::from_utf8(output.stdout).expect("the help is text")
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn read(path: &Path) -> String {
    fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// Markdown of the top folder and of docs/.
fn pages() -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut folders = vec![root().join("docs")];
    let entries = |folder: &Path| -> Vec<PathBuf> {
        let list = fs::read_dir(folder).expect("the folder can be read");
        list.map(|entry| entry.expect("the folder can be read").path()).collect()
    };
    let is_page = |path: &PathBuf| path.extension().is_some_and(|extension| extension == "md");
    found.extend(entries(root()).into_iter().filter(is_page));
    while let Some(folder) = folders.pop() {
        for path in entries(&folder) {
            if path.is_dir() {
                folders.push(path)
            } else if is_page(&path) {
                found.push(path)
            }
        }
    }
    found.sort();
    found
}
