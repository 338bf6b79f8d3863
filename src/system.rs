//! The only door to the kernel and the host. Everything in here acts or observes; nothing decides.

pub mod background;
pub mod binding;
pub mod bpf;
pub mod cgroup;
pub mod conntrack;
pub mod netifd;
pub mod netlink;
pub mod nftables;
pub mod probe;
pub mod route;
pub mod ubus;
