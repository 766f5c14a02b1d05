//! A child process that answers: asked with a deadline, and what it printed when it is lost.
//!
//! Decides how long is waited for what. Questions and answers go over two descriptors of their own (`child::Wired`); how a
//! process is started and ended is `child`'s. It ends by itself when the harness does: its questions end.

use std::collections::BTreeSet;
use std::io::{self, PipeReader, PipeWriter, Read, Write};
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};
use std::process::ExitStatus;
use std::sync::{Mutex, OnceLock, PoisonError};
use std::time::Duration;

use super::super::lost::{Lost, ProtocolError};
use super::eager::Eager;
use super::framing::{Framing, Next};
use super::protocol::{Answer, Ask, LONGEST_ANSWER, LONGEST_ASK};
use crate::child::{Group, Program, Until, Wired, wait, wait_to_write};
use crate::op::RefusalClass;

/// How much is kept of what it prints, in bytes from its end.
const TAIL: usize = 4 << 10;

/// How long a process may take to end by itself.
const GRACE: Duration = Duration::from_secs(2);

/// How much is read at once.
const CHUNK: usize = 16 << 10;

/// How often that is read after the end: what a pipe holds. A descendant that left the group may write for ever.
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

/// This program, with these arguments.
pub(in crate::target) fn own(arguments: impl IntoIterator<Item = String>) -> Program {
    Program { called: Some("poolproof"), ..Program::new(program(), arguments) }
}

/// Why what is asked is not read.
enum Unread {
    /// Nobody has come to it.
    ForNow,
    /// The process has ended, or closed its input to do so.
    ForGood,
}

/// A running process and what was read from it.
#[derive(Debug)]
pub(in crate::target) struct Process {
    group: Group,
    /// The name of the target, where it is somebody else's.
    speaks_as: Option<String>,
    /// `None` once the process is to go.
    questions: Option<PipeWriter>,
    answers: PipeReader,
    /// What it prints, on stdout and stderr; `None` once both are closed.
    prints: Option<PipeReader>,
    /// How it is spoken to, since its hello.
    framing: Framing,
    eager: Eager,
    unread: Vec<u8>,
    /// What is asked, and what is read at once: kept, for their room.
    asked: Vec<u8>,
    chunk: Box<[u8]>,
    tail: Vec<u8>,
    /// The longest message that is read of it, in bytes.
    longest: usize,
}

impl Process {
    /// Starts a program that is asked and answers.
    pub(in crate::target) fn start(program: &Program) -> Result<Self, Lost> {
        let failed = |e: io::Error| Lost::NotStarted { reason: format!("{}: {e}", program.path.display()) };
        let Wired { group, questions, answers, prints } = Wired::start(program).map_err(failed)?;
        Ok(Process {
            group,
            speaks_as: None,
            questions: Some(questions),
            answers,
            prints: Some(prints),
            framing: Framing::Lines,
            eager: Eager::default(),
            unread: Vec::new(),
            asked: Vec::new(),
            chunk: vec![0; CHUNK].into(),
            tail: Vec::new(),
            longest: LONGEST_ANSWER,
        })
    }

    /// The number of the process.
    pub(super) fn id(&self) -> u32 {
        self.group.id()
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
        self.tell_all(std::slice::from_ref(ask), limit)?;
        self.hear(limit, unstated)
    }

    /// Waits for the answer to the earliest question that has none.
    pub(super) fn hear(&mut self, limit: Duration, unstated: Option<RefusalClass>) -> Result<Answer, Lost> {
        let message = self.message(Until::after(limit), limit)?;
        let (answer, unknown) = self.read(&message, unstated)?;
        for path in unknown {
            let path: Vec<&str> = path.split('.').map(|p| if p.parse::<usize>().is_ok() { "*" } else { p }).collect();
            self.warn_once(&format!("nobody knows the field `{}` of its answers", path.join(".")));
        }
        Ok(answer)
    }

    /// Reads an answer, and the fields of it that nobody knows.
    pub(super) fn read(
        &mut self,
        message: &[u8],
        unstated: Option<RefusalClass>,
    ) -> Result<(Answer, Vec<String>), Lost> {
        let mut unknown = Vec::new();
        let read = Answer::read_noting(self.framing, message, unstated, |path| unknown.push(path));
        read.map(|answer| (answer, unknown)).map_err(|reason| self.broke(reason))
    }

    /// From now on messages go to and fro in this form.
    pub(super) fn turn_to(&mut self, framing: Framing) {
        self.framing = framing;
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
    pub(super) fn ask_for_message(&mut self, ask: &Ask<'_>, limit: Duration) -> Result<Vec<u8>, Lost> {
        self.tell_all(std::slice::from_ref(ask), limit)?;
        self.message(Until::after(limit), limit)
    }

    /// Asks one thing after another, and waits for no answer. All of them together fit into an empty pipe.
    pub(super) fn tell_all(&mut self, asks: &[Ask<'_>], limit: Duration) -> Result<(), Lost> {
        let asked = self.written(asks)?;
        self.tell(&asked, Until::after(limit), limit)?;
        self.asked = asked;
        Ok(())
    }

    /// The same while answers are on their way; `false` where it can be told nothing more. What it has answered comes first: who
    /// hears that to its end hears how it ended.
    pub(super) fn tell_more(&mut self, asks: &[Ask<'_>], limit: Duration) -> Result<bool, Lost> {
        let asked = self.written(asks)?;
        let is_told = self.write(&asked, Until::after(limit)).is_ok();
        self.asked = asked;
        Ok(is_told)
    }

    /// Questions as they are written.
    fn written(&mut self, asks: &[Ask<'_>]) -> Result<Vec<u8>, Lost> {
        let mut asked = std::mem::take(&mut self.asked);
        asked.clear();
        for ask in asks {
            if let Err(reason) = self.framing.append(ask, &mut asked) {
                return Err(self.broke(ProtocolError::Misread { reason: format!("{}: {reason}", ask.name()) }));
            }
        }
        if asked.len() > LONGEST_ASK {
            return Err(self.broke(ProtocolError::TooLong { bytes: asked.len() }));
        }
        Ok(asked)
    }

    /// Takes lines of any length from now on: it is this program.
    pub(in crate::target) fn trust(mut self) -> Self {
        self.longest = usize::MAX;
        self
    }

    /// Writes what is asked, whole lines, and waits for a line that is not empty: an empty one says that it is at work still.
    /// What was printed before is forgotten. After an error the process has ended.
    pub(in crate::target) fn exchange(&mut self, asked: &[u8], limit: Duration) -> Result<Vec<u8>, Lost> {
        self.tail.clear();
        self.tell(asked, Until::after(limit), limit)?;
        loop {
            let line = self.message(Until::after(limit), limit)?;
            if !line.is_empty() {
                return Ok(line);
            }
        }
    }

    /// The end of what it has printed so far.
    pub(in crate::target) fn said(&mut self) -> String {
        let now = Until::after(Duration::ZERO);
        for _ in 0..LAST_READS {
            let Some(Ok([true])) = self.prints.as_ref().map(|prints| wait([prints.as_fd()], now)) else { break };
            self.read_prints();
        }
        String::from_utf8_lossy(&self.tail).trim().to_owned()
    }

    /// Lets it see that nothing more is asked, and says how it ended; `None` where it had to be ended.
    pub(super) fn dismiss(mut self) -> Option<ExitStatus> {
        self.questions = None;
        self.group.wait_for(GRACE)
    }

    /// Writes whole messages. Where it cannot, the process is ended.
    fn tell(&mut self, messages: &[u8], until: Until, limit: Duration) -> Result<(), Lost> {
        self.write(messages, until).map_err(|unread| match unread {
            Unread::ForNow => self.late(limit),
            Unread::ForGood => self.gone(),
        })
    }

    fn write(&mut self, mut messages: &[u8], until: Until) -> Result<(), Unread> {
        while !messages.is_empty() {
            let questions = self.questions.as_mut().ok_or(Unread::ForGood)?;
            match questions.write(messages) {
                Ok(n) => messages = messages.get(n..).unwrap_or_default(),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    match wait_to_write(questions.as_fd(), until) {
                        Ok(true) => {}
                        Ok(false) => return Err(Unread::ForNow),
                        Err(_) => return Err(Unread::ForGood),
                    }
                }
                Err(_) => return Err(Unread::ForGood),
            }
        }
        Ok(())
    }

    /// The next message that it writes, without what tells it from others.
    fn message(&mut self, until: Until, limit: Duration) -> Result<Vec<u8>, Lost> {
        let mut searched = 0;
        let mut was_late = false;
        loop {
            match self.framing.next(&self.unread, searched, self.longest) {
                Next::Whole { begins, length, ends } => {
                    let message = self.unread[begins..begins + length].to_vec();
                    self.unread.drain(..ends);
                    return Ok(message);
                }
                Next::TooLong => {
                    let noun = self.framing.noun();
                    return Err(self.broke(ProtocolError::Oversized { noun, limit: self.longest }));
                }
                Next::Partial => searched = self.unread.len(),
            }
            // One that never stops writing must not hold the harness up either.
            if was_late {
                return Err(self.late(limit));
            }
            was_late = until.left().is_zero();
            // What the process has started may hold its pipes open after its end.
            if self.eager.look(self.answers.as_fd()) {
                if !self.read_answers() {
                    return Err(self.gone());
                }
                continue;
            }
            let end = self.group.ended().unwrap_or(self.answers.as_fd());
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
        match self.answers.read(&mut self.chunk) {
            Ok(n) => {
                self.unread.extend_from_slice(&self.chunk[..n]);
                n > 0
            }
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
        match self.group.wait_for(GRACE) {
            Some(status) => Lost::Exited { end: status.into(), stderr: self.end() },
            None => self.broke(ProtocolError::Closed),
        }
    }

    pub(super) fn broke(&mut self, reason: ProtocolError) -> Lost {
        Lost::Protocol { reason, stderr: self.end() }
    }

    /// Ends the process and its group, and answers the end of what it printed.
    pub(super) fn end(&mut self) -> String {
        self.group.end();
        self.said()
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // It ends by itself when nothing more can be asked; where it does not, its group is ended.
        self.questions = None;
        self.group.wait_for(GRACE);
    }
}
