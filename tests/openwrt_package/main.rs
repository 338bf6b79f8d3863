//! The OpenWrt package: what its Makefile says and installs, and its life on a router made of a scratch root and
//! stand-ins for OpenWrt's own scripts (tests/fixtures/openwrt).

mod events;
mod install;
mod library;
mod makefile;
mod package;
mod root;
