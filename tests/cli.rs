//! What a person at a shell sees, word for word. Each file of tests/cli is a session: lines that begin with
//! `$ ` are typed, what follows is the answer, with `! ` before what came by stderr and `[N]` for an exit
//! code that is not 0. `MWAN3_BLESS=1` writes the answers anew: read the difference.

use std::fs;
use std::path::Path;
use std::process::Stdio;

use lab::{Lab, Output, Router};

const PROGRAM: &str = env!("CARGO_BIN_EXE_mwan3");

fn lab() -> Option<Lab> {
    if !lab::is_available() {
        return None;
    }
    let lab = Lab::builder().uplinks(2).mwan3(PROGRAM).build().expect("a laboratory");
    let config = folder().join("mwan3");
    lab.router().write_config(&fs::read_to_string(config).expect("part of the repository"));
    Some(lab)
}

fn folder() -> std::path::PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/cli")
}

#[test]
fn mistakes_of_usage_are_answered_as_ever() {
    play("usage");
}

#[test]
fn a_stopped_service_shows_nothing_and_leaves_no_directory() {
    play("stopped");
}

#[test]
fn a_running_service_shows_its_state() {
    play("running");
}

#[test]
fn a_missing_or_broken_configuration_is_told() {
    play("configuration");
}

#[test]
fn ways_are_explained() {
    play("explain");
}

#[test]
fn programs_run_bound_to_an_uplink() {
    if may_bind() {
        play("use");
    }
}

/// Root of the whole machine; tests/kernel_use sees to it that the refusal is told elsewhere.
fn may_bind() -> bool {
    let map = fs::read_to_string("/proc/self/uid_map").expect("Linux");
    map.split_whitespace().eq(["0", "0", "4294967295"])
}

fn play(name: &str) {
    let Some(lab) = lab() else { return };
    let path = folder().join(format!("{name}.session"));
    let expected = fs::read_to_string(&path).expect("part of the repository");
    let typed = expected.lines().filter_map(|line| line.strip_prefix("$ "));
    let found: String = typed.map(|line| format!("$ {line}\n{}", answer(lab.router(), line))).collect();
    if std::env::var_os("MWAN3_BLESS").is_some() {
        fs::write(&path, found).expect("sessions are writable");
    } else {
        assert!(expected == found, "{name}: expected\n{expected}\nfound\n{found}");
    }
}

fn answer(router: &Router, line: &str) -> String {
    let mut shell = router.command("sh");
    let program_folder = Path::new(PROGRAM).parent().expect("it lies in a folder").display();
    shell.args(["-c", &format!("PATH=\"{program_folder}:$PATH\"\n{line}")]).current_dir(router.directory());
    shell.env("UCI_CONFIG_DIR", router.config_dir()).env("MWAN3_RUN_DIR", router.run_dir());
    let output = Output::of(&mut shell, "");
    let complaints = output.stderr.lines().map(|line| format!("! {line}\n"));
    let code = match output.code {
        Some(0) => String::new(),
        Some(code) => format!("[{code}]\n"),
        None => "[killed]\n".to_owned(),
    };
    let end = if output.stdout.is_empty() || output.stdout.ends_with('\n') { "" } else { "\n" };
    let text = output.stdout.clone() + end + &complaints.collect::<String>() + &code;
    without_times(&text.replace(&router.directory().display().to_string(), "DIR"))
        .replace(env!("CARGO_PKG_VERSION"), "VERSION")
}

/// `01h:02m:03s` differs from run to run.
fn without_times(text: &str) -> String {
    let is_time = |word: &str| word.len() == 11 && word.ends_with('s') && word.contains("h:");
    let shown = |word: &str| {
        let end = word.len() - word.trim_end_matches([',', ')']).len();
        let (time, rest) = word.split_at(word.len() - end);
        if is_time(time) { format!("HHh:MMm:SSs{rest}") } else { word.to_owned() }
    };
    let line = |line: &str| line.split(' ').map(shown).collect::<Vec<_>>().join(" ");
    text.split('\n').map(line).collect::<Vec<_>>().join("\n")
}

#[test]
fn json_is_one_valid_value_and_says_what_the_text_says() {
    let Some(lab) = lab() else { return };
    let router = lab.router();
    let text = |words: &[&str]| {
        let output = router.mwan3(words);
        assert!(output.success(), "{words:?}: {output}");
        output.stdout
    };
    text(&["start"]);
    for verb in ["interfaces", "policies", "connected", "rules", "status", "internal", "schema", "check"] {
        let json = text(&[verb, "--json"]);
        assert!(serde_json::from_str::<serde_json::Value>(&json).is_ok(), "{verb}: {json}");
    }
    let status = text(&["status", "--json"]);
    let value: serde_json::Value = serde_json::from_str(&status).expect("JSON");
    // The others count.
    for part in ["connected", "policies"] {
        let alone: serde_json::Value = serde_json::from_str(&text(&[part, "--json"])).expect("JSON");
        assert_eq!(value[part], alone, "{part}");
    }
    // In the order of the configuration.
    let interfaces = text(&["interfaces", "--json"]);
    let position = |name: &str| interfaces.find(&format!("\"{name}\":{{")).expect("listed");
    assert!(position("wan") < position("wan6") && position("wan6") < position("wan3"), "{interfaces}");
    assert_eq!(value["policies"]["ipv4"]["balanced"][0]["percent"], 40);
    assert_eq!(value["interfaces"]["wan3"]["enabled"], false);
    assert_eq!(value["interfaces"]["wan"]["track_ip"][0]["ip"], "1.0.0.1");
    assert_eq!(value["rules"][0]["name"], "https");
    let networks = text(&["connected"]);
    for network in value["connected"]["ipv4"].as_array().expect("a list") {
        assert!(networks.contains(network.as_str().expect("a network")), "{network}");
    }
    let diff: serde_json::Value = serde_json::from_str(&text(&["plan", "--diff", "--json"])).expect("JSON");
    assert_eq!(diff, serde_json::json!({ "changes": [] }));
    text(&["stop"]);
    let diff: serde_json::Value = serde_json::from_str(&text(&["plan", "--diff", "--json"])).expect("JSON");
    assert!(diff["changes"].as_array().expect("a list").len() > 50, "{diff}");
}

#[test]
fn internal_shows_what_the_kernel_holds() {
    let Some(lab) = lab() else { return };
    let router = lab.router();
    assert!(router.mwan3(["start"]).success());
    for (words, flag) in
        [(vec!["internal"], "-4"), (vec!["internal", "ipv6"], "-6"), (vec!["internal", "ipv5"], "-4")]
    {
        let text = router.mwan3(&words).stdout;
        let section = |title: &str| {
            let line = "-".repeat(49);
            let start = format!("Output of \"{title}\"\n{line}\n");
            let rest = text.split(&start).nth(1).unwrap_or_else(|| panic!("no {title} in\n{text}"));
            rest.split("\n\nOutput of").next().unwrap_or_default().trim_end().to_owned()
        };
        assert!(
            text.starts_with("Software-Version\n-------------------------------------------------\n"),
            "{text}"
        );
        for command in ["a show", "route show", "rule show"] {
            let expected = router.sh(&format!("ip {flag} {command}"));
            assert_eq!(section(&format!("ip {flag} {command}")), expected.trim_end());
        }
        let tables = section(&format!("ip {flag} route list table 1-250"));
        for id in 1..=4 {
            let listing = router.try_sh(&format!("ip {flag} route show table {id}")).stdout;
            let block = format!("Routing table {id}:\n{}", listing.trim_end());
            assert_eq!(tables.contains(&block), !listing.is_empty(), "{block}\nin\n{tables}");
        }
        assert!(text.contains("Output of \"nft list table inet mwan3\"\n"), "{text}");
    }
}

#[test]
fn a_dump_is_a_golden_case() {
    let Some(lab) = lab() else { return };
    let router = lab.router();
    let broken = fs::read_to_string(folder().join("mwan3")).expect("there")
        + "\nconfig rule 'odd'\n\toption proto 'tcp'\n\toption dest_port 'x'\n\toption use_policy 'balanced'\n";
    router.write_config(&broken);
    assert!(router.mwan3(["start"]).success());
    assert!(router.mwan3(["ifdown", "wanb"]).success());
    let plan = router.mwan3(["plan"]);
    let folder = router.directory().join("case");
    let shown = folder.display().to_string();
    let dump = router.mwan3(["dump", shown.as_str()]);
    assert_eq!((dump.code, dump.stdout), (Some(0), format!("{shown}\n")));
    let from = router.mwan3(["plan", "--from", shown.as_str()]);
    assert!(from.success() && from.stdout.lines().count() > 100, "{from}");
    assert_eq!(from.stdout, plan.stdout);

    let read =
        |name: &str| fs::read_to_string(folder.join(name)).unwrap_or_else(|error| panic!("{name}: {error}"));
    assert_eq!(read("expect.nft") + &read("expect.routing"), from.stdout);
    assert_eq!(read("health"), "wan online\nwan6 online\nwanb down\nwanb6 online\n");
    let package = mwan3::uci::parse("mwan3", read("mwan3").as_bytes());
    let (_, problems) = mwan3::config::read(&package, "mwan3");
    let problems: String = problems.iter().map(|problem| format!("{problem}\n")).collect();
    assert!(problems.contains("'odd'"), "{problems}");
    assert_eq!(read("expect.problems"), problems);
    assert!(read("problems").contains("config/mwan3:"), "{}", read("problems"));
    for extra in ["kernel.routing", "kernel.ruleset", "version"] {
        assert!(!read(extra).is_empty(), "{extra}");
    }

    // Without a name it makes a folder, and never takes one that is there.
    let unnamed = router.mwan3(["dump"]);
    assert!(unnamed.success(), "{unnamed}");
    let made = Path::new(unnamed.stdout.trim());
    assert!(made.join("network.json").is_file(), "{unnamed}");
    fs::remove_dir_all(made).expect("ours");
}

#[test]
fn a_closed_pipe_is_no_disaster() {
    let Some(lab) = lab() else { return };
    let router = lab.router();
    assert!(router.mwan3(["start"]).success());
    for words in [
        "help",
        "bogus",
        "status",
        "status --json",
        "rules -v",
        "internal",
        "check -v",
        "plan",
        "schema",
        "--version",
        "ifup",
        "use wan",
    ] {
        for (stdout, stderr) in [(true, false), (true, true)] {
            // Nobody reads: the reading end is closed before anything is written.
            let closed = || {
                let (reader, writer) = std::io::pipe().expect("a pipe");
                drop(reader);
                Stdio::from(writer)
            };
            let mut command = router.mwan3_command();
            command.args(words.split(' ')).stdin(Stdio::null()).stdout(if stdout {
                closed()
            } else {
                Stdio::null()
            });
            command.stderr(if stderr { closed() } else { Stdio::piped() });
            let output = command.spawn().and_then(|child| child.wait_with_output()).expect("it ran");
            let complaint = String::from_utf8_lossy(&output.stderr).into_owned();
            assert_eq!(output.status.code(), Some(0), "{words}: {complaint}");
            assert!(!complaint.contains("panicked"), "{words}: {complaint}");
        }
    }
}

#[test]
fn a_start_that_nobody_listens_to_is_done_all_the_same() {
    let Some(lab) = lab() else { return };
    let router = lab.router();
    // It has something to complain of first.
    let config = fs::read_to_string(folder().join("mwan3")).expect("there");
    router.write_config(&config.replacen("option weight '3'", "option weight 'three'", 1));
    let (reader, writer) = std::io::pipe().expect("a pipe");
    drop(reader);
    let mut command = router.mwan3_command();
    let stdout = writer.try_clone().expect("a pipe");
    let status = command.arg("start").stdin(Stdio::null()).stdout(stdout).stderr(writer).status();
    assert_eq!(status.expect("it ran").code(), Some(0));
    assert_eq!(router.mwan3(["plan", "--diff"]).stdout, "# nothing to change\n");
}

#[test]
fn arguments_of_any_bytes_are_no_disaster() {
    use std::ffi::OsStr;
    use std::os::unix::ffi::OsStrExt;
    let Some(lab) = lab() else { return };
    let odd = OsStr::from_bytes(b"\xff\xfe");
    for words in [
        vec![odd],
        vec![OsStr::new("ifup"), odd],
        vec![OsStr::new("use"), odd, OsStr::new("true")],
        vec![OsStr::new("--from"), odd, OsStr::new("plan")],
    ] {
        let output = lab.router().mwan3(&words);
        assert!(matches!(output.code, Some(1 | 2)), "{words:?}: {output}");
        assert!(output.stderr.starts_with("mwan3: "), "{words:?}: {output}");
    }
    if !may_bind() {
        return;
    }
    // What a program is given goes through untouched.
    let printed = lab.router().mwan3([
        OsStr::new("use"),
        OsStr::new("wan"),
        OsStr::new("printf"),
        OsStr::new("%s|%s"),
        OsStr::new("a  b"),
        OsStr::new("--json"),
    ]);
    assert_eq!((printed.code, printed.stdout.as_str()), (Some(0), "a  b|--json"), "{}", printed.stderr);
}

#[test]
fn a_plan_needs_no_privileges() {
    let Some(lab) = lab() else { return };
    let router = lab.router();
    let plan = router.mwan3(["plan"]).stdout;
    let unprivileged = |words: &str| {
        let mut command = router.command("setpriv");
        command.args(["--bounding-set", "-net_admin", "--inh-caps", "-net_admin", PROGRAM]);
        command.args(words.split(' ')).env("UCI_CONFIG_DIR", router.config_dir());
        Output::of(command.env("MWAN3_RUN_DIR", router.run_dir()), "")
    };
    let output = unprivileged("plan");
    assert_eq!((output.code, output.stdout), (Some(0), plan));
    let diff = unprivileged("plan --diff");
    assert!(diff.code == Some(1) && diff.stderr.contains("(are you root?)"), "{diff}");
    let status = unprivileged("policies");
    assert!(status.success() && status.stderr.contains("only root"), "{status}");
}
