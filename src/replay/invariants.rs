//! Recordings of a backend that has no exact reference: what must hold of any allocator, and nothing more.
//!
//! Decides by the figures and addresses of the recording alone. Does not predict anything.

use std::collections::BTreeMap;

use super::ReplayReport;
use super::divergence::{Divergence, DivergenceKind, FilePosition};
use crate::op::Stats;
use crate::op::stats::{Family, Key};
use crate::recording::{Episode, RecordedOp, Verb};

/// Every address `cudaMallocAsync` gives is a multiple of this.
const ALIGNMENT: u64 = 256;

/// One episode's live blocks and figures.
#[derive(Debug, Default)]
pub(super) struct Invariants {
    stats: BTreeMap<usize, Stats>,
    /// Live blocks by device and address: where they end, and which they are.
    live: BTreeMap<(usize, u64), (u64, u64)>,
    places: BTreeMap<u64, (usize, u64)>,
}

impl Invariants {
    pub fn start(start: &Episode) -> Self {
        let mut invariants = Invariants::default();
        for (&device, change) in &start.stats {
            change.apply(invariants.stats.entry(device).or_default());
        }
        invariants
    }

    /// Takes one operation in and checks what must hold after it.
    pub fn step(&mut self, line: u64, op: &RecordedOp, report: &mut ReplayReport) {
        for (&device, change) in &op.stats {
            change.apply(self.stats.entry(device).or_default());
        }
        let mut broken = Vec::new();
        if op.error.is_none() {
            broken.extend(self.note(op));
        }
        for (&device, stats) in &self.stats {
            broken.extend(self.check(device, stats));
        }
        if !broken.is_empty() {
            let kinds = broken.into_iter().map(|what| DivergenceKind::Invariant { what }).collect();
            report.diverged(Divergence {
                place: FilePosition::Line(line),
                at: format!("{:?}", op.op).to_lowercase(),
                kinds,
            });
        }
    }

    fn note(&mut self, op: &RecordedOp) -> Option<String> {
        let block = op.block?;
        match op.op {
            Verb::Alloc => {
                let (device, bytes, address) = (op.device?, op.bytes?, op.address?);
                if bytes == 0 {
                    return (address != 0).then(|| format!("0 bytes were given address {address:#x}"));
                }
                if address == 0 || address % ALIGNMENT != 0 {
                    return Some(format!("{bytes} bytes were given address {address:#x}"));
                }
                let end = address.saturating_add(bytes);
                let before = self.live.range((device, 0)..(device, end)).next_back();
                let overlap = before.filter(|(_, (stop, _))| *stop > address).map(|(&(_, start), &(stop, other))| {
                    format!(
                        "block {block} at [{address:#x}, {end:#x}) overlaps block {other} at [{start:#x}, {stop:#x})"
                    )
                });
                self.live.insert((device, address), (end, block));
                self.places.insert(block, (device, address));
                overlap
            }
            Verb::Free => {
                if let Some(place) = self.places.remove(&block) {
                    self.live.remove(&place);
                }
                None
            }
            _ => None,
        }
    }

    fn check(&self, device: usize, stats: &Stats) -> Vec<String> {
        let figure = |family| stats.all(family);
        let (allocated, active) = (figure(Family::AllocatedBytes), figure(Family::ActiveBytes));
        let reserved = figure(Family::ReservedBytes);
        let live: u64 = self.live.range((device, 0)..(device + 1, 0)).map(|(&(_, start), &(end, _))| end - start).sum();
        let mut broken = Vec::new();
        let mut demand = |holds: bool, what: &dyn Fn() -> String| {
            if !holds {
                broken.push(format!("device {device}: {}", what()));
            }
        };
        demand(allocated == active, &|| {
            "allocated and active bytes differ, which this backend does not tell apart".to_owned()
        });
        demand(allocated.current <= reserved.current, &|| {
            format!("{} B allocated of {} B reserved", allocated.current, reserved.current)
        });
        demand(u64::try_from(allocated.current).is_ok_and(|a| a >= live), &|| {
            format!("{} B allocated, while live blocks hold {live} B", allocated.current)
        });
        for (name, stat) in [("allocated", allocated), ("reserved", reserved)] {
            demand(stat.current >= 0 && stat.peak >= stat.current, &|| {
                format!("{name} bytes: current {}, peak {}", stat.current, stat.peak)
            });
        }
        let counted = |key: &Key| {
            let of_bytes =
                matches!(key, Key::Family(Family::AllocatedBytes | Family::ActiveBytes | Family::ReservedBytes, ..));
            !of_bytes && stats.value(*key) != 0
        };
        if let Some(key) = Key::all().find(counted) {
            demand(false, &|| format!("{key} is {}, which this backend does not count", stats.value(key)));
        }
        broken
    }
}
