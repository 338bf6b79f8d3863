//! Finished commands and what they cost. Child processes and peak memory are seen by tracing a run: exact,
//! and without privileges.

use std::fs;
use std::io;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::process::{Child, Command, ExitStatus};
use std::time::{Duration, Instant};

/// One run to its end.
#[derive(Clone, Copy, Debug)]
pub struct Cost {
    pub wall: Duration,
    /// User and system time, of children that were waited for as well.
    pub cpu: Duration,
}

#[derive(Clone, Copy, Debug, Default)]
pub struct Inspection {
    /// Processes and threads begun.
    pub children: u32,
    pub peak_rss_kib: u64,
}

/// Runs the command; it must succeed.
pub fn measure(command: &mut Command) -> io::Result<Cost> {
    let begun = Instant::now();
    let child = command.spawn()?;
    let mut status = 0;
    // SAFETY: an all-zero rusage is a valid value of that plain C struct.
    let mut usage: libc::rusage = unsafe { std::mem::zeroed() };
    // SAFETY: both pointers are to live, writable values; the id is that of our own child, not yet waited for.
    let waited = unsafe { libc::wait4(child.id() as i32, &raw mut status, 0, &raw mut usage) };
    let wall = begun.elapsed();
    if waited < 0 {
        return Err(io::Error::last_os_error());
    }
    check(command, ExitStatus::from_raw(status))?;
    Ok(Cost { wall, cpu: time_of(usage.ru_utime) + time_of(usage.ru_stime) })
}

/// Runs the command traced, which makes it slower.
pub fn inspect(command: &mut Command) -> io::Result<Inspection> {
    // SAFETY: the hook makes one async-signal-safe system call.
    unsafe {
        command.pre_exec(|| match libc::ptrace(libc::PTRACE_TRACEME, 0, 0, 0) {
            -1 => Err(io::Error::last_os_error()),
            _ => Ok(()),
        });
    }
    let leader = command.spawn()?.id() as i32;
    let mut found = Inspection::default();
    let mut status = wait_for_any(leader)?.1;
    let options = libc::PTRACE_O_TRACEFORK
        | libc::PTRACE_O_TRACEVFORK
        | libc::PTRACE_O_TRACECLONE
        | libc::PTRACE_O_TRACEEXIT
        | libc::PTRACE_O_EXITKILL;
    trace(libc::PTRACE_SETOPTIONS, leader, options)?;
    trace(libc::PTRACE_CONT, leader, 0)?;
    while let Ok((id, stopped)) = wait_for_any(-1) {
        if !libc::WIFSTOPPED(stopped) {
            if id == leader {
                status = stopped;
                break;
            }
            continue;
        }
        let mut pass_on = 0;
        match (libc::WSTOPSIG(stopped), stopped >> 16) {
            (libc::SIGTRAP, libc::PTRACE_EVENT_EXIT) if id == leader => found.peak_rss_kib = peak_rss_kib(id),
            (libc::SIGTRAP, libc::PTRACE_EVENT_EXIT) => {}
            (libc::SIGTRAP, event) if event != 0 => found.children += 1,
            // How a traced child begins.
            (libc::SIGSTOP, _) => {}
            (signal, _) => pass_on = signal,
        }
        trace(libc::PTRACE_CONT, id, pass_on)?;
    }
    check(command, ExitStatus::from_raw(status))?;
    Ok(found)
}

/// The calling thread's CPU time so far.
pub fn thread_cpu() -> Duration {
    // SAFETY: an all-zero timespec is a valid value of that plain C struct.
    let mut time: libc::timespec = unsafe { std::mem::zeroed() };
    // SAFETY: the pointer is to a live, writable timespec.
    unsafe { libc::clock_gettime(libc::CLOCK_THREAD_CPUTIME_ID, &raw mut time) };
    Duration::new(time.tv_sec as u64, time.tv_nsec as u32)
}

/// Keeps the calling thread where it is: what the kernel does on its behalf then happens on its time.
pub fn stay_on_one_cpu() -> io::Result<()> {
    // SAFETY: an all-zero cpu_set_t is the empty set; the CPU's number is the kernel's own.
    let failed = unsafe {
        let mut set: libc::cpu_set_t = std::mem::zeroed();
        libc::CPU_SET(libc::sched_getcpu().max(0) as usize, &mut set);
        libc::sched_setaffinity(0, size_of::<libc::cpu_set_t>(), &raw const set)
    };
    if failed < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

/// A child that is asked to end, and waited for, when this is dropped.
pub struct Background(pub Child);

impl Drop for Background {
    fn drop(&mut self) {
        // SAFETY: kill takes no pointers; the id is that of a child we have not waited for yet.
        unsafe { libc::kill(self.0.id() as i32, libc::SIGTERM) };
        let _ = self.0.wait();
    }
}

/// A number of /proc/ID/status, such as VmHWM, in KiB.
pub fn status_kib(id: i32, name: &str) -> u64 {
    let text = fs::read_to_string(format!("/proc/{id}/status")).unwrap_or_default();
    let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
    line.and_then(|rest| rest.split_whitespace().next()?.parse().ok()).unwrap_or(0)
}

fn peak_rss_kib(id: i32) -> u64 {
    status_kib(id, "VmHWM")
}

fn check(command: &Command, status: ExitStatus) -> io::Result<()> {
    if status.success() { Ok(()) } else { Err(io::Error::other(format!("{command:?}: {status}"))) }
}

fn wait_for_any(id: i32) -> io::Result<(i32, i32)> {
    let mut status = 0;
    // SAFETY: the pointer is to a live, writable integer.
    match unsafe { libc::waitpid(id, &raw mut status, libc::__WALL) } {
        -1 => Err(io::Error::last_os_error()),
        id => Ok((id, status)),
    }
}

fn trace(request: u32, id: i32, data: i32) -> io::Result<()> {
    // SAFETY: these requests take a number, no pointer, and the id of a process that we trace.
    match unsafe { libc::ptrace(request, id, 0, libc::c_long::from(data)) } {
        -1 => Err(io::Error::last_os_error()),
        _ => Ok(()),
    }
}

fn time_of(time: libc::timeval) -> Duration {
    Duration::from_secs(time.tv_sec as u64) + Duration::from_micros(time.tv_usec as u64)
}
