//! What settings and changes would have come to, on the card as it was.
//!
//! Decides whether anything may be said about other settings, and what is proposed. Nothing is said where the simulated
//! card under the recorded settings does not come to what was recorded.

use serde::Serialize;

use super::Progress;
use super::cause;
use super::changes::Change;
use super::search::{self, Candidate};
use super::trial::{Bound, GRANULE, Outcome, Trials};
use super::watch::{Course, Moment};
use crate::replay::what_if::DEVICE_BYTES;

/// How the memory of the card is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum CardFrom {
    /// The recording names it.
    Recording,
    /// What was reserved and what the driver had free, at a refusal.
    Refusal,
    /// Nothing tells: one on which nothing is refused.
    Nothing,
}

/// The card as this program could use it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Card {
    pub bytes: u64,
    pub from: CardFrom,
}

/// A card on which the run fits, and on a smaller one it does not.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Smallest {
    pub config: String,
    pub card: u64,
}

/// A setting or a change that is proposed, and what its replay came to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Proposal {
    /// A change to the program, beside the settings.
    pub change: Option<Change>,
    pub outcome: Outcome,
}

/// What was tried.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Comparison {
    /// The recorded settings on the recorded card: as recorded.
    pub recorded: Outcome,
    /// Refused requests that count nowhere here, as no card could serve them.
    pub absurd: u64,
    /// Under the recorded settings; `None` where no card does.
    pub smallest: Option<Smallest>,
    /// Under the best settings tried; `None` where the recorded ones are the best.
    pub smallest_of_all: Option<Smallest>,
    /// What nothing beats, of all that was tried.
    pub unbeaten: Vec<Outcome>,
    /// Settings tried, the recorded ones among them.
    pub tried: u64,
    /// Pairs of settings were tried too.
    pub pairs: bool,
    /// What would have served every request; or where none was refused, what would have needed less.
    pub proposals: Vec<Proposal>,
}

/// What is said about other settings.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Compared {
    Compared {
        card: Card,
        comparison: Box<Comparison>,
    },
    /// The simulated card comes to something else than was recorded.
    Differs {
        card: Card,
        what: &'static str,
        recorded: u64,
        simulated: u64,
    },
    /// Interrupted before anything could be said.
    Interrupted,
}

/// The card, as far as refusals and the recording tell.
fn card_of(refusals: &[Moment], total: Option<u64>, course: &Course) -> Card {
    let by_driver = refusals.iter().filter(|moment| !cause::is_limited(moment));
    // A driver that had enough free was not what refused: the program had set a fraction that nothing tells.
    let room = by_driver.filter_map(|moment| {
        let free = moment.free?;
        let free = if free >= moment.asked.segment { 0 } else { free };
        Some(moment.account.reserved.saturating_add(free))
    });
    match (room.min(), total) {
        (Some(room), _) => {
            Card { bytes: room.max(course.peak_reserved).next_multiple_of(GRANULE), from: CardFrom::Refusal }
        }
        (None, Some(total)) => Card { bytes: total, from: CardFrom::Recording },
        (None, None) => {
            let bytes = DEVICE_BYTES.max(course.peak_reserved.saturating_mul(4).next_multiple_of(1 << 30));
            Card { bytes, from: CardFrom::Nothing }
        }
    }
}

/// The first figure in which the simulated card differs from the recording.
fn difference(trials: &Trials, recorded: &Course, simulated: &Outcome) -> Option<(&'static str, u64, u64)> {
    // Between episodes the recorder gave everything back, uncounted.
    let calls = if trials.is_one_life() { recorded.device_calls } else { simulated.device_calls };
    let figures = [
        ("peak reserved", recorded.peak_reserved, simulated.peak_reserved),
        ("peak allocated", recorded.peak_allocated, simulated.peak_allocated),
        ("refused now", 0, simulated.refused_now),
        ("served now", 0, simulated.served_now),
        ("device calls", calls, simulated.device_calls),
    ];
    figures.into_iter().find(|(_, recorded, simulated)| recorded != simulated)
}

pub(super) fn compare(
    trials: &Trials,
    course: &Course,
    refusals: &[Moment],
    total: Option<u64>,
    pairs: bool,
    progress: &dyn Progress,
) -> Compared {
    let card = card_of(refusals, total, course);
    let bound = Bound::Recorded { card: card.bytes, total: total.unwrap_or(card.bytes) };
    let recorded = trials.run(trials.config(), trials.settings(), bound, false);
    if let Some((what, recorded, simulated)) = difference(trials, course, &recorded) {
        return Compared::Differs { card, what, recorded, simulated };
    }
    let candidates = search::candidates(trials.config(), trials.settings(), trials.is_limited(), pairs);
    let found = search::on_card(trials, &candidates, bound, progress)
        .and_then(|outcomes| Some((outcomes, search::smallest(trials, &candidates, progress)?)));
    let Some((outcomes, smallest)) = found else { return Compared::Interrupted };
    let named = |(config, card): &(String, u64)| Smallest { config: config.clone(), card: *card };
    let own = smallest.first().filter(|(config, _)| config == trials.config());
    let best = smallest.last().filter(|(config, _)| config != trials.config());
    let proposals = if recorded.refusals > 0 {
        that_fit(trials, &candidates, &outcomes, bound)
    } else {
        that_save(&candidates, &outcomes)
    };
    let comparison = Comparison {
        absurd: trials.absurd,
        smallest: own.map(named),
        smallest_of_all: best.map(named),
        unbeaten: search::unbeaten(&outcomes),
        tried: outcomes.len() as u64,
        pairs,
        proposals,
        recorded,
    };
    Compared::Compared { card, comparison: Box::new(comparison) }
}

/// The settings that would have served every request, those with the fewest changes first, then the least memory;
/// and the change to the program that asks least of it.
fn that_fit(trials: &Trials, candidates: &[Candidate], outcomes: &[Outcome], bound: Bound) -> Vec<Proposal> {
    let fitting = candidates.iter().zip(outcomes).filter(|(_, outcome)| outcome.fits());
    let setting = fitting.min_by_key(|(candidate, o)| (candidate.changed, o.peak_reserved, o.device_calls, o.retries));
    let setting = setting.map(|(_, outcome)| Proposal { change: None, outcome: outcome.clone() });
    let changes = trials.changes();
    let change = changes.into_iter().find_map(|change| {
        let outcome = trials.changed(change).run(trials.config(), trials.settings(), bound, false);
        outcome.fits().then_some(Proposal { change: Some(change), outcome })
    });
    setting.into_iter().chain(change).collect()
}

/// The setting that needs least memory, if that is less than recorded by a twentieth or more.
fn that_save(candidates: &[Candidate], outcomes: &[Outcome]) -> Vec<Proposal> {
    let Some(recorded) = outcomes.first() else { return Vec::new() };
    let single =
        candidates.iter().zip(outcomes).filter(|(candidate, outcome)| candidate.changed == 1 && outcome.fits());
    let least = single.map(|(_, outcome)| outcome).min_by_key(|o| (o.peak_reserved, o.device_calls, o.retries));
    let worth_it = least.filter(|o| o.peak_reserved <= recorded.peak_reserved - recorded.peak_reserved / 20);
    worth_it.into_iter().map(|outcome| Proposal { change: None, outcome: outcome.clone() }).collect()
}
