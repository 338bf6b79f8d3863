//! `cargo xtask package-test`: the package's life on a router (`tests/openwrt_package`) with the very .ipk that
//! `dist` makes for this machine's processor.

use std::env::consts::ARCH;

use xtask::dist::{self, target};

use crate::test::kernel_tests;
use crate::tools::{FOR_TESTS, provide, run, workspace};

pub fn run_tests() -> Result<(), String> {
    provide(FOR_TESTS)?;
    let target = target::find(ARCH)?;
    let folder = workspace().join("target/package-test");
    dist::make(&[target], &folder)?;
    let ipk = dist::ipk_path(target, &folder)?;
    eprintln!("package-test: {}", ipk.display());
    let mut command = kernel_tests(&["--package", "mwan3", "--test", "openwrt_package"])?;
    run(command.env("MWAN3_IPK", ipk))
}
