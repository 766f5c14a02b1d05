//! The one registry of targets: what each is, its options, where it runs, how fresh it begins, how many may run at once,
//! whether this machine has what it needs, how it is opened, and what a sweep runs beside it.
//!
//! Decides which kind a name is of. One small file a target says the rest; how an option is read stands where it is read.

mod c10;
mod driver_pool;
mod exec;
mod forked;
mod packaged;
mod plugin;
mod reference;
mod torch;
mod worker;

use super::{Target, TargetError, TargetName};
use crate::op::Setup;

pub use reference::ReferenceOptions;

/// An option of a target's name, as `poolproof list targets` shows it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TargetOption {
    /// As it is written: `deadline=DURATION`.
    pub usage: &'static str,
    /// What it does, and what holds without it.
    pub what: &'static str,
}

/// Where the allocator runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Isolation {
    /// In the harness's own process.
    InProcess,
    /// In a process of its own, which may crash or hang without taking the harness along.
    Child,
    /// In a process that is judged in, another one for each sequence.
    Forked,
}

impl Isolation {
    /// In a word or two.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Isolation::InProcess => "in process",
            Isolation::Child => "child process",
            Isolation::Forked => "judged in a forked process",
        }
    }
}

/// How often the allocator begins anew.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Freshness {
    /// With every sequence; a process, if it has one, serves many.
    Sequence,
    /// The same as long as the settings stay; other settings are read by another process.
    Settings,
    /// Only with a new process: each sequence gets one.
    Process,
}

impl Freshness {
    /// As the option `fresh` writes it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Freshness::Sequence => "sequence",
            Freshness::Settings => "settings",
            Freshness::Process => "process",
        }
    }

    /// The one of that name.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        [Freshness::Sequence, Freshness::Settings, Freshness::Process].into_iter().find(|f| f.name() == text)
    }
}

/// How many may run at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Parallel {
    /// One for each core.
    EachCore,
    /// One: processes that share a GPU take turns of milliseconds.
    One,
}

/// What a target needs and this machine lacks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Missing {
    /// What is missing.
    pub reason: String,
    /// The command that lifts it, or says what would.
    pub lift: &'static str,
}

/// Builds a target for one sequence in this process.
type Open = fn(&TargetName, &Setup) -> Result<Box<dyn Target>, TargetError>;

/// Does once in a process what its copies then need not do.
type Prepare = fn(&TargetName) -> Result<(), TargetError>;

/// One kind of target.
#[derive(Debug)]
pub struct TargetKind {
    /// As a user names it; words in capitals stand for what a user fills in.
    pub name: &'static str,
    /// What it is.
    pub what: &'static str,
    /// Options, by who reads them.
    options: &'static [&'static [TargetOption]],
    /// Where it runs.
    pub isolation: Isolation,
    /// How often it begins anew, unless its name says otherwise.
    pub freshness: Freshness,
    /// How many run at once where a command line does not say.
    pub parallel: Parallel,
    /// `cargo test` tries every scenario on it.
    pub is_tried: bool,
    /// Whether a name without `worker:` is of this kind.
    is: fn(&TargetName) -> bool,
    /// It allocates on a GPU, whatever its name says besides.
    needs_gpu: bool,
    /// What it needs besides a GPU and this machine lacks.
    missing: fn() -> Option<Missing>,
    pub(super) prepare: Prepare,
    open: Open,
    siblings: fn(&TargetName) -> Vec<TargetName>,
}

/// Every kind, in the order of `poolproof list targets`.
pub static ALL: [&TargetKind; 13] = [
    &reference::SIM,
    &c10::SIM,
    &worker::KIND,
    &forked::KIND,
    &exec::KIND,
    &plugin::KIND,
    &packaged::RMM,
    &packaged::ONNX,
    &torch::SIM,
    &reference::CUDA,
    &c10::CUDA,
    &torch::CUDA,
    &driver_pool::KIND,
];

impl TargetKind {
    /// The kind of a target, that of the one behind `worker:` or `forked:`.
    #[must_use]
    pub fn of(name: &TargetName) -> Option<&'static TargetKind> {
        let inner = name.inner(&[]);
        ALL.into_iter().find(|kind| (kind.is)(&inner))
    }

    /// Its options.
    pub fn options(&self) -> impl Iterator<Item = TargetOption> {
        self.options.iter().copied().flatten().copied()
    }

    /// Its options as an error names them.
    #[must_use]
    pub fn known_options(&self) -> String {
        let all: Vec<&str> = self.options().map(|option| option.usage).collect();
        match all.split_last() {
            None => "none".to_owned(),
            Some((last, [])) => (*last).to_owned(),
            Some((last, others)) => format!("{} and {last}", others.join(", ")),
        }
    }

    /// What it needs and this machine lacks. Where it needs a GPU, contexts are made to see whether there is one that will do.
    #[must_use]
    pub fn missing(&self) -> Option<Missing> {
        self.missing_beside_gpu().or_else(|| if self.needs_gpu { gpu_missing() } else { None })
    }

    /// The same without a look at GPUs.
    #[must_use]
    pub fn missing_beside_gpu(&self) -> Option<Missing> {
        (self.missing)()
    }
}

/// Builds a target in this process, wherever it would rather run.
pub(super) fn open_here(name: &TargetName, setup: &Setup) -> Result<Box<dyn Target>, TargetError> {
    let kind = TargetKind::of(name).filter(|_| !name.is_behind_prefix()).ok_or_else(|| unknown(name))?;
    (kind.open)(name, setup)
}

/// The error of a name that is of no kind, with the nearest that is.
pub(super) fn unknown(name: &TargetName) -> TargetError {
    let asked = format!("{}@{}", name.allocator, name.place);
    let nearest = ALL.into_iter().min_by_key(|kind| strsim::levenshtein(kind.name, &asked));
    TargetError::Unknown { name: asked, hint: nearest.map(|kind| kind.name.to_owned()) }
}

/// An option that a target has not.
pub(super) fn unknown_option(name: &TargetName, option: &str) -> TargetError {
    let known = TargetKind::of(name).map_or_else(|| "none".to_owned(), TargetKind::known_options);
    TargetError::UnknownOption { target: name.to_string(), option: option.to_owned(), known }
}

/// The same target under settings that make it call the device in other ways: what a sweep over device calls
/// runs beside the target itself, so that every kind of call is met.
#[must_use]
pub fn siblings(name: &TargetName) -> Vec<TargetName> {
    TargetKind::of(name).map_or_else(Vec::new, |kind| (kind.siblings)(name))
}

/// The settings, the planted defect and the variation that the name of a reference on simulated devices gives;
/// `None` for any other target.
///
/// # Errors
/// An option, a defect, a variation or a setting that does not exist.
pub fn reference_options(name: &TargetName) -> Result<Option<ReferenceOptions>, TargetError> {
    reference::options(name)
}

/// How many of a target run at once on so many cores, where nobody says.
#[must_use]
pub fn jobs(name: &TargetName, cores: usize) -> usize {
    match TargetKind::of(name).map(|kind| kind.parallel) {
        Some(Parallel::One) => 1,
        Some(Parallel::EachCore) if name.place == "cuda" => 1,
        _ => cores,
    }
}

/// Why a target of that name cannot be used on this machine, whatever its options; `None` where it can.
#[must_use]
pub fn unavailable(name: &TargetName) -> Option<Missing> {
    TargetKind::of(name)?.missing()
}

fn nothing_missing() -> Option<Missing> {
    None
}

fn nothing_to_prepare(_: &TargetName) -> Result<(), TargetError> {
    Ok(())
}

fn no_siblings(_: &TargetName) -> Vec<TargetName> {
    Vec::new()
}

/// What every target on GPUs needs.
fn gpu_missing() -> Option<Missing> {
    let error = crate::cuda::probe().err()?;
    Some(Missing { reason: error.to_string(), lift: "poolproof doctor" })
}

/// What every target in a process of its own needs.
fn linux_missing() -> Option<Missing> {
    let reason = "it runs in a process of its own, which needs Linux".to_owned();
    (!cfg!(target_os = "linux")).then_some(Missing { reason, lift: "run poolproof on Linux" })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(text: &str) -> TargetName {
        text.parse().expect("well formed")
    }

    #[test]
    fn the_reference_is_swept_with_expandable_segments_too() {
        let beside = |text: &str| -> Vec<String> { siblings(&name(text)).iter().map(ToString::to_string).collect() };
        assert_eq!(beside("reference@sim"), ["reference@sim?expandable_segments:True"]);
        assert_eq!(
            beside("worker:reference@sim?deadline=5s"),
            ["worker:reference@sim?deadline=5s&expandable_segments:True"]
        );
        assert_eq!(
            beside("reference@sim?max_split_size_mb:20&defect=x"),
            ["reference@sim?defect=x&max_split_size_mb:20,expandable_segments:True"]
        );
        assert_eq!(beside("reference@sim?config=expandable_segments:False"), [""; 0]);
        assert_eq!(beside("torch@cuda"), [""; 0]);
    }

    #[test]
    fn every_name_has_one_kind() {
        for (text, kind, jobs_of_eight) in [
            ("reference@sim?defect=x", "reference@sim", 8),
            ("worker:reference@sim", "reference@sim", 8),
            ("forked:reference@sim", "reference@sim", 8),
            ("reference@cuda", "reference@cuda", 1),
            ("worker:driver-pool@cuda", "driver-pool@cuda", 1),
            ("exec:./a b@sim", "exec:COMMAND@PLACE", 8),
            ("exec:./a@cuda", "exec:COMMAND@PLACE", 1),
            ("plugin:./a.so@host?alloc=x", "plugin:PATH@PLACE", 8),
            ("plugin:./a.so@cuda", "plugin:PATH@PLACE", 1),
            ("rmm@host?mr=pool", "rmm@host", 8),
            ("onnx@host", "onnx@host", 8),
            ("torch@cuda?python=python3", "torch@cuda", 1),
            ("torch@sim", "torch@sim", 8),
        ] {
            let name = name(text);
            assert_eq!(TargetKind::of(&name).map(|kind| kind.name), Some(kind), "{text}");
            assert_eq!(ALL.iter().filter(|k| (k.is)(&name.inner(&[]))).count(), 1, "{text}");
            assert_eq!(jobs(&name, 8), jobs_of_eight, "{text}");
        }
        assert!(TargetKind::of(&name("torch@host")).is_none());
    }

    #[test]
    fn every_option_says_what_it_does_and_is_read() {
        for kind in ALL {
            for option in kind.options() {
                assert!(option.what.len() > 20 && !option.what.ends_with('.'), "{}: {option:?}", kind.name);
            }
        }
        let setup = Setup { device_bytes: vec![1 << 30], streams: 1, config: None };
        let refused = open_here(&name("reference@sim?colour=red"), &setup).err();
        let Some(TargetError::UnknownOption { known, .. }) = refused else { panic!("{refused:?}") };
        assert!(known.starts_with("defect=NAME, ") && known.contains(" and "), "{known}");
    }
}
