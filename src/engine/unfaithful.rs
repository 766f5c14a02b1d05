//! Unfaithful reporters: the plan against each way to tell one thing wrongly, in this process.
//!
//! Decides in which order scenarios are tried on a reporter: the one that noticed the latest one of the same observable
//! before all others. Makes nothing small. The reporters claim nobody's policy, so that whoever notices knows none.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::op::Setup;
use crate::op::corruption::{Corruption, Occasion};
use crate::oracle;
use crate::target::{self, TargetName};
use crate::verdict::record::{EndedBy, RunStamp};
use crate::verdict::unfaithful::{Noticed, ReporterRow, Unfaithful};

use super::EngineError;
use super::case::Case;
use super::kill_matrix::in_parallel;
use super::plan::{Plan, Planned};
use super::stamp::{Clock, run_stamp};
use super::stop::{Budget, Stop, Watch};
use super::tally::Tally;

/// What to hunt and how.
#[derive(Debug, Clone)]
pub struct UnfaithfulOptions {
    /// The sound target.
    pub base: TargetName,
    /// Which scenarios.
    pub plan: Plan,
    /// What is told wrongly, by observable.
    pub corruptions: Vec<Vec<Corruption>>,
    /// What every drawn sequence follows from.
    pub seed: u64,
    /// Whether a departure from PyTorch's policy counts as noticed, too.
    pub exact: bool,
    /// Sequences of each generated scenario, instead of its own number.
    pub cases: Option<u32>,
    /// Threads; at least one is used.
    pub jobs: usize,
    /// Ends the hunts early, with the observables that are whole.
    pub stop: Stop,
    /// The command line, for the stamp.
    pub command: String,
}

/// What a hunt tells whoever watches it. Called from several threads.
pub trait UnfaithfulProgress: Watch {
    /// So many observables will be tried.
    fn begin(&self, _rows: usize) {}
    /// An observable was tried in every way.
    fn tried(&self, _rows: &[ReporterRow]) {}
    /// Asks from time to time for the observables that are whole; made by nobody if not here.
    fn so_far(&self, _study: &dyn Fn() -> Unfaithful) {}
}

impl UnfaithfulProgress for super::Silent {}

/// Hunts every reporter.
///
/// # Errors
/// A base target that cannot be opened.
pub fn unfaithful(options: &UnfaithfulOptions, progress: &dyn UnfaithfulProgress) -> Result<Unfaithful, EngineError> {
    let options = &UnfaithfulOptions { plan: options.plan.telling(&options.base), ..options.clone() };
    let clock = Clock::start();
    let stamp = run_stamp(&options.command);
    let all: usize = options.corruptions.iter().map(Vec::len).sum();
    let mut selection = options.plan.selection.clone();
    selection.extend(options.exact.then(|| "--exact".to_owned()));
    selection.extend(options.cases.map(|n| format!("--cases {n}")));
    let study = |ended: EndedBy, rows: Vec<ReporterRow>| Unfaithful {
        format: Unfaithful::FORMAT.to_owned(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        base: options.base.to_string(),
        seed: options.seed,
        selection: selection.clone(),
        ended,
        untried: (all - rows.len()) as u64,
        scenarios: options.plan.entries.iter().filter(|e| e.left_out.is_none()).count() as u64,
        rows,
        stamp: RunStamp { seconds: clock.seconds(), ..stamp.clone() },
    };
    progress.begin(options.corruptions.len());
    progress.so_far(&|| study(EndedBy::Killed, Vec::new()));
    let work = |corruptions: &Vec<Corruption>| {
        let rows = hunt_observable(options, corruptions, progress)?;
        rows.iter().for_each(|rows| progress.tried(rows));
        Ok(rows)
    };
    let rows = in_parallel(options.jobs, &options.corruptions, work, &|rows| {
        progress.so_far(&|| study(EndedBy::Killed, rows.iter().flatten().flatten().cloned().collect()));
    })?;
    let ended = if options.stop.is_asked() { EndedBy::Interrupted } else { EndedBy::Complete };
    Ok(study(ended, rows.into_iter().flatten().collect()))
}

/// `None` if it was interrupted.
fn hunt_observable(
    options: &UnfaithfulOptions,
    corruptions: &[Corruption],
    watch: &dyn Watch,
) -> Result<Option<Vec<ReporterRow>>, EngineError> {
    let mut first: Option<String> = None;
    let mut rows: Vec<ReporterRow> = Vec::new();
    for &corruption in corruptions {
        // What is never told wrongly after every operation is not told wrongly after some of them.
        let always = |r: &&ReporterRow| r.kind == corruption.wrong.name() && r.occasion == Occasion::Always.name();
        if rows.iter().find(always).is_some_and(|r| r.told == 0) {
            rows.push(row(corruption, 0, None));
            continue;
        }
        let Some(row) = hunt(options, corruption, first.as_deref(), watch)? else { return Ok(None) };
        if let Some(noticed) = &row.noticed {
            first = Some(noticed.scenario.clone());
        }
        rows.push(row);
    }
    Ok(Some(rows))
}

/// Tries the plan on one reporter until somebody notices; `None` if it was interrupted.
fn hunt(
    options: &UnfaithfulOptions,
    corruption: Corruption,
    first: Option<&str>,
    watch: &dyn Watch,
) -> Result<Option<ReporterRow>, EngineError> {
    let told = Arc::new(AtomicU64::new(0));
    let open = |setup: &Setup| target::open_counted(&options.base, setup, corruption, &told);
    let target = options.base.to_string();
    let budget = Budget::new(None, &options.stop, watch);
    let mut chosen: Vec<&Planned> = options.plan.entries.iter().filter(|e| e.left_out.is_none()).collect();
    chosen.sort_by_key(|e| Some(e.scenario.id.as_str()) != first); // stable: the others keep the plan's order
    let (mut operations, mut noticed) = (0, None);
    for entry in chosen {
        let case = Case {
            scenario: &entry.scenario,
            open: &open,
            target: &target,
            seed: options.seed,
            cases: options.cases,
            exact: options.exact,
            stored: None,
            swarm: false,
            running: None,
        };
        let scenario = case.scenario;
        let mut tally = Tally::default();
        case.advance(&mut tally, case.planned(), &budget, None)?;
        if budget.is_stopped() {
            return Ok(None);
        }
        operations += tally.operations;
        let caught = tally.caught.as_ref().or(tally.departed.as_ref());
        let oracle = caught.map(|caught| caught.violation.oracle);
        if oracle.is_some() || tally.crash.is_some() {
            let requirement = caught.map_or(scenario.requirement, |caught| caught.requirement);
            noticed = Some(Noticed { requirement, oracle, scenario: scenario.id.clone(), operations });
            break;
        }
    }
    Ok(Some(row(corruption, told.load(Ordering::Relaxed), noticed)))
}

fn row(corruption: Corruption, told: u64, noticed: Option<Noticed>) -> ReporterRow {
    let observable = corruption.observable;
    ReporterRow {
        observable: observable.to_string(),
        group: observable.group(),
        kind: corruption.wrong.name().to_owned(),
        occasion: corruption.occasion.name().to_owned(),
        judges: oracle::judges(observable),
        told,
        noticed,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::Silent;
    use crate::op::OracleName;
    use crate::op::observable::Observable;
    use crate::spec;

    /// What is told wrongly always, of these observables, each in every way.
    fn hunted(observables: &[&str], scenarios: &[&str]) -> Unfaithful {
        let globs: Vec<String> = scenarios.iter().map(|glob| (*glob).to_owned()).collect();
        let of = |name: &&str| Corruption::of(name.parse::<Observable>().expect("an observable"));
        let options = UnfaithfulOptions {
            base: "reference@sim".parse().expect("is a target name"),
            plan: Plan::new(spec::built_in(), &globs, None).expect("is a plan"),
            corruptions: observables.iter().map(of).collect(),
            seed: 0,
            exact: false,
            cases: Some(4),
            jobs: 2,
            stop: Stop::default(),
            command: String::new(),
        };
        unfaithful(&options, &Silent).expect("the target opens")
    }

    #[test]
    fn what_is_told_wrongly_is_noticed_by_those_who_are_said_to_judge_it() {
        let observables = [
            "requested_bytes.small_pool.current",
            "inactive_split.all.peak",
            "oversize_segments.allocated",
            "num_device_free",
            "device.total_bytes",
            "device.idle",
            "dictionary.active.all.current",
            "reply.fraction",
            "event.bytes",
            "event.list",
        ];
        let study = hunted(&observables, &["stat::*", "tele::*", "summ::*", "frac::*", "iso::*"]);
        assert_eq!(
            study.rows.len(),
            observables.iter().map(|o| Corruption::of(o.parse().expect("is one")).len()).sum::<usize>()
        );
        let score = study.score(|_| true);
        assert!(score.percent() >= 90.0, "{score:?}");
        for row in &study.rows {
            let Some(oracle) = row.noticed.as_ref().and_then(|n| n.oracle) else { continue };
            let is_said = row.judges.contains(&oracle) || oracle == OracleName::Expectation || oracle.compares_runs();
            assert!(is_said || row.kind == "swapped", "{}: {oracle:?}", row.name());
        }
        for observable in observables {
            let noticed = |r: &&ReporterRow| r.observable == observable && r.noticed.is_some();
            assert!(study.rows.iter().any(|r| noticed(&r)), "{observable}");
        }
    }

    #[test]
    fn nothing_is_noticed_where_nothing_is_told_wrongly() {
        let study = hunted(&["oversize_allocations.current"], &["zero::*"]);
        let unreached = study.rows.iter().filter(|r| r.told == 0).count();
        assert!(unreached > 0 && study.rows.iter().all(|r| r.told > 0 || r.noticed.is_none()));
    }
}
