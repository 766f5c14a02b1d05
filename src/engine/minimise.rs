//! How long failing sequences are made smaller: each sequence of somebody else's allocator may cost a process.
//!
//! Decides the time for each failure of a scenario. What else may go into it is `tries`'s.

use std::time::Duration;

use crate::spec::Scenario;
use crate::spec::expect::Expectations;

/// Where nobody says how long.
const LONGEST: Duration = Duration::from_secs(120);

/// Where the failure is known: whoever expects it has seen it made small.
const OF_EXPECTED: Duration = Duration::from_secs(5);

/// How long failing sequences may be made smaller.
#[derive(Debug, Clone)]
pub struct Minimise {
    /// Each of them.
    pub longest: Duration,
    /// Scenarios that these files expect to fail are given 5 s at most.
    pub expected: Vec<Expectations>,
}

impl Default for Minimise {
    fn default() -> Self {
        Minimise { longest: LONGEST, expected: Vec::new() }
    }
}

impl Minimise {
    /// How long a failure of this scenario may be made smaller.
    pub(super) fn time_for(&self, scenario: &Scenario) -> Duration {
        let mut entries = self.expected.iter().flat_map(|file| &file.entries);
        let is_expected = entries.any(|entry| entry.about.is_about(&scenario.id, scenario.requirement));
        if is_expected { self.longest.min(OF_EXPECTED) } else { self.longest }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::spec;
    use crate::spec::expect::built_in;

    #[test]
    fn what_is_expected_to_fail_is_given_less_time() {
        let expected = vec![built_in("reference", "sim").expect("well formed").expect("there is one")];
        let scenarios = spec::built_in();
        let scenario = |id: &str| scenarios.iter().find(|s| s.id == id).expect("it exists");
        let times = |minimise: &Minimise| {
            ["oom::inside-pool", "oom::recovery"].map(|id| minimise.time_for(scenario(id)).as_secs())
        };
        assert_eq!(times(&Minimise { expected: expected.clone(), ..Minimise::default() }), [5, 120]);
        assert_eq!(times(&Minimise { longest: Duration::from_secs(1), expected }), [1, 1]);
        assert_eq!(times(&Minimise::default()), [120, 120]);
    }
}
