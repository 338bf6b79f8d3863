//! A kernel, its modules and a busybox of a foreign architecture, from Debian's own packages. Apt works with a state
//! of its own: this machine stays of one architecture.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::System;
use crate::tools::run;

const KEYS: &str = "/usr/share/keyrings/debian-archive-keyring.gpg";
/// The last release with kernels for 32-bit MIPS.
const RELEASE: &str = "bookworm";
const ATTEMPTS: u32 = 3;

pub fn provide(folder: &Path, architecture: &str, kernel: &str, modules: &[&str]) -> Result<System, String> {
    let apt = Apt { folder: folder.join(format!("debian-{architecture}")), architecture };
    let root = apt.folder.join("root");
    if kernel_version(&root).is_err() {
        apt.provide(kernel, &root)?;
    }
    let version = kernel_version(&root)?;
    run(Command::new("depmod")
        .env("PATH", "/usr/sbin:/sbin:/usr/bin:/bin")
        .arg("-b")
        .arg(&root)
        .arg(&version))?;
    let library = root.join("lib/modules").join(&version);
    let modules = in_order(&read(&library.join("modules.dep"))?, modules);
    Ok(System {
        kernel: root.join("boot").join(format!("vmlinuz-{version}")),
        busybox: root.join("bin/busybox"),
        modules: modules.iter().map(|path| library.join(path)).collect(),
    })
}

struct Apt<'a> {
    folder: PathBuf,
    architecture: &'a str,
}

impl Apt<'_> {
    fn provide(&self, kernel: &str, root: &Path) -> Result<(), String> {
        let packages = self.folder.join("packages");
        for folder in ["state/lists/partial", "cache/archives/partial", "packages"] {
            let path = self.folder.join(folder);
            fs::create_dir_all(&path).map_err(|error| format!("{}: {error}", path.display()))?;
        }
        self.write("status", "")?;
        self.write("sources.list", &self.sources()?)?;
        // A mirror in the middle of an update is not there for a while.
        let updated = (0..ATTEMPTS).any(|_| run(self.command("apt-get").args(["update", "-qq"])).is_ok());
        let kernel = self.newest(kernel).map_err(|problem| match updated {
            true => problem,
            false => format!("{problem}; its mirror did not answer"),
        })?;
        let mut download = self.command("apt-get");
        download.args(["download", "-qq", &kernel, "busybox-static"]);
        // Relative to where it is told to stand: apt-get saves into its own folder.
        download.arg("-o").arg(format!("Dir::Cache::Archives={}", packages.display()));
        succeed_in(&packages, &mut download)?;
        for package in fs::read_dir(&packages).map_err(|error| error.to_string())?.flatten() {
            run(Command::new("dpkg").arg("-x").arg(package.path()).arg(root))?;
        }
        Ok(())
    }

    /// The mirrors that this machine uses already.
    fn sources(&self) -> Result<String, String> {
        let mut command = Command::new("apt-get");
        command.args(["indextargets", "--format", "$(REPO_URI)"]);
        command.args(["Created-By: Packages", "Component: main", "Origin: Debian", "Label: Debian"]);
        let mut uris: Vec<String> = output(&mut command)?.lines().map(str::to_owned).collect();
        uris.sort();
        uris.dedup();
        let first = uris.first().ok_or("no mirror of Debian is configured here")?;
        Ok(format!("deb [arch={} signed-by={KEYS}] {first} {RELEASE} main\n", self.architecture))
    }

    fn newest(&self, ending: &str) -> Result<String, String> {
        let found = output(self.command("apt-cache").args(["search", "--names-only", "^linux-image-[0-9]"]))?;
        let names = found.lines().filter_map(|line| line.split(' ').next());
        // Not those that say more, such as rt or dbg, and not signed ones: they are the same.
        let kernels = names.filter(|name| {
            let version = name.strip_prefix("linux-image-").and_then(|rest| rest.strip_suffix(ending));
            version.is_some_and(|version| version.bytes().all(|byte| b"0123456789.-".contains(&byte)))
        });
        let newest = kernels.max_by_key(|name| version_numbers(name));
        newest.map(str::to_owned).ok_or_else(|| format!("no kernel{ending} for {}", self.architecture))
    }

    fn command(&self, program: &str) -> Command {
        let place = |name: &str| self.folder.join(name).display().to_string();
        let options = [
            format!("APT::Architecture={}", self.architecture),
            format!("APT::Architectures::={}", self.architecture),
            format!("Dir::State={}", place("state")),
            format!("Dir::State::status={}", place("status")),
            format!("Dir::Cache={}", place("cache")),
            format!("Dir::Etc::sourcelist={}", place("sources.list")),
            "Dir::Etc::sourceparts=/dev/null".to_owned(),
            "Dir::Etc::preferencesparts=/dev/null".to_owned(),
            "APT::Sandbox::User=root".to_owned(),
        ];
        let mut command = Command::new(program);
        command.args(options.iter().flat_map(|option| ["-o", option]));
        command
    }

    fn write(&self, name: &str, content: &str) -> Result<(), String> {
        let path = self.folder.join(name);
        fs::write(&path, content).map_err(|error| format!("{}: {error}", path.display()))
    }
}

fn kernel_version(root: &Path) -> Result<String, String> {
    let folder = root.join("lib/modules");
    let found = fs::read_dir(&folder).map_err(|error| format!("{}: {error}", folder.display()))?;
    let versions = found.flatten().map(|entry| entry.file_name().to_string_lossy().into_owned());
    versions.max().ok_or_else(|| format!("{}: empty", folder.display()))
}

/// The files of the modules and of what each of them needs first. What is not in the list is built in.
fn in_order(dependencies: &str, wanted: &[&str]) -> Vec<String> {
    let of_file: BTreeMap<&str, (&str, &str)> = dependencies
        .lines()
        .filter_map(|line| {
            let (path, needs) = line.split_once(':')?;
            let name = path.rsplit('/').next()?.split('.').next()?;
            Some((name, (path, needs)))
        })
        .collect();
    let mut ordered: Vec<String> = Vec::new();
    for (path, needs) in wanted.iter().filter_map(|name| of_file.get(name)) {
        for module in needs.split_whitespace().rev().chain([*path]) {
            if !ordered.iter().any(|known| known == module) {
                ordered.push(module.to_owned());
            }
        }
    }
    ordered
}

fn version_numbers(name: &str) -> Vec<u32> {
    name.split(|letter: char| !letter.is_ascii_digit()).filter_map(|number| number.parse().ok()).collect()
}

fn succeed_in(folder: &Path, command: &mut Command) -> Result<(), String> {
    let status = command.current_dir(folder).status().map_err(|error| error.to_string())?;
    if status.success() { Ok(()) } else { Err(format!("failed: {command:?}").replace('"', "")) }
}

fn output(command: &mut Command) -> Result<String, String> {
    let output = command.output().map_err(|error| format!("{}: {error}", command.get_program().display()))?;
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

fn read(path: &Path) -> Result<String, String> {
    fs::read_to_string(path).map_err(|error| format!("{}: {error}", path.display()))
}
