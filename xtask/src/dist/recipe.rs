//! What OpenWrt's Makefiles say of a package: their variables and `define`s, read as text. So there is one source
//! for what the package is called, needs, keeps and runs.

use std::collections::BTreeMap;

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Recipe {
    pub name: String,
    /// As package managers compare it, such as 3.0.0-r1.
    pub version: String,
    pub license: String,
    pub section: String,
    pub title: String,
    pub description: String,
    pub depends: Vec<String>,
    /// Files that an upgrade leaves as they are.
    pub conffiles: Vec<String>,
    /// What runs besides what OpenWrt runs for every package.
    pub after_install: Option<String>,
    pub before_removal: Option<String>,
    pub after_removal: Option<String>,
}

impl Recipe {
    /// Of the package's own Makefile, or one of LuCI's, which says the same with other names.
    pub fn read(makefile: &str) -> Result<Recipe, String> {
        let makefile = Makefile::read(makefile)?;
        let name = makefile.required("PKG_NAME")?;
        let of_luci = makefile.variable("LUCI_TITLE").is_some();
        let package = format!("Package/{name}");
        let fields = Makefile::read(makefile.define(&package).unwrap_or_default())?;
        let depends = match of_luci {
            true => makefile.variable("LUCI_DEPENDS"),
            false => fields.variable("DEPENDS"),
        };
        let title = if of_luci { makefile.required("LUCI_TITLE")? } else { fields.required("TITLE")? };
        let description = match of_luci {
            true => makefile.variable("LUCI_DESCRIPTION"),
            false => makefile.define(&format!("{package}/description")),
        };
        let script = |name: &str| makefile.define(&format!("{package}/{name}")).map(run_by_shell);
        Ok(Recipe {
            version: format!("{}-r{}", makefile.required("PKG_VERSION")?, makefile.required("PKG_RELEASE")?),
            license: makefile.variable("PKG_LICENSE").unwrap_or_default().to_owned(),
            section: if of_luci { "luci".to_owned() } else { fields.required("SECTION")? },
            description: description.map(one_line).unwrap_or_else(|| title.clone()),
            title,
            depends: package_names(depends.unwrap_or_default())?,
            conffiles: words(makefile.define(&format!("{package}/conffiles")).unwrap_or_default()),
            after_install: script("postinst").or_else(|| of_luci.then(|| LUCI_AFTER_INSTALL.to_owned())),
            before_removal: script("prerm"),
            after_removal: script("postrm"),
            name,
        })
    }
}

/// Menus are cached, and rpcd has to learn of new permissions.
const LUCI_AFTER_INSTALL: &str = "\
[ -z \"${IPKG_INSTROOT}\" ] || exit 0
rm -rf /tmp/luci-indexcache.* /tmp/luci-modulecache/
[ ! -x /etc/init.d/rpcd ] || /etc/init.d/rpcd reload
exit 0
";

/// The two kinds of things a package says there.
struct Makefile<'a> {
    variables: BTreeMap<&'a str, &'a str>,
    defines: BTreeMap<&'a str, &'a str>,
}

impl<'a> Makefile<'a> {
    fn read(text: &'a str) -> Result<Makefile<'a>, String> {
        let (mut variables, mut defines) = (BTreeMap::new(), BTreeMap::new());
        let mut rest = text;
        while let Some((line, after)) = rest.split_once('\n') {
            rest = after;
            if let Some(name) = line.strip_prefix("define ") {
                let (body, after) = body(rest).ok_or_else(|| format!("'{line}' has no endef"))?;
                defines.insert(name.trim(), body);
                rest = after;
            } else if line.ends_with('\\') && !line.starts_with(['\t', '#']) {
                return Err(format!("cannot read a line that goes on in the next: {line}"));
            } else if let Some((name, value)) = assignment(line) {
                variables.insert(name, value);
            }
        }
        Ok(Makefile { variables, defines })
    }

    fn variable(&self, name: &str) -> Option<&'a str> {
        self.variables.get(name).copied()
    }

    fn required(&self, name: &str) -> Result<String, String> {
        self.variable(name).map(str::to_owned).ok_or_else(|| format!("the Makefile does not tell {name}"))
    }

    fn define(&self, name: &str) -> Option<&'a str> {
        self.defines.get(name).copied()
    }
}

/// Up to the line that is `endef`, and what follows that line.
fn body(text: &str) -> Option<(&str, &str)> {
    let mut position = 0;
    for line in text.split_inclusive('\n') {
        let next = position + line.len();
        if line.trim_end() == "endef" {
            return Some((text.get(..position)?, text.get(next..)?));
        }
        position = next;
    }
    None
}

fn assignment(line: &str) -> Option<(&str, &str)> {
    let (name, value) = line.split_once('=')?;
    let name = name.trim_end_matches([':', '?', '+']).trim();
    let is_name = !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
    is_name.then(|| (name, value.trim()))
}

/// `+name` is a package to install along; `$(…)` and `@…` are for the build alone.
fn package_names(depends: &str) -> Result<Vec<String>, String> {
    let mut names = Vec::new();
    for word in depends.split_whitespace() {
        match word.strip_prefix('+') {
            Some(name) if name.contains([':', '$']) => {
                return Err(format!("cannot read the dependency {word}"));
            }
            Some(name) => names.push(name.to_owned()),
            None if word.starts_with(['@', '$']) => {}
            None => names.push(word.to_owned()),
        }
    }
    names.sort();
    names.dedup();
    Ok(names)
}

/// Make doubles the dollars of the shell, and package managers bring a first line of their own.
fn run_by_shell(body: &str) -> String {
    let body = body.replace("$$", "$");
    body.strip_prefix("#!/bin/sh\n").unwrap_or(&body).to_owned()
}

fn words(text: &str) -> Vec<String> {
    text.split_whitespace().map(str::to_owned).collect()
}

fn one_line(text: &str) -> String {
    words(text).join(" ")
}
