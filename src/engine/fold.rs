//! Which violations of a run come of one mistake: they are folded into one finding.
//!
//! Decides what counts as the same mistake, and which violation of several shows it best. Two are put down to one mistake
//! where the same judge, or an author's expectation, saw the same promise broken under the same settings, where their smallest sequences make the
//! same calls, or where the smallest sequence of one also breaks the promise of the other. A second mistake that hides
//! behind the first this way shows in the next run, once the first is repaired.

use crate::op::{BlockId, DeviceId, Op, OracleName, Setup, Step, StreamId};
use crate::requirement::{Area, RequirementId};
use crate::spec::Scenario;
use crate::verdict::Because;

use super::attempt::{Attempt, attempt};
use super::caught::Caught;
use super::failure::relations_of;
use super::judged_sequence::FailureKey;
use super::lockstep::JudgedSequence;
use super::loss;
use super::opener::Opener;

/// A violation of a run, and the scenario that it was found in.
#[derive(Clone, Copy)]
pub(super) struct Suspect<'a> {
    pub(super) scenario: &'a Scenario,
    pub(super) caught: &'a Caught,
}

/// One mistake: its violations by their place in the list of suspects.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Group {
    /// The one that shows the mistake best.
    pub(super) lead: usize,
    /// The others, in the order of the list, and why each is among them.
    pub(super) folded: Vec<(usize, Because)>,
}

/// Opens the target that a violation was found on, by the name in its reproducer.
pub(super) type OpenNamed<'a> = dyn Fn(&str) -> Option<Box<Opener<'a>>> + 'a;

/// Puts violations together, those that show their mistake best first. Without an opener nothing is run: then only the
/// same promise and the same calls count.
pub(super) fn fold(suspects: &[Suspect<'_>], open: Option<&OpenNamed<'_>>) -> Vec<Group> {
    let mut left: Vec<usize> = (0..suspects.len()).collect();
    left.sort_by_key(|&i| rank(&suspects[i], i));
    let mut groups = Vec::new();
    while !left.is_empty() {
        let lead = left.remove(0);
        let mut folded: Vec<(usize, Because)> = Vec::new();
        // One of each kind, the best first: what is put down to any of them is put down to the mistake.
        let mut members = vec![lead];
        let mut at = 0;
        while let Some(&member) = members.get(at) {
            at += 1;
            left.retain(|&other| match same(&suspects[member], &suspects[other], open) {
                Some(because) => {
                    folded.push((other, because));
                    let known =
                        members.iter().any(|&m| suspects[m].caught.failure_key == suspects[other].caught.failure_key);
                    // Whatever goes wrong departs from the policy, too: that puts no two mistakes down to one.
                    let departs = suspects[other].caught.failure_key == FailureKey::DEPARTURE;
                    if !known && !departs && members.len() < MEMBERS {
                        members.push(other);
                    }
                    false
                }
                None => true,
            });
        }
        folded.sort_unstable();
        groups.push(Group { lead, folded });
    }
    groups
}

/// Violations of one mistake that others are held against.
const MEMBERS: usize = 12;

/// Whether a promise is about figures. What an allocator does wrong shows in its figures, too, and not the other way
/// round.
fn is_bookkeeping(requirement: RequirementId) -> bool {
    matches!(requirement.area(), Area::Stat | Area::Peak | Area::Tele | Area::Summ | Area::Leak)
}

/// What shows a mistake best comes first: damaged data before anything else, then what shows after the fewest calls, what
/// was done before the figures of it, and the judge of one run before the comparison of two. What an author expects of
/// some steps says less of its promise than a judge does, and a snapshot that does not add up less than what it shows:
/// they count as some calls more, and an expectation is never taken for damage.
fn rank(suspect: &Suspect<'_>, place: usize) -> impl Ord + use<> {
    let Suspect { caught, .. } = suspect;
    let expects = caught.violation.oracle == OracleName::Expectation;
    let requirement = caught.requirement;
    let spares_data = expects || !requirement.get().corrupts;
    let compares = caught.violation.oracle.compares_runs() || caught.violation.oracle == OracleName::Growth;
    let says_less = match caught.violation.oracle {
        OracleName::Expectation => 5,
        OracleName::Summary | OracleName::History => 6,
        _ => 0,
    };
    let calls = calls_made(caught) + says_less;
    // What breaks no promise by itself comes after whatever does.
    let departs = caught.failure_key == FailureKey::DEPARTURE;
    (departs, spares_data, calls, is_bookkeeping(requirement), compares, requirement, caught.original_steps, place)
}

/// The calls that it takes, those of the harness included, less those that only fill and read blocks.
fn calls_made(caught: &Caught) -> usize {
    let looks = |asked: &str| asked.starts_with("fill ") || asked.starts_with("verify ");
    let listed = caught.transcript.iter().filter(|line| !looks(&line.asked)).count();
    // What was not run again has no listing.
    let once = listed.max(caught.reproducer.steps.len());
    if caught.violation.oracle.compares_runs() { 2 * once } else { once }
}

/// Why two violations come of one mistake; `None` if nothing shows that they do.
fn same(lead: &Suspect<'_>, other: &Suspect<'_>, open: Option<&OpenNamed<'_>>) -> Option<Because> {
    let (a, b) = (lead.caught, other.caught);
    // What an author expects of a requirement, and what a judge sees of it, are one.
    // So is what a snapshot shows of it.
    let shows = [OracleName::Expectation, OracleName::Summary];
    let expects = |c: &Caught| shows.contains(&c.failure_key.oracle);
    let judged_alike =
        a.requirement == b.requirement && (a.failure_key.oracle == b.failure_key.oracle || expects(a) || expects(b));
    if a.reproducer.target != b.reproducer.target {
        return None; // what a sibling's settings lead to is told apart
    }
    let same_world = a.reproducer.setup.config == b.reproducer.setup.config;
    if judged_alike && (same_world || loss::is_loss(a.failure_key.oracle) || a.failure_key == FailureKey::DEPARTURE) {
        return Some(Because::SamePromise);
    }
    let calls_of = |c: &Caught| calls(&c.reproducer.setup, &c.reproducer.steps);
    if calls_of(a) == calls_of(b) {
        return Some(Because::SameCalls);
    }
    let open = open?;
    // Each try of a loss costs a process or a deadline.
    if loss::is_loss(a.failure_key.oracle) || loss::is_loss(b.failure_key.oracle) {
        return None;
    }
    if breaks(open, a, b) {
        return Some(Because::SequenceBreaksIt);
    }
    breaks(open, b, a).then_some(Because::BreaksInItsSequence)
}

/// Whether the sequence of the one breaks the promise of the other, as that one's judges see it. Expectations are of
/// their own steps, and seen nowhere else.
fn breaks(open: &OpenNamed<'_>, ran: &Caught, judged: &Caught) -> bool {
    let failure_key = judged.failure_key;
    if failure_key.oracle == OracleName::Expectation {
        return false;
    }
    let Some(open) = open(&ran.reproducer.target) else { return false };
    let steps: Vec<Step> = ran.reproducer.steps.iter().filter_map(|s| s.op.clone()).map(Step::from).collect();
    let oracles = judged.reproducer.oracles.iter().copied().filter(|o| *o != OracleName::Expectation).collect();
    let relations = relations_of(&judged.reproducer.oracles);
    let relations: Vec<OracleName> = relations.into_iter().filter(|o| *o == failure_key.oracle).collect();
    let course = JudgedSequence {
        steps: &steps,
        oracles: &oracles,
        epilogue: judged.reproducer.epilogue,
        transcript: false,
        relations: &relations,
        only: Some(failure_key),
        exact: failure_key == FailureKey::DEPARTURE,
    };
    matches!(attempt(&*open, &ran.reproducer.setup, &course), Ok(Attempt::Ran(run)) if failure_key.find(&run).is_some())
}

/// What a sequence asks: operations by name, with their blocks, streams and devices, and sizes only by their kind.
fn calls(setup: &Setup, steps: &[Step]) -> Vec<Call> {
    let largest = setup.device_bytes.iter().copied().max().unwrap_or(0);
    let kind = |op: &Op| match op {
        Op::Alloc { bytes: 0, .. } => SizeKind::Nothing,
        Op::Alloc { bytes, .. } if *bytes > largest => SizeKind::MoreThanThereIs,
        Op::Alloc { bytes, .. } if *bytes <= SMALL => SizeKind::Small,
        Op::Alloc { .. } => SizeKind::Large,
        _ => SizeKind::None,
    };
    let call =
        |op: &Op| Call { name: op.name(), block: op.block(), stream: op.stream(), device: op.device(), size: kind(op) };
    steps.iter().filter_map(|s| s.op.as_ref()).map(call).collect()
}

/// An operation without its figures.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Call {
    name: &'static str,
    block: Option<BlockId>,
    stream: Option<StreamId>,
    device: Option<DeviceId>,
    size: SizeKind,
}

/// Up to here most allocators serve requests in one way, and from here on in another.
const SMALL: u64 = 1 << 20;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum SizeKind {
    None,
    Nothing,
    Small,
    Large,
    MoreThanThereIs,
}
