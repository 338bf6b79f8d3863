//! Changes in nft's syntax, as `mwan3 plan --diff` and error messages show them.

use std::fmt;

use super::text::spans_text;
use super::{Change, SetContent};

impl fmt::Display for Change<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const TABLE: &str = "inet mwan3";
        match self {
            Change::AddTable => write!(f, "add table {TABLE}"),
            Change::DeleteTable => write!(f, "delete table {TABLE}"),
            Change::AddSet(set) => {
                let properties = match set.content {
                    SetContent::Computed(_) | SetContent::External => "flags interval",
                    SetContent::Remembered => "size 65535; flags dynamic,timeout",
                };
                let key = set.key.type_name();
                write!(f, "add set {TABLE} {} {{ type {key}; {properties}; }}", set.name)
            }
            Change::DeleteSet(name) => write!(f, "delete set {TABLE} {name}"),
            Change::AddElements { set, key, spans } => {
                write!(f, "add element {TABLE} {set} {{ {} }}", spans_text(*key, spans))
            }
            Change::DeleteElements { set, key, spans } => {
                write!(f, "delete element {TABLE} {set} {{ {} }}", spans_text(*key, spans))
            }
            Change::AddChain(chain) => {
                write!(f, "add chain {TABLE} {}", chain.name)?;
                match &chain.base {
                    Some(base) => write!(f, " {{ {base}; }}"),
                    None => Ok(()),
                }
            }
            Change::FlushChain(name) => write!(f, "flush chain {TABLE} {name}"),
            Change::DeleteChain(name) => write!(f, "delete chain {TABLE} {name}"),
            Change::AddRule { chain, rule } => write!(f, "add rule {TABLE} {chain} {rule}"),
        }
    }
}
