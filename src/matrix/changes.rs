//! What changed from a release to the next.
//!
//! Decides when a promise is called fixed, new or moved: only where a sequence was asked of both, or said to be unverified.

use crate::requirement::RequirementId;
use crate::verdict::releases::{Answer, Change, ChangeKind, PromiseRow, SequenceRow, Standing};

/// What changed between neighbours, by the order of releases: what is verified first, then by kind and promise.
pub(super) fn changes(rows: &[PromiseRow], sequences: &[SequenceRow]) -> Vec<Change> {
    let releases = rows.iter().map(|row| row.cells.len()).max().unwrap_or(0);
    let pairs = (1..releases).map(|newer| (newer - 1, newer));
    let of_pair = |pair| {
        let mut all: Vec<Change> = rows.iter().flat_map(|row| of_row(row, sequences, pair)).collect();
        all.sort_by_key(|change| (change.sequence.is_none(), change.kind)); // stable: by promise within
        all
    };
    pairs.flat_map(of_pair).collect()
}

fn of_row(row: &PromiseRow, sequences: &[SequenceRow], (older, newer): (usize, usize)) -> Vec<Change> {
    let standing = |i: usize| row.cells.get(i).map_or(Standing::NotReached, |cell| cell.standing);
    let (before, after) = (standing(older), standing(newer));
    let change = |kind, sequence, breaks_on, shown_by| Change {
        requirement: row.requirement,
        kind,
        older,
        newer,
        sequence,
        breaks_on,
        shown_by,
    };
    let (kind, breaks_on, holds_on) = match (before, after) {
        (Standing::Fail, Standing::Fail) => {
            let each = [(older, newer), (newer, older)];
            let told = each.map(|(breaks_on, other)| {
                let apart = Apart::of(row.requirement, sequences, breaks_on, other);
                let shortest = shortest(sequences, apart.all())?;
                Some(change(ChangeKind::Moved, Some(shortest), breaks_on, apart.all().count() as u64))
            });
            return told.into_iter().flatten().collect();
        }
        (Standing::Fail, Standing::NotApplicable) | (Standing::NotApplicable, Standing::Fail) => return Vec::new(),
        (Standing::Fail, _) => (ChangeKind::Fixed, older, newer),
        (_, Standing::Fail) => (ChangeKind::New, newer, older),
        _ => return Vec::new(),
    };
    let apart = Apart::of(row.requirement, sequences, breaks_on, holds_on);
    let mut told = Vec::new();
    if let Some(i) = shortest(sequences, apart.holding.iter().copied()) {
        told.push(change(kind, Some(i), breaks_on, apart.holding.len() as u64));
    }
    if let Some(i) = shortest(sequences, apart.otherwise.iter().copied()) {
        told.push(change(ChangeKind::Moved, Some(i), breaks_on, apart.otherwise.len() as u64));
    }
    // What needs something that the other release lacks says nothing of a change.
    if told.is_empty() && !apart.is_beyond {
        told.push(change(kind, None, breaks_on, 0));
    }
    told
}

/// The sequences that break a promise on one release and not on the other.
#[derive(Default)]
struct Apart {
    /// Those that break nothing there.
    holding: Vec<usize>,
    /// Those that break another promise there.
    otherwise: Vec<usize>,
    /// There are some, and all need something that the other lacks.
    is_beyond: bool,
}

impl Apart {
    fn of(requirement: RequirementId, sequences: &[SequenceRow], breaks_on: usize, other: usize) -> Self {
        let mut apart = Apart::default();
        let (mut breaking, mut beyond) = (0, 0);
        for (i, sequence) in sequences.iter().enumerate() {
            if sequence.answers.get(breaks_on).and_then(|a| a.breach_of(requirement)).is_none() {
                continue;
            }
            breaking += 1;
            match sequence.answers.get(other) {
                Some(Answer::Holds) => apart.holding.push(i),
                Some(answer @ Answer::Breaks { .. }) if answer.breach_of(requirement).is_none() => {
                    apart.otherwise.push(i);
                }
                Some(Answer::NotApplicable { .. }) => beyond += 1,
                _ => {}
            }
        }
        apart.is_beyond = breaking > 0 && beyond == breaking;
        apart
    }

    fn all(&self) -> impl Iterator<Item = usize> {
        self.holding.iter().chain(&self.otherwise).copied()
    }
}

/// The one of the fewest steps; of several the first.
fn shortest(sequences: &[SequenceRow], of: impl Iterator<Item = usize>) -> Option<usize> {
    of.min_by_key(|&i| (sequences.get(i).map_or(usize::MAX, |s| s.steps.len()), i))
}
