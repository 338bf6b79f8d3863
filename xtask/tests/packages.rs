//! What packages hold, as their readers see it, and that the same input always gives the same bytes.

mod scratch;

use std::fs;
use std::io::Read;

use flate2::read::DeflateDecoder;
use scratch::{Scratch, output};
use xtask::dist::package::Package;
use xtask::dist::recipe::Recipe;
use xtask::dist::tree::{Entry, Tree};
use xtask::dist::{self, apk, checksum, feed, ipk, target};

const MAKEFILE: &str = include_str!("fixtures/Makefile");
const FILES: [(&str, &str); 3] = [
    ("etc/config/example", "config example\n"),
    ("usr/sbin/example", "\x7fELF"),
    ("etc/hotplug.d/iface/15-example", "example\n"),
];

fn package() -> Package {
    package_of(FILES.iter())
}

fn package_of<'a>(files: impl Iterator<Item = &'a (&'a str, &'a str)>) -> Package {
    let mut tree = Tree::default();
    for (path, content) in files {
        tree.add(path, if path.contains("bin/") { Entry::program(*content) } else { Entry::file(*content) });
    }
    let recipe = Recipe::read(MAKEFILE).expect("the Makefile can be read");
    Package { recipe, architecture: "mips_24kc".to_owned(), tree, time_s: 1_700_000_000 }
}

#[test]
fn the_makefile_tells_what_a_package_is() {
    let recipe = Recipe::read(MAKEFILE).expect("the Makefile can be read");
    assert_eq!((recipe.name.as_str(), recipe.version.as_str()), ("example", "1.2.3-r4"));
    assert_eq!((recipe.section.as_str(), recipe.title.as_str()), ("net", "An example"));
    assert_eq!(recipe.description, "Two lines that are one.");
    assert_eq!(recipe.depends, ["kmod-one", "kmod-two"]);
    assert_eq!(recipe.conffiles, ["/etc/config/example"]);
    let script = "[ -n \"${IPKG_INSTROOT}\" ] || echo installed\nexit 0\n";
    assert_eq!(recipe.after_install.as_deref(), Some(script));
    assert_eq!((recipe.before_removal, recipe.after_removal.as_deref()), (None, Some("echo removed\n")));
}

#[test]
fn what_the_makefile_does_not_tell_is_a_failure_not_a_guess() {
    let without_version = MAKEFILE.replace("PKG_VERSION:=1.2.3\n", "");
    assert!(Recipe::read(&without_version).expect_err("no version").contains("PKG_VERSION"));
    let conditional = MAKEFILE.replace("+kmod-one", "+IPV6:kmod-one");
    assert!(Recipe::read(&conditional).expect_err("a condition").contains("+IPV6:kmod-one"));
    let open = MAKEFILE.replace("endef", "");
    assert!(Recipe::read(&open).expect_err("no end").contains("endef"));
}

#[test]
fn an_ipk_holds_files_and_what_is_to_know_of_them() {
    let scratch = Scratch::new("ipk");
    fs::write(scratch.path("x.ipk"), ipk::pack(&package()).expect("packs")).expect("writes");
    assert_eq!(
        output("tar", &["-tzf", "x.ipk"], &scratch.0),
        "./debian-binary\n./data.tar.gz\n./control.tar.gz\n"
    );
    output("tar", &["-xzf", "x.ipk"], &scratch.0);
    assert_eq!(fs::read_to_string(scratch.path("debian-binary")).expect("is there"), "2.0\n");
    for part in ["data", "control"] {
        fs::create_dir(scratch.path(part)).expect("a folder");
        output("tar", &["-xzf", &format!("{part}.tar.gz"), "-C", part], &scratch.0);
    }
    for (path, content) in FILES {
        assert_eq!(fs::read_to_string(scratch.path("data").join(path)).expect(path), content);
    }
    let read = |name: &str| fs::read_to_string(scratch.path("control").join(name)).expect("is there");
    let control = "\
Package: example
Version: 1.2.3-r4
Depends: kmod-one, kmod-two
License: GPL-2.0-or-later
Section: net
Architecture: mips_24kc
Installed-Size: 27
Description:  Two lines that are one.
";
    assert_eq!(read("control"), control);
    assert_eq!(read("conffiles"), "/etc/config/example\n");
    assert!(read("postinst").contains("default_postinst $0 $@"));
    assert!(read("postinst-pkg").contains("echo installed"));
    assert_eq!(read("postrm"), "#!/bin/sh\necho removed\n");
    for script in ["postinst", "postinst-pkg", "prerm", "postrm"] {
        output("sh", &["-n", &format!("control/{script}")], &scratch.0);
    }
    assert!(!scratch.path("control/prerm-pkg").exists(), "the Makefile has none");
}

#[test]
fn the_same_files_give_the_same_packages_in_whatever_order_they_came() {
    let turned = package_of(FILES.iter().rev());
    assert!(ipk::pack(&turned) == ipk::pack(&package()), "ipk");
    assert!(apk::pack(&turned) == apk::pack(&package()), "apk");
    let mut later = package();
    later.time_s += 1;
    assert!(ipk::pack(&later) != ipk::pack(&package()), "the time is in the ipk");
    assert!(apk::pack(&later) != apk::pack(&package()), "the time is in the apk");
}

#[test]
fn the_web_pages_are_a_package_for_every_machine() {
    let package = dist::web_pages(1_700_000_000).expect("can be read").expect("is there");
    assert_eq!(package.ipk_name(), concat!("luci-app-mwan3_", env!("CARGO_PKG_VERSION"), "-r1_all.ipk"));
    assert_eq!(package.recipe.depends, ["luci-base", "mwan3"]);
    let files = package.tree.entries().filter(|(_, entry)| **entry != Entry::Folder);
    for (path, entry) in files {
        let places = [
            "www/luci-static/resources/",
            "usr/share/luci/menu.d/",
            "usr/share/rpcd/acl.d/",
            "etc/uci-defaults/",
        ];
        assert!(places.iter().any(|place| path.starts_with(place)), "{path}");
        assert_eq!(entry.mode(), 0o644, "{path}");
    }
    for path in [
        "www/luci-static/resources/view/mwan3/status/overview.js",
        "usr/share/luci/menu.d/luci-app-mwan3.json",
        "usr/share/rpcd/acl.d/luci-app-mwan3.json",
        "etc/uci-defaults/40_luci-app-mwan3",
    ] {
        assert!(package.tree.get(path).is_some(), "{path}");
    }
    let script = package.recipe.after_install.expect("a script");
    for piece in ["/tmp/luci-indexcache.*", "/tmp/luci-modulecache/", "/etc/init.d/rpcd reload"] {
        assert!(script.contains(piece), "{piece}");
    }
}

/// Blocks of an unpacked apk: their kind and payload.
fn blocks(packed: &[u8]) -> Vec<(u32, Vec<u8>)> {
    assert_eq!(&packed[..4], b"ADBd");
    let mut file = Vec::new();
    DeflateDecoder::new(&packed[4..]).read_to_end(&mut file).expect("deflated");
    assert_eq!(&file[..8], b"ADB.pckg");
    let (mut blocks, mut rest) = (Vec::new(), &file[8..]);
    while !rest.is_empty() {
        let word = u32::from_le_bytes(rest[..4].try_into().expect("four bytes"));
        let size = (word & 0x3fff_ffff) as usize;
        blocks.push((word >> 30, rest[4..size].to_vec()));
        rest = &rest[size.next_multiple_of(8)..];
    }
    blocks
}

#[test]
fn an_apk_describes_each_file_by_the_checksum_of_what_it_holds() {
    let blocks = blocks(&apk::pack(&package()).expect("packs"));
    let (kind, description) = &blocks[0];
    assert_eq!(*kind, 0);
    let holds = |part: &[u8]| description.windows(part.len()).any(|window| window == part);
    let contents: Vec<&[u8]> = blocks[1..].iter().map(|(_, payload)| &payload[8..]).collect();
    for (path, content) in FILES {
        assert!(contents.contains(&content.as_bytes()), "{path}");
        assert!(holds(&checksum::sha256(content.as_bytes())), "{path}");
        assert!(holds(path.rsplit('/').next().expect("a name").as_bytes()), "{path}");
    }
    assert!(blocks[1..].iter().all(|(kind, _)| *kind == 2));
    let list = b"/etc/config/example\n/etc/hotplug.d/iface/15-example\n/usr/sbin/example\n";
    assert!(contents.contains(&list.as_slice()), "what OpenWrt's functions look into");
    for text in ["1.2.3-r4", "mips_24kc", "kmod-one", "default_postinst\n[ -n \"${IPKG_INSTROOT}\" ]"] {
        assert!(holds(text.as_bytes()), "{text}");
    }
}

#[test]
fn a_feed_lists_each_package_with_its_checksum() {
    let package = package();
    let packed = ipk::pack(&package).expect("packs");
    let index = feed::index(&[(&package, &packed)]);
    let line = |name: &str| index.lines().find_map(|line| line.strip_prefix(name)).expect(name).to_owned();
    assert_eq!(line("Filename: "), "example_1.2.3-r4_mips_24kc.ipk");
    assert_eq!(line("Size: "), packed.len().to_string());
    assert_eq!(line("SHA256sum: "), checksum::sha256_hex(&packed));
    assert!(index.ends_with("Description:  Two lines that are one.\n"));
}

#[test]
fn no_architecture_is_served_twice_and_those_without_floating_point_are_spared_it() {
    let mut served: Vec<&str> = target::TARGETS.iter().flat_map(|target| target.openwrt).copied().collect();
    let count = served.len();
    served.sort_unstable();
    served.dedup();
    assert_eq!(served.len(), count);
    let hard = target::find("armv7").expect("is known").openwrt;
    assert!(hard.iter().all(|name| name.contains("vfp") || name.contains("neon")), "{hard:?}");
    for common in ["mips_24kc", "mipsel_24kc", "mipsel_74kc", "aarch64_cortex-a53", "x86_64"] {
        assert!(target::usual().iter().any(|target| target.openwrt.contains(&common)), "{common}");
    }
}
