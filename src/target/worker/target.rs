//! The harness's side: a `Target` whose allocator is in another process.
//!
//! Decides when a process is started, kept for the next sequence, and replaced.

use std::borrow::Cow;
use std::cell::RefCell;
use std::collections::BTreeMap;

use super::super::lost::ProtocolError;
use super::super::{Lost, Target, TargetError, TargetName};
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

/// What this thread has of one target.
#[derive(Debug, Default)]
struct Stock {
    idle: Vec<Process>,
    failures: u32,
    /// How the last of them failed.
    last: String,
    /// Whether somebody else's worker, asked the same twice, answered alike.
    repeats: Option<bool>,
}

thread_local! {
    /// By the target's name. A process never changes threads: it dies with the one that started it.
    static STOCK: RefCell<BTreeMap<String, Stock>> = const { RefCell::new(BTreeMap::new()) };
}

/// Runs `change` on what this thread has of the name; `None` while the thread ends.
fn stock<T>(name: &str, change: impl FnOnce(&mut Stock) -> T) -> Option<T> {
    STOCK.try_with(|all| change(all.borrow_mut().entry(name.to_owned()).or_default())).ok()
}

/// Ends this thread's idle processes of other names: one that waits for its next sequence holds what it has of a card.
pub(super) fn end_others(name: &str) {
    // While the thread ends there are none left to end.
    let _ = STOCK.try_with(|all| all.borrow_mut().retain(|other, _| other == name));
}

/// Opens the target in an idle process of this thread, or in a new one.
pub(super) fn open(name: &TargetName, setup: &Setup) -> Result<Box<dyn Target>, TargetError> {
    let recipe = Recipe::new(name)?;
    let failed = |lost| TargetError::Lost { target: recipe.name.clone(), lost };
    loop {
        let (idle, failures) = stock(&recipe.name, |s| (s.idle.pop(), s.failures)).unwrap_or((None, 0));
        if failures >= TRIES {
            let last = stock(&recipe.name, |s| s.last.clone()).unwrap_or_default();
            return Err(failed(Lost::GivenUp { times: failures, last }));
        }
        let opened = idle.map_or_else(|| recipe.start(), Ok).and_then(|p| WorkerTarget::open(p, &recipe, setup));
        match opened {
            Ok(Ok(target)) => {
                stock(&recipe.name, |s| s.failures = 0);
                if !recipe.is_foreign {
                    return Ok(Box::new(target));
                }
                let Some(repeats) = stock(&recipe.name, |s| s.repeats).flatten() else {
                    let repeats = probe::repeats(target, || again(&recipe, setup));
                    stock(&recipe.name, |s| s.repeats = Some(repeats));
                    continue;
                };
                return Supplied::over(target, setup, repeats);
            }
            Ok(Err(error)) => return Err(error),
            Err(lost) => {
                log::warn!("{}: {}", recipe.name, lost.with_stderr());
                let failures = stock(&recipe.name, |s| {
                    s.last = lost.with_stderr();
                    s.failures += 1;
                    s.failures
                });
                // A new process tells whether it was the process or the target.
                if failures.is_none_or(|n| n >= TRIES) {
                    return Err(failed(lost));
                }
            }
        }
    }
}

/// What somebody else's worker is told beside an operation.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Context<'a> {
    pub(super) about: Option<About>,
    pub(super) thread: u8,
    pub(super) busy: &'a [(usize, u8)],
    /// What a refusal was for that does not say so.
    pub(super) unstated: Option<RefusalClass>,
}

/// The target once more, in the process that has just closed it; `None` where that went wrong.
fn again(recipe: &Recipe, setup: &Setup) -> Option<WorkerTarget> {
    let process = stock(&recipe.name, |s| s.idle.pop()).flatten()?;
    WorkerTarget::open(process, recipe, setup).ok()?.ok()
}

/// A target in another process.
#[derive(Debug)]
pub(super) struct WorkerTarget {
    pub(super) told: Told,
    name: String,
    patience: Patience,
    /// Operations asked.
    operations: u64,
    /// `None` once it was given back or is lost.
    process: Option<Process>,
    /// Nobody has looked since the last answer.
    is_news: bool,
    lost: Option<Lost>,
}

impl WorkerTarget {
    fn open(mut process: Process, recipe: &Recipe, setup: &Setup) -> Result<Result<Self, TargetError>, Lost> {
        let answer = process.ask(&Ask::Open { setup: Cow::Borrowed(setup) }, recipe.patience.with(0))?;
        match Told::opened(answer) {
            Ok(Ok(mut told)) => {
                told.info.name.clone_from(&recipe.name);
                if !recipe.is_foreign {
                    // Ours serve no events.
                    told.info.capabilities.remove(&Capability::DeviceEvents);
                }
                Ok(Ok(WorkerTarget {
                    told,
                    name: recipe.name.clone(),
                    patience: recipe.patience,
                    operations: 0,
                    process: Some(process),
                    is_news: true,
                    lost: None,
                }))
            }
            Ok(Err(mut error)) => {
                // A command does not know under which name it was started.
                if let TargetError::Unavailable { target, .. } = &mut error
                    && recipe.is_foreign
                {
                    target.clone_from(&recipe.name);
                }
                stock(&recipe.name, |s| s.idle.push(process));
                Ok(Err(error))
            }
            Err(reason) => Err(process.broke(reason)),
        }
    }

    /// The number of its process, while there is one.
    pub(super) fn process_id(&self) -> Option<u32> {
        self.process.as_ref().map(Process::id)
    }

    /// Asks an operation, with what somebody else's worker is told besides.
    pub(super) fn apply_in(&mut self, op: &Op, context: &Context<'_>) -> Reply {
        self.operations += 1;
        let Context { about, thread, busy, unstated } = *context;
        let ask = Ask::Apply { op: Cow::Borrowed(op), about, thread, busy: Cow::Borrowed(busy) };
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
        let patience = self.patience.with(self.operations);
        match self.process.as_mut()?.ask_of_anybody(ask, patience, unstated) {
            Ok(answer) => Some(answer),
            Err(lost) => {
                self.lose(lost);
                None
            }
        }
    }

    fn lose(&mut self, lost: Lost) {
        self.process = None;
        self.lost.get_or_insert(lost);
    }

    /// Takes note of an answer, which says whether the process can go on.
    fn note<T>(&mut self, answered: Result<(T, Option<String>), ProtocolError>) -> Option<T> {
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

    fn broke(&mut self, reason: ProtocolError) {
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
        if !self.is_news
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
            Some(Answer::Closed {}) => {
                if let Some(process) = self.process.take() {
                    stock(&self.name, |s| s.idle.push(process));
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
