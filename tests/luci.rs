//! Files of the web pages that are written from other files. `MWAN3_BLESS=1 cargo test --test luci` rewrites them.

#[path = "luci/template.rs"]
mod template;

use std::path::{Path, PathBuf};

use mwan3::config::options;

const SCHEMA: &str = "luci-app/htdocs/luci-static/resources/mwan3/schema.js";
const TEMPLATE: &str = "luci-app/po/templates/mwan3.pot";

/// One test: the texts of the options are strings that the second file collects.
#[test]
fn the_forms_know_the_options_of_the_parser_and_translators_every_string() {
    is_current(SCHEMA, &schema());
    is_current(TEMPLATE, &template::of(&root().join("luci-app")));
}

/// One line for each option; the help is a string that translators see.
fn schema() -> String {
    let mut text = "'use strict';\n'require baseclass';\n\n\
        /* The parser's own table. Written by MWAN3_BLESS=1 cargo test --test luci; do not edit. */\n\n\
        return baseclass.extend({\n\toptions: [\n"
        .to_owned();
    for spec in options::TABLE {
        let mut line = serde_json::from_str::<serde_json::Value>(&spec.json().to_string()).expect("JSON");
        let fields = line.as_object_mut().expect("an object");
        let help = fields.remove("help").unwrap_or_default();
        let line = line.to_string();
        let open = line.strip_suffix('}').expect("an object");
        text.push_str(&format!("\t\t{open},\"help\":_({help})}},\n"));
    }
    text.push_str("\t]\n});\n");
    text
}

fn is_current(path: &str, wanted: &str) {
    let path = root().join(path);
    if std::env::var_os("MWAN3_BLESS").is_some() {
        std::fs::write(&path, wanted).expect("the file can be written");
    }
    let found = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(found == wanted, "{} is not current: run MWAN3_BLESS=1 cargo test --test luci", path.display());
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).to_owned()
}
