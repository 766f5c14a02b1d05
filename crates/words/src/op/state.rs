//! Abstract states: what a step came to and what it was asked in, as a few values of a few dimensions.
//!
//! Decides the dimensions and their values, and what a target must have to show each. Which steps have which values is
//! read in `model::states`; which values exclude each other stands in `exclusion`.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::{Capability, Family};

macro_rules! dimensions {
    ($($(#[doc = $doc:literal])+ $name:ident = $text:literal),+ $(,)?) => {
        /// A side of a state.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[repr(u8)]
        pub enum Dimension { $($(#[doc = $doc])+ $name),+ }

        impl Dimension {
            /// Every dimension, in the order of their values.
            pub const ALL: &'static [Dimension] = &[$(Dimension::$name),+];

            /// As scenario files and reports write it.
            #[must_use]
            pub fn name(self) -> &'static str {
                match self { $(Dimension::$name => $text),+ }
            }

            /// What it is about.
            #[must_use]
            pub fn what(self) -> &'static str {
                match self { $(Dimension::$name => concat!($($doc),+).trim_ascii()),+ }
            }
        }
    };
}

dimensions! {
    /// What the step came to
    Step = "step",
    /// Where the block of a request or free lies, or the request would have been served from
    Pool = "pool",
    /// Which settings are in force; several at once stand each for itself
    Setting = "setting",
    /// For how many streams freed blocks of the device wait
    Pending = "pending",
    /// Whether a stream captures, or a graph is kept
    Capture = "capture",
    /// Which device the step is about
    Device = "device",
    /// Whether that device is the caller's current one
    Current = "current",
    /// How many devices there are
    Devices = "devices",
    /// Whether other devices hold live blocks
    Elsewhere = "elsewhere",
    /// What was refused, or failed, last, with no request served since
    Failure = "failure",
    /// How many blocks are live
    Scale = "scale",
}

macro_rules! values {
    ($($dimension:ident: { $($name:ident = $text:literal [$($takes:expr),*] $what:literal),+ $(,)? })+) => {
        /// One value of one dimension.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[repr(u8)]
        pub enum Value { $($(#[doc = $what] $name),+),+ }

        impl Value {
            /// Every value, dimension by dimension.
            pub const ALL: &'static [Value] = &[$($(Value::$name),+),+];

            /// The side that it is a value of.
            #[must_use]
            pub const fn dimension(self) -> Dimension {
                match self { $($(Value::$name)|+ => Dimension::$dimension),+ }
            }

            /// As scenario files write it under its dimension.
            #[must_use]
            pub fn name(self) -> &'static str {
                match self { $($(Value::$name => $text),+),+ }
            }

            /// What it means.
            #[must_use]
            pub fn what(self) -> &'static str {
                match self { $($(Value::$name => $what),+),+ }
            }

            /// What a target must have to show it.
            #[must_use]
            pub fn takes(self) -> &'static [Capability] {
                match self { $($(Value::$name => &[$($takes),*]),+),+ }
            }
        }
    };
}

use Capability::{
    Caching, CutsAnyBlock, DeferredFree, Devices, EmptyCache, Faults, GraphCapture, MemoryFraction, MergesAtFree,
    OomTyped, PeakReset, PrivatePools, RecordStream, Settings, SettingsChange, Streams,
};
const PARTS: Capability = Capability::Stats(Family::InactiveSplit);
const COUNTERS: Capability = Capability::Counters;

values! {
    Step: {
        FromCache = "from_cache" [Caching] "a request was served whole from what was cached",
        Split = "split" [Caching, CutsAnyBlock, PARTS] "a request was served by a part of a cached block",
        Grown = "grown" [] "a request was served by memory got from the device",
        Flushed = "flushed" [Caching, COUNTERS] "a request was served after some memory went back to the device for it",
        Retried = "retried" [Caching, COUNTERS] "a request was served after the cache was given back for it, which a counter says",
        Helped = "helped" [PrivatePools, Caching] "a request from outside was served by a private pool",
        Zero = "zero" [] "a request of 0 bytes was answered",
        RefusedAtLimit = "refused_at_limit" [OomTyped, MemoryFraction] "a request was refused, and the memory fraction stood in its way",
        RefusedByDevice = "refused_by_device" [OomTyped] "a request was refused for lack of memory, and no fraction stood in its way",
        RefusedTooLarge = "refused_too_large" [OomTyped] "a request of more than 1 MiB was refused that is larger than its device",
        CallFailed = "call_failed" [Faults] "a device call failed in the step, and it was refused",
        CallSurvived = "call_survived" [Faults] "a device call failed in the step, and it was served all the same",
        Misuse = "misuse" [] "a call was refused for its arguments or its pointer",
        Freed = "freed" [] "a block was given back, and free at once",
        Merged = "merged" [MergesAtFree, PARTS] "a block was given back, and became one with a free neighbour",
        Deferred = "deferred" [DeferredFree] "a block was given back, and has to wait",
        Recorded = "recorded" [RecordStream] "a stream was recorded on a block",
        Emptied = "emptied" [EmptyCache, Caching] "the cache was emptied, and memory went back",
        EmptiedInVain = "emptied_in_vain" [EmptyCache] "the cache was emptied, and nothing went back",
        Waited = "waited" [Streams] "work on streams was waited for, or ended",
        Limited = "limited" [MemoryFraction] "the memory fraction was set",
        Reset = "reset" [PeakReset] "peaks or sums were reset",
        Read = "read" [] "something was read: figures, a table, a snapshot, a fraction",
        PoolCall = "pool_call" [PrivatePools] "a private pool was made, entered, left, or lost a user and lived on",
        PoolDied = "pool_died" [PrivatePools] "the last user of a private pool went away",
        CaptureBegun = "capture_begun" [GraphCapture] "a stream began to capture",
        CaptureEnded = "capture_ended" [GraphCapture] "a capture ended",
    }
    Pool: {
        Small = "small" [] "the default pools, for up to 1 MiB",
        Large = "large" [] "the default pools, for more",
        Oversize = "oversize" [Settings] "the default pools, for as much as the figures call oversize",
        PrivateFirst = "private_first" [PrivatePools] "the first private pool that was made",
        PrivateSecond = "private_second" [PrivatePools] "the second",
        PrivateLater = "private_later" [PrivatePools] "a later one",
        GraphOwn = "graph_own" [GraphCapture] "the pool that a capture made for itself",
        GraphShared = "graph_shared" [GraphCapture, PrivatePools] "a private pool, by a capture",
    }
    Setting: {
        Default = "default" [] "none, and no limit",
        Expandable = "expandable" [Settings] "expandable_segments",
        MaxSplit = "max_split" [Settings] "max_split_size_mb",
        Collection = "collection" [Settings] "garbage_collection_threshold",
        Roundup = "roundup" [Settings] "roundup_power2_divisions",
        SegmentSize = "segment_size" [Settings] "large_segment_size_mb",
        NonSplitRounding = "non_split_rounding" [Settings] "max_non_split_rounding_mb",
        Fraction = "fraction" [MemoryFraction] "the device has a limit, by a call or a setting",
        Changed = "changed" [SettingsChange] "others than those from the start, whichever they are",
    }
    Pending: {
        NothingWaits = "none" [] "nothing waits",
        OneStream = "one_stream" [DeferredFree] "for one, or one is all that can be told",
        Streams = "streams" [DeferredFree] "for two or more",
    }
    Capture: {
        NoCapture = "none" [] "neither",
        Capturing = "capturing" [GraphCapture] "a stream of some device captures",
        GraphKept = "graph_kept" [GraphCapture] "nothing captures, and a graph was not reset",
    }
    Device: {
        DeviceFirst = "first" [] "the first",
        DeviceSecond = "second" [Devices(2)] "the second",
        DeviceLater = "later" [Devices(3)] "a later one",
    }
    Current: {
        Own = "own" [] "it is",
        Another = "another" [Devices(2)] "another one is",
    }
    Devices: {
        OneDevice = "one" [] "one",
        TwoDevices = "two" [Devices(2)] "two",
        MoreDevices = "more" [Devices(3)] "three or more",
    }
    Elsewhere: {
        Quiet = "quiet" [] "none does",
        LiveToo = "live" [Devices(2)] "one does",
    }
    Failure: {
        NoFailure = "none" [] "nothing",
        RefusedHere = "refused_here" [OomTyped] "a request on the same device, for lack of memory",
        RefusedElsewhere = "refused_elsewhere" [OomTyped, Devices(2)] "a request on another device, for lack of memory",
        CallFailedBefore = "call_failed" [Faults] "a device call",
        MisuseBefore = "misuse" [] "a call, for its arguments or its pointer",
    }
    Scale: {
        Tens = "tens" [] "fewer than 100",
        Hundreds = "hundreds" [] "fewer than 1,000",
        Thousands = "thousands" [] "fewer than 10,000",
        Myriads = "myriads" [] "10,000 or more",
    }
}

/// For each dimension, where its values start and how many they are.
const SPANS: [(usize, usize); Dimension::ALL.len()] = {
    let mut spans = [(0, 0); Dimension::ALL.len()];
    let mut at = 0;
    while at < Value::ALL.len() {
        let span = &mut spans[Value::ALL[at].dimension() as usize];
        if span.1 == 0 {
            span.0 = at;
        }
        span.1 += 1;
        at += 1;
    }
    spans
};

impl Dimension {
    /// Its values, in order.
    pub fn values(self) -> impl Iterator<Item = Value> {
        Value::ALL[self.start()..self.start() + self.count()].iter().copied()
    }

    /// The same, as a set.
    #[must_use]
    pub const fn all(self) -> State {
        State(((1 << self.count()) - 1) << self.start())
    }

    /// The place of its first value among all values.
    #[must_use]
    pub const fn start(self) -> usize {
        SPANS[self as usize].0
    }

    /// How many values it has.
    #[must_use]
    pub const fn count(self) -> usize {
        SPANS[self as usize].1
    }

    /// Whether a state may have several of its values, so that these are pairs, too.
    #[must_use]
    pub fn is_plural(self) -> bool {
        self == Dimension::Setting
    }

    /// The dimension of that name.
    #[must_use]
    pub fn named(name: &str) -> Option<Dimension> {
        Dimension::ALL.iter().copied().find(|d| d.name() == name)
    }

    /// The value of that name.
    #[must_use]
    pub fn value(self, name: &str) -> Option<Value> {
        self.values().find(|v| v.name() == name)
    }
}

impl fmt::Display for Dimension {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl Value {
    /// Its place among all values.
    #[must_use]
    pub fn index(self) -> usize {
        self as usize
    }

    /// The value of that key, `dimension:value`.
    #[must_use]
    pub fn keyed(key: &str) -> Option<Value> {
        let (dimension, name) = key.split_once(':')?;
        Dimension::named(dimension)?.value(name)
    }
}

impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.dimension(), self.name())
    }
}

/// Some values: those of one step, or any others.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct State(u128);

impl State {
    /// No value.
    pub const EMPTY: State = State(0);
    /// Every value.
    pub const ALL: State = State((1 << Value::ALL.len()) - 1);

    /// One value.
    #[must_use]
    pub const fn of(value: Value) -> State {
        State(1 << value as u32)
    }

    /// These values.
    #[must_use]
    pub fn from(values: &[Value]) -> State {
        values.iter().fold(State::EMPTY, |state, &value| state.with(value))
    }

    /// The same with one more.
    #[must_use]
    pub const fn with(self, value: Value) -> State {
        State(self.0 | 1 << value as u32)
    }

    /// The values of both.
    #[must_use]
    pub const fn and(self, other: State) -> State {
        State(self.0 | other.0)
    }

    /// The values that both have.
    #[must_use]
    pub const fn common(self, other: State) -> State {
        State(self.0 & other.0)
    }

    /// The values that the other has not.
    #[must_use]
    pub const fn without(self, other: State) -> State {
        State(self.0 & !other.0)
    }

    /// Whether it has the value.
    #[must_use]
    pub const fn has(self, value: Value) -> bool {
        self.0 >> value as u32 & 1 == 1
    }

    /// Whether it has none.
    #[must_use]
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// How many it has.
    #[must_use]
    pub const fn len(self) -> u32 {
        self.0.count_ones()
    }

    /// A number that states rarely share.
    #[must_use]
    pub const fn fold(self) -> u64 {
        #[expect(clippy::cast_possible_truncation, reason = "the halves are folded")]
        let (low, high) = (self.0 as u64, (self.0 >> 64) as u64);
        (low ^ high.rotate_left(29)).wrapping_mul(0x9e37_79b9_7f4a_7c15)
    }

    /// Its values, in order.
    pub fn values(self) -> impl Iterator<Item = Value> {
        let mut left = self.0;
        std::iter::from_fn(move || {
            let next = Value::ALL.get(left.trailing_zeros() as usize)?;
            left &= left - 1;
            Some(*next)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_key_reads_back_and_every_value_has_a_bit() {
        assert!(Value::ALL.len() <= u128::BITS as usize);
        for (place, &value) in Value::ALL.iter().enumerate() {
            assert_eq!((value.index(), Value::keyed(&value.to_string())), (place, Some(value)));
        }
        assert_eq!(Value::keyed("step:large"), None);
        let of_dimensions: Vec<Value> = Dimension::ALL.iter().flat_map(|d| d.values()).collect();
        assert_eq!(of_dimensions, Value::ALL, "values stand dimension by dimension");
    }

    #[test]
    fn a_state_has_what_was_put_in() {
        let values = [Value::FromCache, Value::Large, Value::Myriads];
        let state = State::from(&values);
        assert_eq!(state.values().collect::<Vec<_>>(), values);
        assert!(state.has(Value::Large) && !state.has(Value::Small) && State::EMPTY.values().next().is_none());
        assert_eq!(state.without(State::of(Value::Large)).len(), 2);
    }
}
