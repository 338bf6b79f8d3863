//! `cargo xtask dist [--target T]… [--out DIR]`: binaries and packages for the machines of OpenWrt, from package
//! registries alone; the same bytes each time. docs/building.md tells more.

pub mod adb;
pub mod apk;
pub mod ar;
pub mod build;
pub mod checksum;
pub mod feed;
pub mod flags;
pub mod gzip;
pub mod ipk;
pub mod package;
pub mod recipe;
pub mod strip;
pub mod tar;
pub mod target;
pub mod toolchain;
pub mod tree;

use std::fmt::Write as _;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Instant;

use build::Binary;
use package::Package;
use recipe::Recipe;
use target::Target;
use toolchain::Toolchain;
use tree::{Entry, Tree};

use crate::deb;
use crate::tools::workspace;

/// Of our folder `files/`, what is for other systems.
const NOT_FOR_OPENWRT: &[&str] = &["linux"];
/// What LuCI's build makes of the folders of an application.
const LUCI_FOLDERS: [(&str, &str); 3] = [("root", ""), ("htdocs", "www"), ("ucode", "usr/share/ucode/luci")];

pub fn run(mut arguments: impl Iterator<Item = String>) -> Result<(), String> {
    let (mut targets, mut folder) = (Vec::new(), workspace().join("target/dist"));
    while let Some(argument) = arguments.next() {
        let value = arguments.next().ok_or_else(|| format!("{argument} wants a value"));
        match argument.as_str() {
            "--target" => targets.push(target::find(&value?)?),
            "--out" => folder = PathBuf::from(value?),
            _ => return Err("usage: cargo xtask dist [--target T]… [--out DIR]".to_owned()),
        }
    }
    make(&if targets.is_empty() { target::usual() } else { targets }, &folder)
}

/// Everything for these targets, below the folder; prints the table of sizes.
pub fn make(targets: &[&'static Target], folder: &Path) -> Result<(), String> {
    // What is wrong there should not be found after minutes of compiling.
    recipe(&workspace().join("Makefile"))?;
    let toolchain = Toolchain::provide()?;
    let mut outputs = Outputs::default();
    let mut table =
        String::from("| target | KB | xz, KB | architectures of OpenWrt |\n|---|---:|---:|---|\n");
    for (number, target) in targets.iter().enumerate() {
        eprintln!("dist: {} ({} of {})", target.triple, number + 1, targets.len());
        let begun = Instant::now();
        let binary = Binary::build(&toolchain, target)?;
        eprintln!("dist: {} after {} s", target.triple, begun.elapsed().as_secs());
        let _ = writeln!(table, "{}", table_line(&binary));
        outputs.add(&binary)?;
    }
    outputs.write(folder)?;
    println!("{table}\n{} files in {}", outputs.files().count(), folder.display());
    Ok(())
}

/// Where `make` puts the package for the first of the target's architectures.
pub fn ipk_path(target: &Target, folder: &Path) -> Result<PathBuf, String> {
    let architecture = target.openwrt.first().ok_or("OpenWrt has no such machine")?;
    let recipe = recipe(&workspace().join("Makefile"))?;
    let tree = Tree::default();
    let package = Package { recipe, architecture: (*architecture).to_owned(), tree, time_s: 0 };
    Ok(folder.join(architecture).join(package.ipk_name()))
}

/// What packages are made of, for others that pack it: when, and the files of the router.
pub fn source_time_s() -> Result<u64, String> {
    let given = std::env::var("SOURCE_DATE_EPOCH").ok();
    let text = match given {
        Some(text) => text,
        None => {
            let mut git = Command::new("git");
            let output = git.args(["log", "-1", "--format=%ct"]).current_dir(workspace()).output();
            String::from_utf8_lossy(&output.map_err(|error| format!("git: {error}"))?.stdout).into_owned()
        }
    };
    let without = "no time to give the files: set SOURCE_DATE_EPOCH, or build in a git checkout";
    text.trim().parse().map_err(|_| without.to_owned())
}

/// Everything that stands on a router besides the binary.
pub fn router_files() -> Result<Tree, String> {
    let mut tree = Tree::default();
    tree.add_folder(&workspace().join("files"), "", NOT_FOR_OPENWRT)?;
    Ok(tree)
}

/// What comes into the output folder.
#[derive(Default)]
struct Outputs {
    tree: Tree,
}

impl Outputs {
    fn add(&mut self, binary: &Binary) -> Result<(), String> {
        let time_s = source_time_s()?;
        let recipe = recipe(&workspace().join("Makefile"))?;
        let mut tree = router_files()?;
        tree.add("usr/sbin/mwan3", Entry::program(binary.bytes.clone()));
        for path in &recipe.conffiles {
            tree.get(path).ok_or_else(|| format!("the Makefile keeps {path}, which is not in files/"))?;
        }
        let program = Entry::program(binary.bytes.clone());
        self.tree.add(&format!("bin/mwan3-{}", binary.target.triple), program);
        if let Some(architecture) = binary.target.debian() {
            self.add_debian_package(binary, architecture)?;
        }
        for architecture in binary.target.openwrt {
            let architecture = (*architecture).to_owned();
            let package = Package { recipe: recipe.clone(), architecture, tree: tree.clone(), time_s };
            self.add_feed(package)?;
        }
        Ok(())
    }

    /// dpkg-deb reads and writes files; they are only passing through.
    fn add_debian_package(&mut self, binary: &Binary, architecture: &str) -> Result<(), String> {
        let out = workspace().join("target/deb").join(architecture);
        let program = out.join("mwan3");
        let failed = |error: std::io::Error| format!("{}: {error}", program.display());
        fs::create_dir_all(&out).and_then(|()| fs::write(&program, &binary.bytes)).map_err(failed)?;
        let request = deb::Request {
            program: program.clone(),
            architecture: architecture.to_owned(),
            version: deb::VERSION.to_owned(),
            out,
        };
        let file = deb::build(&request)?;
        let content = fs::read(&file).map_err(|error| format!("{}: {error}", file.display()))?;
        let name = file.file_name().unwrap_or_default().to_string_lossy().into_owned();
        self.add_file(&format!("debian/{name}"), content);
        Ok(())
    }

    /// A folder for one architecture: what its routers can install from.
    fn add_feed(&mut self, package: Package) -> Result<(), String> {
        let folder = package.architecture.clone();
        let mut packages = vec![package];
        packages.extend(web_pages(source_time_s()?)?);
        let mut packed = Vec::new();
        for package in &packages {
            packed.push(ipk::pack(package)?);
            self.add_file(&format!("{folder}/{}", package.apk_name()), apk::pack(package)?);
        }
        let listed: Vec<(&Package, &[u8])> =
            packages.iter().zip(&packed).map(|(package, bytes)| (package, bytes.as_slice())).collect();
        let index = feed::index(&listed);
        self.add_file(&format!("{folder}/Packages.gz"), gzip::pack(index.as_bytes())?);
        self.add_file(&format!("{folder}/Packages"), index.into_bytes());
        for (package, bytes) in packages.iter().zip(packed) {
            self.add_file(&format!("{folder}/{}", package.ipk_name()), bytes);
        }
        Ok(())
    }

    fn add_file(&mut self, path: &str, content: Vec<u8>) {
        self.tree.add(path, Entry::file(content));
    }

    fn files(&self) -> impl Iterator<Item = (&str, u32, &[u8])> {
        self.tree.entries().filter_map(|(path, entry)| match entry {
            Entry::File { content, .. } => Some((path, entry.mode(), content.as_slice())),
            Entry::Folder | Entry::Link { .. } => None,
        })
    }

    /// Whatever else is there stays.
    fn write(&mut self, folder: &Path) -> Result<(), String> {
        let line = |(path, _, content)| format!("{}  {path}\n", checksum::sha256_hex(content));
        let sums: String = self.files().map(line).collect();
        self.add_file("SHA256SUMS", sums.into_bytes());
        for (path, mode, content) in self.files() {
            let path = folder.join(path);
            let parent = path.parent().unwrap_or(folder);
            let written = fs::create_dir_all(parent)
                .and_then(|()| fs::write(&path, content))
                .and_then(|()| fs::set_permissions(&path, fs::Permissions::from_mode(mode)));
            written.map_err(|error| format!("{}: {error}", path.display()))?;
        }
        Ok(())
    }
}

/// The package of the pages for LuCI.
pub fn web_pages(time_s: u64) -> Result<Option<Package>, String> {
    let source = workspace().join("luci-app");
    if !source.join("Makefile").is_file() {
        return Ok(None);
    }
    let mut tree = Tree::default();
    for (folder, place) in LUCI_FOLDERS {
        if source.join(folder).is_dir() {
            tree.add_folder(&source.join(folder), place, &[])?;
        }
    }
    let recipe = recipe(&source.join("Makefile"))?;
    Ok(Some(Package { recipe, architecture: "all".to_owned(), tree, time_s }))
}

fn recipe(makefile: &Path) -> Result<Recipe, String> {
    let text = fs::read_to_string(makefile).map_err(|error| format!("{}: {error}", makefile.display()))?;
    Recipe::read(&text).map_err(|problem| format!("{}: {problem}", makefile.display()))
}

fn table_line(binary: &Binary) -> String {
    let Target { triple, openwrt, .. } = binary.target;
    let kilobytes = |bytes: u64| (bytes + 500) / 1000;
    let (size, packed) = (kilobytes(binary.bytes.len() as u64), kilobytes(binary.packed_size));
    format!("| {triple} | {size} | {packed} | {} |", openwrt.join(", "))
}
