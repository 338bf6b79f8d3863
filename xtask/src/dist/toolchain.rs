//! Compiler, standard library as source, linker and C library, from package registries alone: Debian has a compiler
//! that knows every machine, and PyPI a linker that brings musl for all of them.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::dist::flags::{self, Places, Purpose};
use crate::dist::target::{TARGETS, Target};
use crate::tools::{provide, run, workspace};

/// A package of PyPI, and its version.
const ZIG: [&str; 2] = ["ziglang", "0.17.1"];
const CARGO: &str = "/usr/bin/cargo";
const RUSTC: &str = "/usr/bin/rustc";
/// The link that Debian's packages keep to the source of the very compiler they install.
const STANDARD_LIBRARY: &str = "/usr/lib/rustlib/src/rust";
const PACKAGES: &[(&str, &str)] = &[
    (RUSTC, "rustc-web"),
    (CARGO, "cargo-web"),
    ("/usr/lib/rustlib/src/rust/library/std/Cargo.toml", "rust-web-src"),
    ("cc", "gcc"),
    ("/usr/include/stdlib.h", "libc6-dev"),
    ("pip3", "python3-pip"),
    ("/etc/ssl/certs/ca-certificates.crt", "ca-certificates"),
    ("xz", "xz-utils"),
];

pub struct Toolchain {
    /// Linker, its caches, and what it builds.
    folder: PathBuf,
    registry: PathBuf,
    standard_library: PathBuf,
}

impl Toolchain {
    /// Installs what is missing, or says how to. The folder is `target/cross`, or what `MWAN3_CROSS` says: kept, it
    /// spares each new checkout the download.
    pub fn provide() -> Result<Toolchain, String> {
        provide(PACKAGES)?;
        let kept = std::env::var_os("MWAN3_CROSS").map(PathBuf::from);
        let folder = kept.unwrap_or_else(|| workspace().join("target/cross"));
        let toolchain = Toolchain {
            registry: registry()?,
            standard_library: standard_library()?,
            folder: make(&folder)?,
        };
        toolchain.provide_linker()?;
        Ok(toolchain)
    }

    /// Cargo for that target; its subcommand and the rest are for the caller to add.
    pub fn cargo(&self, subcommand: &str, target: &Target, purpose: Purpose) -> Command {
        let mut command = Command::new(CARGO);
        for (name, _) in std::env::vars_os() {
            if is_foreign(&name.to_string_lossy()) {
                command.env_remove(name);
            }
        }
        let places = Places {
            workspace: workspace(),
            registry: &self.registry,
            standard_library: &self.standard_library,
        };
        command
            .args([subcommand, "--locked", "--target", target.triple])
            .env("RUSTC", RUSTC)
            .envs(flags::ENVIRONMENT.iter().copied())
            .env(variable(target, "RUSTFLAGS"), "")
            .env("CARGO_ENCODED_RUSTFLAGS", flags::compiler(target.triple, purpose, &places).join("\x1f"))
            .env("CARGO_TARGET_DIR", self.target_folder())
            .env(variable(target, "LINKER"), self.linker(target));
        self.with_caches(command)
    }

    /// For what calls the linker by other ways than cargo.
    pub fn with_caches(&self, mut command: Command) -> Command {
        let caches = self.folder.join("zig-cache");
        command.env("ZIG_GLOBAL_CACHE_DIR", &caches).env("ZIG_LOCAL_CACHE_DIR", &caches);
        command
    }

    /// Also a C compiler.
    pub fn linker(&self, target: &Target) -> PathBuf {
        self.folder.join("bin").join(format!("cc-{}", target.triple))
    }

    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// What a binary must not hold.
    pub fn machine_paths(&self) -> [&Path; 4] {
        [workspace(), &self.registry, &self.standard_library, &self.folder]
    }

    pub fn target_folder(&self) -> PathBuf {
        // Beside the checkout's other builds: another checkout's would be taken for ours.
        workspace().join("target/cross-build")
    }

    fn provide_linker(&self) -> Result<(), String> {
        let [package, version] = ZIG;
        let folder = self.folder.join(format!("{package}-{version}"));
        let zig = folder.join("ziglang/zig");
        if !zig.is_file() {
            let wanted = format!("{package}=={version}");
            run(Command::new("pip3")
                .args([
                    "install",
                    "--quiet",
                    "--no-input",
                    "--root-user-action=ignore",
                    "--no-deps",
                    "--only-binary",
                    ":all:",
                    "--target",
                ])
                .arg(&folder)
                .arg(wanted))?;
        }
        for target in TARGETS {
            self.write_linker(target, &zig)?;
        }
        Ok(())
    }

    /// Cargo's linker is one program without arguments of ours.
    fn write_linker(&self, target: &Target, zig: &Path) -> Result<(), String> {
        let path = self.linker(target);
        let Target { linker_target, linker_cpu, .. } = target;
        let script = format!(
            "#!/bin/sh\nexec '{}' cc -target {linker_target} -mcpu={linker_cpu} \"$@\"\n",
            zig.display()
        );
        make(path.parent().unwrap_or(Path::new(".")))?;
        let executable = fs::Permissions::from_mode(0o755);
        let written = fs::write(&path, script).and_then(|()| fs::set_permissions(&path, executable));
        written.map_err(|error| format!("{}: {error}", path.display()))
    }
}

/// What the cargo that runs us, or a developer's habit, would change in the build.
fn is_foreign(variable: &str) -> bool {
    let prefixes = ["CARGO_PROFILE_", "CARGO_TARGET_", "CARGO_BUILD_", "RUSTC", "RUSTUP_", "CARGO_PKG_"];
    let names = ["RUSTFLAGS", "CARGO", "CARGO_ENCODED_RUSTFLAGS", "CARGO_MANIFEST_DIR"];
    prefixes.iter().any(|prefix| variable.starts_with(prefix)) || names.contains(&variable)
}

/// A compiler builds the standard library of its own version only.
fn standard_library() -> Result<PathBuf, String> {
    let output =
        Command::new(RUSTC).arg("--version").output().map_err(|error| format!("{RUSTC}: {error}"))?;
    let words = String::from_utf8_lossy(&output.stdout).into_owned();
    let version = words.split(' ').nth(1).unwrap_or("unknown");
    let found = fs::canonicalize(STANDARD_LIBRARY).map_err(|error| format!("{STANDARD_LIBRARY}: {error}"))?;
    if found.display().to_string().ends_with(&format!("-{version}")) {
        return Ok(PathBuf::from(STANDARD_LIBRARY));
    }
    Err(format!("{RUSTC} is {version}, but the source of the standard library is {}", found.display()))
}

/// Where cargo unpacks crates: the name of the folder below it depends on the machine.
fn registry() -> Result<PathBuf, String> {
    let home = std::env::var_os("CARGO_HOME").map(PathBuf::from).or_else(|| {
        let home = std::env::var_os("HOME")?;
        Some(Path::new(&home).join(".cargo"))
    });
    home.map(|home| home.join("registry/src")).ok_or_else(|| "neither CARGO_HOME nor HOME is set".to_owned())
}

/// The name of a setting of cargo's for that target alone.
pub fn variable(target: &Target, what: &str) -> String {
    format!("CARGO_TARGET_{}_{what}", target.triple.to_uppercase().replace('-', "_"))
}

fn make(folder: &Path) -> Result<PathBuf, String> {
    fs::create_dir_all(folder).map_err(|error| format!("{}: {error}", folder.display()))?;
    Ok(folder.to_owned())
}
