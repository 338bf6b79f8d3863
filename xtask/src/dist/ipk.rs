//! Packages for opkg, up to OpenWrt 24.10: an archive of two archives, the files and what is to know of them.

use crate::dist::package::Package;
use crate::dist::tree::{Entry, Tree};
use crate::dist::{gzip, tar};

pub fn pack(package: &Package) -> Result<Vec<u8>, String> {
    let data = gzip::pack(&tar::write(&package.tree, package.time_s)?)?;
    let control = gzip::pack(&tar::write(&control_tree(package), package.time_s)?)?;
    let members: [(&str, &[u8]); 3] =
        [("debian-binary", b"2.0\n"), ("data.tar.gz", &data), ("control.tar.gz", &control)];
    gzip::pack(&tar::write_members(&members, package.time_s)?)
}

/// What feeds repeat of each package, without the description, which comes last.
pub fn control_fields(package: &Package) -> String {
    let recipe = &package.recipe;
    let depends = match recipe.depends.is_empty() {
        true => String::new(),
        false => format!("Depends: {}\n", recipe.depends.join(", ")),
    };
    format!(
        "Package: {}\nVersion: {}\n{depends}License: {}\nSection: {}\nArchitecture: {}\nInstalled-Size: {}\n",
        recipe.name,
        recipe.version,
        recipe.license,
        recipe.section,
        package.architecture,
        package.tree.size(),
    )
}

pub fn description_field(package: &Package) -> String {
    format!("Description:  {}\n", package.recipe.description)
}

/// The scripts of the name are OpenWrt's for every package: they enable and start services, run uci-defaults,
/// and then ours, which end in `-pkg`.
fn control_tree(package: &Package) -> Tree {
    let recipe = &package.recipe;
    let mut tree = Tree::default();
    tree.add("control", Entry::file(control_fields(package) + &description_field(package)));
    if !recipe.conffiles.is_empty() {
        tree.add("conffiles", Entry::file(recipe.conffiles.join("\n") + "\n"));
    }
    for (name, usual, own) in [
        ("postinst", "default_postinst", &recipe.after_install),
        ("prerm", "default_prerm", &recipe.before_removal),
    ] {
        tree.add(name, Entry::program(usual_script(usual)));
        if let Some(own) = own {
            tree.add(&format!("{name}-pkg"), Entry::program(with_first_line(own)));
        }
    }
    if let Some(own) = &recipe.after_removal {
        tree.add("postrm", Entry::program(with_first_line(own)));
    }
    tree
}

fn usual_script(function: &str) -> String {
    with_first_line(&format!(
        "[ \"${{IPKG_NO_SCRIPT}}\" = 1 ] && exit 0\n\
         [ -s \"${{IPKG_INSTROOT}}/lib/functions.sh\" ] || exit 0\n\
         . \"${{IPKG_INSTROOT}}/lib/functions.sh\"\n\
         {function} $0 $@\n"
    ))
}

fn with_first_line(script: &str) -> String {
    format!("#!/bin/sh\n{script}")
}
