//! This process: begun by the C library, without what Rust's own start brings, such as a guard below the stack and a
//! name for the thread; and its environment, which nobody changes while it lives, so it needs no lock.

use std::ffi::{CStr, OsStr, OsString, c_char, c_int};
use std::os::unix::ffi::OsStrExt;

/// The function that the C library calls; `$run` gets the words behind the program's name and gives the exit code.
#[macro_export]
macro_rules! program {
    ($run:expr) => {
        #[unsafe(no_mangle)]
        pub unsafe extern "C" fn main(
            count: ::std::ffi::c_int,
            words: *const *const ::std::ffi::c_char,
        ) -> ::std::ffi::c_int {
            // SAFETY: these are what the C library hands to a program.
            let words = unsafe { $crate::system::process::begin(count, words) };
            ::std::ffi::c_int::from($run(words))
        }
    };
}

/// Writing to who went away is an error, no end; how our children end we are told, whoever started us; and none of our
/// files takes the place of a standard stream.
///
/// # Safety
/// There are as many words as said, terminated, for as long as the process lives.
pub unsafe fn begin(count: c_int, words: *const *const c_char) -> Vec<OsString> {
    // SAFETY: no pointers are passed but a terminated constant.
    unsafe {
        libc::signal(libc::SIGPIPE, libc::SIG_IGN);
        libc::signal(libc::SIGCHLD, libc::SIG_DFL);
        for stream in 0..3 {
            if libc::fcntl(stream, libc::F_GETFD) < 0 {
                libc::open(c"/dev/null".as_ptr(), libc::O_RDWR);
            }
        }
    }
    // The first one is the name we are called by.
    let mut given = Vec::new();
    for place in 1..usize::try_from(count).unwrap_or(0) {
        // SAFETY: the caller promises it.
        let word = unsafe { CStr::from_ptr(*words.add(place)) };
        given.push(OsStr::from_bytes(word.to_bytes()).to_owned());
    }
    given
}

unsafe extern "C" {
    /// The C library's list, with a null behind.
    static environ: *const *const c_char;
}

/// `NAME=value`.
pub fn environment() -> impl Iterator<Item = &'static OsStr> {
    // SAFETY: the list is there from the start, and is never written to.
    let mut next = unsafe { environ };
    std::iter::from_fn(move || {
        // SAFETY: a place in the list, up to its end, which is not gone beyond.
        let entry = unsafe { next.as_ref()?.as_ref()? };
        next = next.wrapping_add(1);
        // SAFETY: its entries are terminated, and stay.
        Some(OsStr::from_bytes(unsafe { CStr::from_ptr(entry) }.to_bytes()))
    })
}

pub fn variable(name: &str) -> Option<OsString> {
    for entry in environment() {
        let rest = entry.as_bytes().strip_prefix(name.as_bytes());
        if let Some(value) = rest.and_then(|rest| rest.strip_prefix(b"=")) {
            return Some(OsStr::from_bytes(value).to_owned());
        }
    }
    None
}
