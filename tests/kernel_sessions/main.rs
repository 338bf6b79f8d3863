//! Running flows when uplinks fail and return: telephony that must move as a whole, web connections that must not, an
//! operator that bans whoever shows two addresses at once. Real tracker, real kernel.

#![allow(clippy::unwrap_used)]

mod calls;
mod damping;
mod operator;
mod taxi;
#[path = "../tracking/mod.rs"]
mod tracking;
