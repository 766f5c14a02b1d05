//! The recorded calls of one device, tried on simulated cards of other sizes and under other settings.
//!
//! Decides what fits means: every request is served that some card could serve. Does not decide what is tried.

use serde::Serialize;

use super::changes::Change;
use crate::op::GRANULE;
use crate::reference::Settings;
use crate::replay::what_if::{self, Ask, Pick, Workload};

/// A request of so much is not to be had of any card, and says nothing about the size of one.
pub const ABSURD: u64 = 1 << 40;
/// A card on which nothing is refused that is not absurd, unless what is held comes to as much.
const BOUNDLESS: u64 = ABSURD - GRANULE;

/// What a trial came to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Outcome {
    /// The settings as PyTorch writes them.
    pub config: String,
    pub card: u64,
    pub peak_reserved: u64,
    pub peak_allocated: u64,
    pub device_calls: u64,
    pub retries: u64,
    pub refusals: u64,
    /// What of the peak were blocks that stood when the history began.
    pub standing: u64,
    /// Requests that the recorded run was refused, served here.
    pub served_now: u64,
    /// Requests that the recorded run was served, refused here.
    pub refused_now: u64,
}

impl Outcome {
    /// What a row says, on a card of a size.
    pub(super) fn of(row: what_if::Row, card: u64) -> Outcome {
        Outcome {
            config: row.config,
            card,
            peak_reserved: row.peak_reserved,
            peak_allocated: row.peak_allocated,
            device_calls: row.device_calls,
            retries: row.retries,
            refusals: row.refusals,
            standing: row.standing_then,
            served_now: 0,
            refused_now: 0,
        }
    }

    #[must_use]
    pub fn fits(&self) -> bool {
        self.refusals == 0
    }
}

/// The recorded calls of one device.
#[derive(Debug, Clone)]
pub(super) struct Trials {
    workload: Workload,
    /// The same without the fractions that the program set, if it set any.
    unbound: Option<Workload>,
    device: usize,
    /// Refused requests that do not count, as no card could serve them.
    pub absurd: u64,
    /// The program bounded its memory itself at some time.
    limited: bool,
}

/// Up to which memory the program may reserve.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Bound {
    /// What the recorded run could, with the fractions that it set.
    Recorded,
    /// So much, and no fraction.
    Card(u64),
}

impl Trials {
    pub fn new(mut workload: Workload, device: usize) -> Self {
        let own = |at: usize, ask: &Ask| at == device || matches!(ask, Ask::Pool(_));
        workload.asks.retain(|(at, ask)| own(*at, ask));
        workload.starts.retain(|&at, _| at == device);
        let absurd = workload.asks.iter().filter(|(_, ask)| is_absurd(ask)).count() as u64;
        let limits = |ask: &Ask| matches!(ask, Ask::Limit { fraction } if *fraction < 1.0);
        let limited = workload.at_the_end.fraction < 1.0
            || workload.has_fitted()
            || workload.asks.iter().any(|(_, ask)| limits(ask));
        workload.asks.shrink_to_fit();
        let has_limits = workload.has_fitted() || workload.asks.iter().any(|(_, ask)| matches!(ask, Ask::Limit { .. }));
        let unbound = has_limits.then(|| {
            let mut unbound = workload.clone();
            unbound.asks.retain(|(_, ask)| !matches!(ask, Ask::Limit { .. }));
            unbound.forget_limits();
            unbound
        });
        Trials { workload, unbound, device, absurd, limited }
    }

    pub fn workload(&self) -> &Workload {
        &self.workload
    }

    pub fn device(&self) -> usize {
        self.device
    }

    /// The same with another of the limits that fit what was collected.
    pub fn with_limit(&self, pick: Pick) -> Trials {
        let mut trials = self.clone();
        trials.workload.pick = pick;
        trials
    }

    pub fn config(&self) -> &str {
        &self.workload.config
    }

    pub fn recorded_settings(&self) -> &Settings {
        &self.workload.at_the_end
    }

    /// Whether garbage collection has a limit to go by.
    pub fn is_limited(&self) -> bool {
        self.limited
    }

    /// What might be changed in the program.
    pub fn changes(&self) -> Vec<Change> {
        Change::possible(self.device, &self.workload.asks)
    }

    /// The same with some change to the program.
    pub fn changed(&self, change: Change) -> Trials {
        let mut workload = self.workload.clone();
        change.apply(self.device, &mut workload.asks);
        Trials::new(workload, self.device)
    }

    /// Settings and memory for a card of a size: collection goes by a limit, that of a card a little larger, which comes
    /// to the same.
    fn bounded(&self, settings: &Settings, card: u64) -> (Settings, u64) {
        if settings.gc_threshold == 0.0 || !self.limited && settings.fraction >= 1.0 {
            return (Settings { fraction: 1.0, ..*settings }, card);
        }
        let total = card.saturating_add(GRANULE);
        (Settings { fraction: share(card.saturating_add(GRANULE / 2), total), ..*settings }, total)
    }

    /// Asks everything; with `hurried` no further than to the first refusal.
    pub fn run(&self, config: &str, settings: &Settings, bound: Bound, hurried: bool) -> Outcome {
        let (workload, settings, bytes) = match bound {
            Bound::Recorded => (&self.workload, *settings, None),
            Bound::Card(card) => {
                let (settings, bytes) = self.bounded(settings, card);
                (self.unbound.as_ref().unwrap_or(&self.workload), settings, Some(bytes))
            }
        };
        let (mut before, mut refusals, mut served_now, mut refused_now) = (0, 0, 0, 0);
        let mut go_on = |at: usize, ask: &Ask, row: &what_if::Row| {
            if at != self.device {
                return true;
            }
            let is_refused = row.refusals > before;
            before = row.refusals;
            // One that no card could serve is refused everywhere; the cache is given back before, here as there.
            let counts = is_refused && !is_absurd(ask);
            refusals += u64::from(counts);
            if let Ask::Alloc { refused, .. } = *ask {
                served_now += u64::from(refused && !is_refused);
                refused_now += u64::from(!refused && is_refused);
            }
            !(hurried && counts)
        };
        let rows = what_if::run_while(workload, config, &settings, bytes, &mut go_on);
        let row = rows.into_iter().find(|row| row.device == self.device).unwrap_or_default();
        let card = match bound {
            Bound::Recorded => self.workload.cards.get(self.device).map_or(0, |card| card.bytes),
            Bound::Card(card) => card,
        };
        Outcome { refusals, served_now, refused_now, ..Outcome::of(row, card) }
    }

    pub fn fits(&self, settings: &Settings, card: u64) -> bool {
        self.run("", settings, Bound::Card(card), true).fits()
    }

    /// The smallest card on which everything fits, below `most` where that is known to fit; by bisection. `None` where
    /// not even `most` fits.
    pub fn smallest_card(&self, settings: &Settings, most: Option<u64>) -> Option<u64> {
        let free = self.run("", settings, Bound::Card(BOUNDLESS), false);
        if !free.fits() {
            return None;
        }
        let (mut none, mut fits) = (0, free.peak_reserved.next_multiple_of(GRANULE));
        if let Some(most) = most.filter(|&most| most < fits) {
            if !self.fits(settings, most) {
                return None;
            }
            fits = most;
        }
        while fits - none > GRANULE {
            let middle = none + (fits - none) / 2 / GRANULE * GRANULE;
            if self.fits(settings, middle) { fits = middle } else { none = middle }
        }
        Some(fits)
    }
}

fn is_absurd(ask: &Ask) -> bool {
    matches!(ask, Ask::Alloc { bytes, refused: true, .. } if *bytes >= ABSURD) || matches!(ask, Ask::Unaskable { .. })
}

fn share(part: u64, whole: u64) -> f64 {
    #[expect(clippy::cast_precision_loss, reason = "devices are far smaller than 2^53 bytes")]
    let share = part as f64 / whole.max(1) as f64;
    share
}
