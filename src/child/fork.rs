//! Copies of this process: made with the state that it has, watched, and left without a trace; and memory that both share.
//!
//! Decides that only a process of one thread is copied, and that a copy never returns into what the original was doing.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::MetadataExt;
use std::os::unix::process::ExitStatusExt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::process::ExitStatus;
use std::sync::atomic::AtomicU64;

use rustix::process::{Pid, PidfdFlags, Signal, WaitOptions, kill_process, pidfd_open, waitpid};

/// How many numbers a copy shares with the process that made it.
pub const SHARED: usize = 8;

/// Numbers that a process and its copies see alike.
pub type Shared = [AtomicU64; SHARED];

/// How a copy ends that panicked, where nobody has caught it.
const PANICKED: i32 = 101;

/// Numbers that this process and the copies it makes from now on share; all 0, and there for as long as the process.
///
/// # Errors
/// Whatever the system answers.
pub fn shared() -> io::Result<&'static Shared> {
    let size = size_of::<Shared>();
    // SAFETY: a new mapping at an address of the system's choice touches no memory that anybody has.
    let mapped = unsafe {
        let access = libc::PROT_READ | libc::PROT_WRITE;
        libc::mmap(std::ptr::null_mut(), size, access, libc::MAP_SHARED | libc::MAP_ANONYMOUS, -1, 0)
    };
    if mapped == libc::MAP_FAILED {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the mapping has room for the numbers, starts at a page, holds zeroes, which are numbers, is never unmapped, and
    // is only ever reached through this shared reference to atomics.
    Ok(unsafe { &*mapped.cast::<Shared>() })
}

/// A copy of this process that has not been waited for.
#[derive(Debug)]
pub struct Forked {
    pid: Pid,
    ended: OwnedFd,
    reaped: bool,
}

impl Forked {
    /// Makes a copy of this process that does `body` and ends with its answer as its exit code: nothing that this process had
    /// under way goes on in it, and no buffer is written out twice.
    ///
    /// # Errors
    /// The process has other threads, or whatever the system answers.
    pub fn running(body: impl FnOnce() -> u8) -> io::Result<Self> {
        // Two links of its own, and one a thread.
        if std::fs::metadata("/proc/self/task")?.nlink() != 3 {
            return Err(io::Error::other("a process with other threads cannot be copied"));
        }
        // SAFETY: no other thread can hold a lock or be half through a change that the copy would see for ever.
        let pid = unsafe { libc::fork() };
        if pid == 0 {
            let code = catch_unwind(AssertUnwindSafe(body)).map_or(PANICKED, i32::from);
            // SAFETY: it ends the process at once and touches no memory.
            unsafe { libc::_exit(code) }
        }
        let pid = Pid::from_raw(pid).filter(|_| pid > 0).ok_or_else(io::Error::last_os_error)?;
        match pidfd_open(pid, PidfdFlags::empty()) {
            Ok(ended) => Ok(Forked { pid, ended, reaped: false }),
            Err(error) => {
                let _ = kill_process(pid, Signal::KILL).map(|()| waitpid(Some(pid), WaitOptions::empty()));
                Err(error.into())
            }
        }
    }

    /// Ready to be read once it has ended.
    #[must_use]
    pub fn ended(&self) -> BorrowedFd<'_> {
        self.ended.as_fd()
    }

    /// Ends it if it has not ended, and says how it did.
    ///
    /// # Errors
    /// Whatever the system answers.
    pub fn end(mut self) -> io::Result<ExitStatus> {
        self.take()
    }

    fn take(&mut self) -> io::Result<ExitStatus> {
        self.reaped = true;
        // Until it is waited for, the number is its own; one that has ended is not changed by this.
        let _ = kill_process(self.pid, Signal::KILL);
        loop {
            match waitpid(Some(self.pid), WaitOptions::empty()) {
                Err(rustix::io::Errno::INTR) => {}
                Err(error) => return Err(error.into()),
                Ok(status) => {
                    let silent = || io::Error::other("the system does not say how a copy ended");
                    return status.map(|(_, status)| ExitStatus::from_raw(status.as_raw())).ok_or_else(silent);
                }
            }
        }
    }
}

impl Drop for Forked {
    fn drop(&mut self) {
        if !self.reaped {
            let _ = self.take();
        }
    }
}
