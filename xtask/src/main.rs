//! Developer commands: `cargo xtask test | web-test | demo | bench | fuzz | deb | dist | package-test | qemu-test |
//! boot-test`.

mod bench;
mod demo;
mod fuzz;
mod package_test;
mod process;
mod test;
mod web;

use std::process::ExitCode;

use xtask::{boot_test, deb, dist, qemu_test, tools};

const HELP: &str = "\
cargo xtask COMMAND

test [--without-pages]  everything .ci/run checks: format, lints, all tests with kernel tests required
web-test        the web pages in Chromium: on invented routers, and on a real one in a laboratory
demo [--fast]   two ISPs, one of them dies: see where new flows go; a minute, or 20 seconds
bench [PART…]   what commands, packets and the idle tracker cost; all parts rewrite docs/performance.md
deb [--program FILE] [--arch NAME] [--version VERSION] [--out FOLDER]
                the Debian package; without a program it builds one
fuzz [--seconds N] [TARGET…]  feeds the readers of everything from outside with hostile input
dist [--target T]… [--out DIR]  binaries and packages for routers, a feed for each architecture
package-test    installs, upgrades and removes the package that dist makes for this machine's processor
qemu-test [TARGET…] [--all]  the core's tests on another processor, big-endian MIPS if none is named
boot-test [MACHINE…]  boots emulated routers with our package: mipsel, s390x; on demand mips, arm
";

fn main() -> ExitCode {
    let mut arguments = std::env::args().skip(1);
    let outcome = match arguments.next().as_deref() {
        Some("test") => test::from_arguments(&arguments.collect::<Vec<_>>()),
        Some("web-test") => web::run_tests(),
        Some("demo") => demo::run(&arguments.collect::<Vec<_>>()),
        Some("bench") => bench::run(&arguments.collect::<Vec<_>>()),
        Some("boot-test") => boot_test::run(arguments),
        Some("package-test") => package_test::run_tests(),
        Some("qemu-test") => qemu_test::run_from(arguments),
        Some("dist") => dist::run(arguments),
        Some("deb") => deb::from_arguments(arguments),
        Some("fuzz") => fuzz::from_arguments(arguments),
        None | Some("help" | "--help" | "-h") => {
            print!("{HELP}");
            Ok(())
        }
        Some(other) => Err(format!("unknown command '{other}'\n{HELP}")),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(problem) => {
            eprintln!("xtask: {problem}");
            ExitCode::FAILURE
        }
    }
}
