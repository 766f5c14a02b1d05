//! Which values of states came together in some step, in pairs and in chosen triples; and how much of what can come
//! together did.
//!
//! Decides what is counted. Which pairs exclude each other stands in `exclusion`.

use super::exclusion;
use super::state::{Dimension, State, Value};
use super::{Capability, TargetInfo};

/// The triples that are counted: where what a step does hangs on two conditions at once.
pub const TRIPLES: [[Dimension; 3]; 5] = [
    [Dimension::Step, Dimension::Pool, Dimension::Setting],
    [Dimension::Step, Dimension::Pool, Dimension::Capture],
    [Dimension::Step, Dimension::Pool, Dimension::Failure],
    [Dimension::Step, Dimension::Pending, Dimension::Failure],
    [Dimension::Step, Dimension::Devices, Dimension::Failure],
];

/// Values that came together. Empty until something is added.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Together {
    /// For each value, those that came with it, itself among them.
    with: Vec<State>,
    /// For each triple of dimensions, for each value of the first and each of the second, those of the third.
    triples: Vec<State>,
}

const VALUES: usize = Value::ALL.len();

impl Together {
    /// How many first two values the counted triples have.
    pub const PLACES: usize = STARTS[TRIPLES.len() - 1] + size(TRIPLES.len() - 1);

    /// Takes note of a step.
    pub fn add(&mut self, state: State) {
        if self.with.is_empty() {
            self.with.resize(VALUES, State::EMPTY);
            self.triples.resize(Self::PLACES, State::EMPTY);
        }
        for value in state.values() {
            let with = &mut self.with[value.index()];
            *with = with.and(state);
        }
        for (nth, [first, second, third]) in TRIPLES.into_iter().enumerate() {
            let of = |d: Dimension| state.common(d.all());
            for a in of(first).values() {
                for b in of(second).values() {
                    let with = &mut self.triples[place(nth, a, b)];
                    *with = with.and(of(third));
                }
            }
        }
    }

    /// Takes note of all that the other saw.
    pub fn merge(&mut self, other: &Together) {
        if self.with.is_empty() {
            self.clone_from(other);
            return;
        }
        let both = |all: &mut [State], more: &[State]| {
            all.iter_mut().zip(more).for_each(|(one, more)| *one = one.and(*more));
        };
        both(&mut self.with, &other.with);
        both(&mut self.triples, &other.triples);
    }

    /// What came with a value, itself included.
    #[must_use]
    pub fn with(&self, value: Value) -> State {
        self.with.get(value.index()).copied().unwrap_or_default()
    }

    /// What of the third dimension came with two values, of the counted triple of that number.
    #[must_use]
    pub fn with_both(&self, nth: usize, a: Value, b: Value) -> State {
        self.triples.get(place(nth, a, b)).copied().unwrap_or_default()
    }

    /// Whether no step was noted.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.with.is_empty()
    }
}

/// Where what came with two values of a triple stands: one after the other, without gaps.
const fn place(nth: usize, a: Value, b: Value) -> usize {
    let [first, second, _] = TRIPLES[nth];
    STARTS[nth] + (a as usize - first.start()) * second.count() + (b as usize - second.start())
}

const STARTS: [usize; TRIPLES.len()] = {
    let mut starts = [0; TRIPLES.len()];
    let mut at = 1;
    while at < TRIPLES.len() {
        starts[at] = starts[at - 1] + size(at - 1);
        at += 1;
    }
    starts
};

const fn size(nth: usize) -> usize {
    let [first, second, _] = TRIPLES[nth];
    first.count() * second.count()
}

/// How many combinations there are and how many came about.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Share {
    /// Came about.
    pub reached: u64,
    /// Can come about, as far as is known.
    pub reachable: u64,
}

/// What can come together on a target.
#[derive(Debug, Clone)]
pub struct Reach {
    /// What the target can show.
    shown: State,
    excluded: Vec<State>,
}

impl Reach {
    /// On a target that says this of itself in its widest world. What it has shown, it can show.
    #[must_use]
    pub fn of(info: &TargetInfo, seen: &Together) -> Self {
        let can = |capability: Capability| info.can(capability);
        let shows = |v: &Value| v.takes().iter().copied().all(can) || !seen.with(*v).is_empty();
        let shown: Vec<Value> = Value::ALL.iter().copied().filter(shows).collect();
        Reach { shown: State::from(&shown), excluded: exclusion::table(can) }
    }

    /// What the target cannot show.
    #[must_use]
    pub fn hidden(&self) -> State {
        State::ALL.without(self.shown)
    }

    /// What can come with a value, each pair seen from both its sides.
    #[must_use]
    pub fn partners(&self, value: Value) -> State {
        if !self.shown.has(value) {
            return State::EMPTY;
        }
        let own = if value.dimension().is_plural() { State::of(value) } else { value.dimension().all() };
        self.shown.without(self.excluded[value.index()]).without(own)
    }

    /// Of these two dimensions; of one with itself, each pair once.
    #[must_use]
    pub fn share(&self, one: Dimension, other: Dimension, seen: &Together) -> Share {
        let mut share = Share::default();
        for value in one.values() {
            let partners = self.partners(value).common(other.all()).without(before(one, other, value));
            share.reachable += u64::from(partners.len());
            share.reached += u64::from(partners.common(seen.with(value)).len());
        }
        share
    }

    /// The pairs of two dimensions that did not come about.
    #[must_use]
    pub fn missed(&self, one: Dimension, other: Dimension, seen: &Together) -> Vec<(Value, State)> {
        let of = |value: Value| {
            let partners = self.partners(value).common(other.all()).without(before(one, other, value));
            (value, partners.without(seen.with(value)))
        };
        one.values().map(of).filter(|(_, missed)| !missed.is_empty()).collect()
    }

    /// The pairs that came about and are ruled out.
    #[must_use]
    pub fn contradicted(&self, seen: &Together) -> Vec<(Value, Value)> {
        let of = |&value: &Value| {
            let wrong = self.excluded[value.index()].common(seen.with(value));
            wrong.values().filter(move |other| value < *other).map(move |other| (value, other))
        };
        Value::ALL.iter().flat_map(of).collect()
    }

    /// Of the counted triple of that number: out of reach where two of the three are.
    #[must_use]
    pub fn share_of_triple(&self, nth: usize, seen: &Together) -> Share {
        self.triples(nth).fold(Share::default(), |share, (a, b, partners)| Share {
            reached: share.reached + u64::from(partners.common(seen.with_both(nth, a, b)).len()),
            reachable: share.reachable + u64::from(partners.len()),
        })
    }

    /// The counted triples that did not come about: the place of their first two values, these, and what did not come
    /// with both.
    #[must_use]
    pub fn missed_triples(&self, seen: &Together) -> Vec<(usize, State, State)> {
        let missed = |nth: usize| {
            self.triples(nth).map(move |(a, b, partners)| {
                (place(nth, a, b), State::of(a).with(b), partners.without(seen.with_both(nth, a, b)))
            })
        };
        (0..TRIPLES.len()).flat_map(missed).filter(|(_, _, missed)| !missed.is_empty()).collect()
    }

    /// What can come with each two values that begin a triple.
    fn triples(&self, nth: usize) -> impl Iterator<Item = (Value, Value, State)> {
        let [first, second, third] = TRIPLES[nth];
        first.values().flat_map(move |a| {
            let with_a = self.partners(a);
            let second = with_a.common(second.all()).values();
            second.map(move |b| (a, b, with_a.common(self.partners(b)).common(third.all())))
        })
    }
}

/// The values of a dimension up to one of its own, whose pairs with it are counted already.
fn before(one: Dimension, other: Dimension, value: Value) -> State {
    let upto: Vec<Value> = one.values().filter(|v| *v <= value).collect();
    if one == other { State::from(&upto) } else { State::EMPTY }
}

/// Every two dimensions of which pairs are counted.
pub fn dimensions() -> impl Iterator<Item = (Dimension, Dimension)> {
    let all = Dimension::ALL;
    let from = |at: usize| if all[at].is_plural() { at } else { at + 1 };
    (0..all.len()).flat_map(move |at| all[from(at)..].iter().map(move |&other| (all[at], other)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::op::Growth;
    use crate::op::{Contract, DeviceInfo};

    fn info(devices: usize, capabilities: &[Capability]) -> TargetInfo {
        let growth = Growth::plain(1, 1);
        TargetInfo {
            name: "any".to_owned(),
            devices: vec![DeviceInfo::whole("d", 1 << 30); devices],
            streams: 1,
            capabilities: capabilities.iter().copied().collect(),
            contract: Contract { alignment: 1, growth, counts_segments: true, tensor_limit: None },
            config: None,
        }
    }

    #[test]
    fn what_came_together_is_counted_once_and_merges() {
        let mut one = Together::default();
        assert!(one.is_empty());
        let state = State::from(&[Value::Grown, Value::Large, Value::Roundup, Value::Expandable, Value::RefusedHere]);
        one.add(state);
        one.add(state);
        let mut other = Together::default();
        other.merge(&one);
        assert_eq!(one, other);
        let reach = Reach::of(&info(1, &[]), &one);
        let share = reach.share(Dimension::Step, Dimension::Pool, &one);
        assert_eq!(share.reached, 1);
        assert_eq!(reach.share(Dimension::Setting, Dimension::Setting, &one), Share { reached: 1, reachable: 1 });
        assert_eq!(reach.share_of_triple(0, &one).reached, 2, "one for each setting");
        assert_eq!(reach.share_of_triple(2, &one).reached, 1);
        assert_eq!(reach.contradicted(&one), []);
    }

    #[test]
    fn what_a_target_cannot_show_is_not_missed() {
        let seen = Together::default();
        let poor = Reach::of(&info(1, &[]), &seen);
        assert!(poor.hidden().has(Value::TwoDevices) && poor.hidden().has(Value::Capturing));
        assert_eq!(poor.share(Dimension::Capture, Dimension::Scale, &seen), Share { reached: 0, reachable: 4 });
        let missed = poor.missed(Dimension::Capture, Dimension::Scale, &seen);
        assert_eq!(
            missed.iter().map(|(value, with)| (*value, with.len())).collect::<Vec<_>>(),
            [(Value::NoCapture, 4)]
        );
        let rich = Reach::of(&info(3, &[Capability::GraphCapture]), &seen);
        assert_eq!(rich.share(Dimension::Capture, Dimension::Devices, &seen).reachable, 9);
        assert_eq!(rich.share(Dimension::Device, Dimension::Devices, &seen).reachable, 6, "three take more devices");
    }

    #[test]
    fn a_pair_that_is_ruled_out_is_noticed() {
        let mut seen = Together::default();
        seen.add(State::from(&[Value::CaptureBegun, Value::Capturing]));
        let found = Reach::of(&info(1, &[]), &seen).contradicted(&seen);
        assert_eq!(found, [(Value::CaptureBegun, Value::Capturing)]);
    }
}
