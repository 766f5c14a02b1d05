//! Which of several candidates each sequence gets for its world: the one in which most may come about that did not yet.
//!
//! Decides by what the scenario's own sequences have come to so far, and by the worlds themselves: which pairs of values of
//! abstract states are missing, and which pairs of features no world had. The same seed gives the same worlds wherever a
//! target answers alike.

use super::Offers;
use super::afford::affords;
use super::dice::Dice;
use super::mood::{Group, Mood, Scale, group};
use super::settings::NAMES;
use super::world::{self, World};
use crate::op::together::Reach;
use crate::op::{State, TargetInfo, Together, Value};
use crate::spec::{Generate, Scenario};

/// Worlds drawn for a sequence: a few, and one more for so many operations, up to the most. A long sequence is worth more
/// thought.
const FEWEST: u32 = 4;
const MOST: u32 = 24;
const OPERATIONS: u32 = 20;

/// So many features can be told apart.
const MOST_FEATURES: usize = 96;

/// What a missing pair is worth the first time that a world may bring it about; each further time less.
const WORTH: u64 = 60;

/// What a pair of features is worth that no world had.
const FRESH: u64 = 20;

/// So many missing triples are worth as much as a missing pair.
const TRIPLE: u64 = 4;

/// Pairs of features that some world has had.
#[derive(Debug, Clone)]
struct Pairs {
    seen: Vec<bool>,
}

impl Pairs {
    fn fresh(&self, features: &[u8]) -> usize {
        pairs(features).filter(|&at| !self.seen[at]).count()
    }

    fn add(&mut self, features: &[u8]) {
        pairs(features).for_each(|at| self.seen[at] = true);
    }
}

fn pairs(features: &[u8]) -> impl Iterator<Item = usize> + '_ {
    let place = |a: u8, b: u8| usize::from(a) * MOST_FEATURES + usize::from(b);
    features.iter().enumerate().flat_map(move |(i, &a)| features[i + 1..].iter().map(move |&b| place(a, b)))
}

/// Chooses worlds for the sequences of one scenario, one after the other.
#[derive(Debug, Clone)]
pub struct Choice {
    pairs: Pairs,
    reach: Reach,
    /// How often a world was chosen that might have brought a missing pair about, by both values.
    tried: Vec<u16>,
    /// The same of missing triples, by the first two values.
    tried_triples: Vec<u16>,
}

/// What did not come about yet.
struct Missing {
    /// By the place of a value, what it did not come with.
    pairs: Vec<State>,
    /// Of counted triples: where their first two values stand, these, and what did not come with both.
    triples: Vec<(usize, State, State)>,
}

impl Choice {
    /// Before the first sequence, on a target that says this of itself in the widest world.
    #[must_use]
    pub fn new(info: &TargetInfo) -> Self {
        Choice {
            pairs: Pairs { seen: vec![false; MOST_FEATURES * MOST_FEATURES] },
            reach: Reach::of(info, &Together::default()),
            tried: vec![0; Value::ALL.len() * Value::ALL.len()],
            tried_triples: vec![0; Together::PLACES],
        }
    }

    /// Which candidate the next sequence gets, after those that came to `seen`; 0 where no world is drawn.
    pub fn next(
        &mut self,
        scenario: &Scenario,
        generate: &Generate,
        offers: &Offers<'_>,
        (seed, index): (u64, u32),
        seen: &Together,
    ) -> u32 {
        let Some(drawn) = &generate.world else { return 0 };
        let missing = Missing {
            pairs: Value::ALL.iter().map(|&value| self.reach.partners(value).without(seen.with(value))).collect(),
            triples: self.reach.missed_triples(seen),
        };
        let mut best: Option<(u64, u32, Vec<u8>, State)> = None;
        let (mut number, mut candidates) = (0, FEWEST);
        while number < candidates {
            let mut dice = Dice::new(seed, &scenario.id, index, number);
            let world = world::draw(scenario, generate, drawn, offers, &mut dice);
            candidates = (FEWEST + world.length() / OPERATIONS).min(MOST);
            let (features, affords) = (features(&world), affords(&world, &generate.sizes));
            let worth = self.worth(&missing, affords) + FRESH * self.pairs.fresh(&features) as u64;
            // The first of the best.
            if best.as_ref().is_none_or(|(most, ..)| worth > *most) {
                best = Some((worth, number, features, affords));
            }
            number += 1;
        }
        let Some((_, chosen, features, affords)) = best else { return 0 };
        self.pairs.add(&features);
        self.note_tried(&missing, affords);
        chosen
    }

    /// What the missing combinations are worth that a world may bring about.
    fn worth(&self, missing: &Missing, affords: State) -> u64 {
        let once_more = |tried: u16, count: u32| WORTH * u64::from(count) / (1 + u64::from(tried));
        let pairs = hopes(&missing.pairs, affords).map(|place| once_more(self.tried[place], 1)).sum::<u64>();
        let triples = hopes_of_triples(&missing.triples, affords);
        let triples = triples.map(|(place, count)| once_more(self.tried_triples[place], count)).sum::<u64>();
        pairs + triples / TRIPLE
    }

    fn note_tried(&mut self, missing: &Missing, affords: State) {
        for place in hopes(&missing.pairs, affords) {
            self.tried[place] = self.tried[place].saturating_add(1);
        }
        for (place, _) in hopes_of_triples(&missing.triples, affords) {
            self.tried_triples[place] = self.tried_triples[place].saturating_add(1);
        }
    }
}

/// The missing pairs of which a world has both values, by their place.
fn hopes(missing: &[State], affords: State) -> impl Iterator<Item = usize> + '_ {
    affords.values().flat_map(move |one| {
        let others = missing[one.index()].common(affords);
        let later = others.values().filter(move |other| one <= *other);
        later.map(move |other| one.index() * Value::ALL.len() + other.index())
    })
}

/// The missing triples of which a world has all values: where their first two stand, and how many go with both.
fn hopes_of_triples(missing: &[(usize, State, State)], affords: State) -> impl Iterator<Item = (usize, u32)> + '_ {
    let has_both = move |both: State| both.without(affords).is_empty();
    let of = move |&(place, both, third): &(usize, State, State)| (place, both, third.common(affords).len());
    missing.iter().map(of).filter(move |&(_, both, count)| count > 0 && has_both(both)).map(|(p, _, count)| (p, count))
}

/// What a world is like, in ascending numbers of which each belongs to one feature.
fn features(world: &World) -> Vec<u8> {
    let bytes = &world.setup.device_bytes;
    let bucket = |value: u64, ends: &[u64]| ends.iter().filter(|&&end| value > end).count();
    let least = bytes.iter().copied().min().unwrap_or(0);
    let has = |of: Group| world.weights.entries.iter().any(|&(kind, weight)| weight > 0 && group(kind) == of);
    let pools = if has(Group::Pools) { u64::from(world.pools) } else { 0 };
    let moods = |mood: Mood| world.phases.iter().any(|p| p.mood == mood);
    let mut at = 0;
    let mut all = Vec::new();
    let mut add = |value: usize, of: usize| {
        all.push(u8::try_from(at + value).unwrap_or(u8::MAX)); // `MOST_FEATURES` is less
        at += of;
    };
    add(bucket(bytes.len() as u64, &[1, 2, 4]), 4);
    add(bucket(least, &[128 << 20, 1 << 30, 16 << 30, 128 << 30]), 5);
    add(usize::from(bytes.iter().all(|&b| b == least)), 2);
    add(bucket(u64::from(world.setup.streams), &[1, 4, 8]), 4);
    add(bucket(pools, &[0, 2, 9]), 4);
    add(bucket(u64::from(world.length()), &[100, 1000, 5000]), 4);
    add(
        match world.scale {
            Scale::Small => 0,
            Scale::Mixed => 1,
            Scale::Large => 2,
        },
        3,
    );
    for setting in 0..NAMES.len() {
        add(usize::from(world.settings.named[setting]), 2);
    }
    add(usize::from(world.callers > 1), 2);
    add(usize::from(world.phases.iter().any(|p| p.again.is_some())), 2);
    for of in
        [Group::Record, Group::Busy, Group::Flush, Group::Limit, Group::Who, Group::Read, Group::Capture, Group::Fault]
    {
        add(usize::from(has(of)), 2);
    }
    for mood in Mood::ALL {
        add(usize::from(moods(mood)), 2);
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pairs_are_counted_once() {
        let mut pairs = Pairs { seen: vec![false; MOST_FEATURES * MOST_FEATURES] };
        assert_eq!(pairs.fresh(&[0, 5, 9]), 3);
        pairs.add(&[0, 5, 9]);
        assert_eq!((pairs.fresh(&[0, 5, 9]), pairs.fresh(&[0, 6, 9]), pairs.fresh(&[1, 6, 10])), (0, 2, 3));
    }
}
