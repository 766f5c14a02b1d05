//! Values of states that exclude each other by definition: no allocator and no sequence brings them together.
//!
//! Decides which pairs count as out of reach, each with a reason. All others count as reachable until shown otherwise; a
//! run that comes upon a pair that is ruled out here says so, and a test fails on it.

use super::state::{Dimension, State, Value};
use super::{Capability, Policy};

/// One side of a rule.
#[derive(Debug, Clone, Copy)]
pub enum Side {
    /// Each of these.
    These(&'static [Value]),
    /// Every value of a dimension, but for some.
    AllOf(Dimension, &'static [Value]),
}

/// None of one side ever comes with one of the other.
#[derive(Debug, Clone, Copy)]
pub struct Exclusion {
    /// One side.
    pub one: Side,
    /// The other.
    pub other: Side,
    /// Only a target that claims this is bound by it.
    pub claimed: Option<Capability>,
    /// Why.
    pub why: &'static str,
}

const fn rule(one: &'static [Value], other: Side, why: &'static str) -> Exclusion {
    Exclusion { one: Side::These(one), other, claimed: None, why }
}

use Dimension as Of;
use Side::{AllOf, These};
use Value::{
    Another, CaptureBegun, CaptureEnded, Capturing, Changed, Default, Deferred, DeviceLater, DeviceSecond, Emptied,
    EmptiedInVain, Expandable, Flushed, Fraction, Freed, GraphKept, GraphOwn, GraphShared, Helped, Limited, LiveToo,
    Merged, Misuse, NoCapture, OneDevice, Oversize, PoolCall, PoolDied, PrivateFirst, PrivateLater, PrivateSecond,
    Read, Recorded, RefusedAtLimit, RefusedElsewhere, RefusedTooLarge, Reset, Retried, Small, TwoDevices, Waited, Zero,
};

/// The rules.
pub const ALL: &[Exclusion] = &[
    rule(
        &[Zero, Misuse, Emptied, EmptiedInVain, Waited, Limited, Reset, Read, PoolCall, PoolDied],
        AllOf(Of::Pool, &[]),
        "such a step is about no block",
    ),
    rule(&[CaptureBegun, CaptureEnded], AllOf(Of::Pool, &[]), "such a step is about no block"),
    rule(&[Emptied, EmptiedInVain], AllOf(Of::Device, &[]), "the cache is emptied on every device at once"),
    rule(&[Emptied, EmptiedInVain], AllOf(Of::Current, &[]), "the cache is emptied on every device at once"),
    rule(&[Default], AllOf(Of::Setting, &[Default]), "it means that no setting is in force, and no limit"),
    rule(
        &[Changed],
        AllOf(Of::Setting, &[Changed, Fraction]),
        "once settings were changed, none is told apart from others, but for a limit",
    ),
    rule(&[Default], These(&[Oversize]), "no size is oversize until a setting says which is"),
    rule(&[Default], These(&[RefusedAtLimit]), "it means that no limit is in force"),
    rule(
        &[OneDevice],
        These(&[DeviceSecond, DeviceLater, Another, LiveToo, RefusedElsewhere]),
        "it takes a second device",
    ),
    rule(&[TwoDevices], These(&[DeviceLater]), "it takes a third device"),
    rule(
        &[Helped],
        These(&[PrivateFirst, PrivateSecond, PrivateLater, GraphOwn, GraphShared]),
        "the request came from outside of private pools",
    ),
    rule(&[CaptureBegun], These(&[Capturing]), "one capture at a time"),
    rule(&[CaptureEnded], These(&[NoCapture, GraphKept]), "a capture was under way"),
    rule(&[GraphShared], These(&[NoCapture, GraphKept]), "it is a request on a stream that captures"),
    rule(
        &[GraphShared],
        These(&[Freed, Merged, Deferred, Recorded]),
        "what a capture took from a private pool lies in that pool",
    ),
    rule(&[Emptied, EmptiedInVain], These(&[RefusedElsewhere]), "the cache is emptied on every device at once"),
    rule(&[RefusedTooLarge], These(&[Small]), "what is larger than its device, and so called, has more than 1 MiB"),
    rule(
        &[Merged],
        These(&[Expandable]),
        "parts of segments that grow page by page are not counted, so that no merge shows",
    ),
    Exclusion {
        one: These(&[Flushed]),
        other: These(&[Default]),
        claimed: Some(Capability::Policy(Policy::Pytorch2_11)),
        why: "PyTorch gives some memory back, and not all, only under garbage_collection_threshold or max_split_size_mb",
    },
    Exclusion {
        one: These(&[Retried]),
        other: These(&[PrivateFirst, PrivateSecond, PrivateLater, GraphOwn, GraphShared]),
        claimed: Some(Capability::Policy(Policy::Pytorch2_11)),
        why: "PyTorch gives nothing back to try again while requests on the device are redirected",
    },
];

impl Side {
    /// The values that it names.
    #[must_use]
    pub fn values(self) -> State {
        match self {
            Side::These(values) => State::from(values),
            Side::AllOf(dimension, but) => {
                let all: Vec<Value> = dimension.values().collect();
                State::from(&all).without(State::from(but))
            }
        }
    }
}

/// What each value excludes for a target that claims what `claims` says it does, by the place of the value.
pub fn table(claims: impl Fn(Capability) -> bool) -> Vec<State> {
    let mut excluded = vec![State::EMPTY; Value::ALL.len()];
    for rule in ALL.iter().filter(|rule| rule.claimed.is_none_or(&claims)) {
        let (one, other) = (rule.one.values(), rule.other.values());
        one.values().for_each(|v| excluded[v.index()] = excluded[v.index()].and(other));
        other.values().for_each(|v| excluded[v.index()] = excluded[v.index()].and(one));
    }
    excluded
}

/// Why two values exclude each other for every target, if they do.
#[must_use]
pub fn between(one: Value, other: Value) -> Option<&'static str> {
    let names = |side: Side, value| side.values().has(value);
    let fits = |r: &&Exclusion| {
        r.claimed.is_none()
            && (names(r.one, one) && names(r.other, other) || names(r.one, other) && names(r.other, one))
    };
    ALL.iter().find(fits).map(|rule| rule.why)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rules_hold_both_ways_and_between_dimensions() {
        let table = table(|_| true);
        for &one in Value::ALL {
            assert!(!table[one.index()].has(one), "{one} excludes itself");
            for other in table[one.index()].values() {
                assert!(table[other.index()].has(one));
                assert!(one.dimension() != other.dimension() || one.dimension().is_plural(), "{one} and {other}");
            }
        }
    }

    #[test]
    fn a_claim_binds_only_who_makes_it() {
        assert!(!table(|_| false)[Flushed.index()].has(Default));
        assert!(table(|c| c == Capability::Policy(Policy::Pytorch2_11))[Flushed.index()].has(Default));
        assert_eq!(between(Flushed, Default), None);
        assert_eq!(between(NoCapture, CaptureEnded), Some("a capture was under way"));
    }
}
