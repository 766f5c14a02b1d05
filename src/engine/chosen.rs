//! The drawn world that the next sequence of a scenario gets.
//!
//! Decides by which answers it is chosen. How, is `workload`'s.

use crate::op::{Capability, TargetInfo, Together};
use crate::spec::Generate;
use crate::workload::{Choice, Offers};

use super::case::Case;

/// What the choices so far were made by; nothing before the first.
#[derive(Debug, Default)]
pub(super) struct Chosen(Option<Choice>);

impl Chosen {
    /// Which candidate a sequence gets for its world, after those that came to `seen`.
    pub(super) fn next(
        &mut self,
        case: &Case<'_>,
        generate: &Generate,
        info: &TargetInfo,
        index: u32,
        seen: &Together,
    ) -> u32 {
        if generate.world.is_none() {
            return 0;
        }
        let choice = self.0.get_or_insert_with(|| Choice::new(info));
        // A target that answers otherwise when asked again would get other worlds each time.
        let (blank, repeats) = (Together::default(), info.can(Capability::Repeatable));
        let seen = if repeats { seen } else { &blank };
        choice.next(case.scenario, generate, &Offers::of(info, case.is_real()), (case.seed, index), seen)
    }
}
