//! A child process that answers: started, asked with a deadline, ended and reaped.
//!
//! Decides how long is waited for what, and how a process is ended: TERM to its group, KILL after a
//! grace. Questions and answers go over two descriptors of their own, so that what a library prints disturbs nobody: stdout
//! goes where stderr does. It ends by itself when the harness does: its questions end.

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::io::{self, PipeReader, PipeWriter, Read, Write};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Mutex, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use command_fds::{CommandFdExt, FdMapping};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Pid, PidfdFlags, Signal, WaitOptions, kill_process_group, pidfd_open, waitpid};

use super::super::lost::{End, Lost, ProtocolError};
use super::protocol::{Answer, Ask, LONGEST_ANSWER, LONGEST_ASK};
use crate::op::RefusalClass;

/// How much is kept of what it prints, in bytes from its end.
const TAIL: usize = 4 << 10;

/// How long a process may take to end after TERM, and again after KILL.
const GRACE: Duration = Duration::from_secs(2);

/// How much is read at once.
const CHUNK: usize = 16 << 10;

/// How often that is read after the end: what a pipe holds. A descendant that left the group may write for ever.
const LAST_READS: usize = (1 << 20) / TAIL;

/// The descriptors of the child on which it reads questions and writes answers.
pub(super) const QUESTIONS: i32 = 3;
pub(super) const ANSWERS: i32 = 4;

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

/// What is started, and with what in its environment besides the harness's own.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Program {
    pub(super) path: PathBuf,
    /// Without the name of the program.
    pub(super) arguments: Vec<OsString>,
    pub(super) environment: Vec<(String, String)>,
}

impl Program {
    /// This program, with these arguments.
    pub(super) fn own(arguments: impl IntoIterator<Item = String>) -> Self {
        let arguments = arguments.into_iter().map(OsString::from).collect();
        Program { path: program().to_owned(), arguments, environment: Vec::new() }
    }
}

/// A running process and what was read from it.
#[derive(Debug)]
pub(super) struct Process {
    child: Child,
    /// The name of the target, where it is somebody else's.
    speaks_as: Option<String>,
    /// `None` once the process is to go.
    questions: Option<PipeWriter>,
    answers: PipeReader,
    /// What it prints, on stdout and stderr; `None` once both are closed.
    prints: Option<PipeReader>,
    unread: Vec<u8>,
    tail: Vec<u8>,
    reaped: Option<ExitStatus>,
    /// Ready once the process has ended; `None` where the system has no such thing.
    ended: Option<OwnedFd>,
}

impl Process {
    /// Starts a program in a process group of its own.
    pub(super) fn start(program: &Program) -> Result<Self, Lost> {
        let failed =
            |e: &dyn std::fmt::Display| Lost::NotStarted { reason: format!("{}: {e}", program.path.display()) };
        Self::try_start(program).map_err(|e| failed(&e))
    }

    fn try_start(program: &Program) -> io::Result<Self> {
        let (asked, questions) = io::pipe()?;
        let (answers, answered) = io::pipe()?;
        let (prints, printed) = io::pipe()?;
        let mapped = [(asked.into(), QUESTIONS), (answered.into(), ANSWERS)];
        let mappings = mapped.map(|(parent_fd, child_fd)| FdMapping { parent_fd, child_fd }).into();
        let mut command = Command::new(&program.path);
        if program.path == self::program() {
            command.arg0("poolproof");
        }
        command
            .args(&program.arguments)
            .envs(program.environment.iter().map(|(name, value)| (name, value)))
            .stdin(Stdio::null())
            .stdout(printed.try_clone()?)
            .stderr(printed)
            .process_group(0)
            .fd_mappings(mappings)
            .map_err(io::Error::other)?;
        let child = command.spawn()?;
        drop(command); // its ends of the pipes with it, or the end of the process would not be seen
        // Who answers and does not read must not hold the harness up when the pipe is full.
        rustix::io::ioctl_fionbio(&questions, true)?;
        let pid = i32::try_from(child.id()).ok().and_then(Pid::from_raw);
        let ended = pid.and_then(|pid| pidfd_open(pid, PidfdFlags::empty()).ok());
        let (questions, prints, unread, tail) = (Some(questions), Some(prints), Vec::new(), Vec::new());
        Ok(Process { child, speaks_as: None, questions, answers, prints, unread, tail, reaped: None, ended })
    }

    /// The number of the process.
    pub(super) fn id(&self) -> u32 {
        self.child.id()
    }

    /// Asks one thing and waits for the answer. After an error the process has ended.
    pub(super) fn ask(&mut self, ask: &Ask<'_>, limit: Duration) -> Result<Answer, Lost> {
        self.ask_of_anybody(ask, limit, None)
    }

    /// The same of somebody who may leave out what a refusal was for.
    pub(super) fn ask_of_anybody(
        &mut self,
        ask: &Ask<'_>,
        limit: Duration,
        unstated: Option<RefusalClass>,
    ) -> Result<Answer, Lost> {
        let line = self.ask_for_line(ask, limit)?;
        let mut unknown = Vec::new();
        let read = match &self.speaks_as {
            Some(_) => Answer::read_noting(&line, unstated, |path| unknown.push(path)),
            None => Answer::read_with(&line, unstated),
        };
        for path in unknown {
            let path: Vec<&str> = path.split('.').map(|p| if p.parse::<usize>().is_ok() { "*" } else { p }).collect();
            self.warn_once(&format!("nobody knows the field `{}` of its answers", path.join(".")));
        }
        read.map_err(|reason| self.broke(reason))
    }

    /// From now on it is told under this name what its answers hold that means nothing.
    pub(super) fn note_unknown(&mut self, name: &str) {
        self.speaks_as = Some(name.to_owned());
    }

    /// Warns of what is passed over in its answers, once for each target.
    pub(super) fn warn_once(&self, what: &str) {
        static TOLD: Mutex<BTreeSet<String>> = Mutex::new(BTreeSet::new());
        let Some(name) = &self.speaks_as else { return };
        let text = format!("{name}: {what}; it is passed over");
        if TOLD.lock().unwrap_or_else(PoisonError::into_inner).insert(text.clone()) {
            log::warn!("{text}");
        }
    }

    /// The same, and the answer as it was written.
    pub(super) fn ask_for_line(&mut self, ask: &Ask<'_>, limit: Duration) -> Result<Vec<u8>, Lost> {
        let mut line = serde_json::to_vec(ask)
            .map_err(|e| self.broke(ProtocolError::Misread { reason: format!("{}: {e}", ask.name()) }))?;
        if line.len() > LONGEST_ASK {
            return Err(self.broke(ProtocolError::TooLong { bytes: line.len() }));
        }
        line.push(b'\n');
        let until = Until::after(limit);
        self.tell(&line, until, limit)?;
        self.line(until, limit)
    }

    /// Lets it see that nothing more is asked, and says how it ended; `None` where it had to be ended.
    pub(super) fn dismiss(mut self) -> Option<ExitStatus> {
        self.questions = None;
        self.wait_for(GRACE)
    }

    /// Writes a line.
    fn tell(&mut self, mut line: &[u8], until: Until, limit: Duration) -> Result<(), Lost> {
        while !line.is_empty() {
            // Where nobody reads any more, the process has ended, or closed its input to do so.
            let Some(questions) = &mut self.questions else { return Err(self.gone()) };
            match questions.write(line) {
                Ok(n) => line = line.get(n..).unwrap_or_default(),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    match wait_polled([PollFd::from_borrowed_fd(questions.as_fd(), PollFlags::OUT)], until) {
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
            // What the process has started may hold its pipes open after its end.
            let end = self.ended.as_ref().map_or(self.answers.as_fd(), AsFd::as_fd);
            let ready = match &self.prints {
                Some(prints) => wait([self.answers.as_fd(), prints.as_fd(), end], until),
                None => wait([self.answers.as_fd(), end], until).map(|[out, end]| [out, false, end]),
            };
            match ready {
                // A pipe of ours that cannot be waited for is as good as closed.
                Err(_) | Ok([false, false, true]) => return Err(self.gone()),
                Ok([false, false, false]) => return Err(self.late(limit)),
                Ok([out, err, _]) => {
                    if err {
                        self.read_prints();
                    }
                    if out && !self.read_answers() {
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
    fn read_answers(&mut self) -> bool {
        let before = self.unread.len();
        self.unread.resize(before + CHUNK, 0);
        let read = self.answers.read(&mut self.unread[before..]);
        self.unread.truncate(before + read.as_ref().map_or(0, |n| *n));
        match read {
            Ok(n) => n > 0,
            Err(error) => error.kind() == io::ErrorKind::Interrupted,
        }
    }

    fn read_prints(&mut self) {
        let Some(prints) = &mut self.prints else { return };
        let mut chunk = [0; TAIL];
        match prints.read(&mut chunk) {
            Ok(0) => self.prints = None,
            Ok(n) => {
                self.tail.extend_from_slice(&chunk[..n]);
                self.tail.drain(..self.tail.len().saturating_sub(TAIL));
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(_) => self.prints = None,
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

    /// Ends the process and its group, and answers the end of what it printed.
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
            let Some(Ok([true])) = self.prints.as_ref().map(|prints| wait([prints.as_fd()], now)) else { break };
            self.read_prints();
        }
        String::from_utf8_lossy(&self.tail).trim().to_owned()
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // It ends by itself when nothing more can be asked.
        self.questions = None;
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
