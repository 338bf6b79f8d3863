//! `cargo xtask boot-test [MACHINE…]`: boots an emulated router with a kernel of Debian's and the files of our
//! package, and looks what happens there: two uplinks, start, track, a failover, stop.

mod big_endian_mips;
mod console;
mod debian;
mod initramfs;
mod machine;

use std::fs;
use std::path::PathBuf;
use std::process::Command;
use std::time::{Duration, Instant};

use console::Console;
use machine::{Kernel, MACHINES, Machine};

use crate::dist::build::Binary;
use crate::dist::target::{self, Target};
use crate::dist::toolchain::Toolchain;
use crate::dist::tree::{Entry, Tree};
use crate::dist::{gzip, router_files, strip};
use crate::tools::{provide, run as run_program, workspace};

/// What the router does; it says PROVED for each thing it saw, and at last that nothing is missing.
const STORY: &str = include_str!("boot_test/story.sh");
const CONFIG: &str = include_str!("boot_test/mwan3");
const ALL_PROVED: &str = "PROVED all";
/// For a busy machine of two cores; a run takes seconds.
const LONGEST: Duration = Duration::from_secs(240);
/// What is needed of the kernel besides what it has built in: as the package's dependencies, what OpenWrt's firewall
/// brings (the router's own packets get the address of their uplink by nat), and the uplinks.
/// The first is what the checksum in the second calls for by another name.
const MODULES: &[&str] = &[
    "crc32c_generic",
    "nf_tables",
    "nft_ct",
    "nft_numgen",
    "nft_chain_nat",
    "nft_nat",
    "nf_conntrack_netlink",
    "veth",
];

/// A kernel, and the programs of a router that are not ours.
struct System {
    kernel: PathBuf,
    busybox: PathBuf,
    /// In the order in which they have to be loaded.
    modules: Vec<PathBuf>,
}

pub fn run(names: impl Iterator<Item = String>) -> Result<(), String> {
    let names: Vec<String> = names.collect();
    let mut machines = Vec::new();
    for name in &names {
        let found = MACHINES.iter().find(|machine| machine.name == *name);
        let known = || MACHINES.iter().map(|machine| machine.name).collect::<Vec<_>>().join(" ");
        machines.push(found.ok_or_else(|| format!("unknown machine '{name}'; there are: {}", known()))?);
    }
    if machines.is_empty() {
        machines = MACHINES.iter().filter(|machine| machine.is_quick).collect();
    }
    let toolchain = Toolchain::provide()?;
    let mut proved = 0;
    for machine in machines {
        provide(machine.programs)?;
        let system = match &machine.kernel {
            Kernel::OfDebian { architecture, package } => {
                debian::provide(toolchain.folder(), architecture, package, MODULES)?
            }
            Kernel::Built => big_endian_mips::provide(&toolchain)?,
        };
        boot(machine, &system, &toolchain)?;
        proved += 1;
    }
    // In the words of test runners; the first failure ends the run.
    println!("{proved} passed, 0 failed");
    Ok(())
}

fn boot(machine: &Machine, system: &System, toolchain: &Toolchain) -> Result<(), String> {
    let binary = Binary::build(toolchain, target::find(machine.target)?)?;
    let set_clock = build_set_clock(toolchain, target::find(machine.target)?)?;
    let image = toolchain.folder().join(format!("{}.cpio.gz", machine.name));
    let packed = gzip::pack(&initramfs::write(&root(system, binary, set_clock)?))?;
    fs::write(&image, packed).map_err(|error| format!("{}: {error}", image.display()))?;
    let (program, options) = machine.emulator.split_first().ok_or("a machine without an emulator")?;
    let mut command = Command::new(program);
    command.args(options).args(["-nographic", "-nic", "none", "-no-reboot"]);
    command.arg("-kernel").arg(&system.kernel).arg("-initrd").arg(&image);
    command.arg("-append").arg(format!("{} panic=-1 quiet", machine.console));
    println!("== {}: {program}, {}", machine.name, system.kernel.display());
    let begun = Instant::now();
    let said = Console::of(&mut command)?.read_until_end(LONGEST)?;
    let seconds = begun.elapsed().as_secs();
    if !said.lines().any(|line| line.trim_end() == ALL_PROVED) {
        return Err(format!("{}: the router did not come to '{ALL_PROVED}' in {seconds} s", machine.name));
    }
    println!("== {}: all proved after {seconds} s", machine.name);
    Ok(())
}

fn build_set_clock(toolchain: &Toolchain, target: &Target) -> Result<Vec<u8>, String> {
    let source = workspace().join("xtask/src/boot_test/set_clock.c");
    let program = toolchain.folder().join(format!("set-clock-{}", target.triple));
    // With other options, the C library would be compiled once more.
    let mut compiler = toolchain.with_caches(Command::new(toolchain.linker(target)));
    run_program(compiler.args(["-static", "-no-pie", "-Wl,--strip-all", "-o"]).arg(&program).arg(source))?;
    let linked = fs::read(&program).map_err(|error| format!("{}: {error}", program.display()))?;
    strip::strip(&linked).ok_or_else(|| format!("{}: not a program", program.display()))
}

/// The root file system: what the package brings, a configuration, and the rest of a router as far as needed.
fn root(system: &System, binary: Binary, set_clock: Vec<u8>) -> Result<Tree, String> {
    let read = |path: &PathBuf| fs::read(path).map_err(|error| format!("{}: {error}", path.display()));
    let mut tree = router_files()?;
    tree.add("usr/sbin/mwan3", Entry::program(binary.bytes));
    tree.add("etc/config/mwan3", Entry::file(CONFIG));
    tree.add("sbin/set-clock", Entry::program(set_clock));
    tree.add("bin/busybox", Entry::program(read(&system.busybox)?));
    tree.add("init", Entry::program(STORY));
    for folder in ["dev", "proc", "sys", "tmp", "run", "var"] {
        tree.add(folder, Entry::Folder);
    }
    let mut list = String::new();
    for module in &system.modules {
        let name = module.file_name().unwrap_or_default().to_string_lossy();
        tree.add(&format!("modules/{name}"), Entry::file(read(module)?));
        list += &format!("/modules/{name}\n");
    }
    tree.add("modules/list", Entry::file(list));
    Ok(tree)
}
