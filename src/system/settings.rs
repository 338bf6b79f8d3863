//! The configuration as the shell loader would see it: the file, uncommitted changes, the state overlay.

use std::path::Path;

use crate::config::{self, Config, Problem};
use crate::uci::{self, Package};

use super::failure::{Context, Result, failure};
use super::files::{Directories, read_line};
use super::paths::text_of;

#[derive(Debug)]
pub struct Settings {
    pub config: Config,
    pub problems: Vec<Problem>,
    /// As problems name it.
    pub file: String,
    /// As text, overlays applied: what a bug report needs.
    pub package: Package,
}

pub fn load(directories: &Directories) -> Result<Settings> {
    let path = directories.config_file("mwan3");
    let shown = path.display().to_string();
    let (text, overlays) = directories
        .config_texts("mwan3")
        .with_context(|| format!("cannot read the configuration {shown}"))?;
    Ok(read(&shown, &text, &overlays))
}

/// For who looks at nothing but what it means.
pub fn load_config(directories: &Directories) -> Result<Config> {
    load(directories).map(|settings| settings.config)
}

/// For a service that runs. What is in force must not be taken away by a file that is empty or torn:
/// traffic would go where a rule forbids it.
pub fn load_to_replace(directories: &Directories) -> Result<Settings> {
    let settings = load(directories)?;
    let file = &settings.file;
    if settings.package.is_torn {
        return Err(failure!(
            "{file} has a quote that never closes ('mwan3 check' tells where); what is in force stays"
        ));
    }
    if settings.config.interfaces.is_empty() {
        return Err(failure!(
            "{file} has no usable interface; what is in force stays ('mwan3 stop' takes it away)"
        ));
    }
    Ok(settings)
}

/// `file` is only named in messages.
pub fn read(file: &str, text: &[u8], overlays: &[Vec<u8>]) -> Settings {
    let mut package = uci::parse("mwan3", text);
    for overlay in overlays {
        uci::apply_delta(&mut package, overlay);
    }
    let (config, problems) = config::read(&package, file);
    Settings { config, problems, file: file.to_owned(), package }
}

/// The first line of `mwan3 internal`.
pub fn release() -> String {
    let text = text_of(Path::new("/etc/openwrt_release"));
    let version = text.lines().find_map(|line| line.strip_prefix("DISTRIB_RELEASE="));
    let version = version.map(|line| line.trim_matches(['\'', '"']).to_owned());
    match (version, read_line(Path::new("/etc/debian_version"))) {
        (Some(version), _) => format!("OpenWrt - {version}"),
        (None, Some(version)) => format!("Debian - {version}"),
        (None, None) => "OpenWrt - unknown".to_owned(),
    }
}
