//! Events that are told wrongly: what a target records of requests, frees and segments.
//!
//! Decides which event it is: of those that an operation left, the last one of each device that the occasion allows.

use super::Unfaithful;
use super::figures::Values;
use crate::op::corruption::Wrong;
use crate::op::observable::{EventField, Observable};
use crate::op::trace::{Action, TraceEvent};

impl Unfaithful {
    /// The events of each device as they are told.
    pub(super) fn retell(&mut self, events: &mut [Vec<TraceEvent>]) {
        let Observable::Event(field) = self.corruption.observable else { return };
        let wrong = self.corruption.wrong;
        let mut changed = false;
        for device in 0..events.len() {
            let Some(&now) = events[device].last() else { continue };
            if self.is_answer_due(device) {
                let before = self.event.unwrap_or(now);
                if field == EventField::Order && wrong == Wrong::OtherDevice {
                    // Where it is told now it is not told wrongly once more.
                    changed = redirect(events, device);
                    self.chances += 1;
                    break;
                }
                changed |= match field {
                    EventField::List => relist(&mut events[device], wrong),
                    EventField::Order => exchange(&mut events[device]),
                    _ => {
                        let told = reworded(now, before, field, wrong);
                        events[device].pop();
                        events[device].push(told);
                        told != now
                    }
                };
            }
            self.chances += 1;
            self.event = Some(now);
        }
        self.count(changed);
    }
}

/// One event twice, one lost, or all of them.
fn relist(told: &mut Vec<TraceEvent>, wrong: Wrong) -> bool {
    match wrong {
        Wrong::OneMore => told.extend(told.last().copied()),
        Wrong::OneLess => drop(told.pop()),
        _ => told.clear(),
    }
    true
}

/// The event is told of the next device.
fn redirect(events: &mut [Vec<TraceEvent>], device: usize) -> bool {
    let next = (device + 1) % events.len();
    let moved = if next == device { None } else { events[device].pop() };
    events[next].extend(moved);
    moved.is_some()
}

/// The last two, in the other order.
fn exchange(told: &mut [TraceEvent]) -> bool {
    let [.., earlier, last] = told else { return false };
    std::mem::swap(earlier, last);
    earlier != last
}

fn reworded(now: TraceEvent, before: TraceEvent, field: EventField, wrong: Wrong) -> TraceEvent {
    let number = |now, before, beside| Values { now, before, of_other: now, beside }.told(wrong);
    let mut told = now;
    match field {
        EventField::Action => told.action = opposite(now.action),
        EventField::Address => told.address = number(now.address, before.address, now.bytes),
        EventField::Bytes => told.bytes = number(now.bytes, before.bytes, now.address),
        EventField::Stream => told.stream = number(now.stream, before.stream, now.bytes),
        EventField::List | EventField::Order => {}
    }
    told
}

fn opposite(action: Action) -> Action {
    match action {
        Action::Alloc => Action::FreeRequested,
        Action::FreeRequested => Action::FreeCompleted,
        Action::FreeCompleted | Action::Oom => Action::Alloc,
        Action::SegmentAlloc => Action::SegmentFree,
        Action::SegmentFree => Action::SegmentAlloc,
        Action::SegmentMap => Action::SegmentUnmap,
        Action::SegmentUnmap => Action::SegmentMap,
        Action::Snapshot => Action::Snapshot,
    }
}
