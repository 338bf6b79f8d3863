//! The only door to the kernel and the host. Everything in here acts or observes; nothing decides.

pub mod background;
pub mod binding;
pub mod bpf;
pub mod cgroup;
pub mod clock;
pub mod conntrack;
pub mod deliver;
pub mod files;
pub mod hooks;
pub mod host;
pub mod leases;
pub mod leftovers;
pub mod logger;
pub mod memory;
pub mod monitor;
pub mod netifd;
pub mod netlink;
pub mod nftables;
pub mod poll;
pub mod probe;
pub mod route;
pub mod settings;
pub mod sysctl;
pub mod terminal;
pub mod tracks;
pub mod ubus;
