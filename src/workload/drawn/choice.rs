//! Which of several candidates each sequence gets for its world: the one with the most pairs of features that no earlier
//! sequence had together.
//!
//! Decides by the worlds alone, before anything runs, so that the same seed gives the same worlds.

use super::Offers;
use super::dice::Dice;
use super::mood::{Group, Mood, Scale, group};
use super::settings::NAMES;
use super::world::{self, World};
use crate::spec::{DrawnWorld, Generate, Scenario};

/// Worlds drawn for each sequence.
const CANDIDATES: u32 = 6;

/// So many features can be told apart.
const MOST_FEATURES: usize = 96;

/// Pairs of features that some world has had.
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

/// The candidate of each of the first `count` sequences.
pub(super) fn plan(
    scenario: &Scenario,
    generate: &Generate,
    drawn: &DrawnWorld,
    offers: &Offers<'_>,
    seed: u64,
    count: u32,
) -> Vec<u32> {
    let mut pairs = Pairs { seen: vec![false; MOST_FEATURES * MOST_FEATURES] };
    let mut chosen = Vec::with_capacity(count as usize);
    for index in 0..count {
        let candidate = |candidate| {
            let mut dice = Dice::new(seed, &scenario.id, index, candidate);
            features(&world::draw(scenario, generate, drawn, offers, &mut dice))
        };
        let all: Vec<(u32, Vec<u8>)> = (0..CANDIDATES).map(|c| (c, candidate(c))).collect();
        // The first of the best.
        let best = all.into_iter().rev().max_by_key(|(_, features)| pairs.fresh(features));
        if let Some((best, features)) = best {
            pairs.add(&features);
            chosen.push(best);
        }
    }
    chosen
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
