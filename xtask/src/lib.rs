//! What the developer commands share, and what their own tests look at.

pub mod boot_test;
pub mod deb;
pub mod dist;
pub mod qemu_test;
pub mod tools;
