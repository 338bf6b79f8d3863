//! Debian has no kernel for big-endian MIPS any more, but its source and a compiler for it.

use std::process::Command;

use super::System;
use crate::dist::target;
use crate::dist::toolchain::Toolchain;
use crate::tools::{run, workspace};

/// To boot, and to build.
pub const PROGRAMS: &[(&str, &str)] = &[
    ("qemu-system-mips", "qemu-system-mips"),
    ("mips-linux-gnu-gcc", "gcc-mips-linux-gnu"),
    ("/usr/src/linux-source-6.12.tar.xz", "linux-source-6.12"),
    ("make", "make"),
    ("flex", "flex"),
    ("bison", "bison"),
    ("bc", "bc"),
    ("bzip2", "bzip2"),
    ("dpkg-source", "dpkg-dev"),
];

pub fn provide(toolchain: &Toolchain) -> Result<System, String> {
    let folder = toolchain.folder().join("mips-system");
    let script = workspace().join("xtask/src/boot_test/mips/build.sh");
    let target = target::find("mips")?;
    let mut command = toolchain.with_caches(Command::new("sh"));
    run(command.arg(script).arg(&folder).arg(toolchain.linker(target)))?;
    // Everything else is built into the kernel.
    Ok(System { kernel: folder.join("vmlinux"), busybox: folder.join("busybox"), modules: Vec::new() })
}
