//! What several commands share: how targets are named, where results go and failing sequences are kept, languages, lengths of
//! time, whether a policy is compared, which part of a snapshot is looked at.
//!
//! Decides what they mean, the same for every command.

use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::engine::{self, EngineError, Plan, regressions};
use crate::op::Setup;
use crate::replay::{Bound, Range};
use crate::report::Language;
use crate::spec;
use crate::spec::expect::Expectations;
use crate::target::{self, TargetName};

use super::CliError;

/// How device calls are made to fail beside what scenarios say.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(super) enum Faults {
    /// Every call of every explicit sequence, and of the first two of each generated scenario.
    Sweep,
}

/// Which findings become programs of their own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(super) enum Programs {
    /// Those that nobody expected
    New,
    /// Expected ones, too
    All,
    None,
}

/// Which of the two languages.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(super) enum Lang {
    En,
    Zh,
    Both,
}

impl Lang {
    pub(super) fn languages(self) -> &'static [Language] {
        match self {
            Lang::En => &[Language::En],
            Lang::Zh => &[Language::Zh],
            Lang::Both => &Language::ALL,
        }
    }
}

/// A hundred years: clocks can be put forward by so much, and nobody waits for more.
const LONGEST: Duration = Duration::from_secs(100 * 365 * 24 * 3600);

pub(super) fn duration(text: &str) -> Result<Duration, String> {
    match humantime::parse_duration(text) {
        Ok(duration) if duration <= LONGEST => Ok(duration),
        Ok(_) | Err(humantime::DurationError::NumberOverflow) => Err("longer than a hundred years".to_owned()),
        Err(_) => Err("not a length of time: write 30s, 10m or 2h".to_owned()),
    }
}

/// The named targets, each once, checked to exist before anything is written.
pub(super) fn targets(names: &[String]) -> Result<Vec<TargetName>, CliError> {
    let probe = Setup { device_bytes: vec![1 << 30], streams: 1, config: None };
    let mut targets: Vec<TargetName> = Vec::new();
    for name in names {
        let name: TargetName = name.parse()?;
        target::make_room(&name);
        engine::ensure_opens(&name, &probe).map_err(EngineError::from)?;
        if !targets.contains(&name) {
            targets.push(name);
        }
    }
    Ok(targets)
}

pub(super) fn cases_from_environment() -> Result<Option<u32>, CliError> {
    let Some(value) = std::env::var_os("PROPTEST_CASES") else { return Ok(None) };
    let value = value.to_string_lossy().into_owned();
    match value.parse() {
        Ok(cases) if cases > 0 => Ok(Some(cases)),
        _ => Err(CliError::Cases { value }),
    }
}

/// As many as the registry says of the target.
pub(super) fn jobs_for(target: &TargetName) -> usize {
    target::jobs(target, cores())
}

pub(super) fn cores() -> usize {
    std::thread::available_parallelism().map_or(1, std::num::NonZero::get)
}

/// A run of an hour must not end in a folder that cannot be written.
pub(super) fn ensure_writable(folder: &Path) -> Result<(), CliError> {
    check_writable(folder, "--out")
}

/// The folder that a file is in.
pub(super) fn parent(path: &Path) -> &Path {
    path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

/// As [`ensure_writable`], of a folder that another flag names.
pub(super) fn check_writable(folder: &Path, flag: &'static str) -> Result<(), CliError> {
    let fail = |source| CliError::Unwritable { path: folder.to_owned(), source, flag };
    std::fs::create_dir_all(folder).map_err(fail)?;
    tempfile::tempfile_in(folder).map_err(fail)?;
    Ok(())
}

/// Whether a target is held against the policy that it claims.
#[derive(Debug, Clone, Copy, clap::Args)]
pub(super) struct Beside {
    /// Leave out the comparison of a target that claims PyTorch's policy with the sound reference, figure by figure and
    /// address by address; only promises to callers are judged then
    #[arg(long, conflicts_with = "only_exact")]
    no_exact: bool,
    /// Have nobody judge but that comparison: the sequences of all scenarios go on past broken promises, up to the first
    /// departure from the policy
    #[arg(long)]
    only_exact: bool,
}

impl Beside {
    /// What a plan leaves out for it.
    pub(super) fn narrow(self, plan: &mut Plan) {
        if self.no_exact {
            plan.leave_out_exact();
        }
        if self.only_exact {
            plan.judge_policy_alone();
        }
    }

    pub(super) fn is_exact(self) -> bool {
        !self.no_exact
    }
}

/// Where the sequences that failed are kept.
#[derive(Debug, clap::Args)]
pub(super) struct Kept {
    /// Keep generated sequences that fail here, and run those kept first [default: proptest-regressions/ where the
    /// current folder has one, else the same below --out]
    #[arg(long, value_name = "DIR")]
    regressions: Option<PathBuf>,
    /// Keep none, and run none that were kept
    #[arg(long, conflicts_with = "regressions")]
    no_regressions: bool,
}

impl Kept {
    /// The folder of a run with its results in `out`, if there is to be one. One that was named has to be writable.
    pub(super) fn folder(&self, out: &Path) -> Result<Option<PathBuf>, CliError> {
        if self.no_regressions {
            return Ok(None);
        }
        let Some(folder) = &self.regressions else { return Ok(Some(regressions::usual_folder(out))) };
        check_writable(folder, "--regressions")?;
        Ok(Some(folder.clone()))
    }
}

/// How `--from` and `--to` are written, for the help of a command.
pub(super) const BOUNDS: &str = "\
--from and --to take a part of a snapshot, both bounds in it. A bound is the number of an event of the device's trace, from 0
(12000); a time as the trace tells it in time_us (1795379117824299us); or a time after the first event of the file (+1.5s;
units us, ms, s, min). Numbers count the events of each device by itself. What stood when the part begins, and when it ends,
is found by walking back from the segments that stand at the end of the snapshot.";

/// Which part of a snapshot is looked at.
#[derive(Debug, Clone, Copy, clap::Args)]
pub(super) struct Part {
    /// Of a snapshot, begin with this event or time [default: the first]
    #[arg(long, value_name = "EVENT|TIME")]
    from: Option<Bound>,
    /// Of a snapshot, end with this event or time [default: the last]
    #[arg(long, value_name = "EVENT|TIME")]
    to: Option<Bound>,
}

impl Part {
    pub(super) fn range(self) -> Range {
        Range { from: self.from, to: self.to }
    }
}

/// The failures that are expected of what a study calls its target, allocator and place: those of a file, or those that come along.
///
/// # Errors
/// A file that cannot be read, or that speaks of other targets.
pub(super) fn expected(target: (&str, &str), file: Option<&Path>) -> Result<Option<Expectations>, CliError> {
    let Some(path) = file else { return Ok(spec::expect::built_in(target.0, target.1)?) };
    let read = spec::expect::load(path)?;
    if !read.concerns(target.0, target.1) {
        return Err(CliError::Unconcerned { file: path.display().to_string() });
    }
    Ok(Some(read))
}
