//! The watchdog of targets that run in the harness's own process: whether each call returns.
//!
//! Decides when a call is taken to hang, and what is known of it then. A thread cannot be ended from outside, so that the
//! run ends with what it has: who is told has to end the process. Targets with a process of their own have a deadline
//! for each call instead.

use std::sync::{Arc, Condvar, Mutex};
use std::time::Duration;

use crate::verdict::Reproducer;

use super::locks::lock;
use super::pulse::{self, Pulse};

/// How often the threads are looked at.
const LOOK: Duration = Duration::from_millis(250);

/// A call that does not return hangs when it was found at the same step so many times in a row. Looks are counted
/// instead of time, for a machine that is too busy to run the thread is too busy to look, too.
const LOOKS: u32 = if cfg!(test) { 4 } else { 40 };

/// How long that is at least.
pub(super) const LIMIT: Duration = LOOK.saturating_mul(LOOKS);

/// A call that asks for memory without end has to be told of before the machine has none left.
const MOST_MEMORY: u64 = 6 << 30;

/// A sequence in which a call did not return.
#[derive(Debug, Clone)]
pub(super) struct Stuck {
    /// The sequence that was under way; made smaller ones are told by the one that they were made from.
    pub(super) reproducer: Reproducer,
    /// The step that did not return; `None` where the harness had added a call of its own.
    pub(super) step: Option<usize>,
}

/// The threads that are watched.
#[derive(Debug, Default)]
pub(super) struct Watchdog {
    pulses: Mutex<Vec<Arc<Pulse>>>,
    over: Mutex<bool>,
    ended: Condvar,
}

impl Watchdog {
    /// The calling thread is watched for as long as the answer lives; the watch ends when nobody is.
    pub(super) fn join(&self) -> Watched<'_> {
        let own = pulse::own();
        lock(&self.pulses).push(Arc::clone(&own));
        Watched { dog: self, own }
    }

    /// Looks at the threads until they have left; answers what hangs as soon as something does.
    pub(super) fn watch(&self) -> Option<Stuck> {
        let mut seen: Vec<(Arc<Pulse>, u64, u32)> = Vec::new();
        let mut over = lock(&self.over);
        while !*over {
            over = self.ended.wait_timeout(over, LOOK).map_or_else(|e| e.into_inner().0, |(guard, _)| guard);
            if *over {
                break;
            }
            let pulses = lock(&self.pulses).clone();
            let mut next = Vec::with_capacity(pulses.len());
            for pulse in pulses {
                let (steps, before) = (pulse.steps(), seen.iter().find(|(p, ..)| Arc::ptr_eq(p, &pulse)));
                let stands = pulse.is_inside() && before.is_some_and(|&(_, was, _)| was == steps);
                let looks = if stands { before.map_or(0, |&(_, _, looks)| looks) + 1 } else { 0 };
                let hangs = looks >= LOOKS || looks >= 2 && memory() > MOST_MEMORY;
                if let Some(reproducer) = pulse.sequence().filter(|_| hangs) {
                    return Some(Stuck { reproducer, step: pulse.place() });
                }
                next.push((pulse, steps, looks));
            }
            seen = next;
        }
        None
    }
}

/// A thread that is watched.
pub(super) struct Watched<'a> {
    dog: &'a Watchdog,
    own: Arc<Pulse>,
}

impl Drop for Watched<'_> {
    fn drop(&mut self) {
        let mut pulses = lock(&self.dog.pulses);
        if let Some(at) = pulses.iter().position(|p| Arc::ptr_eq(p, &self.own)) {
            pulses.swap_remove(at);
        }
        if pulses.is_empty() {
            *lock(&self.dog.over) = true;
            self.dog.ended.notify_all();
        }
    }
}

/// Bytes that this process has in memory; 0 where the system does not say.
fn memory() -> u64 {
    let text = std::fs::read_to_string("/proc/self/statm").unwrap_or_default();
    let pages: u64 = text.split(' ').nth(1).and_then(|n| n.parse().ok()).unwrap_or(0);
    pages * 4096
}
