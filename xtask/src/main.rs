//! Developer commands: `cargo xtask test | demo | bench | deb | fuzz`.

mod bench;
mod deb;
mod demo;
mod fuzz;
mod process;
mod test;
mod tools;

use std::process::ExitCode;

const HELP: &str = "\
cargo xtask COMMAND

test            everything .ci/run checks: format, lints, all tests with kernel tests required
demo [--fast]   two ISPs, one of them dies: see where new flows go; a minute, or 20 seconds
bench [PART…]   what commands, packets and the idle tracker cost; all parts rewrite docs/performance.md
deb [--program FILE] [--arch NAME] [--version VERSION] [--out FOLDER]
                the Debian package; without a program it builds one
fuzz [--seconds N] [TARGET…]  feeds the readers of everything from outside with hostile input
";

fn main() -> ExitCode {
    let mut arguments = std::env::args().skip(1);
    let outcome = match arguments.next().as_deref() {
        Some("test") => test::run_all(),
        Some("demo") => demo::run(&arguments.collect::<Vec<_>>()),
        Some("bench") => bench::run(&arguments.collect::<Vec<_>>()),
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
