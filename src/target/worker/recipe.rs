//! How the process of a target is started, and how long its calls may take: what a target's name says of it.
//!
//! Decides which options belong to the process, and which are the inner target's. Options for every process:
//! `deadline=DURATION` for each call; `misbehave=WHAT:N` for tests of our own; for a command also `env=NAME=VALUE`, any
//! number of times. With a deadline and a misbehaviour, a call before the misbehaviour may take as long as if no deadline
//! were given: how busy the machine is decides nothing.

use std::borrow::Cow;
use std::ffi::OsString;
use std::time::Duration;

use super::super::lost::ProtocolError;
use super::super::{Lost, TargetError, TargetName};
use super::Misbehaviour;
use super::process::{Process, Program};
use super::protocol::{Answer, Ask, PROTOCOL};

/// How long a call may take unless the name says otherwise.
const DEADLINE: Duration = Duration::from_secs(30);

/// Clocks can be put forward by so much.
const LONGEST: Duration = Duration::from_secs(100 * 365 * 24 * 3600);

const OPTIONS: [&str; 2] = ["deadline", "misbehave"];

/// How to start a target's process.
#[derive(Debug)]
pub(super) struct Recipe {
    /// The name as the harness knows it.
    pub(super) name: String,
    program: Program,
    pub(super) patience: Patience,
    /// It is somebody else's command: what it does not show, the harness supplies.
    pub(super) is_foreign: bool,
}

/// How long a call may take.
#[derive(Debug, Clone, Copy)]
pub(super) struct Patience {
    deadline: Duration,
    misbehaviour: Option<Misbehaviour>,
}

impl Patience {
    /// For the call that asks this operation, counted as the misbehaviour counts.
    pub(super) fn with(self, operation: u64) -> Duration {
        match self.misbehaviour {
            Some(misbehaviour) if !misbehaviour.has_begun(operation) => self.deadline.max(DEADLINE),
            _ => self.deadline,
        }
    }
}

impl Recipe {
    pub(super) fn new(name: &TargetName) -> Result<Self, TargetError> {
        let bad = |reason: String| TargetError::BadOption { target: name.to_string(), reason };
        let given = |key: &str| name.options.iter().rev().find(|(k, _)| k == key).map(|(_, v)| v.as_deref());
        let deadline = match given("deadline") {
            None => DEADLINE,
            Some(text) => humantime::parse_duration(text.unwrap_or_default())
                .ok()
                .filter(|limit| !limit.is_zero() && *limit <= LONGEST)
                .ok_or_else(|| bad("`deadline` is the time a call may take, for example deadline=30s".to_owned()))?,
        };
        let mut patience = Patience { deadline, misbehaviour: None };
        if let Some(command) = name.command() {
            return Ok(Recipe { name: name.to_string(), program: foreign(name, command)?, patience, is_foreign: true });
        }
        let mut arguments = vec!["worker".to_owned(), name.inner(&OPTIONS).to_string()];
        if let Some(text) = given("misbehave") {
            let text = text.unwrap_or_default();
            let asked_for = text.parse::<Misbehaviour>().map_err(|e| bad(e.to_string()))?;
            patience.misbehaviour = Some(asked_for);
            if !asked_for.suits(name) {
                return Err(bad(format!("`misbehave={text}` is about a kernel, and this target runs none")));
            }
            arguments.extend(["--misbehave".to_owned(), text.to_owned()]);
        }
        Ok(Recipe { name: name.to_string(), program: Program::own(arguments), patience, is_foreign: false })
    }

    /// A process that has said what it speaks.
    pub(super) fn start(&self) -> Result<Process, Lost> {
        let mut process = Process::start(&self.program)?;
        match process.ask(&Ask::Hello { protocol: Cow::Borrowed(PROTOCOL) }, self.patience.with(0))? {
            Answer::Hello { protocol, version } if protocol == PROTOCOL => {
                log::debug!("{}: a new process, version `{version}`", self.name);
                Ok(process)
            }
            Answer::Hello { protocol, .. } => {
                Err(process.broke(ProtocolError::Misread { reason: format!("it speaks `{protocol}`") }))
            }
            other => Err(process.broke(ProtocolError::Unexpected { asked: "hello", answered: other.name() })),
        }
    }
}

/// The program that a command names, with what its options put into its environment.
fn foreign(name: &TargetName, command: &str) -> Result<Program, TargetError> {
    let bad = |reason: &str| TargetError::BadOption { target: name.to_string(), reason: reason.to_owned() };
    let words = shlex::split(command).ok_or_else(|| bad("a quote in its command is opened and not closed"))?;
    let mut words = words.into_iter().map(OsString::from);
    let path = words.next().ok_or_else(|| bad("exec: names no command, for example exec:./adapter@host"))?;
    let mut environment = Vec::new();
    for (key, value) in &name.options {
        match (key.as_str(), value.as_deref().and_then(|v| v.split_once('='))) {
            ("deadline", _) => {}
            ("env", Some((variable, value))) if !variable.is_empty() => {
                environment.push((variable.to_owned(), value.to_owned()));
            }
            ("env", _) => return Err(bad("`env` is a variable and its value, for example env=THREADS=4")),
            _ => {
                let (target, option) = (name.to_string(), key.clone());
                return Err(TargetError::UnknownOption { target, option, known: "`deadline` and `env`".to_owned() });
            }
        }
    }
    Ok(Program { path: path.into(), arguments: words.collect(), environment })
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
        let arguments = ["worker", "reference@sim?defect=stale-peak", "--misbehave", "exit-at:3"];
        assert_eq!(given.program.arguments, arguments);
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

    #[test]
    fn a_command_is_split_as_a_shell_does() {
        let recipe = |name: &str| Recipe::new(&name.parse().expect("well formed"));
        let given = recipe("exec:python3 -u \"my adapter.py\"@host?env=MODE=a=b&deadline=2s").expect("well formed");
        assert_eq!((given.program.path.to_str(), given.is_foreign), (Some("python3"), true));
        assert_eq!(given.program.arguments, ["-u", "my adapter.py"]);
        assert_eq!(given.program.environment, [("MODE".to_owned(), "a=b".to_owned())]);
        assert!(matches!(recipe("exec:a@host?env=X"), Err(TargetError::BadOption { .. })));
        assert!(matches!(recipe("exec: @host"), Err(TargetError::BadOption { .. })));
        assert!(matches!(recipe("exec:a@host?defect=x"), Err(TargetError::UnknownOption { .. })));
    }
}
