//! What the largest `start` on a small machine needs: many rules, and a large set of the firewall's to mirror.

use std::fmt::Write as _;
use std::fs;
use std::io;
use std::path::Path;
use std::process::Stdio;

use lab::Lab;

use super::sizes::Size;
use crate::process::{Inspection, inspect};

const RULE_OF_THE_SET: &str = "config rule of_the_set
  option family ipv4
  option ipset large
  option use_policy balanced

";

pub fn start(program: &Path, size: Size, elements: u32) -> io::Result<Inspection> {
    let lab = Lab::builder().uplinks(size.uplinks).ipv6(false).mwan3(program).build()?;
    let mut set = String::from("add set inet fw4 large { type ipv4_addr; }\nadd element inet fw4 large {");
    for number in 0..elements {
        // No two of them side by side: neighbours would be joined.
        let host = number * 3;
        let _ = write!(set, " 100.64.{}.{},", host / 256 % 256, host % 256);
    }
    let file = lab.router().directory().join("large.nft");
    fs::write(&file, set + " }\n")?;
    lab.router().sh(&format!("nft -f {}", file.display()));
    lab.router().write_config(&size.config().replacen(
        "config rule ",
        &format!("{RULE_OF_THE_SET}config rule "),
        1,
    ));
    let mut command = lab.router().mwan3_command();
    inspect(command.args(["start", "--no-track"]).stdin(Stdio::null()).stdout(Stdio::null()))
}
