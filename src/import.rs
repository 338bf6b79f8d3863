//! `mwan3 import`: configurations of other programs as ours. What has an equivalent becomes a UCI file, and every line
//! that has none is told.

mod multiwans;
mod yaml;

pub use multiwans::multiwans;

/// A file in UCI's format, and what a person should know of it.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Imported {
    pub text: String,
    pub remarks: Vec<Remark>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Remark {
    /// Of the other program's file.
    pub line: u32,
    /// False where the line was carried over, but works in another way here.
    pub is_lost: bool,
    pub text: String,
}
