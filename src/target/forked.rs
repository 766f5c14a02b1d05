//! Targets of which each sequence is judged in a process of its own, next to the allocator: a *server* that is ready is
//! copied for it.
//!
//! Decides which server is asked, how it is started and how long it may take. What is asked and answered, and the judging,
//! are the engine's (`engine::forked`), which reaches them through `ask` and `open`.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::registry::{Isolation, TargetKind};
use super::worker::{Misbehaviour, PROCESS_OPTIONS};
#[cfg(target_os = "linux")]
use super::worker::{Process, own, patience};
use super::{Lost, Target, TargetError, TargetName, Versions};
use crate::op::trace::TraceEvent;
use crate::op::{Misuse, Observation, Op, Reply, Setup, TargetInfo};

/// The hidden subcommand that serves.
const SERVER: &str = "fork-server";

/// How long a server may show no sign of life. It gives one several times a second.
const SILENCE: Duration = Duration::from_secs(60);

/// Servers that a thread keeps: those of a target and of its siblings.
#[cfg(target_os = "linux")]
const SERVERS: usize = 4;

/// What comes back of a question.
#[derive(Debug)]
pub struct Heard {
    /// The answer.
    pub line: Vec<u8>,
    /// The end of what was printed meanwhile.
    pub printed: String,
}

/// How long a call may take, in milliseconds: what a server is told before each question.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Limits {
    deadline: u64,
    /// For what is not to hang: how busy the machine is decides nothing.
    patient: u64,
    /// The operation that goes wrong on request, from 1.
    from: u64,
}

impl Limits {
    /// Of the operation of that number, from 1; 0 is the opening.
    #[must_use]
    pub fn of(self, operation: u64) -> Duration {
        if operation < self.from { self.beside() } else { Duration::from_millis(self.deadline) }
    }

    /// Of what the harness does between two calls.
    #[must_use]
    pub fn beside(self) -> Duration {
        Duration::from_millis(self.patient)
    }
}

/// Asks the server of a target that this thread has, or a new one.
///
/// # Errors
/// A name that makes no sense, and a server that cannot be had or was lost.
#[cfg(target_os = "linux")]
pub fn ask(name: &TargetName, question: &[u8]) -> Result<Heard, TargetError> {
    use std::cell::RefCell;
    thread_local! {
        /// A server never changes threads: it dies with the one that started it. The latest comes last.
        static SERVERS_HERE: RefCell<Vec<(TargetName, Process)>> = const { RefCell::new(Vec::new()) };
    }
    let limits = limits(name)?;
    let failed = |lost| TargetError::Lost { target: name.to_string(), lost };
    let own = |servers: &RefCell<Vec<(TargetName, Process)>>| {
        let mut servers = servers.borrow_mut();
        let at = servers.iter().position(|(served, _)| served == name)?;
        Some(servers.remove(at).1)
    };
    let mut server = match SERVERS_HERE.try_with(own).ok().flatten() {
        Some(server) => server,
        None => start(name, limits)?,
    };
    let mut text = serde_json::to_vec(&limits).unwrap_or_default();
    text.push(b'\n');
    text.extend_from_slice(question);
    text.push(b'\n');
    let line = server.exchange(&text, SILENCE).map_err(failed)?;
    let heard = Heard { line, printed: server.said() };
    // While the thread ends it is not kept.
    let _ = SERVERS_HERE.try_with(|servers| {
        let mut servers = servers.borrow_mut();
        if servers.len() >= SERVERS {
            servers.remove(0);
        }
        servers.push((name.clone(), server));
    });
    Ok(heard)
}

/// As on Linux.
///
/// # Errors
/// Always.
#[cfg(not(target_os = "linux"))]
pub fn ask(name: &TargetName, _: &[u8]) -> Result<Heard, TargetError> {
    Err(TargetError::NeedsLinux { target: name.to_string() })
}

#[cfg(target_os = "linux")]
fn start(name: &TargetName, limits: Limits) -> Result<Process, TargetError> {
    let failed = |lost| TargetError::Lost { target: name.to_string(), lost };
    let mut server = Process::start(&own([SERVER.to_owned(), name.to_string()])).map_err(failed)?.trust();
    let line = server.exchange(&[], limits.of(0)).map_err(failed)?;
    let ready: Result<(), TargetError> = serde_json::from_slice(&line).map_err(|error| {
        let reason = format!("its server is not ready: {error}: {}", String::from_utf8_lossy(&line));
        failed(Lost::NotStarted { reason })
    })?;
    ready.map(|()| server)
}

/// What a server does once, before it is asked anything: whatever its copies would otherwise do each.
///
/// # Errors
/// A name that makes no sense, and whatever the target says.
pub fn prepare(name: &TargetName) -> Result<(), TargetError> {
    let kind = kind(name)?;
    (kind.prepare)(&name.inner(&PROCESS_OPTIONS))
}

/// Builds the target in this process, which is a copy that nothing else is asked of.
///
/// # Errors
/// As `target::open_here`.
pub fn open(name: &TargetName, setup: &Setup) -> Result<Box<dyn Target>, TargetError> {
    kind(name)?;
    let inner = super::open_here(&name.inner(&["deadline", "misbehave"]), setup)?;
    let Some(misbehaviour) = misbehaviour(name)? else { return Ok(inner) };
    misbehaviour.at_operation(0, &mut std::io::sink());
    Ok(Box::new(Misbehaving { inner, misbehaviour, operations: 0 }))
}

#[cfg(target_os = "linux")]
fn limits(name: &TargetName) -> Result<Limits, TargetError> {
    kind(name)?;
    misbehaviour(name)?;
    let patience = patience(name)?;
    let milliseconds = |limit: Duration| u64::try_from(limit.as_millis()).unwrap_or(u64::MAX).max(1);
    let from = patience.misbehaviour.map_or(0, Misbehaviour::at);
    let deadline = patience.with(from);
    Ok(Limits { deadline: milliseconds(deadline), patient: milliseconds(deadline.max(SILENCE)), from })
}

/// The kind of a target whose name says that it is judged so, or whose kind always is.
fn kind(name: &TargetName) -> Result<&'static TargetKind, TargetError> {
    let kind = TargetKind::of(name).ok_or_else(|| super::registry::unknown(name))?;
    if kind.isolation == Isolation::Child {
        let reason = format!("`{}` has a process of its own already: leave `forked:` out", kind.name);
        return Err(TargetError::Unavailable { target: name.to_string(), reason });
    }
    Ok(kind)
}

/// What goes wrong on request. Nothing is answered line by line here, so that answers cannot.
fn misbehaviour(name: &TargetName) -> Result<Option<Misbehaviour>, TargetError> {
    let Some(text) = name.option("misbehave") else { return Ok(None) };
    let text = text.unwrap_or_default();
    let bad = |reason: String| TargetError::BadOption { target: name.to_string(), reason };
    let asked_for: Misbehaviour = text.parse().map_err(|e: super::worker::UnknownMisbehaviour| bad(e.to_string()))?;
    if asked_for.needs_no_answers() {
        return Ok(Some(asked_for));
    }
    Err(bad(format!("`misbehave={text}` is about what a worker answers, and this target is none")))
}

/// A target that goes wrong on request.
struct Misbehaving {
    inner: Box<dyn Target>,
    misbehaviour: Misbehaviour,
    operations: u64,
}

impl Target for Misbehaving {
    fn info(&self) -> &TargetInfo {
        self.inner.info()
    }

    fn versions(&self) -> Versions {
        self.inner.versions()
    }

    fn apply(&mut self, op: &Op) -> Reply {
        self.operations += 1;
        self.misbehaviour.at_operation(self.operations, &mut std::io::sink());
        self.inner.apply(op)
    }

    fn observe(&mut self, into: &mut Observation) {
        self.inner.observe(into);
    }

    fn take_misuse(&mut self, into: &mut Vec<Misuse>) {
        self.inner.take_misuse(into);
    }

    fn take_events(&mut self, into: &mut Vec<Vec<TraceEvent>>) -> bool {
        self.inner.take_events(into)
    }

    fn lost(&self) -> Option<&Lost> {
        self.inner.lost()
    }

    fn close(&mut self) {
        self.inner.close();
    }

    fn poisoned(&self) -> Option<i32> {
        self.inner.poisoned()
    }
}
