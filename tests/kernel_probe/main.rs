//! Probes on real sockets: each test has two network namespaces of its own with one wire between them.
//! Needs root, or `unshare -Urn`.

mod binding;
mod echo;
mod exchange;
mod wire;
