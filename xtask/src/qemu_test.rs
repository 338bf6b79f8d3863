//! `cargo xtask qemu-test [TARGET] [--all]`: the core's tests, compiled for another machine and run in an emulated
//! processor. What a change breaks for 32 bits or for the other byte order shows here. Kernels are not emulated:
//! `boot-test` is for that.

use std::time::Instant;

use crate::dist::flags::{self, Purpose};
use crate::dist::target::{self, Target};
use crate::dist::toolchain::{Toolchain, variable};
use crate::tools::{provide, run};

const PROGRAMS: &[(&str, &str)] = &[("qemu-mips-static", "qemu-user-static")];

/// Bytes on wires, numbers and their widths, times, and everything that is planned from them.
const USUAL: &[&str] = &[
    "bpf_assembly",
    "config",
    "fuzz_finds",
    "golden",
    "health",
    "health_values",
    "machine",
    "netifd",
    "nft_text",
    "nftables_wire",
    "plain_host",
    "probe_packets",
    "reports",
    "routing_diff",
    "routing_wire",
    "source_address",
    "ubus",
    "uci",
    "uci_delta",
];
/// Take minutes in an emulated processor.
const LONG: &[&str] = &["check", "dispatch", "health_day", "health_timing", "scenarios"];

/// Of each property that does not tell its own number; the usual one is 256.
const PROPERTY_CASES: &str = "32";

pub fn run_from(arguments: impl Iterator<Item = String>) -> Result<(), String> {
    let (mut targets, mut tests) = (Vec::new(), USUAL.to_vec());
    for argument in arguments {
        match argument.as_str() {
            "--all" => tests.extend(LONG),
            name => targets.push(target::find(name)?),
        }
    }
    if targets.is_empty() {
        targets.push(target::find("mips")?);
    }
    provide(PROGRAMS)?;
    let toolchain = Toolchain::provide()?;
    for target in targets {
        run_tests(&toolchain, target, &tests)?;
    }
    Ok(())
}

fn run_tests(toolchain: &Toolchain, target: &Target, tests: &[&str]) -> Result<(), String> {
    let begun = Instant::now();
    let mut command = toolchain.cargo("test", target, Purpose::Test);
    command.args(["--package", "mwan3", "--no-fail-fast"]).args(flags::CARGO_TEST);
    command.args(tests.iter().flat_map(|test| ["--test", test]));
    command.env(variable(target, "RUNNER"), target.emulator.join(" "));
    // Nobody looks into it with a debugger, and cheap optimisation is won back in the emulator.
    command.env("CARGO_PROFILE_DEV_DEBUG", "0").env("CARGO_PROFILE_DEV_OPT_LEVEL", "1");
    command.env("CARGO_INCREMENTAL", "0");
    // Each is twenty times slower there, and all were tried on this machine.
    command.env("PROPTEST_CASES", PROPERTY_CASES);
    run(&mut command)?;
    println!("qemu-test: {} passed after {} s", target.triple, begun.elapsed().as_secs());
    Ok(())
}
