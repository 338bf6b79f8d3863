//! Packages for apk-tools 3, OpenWrt 25.12 and later. Not signed: `apk add --allow-untrusted`.

use std::fmt::Write as _;
use std::io::Write as _;

use flate2::Compression;
use flate2::write::DeflateEncoder;

use crate::dist::adb::{Adb, Value};
use crate::dist::checksum::{sha256, sha256_hex};
use crate::dist::package::Package;
use crate::dist::tree::{Entry, Tree};

/// Part of a package's identity: the beginning of the checksum of its description.
const IDENTITY: [u8; 20] = [0; 20];
const LINK: u16 = 0o120_000;

pub fn pack(package: &Package) -> Result<Vec<u8>, String> {
    let tree = with_lists(package);
    let (description, contents) = describe(package, &tree)?;
    let mut file = b"ADB.pckg".to_vec();
    append_block(&mut file, 0, &[&description])?;
    for (folder, number, content) in contents {
        append_block(&mut file, 2, &[&folder.to_le_bytes(), &number.to_le_bytes(), content])?;
    }
    let mut packed = DeflateEncoder::new(b"ADBd".to_vec(), Compression::best());
    packed.write_all(&file).and_then(|()| packed.finish()).map_err(|error| format!("deflate: {error}"))
}

/// What OpenWrt's own functions look into: sysupgrade keeps what is named here, and services are found.
fn with_lists(package: &Package) -> Tree {
    let mut tree = package.tree.clone();
    let name = &package.recipe.name;
    let mut list = String::new();
    for (path, entry) in package.tree.entries() {
        if *entry != Entry::Folder {
            let _ = writeln!(list, "/{path}");
        }
    }
    tree.add(&format!("lib/apk/packages/{name}.list"), Entry::file(list));
    let mut sums = String::new();
    for path in &package.recipe.conffiles {
        if let Some(Entry::File { content, .. }) = package.tree.get(path) {
            let _ = writeln!(sums, "{path} {}", sha256_hex(content));
        }
    }
    if !sums.is_empty() {
        let conffiles = package.recipe.conffiles.join("\n") + "\n";
        tree.add(&format!("lib/apk/packages/{name}.conffiles"), Entry::file(conffiles));
        tree.add(&format!("lib/apk/packages/{name}.conffiles_static"), Entry::file(sums));
    }
    tree
}

/// A file's content: the number of its folder, its own number there, both from one, and the bytes.
type Content<'a> = (u32, u32, &'a [u8]);

fn describe<'a>(package: &Package, tree: &'a Tree) -> Result<(Vec<u8>, Vec<Content<'a>>), String> {
    let mut adb = Adb::default();
    let (paths, contents) = paths(&mut adb, tree, package.time_s);
    let info = info(&mut adb, package, tree.size());
    let scripts = scripts(&mut adb, package);
    let paths = adb.array(&paths);
    let root = adb.object(&[(1, info), (2, paths), (3, scripts)]);
    let place = adb.place_of_blob(&IDENTITY).ok_or("a package without a place for its identity")?;
    let mut bytes = adb.finish(root);
    let identity = sha256(&bytes);
    bytes.splice(place..place + IDENTITY.len(), identity.into_iter().take(IDENTITY.len()));
    Ok((bytes, contents))
}

fn info(adb: &mut Adb, package: &Package, size: u64) -> Value {
    let recipe = &package.recipe;
    // What opkg calls all.
    let architecture = if package.architecture == "all" { "noarch" } else { &package.architecture };
    let depends: Vec<Value> = recipe
        .depends
        .iter()
        .map(|name| {
            let name = adb.text(name);
            adb.object(&[(1, name)])
        })
        .collect();
    let fields = [
        (1, adb.text(&recipe.name)),
        (2, adb.text(&recipe.version)),
        (3, adb.blob(&IDENTITY)),
        (4, adb.text(&recipe.description)),
        (5, adb.text(architecture)),
        (6, adb.text(&recipe.license)),
        (11, adb.number(package.time_s)),
        (12, adb.number(size.max(1))),
        (15, adb.array(&depends)),
    ];
    adb.object(&fields)
}

/// Of every folder, the package's top first, its files.
fn paths<'a>(adb: &mut Adb, tree: &'a Tree, time_s: u64) -> (Vec<Value>, Vec<Content<'a>>) {
    let folders = tree.entries().filter(|(_, entry)| **entry == Entry::Folder).map(|(path, _)| path);
    let (mut paths, mut contents) = (Vec::new(), Vec::new());
    for folder in std::iter::once("").chain(folders) {
        let mut files = Vec::new();
        for (path, entry) in tree.entries() {
            let (parent, name) = path.rsplit_once('/').unwrap_or(("", path));
            if parent != folder || *entry == Entry::Folder {
                continue;
            }
            files.push(file(adb, name, entry, time_s));
            if let Entry::File { content, .. } = entry
                && !content.is_empty()
            {
                contents.push((paths.len() as u32 + 1, files.len() as u32, content.as_slice()));
            }
        }
        let fields = [(1, adb.text(folder)), (2, owner(adb, 0o755)), (3, adb.array(&files))];
        paths.push(adb.object(&fields));
    }
    (paths, contents)
}

fn file(adb: &mut Adb, name: &str, entry: &Entry, time_s: u64) -> Value {
    let mut fields = vec![(1, adb.text(name)), (2, owner(adb, entry.mode())), (4, adb.number(time_s))];
    match entry {
        Entry::Link { target } => {
            fields.push((3, adb.number(target.len() as u64)));
            fields.push((6, adb.blob(&[&LINK.to_le_bytes(), target.as_bytes()].concat())));
        }
        Entry::File { content, .. } => {
            fields.push((3, adb.number(content.len() as u64)));
            fields.push((5, adb.blob(&sha256(content))));
        }
        Entry::Folder => {}
    }
    adb.object(&fields)
}

fn owner(adb: &mut Adb, mode: u32) -> Value {
    let root = adb.text("root");
    let mode = adb.number(u64::from(mode));
    adb.object(&[(1, mode), (2, root), (3, root)])
}

/// OpenWrt's functions for every package, then ours. Numbers are those of apk's kinds of scripts.
fn scripts(adb: &mut Adb, package: &Package) -> Value {
    let recipe = &package.recipe;
    let own = |script: &Option<String>| script.clone().unwrap_or_default();
    let after = own(&recipe.after_install);
    let usual = |extra: &str, function: &str, own: &str| {
        format!(
            "#!/bin/sh\n{extra}[ \"${{IPKG_NO_SCRIPT}}\" = 1 ] && exit 0\n\
             [ -s \"${{IPKG_INSTROOT}}/lib/functions.sh\" ] || exit 0\n\
             . \"${{IPKG_INSTROOT}}/lib/functions.sh\"\n\
             export root=\"${{IPKG_INSTROOT}}\" pkgname=\"{}\"\n{function}\n{own}",
            recipe.name
        )
    };
    let mut fields = vec![
        (3, usual("", "add_group_and_user\ndefault_postinst", &after)),
        (4, usual("", "default_prerm", &own(&recipe.before_removal))),
        (7, usual("export PKG_UPGRADE=1\n", "add_group_and_user\ndefault_postinst", &after)),
    ];
    if let Some(own) = &recipe.after_removal {
        fields.push((5, format!("#!/bin/sh\n{own}")));
    }
    let fields: Vec<(usize, Value)> =
        fields.iter().map(|(number, script)| (*number, adb.text(script))).collect();
    adb.object(&fields)
}

fn append_block(file: &mut Vec<u8>, kind: u32, parts: &[&[u8]]) -> Result<(), String> {
    let payload = parts.concat();
    let size = u32::try_from(payload.len() + 4).ok().filter(|size| *size < 1 << 30);
    let size = size.ok_or("a file that is too large for a package")?;
    file.extend((kind << 30 | size).to_le_bytes());
    file.extend(payload);
    file.resize(file.len().next_multiple_of(8), 0);
    Ok(())
}
