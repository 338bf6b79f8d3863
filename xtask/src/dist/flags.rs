//! Every flag of a release for a router stands here; what holds for any release stands in Cargo.toml's profile.
//! docs/building.md tells what each of them brings.

use std::path::Path;

pub const CARGO: &[&str] = &[
    // The standard library comes as source: mips has none, and for size it has to be built as we build.
    "-Zbuild-std=std,panic_abort",
    "-Zbuild-std-features=optimize_for_size",
    // A panic ends the program without words: with them it is a tenth larger.
    "-Zpanic-immediate-abort",
    "--config=profile.release.panic='immediate-abort'",
];

/// For what runs tests: a panic is caught there.
pub const CARGO_TEST: &[&str] = &["-Zbuild-std=std,panic_abort,panic_unwind,test"];

/// Of code that no router runs, such as build scripts, cargo keeps these away by itself.
const COMPILER: &[&str] = &[
    "-Ctarget-feature=+crt-static",
    // The linker brings musl and its start files.
    "-Clink-self-contained=no",
    // A tenth smaller than position independent code on MIPS.
    "-Crelocation-model=static",
    // 64-bit time for our own libc crate, and below for the one in the standard library.
    "--cfg=libc_unstable_musl_v1_2",
];

const COMPILER_RELEASE: &[&str] = &[
    // Where nothing is said at a panic, nobody needs to know where it was.
    "-Cforce-unwind-tables=no",
    "-Zlocation-detail=none",
    // Nothing we write for people is a Debug text (tests/house_rules.rs).
    "-Zfmt-debug=none",
    // The same for what the linker compiles, which is the C library: small, and not to be unwound.
    "-Clink-arg=-Os",
    "-Clink-arg=-fno-unwind-tables",
    "-Clink-arg=-fno-asynchronous-unwind-tables",
];

/// Off by default there, for the sake of functions over 128 KB; the largest of ours has half of that.
const COMPILER_RELEASE_MIPS: &[&str] = &["-Cllvm-args=-enable-tail-merge"];

pub const ENVIRONMENT: &[(&str, &str)] = &[
    // Lets a stable compiler build its own standard library.
    ("RUSTC_BOOTSTRAP", "1"),
    // Without it a 32-bit machine panics on a clock past January 2038.
    ("RUST_LIBC_UNSTABLE_MUSL_V1_2_3", "1"),
];

/// Where a path of the building machine would get into the binary, and what is there instead.
pub struct Places<'a> {
    pub workspace: &'a Path,
    pub registry: &'a Path,
    pub standard_library: &'a Path,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    Release,
    Test,
}

pub fn compiler(triple: &str, purpose: Purpose, places: &Places) -> Vec<String> {
    let of_release = if purpose == Purpose::Release { COMPILER_RELEASE } else { &[] };
    let is_mips = purpose == Purpose::Release && triple.starts_with("mips");
    let of_mips = if is_mips { COMPILER_RELEASE_MIPS } else { &[] };
    let fixed = [COMPILER, of_release, of_mips].concat();
    let mut flags: Vec<String> = fixed.into_iter().map(str::to_owned).collect();
    let hidden = [(places.workspace, "."), (places.registry, "crates"), (places.standard_library, "std")];
    flags.extend(hidden.map(|(path, name)| format!("--remap-path-prefix={}={name}", path.display())));
    flags
}
