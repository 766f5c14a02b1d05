//! Figures that are told wrongly: statistics, and what is seen of a device.
//!
//! Decides which value stands in the place of the true one.

use super::Unfaithful;
use crate::op::corruption::Wrong;
use crate::op::observable::{DeviceFigure, Observable};
use crate::op::stats::{Column, Counter, Key, Row};
use crate::op::{DeviceView, Op};

/// What a fraction is off by where it is off by one.
const STEP: f64 = 1.0 / 1024.0;

/// What is left of a number in 32 bits.
pub(super) fn wrapped(value: u64) -> u64 {
    value & u64::from(u32::MAX)
}

/// The key whose value a key is exchanged with.
pub(super) fn beside(key: Key) -> Key {
    let column = |column| match column {
        Column::Current => Column::Peak,
        Column::Peak => Column::Current,
        Column::Allocated => Column::Freed,
        Column::Freed => Column::Allocated,
    };
    match key {
        Key::Family(family, row, c) => Key::Family(family, row, column(c)),
        Key::Oversize(which, c) => Key::Oversize(which, column(c)),
        Key::Counter(counter) => {
            let at = Counter::ALL.iter().position(|&c| c == counter).unwrap_or(0);
            Key::Counter(Counter::ALL[(at + 1) % Counter::ALL.len()])
        }
    }
}

/// The same figure of another pool.
fn of_other_pool(key: Key) -> Key {
    match key {
        Key::Family(family, row, column) => {
            let row = match row {
                Row::All | Row::LargePool => Row::SmallPool,
                Row::SmallPool => Row::LargePool,
            };
            Key::Family(family, row, column)
        }
        other => other,
    }
}

/// A number that is one of those of a device, told wrongly.
#[derive(Clone, Copy)]
pub(super) struct Values {
    pub now: u64,
    pub before: u64,
    pub of_other: u64,
    pub beside: u64,
}

impl Values {
    pub(super) fn told(self, wrong: Wrong) -> u64 {
        match wrong {
            Wrong::OneMore => self.now.wrapping_add(1),
            Wrong::OneLess => self.now.wrapping_sub(1),
            Wrong::Stale => self.before,
            Wrong::OtherDevice | Wrong::OtherPool => self.of_other,
            Wrong::Zero => 0,
            Wrong::Swapped => self.beside,
            Wrong::Wrapped => wrapped(self.now),
            Wrong::Lost => self.now,
        }
    }
}

impl Unfaithful {
    /// The first change of the statistic in or after a failed call is lost, until a reset makes it true again.
    pub(super) fn lose(&mut self, key: Key, op: &Op) {
        let is_reset = match (key, op) {
            (Key::Family(_, _, Column::Peak) | Key::Oversize(_, Column::Peak), Op::ResetPeak { .. }) => true,
            (Key::Counter(_), Op::ResetAccumulated { .. }) => true,
            (Key::Family(_, _, column) | Key::Oversize(_, column), Op::ResetAccumulated { .. }) => {
                matches!(column, Column::Allocated | Column::Freed)
            }
            _ => false,
        };
        let place = self.place(op);
        for device in 0..self.truth.devices.len().min(self.lost.len()) {
            if is_reset && place == Some(device) {
                self.lost[device] = self.lost[device].map(|_| 0);
                continue;
            }
            let value = |views: &[DeviceView]| views.get(device).map_or(0, |view| view.stats.value(key));
            let moved = value(&self.truth.devices).wrapping_sub(value(&self.earlier.devices));
            if self.has_failed && moved != 0 && self.lost[device].is_none() {
                self.lost[device] = Some(moved);
            }
        }
    }

    fn statistic(&self, device: usize, key: Key) -> i64 {
        let view = &self.truth.devices[device];
        let value = view.stats.value(key);
        let next = &self.truth.devices[(device + 1) % self.truth.devices.len()];
        match self.corruption.wrong {
            Wrong::OneMore => value.wrapping_add(1),
            Wrong::OneLess => value.wrapping_sub(1),
            Wrong::Stale => self.earlier.devices.get(device).map_or(value, |view| view.stats.value(key)),
            Wrong::OtherDevice => next.stats.value(key),
            Wrong::OtherPool => view.stats.value(of_other_pool(key)),
            Wrong::Zero => 0,
            Wrong::Swapped => view.stats.value(beside(key)),
            Wrong::Wrapped => wrapped(value.cast_unsigned()).cast_signed(),
            Wrong::Lost => value.wrapping_sub(self.lost.get(device).copied().flatten().unwrap_or(0)),
        }
    }

    /// What there is to be seen, with the one figure as it is told.
    pub(super) fn show(&mut self) {
        self.shown.clone_from(&self.truth);
        for device in 0..self.truth.devices.len() {
            if !self.is_due(device) {
                continue;
            }
            match self.corruption.observable {
                Observable::Statistic(key) => {
                    let (told, truth) = (self.statistic(device, key), self.truth.devices[device].stats.value(key));
                    self.shown.devices[device].stats.set(key, told);
                    if self.corruption.wrong == Wrong::Swapped {
                        self.shown.devices[device].stats.set(beside(key), truth);
                    }
                    self.count(told != truth);
                }
                Observable::Device(figure) => {
                    let shown = self.device(device, figure);
                    self.count(shown != self.truth.devices[device]);
                    self.shown.devices[device] = shown;
                }
                _ => return,
            }
        }
    }

    fn device(&self, device: usize, figure: DeviceFigure) -> DeviceView {
        let mut view = self.truth.devices[device];
        let before = self.earlier.devices.get(device).copied().unwrap_or(view);
        let next = self.truth.devices[(device + 1) % self.truth.devices.len()];
        let wrong = self.corruption.wrong;
        let of = |read: fn(&DeviceView) -> u64, beside: u64| {
            Values { now: read(&view), before: read(&before), of_other: read(&next), beside }.told(wrong)
        };
        match figure {
            DeviceFigure::FreeBytes => view.free_bytes = of(|v| v.free_bytes, view.total_bytes),
            DeviceFigure::TotalBytes => view.total_bytes = of(|v| v.total_bytes, view.free_bytes),
            DeviceFigure::Idle => view.idle = of(|v| v.idle, !view.idle),
            DeviceFigure::Fraction => {
                view.fraction = fraction(wrong, [view.fraction, before.fraction, next.fraction]);
            }
        }
        view
    }
}

/// A fraction that is told wrongly: now, before, and on the next device.
pub(super) fn fraction(wrong: Wrong, [now, before, of_other]: [f64; 3]) -> f64 {
    match wrong {
        Wrong::OneMore => now + STEP,
        Wrong::OneLess => now - STEP,
        Wrong::Stale => before,
        Wrong::OtherDevice | Wrong::OtherPool => of_other,
        Wrong::Zero => 0.0,
        Wrong::Swapped => 1.0 - now,
        Wrong::Wrapped | Wrong::Lost => now,
    }
}
