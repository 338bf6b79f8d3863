//! `cargo xtask deb`: the Debian package, staged from files/linux and docs, packed by dpkg-deb. Two runs on one
//! source and program give the same bytes.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

const HELP: &str = "cargo xtask deb [--program FILE] [--arch NAME] [--version VERSION] [--out FOLDER]";
pub const VERSION: &str = env!("CARGO_PKG_VERSION");
/// A person may change them: dpkg asks before it takes another version.
const CONFIGURATION: &str = "/etc/";

pub struct Request {
    pub program: PathBuf,
    /// As Debian calls it: amd64, arm64, armhf, …
    pub architecture: String,
    pub version: String,
    pub out: PathBuf,
}

/// The package's file.
pub fn build(request: &Request) -> Result<PathBuf, String> {
    let tree = request.out.join("tree");
    let _ = fs::remove_dir_all(&tree);
    stage(request, &tree)?;
    write_control(request, &tree)?;
    let file = request.out.join(format!("mwan3_{}_{}.deb", request.version, request.architecture));
    let mut pack = Command::new("dpkg-deb");
    pack.args(["--root-owner-group", "-Zxz", "--threads-max=1", "-b"]).arg(&tree).arg(&file);
    pack.env("SOURCE_DATE_EPOCH", source_date()).stdout(Stdio::null());
    succeed(&mut pack)?;
    fs::remove_dir_all(&tree).map_err(|error| format!("{}: {error}", tree.display()))?;
    Ok(file)
}

pub fn from_arguments(mut arguments: impl Iterator<Item = String>) -> Result<(), String> {
    let mut program = None;
    let mut request = Request {
        program: PathBuf::new(),
        architecture: String::new(),
        version: VERSION.to_owned(),
        out: root().join("target/deb"),
    };
    while let Some(argument) = arguments.next() {
        let value = arguments.next().ok_or_else(|| format!("{argument} of what?\n{HELP}"))?;
        match argument.as_str() {
            "--program" => program = Some(PathBuf::from(value)),
            "--arch" => request.architecture = value,
            "--version" => request.version = value,
            "--out" => request.out = PathBuf::from(value),
            _ => return Err(format!("unknown option '{argument}'\n{HELP}")),
        }
    }
    if request.architecture.is_empty() {
        request.architecture = output(Command::new("dpkg").arg("--print-architecture"))?.trim().to_owned();
    }
    request.program = match program {
        Some(program) => program,
        None => {
            let cargo = std::env::var("CARGO").unwrap_or_else(|_| "cargo".to_owned());
            succeed(
                Command::new(cargo).args(["build", "--release", "--package", "mwan3"]).current_dir(root()),
            )?;
            root().join("target/release/mwan3")
        }
    };
    println!("{}", build(&request)?.display());
    Ok(())
}

fn stage(request: &Request, tree: &Path) -> Result<(), String> {
    copy_tree(&root().join("files/linux"), tree)?;
    install(&request.program, &tree.join("usr/sbin/mwan3"), 0o755)?;
    for (section, page) in [("man8", "mwan3.8"), ("man5", "mwan3.5")] {
        let target = tree.join("usr/share/man").join(section).join(page);
        install(&root().join("docs/man").join(page), &target, 0o644)?;
        compress(&target)?;
    }
    let doc = tree.join("usr/share/doc/mwan3");
    install(&root().join("CHANGELOG.md"), &doc.join("changelog"), 0o644)?;
    compress(&doc.join("changelog"))?;
    write(&doc.join("copyright"), &copyright(), 0o644)?;
    install(&root().join("files/etc/config/mwan3"), &doc.join("examples/mwan3"), 0o644)?;
    for folder in ["guide", "reference"] {
        copy_tree(&root().join("docs").join(folder), &doc.join(folder))?;
    }
    install(&root().join("docs/marks-and-tables.md"), &doc.join("marks-and-tables.md"), 0o644)
}

fn write_control(request: &Request, tree: &Path) -> Result<(), String> {
    let mut files = Vec::new();
    list(tree, tree, &mut files)?;
    let control = tree.join("DEBIAN");
    let kilobytes = files.iter().map(|file| size_of(&tree.join(file))).sum::<u64>();
    write(&control.join("control"), &fields(request, kilobytes)?, 0o644)?;
    let configuration: String = files
        .iter()
        .map(|file| format!("/{file}\n"))
        .filter(|file| file.starts_with(CONFIGURATION))
        .collect();
    write(&control.join("conffiles"), &configuration, 0o644)?;
    let sums = output(Command::new("md5sum").arg("--").args(&files).current_dir(tree))?;
    write(&control.join("md5sums"), &sums, 0o644)?;
    for script in ["postinst", "prerm", "postrm"] {
        install(&root().join("xtask/debian").join(script), &control.join(script), 0o755)?;
    }
    Ok(())
}

fn fields(request: &Request, kilobytes: u64) -> Result<String, String> {
    let program = fs::read(&request.program).map_err(|error| told(&request.program, &error))?;
    let depends = match newest_glibc(&program) {
        Some(version) => format!("Depends: libc6 (>= {version})\n"),
        None => String::new(),
    };
    Ok(format!(
        "Package: mwan3\nVersion: {}\nArchitecture: {}\nMaintainer: The mwan3 authors <mwan3@packages.invalid>\n\
         Installed-Size: {kilobytes}\n{depends}Suggests: dnsmasq-base, nftables\nSection: net\n\
         Priority: optional\nDescription: several Internet uplinks side by side on one router\n \
         Shares new connections among uplinks, pins traffic to one of them by rule, and\n moves traffic off \
         an uplink that stops working. Reads the configuration of\n OpenWrt's package of the same name, \
         probes by itself and needs no other program.\n .\n Nothing runs until /etc/config/mwan3 is written \
         and the service enabled.\n",
        request.version, request.architecture
    ))
}

/// The newest symbol version the program asks for; none where it is linked statically.
fn newest_glibc(program: &[u8]) -> Option<String> {
    const MARK: &[u8] = b"GLIBC_2.";
    let minors = program.windows(MARK.len()).enumerate().filter(|(_, window)| *window == MARK);
    let minors = minors.filter_map(|(at, _)| {
        let digits: String = program
            .get(at + MARK.len()..)?
            .iter()
            .map(|byte| char::from(*byte))
            .take_while(char::is_ascii_digit)
            .collect();
        digits.parse::<u32>().ok()
    });
    minors.max().map(|minor| format!("2.{minor}"))
}

fn copyright() -> String {
    "Format: https://www.debian.org/doc/packaging-manuals/copyright-format/1.0/\n\n\
     Files: *\nCopyright: The mwan3 authors\nLicense: GPL-2.0-or-later\n On Debian systems the text is in \
     /usr/share/common-licenses/GPL-2.\n"
        .to_owned()
}

/// In seconds since 1970: what is set, else the last commit's time.
fn source_date() -> String {
    std::env::var("SOURCE_DATE_EPOCH").unwrap_or_else(|_| {
        let mut log = Command::new("git");
        log.args(["log", "-1", "--format=%ct"]).current_dir(root());
        output(&mut log).map_or_else(|_| "0".to_owned(), |time| time.trim().to_owned())
    })
}

/// Modes are those of the source, without what a umask or a checkout may have changed.
fn copy_tree(from: &Path, to: &Path) -> Result<(), String> {
    let mut files = Vec::new();
    list(from, from, &mut files)?;
    for file in files {
        let source = from.join(&file);
        let mode = fs::metadata(&source).map_err(|error| told(&source, &error))?.permissions().mode();
        install(&source, &to.join(&file), if mode & 0o111 == 0 { 0o644 } else { 0o755 })?;
    }
    Ok(())
}

/// Paths below `top`, sorted.
fn list(top: &Path, folder: &Path, found: &mut Vec<String>) -> Result<(), String> {
    let entries = fs::read_dir(folder).map_err(|error| told(folder, &error))?;
    for entry in entries {
        let path = entry.map_err(|error| told(folder, &error))?.path();
        if path.is_dir() {
            list(top, &path, found)?;
        } else if let Ok(relative) = path.strip_prefix(top) {
            found.push(relative.display().to_string());
        }
    }
    found.sort();
    Ok(())
}

fn install(from: &Path, to: &Path, mode: u32) -> Result<(), String> {
    let bytes = fs::read(from).map_err(|error| told(from, &error))?;
    write_bytes(to, &bytes, mode)
}

fn write(to: &Path, text: &str, mode: u32) -> Result<(), String> {
    write_bytes(to, text.as_bytes(), mode)
}

fn write_bytes(to: &Path, bytes: &[u8], mode: u32) -> Result<(), String> {
    let write = || {
        for folder in to.ancestors().skip(1).filter(|folder| !folder.as_os_str().is_empty()) {
            if folder.is_dir() {
                break;
            }
            fs::create_dir_all(folder)?;
            fs::set_permissions(folder, fs::Permissions::from_mode(0o755))?;
        }
        fs::write(to, bytes)?;
        fs::set_permissions(to, fs::Permissions::from_mode(mode))
    };
    write().map_err(|error| told(to, &error))
}

fn compress(file: &Path) -> Result<(), String> {
    succeed(Command::new("gzip").arg("-9n").arg(file))
}

fn size_of(file: &Path) -> u64 {
    fs::metadata(file).map_or(0, |metadata| metadata.len().div_ceil(1024))
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap_or(Path::new(".")).to_owned()
}

fn succeed(command: &mut Command) -> Result<(), String> {
    let name = command.get_program().to_string_lossy().into_owned();
    match command.status() {
        Ok(status) if status.success() => Ok(()),
        Ok(status) => Err(format!("{name}: {status}")),
        Err(error) => Err(format!("{name}: {error}")),
    }
}

fn output(command: &mut Command) -> Result<String, String> {
    let name = command.get_program().to_string_lossy().into_owned();
    match command.output() {
        Ok(output) if output.status.success() => Ok(String::from_utf8_lossy(&output.stdout).into_owned()),
        Ok(output) => Err(format!("{name}: {}", String::from_utf8_lossy(&output.stderr).trim())),
        Err(error) => Err(format!("{name}: {error}")),
    }
}

fn told(path: &Path, error: &std::io::Error) -> String {
    format!("{}: {error}", path.display())
}
