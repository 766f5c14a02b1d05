//! Which figures a step moved, found once for all judges, and which ones a judge has still to look at.
//!
//! Decides no verdict: a figure that stands as it stood when it was found in order is in order.

use super::Seen;
use crate::op::{Observation, Parts};

/// What of each device's statistics a step moved.
#[derive(Debug, Default)]
pub struct Moved(Vec<Parts>);

impl Moved {
    /// Becomes what a step moved.
    pub fn become_of(&mut self, before: &Observation, after: &Observation) {
        self.0.clear();
        let pairs = before.devices.iter().zip(&after.devices);
        self.0.extend(pairs.map(|(before, after)| before.stats.parts_unlike(&after.stats)));
    }

    /// Of one device; all, where it was not there before.
    #[must_use]
    pub fn on(&self, device: usize) -> Parts {
        self.0.get(device).copied().unwrap_or(Parts::ALL)
    }
}

/// Parts of each device's statistics that were not found in order as they stand. A judge that goes by it says in every
/// step what was moved, also in those that it does not judge; `before` of a step is `after` of the one before.
#[derive(Debug)]
pub(super) struct Pending(Vec<Parts>);

impl Pending {
    /// Of so many devices nothing was looked at.
    pub(super) fn new(devices: usize) -> Self {
        Pending(vec![Parts::ALL; devices])
    }

    /// What moved is to be looked at again.
    pub(super) fn note(&mut self, seen: &Seen<'_>) {
        self.0.iter_mut().enumerate().for_each(|(device, parts)| parts.add(seen.moved.on(device)));
    }

    pub(super) fn on(&self, device: usize) -> Parts {
        self.0.get(device).copied().unwrap_or(Parts::ALL)
    }

    /// What is left to look at on a device.
    pub(super) fn leave(&mut self, device: usize, parts: Parts) {
        if let Some(pending) = self.0.get_mut(device) {
            *pending = parts;
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::op::stats::Key;
    use crate::op::{BlockId, DeviceId, Observation, Op, OracleName, Reply, Stat};
    use crate::oracle::fixture::{Bench, alloc, free, hand_out, info, oom, refuse, reset_accumulated, take_back};
    use crate::verdict::Violation;

    struct Draw(u64);

    impl Draw {
        fn below(&mut self, bound: usize) -> usize {
            self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (self.0 >> 33) as usize % bound
        }
    }

    /// A step of a life in which blocks come and go, and now and then a figure is told wrongly from then on.
    fn step(benches: &mut [Bench; 2], draw: &mut Draw, live: &mut Vec<u32>, id: u32) -> [Vec<Violation>; 2] {
        let device = DeviceId(draw.below(2) as i32);
        let bytes = 1 << (9 + draw.below(13));
        let at = draw.below(live.len().max(1));
        let kind = draw.below(10);
        let (op, reply) = match kind {
            0..3 => (alloc(id, bytes), Reply::Allocated { address: u64::from(id) << 24 }),
            3..6 if !live.is_empty() => (free(live.swap_remove(at)), Reply::Done),
            6 => (Op::ResetPeak { device }, Reply::Done),
            7 => (Op::ResetAccumulated { device }, Reply::Done),
            8 => (alloc(id, 1 << 29), oom()),
            _ => (Op::EmptyCache, Reply::Done),
        };
        if matches!(reply, Reply::Allocated { .. }) {
            live.push(id);
        }
        let doctored: Option<(usize, Key, i64)> = (draw.below(6) == 0).then(|| {
            let key = Key::all().nth(draw.below(122)).expect("there are 122");
            (draw.below(2), key, draw.below(3) as i64 - 1)
        });
        let held = |bench: &Bench| match op {
            Op::Free { block } => bench.model.block(block).map_or(0, |live| live.bytes),
            _ => bytes,
        };
        let judge = |bench: &mut Bench| {
            let bytes = held(bench);
            let change = |o: &mut Observation| {
                let view = &mut o.devices
                    [usize::from(matches!(op, Op::ResetPeak { .. } | Op::ResetAccumulated { .. }) && device.0 == 1)];
                match (&op, &reply) {
                    (Op::Alloc { .. }, Reply::Allocated { .. }) => hand_out(view, bytes),
                    (Op::Alloc { .. }, _) => refuse(view),
                    (Op::Free { .. }, _) => take_back(view, bytes),
                    (Op::ResetPeak { .. }, _) => view.stats.tracked_mut().for_each(Stat::reset_peak),
                    (Op::ResetAccumulated { .. }, _) => reset_accumulated(&mut view.stats),
                    _ => {}
                }
                if let Some((device, key, by)) = doctored {
                    let stats = &mut o.devices[device].stats;
                    stats.set(key, stats.value(key) + by);
                }
            };
            bench.step(op.clone(), reply.clone(), change).all()
        };
        let [one, other] = benches;
        [judge(one), judge(other)]
    }

    #[test]
    fn what_did_not_move_needs_no_second_look() {
        let mut convictions = 0;
        for seed in 0..200 {
            let mut benches = [Bench::with(OracleName::ALL, &info()), Bench::with(OracleName::ALL, &info())];
            benches[1].looks_at_all = true;
            let (mut draw, mut live) = (Draw(seed), Vec::new());
            for id in 0..60 {
                let [quick, whole] = step(&mut benches, &mut draw, &mut live, id);
                assert_eq!(quick, whole, "seed {seed}, step {id}");
                convictions += whole.len();
            }
            assert!(live.iter().all(|&id| benches[0].model.block(BlockId(id)).is_some()));
        }
        assert!(convictions > 1000, "{convictions}: the figures were told wrongly too seldom");
    }
}
