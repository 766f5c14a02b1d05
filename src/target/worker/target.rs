//! The harness's side: a `Target` whose allocator is in another process.
//!
//! Decides when a process is started, kept for the next sequence, and replaced.

use std::borrow::Cow;
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::time::Duration;

use super::super::lost::ProtocolError;
use super::super::registry::Freshness;
use super::super::{Lost, Target, TargetError, TargetName, torch};
use super::ahead::{Ahead, Foretold};
use super::probe;
use super::process::Process;
use super::protocol::{About, Answer, Ask};
use super::recipe::{Patience, Recipe};
use super::supplied::Supplied;
use super::told::Told;
use crate::op::trace::TraceEvent;
use crate::op::{Capability, Observation, Op, RefusalClass, Reply, Setup, TargetInfo, Versions};

/// Processes in a row that could not open a target, after which no more are started on this thread.
const TRIES: u32 = 3;

/// Idle processes that wait for other settings of one target, at most.
const MOST_SETTINGS: usize = 4;

/// What a process serves: a target by its name and, where only another process reads others, settings.
type Key = (String, Option<String>);

/// What this thread has of one target.
#[derive(Debug, Default)]
struct Stock {
    idle: Vec<Process>,
    failures: u32,
    /// How the last of them failed.
    last: String,
    /// Another process would come to nothing either.
    is_hopeless: bool,
    /// Whether somebody else's worker, asked the same twice, answered alike.
    repeats: Option<bool>,
}

thread_local! {
    /// A process never changes threads: it dies with the one that started it.
    static STOCK: RefCell<BTreeMap<Key, Stock>> = const { RefCell::new(BTreeMap::new()) };
}

/// Runs `change` on what this thread has of the target; `None` while the thread ends.
fn stock<T>(key: &Key, change: impl FnOnce(&mut Stock) -> T) -> Option<T> {
    STOCK.try_with(|all| change(all.borrow_mut().entry(key.clone()).or_default())).ok()
}

/// Ends this thread's idle processes of other names: one that waits for its next sequence holds what it has of a card.
pub(super) fn end_others(name: &str) {
    // While the thread ends there are none left to end.
    let _ = STOCK.try_with(|all| all.borrow_mut().retain(|(other, _), _| other == name));
}

/// Ends the idle processes of other settings, where there are many.
fn end_other_settings(key: &Key) {
    let _ = STOCK.try_with(|all| {
        let mut all = all.borrow_mut();
        let others = all.iter().filter(|(other, stock)| other.0 == key.0 && *other != key && !stock.idle.is_empty());
        if others.count() >= MOST_SETTINGS {
            all.iter_mut().filter(|(other, _)| other.0 == key.0 && *other != key).for_each(|(_, s)| s.idle.clear());
        }
    });
}

/// Opens the target in an idle process of this thread, or in a new one.
pub(super) fn open(name: &TargetName, setup: &Setup) -> Result<Box<dyn Target>, TargetError> {
    let recipe = Recipe::new(name)?;
    let key = recipe.key(setup);
    let failed = |lost| TargetError::Lost { target: recipe.name.clone(), lost };
    loop {
        let (idle, times, hopeless) =
            stock(&key, |s| (s.idle.pop(), s.failures, s.is_hopeless)).unwrap_or((None, 0, false));
        if times >= TRIES || hopeless {
            let last = stock(&key, |s| s.last.clone()).unwrap_or_default();
            return Err(failed(Lost::GivenUp { times, last }));
        }
        if idle.is_none() {
            end_other_settings(&key);
        }
        let is_new = idle.is_none();
        let opened =
            idle.map_or_else(|| recipe.start(), Ok).and_then(|p| WorkerTarget::open(p, &recipe, setup, is_new));
        match opened {
            Ok(Opened::Target(target)) => {
                stock(&key, |s| s.failures = 0);
                if !recipe.is_foreign {
                    return Ok(target);
                }
                if torch::is_meant(name) {
                    return torch::over(*target, name, setup);
                }
                let Some(repeats) = stock(&key, |s| s.repeats).flatten() else {
                    let repeats = probe::repeats(*target, || again(&recipe, setup));
                    stock(&key, |s| s.repeats = Some(repeats));
                    continue;
                };
                return Supplied::over(*target, setup, repeats);
            }
            Ok(Opened::Refused(error)) => return Err(error),
            Ok(Opened::Restart) => {}
            Err(lost) => {
                let failures = stock(&key, |s| {
                    s.last = lost.with_stderr();
                    s.failures += 1;
                    s.is_hopeless = matches!(lost, Lost::NotStarted { .. });
                    if s.is_hopeless { TRIES } else { s.failures }
                });
                // A new process tells whether it was the process or the target. What is given up is told by who asked.
                if failures.is_none_or(|n| n >= TRIES) {
                    return Err(failed(lost));
                }
                log::warn!("{}: {}", recipe.name, lost.with_stderr());
            }
        }
    }
}

/// What a process made of being asked for its target.
enum Opened {
    Target(Box<WorkerTarget>),
    Refused(TargetError),
    /// It asked for a new process in its place, and was ended.
    Restart,
}

/// What somebody else's worker is told beside an operation.
#[derive(Debug, Clone, Copy, Default)]
pub(in crate::target) struct Context<'a> {
    pub(in crate::target) about: Option<About>,
    pub(in crate::target) thread: u8,
    pub(in crate::target) busy: &'a [(usize, u8)],
    /// What a refusal was for that does not say so.
    pub(in crate::target) unstated: Option<RefusalClass>,
}

/// The target once more, in the process that has just closed it or in a new one; `None` where that went wrong.
fn again(recipe: &Recipe, setup: &Setup) -> Option<WorkerTarget> {
    let idle = stock(&recipe.key(setup), |s| s.idle.pop()).flatten();
    let process = idle.map_or_else(|| recipe.start(), Ok).ok()?;
    match WorkerTarget::open(process, recipe, setup, true).ok()? {
        Opened::Target(target) => Some(*target),
        Opened::Refused(_) | Opened::Restart => None,
    }
}

/// A target in another process.
#[derive(Debug)]
pub(in crate::target) struct WorkerTarget {
    pub(in crate::target) told: Told,
    key: Key,
    /// Its process serves no other sequence.
    is_last: bool,
    patience: Patience,
    /// Operations asked.
    operations: u64,
    /// `None` once it was given back or is lost.
    pub(super) process: Option<Process>,
    pub(super) ahead: Ahead,
    /// Nobody has looked since the last answer.
    is_news: bool,
    lost: Option<Lost>,
}

impl WorkerTarget {
    fn open(mut process: Process, recipe: &Recipe, setup: &Setup, is_new: bool) -> Result<Opened, Lost> {
        let answer = process.ask(&Ask::Open { setup: Cow::Borrowed(setup) }, recipe.patience.with(0))?;
        if let Answer::Restart {} = answer {
            return if is_new { Err(process.broke(ProtocolError::RestartsAtOnce)) } else { Ok(Opened::Restart) };
        }
        match Told::opened(answer) {
            Ok(Ok(mut told)) => {
                told.info.name.clone_from(&recipe.name);
                if !recipe.is_foreign {
                    // Ours serve neither events nor a ledger.
                    told.info.capabilities.remove(&Capability::DeviceEvents);
                    told.info.capabilities.remove(&Capability::DeviceLedger);
                }
                for word in told.described.known().1 {
                    process.warn_once(&format!("`{word}` is no capability"));
                }
                Ok(Opened::Target(Box::new(WorkerTarget {
                    told,
                    key: recipe.key(setup),
                    is_last: recipe.fresh == Freshness::Process,
                    patience: recipe.patience,
                    operations: 0,
                    process: Some(process),
                    ahead: Ahead::default(),
                    is_news: true,
                    lost: None,
                })))
            }
            Ok(Err(mut error)) => {
                // A command does not know under which name it was started.
                if let TargetError::Unavailable { target, .. } = &mut error
                    && recipe.is_foreign
                {
                    target.clone_from(&recipe.name);
                }
                stock(&recipe.key(setup), |s| s.idle.push(process));
                Ok(Opened::Refused(error))
            }
            Err(reason) => Err(process.broke(reason)),
        }
    }

    /// The number of its process, while there is one.
    pub(super) fn process_id(&self) -> Option<u32> {
        self.process.as_ref().map(Process::id)
    }

    /// Asks an operation, with what somebody else's worker is told besides.
    pub(in crate::target) fn apply_in(&mut self, op: &Op, context: &Context<'_>) -> Reply {
        self.operations += 1;
        let Context { about, thread, busy, unstated } = *context;
        match self.foretold(op, thread, unstated) {
            Foretold::Answered(reply) => return reply,
            Foretold::Unasked | Foretold::Lost => {}
        }
        let ask =
            Ask::Apply { op: Cow::Borrowed(op), about, thread, busy: Cow::Borrowed(busy), ahead: false, more: false };
        if let Some(answer) = self.ask_of_anybody(&ask, unstated) {
            let answered = self.told.applied(answer);
            if let Some(reply) = self.note(answered) {
                return reply;
            }
        }
        let why = self.lost.as_ref().map_or_else(|| "the target was closed".to_owned(), ToString::to_string);
        Reply::refused(RefusalClass::DeviceError, why)
    }

    fn ask(&mut self, ask: &Ask<'_>) -> Option<Answer> {
        self.ask_of_anybody(ask, None)
    }

    /// Asks; `None` if there is nobody to ask any more. What comes back in time and in form is an answer.
    fn ask_of_anybody(&mut self, ask: &Ask<'_>, unstated: Option<RefusalClass>) -> Option<Answer> {
        self.land();
        let patience = self.patience();
        match self.process.as_mut()?.ask_of_anybody(ask, patience, unstated) {
            Ok(answer) => Some(answer),
            Err(lost) => {
                self.lose(lost);
                None
            }
        }
    }

    /// How long the next answer may take.
    pub(super) fn patience(&self) -> Duration {
        self.patience.with(self.operations)
    }

    pub(super) fn lose(&mut self, lost: Lost) {
        self.process = None;
        self.lost.get_or_insert(lost);
    }

    /// Takes note of an answer, which says whether the process can go on.
    pub(super) fn note<T>(&mut self, answered: Result<(T, Option<String>), ProtocolError>) -> Option<T> {
        self.is_news = true;
        match answered {
            Ok((answer, None)) => Some(answer),
            Ok((answer, Some(reason))) => {
                let stderr = self.process.as_mut().map(Process::end).unwrap_or_default();
                self.lose(Lost::Poisoned { reason, stderr });
                Some(answer)
            }
            Err(reason) => {
                self.broke(reason);
                None
            }
        }
    }

    pub(super) fn broke(&mut self, reason: ProtocolError) {
        if let Some(mut process) = self.process.take() {
            let lost = process.broke(reason);
            self.lose(lost);
        }
    }
}

impl Target for WorkerTarget {
    fn info(&self) -> &TargetInfo {
        &self.told.info
    }

    fn versions(&self) -> Versions {
        self.told.versions.clone()
    }

    fn apply(&mut self, op: &Op) -> Reply {
        self.apply_in(op, &Context::default())
    }

    fn take_events(&mut self, into: &mut Vec<Vec<TraceEvent>>) -> bool {
        std::mem::swap(into, &mut self.told.events);
        self.told.events.resize_with(self.told.info.devices.len(), Vec::new);
        self.told.events.iter_mut().for_each(Vec::clear);
        self.told.info.can(Capability::DeviceEvents)
    }

    fn observe(&mut self, into: &mut Observation) {
        // While operations asked ahead are under way, nothing has happened but what they do.
        if !self.is_news
            && !self.ahead.is_under_way()
            && let Some(answer) = self.ask(&Ask::Observe {})
        {
            let answered = self.told.observed(answer).map(|poisoned| ((), poisoned));
            self.note(answered);
        }
        self.is_news = false;
        into.clone_from(&self.told.seen);
    }

    fn lost(&self) -> Option<&Lost> {
        self.lost.as_ref()
    }

    /// Waits until the other side has dropped its target: what goes wrong in that belongs to this sequence.
    fn close(&mut self) {
        match self.ask(&Ask::Close {}) {
            Some(Answer::Closed { restart }) => {
                // One that is not kept ends here.
                if let Some(process) = self.process.take().filter(|_| !restart && !self.is_last) {
                    stock(&self.key, |s| s.idle.push(process));
                }
            }
            Some(other) => self.broke(ProtocolError::Unexpected { asked: "close", answered: other.name() }),
            None => {}
        }
    }
}

impl Drop for WorkerTarget {
    fn drop(&mut self) {
        self.close();
    }
}
