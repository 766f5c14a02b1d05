//! The recorded calls of one device, tried on simulated cards of other sizes and under other settings.
//!
//! Decides what fits means: every request is served that some card could serve. Does not decide what is tried.

use serde::Serialize;

use super::changes::Change;
use crate::reference::Settings;
use crate::replay::what_if::{self, Ask, Workload};

/// The driver gives memory in pieces of this size.
pub const GRANULE: u64 = 2 << 20;
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
    /// Requests that the recorded run was refused, served here.
    pub served_now: u64,
    /// Requests that the recorded run was served, refused here.
    pub refused_now: u64,
}

impl Outcome {
    #[must_use]
    pub fn fits(&self) -> bool {
        self.refusals == 0
    }
}

/// The recorded calls of one device.
#[derive(Debug, Clone)]
pub(super) struct Trials {
    workload: Workload,
    device: usize,
    /// Refused requests that do not count, as no card could serve them.
    pub absurd: u64,
    /// The program bounded its memory itself at some time.
    limited: bool,
}

/// Up to which memory the program may reserve.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Bound {
    /// The card's, and within it what fractions the program set, of a card of `total` bytes.
    Recorded { card: u64, total: u64 },
    /// The card's alone.
    Card(u64),
}

impl Trials {
    pub fn new(mut workload: Workload, device: usize) -> Self {
        let own = |at: usize, ask: &Ask| at == device || matches!(ask, Ask::Pool(_));
        workload.asks.retain(|(at, ask)| own(*at, ask));
        let absurd = workload.asks.iter().filter(|(_, ask)| is_absurd(ask)).count() as u64;
        let limits = |ask: &Ask| matches!(ask, Ask::Limit { fraction } if *fraction < 1.0);
        let limited = workload.settings.fraction < 1.0 || workload.asks.iter().any(|(_, ask)| limits(ask));
        Trials { workload, device, absurd, limited }
    }

    pub fn config(&self) -> &str {
        &self.workload.config
    }

    pub fn settings(&self) -> &Settings {
        &self.workload.settings
    }

    /// Whether garbage collection has a limit to go by.
    pub fn is_limited(&self) -> bool {
        self.limited
    }

    /// Nothing is cleared in the middle, as between the episodes of a recording.
    pub fn is_one_life(&self) -> bool {
        let clears = self.workload.asks.iter().filter(|(at, ask)| *at == self.device && *ask == Ask::Clear);
        clears.count() <= 1
    }

    /// What might be changed in the program.
    pub fn changes(&self) -> Vec<Change> {
        Change::possible(self.device, &self.workload.asks)
    }

    /// The same with some change to the program.
    pub fn changed(&self, change: Change) -> Trials {
        let mut changed = self.clone();
        change.apply(self.device, &mut changed.workload.asks);
        changed
    }

    fn bounded(&self, bound: Bound, settings: &Settings) -> (Workload, Settings, u64) {
        let mut workload = self.workload.clone();
        let mut settings = *settings;
        match bound {
            Bound::Recorded { card, total } => {
                for (_, ask) in &mut workload.asks {
                    if let Ask::Limit { fraction } = ask {
                        *fraction = scaled(*fraction, total, card);
                    }
                }
                (workload, settings, card)
            }
            Bound::Card(card) => {
                workload.asks.retain(|(_, ask)| !matches!(ask, Ask::Limit { .. }));
                if settings.gc_threshold == 0.0 || !self.limited && settings.fraction >= 1.0 {
                    settings.fraction = 1.0;
                    return (workload, settings, card);
                }
                // Collection goes by a limit: that of a card a little larger, which comes to the same.
                let total = card.saturating_add(GRANULE);
                settings.fraction = scaled(1.0, card.saturating_add(GRANULE / 2), total);
                (workload, settings, total)
            }
        }
    }

    /// Asks everything; with `hurried` no further than to the first refusal.
    pub fn run(&self, config: &str, settings: &Settings, bound: Bound, hurried: bool) -> Outcome {
        let (workload, settings, bytes) = self.bounded(bound, settings);
        let (mut before, mut refusals, mut served_now, mut refused_now) = (0, 0, 0, 0);
        let mut go_on = |ask: Ask, row: &what_if::Row| {
            let is_refused = row.refusals > before;
            before = row.refusals;
            // One that no card could serve is refused everywhere; the cache is given back before, here as there.
            let counts = is_refused && !is_absurd(&ask);
            refusals += u64::from(counts);
            if let Ask::Alloc { refused, .. } = ask {
                served_now += u64::from(refused && !is_refused);
                refused_now += u64::from(!refused && is_refused);
            }
            !(hurried && counts)
        };
        let rows = what_if::run_while(&workload, config, &settings, bytes, &mut go_on);
        let row = rows.into_iter().find(|row| row.device == self.device);
        let figure = |of: fn(&what_if::Row) -> u64| row.as_ref().map_or(0, of);
        Outcome {
            config: config.to_owned(),
            card: match bound {
                Bound::Recorded { card, .. } | Bound::Card(card) => card,
            },
            peak_reserved: figure(|r| r.peak_reserved),
            peak_allocated: figure(|r| r.peak_allocated),
            device_calls: figure(|r| r.device_calls),
            retries: figure(|r| r.retries),
            refusals,
            served_now,
            refused_now,
        }
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
    matches!(ask, Ask::Alloc { bytes, refused: true, .. } if *bytes >= ABSURD)
}

/// A share of `total` bytes as a share of `card`.
fn scaled(fraction: f64, total: u64, card: u64) -> f64 {
    if total == card || fraction >= 1.0 && total >= card {
        return fraction;
    }
    #[expect(clippy::cast_precision_loss, reason = "devices are far smaller than 2^53 bytes")]
    let ratio = total as f64 / card.max(1) as f64;
    (fraction * ratio).min(1.0)
}
