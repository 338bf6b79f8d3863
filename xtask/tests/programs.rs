//! What is done to programs before they are packed.

mod scratch;

use std::fs;
use std::path::Path;

use scratch::{Scratch, output};
use xtask::dist::build::path_inside;
use xtask::dist::strip::strip;

#[test]
fn a_stripped_program_is_smaller_and_still_runs() {
    let scratch = Scratch::new("strip");
    let busybox = output("which", &["busybox"], &scratch.0);
    let whole = fs::read(busybox.trim()).expect("busybox is there");
    let stripped = strip(&whole).expect("a program");
    assert!(stripped.len() < whole.len(), "{} of {}", stripped.len(), whole.len());
    fs::write(scratch.path("busybox"), stripped).expect("writes");
    output("chmod", &["755", "busybox"], &scratch.0);
    assert_eq!(output("./busybox", &["echo", "runs"], &scratch.0), "runs\n");
}

/// The header of a program for a big-endian machine of 32 bits with one part to load: its bytes 52 to 100.
fn big_endian_program() -> Vec<u8> {
    let mut program = vec![0; 120];
    program[..7].copy_from_slice(b"\x7fELF\x01\x02\x01");
    program[28..32].copy_from_slice(&52_u32.to_be_bytes());
    program[32..36].copy_from_slice(&110_u32.to_be_bytes());
    program[42..46].copy_from_slice(&[0, 32, 0, 1]);
    program[46..52].copy_from_slice(&[0, 40, 0, 9, 0, 8]);
    program[56..60].copy_from_slice(&52_u32.to_be_bytes());
    program[68..72].copy_from_slice(&48_u32.to_be_bytes());
    program
}

#[test]
fn what_is_not_loaded_goes_and_so_does_the_list_of_sections() {
    let stripped = strip(&big_endian_program()).expect("a program");
    assert_eq!(stripped.len(), 100);
    assert_eq!(stripped[32..36], [0; 4], "where the list was");
    assert_eq!(stripped[48..52], [0; 4], "how many there were");
    assert_eq!(stripped[28..32], [0, 0, 0, 52], "the parts to load stay known");
}

#[test]
fn what_is_no_program_is_not_touched() {
    assert_eq!(strip(b"#!/bin/sh\n"), None);
    let whole = big_endian_program();
    for end in 0..100 {
        assert_eq!(strip(&whole[..end]), None, "cut after {end} bytes");
    }
}

#[test]
fn a_path_of_the_building_machine_is_found() {
    let program = b"panicked at /home/me/project/src/main.rs";
    let paths = [Path::new("/opt/other"), Path::new("/home/me/project")];
    assert_eq!(path_inside(program, &paths), Some("/home/me/project".to_owned()));
    assert_eq!(path_inside(b"panicked at src/main.rs", &paths), None);
}
