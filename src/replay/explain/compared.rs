//! What settings and changes would have come to, on the card as it was.
//!
//! Decides whether anything may be said about other settings, and what is proposed. Nothing is said where the simulated
//! card under the recorded settings does not come to what was recorded.

use serde::Serialize;

use super::Progress;
use super::changes::Change;
use super::page::words;
use super::search::{self, Candidate};
use super::trial::{Bound, Outcome, Trials};
use crate::op::Text;
use crate::replay::what_if::{self, CardSize, SizeFrom};

/// How the memory of the card is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum CardFrom {
    /// The recording names it.
    Recording,
    /// What was reserved and what the driver had free, at a refusal.
    Refusal,
    /// So much was held, and so much refused.
    Between { least: u64, below: u64 },
    /// At one time less was refused than was held at another.
    Changing,
    /// Nothing tells: it is assumed to be enough.
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
    Tried {
        card: Card,
        comparison: Box<Comparison>,
    },
    /// The simulated card comes to something else than was recorded.
    Differs {
        card: Card,
        why: Text,
    },
    /// Interrupted before anything could be said.
    Interrupted,
}

/// The card, as the recorded run tells it.
fn card_of(size: CardSize) -> Card {
    let from = match size.from {
        SizeFrom::Header | SizeFrom::Asked | SizeFrom::Others { .. } => CardFrom::Recording,
        SizeFrom::Refusals | SizeFrom::Refusal { .. } => CardFrom::Refusal,
        SizeFrom::Between { least, below } => CardFrom::Between { least, below },
        SizeFrom::Changing => CardFrom::Changing,
        SizeFrom::Nothing => CardFrom::Nothing,
    };
    Card { bytes: size.bytes, from }
}

pub(super) fn compare(trials: &Trials, pairs: bool, progress: &dyn Progress) -> Compared {
    let Some(&size) = trials.workload().cards.get(trials.device()) else { return Compared::Interrupted };
    let card = card_of(size);
    let (row, disagreement) = what_if::baseline(trials.workload(), trials.device());
    if let Some(disagreement) = disagreement {
        return Compared::Differs { card, why: words::disagreement(&disagreement) };
    }
    let refusals = row.refusals.saturating_sub(trials.absurd);
    let recorded = Outcome { refusals, ..Outcome::of(row, card.bytes) };
    let candidates = search::candidates(trials.config(), trials.recorded_settings(), trials.is_limited(), pairs);
    let found = search::on_card(trials, &candidates, &recorded, progress)
        .and_then(|outcomes| Some((outcomes, search::smallest(trials, &candidates, progress)?)));
    let Some((outcomes, smallest)) = found else { return Compared::Interrupted };
    for &pick in &trials.workload().picks()[1..] {
        match search::on_card(&trials.with_limit(pick), &candidates, &recorded, progress) {
            None => return Compared::Interrupted,
            Some(others) => {
                if let Some((one, _)) = outcomes.iter().zip(&others).find(|(one, other)| one != other) {
                    return Compared::Differs { card, why: words::limit_matters(&one.config) };
                }
            }
        }
    }
    let named = |(config, card): &(String, u64)| Smallest { config: config.clone(), card: *card };
    let own = smallest.first().filter(|(config, _)| config == trials.config());
    let best = smallest.last().filter(|(config, _)| config != trials.config());
    let proposals = if recorded.refusals > 0 {
        that_fit(trials, &candidates, &outcomes)
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
    Compared::Tried { card, comparison: Box::new(comparison) }
}

/// The settings that would have served every request, those with the fewest changes first, then the least memory;
/// and the change to the program that asks least of it.
fn that_fit(trials: &Trials, candidates: &[Candidate], outcomes: &[Outcome]) -> Vec<Proposal> {
    let fitting = candidates.iter().zip(outcomes).filter(|(_, outcome)| outcome.fits());
    let setting = fitting.min_by_key(|(candidate, o)| (candidate.changed, o.peak_reserved, o.device_calls, o.retries));
    let setting = setting.map(|(_, outcome)| Proposal { change: None, outcome: outcome.clone() });
    let changes = trials.changes();
    let change = changes.into_iter().find_map(|change| {
        let outcome = trials.changed(change).run(trials.config(), trials.recorded_settings(), Bound::Recorded, false);
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
