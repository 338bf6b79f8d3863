//! What the archives hold is asked of the programs that everybody else reads them with.

mod scratch;

use std::fs;

use scratch::{Scratch, output};
use xtask::dist::tree::{Entry, Tree};
use xtask::dist::{ar, checksum, gzip, tar};

const TIME_S: u64 = 1_700_000_000;

fn example() -> Tree {
    let mut tree = Tree::default();
    tree.add("usr/sbin/program", Entry::program("#!/bin/sh\n"));
    tree.add("etc/config/example", Entry::file("config example\n"));
    tree.add("etc/link", Entry::Link { target: "config/example".to_owned() });
    tree
}

#[test]
fn tar_reads_what_we_write() {
    let scratch = Scratch::new("tar");
    let packed = gzip::pack(&tar::write(&example(), TIME_S).expect("an archive")).expect("packs");
    fs::write(scratch.path("x.tar.gz"), packed).expect("writes");
    let listed = output("tar", &["--full-time", "--numeric-owner", "-tvzf", "x.tar.gz"], &scratch.0);
    let expected = "\
drwxr-xr-x 0/0               0 2023-11-14 22:13:20 ./
drwxr-xr-x 0/0               0 2023-11-14 22:13:20 ./etc/
drwxr-xr-x 0/0               0 2023-11-14 22:13:20 ./etc/config/
-rw-r--r-- 0/0              15 2023-11-14 22:13:20 ./etc/config/example
lrwxrwxrwx 0/0               0 2023-11-14 22:13:20 ./etc/link -> config/example
drwxr-xr-x 0/0               0 2023-11-14 22:13:20 ./usr/
drwxr-xr-x 0/0               0 2023-11-14 22:13:20 ./usr/sbin/
-rwxr-xr-x 0/0              10 2023-11-14 22:13:20 ./usr/sbin/program
";
    assert_eq!(listed, expected);
    output("tar", &["-xzf", "x.tar.gz"], &scratch.0);
    assert_eq!(
        fs::read_to_string(scratch.path("etc/link")).expect("the link leads there"),
        "config example\n"
    );
}

#[test]
fn ar_reads_what_we_write() {
    let scratch = Scratch::new("ar");
    let archive = ar::write(&[("debian-binary", b"2.0\n"), ("odd", b"abc"), ("even", b"abcd")], TIME_S);
    fs::write(scratch.path("x.ar"), archive.expect("an archive")).expect("writes");
    assert_eq!(output("ar", &["t", "x.ar"], &scratch.0), "debian-binary\nodd\neven\n");
    assert_eq!(output("ar", &["p", "x.ar", "odd", "even"], &scratch.0), "abcabcd");
    assert!(ar::write(&[("a-name-that-is-too-long", b"")], TIME_S).is_err());
}

#[test]
fn a_folder_gives_the_same_bytes_whatever_its_times_modes_and_the_order_of_its_making() {
    let scratch = Scratch::new("order");
    let orders = [["b/two", "a/one", "c/three"], ["c/three", "b/two", "a/one"]];
    let archives = orders.map(|order| {
        let folder = scratch.path(&order.concat().replace('/', "-"));
        for path in order {
            let file = folder.join(path);
            fs::create_dir_all(file.parent().expect("a parent")).expect("a folder");
            fs::write(&file, path).expect("a file");
            let mode = if order[0] == "b/two" { "600" } else { "664" };
            output("chmod", &[mode, path], &folder);
        }
        output("touch", &["-d", if order[0] == "b/two" { "2001-01-01" } else { "2012-12-12" }, "a"], &folder);
        let mut tree = Tree::default();
        tree.add_folder(&folder, "", &["c"]).expect("reads");
        assert!(tree.get("c/three").is_none(), "left out by name");
        gzip::pack(&tar::write(&tree, TIME_S).expect("an archive")).expect("packs")
    });
    assert!(archives[0] == archives[1], "two packings differ");
    let mut other = Tree::default();
    other.add("a/one", Entry::file("a/one"));
    assert!(gzip::pack(&tar::write(&other, TIME_S).expect("an archive")).expect("packs") != archives[0]);
}

#[test]
fn checksums_are_those_of_sha256sum() {
    let known = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
    assert_eq!(checksum::sha256_hex(b"abc"), known);
}

#[test]
fn names_that_do_not_fit_are_told_instead_of_cut() {
    let mut tree = Tree::default();
    tree.add(&"x".repeat(120), Entry::file(""));
    assert!(tar::write(&tree, TIME_S).expect_err("too long").contains("too long"));
}
