//! How the process of a target is started, and how long its calls may take: what a target's name says of it.
//!
//! Decides which options belong to the process, and which are the inner target's: `misbehave=WHAT:N`, for tests of our own,
//! beside those that the registry shows. With a deadline and a misbehaviour, a call before the misbehaviour may take as long as if no deadline
//! were given: how busy the machine is decides nothing.

use std::borrow::Cow;
use std::ffi::OsString;
use std::time::Duration;

use super::super::lost::ProtocolError;
use super::super::packaged;
use super::super::registry::{Freshness, TargetKind, unknown_option};
use super::super::{Lost, TargetError, TargetName, torch};
use super::framing::{BINARY, Framing};
use super::process::{self, Process};
use super::protocol::{Answer, Ask, PROTOCOL};
use super::{Misbehaviour, PROCESS_OPTIONS};
use crate::child::Program;
use crate::op::Setup;

/// How long a call may take unless the name says otherwise.
const DEADLINE: Duration = Duration::from_secs(30);

/// Clocks can be put forward by so much.
const LONGEST: Duration = Duration::from_secs(100 * 365 * 24 * 3600);

/// How to start a target's process.
#[derive(Debug)]
pub(super) struct Recipe {
    /// The name as the harness knows it.
    pub(super) name: String,
    program: Program,
    pub(super) patience: Patience,
    /// The allocator is somebody else's: what it does not show, the harness supplies.
    pub(super) is_foreign: bool,
    /// How long a process can be used.
    pub(super) fresh: Freshness,
    /// Frames are offered to it.
    is_binary: bool,
}

/// How long a call may take.
#[derive(Debug, Clone, Copy)]
pub(in crate::target) struct Patience {
    deadline: Duration,
    pub(in crate::target) misbehaviour: Option<Misbehaviour>,
}

/// What the name of a target of ours says of the patience with it.
pub(in crate::target) fn patience(name: &TargetName) -> Result<Patience, TargetError> {
    let bad = |reason: String| TargetError::BadOption { target: name.to_string(), reason };
    let deadline = match name.option("deadline") {
        None => DEADLINE,
        Some(text) => humantime::parse_duration(text.unwrap_or_default())
            .ok()
            .filter(|limit| !limit.is_zero() && *limit <= LONGEST)
            .ok_or_else(|| bad("`deadline` is the time a call may take, for example deadline=30s".to_owned()))?,
    };
    let mut patience = Patience { deadline, misbehaviour: None };
    let is_ours = name.command().is_none() && packaged::Package::named(name).is_none();
    if let Some(text) = name.option("misbehave").filter(|_| is_ours) {
        let text = text.unwrap_or_default();
        let asked_for = text.parse::<Misbehaviour>().map_err(|e| bad(e.to_string()))?;
        patience.misbehaviour = Some(asked_for);
        if !asked_for.suits(name) {
            return Err(bad(format!("`misbehave={text}` is about a kernel, and this target runs none")));
        }
    }
    Ok(patience)
}

impl Patience {
    /// For the call that asks this operation, counted as the misbehaviour counts.
    pub(in crate::target) fn with(self, operation: u64) -> Duration {
        match self.misbehaviour {
            Some(misbehaviour) if !misbehaviour.has_begun(operation) => self.deadline.max(DEADLINE),
            _ => self.deadline,
        }
    }
}

impl Recipe {
    pub(super) fn new(name: &TargetName) -> Result<Self, TargetError> {
        let patience = patience(name)?;
        let (fresh, is_binary) = (freshness(name)?, is_binary(name)?);
        if let Some(command) = name.command() {
            let program = foreign(name, command)?;
            return Ok(Recipe { name: name.to_string(), program, patience, is_foreign: true, fresh, is_binary });
        }
        if let Some(command) = packaged::command(name)? {
            let mut words = command.into_iter();
            let program = Program::new(words.next().unwrap_or_default(), words);
            let program = Program { environment: environment(name)?, ..program };
            return Ok(Recipe { name: name.to_string(), program, patience, is_foreign: true, fresh, is_binary });
        }
        if torch::is_meant(name) {
            let program = Program { environment: environment(name)?, ..torch::program(name)? };
            return Ok(Recipe { name: name.to_string(), program, patience, is_foreign: true, fresh, is_binary });
        }
        let is_foreign = name.library().is_some();
        if let Some(option) =
            ["env", "fresh", "framing"].into_iter().find(|key| !is_foreign && name.option(key).is_some())
        {
            return Err(unknown_option(name, option));
        }
        let mut arguments = vec!["worker".to_owned(), name.inner(&PROCESS_OPTIONS).to_string()];
        if let Some(text) = name.option("misbehave").filter(|_| patience.misbehaviour.is_some()) {
            arguments.extend(["--misbehave".to_owned(), text.unwrap_or_default().to_owned()]);
        }
        let program = Program { environment: environment(name)?, ..process::own(arguments) };
        Ok(Recipe { name: name.to_string(), program, patience, is_foreign, fresh, is_binary })
    }

    /// Which idle processes may serve the next sequence: those of the same name, and of the same settings where only
    /// another process reads others.
    pub(super) fn key(&self, setup: &Setup) -> (String, Option<String>) {
        let config = setup.config.clone().filter(|_| self.fresh == Freshness::Settings);
        (self.name.clone(), config)
    }

    /// A process that has said what it speaks.
    pub(super) fn start(&self) -> Result<Process, Lost> {
        let mut process = Process::start(&self.program)?;
        if self.is_foreign {
            process.note_unknown(&self.name);
        }
        let offered: &[Cow<'_, str>] = if self.is_binary { &[Cow::Borrowed(BINARY)] } else { &[] };
        let hello = Ask::Hello { protocol: Cow::Borrowed(PROTOCOL), features: Cow::Borrowed(offered) };
        match process.ask(&hello, self.patience.with(0))? {
            Answer::Hello { protocol, version, features } if protocol == PROTOCOL => {
                log::debug!("{}: a new process, version `{version}`", self.name);
                for feature in features {
                    if !offered.contains(&Cow::Borrowed(feature.as_str())) {
                        let reason = format!("it turns to `{feature}`, which it was not offered");
                        return Err(process.broke(ProtocolError::Misread { reason }));
                    }
                    process.turn_to(Framing::Frames);
                }
                Ok(process)
            }
            Answer::Hello { protocol, .. } => {
                Err(process.broke(ProtocolError::Misread { reason: format!("it speaks `{protocol}`") }))
            }
            other => Err(process.broke(ProtocolError::Unexpected { asked: "hello", answered: other.name() })),
        }
    }
}

/// This program with these arguments and the environment that a name asks for, and how long a call may take.
pub(super) fn apart(name: &TargetName, arguments: Vec<String>) -> Result<(Program, Duration), TargetError> {
    let patience = Recipe::new(name)?.patience;
    Ok((Program { environment: environment(name)?, ..process::own(arguments) }, patience.deadline))
}

/// The program that a command names, with what its options put into its environment.
fn foreign(name: &TargetName, command: &str) -> Result<Program, TargetError> {
    let bad = |reason: &str| TargetError::BadOption { target: name.to_string(), reason: reason.to_owned() };
    let words = shlex::split(command).ok_or_else(|| bad("a quote in its command is opened and not closed"))?;
    let mut words = words.into_iter().map(OsString::from);
    let path = words.next().ok_or_else(|| bad("exec: names no command, for example exec:./adapter@host"))?;
    let is_known =
        |(key, _): &&(String, Option<String>)| ["deadline", "env", "fresh", "framing"].contains(&key.as_str());
    if let Some((key, _)) = name.options.iter().find(|option| !is_known(option)) {
        return Err(unknown_option(name, key));
    }
    Ok(Program { environment: environment(name)?, ..Program::new(path, words) })
}

/// What the options of a name put into the environment.
pub(in crate::target) fn environment(name: &TargetName) -> Result<Vec<(String, String)>, TargetError> {
    let of = |value: Option<&str>| match value.and_then(|value| value.split_once('=')) {
        Some((variable, value)) if !variable.is_empty() => Ok((variable.to_owned(), value.to_owned())),
        _ => Err(TargetError::BadOption {
            target: name.to_string(),
            reason: "`env` is a variable and its value, for example env=THREADS=4".to_owned(),
        }),
    };
    name.options.iter().filter(|(key, _)| key == "env").map(|(_, value)| of(value.as_deref())).collect()
}

/// Whether a worker may be asked in frames: who wants to read what goes to and fro has lines.
fn is_binary(name: &TargetName) -> Result<bool, TargetError> {
    match name.option("framing").map(Option::unwrap_or_default) {
        None | Some(BINARY) => Ok(true),
        Some("lines") => Ok(false),
        Some(_) => Err(TargetError::BadOption {
            target: name.to_string(),
            reason: "`framing` is binary, for a worker that can, or lines".to_owned(),
        }),
    }
}

/// How long a process of the target can be used.
fn freshness(name: &TargetName) -> Result<Freshness, TargetError> {
    match name.option("fresh") {
        // A process with a GPU takes a second to start.
        None if name.library().is_some() && name.place == "cuda" => Ok(Freshness::Sequence),
        None => Ok(TargetKind::of(name).map_or(Freshness::Sequence, |kind| kind.freshness)),
        Some(text) => Freshness::parse(text.unwrap_or_default()).ok_or_else(|| TargetError::BadOption {
            target: name.to_string(),
            reason: "`fresh` is sequence, settings or process: for how long one process can be used".to_owned(),
        }),
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

    #[test]
    fn how_long_a_process_can_be_used_is_the_kinds_or_the_names_to_say() {
        let recipe = |name: &str| Recipe::new(&name.parse().expect("well formed"));
        let setup = Setup { device_bytes: vec![1 << 30], streams: 1, config: Some("a:b".to_owned()) };
        for (name, fresh, of_settings) in [
            ("exec:a@host", Freshness::Sequence, false),
            ("exec:a@host?fresh=settings", Freshness::Settings, true),
            ("plugin:a.so@host", Freshness::Process, false),
            ("plugin:a.so@host?fresh=sequence", Freshness::Sequence, false),
            ("plugin:a.so@cuda", Freshness::Sequence, false),
            ("worker:reference@sim", Freshness::Sequence, false),
        ] {
            let recipe = recipe(name).expect(name);
            let config = setup.config.clone().filter(|_| of_settings);
            assert_eq!((recipe.fresh, recipe.key(&setup)), (fresh, (name.to_owned(), config)), "{name}");
        }
        assert!(matches!(recipe("exec:a@host?fresh=never"), Err(TargetError::BadOption { .. })));
        assert!(matches!(recipe("worker:reference@sim?fresh=process"), Err(TargetError::UnknownOption { .. })));
    }
}
