//! What long work tells while it runs: how much of it is done, in words of its own; and the report so far, for whoever
//! cuts it off. The figures that move are `pulse`'s.

use std::collections::BTreeSet;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use crate::engine::{self, Progress, Watch};
use crate::report::{self, Language};
use crate::spec::expect::Expectations;
use crate::verdict::Finding;
use crate::verdict::record::{RunRecord, ScenarioRecord};

use super::pulse::Pulse;
use super::{CliError, Context, Exit};

/// Without a terminal, a line each time this part of the scenarios is done.
const STEPS: u64 = 10;

/// So many failing scenarios get a line of their own while the run is under way; the others are counted.
const MOST_TOLD: usize = 10;

/// The progress of a run on one target.
pub(super) struct Shown<'a> {
    pulse: Pulse,
    verbose: bool,
    /// Where the report so far goes, so that a run that is cut off leaves one.
    out: PathBuf,
    languages: &'static [Language],
    expected: Vec<&'a Expectations>,
    /// The scenarios whose findings were told.
    told: Mutex<BTreeSet<String>>,
}

impl<'a> Shown<'a> {
    /// For what writes no report while it is under way.
    pub(super) fn quiet(target: &str, context: &Context) -> Self {
        Shown::new(target, Path::new(""), &[], Vec::new(), context)
    }

    pub(super) fn new(
        target: &str,
        out: &Path,
        languages: &'static [Language],
        expected: Vec<&'a Expectations>,
        context: &Context,
    ) -> Self {
        let pulse = Pulse::start(target, "findings", context);
        Shown { pulse, verbose: context.verbose, out: out.to_owned(), languages, expected, told: Mutex::default() }
    }

    /// The failures that are expected.
    pub(super) fn expected(&self) -> &[&'a Expectations] {
        &self.expected
    }

    /// Takes the bar away: what follows is the result.
    pub(super) fn clear(&mut self) {
        self.pulse.clear();
    }

    /// Without a terminal, a line for each part that is done.
    fn count(&self, what: &str) {
        let (done, total) = (self.pulse.done(), self.pulse.total().max(1));
        if !self.pulse.has_bar() && !self.verbose && done * STEPS / total != (done - 1) * STEPS / total {
            self.pulse.say(&format!("{done}/{total} {what}"));
        }
    }

    /// Without a terminal, a line for what begins.
    pub(super) fn begins(&self, text: &str) {
        if !self.pulse.has_bar() {
            self.pulse.say(text);
        }
    }

    /// A line for each scenario that failed since this was called last, up to some number: what it says is on the disk.
    fn tell_findings(&self, record: &RunRecord) {
        let mut told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
        for finding in &record.findings {
            if told.len() < MOST_TOLD && told.insert(finding.scenario.clone()) {
                let Finding { requirement, scenario, violation, .. } = finding;
                self.pulse.say(&format!("finding: {requirement} {scenario}: {}", violation.message.en));
            }
        }
    }
}

impl Watch for Shown<'_> {
    fn ran(&self, operations: u64) {
        self.pulse.ran(operations);
    }

    fn found(&self) {
        self.pulse.found();
    }
}

impl Progress for Shown<'_> {
    fn begin(&self, scenarios: usize) {
        self.pulse.begin(scenarios as u64, "scenarios");
        self.begins(&format!("{scenarios} scenarios"));
    }

    fn finished(&self, record: &ScenarioRecord) {
        if self.verbose {
            self.pulse.say(&line(record));
        }
        self.count("scenarios");
    }

    fn begin_sweep(&self, sequences: usize) {
        self.pulse.begin(sequences as u64, "sequences swept");
        self.begins(&format!("device calls of {sequences} sequences fail in turn"));
    }

    fn swept(&self) {
        self.count("sequences swept");
    }

    fn comparing(&self, violations: usize) {
        self.pulse.say(&format!("{violations} violations are held against each other"));
    }

    fn so_far(&self, record: &dyn Fn() -> RunRecord) {
        if self.languages.is_empty() {
            return;
        }
        // The report at the end of the run meets the same obstacle, and fails the run.
        let mut record = record();
        engine::expect::apply(&mut record, &self.expected);
        if let Err(error) = report::write(&record, &self.out, self.languages) {
            log::warn!("the report so far: {error}");
            return;
        }
        self.tell_findings(&record);
    }

    fn hangs(&self, mut record: RunRecord) {
        engine::expect::apply(&mut record, &self.expected);
        let written = report::write(&record, &self.out, self.languages);
        let mut text = format!("{}\n{}\n", report::table(&[&record]), report::headline(&record, Language::En));
        match written {
            Ok(paths) => paths.iter().for_each(|path| text.push_str(&format!("{}\n", path.display()))),
            Err(error) => self.pulse.say(&format!("error: {error}")),
        }
        // A reader that is gone is no reason to stay.
        let _ = std::io::stdout().write_all(text.as_bytes());
        // The thread that hangs cannot be ended otherwise.
        std::process::exit(Exit::of(&record) as i32);
    }

    fn round(&self, number: u64) {
        if self.verbose {
            self.begins(&format!("round {}", number + 1));
        }
    }
}

fn line(record: &ScenarioRecord) -> String {
    format!(
        "{:<14} {:<8} {}: {} sequences, {} operations, {:.2} s",
        record.outcome.name(),
        record.requirement.to_string(),
        record.id,
        record.sequences,
        record.operations,
        record.stamp.seconds
    )
}

/// Progress of long work on rows: a line each time a tenth is done, and what is wrong at once; with `--verbose`, every
/// row. What there is so far is handed on to be written.
pub(super) struct Rows<'a, T> {
    pulse: Pulse,
    verbose: bool,
    write: &'a (dyn Fn(&T) -> Result<(), CliError> + Sync),
}

impl<'a, T> Rows<'a, T> {
    /// `found` is what a row may show, as in `3 kills`.
    pub(super) fn new(
        name: &str,
        found: &'static str,
        write: &'a (dyn Fn(&T) -> Result<(), CliError> + Sync),
        context: &Context,
    ) -> Self {
        Rows { pulse: Pulse::start(name, found, context), verbose: context.verbose, write }
    }

    pub(super) fn begin(&self, rows: usize) {
        self.pulse.begin(rows as u64, "rows");
    }

    /// `found` says how much of what is counted the row shows.
    pub(super) fn row(&self, line: &str, found: usize, is_wrong: bool) {
        (0..found).for_each(|_| self.pulse.found());
        let (done, total) = (self.pulse.done(), self.pulse.total().max(1));
        if self.verbose || is_wrong {
            self.pulse.say(line);
        } else if !self.pulse.has_bar() && done * STEPS / total != (done - 1) * STEPS / total {
            self.pulse.say(&format!("{done}/{total} rows"));
        }
    }

    pub(super) fn write_so_far(&self, so_far: &dyn Fn() -> T) {
        // What is written at the end meets the same obstacle, and fails.
        if let Err(error) = (self.write)(&so_far()) {
            log::warn!("what there is so far: {}", error.lines().join("; "));
        }
    }
}

impl<T> Watch for Rows<'_, T> {
    fn ran(&self, operations: u64) {
        self.pulse.ran(operations);
    }
}
