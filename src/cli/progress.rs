//! How a run shows that it moves: a bar on a terminal, plain lines anywhere else, all on stderr; and the
//! report so far, for whoever cuts it off.

use std::io::IsTerminal;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use crate::engine::{self, Progress};
use crate::report::{self, Language};
use crate::spec::expect::Expectations;
use crate::verdict::record::ScenarioRecord;
use crate::verdict::{Outcome, record};

use super::Context;
use super::output::{Paint, note};

/// Without a terminal, a line each time this part of the scenarios is done.
const STEPS: usize = 10;

/// How often the elapsed time is drawn again.
const TICK: Duration = Duration::from_millis(200);

/// The progress of a run on one target.
pub(super) struct Shown<'a> {
    bar: Option<ProgressBar>,
    target: String,
    verbose: bool,
    total: AtomicUsize,
    done: AtomicUsize,
    failed: AtomicUsize,
    /// Where the report so far goes, so that a run that is cut off leaves one.
    out: PathBuf,
    languages: &'static [Language],
    expected: Vec<&'a Expectations>,
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
        let (paint, verbose) = (context.paint, context.verbose);
        let bar = std::io::stderr().is_terminal().then(|| {
            let bar = ProgressBar::with_draw_target(None, ProgressDrawTarget::stderr());
            bar.set_style(style(paint));
            bar.set_prefix(target.to_owned());
            bar.enable_steady_tick(TICK);
            bar
        });
        Shown {
            bar,
            target: target.to_owned(),
            verbose,
            total: AtomicUsize::new(0),
            done: AtomicUsize::new(0),
            failed: AtomicUsize::new(0),
            out: out.to_owned(),
            languages,
            expected,
        }
    }

    /// The failures that are expected.
    pub(super) fn expected(&self) -> &[&'a Expectations] {
        &self.expected
    }

    /// Takes the bar away: what follows is the result.
    pub(super) fn clear(&self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }

    /// Without a terminal, a line for each part that is done.
    fn count(&self, done: usize, total: usize, what: &str) {
        if self.bar.is_none() && done * STEPS / total != (done - 1) * STEPS / total {
            note(format_args!("{}: {done}/{total} {what}", self.target));
        }
    }

    fn say(&self, text: String) {
        match &self.bar {
            Some(bar) => bar.suspend(|| note(text)),
            None => note(text),
        }
    }
}

fn style(paint: Paint) -> ProgressStyle {
    let template = match paint {
        Paint::On => "{prefix} [{bar:30.green}] {pos}/{len}, {elapsed} {msg:.red}",
        Paint::Off => "{prefix} [{bar:30}] {pos}/{len}, {elapsed} {msg}",
    };
    // A template that does not parse would be our bug; the plain bar still tells how far the run is.
    ProgressStyle::with_template(template).map_or_else(|_| ProgressStyle::default_bar(), |s| s.progress_chars("=> "))
}

impl Progress for Shown<'_> {
    fn begin(&self, scenarios: usize) {
        self.total.store(scenarios, Ordering::Relaxed);
        match &self.bar {
            Some(bar) => bar.set_length(scenarios as u64),
            None => note(format_args!("{}: {scenarios} scenarios", self.target)),
        }
    }

    fn finished(&self, record: &record::ScenarioRecord) {
        let done = self.done.fetch_add(1, Ordering::Relaxed) + 1;
        let total = self.total.load(Ordering::Relaxed).max(1);
        if matches!(record.outcome, Outcome::Fail | Outcome::Broken) {
            let failed = self.failed.fetch_add(1, Ordering::Relaxed) + 1;
            if let Some(bar) = &self.bar {
                bar.set_message(format!("{failed} failed"));
            }
        }
        if let Some(bar) = &self.bar {
            bar.inc(1);
        }
        if self.verbose {
            self.say(line(record));
        } else {
            self.count(done, total, "scenarios");
        }
    }

    fn begin_sweep(&self, sequences: usize) {
        self.total.store(sequences, Ordering::Relaxed);
        self.done.store(0, Ordering::Relaxed);
        match &self.bar {
            Some(bar) => {
                bar.set_message("sequences, their device calls failing in turn");
                bar.set_length(sequences as u64);
                bar.set_position(0);
            }
            None => note(format_args!("{}: device calls of {sequences} sequences fail in turn", self.target)),
        }
    }

    fn swept(&self) {
        let done = self.done.fetch_add(1, Ordering::Relaxed) + 1;
        let total = self.total.load(Ordering::Relaxed).max(1);
        if let Some(bar) = &self.bar {
            bar.inc(1);
        }
        self.count(done, total, "sequences swept");
    }

    fn so_far(&self, record: &record::RunRecord) {
        if self.languages.is_empty() {
            return;
        }
        // The report at the end of the run meets the same obstacle, and fails the run.
        let mut record = record.clone();
        engine::expect::apply(&mut record, &self.expected);
        if let Err(error) = report::write(&record, &self.out, self.languages) {
            log::warn!("the report so far: {error}");
        }
    }

    fn round(&self, number: u64) {
        match &self.bar {
            Some(bar) => bar.set_message(format!("round {}", number + 1)),
            None if self.verbose => note(format_args!("{}: round {}", self.target, number + 1)),
            None => {}
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

/// Progress of long work on rows: a line each time a tenth is done, and what is wrong at once; with `--verbose`, every row.
pub(super) struct Rows {
    what: &'static str,
    verbose: bool,
    total: AtomicUsize,
    done: AtomicUsize,
}

impl Rows {
    pub(super) fn new(what: &'static str, context: &Context) -> Self {
        Rows { what, verbose: context.verbose, total: AtomicUsize::new(0), done: AtomicUsize::new(0) }
    }

    pub(super) fn begin(&self, rows: usize) {
        self.total.store(rows, Ordering::Relaxed);
    }

    pub(super) fn row(&self, line: String, is_wrong: bool) {
        let done = self.done.fetch_add(1, Ordering::Relaxed) + 1;
        let total = self.total.load(Ordering::Relaxed).max(1);
        if self.verbose || is_wrong {
            note(line);
        } else if done * 10 / total != (done - 1) * 10 / total {
            note(format_args!("{}: {done}/{total} rows", self.what));
        }
    }
}
