//! The program: a logger, the arguments, an exit code.

use std::process::ExitCode;

use mwan3::system::memory::SmallBlocks;

#[global_allocator]
static MEMORY: SmallBlocks = SmallBlocks::new();

fn main() -> ExitCode {
    mwan3::system::logger::init();
    ExitCode::from(mwan3::cli::run(std::env::args_os().skip(1).collect()))
}
