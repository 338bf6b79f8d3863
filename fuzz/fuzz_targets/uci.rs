//! A configuration, and behind the first NUL changes to it: read, checked, and written in canonical form.
#![no_main]

use std::collections::BTreeSet;

use libfuzzer_sys::fuzz_target;
use mwan3::uci::Package;
use mwan3::{config, uci};

fuzz_target!(init: mwan3_fuzz::seeds::write_if_asked("uci"), |data: &[u8]| {
    let package = mwan3_fuzz::package(data);
    let (read, problems) = config::read(&package, "mwan3");
    let checked = config::check(&read, &package, "mwan3", Some(mwan3_fuzz::network::rich()));
    for problem in problems.iter().chain(&checked) {
        let _ = problem.to_string();
    }
    if reads_back(&package) {
        let again = uci::parse("mwan3", &package.export());
        assert!(again.errors.is_empty(), "{:?}", again.errors);
        assert_eq!(again.export(), package.export());
    }
});

/// As in libuci, types are written without the quotes they may need, and a rename can make two sections of one name.
fn reads_back(package: &Package) -> bool {
    let is_plain =
        |kind: &str| kind.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_-".contains(&byte));
    let names: BTreeSet<&str> = package.sections.iter().map(|section| &*section.name).collect();
    names.len() == package.sections.len() && package.sections.iter().all(|section| is_plain(&section.kind))
}
