//! The golden cases as values, shared by the tests that plan them and those that load them.
#![allow(dead_code)]

use std::fs;
use std::path::{Path, PathBuf};

use mwan3::config::Config;
use mwan3::network::Network;
use mwan3::plan::Health;
use mwan3::{config, uci};

pub struct Case {
    pub name: String,
    pub folder: PathBuf,
    pub config: Config,
    pub problems: String,
    pub network: Network,
    pub health: Health,
}

/// Sorted by name.
pub fn all_cases() -> Vec<Case> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden");
    let mut cases: Vec<Case> = folders(&root).iter().flat_map(|group| folders(group)).map(read).collect();
    cases.sort_by(|a, b| a.name.cmp(&b.name));
    cases
}

fn folders(parent: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(parent).expect("the cases are part of the repository");
    entries.map(|entry| entry.expect("readable").path()).filter(|path| path.is_dir()).collect()
}

fn read(folder: PathBuf) -> Case {
    let name = folder.components().rev().take(2).map(|part| part.as_os_str().to_string_lossy().into_owned());
    let name = name.collect::<Vec<_>>().into_iter().rev().collect::<Vec<_>>().join("/");
    let text = fs::read(folder.join("mwan3")).unwrap_or_else(|error| panic!("{name}: mwan3: {error}"));
    let (config, problems) = config::read(&uci::parse("mwan3", &text), "mwan3");
    let network = fs::read_to_string(folder.join("network.json")).expect("network.json");
    Case {
        config,
        problems: problems.iter().map(|problem| format!("{problem}\n")).collect(),
        network: Network::read(&network).unwrap_or_else(|error| panic!("{name}: network.json: {error}")),
        health: Health::parse(&fs::read_to_string(folder.join("health")).unwrap_or_default())
            .expect("health"),
        name,
        folder,
    }
}
