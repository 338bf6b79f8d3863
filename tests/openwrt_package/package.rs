//! The package, ready to be installed: as its Makefile makes it, with stand-ins for the build tree, or the .ipk that
//! `MWAN3_IPK` names.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};

pub const FIXTURES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/openwrt");
pub const SOURCE: &str = env!("CARGO_MANIFEST_DIR");

/// A folder of this test's own, removed with it.
pub struct Scratch(PathBuf);

impl Scratch {
    pub fn new() -> Scratch {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let path = std::env::temp_dir().join(format!("mwan3-package-{}-{number}", std::process::id()));
        fs::create_dir(&path).expect("a scratch folder");
        Scratch(path)
    }

    pub fn path(&self) -> &Path {
        &self.0
    }

    pub fn folder(&self, name: &str) -> PathBuf {
        let path = self.0.join(name);
        fs::create_dir_all(&path).expect("a folder");
        path
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

pub struct Package {
    scratch: Scratch,
}

impl Package {
    /// What a router would get.
    pub fn new() -> Package {
        match std::env::var_os("MWAN3_IPK") {
            Some(file) => Package::from_ipk(Path::new(&file)),
            None => Package::from_makefile(),
        }
    }

    fn from_ipk(file: &Path) -> Package {
        let package = Package { scratch: Scratch::new() };
        let parts = package.scratch.folder("parts");
        unpack(file, &parts);
        unpack(&parts.join("data.tar.gz"), &package.content());
        unpack(&parts.join("control.tar.gz"), &package.control());
        package
    }

    /// Installed by the Makefile's own rule, from a checkout with its own folder.
    pub fn from_makefile() -> Package {
        let package = Package { scratch: Scratch::new() };
        let bin = package.scratch.folder("built/bin");
        fs::copy(env!("CARGO_BIN_EXE_mwan3"), bin.join("mwan3")).expect("copied");
        let checkout = package.scratch.folder("checkout");
        run(Command::new("cp").arg("-R").args(["Makefile", "files"]).arg(&checkout).current_dir(SOURCE));
        package.make("install", &package.content());
        package.make("show", &package.control());
        package
    }

    pub fn make(&self, target: &str, out: &Path) {
        let variable = |name: &str, value: &Path| format!("{name}={}", value.display());
        let mut make = Command::new("make");
        make.args(["--silent", "--no-builtin-rules", target]).current_dir(self.checkout());
        make.arg(variable("TOPDIR", &Path::new(FIXTURES).join("build")));
        make.arg(variable("OUT", out)).arg(variable("PKG_BUILD_DIR", out));
        make.arg(variable("PKG_INSTALL_DIR", &self.scratch.path().join("built")));
        // A make that runs the tests has its own ideas.
        run(make.env_remove("MAKEFLAGS").env_remove("MFLAGS"));
    }

    pub fn checkout(&self) -> PathBuf {
        self.scratch.path().join("checkout")
    }

    /// The files as they lie on the router.
    pub fn content(&self) -> PathBuf {
        self.scratch.folder("content")
    }

    /// What else the package manager gets: a file for each script, and for each field.
    pub fn control(&self) -> PathBuf {
        self.scratch.folder("control")
    }

    pub fn field(&self, name: &str) -> String {
        let text = fs::read_to_string(self.control().join(name)).expect("a field");
        text.trim().to_owned()
    }

    pub fn conffiles(&self) -> Vec<String> {
        self.field("conffiles").lines().map(str::to_owned).collect()
    }
}

fn unpack(archive: &Path, folder: &Path) {
    run(Command::new("tar").arg("-xpzf").arg(archive).arg("-C").arg(folder));
}

/// Path below the folder and permissions of every file, sorted.
pub fn listing(folder: &Path) -> Vec<(String, u32)> {
    let mut files = Vec::new();
    collect(folder, folder, &mut files);
    files.sort();
    files
}

fn collect(top: &Path, folder: &Path, files: &mut Vec<(String, u32)>) {
    for entry in fs::read_dir(folder).expect("readable") {
        let path = entry.expect("readable").path();
        let metadata = fs::symlink_metadata(&path).expect("there");
        if metadata.is_dir() {
            collect(top, &path, files);
        } else {
            let name = path.strip_prefix(top).expect("below").display().to_string();
            files.push((format!("/{name}"), metadata.permissions().mode() & 0o777));
        }
    }
}

#[track_caller]
pub fn run(command: &mut Command) -> String {
    let output = command.output().expect("it can be started");
    let [out, err] = [&output.stdout, &output.stderr].map(|text| String::from_utf8_lossy(text).into_owned());
    assert!(output.status.success(), "{command:?}: {out}{err}");
    out
}
