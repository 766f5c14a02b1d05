//! The one place of the engine that reads clocks and asks about the machine; all of it ends under keys
//! named `stamp`, in a time limit that the user gave, or in the end of an expectation.

use std::time::{Duration, Instant};

use crate::verdict::record::RunStamp;

/// A stopwatch.
#[derive(Debug, Clone, Copy)]
pub struct Clock {
    start: Instant,
}

impl Clock {
    /// Starts now.
    #[expect(clippy::disallowed_methods, reason = "time limits and stamps are read here and nowhere else")]
    #[must_use]
    pub fn start() -> Self {
        Clock { start: Instant::now() }
    }

    /// How long it has run.
    #[must_use]
    pub fn seconds(&self) -> f64 {
        self.start.elapsed().as_secs_f64()
    }

    pub(crate) fn is_past(&self, limit: Option<Duration>) -> bool {
        limit.is_some_and(|limit| self.start.elapsed() >= limit)
    }

    /// What is left of a limit.
    pub(super) fn left_of(&self, limit: Duration) -> Duration {
        limit.saturating_sub(self.start.elapsed())
    }
}

/// The beginning of a run's stamp; `seconds` is filled in at its end.
#[expect(clippy::disallowed_methods, reason = "the start of a run is part of its stamp")]
#[must_use]
pub fn run_stamp(command: &str) -> RunStamp {
    let now = jiff::Timestamp::now();
    let started = now.round(jiff::Unit::Second).unwrap_or(now).to_string();
    let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    RunStamp {
        started,
        seconds: 0.0,
        os: format!("{} {}", std::env::consts::OS, std::env::consts::ARCH),
        cpu: cpu_name(),
        cores: u64::try_from(cores).unwrap_or(u64::MAX),
        command: command.to_owned(),
    }
}

/// The day on which expectations are held against a run, in UTC.
#[expect(clippy::disallowed_methods, reason = "an expectation ends on a day")]
#[must_use]
pub fn today() -> jiff::civil::Date {
    jiff::Timestamp::now().to_zoned(jiff::tz::TimeZone::UTC).date()
}

/// The processor as Linux names it; empty where nobody says.
fn cpu_name() -> String {
    let text = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let line = text.lines().find(|l| l.starts_with("model name"));
    line.and_then(|l| l.split_once(':')).map_or_else(String::new, |(_, name)| name.trim().to_owned())
}
