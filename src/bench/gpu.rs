//! What a GPU target costs: requests served from its cache against the driver's own calls, and what looking costs.
//!
//! Decides the sizes and how often. Reads the clock of the host around whole loops.

use super::least;
use crate::engine::Clock;
use crate::op::{BlockId, DeviceId, Observation, Op, Reply, Setup, StreamId, Via};
use crate::target::{self, Target, TargetError, TargetName};

const REPEATS: u32 = 5;

/// Nanoseconds for a request and its free together, with the memory in the target's cache.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct PairTimes {
    /// Of the request.
    pub bytes: u64,
    /// With nothing else asked in between.
    pub plain: f64,
    /// With all statistics and the device's figures read after each of the two.
    pub observed: f64,
    /// With the block's contents written after the request and read before the free, and nothing observed.
    pub contents: f64,
}

/// Times requests of `bytes` that a warm cache serves, `rounds` of them at a time.
///
/// # Errors
/// The target cannot be built.
pub fn cached_pairs(name: &TargetName, bytes: u64, rounds: u32) -> Result<PairTimes, TargetError> {
    let mut target = target::open_here(name, &Setup { device_bytes: vec![4 << 30], streams: 2, config: None })?;
    let mut seen = Observation::default();
    let mut next = 0;
    let mut time = |target: &mut dyn Target, looks: bool, touches: bool| {
        let mut pair = |target: &mut dyn Target| {
            let block = BlockId(next);
            next += 1;
            let (device, stream) = (Some(DeviceId(0)), StreamId(0));
            let served = target.apply(&Op::Alloc { block, device, stream, bytes, via: Via::Raw });
            debug_assert!(matches!(served, Reply::Allocated { .. }), "{served:?}");
            if looks {
                target.observe(&mut seen);
            }
            if touches {
                target.apply(&Op::Fill { block });
                target.apply(&Op::Verify { block });
            }
            target.apply(&Op::Free { block });
            if looks {
                target.observe(&mut seen);
            }
        };
        pair(target);
        least((0..REPEATS).map(|_| {
            let clock = Clock::start();
            (0..rounds).for_each(|_| pair(target));
            clock.seconds() * 1e9 / f64::from(rounds.max(1))
        }))
    };
    Ok(PairTimes {
        bytes,
        plain: time(&mut *target, false, false),
        observed: time(&mut *target, true, false),
        contents: time(&mut *target, false, true),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn looking_and_touching_are_timed_beside_the_plain_pair() {
        let name = "reference@sim".parse().expect("well formed");
        let times = cached_pairs(&name, 4096, 10).expect("opens");
        assert!([times.plain, times.observed, times.contents].iter().all(|t| t.is_finite() && *t > 0.0), "{times:?}");
    }
}
