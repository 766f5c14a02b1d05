//! From which event to which a snapshot is looked at.
//!
//! Decides how a bound is written, and which events of each device lie between two of them. Does not decide what stood
//! there.

use std::fmt;
use std::str::FromStr;

use crate::recording::MemorySnapshot;
use crate::recording::snapshot::told::Told;

/// Where a range begins or ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Bound {
    /// An event of each device's trace, from 0.
    Event(u64),
    /// A time as the trace tells it (`time_us`).
    Time(u64),
    /// So many microseconds after the first event of the file.
    After(u64),
}

/// Why a text is no bound.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "`{text}` is neither the number of an event (12000), nor a time of the trace (1795379117824299us), nor a time after its first event (+1.5s, +200ms, +40us, +2min)"
)]
pub struct BoundError {
    text: String,
}

/// How long a unit is, in microseconds; longer names first.
const UNITS: [(&str, u64); 4] = [("min", 60_000_000), ("us", 1), ("ms", 1000), ("s", 1_000_000)];

impl FromStr for Bound {
    type Err = BoundError;

    fn from_str(text: &str) -> Result<Self, BoundError> {
        let failed = || BoundError { text: text.to_owned() };
        if let Some(after) = text.strip_prefix('+') {
            let unit = UNITS.iter().find_map(|(unit, us)| after.strip_suffix(unit).map(|number| (number, *us)));
            let (number, us) = unit.ok_or_else(failed)?;
            return microseconds(number, us).map(Bound::After).ok_or_else(failed);
        }
        if let Some(number) = text.strip_suffix("us") {
            return number.parse().map(Bound::Time).map_err(|_| failed());
        }
        text.parse().map(Bound::Event).map_err(|_| failed())
    }
}

/// A decimal number of units.
fn microseconds(number: &str, unit: u64) -> Option<u64> {
    let (whole, rest) = number.split_once('.').unwrap_or((number, ""));
    let digits = |text: &str| text.bytes().all(|b| b.is_ascii_digit());
    if whole.is_empty() || !digits(whole) || !digits(rest) || rest.len() > 9 {
        return None;
    }
    let scale = 10_u64.pow(u32::try_from(rest.len()).ok()?);
    let part: u64 = if rest.is_empty() { 0 } else { rest.parse().ok()? };
    let part = u128::from(part) * u128::from(unit) / u128::from(scale);
    whole.parse::<u64>().ok()?.checked_mul(unit)?.checked_add(u64::try_from(part).ok()?)
}

impl fmt::Display for Bound {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Bound::Event(number) => write!(f, "{number}"),
            Bound::Time(us) => write!(f, "{us}us"),
            Bound::After(us) => write!(f, "+{us}us"),
        }
    }
}

/// A range, both bounds in it; without a bound it goes as far as the trace.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Range {
    /// The first event.
    pub from: Option<Bound>,
    /// The last event.
    pub to: Option<Bound>,
}

/// Why there is no such range.
#[derive(Debug, thiserror::Error)]
#[expect(missing_docs, reason = "the message of each says what happened")]
pub enum RangeError {
    #[error("{file}: {flag} {bound} is outside the trace, which has {there}")]
    Outside { file: String, flag: &'static str, bound: Bound, there: String },
    #[error("{file}: --from {from} is after --to {to}; the trace has {there}")]
    Reversed { file: String, from: Bound, to: Bound, there: String },
    #[error("{file}: no event of the allocator lies from {from} to {to}; the trace has {there}")]
    Nothing { file: String, from: String, to: String, there: String },
    #[error("{file}: {flag} {bound} is a time, and the events of this trace have none; it has {there}")]
    Timeless { file: String, flag: &'static str, bound: Bound, there: String },
    #[error("{file}: --from and --to are for memory snapshots; this is a recording")]
    Recording { file: String },
}

/// What a trace has, to be chosen from.
struct There<'t> {
    file: &'t str,
    /// How many events each device has, of any kind.
    events: Vec<u64>,
    times: Vec<Vec<(u64, u64)>>,
}

impl Range {
    /// All of the trace.
    #[must_use]
    pub fn is_whole(&self) -> bool {
        self.from.is_none() && self.to.is_none()
    }

    /// The numbers of the events in it, by device. Where there are none, the first one after it.
    ///
    /// # Errors
    /// No event of the allocator's lies in it, or a bound is outside the trace.
    pub fn events(&self, snapshot: &MemorySnapshot, told: &Told) -> Result<Vec<std::ops::Range<u32>>, RangeError> {
        let there = There::of(snapshot, told);
        for (flag, bound) in [("--from", self.from), ("--to", self.to)] {
            bound.map_or(Ok(()), |bound| there.check(flag, bound))?;
        }
        let ranges: Vec<_> = (0..there.events.len()).map(|device| there.between(self, device)).collect();
        if self.from.zip(self.to).is_some_and(|(from, to)| there.is_after(from, to)) {
            let (from, to) = (self.from.unwrap_or(Bound::Event(0)), self.to.unwrap_or(Bound::Event(0)));
            return Err(RangeError::Reversed { file: there.file.to_owned(), from, to, there: there.to_string() });
        }
        let has_events = snapshot
            .traces
            .iter()
            .zip(&ranges)
            .any(|(trace, range)| trace.iter().any(|placed| range.contains(&placed.index)));
        if !has_events && snapshot.has_history() {
            let text = |bound: Option<Bound>, none: &str| bound.map_or_else(|| none.to_owned(), |b| b.to_string());
            return Err(RangeError::Nothing {
                file: there.file.to_owned(),
                from: text(self.from, "the beginning"),
                to: text(self.to, "the end"),
                there: there.to_string(),
            });
        }
        Ok(ranges)
    }
}

impl<'t> There<'t> {
    fn of(snapshot: &'t MemorySnapshot, told: &Told) -> There<'t> {
        let times = |device: &crate::recording::snapshot::told::DeviceTold| {
            (0..).zip(&device.times).filter_map(|(at, time)| Some((at, (*time)?))).collect()
        };
        There {
            file: &snapshot.file,
            events: told.devices.iter().map(|device| device.times.len() as u64).collect(),
            times: told.devices.iter().map(times).collect(),
        }
    }

    /// The first and last time of all events.
    fn times(&self) -> Option<(u64, u64)> {
        let all = || self.times.iter().flatten().map(|(_, time)| *time);
        all().min().zip(all().max())
    }

    fn check(&self, flag: &'static str, bound: Bound) -> Result<(), RangeError> {
        let is_inside = match (bound, self.times()) {
            (Bound::Event(number), _) => self.events.iter().any(|&events| number < events),
            (_, None) => {
                let (file, there) = (self.file.to_owned(), self.to_string());
                return Err(RangeError::Timeless { file, flag, bound, there });
            }
            (Bound::Time(time), Some((first, last))) => (first..=last).contains(&time),
            (Bound::After(us), Some((first, last))) => us <= last - first,
        };
        if is_inside {
            return Ok(());
        }
        Err(RangeError::Outside { file: self.file.to_owned(), flag, bound, there: self.to_string() })
    }

    /// The time that a bound names.
    fn time(&self, bound: Bound) -> Option<u64> {
        match bound {
            Bound::Event(_) => None,
            Bound::Time(time) => Some(time),
            Bound::After(us) => self.times().map(|(first, _)| first.saturating_add(us)),
        }
    }

    /// The first event of a device from a bound on.
    fn first(&self, device: usize, bound: Bound) -> u64 {
        match (bound, self.time(bound)) {
            (Bound::Event(number), _) => number,
            (_, Some(from)) => {
                self.times[device].iter().find(|(_, time)| *time >= from).map_or(self.events[device], |(at, _)| *at)
            }
            (_, None) => 0,
        }
    }

    /// The event past the last one of a device up to a bound.
    fn past(&self, device: usize, bound: Bound) -> u64 {
        match (bound, self.time(bound)) {
            (Bound::Event(number), _) => number.saturating_add(1),
            (_, Some(to)) => self.times[device].iter().rev().find(|(_, time)| *time <= to).map_or(0, |(at, _)| at + 1),
            (_, None) => u64::MAX,
        }
    }

    fn between(&self, range: &Range, device: usize) -> std::ops::Range<u32> {
        let first = range.from.map_or(0, |bound| self.first(device, bound));
        let past = range.to.map_or(u64::MAX, |bound| self.past(device, bound)).min(self.events[device]);
        let number = |at: u64| u32::try_from(at).unwrap_or(u32::MAX);
        number(first.min(past))..number(past)
    }

    /// Whether the one bound is after the other, of all devices.
    fn is_after(&self, from: Bound, to: Bound) -> bool {
        match (self.time(from), self.time(to)) {
            (Some(from), Some(to)) => from > to,
            (None, None) => matches!((from, to), (Bound::Event(from), Bound::Event(to)) if from > to),
            _ => (0..self.events.len()).all(|device| self.first(device, from) >= self.past(device, to)),
        }
    }
}

impl fmt::Display for There<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut is_first = true;
        for (device, events) in self.events.iter().enumerate().filter(|(_, events)| **events > 0) {
            let comma = if std::mem::take(&mut is_first) { "" } else { ", " };
            write!(f, "{comma}events 0 to {} of device {device}", events - 1)?;
        }
        if is_first {
            f.write_str("no events")?;
        }
        match self.times() {
            Some((first, last)) => {
                #[expect(clippy::cast_precision_loss, reason = "seconds for people")]
                let seconds = (last - first) as f64 / 1e6;
                write!(f, ", from {first}us to {last}us (+{seconds:.3}s)")
            }
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bounds_are_numbers_or_times() {
        for (text, bound) in [
            ("0", Bound::Event(0)),
            ("12000", Bound::Event(12_000)),
            ("1795379117824299us", Bound::Time(1_795_379_117_824_299)),
            ("+0s", Bound::After(0)),
            ("+1.5s", Bound::After(1_500_000)),
            ("+200ms", Bound::After(200_000)),
            ("+0.25ms", Bound::After(250)),
            ("+40us", Bound::After(40)),
            ("+2min", Bound::After(120_000_000)),
        ] {
            assert_eq!(text.parse(), Ok(bound), "{text}");
        }
        for text in
            ["", "-1", "1s", "+", "+5", "+s", "+1.s2", "+.5s", "1.5", "us", "+99999999999999999999s", "x", "+1e3s"]
        {
            let error = text.parse::<Bound>().expect_err(text).to_string();
            assert!(error.starts_with(&format!("`{text}` is neither the number of an event")), "{error}");
        }
    }
}
