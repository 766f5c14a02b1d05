//! The pulse of long work: how long it has taken, how much was asked, how fast, and what was found, while it runs.
//!
//! Decides what is counted and how often it is said: on a terminal a bar, anywhere else a line from time to time, so
//! that a log shows life within a scenario too. All on stderr.

use std::io::IsTerminal;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{self, RecvTimeoutError, Sender};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use crate::engine::Clock;

use super::Context;
use super::output::{Paint, note};

/// How often the figures are drawn again, and a request to stop is noticed.
const TICK: Duration = Duration::from_millis(200);

/// Without a terminal, a line after so many seconds, however little moves.
const LINE_EVERY: f64 = 15.0;

/// Counts of long work, shown by a thread of its own until they are dropped.
pub(super) struct Pulse {
    counts: Arc<Counts>,
    end: Option<Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

struct Counts {
    /// What is worked on, as every line begins.
    name: String,
    bar: Option<ProgressBar>,
    clock: Clock,
    operations: AtomicU64,
    found: AtomicU64,
    done: AtomicU64,
    total: AtomicU64,
    /// What `done` and `total` count.
    what: Mutex<&'static str>,
}

impl Pulse {
    /// `found` is what that counts, as in `3 findings`.
    pub(super) fn start(name: &str, found: &'static str, context: &Context) -> Self {
        let paint = context.paint;
        let bar = std::io::stderr().is_terminal().then(|| {
            let bar = ProgressBar::with_draw_target(None, ProgressDrawTarget::stderr());
            bar.set_style(style(paint));
            bar.set_prefix(name.to_owned());
            bar
        });
        Pulse::beat(name, found, bar, context)
    }

    /// Without a bar, for what prints its results while it works.
    pub(super) fn lines(name: &str, found: &'static str, context: &Context) -> Self {
        Pulse::beat(name, found, None, context)
    }

    fn beat(name: &str, found: &'static str, bar: Option<ProgressBar>, context: &Context) -> Self {
        let counts = Arc::new(Counts {
            name: name.to_owned(),
            bar,
            clock: Clock::start(),
            operations: AtomicU64::new(0),
            found: AtomicU64::new(0),
            done: AtomicU64::new(0),
            total: AtomicU64::new(0),
            what: Mutex::new(""),
        });
        let (end, ended) = mpsc::channel();
        let (shown, stop) = (Arc::clone(&counts), context.stop.clone());
        let thread = std::thread::spawn(move || {
            let (mut said, mut is_stopping) = (0.0, false);
            while ended.recv_timeout(TICK) == Err(RecvTimeoutError::Timeout) {
                if !is_stopping && stop.is_asked() {
                    is_stopping = true;
                    shown.say("stopping: what there is so far is being written; a second signal ends it at once");
                }
                shown.show(found, &mut said);
            }
        });
        Pulse { counts, end: Some(end), thread: Some(thread) }
    }

    /// So many of something are to be done from here on.
    pub(super) fn begin(&self, total: u64, what: &'static str) {
        *self.counts.what.lock().unwrap_or_else(PoisonError::into_inner) = what;
        self.counts.done.store(0, Ordering::Relaxed);
        self.counts.total.store(total, Ordering::Relaxed);
        if let Some(bar) = &self.counts.bar {
            bar.set_length(total);
            bar.set_position(0);
        }
    }

    /// One of them is done: its number.
    pub(super) fn done(&self) -> u64 {
        if let Some(bar) = &self.counts.bar {
            bar.inc(1);
        }
        self.counts.done.fetch_add(1, Ordering::Relaxed) + 1
    }

    pub(super) fn total(&self) -> u64 {
        self.counts.total.load(Ordering::Relaxed)
    }

    pub(super) fn ran(&self, operations: u64) {
        self.counts.operations.fetch_add(operations, Ordering::Relaxed);
    }

    pub(super) fn found(&self) {
        self.counts.found.fetch_add(1, Ordering::Relaxed);
    }

    /// Whether a bar is drawn, so that plain lines are not wanted.
    pub(super) fn has_bar(&self) -> bool {
        self.counts.bar.is_some()
    }

    /// A line of its own, above the bar.
    pub(super) fn say(&self, text: &str) {
        self.counts.say(text);
    }

    /// Takes the bar away: what follows is the result.
    pub(super) fn clear(&mut self) {
        self.end = None;
        if let Some(thread) = self.thread.take() {
            // It only shows figures; one that panicked shows none any more.
            let _ = thread.join();
        }
        if let Some(bar) = &self.counts.bar {
            bar.finish_and_clear();
        }
    }
}

impl Drop for Pulse {
    fn drop(&mut self) {
        self.clear();
    }
}

impl Counts {
    fn say(&self, text: &str) {
        match &self.bar {
            Some(bar) => bar.suspend(|| note(text)),
            None => note(format_args!("{}: {text}", self.name)),
        }
    }

    /// The figures: on the bar always, as a line if the last one was long ago.
    fn show(&self, found: &str, said: &mut f64) {
        let seconds = self.clock.seconds();
        let [operations, findings] = [&self.operations, &self.found].map(|n| n.load(Ordering::Relaxed));
        let figures = figures(operations, seconds, findings, found);
        if let Some(bar) = &self.bar {
            bar.set_message(figures);
            bar.tick();
        } else if seconds - *said >= LINE_EVERY {
            *said = seconds;
            let [done, total] = [&self.done, &self.total].map(|n| n.load(Ordering::Relaxed));
            let what = *self.what.lock().unwrap_or_else(PoisonError::into_inner);
            let of = match (done, total) {
                (0, 0) => String::new(),
                (done, 0) => format!("{done} {what}, "),
                (done, total) => format!("{done}/{total} {what}, "),
            };
            note(format_args!("{}: {seconds:.0} s, {of}{figures}", self.name));
        }
    }
}

/// How much was asked, how fast, and what was found.
fn figures(operations: u64, seconds: f64, found: u64, what: &str) -> String {
    #[expect(clippy::cast_precision_loss, reason = "a rate for people")]
    let rate = operations as f64 / seconds.max(1e-9);
    format!("{operations} operations, {rate:.0} a second, {found} {what}")
}

fn style(paint: Paint) -> ProgressStyle {
    let template = match paint {
        Paint::On => "{prefix} [{bar:30.green}] {pos}/{len}, {elapsed}, {wide_msg}",
        Paint::Off => "{prefix} [{bar:30}] {pos}/{len}, {elapsed}, {wide_msg}",
    };
    // A template that does not parse would be our bug; the plain bar still tells how far the run is.
    ProgressStyle::with_template(template).map_or_else(|_| ProgressStyle::default_bar(), |s| s.progress_chars("=> "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_say_how_much_how_fast_and_what_for() {
        assert_eq!(figures(1_200, 4.0, 3, "findings"), "1200 operations, 300 a second, 3 findings");
        assert_eq!(figures(0, 0.0, 0, "found"), "0 operations, 0 a second, 0 found");
    }
}
