//! Packets of the laboratory really go where the configuration says: the real program, a real kernel.

mod established;
mod failover;
#[path = "../gateway/mod.rs"]
mod gateway;
mod links;
mod marks;
mod routes;
mod rules;
mod sets;
mod shares;
mod sticky;
mod tunnel;
mod ways;
