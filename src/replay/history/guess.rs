//! What nothing tells and only matters sometimes: taken one way at first, and another where that comes to something else.
//!
//! Decides what is tried next after a divergence. What was taken in the end is counted in the notes.

use std::collections::{BTreeMap, BTreeSet};

use super::{Outcome, Prepared};
use crate::op::trace::Action;
use crate::recording::MemorySnapshot;
use crate::reference::{PoolId, rounding};
use crate::replay::divergence::{DivergenceKind, Place};

/// So many other ways are tried at most.
const MOST: usize = 64;

/// One way to take what nothing tells.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(in crate::replay) struct Guess {
    /// Private pools whose blocks are never split.
    pub uncut: BTreeSet<PoolId>,
    /// Blocks that are longer than their request, rounded: by device and address.
    pub longer: BTreeMap<(usize, u64), u64>,
    pub tried: usize,
}

impl Guess {
    /// Whether there is something else to try that concerns where this came to something else.
    pub fn goes_on_after(&mut self, outcome: &Outcome, snapshot: &MemorySnapshot) -> bool {
        self.tried += 1;
        if self.tried > MOST {
            return false;
        }
        if outcome.parted.iter().any(|pool| self.uncut.insert(*pool)) {
            return true;
        }
        self.lengthens(outcome, snapshot).unwrap_or(false)
    }

    /// The reference served a request from behind a block whose size is not known, and the recorded run did not: less
    /// memory was free there than the request needed.
    fn lengthens(&mut self, outcome: &Outcome, snapshot: &MemorySnapshot) -> Option<bool> {
        let first = outcome.report.first.as_ref()?;
        let Place::Event { device, index } = first.place else { return None };
        let predicted = first.kinds.iter().find_map(|kind| match kind {
            DivergenceKind::Address { predicted, .. } | DivergenceKind::ServedInstead { predicted, .. } => Some(*predicted),
            _ => None,
        })?;
        let asked = snapshot.traces.get(device)?.iter().find(|e| e.event.action == Action::Alloc && e.index >= index)?;
        let size = rounding::block_size(asked.event.bytes, &outcome.lived.settings)?;
        let prepared: &Prepared = outcome.devices.get(device)?;
        let (address, bytes, room) = prepared.past.guessed_before(predicted)?;
        let longer = (bytes + room).checked_sub(size)?.checked_add(rounding::MIN_BLOCK)?;
        let least = rounding::block_size(prepared.past.requested(address)?, &outcome.lived.settings)?;
        let fits = longer > bytes && longer - least <= rounding::SMALL_LIMIT;
        Some(fits && self.longer.insert((device, address), longer) != Some(longer))
    }
}
