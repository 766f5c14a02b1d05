//! What nothing tells and only matters sometimes: taken one way at first, and another where that comes to something else.
//!
//! Decides what is tried next after a divergence. What was taken in the end is counted in the notes.

use std::collections::{BTreeMap, BTreeSet};

use super::shape::{OwnedBlock, Shape};
use super::{Outcome, Prepared};
use crate::op::PoolKind;
use crate::op::trace::Action;
use crate::recording::MemorySnapshot;
use crate::reference::{PoolId, Settings, rounding};
use crate::replay::divergence::{DivergenceKind, FilePosition};

/// So many other ways are tried at most.
const MOST: usize = 64;

/// One way to take what nothing tells.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(in crate::replay) struct Guess {
    /// Private pools whose blocks are never split.
    pub uncut: BTreeSet<PoolId>,
    /// Blocks that are longer than their request, rounded: by device and address.
    pub longer: BTreeMap<(usize, u64), u64>,
    /// The release by whose rules it is lived, by its minor version; 0 for the usual one.
    pub release: u32,
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
        let FilePosition::Event { device, index } = first.place else { return None };
        let predicted = first.kinds.iter().find_map(|kind| match kind {
            DivergenceKind::Address { predicted, .. } | DivergenceKind::ServedInstead { predicted, .. } => {
                Some(*predicted)
            }
            _ => None,
        })?;
        let asked =
            snapshot.traces.get(device)?.iter().find(|e| e.event.action == Action::Alloc && e.index >= index)?;
        let size = rounding::block_size(asked.event.bytes, &outcome.lived.settings)?;
        let prepared: &Prepared = outcome.devices.get(device)?;
        let (address, bytes, room) = prepared.past.guessed_before(predicted)?;
        let longer = (bytes + room).checked_sub(size)?.checked_add(rounding::MIN_BLOCK)?;
        let least = rounding::block_size(prepared.past.requested(address)?, &outcome.lived.settings)?;
        let fits = longer > bytes && longer - least <= rounding::SMALL_LIMIT;
        Some(fits && self.longer.insert((device, address), longer) != Some(longer))
    }
}

impl Shape {
    /// Gives the blocks whose size nothing tells what must be theirs: in a large pool a rest of up to 1 MiB is not
    /// split off, an oversize block never is, and none of the pools that are never cut. Answers how many could have
    /// been longer all the same.
    pub fn fit_guesses(&mut self, settings: &Settings, guess: &Guess, device: usize) -> u64 {
        let guessed: Vec<(u64, OwnedBlock)> =
            self.blocks.iter().filter(|(_, b)| b.guessed).map(|(&a, &b)| (a, b)).collect();
        let mut open = 0;
        for (address, held) in guessed {
            let Some((start, ground)) = self.ground(address) else { continue };
            let next = self.blocks.range(address + 1..).next().map_or(u64::MAX, |(&next, _)| next);
            let room = next.min(start + ground.bytes) - address;
            let whole = self.owners[ground.owner].is_some_and(|pool| guess.uncut.contains(&pool));
            if !whole && (ground.kind == PoolKind::Small || ground.expandable || settings.expandable_segments) {
                continue;
            }
            if whole && ground.expandable {
                let small = ground.kind == PoolKind::Small;
                let page = if small { rounding::SMALL_SEGMENT } else { settings.large_segment };
                let bytes = held.bytes.checked_next_multiple_of(page).unwrap_or(room).min(room);
                self.blocks.insert(address, OwnedBlock { bytes, ..held });
                open += 1;
                continue;
            }
            let rest = room.saturating_sub(held.bytes);
            if whole || rest <= rounding::SMALL_LIMIT || held.bytes >= settings.max_split {
                self.blocks.insert(address, OwnedBlock { bytes: held.bytes + rest, guessed: false, ..held });
            } else {
                let longer = guess.longer.get(&(device, address)).copied().unwrap_or(0);
                self.blocks.insert(address, OwnedBlock { bytes: longer.clamp(held.bytes, room), ..held });
                open += 1;
            }
        }
        open
    }
}
