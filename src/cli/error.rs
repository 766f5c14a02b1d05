//! What can go wrong before there is a result, the exit code of each, and a hint where one helps.

use std::path::PathBuf;

use crate::bench::{FollowError, PeerError, TraceError};
use crate::contract::ContractError;
use crate::cuda::telemetry::TelemetryError;
use crate::cuda::{Code, CudaError};
use crate::engine::{EngineError, PlanError};
use crate::monitor::MonitorError;
use crate::replay::ReplayError;
use crate::replay::explain::ExplainError;
use crate::report::{ReportError, Unsaid};
use crate::setup::SetupError;
use crate::setup::torch::TorchError;
use crate::spec::SpecError;
use crate::target::worker::ServeError;
use crate::target::{self, TargetError, TargetNameError};

use super::exit::Exit;

/// Errors of scenario files that are printed; each file has few, and there may be many files.
const MOST_SHOWN: usize = 200;

/// Why a subcommand gave up.
#[derive(Debug, thiserror::Error)]
pub(super) enum CliError {
    #[error("{} errors in the scenario files", .0.len())]
    Spec(Vec<SpecError>),
    #[error(transparent)]
    Plan(#[from] PlanError),
    #[error(transparent)]
    Engine(#[from] EngineError),
    #[error(transparent)]
    Report(#[from] ReportError),
    #[error(transparent)]
    Replay(#[from] ReplayError),
    #[error("{}: is no recording in lines, and nothing else can be played back to a released library", path.display())]
    NotPlayable { path: PathBuf },
    #[error("{}: could not be played back to its end: {reason}", path.display())]
    NotPlayed { path: PathBuf, reason: String },
    #[error(transparent)]
    Explain(#[from] ExplainError),
    #[error(transparent)]
    Trace(#[from] TraceError),
    #[error(transparent)]
    Peer(#[from] PeerError),
    #[error(transparent)]
    Telemetry(#[from] TelemetryError),
    #[error(transparent)]
    Cuda(#[from] CudaError),
    #[error(transparent)]
    Follow(#[from] FollowError),
    #[error(transparent)]
    TargetName(#[from] TargetNameError),
    #[error(transparent)]
    Setup(#[from] SetupError),
    #[error(transparent)]
    Torch(#[from] TorchError),
    #[error(transparent)]
    Serve(#[from] ServeError),
    #[error("{}: cannot be written: {source}", path.display())]
    Unwritable { path: PathBuf, source: std::io::Error, flag: &'static str },
    #[error("{path}: cannot be opened: {source}")]
    NoPipe { path: &'static str, source: std::io::Error },
    #[error("PROPTEST_CASES is `{value}`, which is not a number of sequences (1 or more)")]
    Cases { value: String },
    #[error("{}: {source}", path.display())]
    Unsaid { path: PathBuf, source: Unsaid },
    #[error("{}: no violation shows on {target}, and a program would have nothing to check", path.display())]
    NoViolation { path: PathBuf, target: String },
    #[error("--out is one file, and {files} findings were given")]
    OneProgram { files: usize },
    #[error("--snapshot writes one file, and {files} were given to replay")]
    OneSnapshot { files: usize },
    #[error("{file}: speaks of none of the targets of this run")]
    Unconcerned { file: String },
    #[error("{}: there is such a file already", path.display())]
    Exists { path: PathBuf },
    #[error("--write-expect writes one file, and this run has {targets} targets: name one with --target")]
    OneDraft { targets: usize },
    #[error("--out has the run.json of none of these releases")]
    NoRuns,
    #[error("the runs of {one} and {other} are not alike: another seed, or other scenarios")]
    Unlike { one: String, other: String },
    #[error("--threads and --calls come to {calls} calls in a round; the most is {most}")]
    TooManyCalls { calls: u64, most: u64 },
    #[error("no planted defect is called {globs}")]
    NoDefect { globs: String },
    #[error("`{target}` runs in a process of its own, and reporters are tried in this one; reference@sim can be")]
    Apart { target: String },
    #[error(transparent)]
    Contract(#[from] ContractError),
    #[error(transparent)]
    Monitor(#[from] MonitorError),
    #[error("no row is called {globs}")]
    NoRow { globs: String },
    #[error("no observable is called {globs}")]
    NoObservable { globs: String },
    #[error("stdout: {source}")]
    Stdout { source: std::io::Error },
}

impl From<Vec<SpecError>> for CliError {
    fn from(errors: Vec<SpecError>) -> Self {
        CliError::Spec(errors)
    }
}

impl CliError {
    /// The message, one entry for each thing that is wrong.
    pub(super) fn lines(&self) -> Vec<String> {
        match self {
            CliError::Spec(errors) => {
                let shown = errors.iter().take(MOST_SHOWN).map(ToString::to_string);
                let more = errors.len().saturating_sub(MOST_SHOWN);
                shown.chain((more > 0).then(|| format!("… and {more} more lines of errors"))).collect()
            }
            other => vec![other.to_string()],
        }
    }

    pub(super) fn hint(&self) -> Option<String> {
        match self {
            CliError::Engine(EngineError::Foreign { looks, .. }) | CliError::Report(ReportError::Foreign { looks, .. }) => {
                looks.advice().map(str::to_owned)
            }
            CliError::Engine(EngineError::NotASequence { .. }) => Some(
                "replay takes reproducers (findings/*.json of a run), recordings of PyTorch and memory snapshots (pickles)"
                    .to_owned(),
            ),
            CliError::Report(
                ReportError::NotJson { .. } | ReportError::NoFormat { .. } | ReportError::UnknownFormat { .. }
                | ReportError::Malformed { .. },
            ) => Some("report takes the run.json that a run left in its folder for the target".to_owned()),
            CliError::Report(ReportError::NoRecord { below, .. }) => Some(match below {
                Some(folder) => format!("a run leaves a folder for each target; did you mean {}?", folder.display()),
                None => "name the run.json of a run, or the folder that it left for a target".to_owned(),
            }),
            CliError::Plan(PlanError::NoMatch { .. }) => {
                Some("`poolproof list scenarios` prints them; globs such as 'frac::*' match whole ids".to_owned())
            }
            CliError::TargetName(_) | CliError::Engine(EngineError::Target(TargetError::Unknown { .. })) => {
                let names: Vec<&str> = target::registry::ALL.iter().map(|kind| kind.name).collect();
                Some(format!("the targets here are {}", names.join(", ")))
            }
            CliError::NoDefect { .. } | CliError::Engine(EngineError::Target(TargetError::UnknownDefect { .. })) => {
                Some("`poolproof list defects` prints them".to_owned())
            }
            CliError::NoObservable { .. } | CliError::Engine(EngineError::Target(TargetError::UnknownObservable { .. })) => {
                Some("`poolproof list observables` prints them".to_owned())
            }
            CliError::Engine(EngineError::Target(TargetError::UnknownVariation { .. })) => {
                Some("`poolproof list variations` prints them".to_owned())
            }
            CliError::Telemetry(error) | CliError::Follow(FollowError::Telemetry(error)) => {
                Some(error.advice().to_owned())
            }
            CliError::Cuda(CudaError::Call { code: Code(2), .. }) => {
                Some("no memory is left on the GPU; `poolproof processes` prints who holds it".to_owned())
            }
            CliError::Setup(error) => error.advice().map(str::to_owned),
            CliError::Contract(error) => error.advice().map(str::to_owned),
            CliError::Monitor(error) => error.advice().map(str::to_owned),
            CliError::NoRow { .. } => {
                Some("`poolproof contract --list` prints them; globs such as 'memory_stats/*' match whole ids".to_owned())
            }
            CliError::Torch(error) => error.advice().map(str::to_owned),
            CliError::Cuda(_) => Some("`poolproof doctor` prints what there is and what is missing".to_owned()),
            CliError::Explain(ExplainError::Diverges { .. }) => {
                Some("`poolproof replay --exact` shows the divergence, with what the file leaves open".to_owned())
            }
            CliError::Unwritable { flag, .. } => Some(format!("choose another folder with {flag}")),
            _ => None,
        }
    }

    /// What goes wrong before there is a result is put right on the command line or in a file it names,
    /// unless it is the process of a target; what a target did is in the record.
    pub(super) fn exit(&self) -> Exit {
        let is_of_target = |error: &TargetError| {
            matches!(
                error,
                TargetError::Lost { .. }
                    | TargetError::NeedsLinux { .. }
                    | TargetError::Unavailable { .. }
                    | TargetError::TooSmall { .. }
            )
        };
        match self {
            CliError::Engine(EngineError::Target(error)) if is_of_target(error) => Exit::Target,
            CliError::Replay(ReplayError::Target(error)) if is_of_target(error) => Exit::Target,
            CliError::NotPlayed { .. }
            | CliError::Serve(ServeError::Read { .. } | ServeError::Write { .. } | ServeError::Json { .. }) => {
                Exit::Target
            }
            CliError::Setup(error) if !error.is_usage() => Exit::Target,
            CliError::Torch(TorchError::Stopped) => Exit::Inconclusive,
            CliError::Torch(error) if !error.is_usage() => Exit::Target,
            CliError::Telemetry(TelemetryError::NoSuchDevice { .. })
            | CliError::Cuda(CudaError::NoSuchDevice { .. }) => Exit::Usage,
            CliError::Telemetry(_)
            | CliError::Cuda(_)
            | CliError::Follow(_)
            | CliError::Contract(_)
            | CliError::Monitor(_) => Exit::Target,
            _ => Exit::Usage,
        }
    }
}
