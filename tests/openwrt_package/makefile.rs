//! What the Makefile says, and that it installs what is in `files/`.

use std::fs;
use std::path::Path;
use std::process::Command;

use super::package::{Package, SOURCE, listing, run};

#[test]
fn every_file_is_installed_to_its_path_with_its_mode() {
    let package = Package::new();
    let mut expected = openwrt_files();
    for (path, mode) in &mut expected {
        let is_run =
            ["/etc/init.d/", "/etc/mwan3.user", "/usr/libexec/"].iter().any(|place| path.starts_with(place));
        *mode = if is_run { 0o755 } else { 0o644 };
    }
    expected.push(("/usr/sbin/mwan3".to_owned(), 0o755));
    expected.sort();
    assert_eq!(listing(&package.content()), expected);
    for (path, _) in openwrt_files() {
        let [source, target] = [Path::new(SOURCE).join("files"), package.content()]
            .map(|top| fs::read(top.join(&path[1..])).expect("readable"));
        assert!(source == target, "{path} is another file");
    }
}

/// What is in files/linux is for other systems.
fn openwrt_files() -> Vec<(String, u32)> {
    let mut files = listing(&Path::new(SOURCE).join("files"));
    files.retain(|(path, _)| !path.starts_with("/linux/"));
    files
}

#[test]
fn the_package_takes_the_shell_packages_place_at_cargos_version() {
    let package = Package::from_makefile();
    assert_eq!(package.field("name"), "mwan3");
    assert_eq!(package.field("version"), concat!(env!("CARGO_PKG_VERSION"), "-r1"));
    assert_eq!(package.field("license"), "GPL-2.0-or-later");
    assert!(package.field("description").starts_with("Runs several Internet uplinks"));
    let depends = package.field("depends");
    let (targets, modules) = depends.split_once(' ').expect("several");
    assert!(targets.starts_with("@(") && targets.contains("mips"), "{depends}");
    assert_eq!(modules, "+kmod-nft-core +kmod-nf-conntrack-netlink");
    assert_eq!(package.field("build-depends"), "rust/host");
}

#[test]
fn conffiles_are_there_and_survive_a_sysupgrade() {
    let package = Package::new();
    let kept = fs::read_to_string(package.content().join("lib/upgrade/keep.d/mwan3")).expect("readable");
    let conffiles = package.conffiles();
    assert_eq!(conffiles, kept.lines().collect::<Vec<_>>());
    assert_eq!(conffiles, ["/etc/config/mwan3", "/etc/mwan3.user"]);
    for conffile in conffiles {
        assert!(package.content().join(&conffile[1..]).is_file(), "{conffile}");
    }
}

#[test]
fn what_is_built_from_holds_all_that_cargo_wants_to_see() {
    let package = Package::from_makefile();
    let source = Path::new(SOURCE);
    for part in ["Cargo.toml", "Cargo.lock", "LICENSE", "src", "lab", "xtask"] {
        run(Command::new("cp").arg("-R").arg(source.join(part)).arg(package.checkout()));
    }
    let build = package.checkout().join("build");
    package.make("prepare", &build);
    let mut cargo = Command::new(env!("CARGO"));
    cargo.args([
        "metadata",
        "--locked",
        "--offline",
        "--format-version",
        "1",
        "--no-deps",
        "--manifest-path",
    ]);
    let metadata = run(cargo.arg(build.join("Cargo.toml")));
    assert!(metadata.contains(r#""name":"mwan3""#), "{metadata}");
}

#[test]
fn scripts_are_understood_by_both_shells() {
    let package = Package::new();
    let mut count = 0;
    for (path, _) in listing(&package.content()) {
        if path.starts_with("/usr/sbin/")
            || path.starts_with("/etc/config/")
            || path.ends_with("keep.d/mwan3")
        {
            continue;
        }
        for shell in ["dash -n", "busybox ash -n"] {
            let mut words = shell.split(' ');
            let mut command = Command::new(words.next().expect("a program"));
            run(command.args(words).arg(package.content().join(&path[1..])));
            count += 1;
        }
    }
    assert!(count >= 16, "{count}");
}
