//! mwan3: a multi-WAN manager. The layers, arrows pointing down only (tests/layers.rs enforces them):
//!
//! ```text
//! main  cli  track  control  scrape  reconcile  shell: effects, no decisions
//! system/{netlink, route, nftables, netifd …}   the only door to the kernel and the host
//! --------------------------------------------- below: values in, values out; no files, sockets, clock
//! report  alert  import  plan/{policy, rules, ruleset, routing}  health/{link, score, history, events}
//! config/{options, check}   probe_packet   uci   nft   network   mark   address   sorted   json
//! ```

// They panic when nobody listens any more.
#![deny(clippy::print_stdout, clippy::print_stderr)]

pub mod address;
pub mod alert;
pub mod cli;
pub mod config;
pub mod control;
pub mod health;
pub mod import;
pub mod json;
pub mod mark;
pub mod network;
pub mod nft;
pub mod plan;
pub mod probe_packet;
pub mod reconcile;
pub mod report;
pub mod scrape;
pub mod sorted;
pub mod system;
pub mod track;
pub mod uci;
