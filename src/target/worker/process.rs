//! A child process that answers: started, asked with a deadline, ended and reaped.
//!
//! Decides how long is waited for what, and how a process is ended: TERM to its group, KILL after a
//! grace. It ends by itself when the harness does: its stdin closes, and the kernel kills it.

use std::ffi::OsStr;
use std::io::{self, Read, Write};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStderr, ChildStdin, ChildStdout, Command, ExitStatus, Stdio};
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Pid, PidfdFlags, Signal, WaitOptions, kill_process_group, pidfd_open, waitpid};

use super::super::lost::{End, Lost, ProtocolError};
use super::protocol::{Answer, Ask, LONGEST_ANSWER, LONGEST_ASK};

/// How much of stderr is kept, in bytes from its end.
const TAIL: usize = 4 << 10;

/// How long a process may take to end after TERM, and again after KILL.
const GRACE: Duration = Duration::from_secs(2);

/// How much is read at once.
const CHUNK: usize = 16 << 10;

/// How often stderr is read after the end: what a pipe holds. A descendant that left the group may write for ever.
const LAST_READS: usize = (1 << 20) / TAIL;

static PROGRAM: OnceLock<PathBuf> = OnceLock::new();

/// Names the program that serves targets; without it, this one does. For tests, whose program is another.
/// The first call decides.
pub fn use_program(path: &Path) {
    PROGRAM.get_or_init(|| path.to_owned());
}

pub(in crate::target) fn program() -> &'static Path {
    // The running program, even where its file has been replaced since.
    PROGRAM.get().map_or(Path::new("/proc/self/exe"), PathBuf::as_path)
}

/// A point in time until which is waited.
#[derive(Debug, Clone, Copy)]
struct Until(Instant);

impl Until {
    #[expect(clippy::disallowed_methods, reason = "the deadline of a call to another process")]
    fn after(limit: Duration) -> Self {
        let now = Instant::now();
        Until(now.checked_add(limit).unwrap_or(now))
    }

    #[expect(clippy::disallowed_methods, reason = "the deadline of a call to another process")]
    fn left(self) -> Duration {
        self.0.saturating_duration_since(Instant::now())
    }
}

/// Waits until one of the descriptors is ready; answers which, all `false` if the time is up.
fn wait<const N: usize>(on: [BorrowedFd<'_>; N], until: Until) -> io::Result<[bool; N]> {
    wait_polled(on.map(|fd| PollFd::from_borrowed_fd(fd, PollFlags::IN)), until)
}

fn wait_polled<const N: usize>(mut polled: [PollFd<'_>; N], until: Until) -> io::Result<[bool; N]> {
    loop {
        let left = until.left();
        let timeout =
            Timespec { tv_sec: i64::try_from(left.as_secs()).unwrap_or(i64::MAX), tv_nsec: left.subsec_nanos().into() };
        match poll(&mut polled, Some(&timeout)) {
            Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Err(error.into()),
            Ok(_) => return Ok(std::array::from_fn(|i| !polled[i].revents().is_empty())),
        }
    }
}

/// A running process and what was read from it.
#[derive(Debug)]
pub(super) struct Process {
    child: Child,
    /// `None` once the process is to go.
    stdin: Option<ChildStdin>,
    stdout: ChildStdout,
    /// `None` once it is closed.
    stderr: Option<ChildStderr>,
    unread: Vec<u8>,
    tail: Vec<u8>,
    reaped: Option<ExitStatus>,
}

impl Process {
    /// Starts a program in a process group of its own.
    pub(super) fn start(arguments: &[impl AsRef<OsStr>]) -> Result<Self, Lost> {
        let failed = |reason: String| Lost::NotStarted { reason };
        let mut child = Command::new(program())
            .arg0("poolproof")
            .args(arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .process_group(0)
            .spawn()
            .map_err(|e| failed(format!("{}: {e}", program().display())))?;
        let (stdin, Some(stdout), stderr) = (child.stdin.take(), child.stdout.take(), child.stderr.take()) else {
            return Err(failed("its pipes are missing".to_owned()));
        };
        let process = Process { child, stdin, stdout, stderr, unread: Vec::new(), tail: Vec::new(), reaped: None };
        // Who answers and does not read must not hold the harness up when the pipe is full.
        let unblocked = process.stdin.as_ref().map_or(Ok(()), |stdin| rustix::io::ioctl_fionbio(stdin, true));
        unblocked.map(|()| process).map_err(|e| failed(e.to_string()))
    }

    /// Asks one thing and waits for the answer. After an error the process has ended.
    pub(super) fn ask(&mut self, ask: &Ask<'_>, limit: Duration) -> Result<Answer, Lost> {
        let mut line = serde_json::to_vec(ask)
            .map_err(|e| self.broke(ProtocolError::Misread { reason: format!("{}: {e}", ask.name()) }))?;
        if line.len() > LONGEST_ASK {
            return Err(self.broke(ProtocolError::TooLong { bytes: line.len() }));
        }
        line.push(b'\n');
        let until = Until::after(limit);
        self.tell(&line, until, limit)?;
        let line = self.line(until, limit)?;
        Answer::read(&line).map_err(|reason| self.broke(reason))
    }

    /// Writes a line.
    fn tell(&mut self, mut line: &[u8], until: Until, limit: Duration) -> Result<(), Lost> {
        while !line.is_empty() {
            // Where nobody reads any more, the process has ended, or closed its input to do so.
            let Some(stdin) = &mut self.stdin else { return Err(self.gone()) };
            match stdin.write(line) {
                Ok(n) => line = line.get(n..).unwrap_or_default(),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    match wait_polled([PollFd::from_borrowed_fd(stdin.as_fd(), PollFlags::OUT)], until) {
                        Ok([true]) => {}
                        Ok([false]) => return Err(self.late(limit)),
                        Err(_) => return Err(self.gone()),
                    }
                }
                Err(_) => return Err(self.gone()),
            }
        }
        Ok(())
    }

    /// The next line that it writes, without its end.
    fn line(&mut self, until: Until, limit: Duration) -> Result<Vec<u8>, Lost> {
        let mut searched = 0;
        let mut was_late = false;
        loop {
            if let Some(at) = self.unread[searched..].iter().position(|&b| b == b'\n') {
                let rest = self.unread.split_off(searched + at + 1);
                let mut line = std::mem::replace(&mut self.unread, rest);
                line.pop();
                return Ok(line);
            }
            searched = self.unread.len();
            if searched > LONGEST_ANSWER {
                return Err(self.broke(ProtocolError::Oversized { limit: LONGEST_ANSWER }));
            }
            // One that never stops writing must not hold the harness up either.
            if was_late {
                return Err(self.late(limit));
            }
            was_late = until.left().is_zero();
            let ready = match &self.stderr {
                Some(stderr) => wait([self.stdout.as_fd(), stderr.as_fd()], until),
                None => wait([self.stdout.as_fd()], until).map(|[out]| [out, false]),
            };
            match ready {
                // A pipe of ours that cannot be waited for is as good as closed.
                Err(_) => return Err(self.gone()),
                Ok([false, false]) => return Err(self.late(limit)),
                Ok([out, err]) => {
                    if err {
                        self.read_stderr();
                    }
                    if out && !self.read_stdout() {
                        return Err(self.gone());
                    }
                }
            }
        }
    }

    fn late(&mut self, limit: Duration) -> Lost {
        Lost::Deadline { limit, stderr: self.end() }
    }

    /// Reads what is there; `false` once there will be no more.
    fn read_stdout(&mut self) -> bool {
        let before = self.unread.len();
        self.unread.resize(before + CHUNK, 0);
        let read = self.stdout.read(&mut self.unread[before..]);
        self.unread.truncate(before + read.as_ref().map_or(0, |n| *n));
        match read {
            Ok(n) => n > 0,
            Err(error) => error.kind() == io::ErrorKind::Interrupted,
        }
    }

    fn read_stderr(&mut self) {
        let Some(stderr) = &mut self.stderr else { return };
        let mut chunk = [0; TAIL];
        match stderr.read(&mut chunk) {
            Ok(0) => self.stderr = None,
            Ok(n) => {
                self.tail.extend_from_slice(&chunk[..n]);
                self.tail.drain(..self.tail.len().saturating_sub(TAIL));
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(_) => self.stderr = None,
        }
    }

    /// It wrote its last: how did it end?
    fn gone(&mut self) -> Lost {
        match self.wait_for(GRACE) {
            Some(status) => {
                let end = match (status.code(), status.signal()) {
                    (Some(code), _) => End::Code(code),
                    (None, Some(signal)) => End::Signal(signal),
                    (None, None) => End::Unknown,
                };
                Lost::Exited { end, stderr: self.end() }
            }
            None => self.broke(ProtocolError::Closed),
        }
    }

    pub(super) fn broke(&mut self, reason: ProtocolError) -> Lost {
        Lost::Protocol { reason, stderr: self.end() }
    }

    /// Waits for its end; `None` if it has not ended in time.
    fn wait_for(&mut self, limit: Duration) -> Option<ExitStatus> {
        if self.reaped.is_none() {
            if let Some(Ok(pidfd)) = self.pid().map(|pid| pidfd_open(pid, PidfdFlags::empty())) {
                // Where the wait fails, the look that follows tells all there is to know.
                let _ = wait([pidfd.as_fd()], Until::after(limit));
            }
            self.reaped = self.child.try_wait().ok().flatten();
        }
        self.reaped
    }

    fn pid(&self) -> Option<Pid> {
        i32::try_from(self.child.id()).ok().and_then(Pid::from_raw)
    }

    fn signal(&self, signal: Signal) {
        // The child leads its group; one that is gone already needs no signal.
        if let Some(pid) = self.pid() {
            let _ = kill_process_group(pid, signal);
        }
    }

    /// Ends the process and its group, and answers the end of its stderr.
    pub(super) fn end(&mut self) -> String {
        if self.wait_for(Duration::ZERO).is_none() {
            self.signal(Signal::TERM);
            if self.wait_for(GRACE).is_none() {
                self.signal(Signal::KILL);
                self.wait_for(GRACE);
            }
        }
        let now = Until::after(Duration::ZERO);
        for _ in 0..LAST_READS {
            let Some(Ok([true])) = self.stderr.as_ref().map(|stderr| wait([stderr.as_fd()], now)) else { break };
            self.read_stderr();
        }
        String::from_utf8_lossy(&self.tail).trim().to_owned()
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // It ends by itself when nothing more can be asked.
        self.stdin = None;
        if self.wait_for(GRACE).is_none() {
            self.end();
        }
        if self.reaped.is_none() {
            // Stuck in the kernel: somebody has to take its status when it comes out.
            let pid = self.pid();
            std::thread::spawn(move || pid.map(|pid| waitpid(Some(pid), WaitOptions::empty())));
        }
    }
}
