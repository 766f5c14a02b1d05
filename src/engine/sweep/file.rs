//! The sweep of one file: a kept sequence, or the operations of a recording.
//!
//! Decides on which target a file is swept. What a recording reads as is `recorded`'s to say.

use std::path::Path;

use crate::engine::case::Case;
use crate::engine::lockstep::Conviction;
use crate::engine::opener::Named;
use crate::engine::replay::{self, Kind, Replayed};
use crate::engine::stop::{Budget, Patience, Stop};
use crate::engine::{EngineError, Progress};
use crate::op::{OracleName, Setup, Step, Text};
use crate::requirement::{Area, RequirementId, Severity};
use crate::spec::{Body, Scenario};
use crate::target::TargetName;
use crate::verdict::sweep::{SweepRecord, SweepStamp};

use super::trial::{Failure, Found, Subject};
use super::{SweepPlan, SweptTarget, keep, record_of, recorded, try_all, with_faults};

/// What is convicted without a requirement of its own: nothing leaks when device calls fail.
const REQUIREMENT: RequirementId = RequirementId::new(Area::Leak, 2);

/// What the sweep of a file came to.
#[derive(Debug, Clone, PartialEq)]
pub struct SweptFile {
    pub record: SweepRecord,
    /// What failed, each made small and run once more.
    pub failures: Vec<Replayed>,
}

/// Operations of a file as sequences, and the target they are for.
struct Contents {
    scenario: Scenario,
    target: TargetName,
    sequences: Vec<(Setup, Vec<Step>)>,
}

/// Sweeps the sequences of a file on its own target (the reference under the recorded settings, for a
/// recording), or on another one.
///
/// # Errors
/// A file that holds no sequence, a recording with private pools, a target that cannot be built.
pub fn sweep_file(
    path: &Path,
    on: Option<&TargetName>,
    plan: &SweepPlan,
    jobs: usize,
    stop: &Stop,
    progress: &dyn Progress,
) -> Result<SweptFile, EngineError> {
    let contents = read(path)?;
    let budget = Budget::new(None, stop, progress);
    let name = on.unwrap_or(&contents.target);
    let open = Named(name);
    let variants = SweptTarget::all(name, &open);
    let scenario = with_faults(&contents.scenario);
    let cases: Vec<Case<'_>> = variants.iter().map(|v| v.case(&scenario)).collect();
    let mut subjects = Vec::new();
    for case in &cases {
        for (nth, (setup, steps)) in (0..).zip(&contents.sequences) {
            let as_given = case.target == variants[0].name;
            subjects.push(Subject { as_given, ..Subject::new(case, "", setup.clone(), steps, nth) });
        }
    }
    progress.begin_sweep(subjects.len());
    let tried = try_all(jobs.max(1), &subjects, plan.pairs, &budget, progress, &|_, _| budget.found())?;
    let failures = keep(&subjects, &tried)
        .into_iter()
        .map(|(nth, failure)| again(&subjects[nth], failure, Patience::new(&budget, None)));
    let failures = failures.collect::<Result<_, EngineError>>()?;
    let mut record = record_of(&tried);
    record.targets = variants.iter().map(|v| v.name.clone()).collect();
    record.stamp = SweepStamp { seconds: budget.clock.seconds() };
    Ok(SweptFile { record, failures })
}

fn read(path: &Path) -> Result<Contents, EngineError> {
    let about = |id: &str, requirement: RequirementId, oracles: &[OracleName]| Scenario {
        id: id.to_owned(),
        file: path.display().to_string(),
        requirement,
        title: Text::default(),
        severity: Severity::High,
        effort_days: 0.0,
        requires: [].into(),
        devices: 1..=1,
        device_bytes: Vec::new(),
        streams: 1,
        config: None,
        oracles: oracles.iter().copied().collect(),
        must_reach: [].into(),
        must_combine: Vec::new(),
        exact_world: false,
        epilogue: true,
        body: Body::Steps(Vec::new()),
    };
    let bad_name = |name: &str| EngineError::TargetName { path: path.to_owned(), name: name.to_owned() };
    match replay::kind_of(path)? {
        Kind::Sequence => {
            let kept = replay::kept(path)?;
            Ok(Contents {
                scenario: about(&kept.scenario, kept.requirement, &kept.oracles),
                target: kept.target.parse().map_err(|_| bad_name(&kept.target))?,
                sequences: vec![(kept.setup, kept.steps)],
            })
        }
        Kind::Recording => {
            let recorded = recorded::read(path)?;
            let config =
                if recorded.config.is_empty() { String::new() } else { format!("?config={}", recorded.config) };
            let target = format!("reference@sim{config}");
            Ok(Contents {
                scenario: about("recording", REQUIREMENT, OracleName::ALL),
                target: target.parse().map_err(|_| bad_name(&target))?,
                sequences: recorded.sequences,
            })
        }
        Kind::Snapshot => Err(EngineError::Snapshot { path: path.to_owned() }),
    }
}

/// A failure made small, as a replay of it reads.
fn again(subject: &Subject<'_>, failure: &Failure, patience: Patience<'_>) -> Result<Replayed, EngineError> {
    match &failure.found {
        Found::Convicted(conviction) => {
            let caught = subject.pin_down(&failure.steps, conviction, patience);
            Ok(Replayed {
                target: caught.reproducer.target.clone(),
                operations: caught.transcript.len() as u64,
                conviction: Some(Conviction {
                    step: caught.reproducer.steps.len(),
                    violations: vec![caught.violation],
                }),
                panic: None,
                transcript: caught.transcript,
                reproducer: caught.reproducer,
            })
        }
        Found::Panicked(panicked) => Ok(Replayed {
            reproducer: subject.reproducer(failure.steps.clone()),
            target: subject.case.target.to_owned(),
            operations: 0,
            conviction: None,
            panic: Some(panicked.text.clone()),
            transcript: Vec::new(),
        }),
    }
}
