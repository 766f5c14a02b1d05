//! One sequence on every release: where the answer changes.
//!
//! Decides which release is the first that answers differently.

use super::across::ask;
use crate::engine::{self, Named, Stop, Watch};
use crate::spec::Scenario;
use crate::target::{TargetName, make_room};
use crate::verdict::Reproducer;
use crate::verdict::releases::Answer;

/// What a release answers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Bisected {
    /// As it is called.
    pub release: String,
    /// What it came to.
    pub answer: Answer,
}

/// Two neighbours that answer differently; releases in between, if there are any, gave no answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Differs {
    /// The older one.
    pub older: String,
    /// The newer one.
    pub newer: String,
}

/// Asks the releases one after the other, and tells of each.
///
/// # Errors
/// What `tell` says.
pub fn bisect<E>(
    reproducer: &Reproducer,
    scenario: Option<&Scenario>,
    releases: &[(String, TargetName)],
    stop: &Stop,
    watch: &dyn Watch,
    mut tell: impl FnMut(&Bisected) -> Result<(), E>,
) -> Result<Vec<Bisected>, E> {
    let mut all = Vec::new();
    for (release, target) in releases {
        let answer = if stop.is_asked() {
            Answer::NotAsked
        } else {
            make_room(target);
            let lacks = scenario.and_then(|s| engine::inapplicable(&Named(target), s).ok().flatten());
            match lacks {
                Some(why) => Answer::NotApplicable { why },
                None => ask(reproducer, target, watch),
            }
        };
        let bisected = Bisected { release: release.clone(), answer };
        tell(&bisected)?;
        all.push(bisected);
    }
    Ok(all)
}

/// Where the answer changes, the oldest first. A release that gave none says nothing.
#[must_use]
pub fn differing(all: &[Bisected]) -> Vec<Differs> {
    let told: Vec<&Bisected> =
        all.iter().filter(|b| matches!(b.answer, Answer::Breaks { .. } | Answer::Holds)).collect();
    let differ = told.windows(2).filter(|pair| !pair[0].answer.is_like(&pair[1].answer));
    differ.map(|pair| Differs { older: pair[0].release.clone(), newer: pair[1].release.clone() }).collect()
}
