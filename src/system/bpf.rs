//! Loads BPF programs with bpf(2) and attaches them to a cgroup. Only what `binding` needs: programs
//! without maps at four hooks of the socket layer.

mod assembly;

use std::ffi::c_long;
use std::fmt;
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd};

use super::failure::{Failure, failure};

pub use assembly::{Assembly, Instruction, Label, Register};

const BPF_PROG_LOAD: c_long = 5;
const BPF_PROG_ATTACH: c_long = 8;
/// A cgroup below may have its own program, as a `use` within a container within a `use` needs.
const BPF_F_ALLOW_OVERRIDE: u32 = 1;
const VERIFIER_LOG_BYTES: usize = 16 * 1024;

/// Where in the life of a socket a program runs. Only IPv4 and IPv6 sockets pass these places.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Hook {
    SocketCreate,
    Connect4,
    Connect6,
    Egress,
}

impl Hook {
    pub fn name(self) -> &'static str {
        match self {
            Hook::SocketCreate => "SocketCreate",
            Hook::Connect4 => "Connect4",
            Hook::Connect6 => "Connect6",
            Hook::Egress => "Egress",
        }
    }

    /// BPF_PROG_TYPE_*
    fn program_type(self) -> u32 {
        match self {
            Hook::Egress => 8,
            Hook::SocketCreate => 9,
            Hook::Connect4 | Hook::Connect6 => 18,
        }
    }

    /// BPF_CGROUP_*
    fn attach_type(self) -> u32 {
        match self {
            Hook::Egress => 1,
            Hook::SocketCreate => 2,
            Hook::Connect4 => 10,
            Hook::Connect6 => 11,
        }
    }
}

#[derive(Debug)]
pub struct Program {
    hook: Hook,
    fd: OwnedFd,
}

#[derive(Debug)]
pub struct LoadError {
    pub hook: Hook,
    pub source: io::Error,
    /// What the kernel's verifier said; empty where it never came to look at the program.
    pub verifier_log: String,
}

impl fmt::Display for LoadError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "load the BPF program for {}: {}", self.hook.name(), self.source)?;
        match self.source.raw_os_error() {
            Some(libc::EPERM | libc::EACCES) if self.verifier_log.is_empty() => {
                f.write_str(" (this takes root outside of any container: CAP_BPF and CAP_NET_ADMIN)")?;
            }
            Some(libc::ENOSYS) => f.write_str(" (the kernel lacks CONFIG_BPF_SYSCALL)")?,
            Some(libc::EINVAL) if self.verifier_log.is_empty() => {
                f.write_str(" (the kernel lacks CONFIG_CGROUP_BPF)")?;
            }
            _ => {}
        }
        if !self.verifier_log.is_empty() {
            write!(f, "; the kernel's verifier says: {}", self.verifier_log)?;
        }
        Ok(())
    }
}

impl From<LoadError> for Failure {
    fn from(error: LoadError) -> Failure {
        failure!("{error}")
    }
}

/// The head of the kernel's `union bpf_attr` for BPF_PROG_LOAD. Pointers are 64 bit for every kernel.
#[repr(C, align(8))]
struct LoadAttributes {
    program_type: u32,
    instruction_count: u32,
    instructions: u64,
    license: u64,
    log_level: u32,
    log_size: u32,
    log: u64,
    kernel_version: u32,
    flags: u32,
    name: [u8; 16],
    device_index: u32,
    attach_type: u32,
}

/// The head of `union bpf_attr` for BPF_PROG_ATTACH.
#[repr(C, align(8))]
struct AttachAttributes {
    target_fd: u32,
    program_fd: u32,
    attach_type: u32,
    flags: u32,
}

impl Program {
    pub fn load(hook: Hook, instructions: &[Instruction]) -> Result<Program, LoadError> {
        let mut encoded = Vec::new();
        for instruction in instructions {
            encoded.extend_from_slice(&instruction.to_ne_bytes());
        }
        let unlogged = match load(hook, &encoded, &mut []) {
            Ok(fd) => return Ok(Program { hook, fd }),
            Err(error) => error,
        };
        let mut log = vec![0; VERIFIER_LOG_BYTES];
        match load(hook, &encoded, &mut log) {
            Ok(fd) => Ok(Program { hook, fd }),
            Err(error) => {
                // A program longer than the log ends in ENOSPC, which would hide the reason.
                let is_log_full = error.raw_os_error() == Some(libc::ENOSPC);
                let source = if is_log_full { unlogged } else { error };
                Err(LoadError { hook, source, verifier_log: one_line(&log) })
            }
        }
    }

    /// Replaces what we attached at this hook of this cgroup before. The program stays when `self` is
    /// dropped, and goes with the cgroup.
    pub fn attach(&self, cgroup: BorrowedFd<'_>) -> io::Result<()> {
        let attributes = AttachAttributes {
            target_fd: cgroup.as_raw_fd() as u32,
            program_fd: self.fd.as_raw_fd() as u32,
            attach_type: self.hook.attach_type(),
            flags: BPF_F_ALLOW_OVERRIDE,
        };
        bpf(BPF_PROG_ATTACH, &attributes).map(drop)
    }

    pub fn hook(&self) -> Hook {
        self.hook
    }
}

fn load(hook: Hook, encoded: &[u8], log: &mut [u8]) -> io::Result<OwnedFd> {
    let attributes = LoadAttributes {
        program_type: hook.program_type(),
        instruction_count: (encoded.len() / Instruction::BYTES) as u32,
        instructions: encoded.as_ptr().expose_provenance() as u64,
        license: c"GPL".as_ptr().expose_provenance() as u64,
        log_level: u32::from(!log.is_empty()),
        log_size: log.len() as u32,
        log: if log.is_empty() { 0 } else { log.as_mut_ptr().expose_provenance() as u64 },
        kernel_version: 0,
        flags: 0,
        name: *b"mwan3\0\0\0\0\0\0\0\0\0\0\0",
        device_index: 0,
        attach_type: hook.attach_type(),
    };
    let fd = bpf(BPF_PROG_LOAD, &attributes)?;
    // SAFETY: BPF_PROG_LOAD succeeded, so `fd` is a new descriptor (close-on-exec) that nobody else owns.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

fn bpf<T>(command: c_long, attributes: &T) -> io::Result<i32> {
    // SAFETY: `attributes` is one of the two structs above, whole and initialised (neither has padding);
    // what their pointers point to lives in the caller for the length of the call, and only the log is
    // written to.
    let result = unsafe {
        libc::syscall(
            libc::SYS_bpf as c_long,
            command,
            std::ptr::from_ref(attributes),
            size_of::<T>() as libc::c_uint,
        )
    };
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(result as i32) }
}

fn one_line(log: &[u8]) -> String {
    let text = log.split(|byte| *byte == 0).next().unwrap_or_default();
    let text = String::from_utf8_lossy(text);
    let lines: Vec<&str> = text.lines().collect();
    lines.join(" | ")
}
