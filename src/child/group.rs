//! A child process and all that it starts: one group, ended as one.
//!
//! Decides how it is ended: TERM to the group, KILL after a grace. What the first process leaves behind is killed before its
//! status is taken, while its number still belongs to the group.

use std::io;
#[cfg(target_os = "linux")]
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::process::{Child, ChildStderr, ChildStdin, ChildStdout, Command, ExitStatus};
use std::time::Duration;

#[cfg(unix)]
use rustix::process::{Pid, Signal, kill_process_group};
#[cfg(target_os = "linux")]
use rustix::process::{PidfdFlags, pidfd_open};

use super::until::Until;

/// How long a process may take to end after TERM, and again after KILL.
pub(super) const GRACE: Duration = Duration::from_secs(2);

/// How often a process is looked at where the system does not say when it ends.
#[cfg(not(target_os = "linux"))]
const LOOK: Duration = Duration::from_millis(5);

/// A running child with its group.
#[derive(Debug)]
pub struct Group {
    child: Child,
    reaped: Option<ExitStatus>,
    /// Ready once the process has ended; `None` where the system has no such thing.
    #[cfg(target_os = "linux")]
    ended: Option<OwnedFd>,
}

impl Group {
    /// Starts the program in a group of its own.
    pub(super) fn start(command: &mut Command) -> io::Result<Self> {
        #[cfg(unix)]
        std::os::unix::process::CommandExt::process_group(command, 0);
        let child = command.spawn()?;
        #[cfg(target_os = "linux")]
        let ended = pid(&child).and_then(|pid| pidfd_open(pid, PidfdFlags::empty()).ok());
        Ok(Group {
            child,
            reaped: None,
            #[cfg(target_os = "linux")]
            ended,
        })
    }

    /// The number of the process.
    #[must_use]
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    pub(super) fn pipes(&mut self) -> (Option<ChildStdin>, Option<ChildStdout>, Option<ChildStderr>) {
        (self.child.stdin.take(), self.child.stdout.take(), self.child.stderr.take())
    }

    /// Ready to be read once the process has ended, where the system has such a thing.
    #[cfg(target_os = "linux")]
    #[must_use]
    pub fn ended(&self) -> Option<BorrowedFd<'_>> {
        self.ended.as_ref().map(AsFd::as_fd)
    }

    /// Waits for its end; `None` if it has not ended in time. What it has started and left behind is killed then.
    pub fn wait_for(&mut self, limit: Duration) -> Option<ExitStatus> {
        if self.reaped.is_none() && self.has_ended(Until::after(limit)) {
            self.signal_group(true);
            self.reaped = self.child.try_wait().ok().flatten();
        }
        self.reaped
    }

    #[cfg(target_os = "linux")]
    fn has_ended(&mut self, until: Until) -> bool {
        match self.ended().map(|ended| super::until::wait([ended], until)) {
            Some(Ok([ended])) => ended,
            // Where there is nothing to wait for, or the wait fails, a look has to do.
            Some(Err(_)) | None => self.looks_ended(),
        }
    }

    #[cfg(not(target_os = "linux"))]
    fn has_ended(&mut self, until: Until) -> bool {
        while !self.looks_ended() {
            if until.left().is_zero() {
                return false;
            }
            std::thread::park_timeout(LOOK);
        }
        true
    }

    /// Takes its status where it has ended, which is the only way to ask on other systems.
    fn looks_ended(&mut self) -> bool {
        self.reaped = self.child.try_wait().ok().flatten();
        self.reaped.is_some()
    }

    /// Ends the process and its group.
    pub fn end(&mut self) {
        if self.wait_for(Duration::ZERO).is_none() {
            self.signal_group(false);
            if self.wait_for(GRACE).is_none() {
                self.signal_group(true);
                self.wait_for(GRACE);
            }
        }
    }

    /// The child leads its group; a group that is gone already needs no signal. Once the status was taken, the number may be
    /// anybody's.
    #[cfg(unix)]
    fn signal_group(&self, kills: bool) {
        if let Some(pid) = pid(&self.child).filter(|_| self.reaped.is_none()) {
            let _ = kill_process_group(pid, if kills { Signal::KILL } else { Signal::TERM });
        }
    }

    #[cfg(not(unix))]
    fn signal_group(&mut self, _kills: bool) {
        if self.reaped.is_none() {
            // One that ended already cannot be killed, which is as well.
            let _ = self.child.kill();
        }
    }
}

#[cfg(unix)]
fn pid(child: &Child) -> Option<Pid> {
    i32::try_from(child.id()).ok().and_then(Pid::from_raw)
}

impl Drop for Group {
    fn drop(&mut self) {
        self.end();
        #[cfg(unix)]
        if self.reaped.is_none() {
            // Stuck in the kernel: somebody has to take its status when it comes out.
            let pid = pid(&self.child);
            std::thread::spawn(move || {
                pid.map(|pid| rustix::process::waitpid(Some(pid), rustix::process::WaitOptions::empty()))
            });
        }
    }
}
