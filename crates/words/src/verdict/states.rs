//! Which values of abstract states came together in a run, as `run.json` has it.
//!
//! Decides the shape. What is counted, and what can come together, is said in `op`.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::op::State;
use crate::op::together::{self, Reach, Share, TRIPLES, Together};

/// Pairs and chosen triples of values, by their dimensions. `poolproof list states` says what each value means.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct StatesRecord {
    /// Every two dimensions of which pairs are counted.
    pub pairs: Vec<PairsRecord>,
    /// Three dimensions at a time, where what a step does hangs on two conditions at once.
    pub triples: Vec<TriplesRecord>,
    /// Values that the target cannot show, as `dimension:value`; no combination with one of them counts as reachable.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub hidden: Vec<String>,
    /// Pairs that came about although the rules say that none can.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub contradicted: Vec<[String; 2]>,
}

/// The pairs of two dimensions.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct PairsRecord {
    /// One dimension.
    pub one: String,
    /// The other; the same where a step may have several values of it.
    pub other: String,
    /// How many pairs came about.
    pub reached: u64,
    /// How many can, as far as is known: all that the target can show and no rule excludes.
    pub reachable: u64,
    /// Those that did not, by the value of `one`.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub missed: BTreeMap<String, Vec<String>>,
}

/// The triples of three dimensions.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct TriplesRecord {
    /// The dimensions.
    pub of: [String; 3],
    /// How many came about.
    pub reached: u64,
    /// How many can, as far as is known: those of which no two exclude each other.
    pub reachable: u64,
}

impl StatesRecord {
    /// What came together, of what can on a target.
    #[must_use]
    pub fn of(reach: &Reach, seen: &Together) -> Self {
        let names = |state: State| state.values().map(|v| v.name().to_owned()).collect();
        let pair = |(one, other)| {
            let Share { reached, reachable } = reach.share(one, other, seen);
            let missed = reach.missed(one, other, seen).into_iter();
            let missed = missed.map(|(value, with)| (value.name().to_owned(), names(with))).collect();
            PairsRecord { one: one.to_string(), other: other.to_string(), reached, reachable, missed }
        };
        let triple = |nth: usize| {
            let Share { reached, reachable } = reach.share_of_triple(nth, seen);
            TriplesRecord { of: TRIPLES[nth].map(|d| d.to_string()), reached, reachable }
        };
        let contradicted = reach.contradicted(seen).into_iter().map(|(a, b)| [a.to_string(), b.to_string()]);
        StatesRecord {
            pairs: together::dimensions().map(pair).collect(),
            triples: (0..TRIPLES.len()).map(triple).collect(),
            hidden: reach.hidden().values().map(|v| v.to_string()).collect(),
            contradicted: contradicted.collect(),
        }
    }

    /// Of all pairs.
    #[must_use]
    pub fn in_pairs(&self) -> Share {
        self.pairs.iter().fold(Share::default(), |all, p| Share {
            reached: all.reached.saturating_add(p.reached),
            reachable: all.reachable.saturating_add(p.reachable),
        })
    }

    /// Of all counted triples.
    #[must_use]
    pub fn in_triples(&self) -> Share {
        self.triples.iter().fold(Share::default(), |all, t| Share {
            reached: all.reached.saturating_add(t.reached),
            reachable: all.reachable.saturating_add(t.reachable),
        })
    }
}
