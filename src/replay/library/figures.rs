//! The library's statistics beside those of a recording.
//!
//! Decides what is compared: every key, those that only ever grow from where they stood when the episode began.

use std::collections::BTreeMap;

use super::Library;
use crate::op::Stats;
use crate::op::stats::{Column, Key};
use crate::op::trace::Action;
use crate::replay::ReplayReport;
use crate::replay::divergence::DivergenceKind;
use crate::replay::episode::depends_on_hash_order;

/// By how much what was recorded of a device is more than what the library says, for figures of which that is known.
#[derive(Debug, Clone, Default)]
pub(super) struct Ahead(BTreeMap<Key, i64>);

impl Ahead {
    /// At the begin of an episode: PyTorch had lived before it was recorded.
    pub fn at_begin(recorded: &Stats, own: &Stats) -> Self {
        let grown = Key::all().filter(|&key| only_grows(key));
        Ahead(grown.map(|key| (key, recorded.value(key) - own.value(key))).collect())
    }

    /// What only grows begins again at 0, on both sides.
    pub fn forget_grown(&mut self) {
        self.0.retain(|&key, _| !only_grows(key));
    }

    /// Peaks begin again where both sides stand.
    pub fn forget_peaks(&mut self) {
        self.0.retain(|&key, _| only_grows(key));
    }

    fn of(&self, key: Key) -> i64 {
        self.0.get(&key).copied().unwrap_or(0)
    }
}

impl Library {
    /// Every key of every device.
    pub(super) fn compare_stats(&mut self, kinds: &mut Vec<DivergenceKind>, report: &mut ReplayReport) {
        self.target.observe(&mut self.seen);
        self.target.take_events(&mut self.events);
        for (device, recorded) in self.recorded.iter().enumerate() {
            let events = self.events.get(device).map_or(&[][..], Vec::as_slice);
            let completed = events.iter().filter(|event| event.action == Action::FreeCompleted).count();
            let several = completed > 1;
            self.hash_order |= several;
            self.traces[device].extend_from_slice(events);
            let own = &self.seen.devices[device].stats;
            let here = |key: Key| own.value(key) + self.ahead[device].of(key);
            let differing: Vec<Key> = Key::all().filter(|&key| here(key) != recorded.value(key)).collect();
            if differing.is_empty() {
                continue;
            }
            if several && differing.iter().all(|&key| depends_on_hash_order(key)) {
                report.hash_order += 1;
                let gaps: Vec<_> = differing.into_iter().map(|key| (key, recorded.value(key) - here(key))).collect();
                for (key, gap) in gaps {
                    *self.ahead[device].0.entry(key).or_default() += gap;
                }
                continue;
            }
            kinds.extend(differing.into_iter().map(|key| DivergenceKind::Stat {
                device,
                key: key.to_string(),
                recorded: recorded.value(key),
                predicted: here(key),
            }));
        }
    }
}

/// Figures that go on from where they stood, whatever happened before.
fn only_grows(key: Key) -> bool {
    match key {
        Key::Family(_, _, column) | Key::Oversize(_, column) => matches!(column, Column::Allocated | Column::Freed),
        Key::Counter(_) => true,
    }
}
