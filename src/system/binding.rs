//! `mwan3 use`: holds this process, whatever it executes and all their children to one uplink. A cgroup
//! with BPF programs does it, so it works for static programs as well, and for every thread and child.
//! The source address is not set: the kernel's route lookup, steered from the first packet on, takes the
//! one that belongs to the route. Without a route for the mark (or by the device) in the table that the
//! mark selects, IPv6 says "unreachable", while a bound IPv4 socket takes any address for a neighbour.

mod programs;

use std::ffi::{OsStr, OsString};
use std::io;
use std::net::{Ipv4Addr, UdpSocket};
use std::os::fd::{AsFd, AsRawFd};

use super::bpf::Program;
use super::cgroup::{self, Hierarchy};
use super::failure::{self, Context, failure};
use super::launch::Launch;
use crate::address::Family;

/// Somebody may remove the empty cgroup between our making it and our moving in.
const ATTEMPTS: u32 = 10;

const NOT_FOUND: u8 = 127;
const NOT_EXECUTABLE: u8 = 126;

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Binding {
    /// The name in the configuration; it names the cgroup.
    pub interface: String,
    /// Connections of the other family are refused, but for those to this host.
    pub family: Family,
    /// The layer 3 device of the uplink.
    pub device_index: u32,
    /// With `Steering::Mark` the interface's own mark, else the one that our rules let pass.
    pub mark: u32,
    pub steering: Steering,
}

/// How the sockets are brought to use the uplink.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Steering {
    /// By our own rules and tables, while they are in the kernel. This host (a resolver at 127.0.0.1!) and
    /// the LANs stay within reach, and a device that comes back under a new index does no harm. Should
    /// the rules go, packets that would leave by another uplink are refused.
    Mark {
        /// The device indices of all other uplinks.
        other_uplinks: Vec<u32>,
    },
    /// By binding sockets to the device: needs nothing but a route by it, reaches nothing else.
    Device,
}

/// From here on, all IPv4 and IPv6 sockets that this process or a child of it opens use the uplink.
/// Sockets that are open already keep what they have.
pub fn bind_self(binding: &Binding) -> failure::Result<()> {
    // Before anything is created: where this is not allowed, nothing is left behind.
    let programs = without_memory_limit(|| programs::load(binding))?;
    let hierarchy = Hierarchy::open()?;
    let group = hierarchy.group_of(&binding.interface)?;
    cgroup::remove_empty_siblings(&group);
    for attempt in 1.. {
        match enter(&group, &programs) {
            Ok(()) => break,
            Err(error) if cgroup::is_gone(&error) && attempt < ATTEMPTS => {}
            Err(error) => {
                return Err(error).with_context(|| format!("enter the cgroup {}", group.display()));
            }
        }
    }
    prove_that_it_works(binding)
}

/// Replaces this process by the command: same process id, its own exit status. Returns only where that
/// failed. `environment` is added to what we have.
pub fn exec(program: &OsStr, arguments: &[OsString], environment: &[(&str, String)]) -> io::Error {
    let mut command = Launch::new(program);
    command.words(arguments);
    environment.iter().for_each(|(name, value)| command.set(name, value.as_ref()));
    command.execute()
}

/// What a shell would exit with, had it failed to execute a command for this reason.
pub fn exit_code(error: &io::Error) -> u8 {
    if error.kind() == io::ErrorKind::NotFound { NOT_FOUND } else { NOT_EXECUTABLE }
}

/// Removes the empty cgroups that ended commands left, of all interfaces and network namespaces. Those in
/// use stay: the kernel would not let them go. Returns how many went.
pub fn remove_leftovers() -> usize {
    Hierarchy::in_use().map_or(0, |hierarchy| hierarchy.remove_empty_groups())
}

fn enter(group: &std::path::Path, programs: &[Program]) -> io::Result<()> {
    let directory = cgroup::create(group)?;
    for program in programs {
        program.attach(directory.as_fd()).map_err(|error| match error.raw_os_error() {
            Some(libc::EPERM) => io::Error::new(
                error.kind(),
                format!(
                    "attach at {}: {error}: a cgroup above allows no other program",
                    program.hook().name()
                ),
            ),
            _ => error,
        })?;
    }
    cgroup::move_self_into(group)
}

/// Before Linux 5.15 a mounted net_cls or net_prio hierarchy of the old kind switches the programs off
/// without a word. Better no command than one that uses the wrong uplink.
fn prove_that_it_works(binding: &Binding) -> failure::Result<()> {
    let socket = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0)).context("open a socket in the cgroup")?;
    let has_mark = socket_option(&socket, libc::SO_MARK)? == binding.mark;
    let has_device = binding.steering != Steering::Device
        || socket_option(&socket, libc::SO_BINDTOIFINDEX)? == binding.device_index;
    if !(has_mark && has_device) {
        return Err(failure!(
            "the kernel took the BPF programs, but does not run them: before Linux 5.15, \
             the cgroup v1 controllers net_cls and net_prio prevent it"
        ));
    }
    Ok(())
}

fn socket_option(socket: &UdpSocket, option: libc::c_int) -> io::Result<u32> {
    let mut value: u32 = 0;
    let mut length = size_of::<u32>() as libc::socklen_t;
    // SAFETY: `value` and `length` live through the call, and the kernel writes at most `length` bytes.
    let result = unsafe {
        libc::getsockopt(
            socket.as_raw_fd(),
            libc::SOL_SOCKET,
            option,
            std::ptr::from_mut(&mut value).cast(),
            &mut length,
        )
    };
    if result == 0 { Ok(value) } else { Err(io::Error::last_os_error()) }
}

/// Kernels before 5.11 count BPF programs as locked memory, of which a process usually may have 64 KB. The
/// command gets the limit as it was.
fn without_memory_limit<T>(work: impl FnOnce() -> T) -> T {
    let unlimited = libc::rlimit { rlim_cur: libc::RLIM_INFINITY, rlim_max: libc::RLIM_INFINITY };
    let mut limit = unlimited;
    // SAFETY: the kernel reads one structure and fills in the other; both live through the call. Failure costs
    // nothing: the load would tell.
    let is_raised = unsafe { libc::prlimit(0, libc::RLIMIT_MEMLOCK, &unlimited, &mut limit) } == 0;
    let result = work();
    if is_raised {
        // SAFETY: as above; lowering a limit is always allowed.
        unsafe { libc::prlimit(0, libc::RLIMIT_MEMLOCK, &limit, std::ptr::null_mut()) };
    }
    result
}
