//! mwan3: a multi-WAN manager. The layers, arrows pointing down only (tests/layers.rs enforces them):
//!
//! ```text
//! main  cli                                   shell: effects, no decisions
//! system/{netlink, route, nftables, netifd …} the only door to the kernel and the host
//! ------------------------------------------- below: values in, values out; no files, sockets, clock
//! plan/{policy, rules, ruleset, routing, diff}  health/{link, score, history, events}  report
//! config/{options, check}   uci   nft   network   mark   address
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
