//! The harness's side: a `Target` whose allocator is in another process.
//!
//! Decides when a process is started, kept for the next sequence, and replaced. Options of its own:
//! `deadline=DURATION` for each call, and `misbehave=WHAT:N` for tests; all others are the inner target's. With both, a
//! call before the misbehaviour may take as long as if no deadline were given: how busy the machine is decides nothing.

use std::borrow::Cow;
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::time::Duration;

use super::super::lost::ProtocolError;
use super::super::{Lost, Target, TargetError, TargetName};
use super::Misbehaviour;
use super::process::Process;
use super::protocol::{Answer, Ask, PROTOCOL};
use super::told::Told;
use crate::op::{Capability, Observation, Op, RefusalClass, Reply, Setup, TargetInfo, Versions};

/// How long a call may take unless the name says otherwise.
const DEADLINE: Duration = Duration::from_secs(30);

/// Clocks can be put forward by so much.
const LONGEST: Duration = Duration::from_secs(100 * 365 * 24 * 3600);

/// Processes in a row that could not open a target, after which no more are started on this thread.
const TRIES: u32 = 3;

const OPTIONS: [&str; 2] = ["deadline", "misbehave"];

/// What this thread has of one target.
#[derive(Debug, Default)]
struct Stock {
    idle: Vec<Process>,
    failures: u32,
    /// How the last of them failed.
    last: String,
}

thread_local! {
    /// By the target's name. A process never changes threads: it dies with the one that started it.
    static STOCK: RefCell<BTreeMap<String, Stock>> = const { RefCell::new(BTreeMap::new()) };
}

/// How to start a target's process.
#[derive(Debug)]
struct Recipe {
    /// The name as the harness knows it.
    name: String,
    arguments: Vec<String>,
    patience: Patience,
}

/// How long a call may take.
#[derive(Debug, Clone, Copy)]
struct Patience {
    deadline: Duration,
    misbehaviour: Option<Misbehaviour>,
}

impl Patience {
    /// For the call that asks this operation, counted as the misbehaviour counts.
    fn with(self, operation: u64) -> Duration {
        match self.misbehaviour {
            Some(misbehaviour) if !misbehaviour.has_begun(operation) => self.deadline.max(DEADLINE),
            _ => self.deadline,
        }
    }
}

impl Recipe {
    fn new(name: &TargetName) -> Result<Self, TargetError> {
        let bad = |reason: String| TargetError::BadOption { target: name.to_string(), reason };
        let given = |key: &str| name.options.iter().rev().find(|(k, _)| k == key).map(|(_, v)| v.as_deref());
        let deadline = match given("deadline") {
            None => DEADLINE,
            Some(text) => humantime::parse_duration(text.unwrap_or_default())
                .ok()
                .filter(|limit| !limit.is_zero() && *limit <= LONGEST)
                .ok_or_else(|| bad("`deadline` is the time a call may take, for example deadline=30s".to_owned()))?,
        };
        let mut arguments = vec!["worker".to_owned(), name.inner(&OPTIONS).to_string()];
        let mut misbehaviour = None;
        if let Some(text) = given("misbehave") {
            let text = text.unwrap_or_default();
            let asked_for = text.parse::<Misbehaviour>().map_err(|e| bad(e.to_string()))?;
            misbehaviour = Some(asked_for);
            if !asked_for.suits(name) {
                return Err(bad(format!("`misbehave={text}` is about a kernel, and this target runs none")));
            }
            arguments.extend(["--misbehave".to_owned(), text.to_owned()]);
        }
        Ok(Recipe { name: name.to_string(), arguments, patience: Patience { deadline, misbehaviour } })
    }

    /// A process that has said what it speaks.
    fn start(&self) -> Result<Process, Lost> {
        let mut process = Process::start(&self.arguments)?;
        match process.ask(&Ask::Hello { protocol: Cow::Borrowed(PROTOCOL) }, self.patience.with(0))? {
            Answer::Hello { protocol, version } if protocol == PROTOCOL => {
                log::debug!("{}: a new process of poolproof {version}", self.name);
                Ok(process)
            }
            Answer::Hello { protocol, .. } => {
                Err(process.broke(ProtocolError::Misread { reason: format!("it speaks `{protocol}`") }))
            }
            other => Err(process.broke(ProtocolError::Unexpected { asked: "hello", answered: other.name() })),
        }
    }
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
                return Ok(Box::new(target));
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

/// A target in another process.
#[derive(Debug)]
struct WorkerTarget {
    told: Told,
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
                // The protocol brings figures and answers, and no events.
                told.info.capabilities.remove(&Capability::DeviceEvents);
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
            Ok(Err(error)) => {
                stock(&recipe.name, |s| s.idle.push(process));
                Ok(Err(error))
            }
            Err(reason) => Err(process.broke(reason)),
        }
    }

    /// Asks; `None` if there is nobody to ask any more. What comes back in time and in form is an answer.
    fn ask(&mut self, ask: &Ask<'_>) -> Option<Answer> {
        match self.process.as_mut()?.ask(ask, self.patience.with(self.operations)) {
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
        self.operations += 1;
        if let Some(answer) = self.ask(&Ask::Apply { op: Cow::Borrowed(op) }) {
            let answered = self.told.applied(answer);
            if let Some(reply) = self.note(answered) {
                return reply;
            }
        }
        let why = self.lost.as_ref().map_or_else(|| "the target was closed".to_owned(), ToString::to_string);
        Reply::refused(RefusalClass::DeviceError, why)
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn its_own_options_are_read_and_not_passed_on() {
        let recipe = |name: &str| Recipe::new(&name.parse().expect("well formed"));
        let given = recipe("worker:reference@sim?deadline=250ms&defect=stale-peak&misbehave=exit-at:3");
        let given = given.expect("both exist");
        let short = Duration::from_millis(250);
        assert_eq!([0, 2, 3, 4].map(|n| given.patience.with(n)), [DEADLINE, DEADLINE, short, short]);
        assert_eq!(given.arguments, ["worker", "reference@sim?defect=stale-peak", "--misbehave", "exit-at:3"]);
        assert_eq!(recipe("reference@cuda").expect("no options").patience.with(0), DEADLINE);
        for name in [
            "worker:a@b?deadline",
            "worker:a@b?deadline=0s",
            "worker:a@b?misbehave=dance:1",
            "worker:a@sim?misbehave=spin-at:1",
        ] {
            assert!(matches!(recipe(name), Err(TargetError::BadOption { .. })), "{name}");
        }
    }
}
