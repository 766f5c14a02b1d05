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
    /// Each of them; and all together, where they are held against each other.
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
    /// Whether this scenario is expected to fail.
    pub(super) fn expects(&self, scenario: &Scenario) -> bool {
        let mut entries = self.expected.iter().flat_map(|file| &file.entries);
        entries.any(|entry| entry.about.is_about(&scenario.id, scenario.requirement))
    }

    /// How long a failure may be made smaller.
    pub(super) fn time(&self, is_expected: bool) -> Duration {
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
            ["oom::inside-pool", "oom::recovery"].map(|id| minimise.time(minimise.expects(scenario(id))).as_secs())
        };
        assert_eq!(times(&Minimise { expected: expected.clone(), ..Minimise::default() }), [5, 120]);
        assert_eq!(times(&Minimise { longest: Duration::from_secs(1), expected }), [1, 1]);
        assert_eq!(times(&Minimise::default()), [120, 120]);
    }
}
