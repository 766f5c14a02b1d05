//! Simpler values in the same steps, and a smaller world around them.
//!
//! Decides which replacements are tried, and in which order. What is simpler is decided by `facet`.

use std::collections::BTreeSet;

use super::Search;
use super::facet::{Facet, unit};
use crate::op::{Op, Setup, Step};

impl Search<'_> {
    /// Tries to make every value simpler; whether any was.
    pub(super) fn simplify(&mut self) -> bool {
        let mut any = false;
        for facet in Facet::ALL {
            // Where caching is switched, a tensor and a raw pointer are promised different things: where each goes back to. What
            // fails with the one is no simpler case of what failed with the other.
            if facet == Facet::Via && self.ops_mut().any(|op| matches!(op, Op::SetCaching { .. })) {
                continue;
            }
            any |= self.together(facet);
            any |= self.one_by_one(facet);
        }
        any |= self.expect_less();
        any | self.shrink_world()
    }

    /// All steps with one value at once: two blocks of one stream may have to stay on one stream.
    fn together(&mut self, facet: Facet) -> bool {
        let values: BTreeSet<u64> = self.ops_mut().filter_map(|op| facet.read(op)).collect();
        let mut any = false;
        for value in values {
            for simpler in facet.simpler(value) {
                let (mut steps, mut changed) = (self.steps.clone(), false);
                for op in steps.iter_mut().filter_map(|s| s.op.as_mut()) {
                    if facet.read(op) == Some(value) {
                        facet.write(op, simpler);
                        changed = true;
                    }
                    // Who is waited for goes by the same name.
                    if facet == Facet::Stream && Facet::On.read(op) == Some(value) {
                        Facet::On.write(op, simpler);
                    }
                }
                // A value that an earlier replacement took away is not there any more.
                if changed && self.try_steps(steps) {
                    any = true;
                    break;
                }
            }
        }
        any
    }

    fn one_by_one(&mut self, facet: Facet) -> bool {
        let mut any = false;
        for i in 0..self.steps.len() {
            while let Some(value) = self.value(i, facet) {
                if !facet.simpler(value).into_iter().any(|v| self.try_value(i, facet, v)) {
                    any |= facet == Facet::Bytes && self.bisect(i, value);
                    break;
                }
                any = true;
            }
        }
        any
    }

    /// Looks for the smallest size that fails, where it is an odd one: thresholds are what sizes test.
    fn bisect(&mut self, i: usize, bytes: u64) -> bool {
        if bytes == 0 || bytes.is_power_of_two() {
            return false;
        }
        let unit = unit(bytes);
        let (mut low, mut high) = (0, bytes / unit);
        while high - low > 1 && self.left > 0 {
            let middle = low + (high - low) / 2;
            if self.try_value(i, Facet::Bytes, middle * unit) {
                high = middle;
            } else {
                low = middle;
            }
        }
        high * unit < bytes
    }

    fn value(&mut self, i: usize, facet: Facet) -> Option<u64> {
        self.steps.get_mut(i)?.op.as_mut().and_then(|op| facet.read(op))
    }

    fn try_value(&mut self, i: usize, facet: Facet, value: u64) -> bool {
        let mut steps = self.steps.clone();
        if let Some(op) = steps.get_mut(i).and_then(|s| s.op.as_mut()) {
            facet.write(op, value);
        }
        self.try_steps(steps)
    }

    /// Drops expectations that the failure does not need.
    fn expect_less(&mut self) -> bool {
        let mut any = false;
        for i in 0..self.steps.len() {
            if self.steps[i].op.is_some() && self.steps[i].expect.is_some() {
                let mut steps = self.steps.clone();
                steps[i].expect = None;
                any |= self.try_steps(steps);
            }
        }
        any
    }

    /// Fewer settings, then fewer devices, then fewer streams.
    fn shrink_world(&mut self) -> bool {
        let mut any = self.settle_less();
        for count in 1..self.setup.device_bytes.len() {
            let device_bytes = self.setup.device_bytes[..count].to_vec();
            if self.try_setup(Setup { device_bytes, ..self.setup.clone() }) {
                any = true;
                break;
            }
        }
        let used = self.ops_mut().filter_map(|op| Facet::Stream.read(op)).max().unwrap_or(0);
        let used = u8::try_from(used + 1).unwrap_or(u8::MAX); // streams are few
        if used < self.setup.streams {
            any |= self.try_setup(Setup { streams: used, ..self.setup.clone() });
        }
        any
    }

    /// Tries to do without settings: all of them, then one after the other.
    fn settle_less(&mut self) -> bool {
        let Some(all) = self.setup.config.clone() else { return false };
        if self.try_setup(Setup { config: None, ..self.setup.clone() }) {
            return true;
        }
        let mut left: Vec<String> = settings(&all);
        let before = left.len();
        for at in (0..before).rev().filter(|_| before > 1) {
            let mut fewer = left.clone();
            fewer.remove(at);
            if self.try_setup(Setup { config: Some(fewer.join(",")), ..self.setup.clone() }) {
                left = fewer;
            }
        }
        left.len() < before
    }

    fn ops_mut(&mut self) -> impl Iterator<Item = &mut Op> {
        self.steps.iter_mut().filter_map(|s: &mut Step| s.op.as_mut())
    }
}

/// The single settings of a text: commas between brackets belong to a value.
fn settings(text: &str) -> Vec<String> {
    let (mut all, mut depth) = (vec![String::new()], 0_usize);
    for c in text.chars() {
        match c {
            ',' if depth == 0 => all.push(String::new()),
            _ => {
                depth = match c {
                    '[' => depth + 1,
                    ']' => depth.saturating_sub(1),
                    _ => depth,
                };
                if let Some(last) = all.last_mut() {
                    last.push(c);
                }
            }
        }
    }
    all.retain(|setting| !setting.trim().is_empty());
    all
}
