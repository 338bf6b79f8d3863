//! Mistakes in the configuration, a kernel that refuses, several callers at once.

use std::fs;
use std::os::fd::AsRawFd;
use std::process::Stdio;

use super::*;

#[test]
fn a_bad_value_costs_only_its_section() {
    let Some(lab) = lab() else { return };
    let router = lab.router();
    let bad = CONFIG
        .replace(
            "config interface 'wanb'\n	option enabled '1'",
            "config interface 'wanb'\n	option enabled '1'\n	option family 'ipv5'",
        )
        .replace("option dest_port '53'", "option dest_port '53x'");
    router.write_config(&bad);
    let output = router.mwan3(["start"]);
    assert_eq!(output.code, Some(0), "{output}");
    for words in ["'wanb'", "'ipv5'", "'dns'", "'53x'"] {
        let is_told = |line: &str| line.contains("mwan3:") && line.contains(words);
        assert!(output.stderr.lines().any(is_told), "nothing of {words}: {output}");
    }
    let rules = our_rules(router);
    assert!(rules.contains("2001:") && rules.contains("2003:") && !rules.contains("2002:"), "{rules}");
    let table = router.sh("nft list table inet mwan3");
    assert!(table.contains("chain rule_https_ipv4") && !table.contains("chain rule_dns_ipv4"), "{table}");
    let report = udp_flows(&lab, "1.1.1.1", 4000, 20);
    assert_eq!(report.by("wan"), 20, "{report}");
}

#[test]
fn one_interface_too_many_leaves_the_others_working() {
    let Some(lab) = lab() else { return };
    let router = lab.router();
    let mut many = CONFIG.to_owned();
    for number in 4..=60 {
        many += &format!("config interface 'none{number}'\n	option enabled '0'\n");
    }
    many += "config interface 'wanb_again'\n	option enabled '1'\n	option device 'wanb'\n";
    router.write_config(&many);
    let output = router.mwan3(["start"]);
    assert_eq!(output.code, Some(0), "{output}");
    assert!(output.stderr.contains("'wanb_again'"), "{output}");
    assert!(!output.stderr.contains("none60"), "{output}");
    let rules = our_rules(router);
    assert!(rules.contains("2002:") && !rules.contains("lookup 61"), "{rules}");
    assert!(router.try_sh("ip route show table 61").stdout.is_empty());
}

#[test]
fn a_kernel_that_refuses_is_told_and_gives_exit_code_1() {
    let Some(lab) = lab() else { return };
    let router = lab.router();
    let before = kernel(router);
    let program = router.mwan3_command();
    let mut command = router.command("setpriv");
    command.args(["--bounding-set", "-net_admin", "--inh-caps", "-net_admin"]);
    command.arg(program.get_program()).arg("start");
    command.env("UCI_CONFIG_DIR", router.config_dir()).env("MWAN3_RUN_DIR", router.run_dir());
    let output = Output::of(&mut command, "");
    assert_eq!(output.code, Some(1), "{output}");
    assert!(output.stderr.starts_with("mwan3: ") && output.stderr.contains("not permitted"), "{output}");
    assert!(output.stderr.contains("(are you root?)"), "no advice: {output}");
    assert_eq!(kernel(router), before);
}

#[test]
fn reloads_at_the_same_time_end_in_the_right_state() {
    let Some(lab) = started() else { return };
    let router = lab.router();
    let other = CONFIG.replace("config rule 'dns'", "config rule 'renamed'").replace("0x3F00", "0xFF00");
    for (round, config) in [other.as_str(), CONFIG, other.as_str()].into_iter().enumerate() {
        let reload = || {
            let mut command = router.mwan3_command();
            command.arg("reload").stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
            command.spawn().expect("mwan3 runs")
        };
        let mut running: Vec<_> = (0..4).map(|_| reload()).collect();
        router.write_config(config);
        running.extend((0..4).map(|_| reload()));
        for child in running {
            let output = child.wait_with_output().expect("it ends");
            let complaint = String::from_utf8_lossy(&output.stderr).into_owned();
            assert!(output.status.success() && complaint.is_empty(), "round {round}: {complaint}");
        }
        assert_settled(router);
    }
    assert!(our_rules(router).contains("2253:\tfrom all fwmark 0xfd00/0xff00 blackhole"));
}

#[test]
fn a_reload_of_an_empty_or_torn_file_leaves_what_is_in_force() {
    let Some(lab) = started() else { return };
    let router = lab.router();
    let before = kernel(router);
    let torn = CONFIG.replacen("config rule 'dns'", "config rule 'dns", 1);
    for (config, reason) in [("", "no usable interface"), (torn.as_str(), "quote that never closes")] {
        router.write_config(config);
        let output = router.mwan3(["reload"]);
        assert_eq!(output.code, Some(1), "{output}");
        assert!(
            output.stderr.contains(reason) && output.stderr.contains("what is in force stays"),
            "{output}"
        );
        assert_eq!(kernel(router), before);
    }
}

#[test]
fn a_reload_that_had_to_wait_goes_by_the_newest_configuration() {
    let Some(lab) = started() else { return };
    let router = lab.router();
    let lock = fs::File::options().append(true).open(router.run_dir().join("mwan3.lock")).expect("a lock");
    // SAFETY: flock takes a live descriptor and no pointers.
    assert_eq!(unsafe { libc::flock(lock.as_raw_fd(), libc::LOCK_EX | libc::LOCK_NB) }, 0);
    router.write_config(&CONFIG.replace("config rule 'dns'", "config rule 'older'"));
    let mut command = router.mwan3_command();
    let child = command.arg("reload").stdin(Stdio::null()).spawn().expect("mwan3 runs");
    // It cannot end while somebody else has the turn, whoever waits for it: command or tracker.
    let mut child = child;
    let has_ended = wait_until(Duration::from_millis(500), || child.try_wait().expect("our child").is_some());
    assert!(!has_ended);
    router.write_config(&CONFIG.replace("config rule 'dns'", "config rule 'newer'"));
    drop(lock);
    assert!(child.wait_with_output().expect("it ends").status.success());
    assert_settled(router);
    assert!(router.sh("nft list table inet mwan3").contains("chain rule_newer_ipv4"));
}
