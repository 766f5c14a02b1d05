//! The limit that the garbage collections of a snapshot went by. No snapshot names it; the collections tell between which
//! limits it was.
//!
//! Decides whether such a limit can be assumed: where with the least, the middle and the greatest of them everything that is
//! asked comes to the same. Where the program changed it on the way, none fits.

use std::fmt;

use super::verdict::{self, Disagreement, Reason};
use super::{Row, Workload, again};
use crate::op::size::human;
use crate::replay::history::{Outcome, Thresholds};
use crate::replay::note::Note;

/// The limits with which the reference collects what was recorded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Fitted {
    /// In bytes.
    pub least: u64,
    /// The same.
    pub most: u64,
    /// How many collections tell so, and how many requests for new memory before which nothing was collected.
    pub collections: u64,
    /// The same.
    pub without: u64,
}

/// Why no limit fits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unfitted {
    /// Settings changed on the way.
    Settings,
    /// The event of the request up to which one fits.
    Parted {
        /// Its position.
        index: u32,
    },
    /// The threshold is a share of no limit.
    NoShare,
    /// More was reserved than any that fits.
    Exceeded {
        /// The greatest that fits.
        most: u64,
    },
    /// Some fit all that was collected, and yet the reference comes to something else with them.
    Otherwise {
        /// The least and the greatest.
        least: u64,
        /// The same.
        most: u64,
    },
}

/// Which of the limits that fit is assumed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(in crate::replay) enum Pick {
    #[default]
    Least,
    Middle,
    Most,
}

impl Pick {
    pub const ALL: [Pick; 3] = [Pick::Least, Pick::Middle, Pick::Most];
}

impl Fitted {
    pub(super) fn at(self, pick: Pick) -> u64 {
        match pick {
            Pick::Least => self.least,
            Pick::Middle => self.least + (self.most - self.least) / 2,
            Pick::Most => self.most,
        }
    }

    /// The limits for thresholds in force, of which `peak` bytes were within the limit.
    fn of(told: &Thresholds, gc_threshold: f64, peak: u64) -> Result<Fitted, Unfitted> {
        if let Some(index) = told.parted {
            return Err(Unfitted::Parted { index });
        }
        let fits_least = first_limit(gc_threshold, told.least);
        let (least, most) = (fits_least.max(peak), first_limit(gc_threshold, told.below).saturating_sub(1));
        if fits_least > most {
            return Err(Unfitted::NoShare);
        }
        let fitted = Fitted { least, most, collections: told.collections, without: told.without };
        if least <= most { Ok(fitted) } else { Err(Unfitted::Exceeded { most }) }
    }
}

/// The least limit of which a share comes to so many bytes, truncated as PyTorch does.
fn first_limit(share: f64, bytes: u64) -> u64 {
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        clippy::cast_precision_loss,
        reason = "as PyTorch computes it"
    )]
    let reaches = |limit: u64| (share * limit as f64) as u64 >= bytes;
    let (mut low, mut high) = (0, u64::MAX);
    while low < high {
        let middle = low + (high - low) / 2;
        (low, high) = if reaches(middle) { (low, middle) } else { (middle + 1, high) };
    }
    low
}

/// What the collections of each device tell; `None` of devices that collected nothing.
pub(super) fn fit(workload: &Workload, outcome: &Outcome) -> Vec<Option<Result<Fitted, Unfitted>>> {
    let changed = |device: usize| {
        let of = |note: &Note| matches!(note, Note::SettingsChanged { device: of, .. } if *of == device);
        workload.notes.iter().any(of)
    };
    let one = |(device, told): (usize, &Thresholds)| {
        let collected = |note: &Note| matches!(note, Note::Collected { device: of, .. } if *of == device);
        workload.notes.iter().find(|note| collected(note))?;
        if changed(device) {
            return Some(Err(Unfitted::Settings));
        }
        let peak = workload.recorded.get(device).map_or(0, |row| row.peak_reserved);
        Some(Fitted::of(told, workload.settings.gc_threshold, peak))
    };
    outcome.thresholds.iter().enumerate().map(one).collect()
}

impl Workload {
    /// The limit of a device, if one was fitted.
    pub(super) fn limit(&self, device: usize, pick: Pick) -> Option<u64> {
        let fitted = self.limits.get(device).copied().flatten()?.ok()?;
        Some(fitted.at(pick))
    }

    /// Whether a limit was fitted for some device.
    pub fn has_fitted(&self) -> bool {
        self.limits.iter().flatten().any(Result::is_ok)
    }

    /// The limits to be tried: all that is asked has to come to the same with each.
    pub fn picks(&self) -> &'static [Pick] {
        if self.has_fitted() { &Pick::ALL } else { &Pick::ALL[..1] }
    }

    /// What was assumed of the limits.
    pub fn fitted_notes(&self) -> impl Iterator<Item = (usize, Note)> + '_ {
        self.limits.iter().enumerate().filter_map(|(device, fitted)| {
            let fitted = (*fitted)?.ok()?;
            Some((device, Note::Fitted { device, fitted, late: self.starts.contains_key(&device) }))
        })
    }
}

/// The reference under the recorded settings, and the first disagreement with the recorded run under any limit that fits.
pub(super) fn reference(workload: &Workload, recorded: &[Row]) -> (Vec<Row>, Option<Disagreement>) {
    let own = |device: usize| recorded.iter().any(|row| row.device == device);
    let mut first = None;
    for &pick in workload.picks() {
        let (mut rows, parted) = again(workload, pick);
        rows.retain(|row| own(row.device));
        let parted = parted.filter(|(device, ..)| own(*device));
        let mut disagreement = verdict::between(workload, (recorded, &rows), parted);
        if let (None, Some((device, ..))) = (&disagreement, parted)
            && let Some(Some(Ok(fitted))) = workload.limits.get(device)
        {
            // The figures of the whole are the same, but it did not come to them the same way.
            let why = Unfitted::Otherwise { least: fitted.least, most: fitted.most };
            let reason = Reason::Collections { times: fitted.collections, why: Some(why) };
            disagreement = Some(Disagreement { device, figure: None, reason });
        }
        if disagreement.is_some() {
            return (rows, disagreement);
        }
        first.get_or_insert(rows);
    }
    (first.unwrap_or_default(), None)
}

/// The first row in which two limits come to something else: other settings can then not be told of.
pub(super) fn differing(workload: &Workload, least: &[Row], other: &[Row], pick: Pick) -> Option<Disagreement> {
    let (one, other) = least.iter().zip(other).find(|(one, other)| one != other)?;
    let device = workload.limits.iter().position(|limit| matches!(limit, Some(Ok(_)))).unwrap_or(one.device);
    let limit = |pick| workload.limit(device, pick).unwrap_or(0);
    let reason = Reason::LimitMatters {
        config: one.config.clone(),
        limits: (limit(Pick::Least), limit(pick)),
        peaks: (one.peak_reserved, other.peak_reserved),
        calls: (one.device_calls, other.device_calls),
        refusals: (one.refusals, other.refusals),
    };
    Some(Disagreement { device: one.device, figure: None, reason })
}

impl fmt::Display for Unfitted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Unfitted::Settings => f.write_str("settings changed on the way, so that no limit was fitted to them"),
            Unfitted::Parted { index } => write!(
                f,
                "no limit fits all of them, if ages are counted from the start of the history and the limit stayed what it \
                 was: up to event {index} one does, and with it none"
            ),
            Unfitted::NoShare => f.write_str("the threshold in force is a share of no limit that fits them"),
            Unfitted::Exceeded { most } => write!(
                f,
                "no limit fits all of them: with more than {most} B ({}) less would have been collected, and more was reserved",
                human(most)
            ),
            Unfitted::Otherwise { least, most } => write!(
                f,
                "limits from {least} B ({}) to {most} B ({}) fit them, and yet the reference comes to something else with one \
                 of these",
                human(least),
                human(most)
            ),
        }
    }
}

#[cfg(test)]
#[path = "limit_test.rs"]
mod runs;

#[cfg(test)]
mod tests {
    use super::*;

    fn told(least: u64, below: u64) -> Thresholds {
        Thresholds { least, below, collections: 1, ..Thresholds::default() }
    }

    #[test]
    fn thresholds_give_the_limits_of_which_they_are_a_share() {
        let fitted = Fitted::of(&told(60, 66), 0.6, 0).expect("some fit");
        let threshold = |limit: u64| limit * 6 / 10;
        assert_eq!((fitted.least, fitted.most), (100, 109));
        assert!((fitted.least..=fitted.most).all(|limit| (60..66).contains(&threshold(limit))));
        assert!(threshold(fitted.least - 1) < 60 && threshold(fitted.most + 1) >= 66);
        assert_eq!(Pick::ALL.map(|pick| fitted.at(pick)), [100, 104, 109]);
    }

    #[test]
    fn what_was_reserved_was_within_the_limit() {
        assert_eq!(Fitted::of(&told(0, 66), 0.6, 105).map(|f| (f.least, f.most)), Ok((105, 109)));
        assert_eq!(Fitted::of(&told(0, 66), 0.6, 110), Err(Unfitted::Exceeded { most: 109 }));
        let parted = Thresholds { parted: Some(7), ..told(0, 66) };
        assert_eq!(Fitted::of(&parted, 0.6, 0), Err(Unfitted::Parted { index: 7 }));
        // A share so small that no limit reaches anything.
        assert_eq!(Fitted::of(&told(1, 9), f64::MIN_POSITIVE, 5), Err(Unfitted::NoShare));
    }
}
