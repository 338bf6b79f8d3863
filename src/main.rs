//! The program: a logger, the arguments, an exit code.
#![cfg_attr(not(test), no_main)]

use std::ffi::OsString;

use mwan3::system::memory::SmallBlocks;

#[global_allocator]
static MEMORY: SmallBlocks = SmallBlocks::new();

#[cfg(not(test))]
mwan3::program!(run);

#[cfg_attr(test, allow(dead_code))]
fn run(words: Vec<OsString>) -> u8 {
    mwan3::system::logger::init();
    mwan3::cli::run(words)
}
