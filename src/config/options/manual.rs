//! docs/man/mwan3.5, written from the table.

use std::fmt::Write as _;

use super::markdown::{about, default_text, value};
use super::{OptionSpec, SectionKind};

pub fn manual() -> String {
    let mut page = String::from(INTRODUCTION);
    for section in SectionKind::ALL {
        // Writing to a String cannot fail.
        let _ = write!(page, ".SH CONFIG {}\n{}\n", section.name().to_uppercase(), roff(about(section)));
        for spec in super::of_section(section) {
            page.push_str(&entry(spec));
        }
    }
    page.push_str(CLOSING);
    page
}

const INTRODUCTION: &str = r#".\" Written from the table in src/config/options.rs by `MWAN3_BLESS=1 cargo test --test docs`.
.TH MWAN3 5 "" "mwan3 3.0.0" "File formats"
.SH NAME
mwan3 \- configuration of uplinks, policies and rules (/etc/config/mwan3)
.SH DESCRIPTION
The file is in OpenWrt's format.
A value that cannot be used costs its own option or section:
.B mwan3 check
tells the line and what is used instead, everything else keeps working.
.TP
.B yes/no
1, on, true, yes, enabled or 0, off, false, no, disabled.
.TP
.B time
Seconds, with a fraction (0.5) or a unit (200ms, 10s) if wanted.
.TP
.B list
One list line for each value; a single option works too.
"#;

const CLOSING: &str = r".SH SEE ALSO
.BR mwan3 (8)
";

fn entry(spec: &OptionSpec) -> String {
    let list = if spec.list { "list of " } else { "" };
    let default = match default_text(spec) {
        none if none == "–" => String::new(),
        required if required == "required" => ", required".to_owned(),
        default => format!(", default {default}"),
    };
    let head = roff(&format!("{list}{}{default}", value(spec)));
    format!(".TP\n.B {}\n({head})\n.br\n{}\n", spec.name, roff(spec.help))
}

/// Backquotes go, hyphens and backslashes are spelt out, and no line begins with a dot or a quote.
fn roff(text: &str) -> String {
    let text = text.replace('\\', "\\e").replace('`', "").replace('-', "\\-").replace('–', "\\(en");
    if text.starts_with(['.', '\'']) { format!("\\&{text}") } else { text }
}
