//! One binary, as routers get it.

use std::fs;
use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};
use std::thread;

use crate::dist::flags::{self, Purpose};
use crate::dist::strip;
use crate::dist::target::Target;
use crate::dist::toolchain::Toolchain;
use crate::tools::run;

#[derive(Debug)]
pub struct Binary {
    pub target: &'static Target,
    pub bytes: Vec<u8>,
    /// Packed as firmware images pack it, by `xz -9e`.
    pub packed_size: u64,
}

impl Binary {
    pub fn build(toolchain: &Toolchain, target: &'static Target) -> Result<Binary, String> {
        run(toolchain
            .cargo("build", target, Purpose::Release)
            .args(["--release", "--package", "mwan3", "--bin", "mwan3"])
            .args(flags::CARGO))?;
        let path = toolchain.target_folder().join(target.triple).join("release/mwan3");
        let linked = fs::read(&path).map_err(|error| format!("{}: {error}", path.display()))?;
        let bytes = strip::strip(&linked).ok_or_else(|| format!("{}: not a program", path.display()))?;
        if let Some(found) = path_inside(&bytes, &toolchain.machine_paths()) {
            return Err(format!("{}: holds a path of this machine: {found}", path.display()));
        }
        Ok(Binary { target, packed_size: packed_size(&bytes)?, bytes })
    }
}

/// Whoever builds elsewhere would get other bytes.
pub fn path_inside(bytes: &[u8], paths: &[&Path]) -> Option<String> {
    let texts = paths.iter().map(|path| path.display().to_string());
    texts.into_iter().find(|text| bytes.windows(text.len()).any(|window| window == text.as_bytes()))
}

fn packed_size(bytes: &[u8]) -> Result<u64, String> {
    let failed = |error: std::io::Error| format!("xz: {error}");
    let mut packer = Command::new("xz");
    packer.args(["-9e", "--stdout"]).stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut packer = packer.spawn().map_err(failed)?;
    let input = packer.stdin.take().ok_or("xz: no input")?;
    // It reads all before it writes, but not by promise.
    let output = thread::scope(|scope| {
        scope.spawn(move || { &input }.write_all(bytes));
        packer.wait_with_output()
    });
    let output = output.map_err(failed)?;
    if output.status.success() { Ok(output.stdout.len() as u64) } else { Err("xz failed".to_owned()) }
}
