//! A combination of values that a scenario can demand to have been in, in one and the same step.

use std::collections::BTreeMap;
use std::fmt;

use super::state::{Dimension, State};
use super::{Capability, TargetInfo};

/// For some dimensions, one of these values each.
#[derive(Debug, Clone, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Combination {
    of: Vec<(Dimension, State)>,
}

impl Combination {
    /// The same with one of these values of a dimension, too.
    pub fn add(&mut self, dimension: Dimension, any: State) {
        self.of.push((dimension, any));
        self.of.sort_unstable();
    }

    /// The dimensions that it names, with the values of each of which it takes one.
    #[must_use]
    pub fn parts(&self) -> &[(Dimension, State)] {
        &self.of
    }

    /// Whether a step in this state is in it.
    #[must_use]
    pub fn is_in(&self, state: State) -> bool {
        self.of.iter().all(|(_, any)| !any.common(state).is_empty())
    }

    /// What a target lacks that can show no value of some dimension.
    #[must_use]
    pub fn lacks(&self, info: &TargetInfo) -> Option<Capability> {
        let lacking = |any: &State| -> Option<Capability> {
            let of_each = any.values().map(|v| v.takes().iter().copied().find(|&c| !info.can(c)));
            of_each.collect::<Option<Vec<Capability>>>()?.first().copied()
        };
        self.of.iter().find_map(|(_, any)| lacking(any))
    }

    /// By the names of dimensions and values.
    #[must_use]
    pub fn names(&self) -> BTreeMap<String, Vec<String>> {
        let values = |any: State| any.values().map(|v| v.name().to_owned()).collect();
        self.of.iter().map(|&(dimension, any)| (dimension.name().to_owned(), values(any))).collect()
    }
}

impl fmt::Display for Combination {
    /// As scenario files write it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let part = |(dimension, any): &(Dimension, State)| {
            let values: Vec<&str> = any.values().map(super::Value::name).collect();
            let values = values.join(", ");
            if any.len() == 1 { format!("{dimension}: {values}") } else { format!("{dimension}: [{values}]") }
        };
        write!(f, "{{ {} }}", self.of.iter().map(part).collect::<Vec<_>>().join(", "))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::op::Value;

    #[test]
    fn one_value_of_each_dimension_is_enough() {
        let mut refused = Combination::default();
        refused.add(Dimension::Capture, State::of(Value::Capturing));
        refused.add(Dimension::Step, State::from(&[Value::RefusedAtLimit, Value::RefusedByDevice]));
        assert_eq!(refused.to_string(), "{ step: [refused_at_limit, refused_by_device], capture: capturing }");
        let state = State::from(&[Value::RefusedByDevice, Value::Capturing, Value::Large]);
        assert!(refused.is_in(state) && !refused.is_in(state.without(State::of(Value::Capturing))));
        assert!(!refused.is_in(State::from(&[Value::Grown, Value::Capturing])));
    }
}
