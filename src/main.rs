//! The program: a logger, the arguments, an exit code.

use std::process::ExitCode;

fn main() -> ExitCode {
    mwan3::system::logger::init();
    ExitCode::from(mwan3::cli::run(std::env::args_os().skip(1)))
}
