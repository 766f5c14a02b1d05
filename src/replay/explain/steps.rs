//! What a step of the program leaves behind: allocated in one step, and still alive some steps later.
//!
//! Decides where steps begin: at marks that the program set in its trace, else at a period that its requests show, else
//! nowhere. Does not decide whether what stays was meant to stay.

use std::collections::BTreeMap;

use rustc_hash::FxHashMap;
use serde::Serialize;

use super::told::{Told, unnamed};
use crate::op::trace::{Action, TraceEvent};
use crate::recording::PlacedEvent;
use crate::recording::snapshot::told::Mark;
use crate::replay::what_if::Ask;

/// Fewer steps show no habit.
const FEWEST: usize = 3;
/// A period of fewer requests is a loop within a step.
const SHORTEST: usize = 4;

/// What the steps were told by.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Source {
    /// Marks of this name in the trace; at their starts, or at their ends.
    Marks { name: String, at_starts: bool },
    /// The sizes of requests repeat after so many.
    Period { requests: u64 },
    /// Neither was found.
    None,
}

/// What blocks of one origin leave behind.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Left {
    /// Where they were allocated if stacks were recorded, else their size and stream.
    pub group: String,
    /// In so many steps something of it stayed.
    pub steps: u64,
    /// So many blocks and bytes, over all steps.
    pub blocks: u64,
    pub bytes: u64,
    /// Of these, alive at the end.
    pub alive_at_the_end: u64,
}

/// The steps of a device's life.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Steps {
    pub source: Source,
    /// So many whole steps were found.
    pub found: u64,
    /// Of these, so many had enough steps after them.
    pub looked_at: u64,
    /// Alive after so many further steps.
    pub later: u64,
    pub left: Vec<Left>,
}

/// One block's life, by positions in the course of calls.
#[derive(Debug, Clone)]
struct Lifetime {
    born: usize,
    died: Option<usize>,
    bytes: u64,
    /// Its place in [`Lives::groups`].
    group: u32,
}

/// A device's calls as far as they begin and end lives.
#[derive(Debug, Default)]
pub(super) struct Lives {
    lives: Vec<Lifetime>,
    groups: Vec<String>,
    known: FxHashMap<String, u32>,
    calls: usize,
    /// For each event of a trace, how many calls there were before it.
    before: Vec<usize>,
}

impl Lives {
    fn group(&mut self, name: String) -> u32 {
        if let Some(&known) = self.known.get(&name) {
            return known;
        }
        let next = u32::try_from(self.groups.len()).unwrap_or(u32::MAX);
        self.groups.push(name.clone());
        self.known.insert(name, next);
        next
    }

    fn name(&self, group: u32) -> &str {
        self.groups.get(group as usize).map_or("", String::as_str)
    }

    pub fn of_trace(device: usize, events: &[PlacedEvent], told: &Told) -> Lives {
        let mut lives = Lives::default();
        let mut open: BTreeMap<u64, usize> = BTreeMap::new();
        for PlacedEvent { index, event, .. } in events.iter().copied() {
            let TraceEvent { action, address, bytes, stream } = event;
            lives.before.resize(index as usize + 1, lives.calls);
            match action {
                Action::Alloc => {
                    let group = lives.group(told.named(device, index as usize, bytes, stream));
                    open.insert(address, lives.lives.len());
                    lives.lives.push(Lifetime { born: lives.calls, died: None, bytes, group });
                    lives.calls += 1;
                }
                // One of the two may have been left out when the history was recorded.
                Action::FreeRequested | Action::FreeCompleted => {
                    if let Some(life) = open.remove(&address).and_then(|at| lives.lives.get_mut(at)) {
                        life.died = Some(lives.calls);
                        lives.calls += 1;
                    }
                }
                _ => {}
            }
        }
        lives
    }

    pub fn of_asks(device: usize, asks: &[(usize, Ask)]) -> Lives {
        let mut lives = Lives::default();
        let mut open: BTreeMap<u64, usize> = BTreeMap::new();
        for (_, ask) in asks.iter().filter(|(at, _)| *at == device) {
            match *ask {
                Ask::Alloc { block, bytes, stream, refused: false, .. } if bytes > 0 => {
                    open.insert(block, lives.lives.len());
                    let group = lives.group(unnamed(bytes, stream.0));
                    lives.lives.push(Lifetime { born: lives.calls, died: None, bytes, group });
                    lives.calls += 1;
                }
                Ask::Free { block } => {
                    if let Some(life) = open.remove(&block).and_then(|at| lives.lives.get_mut(at)) {
                        life.died = Some(lives.calls);
                        lives.calls += 1;
                    }
                }
                Ask::Clear => {
                    for life in std::mem::take(&mut open).into_values() {
                        lives.lives[life].died = Some(lives.calls);
                    }
                }
                _ => {}
            }
        }
        lives
    }

    /// What stays of each step, `later` steps after it.
    pub fn steps(&self, marks: &[Mark], later: u64) -> Steps {
        let (source, borders) = self.borders(marks);
        let found = borders.len().saturating_sub(1);
        let after = usize::try_from(later).unwrap_or(usize::MAX);
        let looked_at = found.saturating_sub(after);
        let mut groups: BTreeMap<&str, (Left, Option<usize>)> = BTreeMap::new();
        for life in &self.lives {
            // Step k lies between borders k and k + 1.
            let Some(step) = borders.partition_point(|&border| border <= life.born).checked_sub(1) else { continue };
            let Some(&end) = borders.get(step.saturating_add(1).saturating_add(after)) else { continue };
            if life.died.is_some_and(|died| died < end) {
                continue;
            }
            let name = self.name(life.group);
            let empty = Left { group: name.to_owned(), steps: 0, blocks: 0, bytes: 0, alive_at_the_end: 0 };
            let (left, last) = groups.entry(name).or_insert((empty, None));
            left.steps += u64::from(*last != Some(step));
            *last = Some(step);
            left.blocks += 1;
            left.bytes = left.bytes.saturating_add(life.bytes);
            if life.died.is_none() {
                left.alive_at_the_end = left.alive_at_the_end.saturating_add(life.bytes);
            }
        }
        let mut left: Vec<Left> = groups.into_values().map(|(left, _)| left).collect();
        left.sort_by(|a, b| (b.steps, b.bytes, &a.group).cmp(&(a.steps, a.bytes, &b.group)));
        Steps { source, found: found as u64, looked_at: looked_at as u64, later, left }
    }

    /// Where steps begin, in calls; the last border ends the last step.
    fn borders(&self, marks: &[Mark]) -> (Source, Vec<usize>) {
        if let Some((name, at_starts)) = telling(marks) {
            let chosen = marks.iter().filter(|m| m.is_start == at_starts && stem(&m.name) == name);
            let call = |mark: &Mark| self.before.get(mark.event as usize).copied().unwrap_or(self.calls);
            let mut borders: Vec<usize> = chosen.map(call).collect();
            borders.dedup();
            if borders.len() > FEWEST {
                return (Source::Marks { name: name.to_owned(), at_starts }, borders);
            }
        }
        match self.period() {
            Some((requests, borders)) => (Source::Period { requests: requests as u64 }, borders),
            None => (Source::None, Vec::new()),
        }
    }

    /// The period of the requests towards the end of the trace, and the steps it makes.
    fn period(&self) -> Option<(usize, Vec<usize>)> {
        let mut sizes: Vec<u64> = self.lives.iter().map(|life| life.bytes).collect();
        sizes.reverse();
        let alike = shared_prefixes(&sizes);
        // Sizes that repeat after p requests are alike to themselves p later, over at least `FEWEST` rounds.
        let covers = |p: usize| alike.get(p).map_or(0, |same| same + p);
        let repeats = |&p: &usize| covers(p) >= (FEWEST + 1) * p;
        let most = (SHORTEST..sizes.len()).filter(repeats).map(covers).max()?;
        let period = (SHORTEST..sizes.len()).filter(repeats).find(|&p| covers(p) * 5 >= most * 4)?;
        let count = self.lives.len();
        let first = count - covers(period).min(count);
        // A step begins where the least is alive: between two of them a program holds the least.
        let alive = self.alive();
        let phase = (count - period..count).min_by_key(|&at| (alive[at], at))?;
        let is_border = |at: usize| (phase + period * count - at).is_multiple_of(period);
        let mut borders: Vec<usize> =
            (first..count).filter(|&at| is_border(at)).map(|at| self.lives[at].born).collect();
        if is_border(count) {
            borders.push(self.calls);
        }
        Some((period, borders))
    }

    /// Bytes alive just before each block is allocated.
    fn alive(&self) -> Vec<u64> {
        let mut died = vec![0_u64; self.calls + 1];
        for life in &self.lives {
            if let Some(at) = life.died {
                died[at] = died[at].saturating_add(life.bytes);
            }
        }
        let (mut call, mut now) = (0, 0_u64);
        let before = |life: &Lifetime| {
            while call <= life.born {
                now = now.saturating_sub(died[call]);
                call += 1;
            }
            let before = now;
            now = now.saturating_add(life.bytes);
            before
        };
        self.lives.iter().map(before).collect()
    }
}

/// A name without the number that tells one step from another.
fn stem(name: &str) -> &str {
    name.trim_end_matches(|c: char| c.is_ascii_digit())
}

/// The marks that tell steps apart: those whose name speaks of steps, and of these the most.
fn telling(marks: &[Mark]) -> Option<(&str, bool)> {
    let mut counts: BTreeMap<(&str, bool), usize> = BTreeMap::new();
    for mark in marks {
        *counts.entry((stem(&mark.name), mark.is_start)).or_default() += 1;
    }
    let rank = |name: &str| {
        let lower = name.to_lowercase();
        // A step ends with the optimizer's own; a profiler's or a program's own begins with its mark.
        let known = [("profilerstep", true), ("iteration", true), ("optimizer.step", false), ("step", true)];
        known.into_iter().enumerate().find(|(_, (word, _))| lower.contains(word)).map(|(at, (_, starts))| (at, starts))
    };
    let named = counts.iter().filter(|(_, count)| **count > FEWEST);
    let told = named.filter_map(|(&(name, is_start), &count)| {
        let (rank, starts) = rank(name)?;
        (starts == is_start).then_some((rank, std::cmp::Reverse(count), name, is_start))
    });
    told.min().map(|(_, _, name, is_start)| (name, is_start))
}

/// For each place, how much of what begins there is what the whole begins with.
fn shared_prefixes(text: &[u64]) -> Vec<usize> {
    let mut same = vec![0; text.len()];
    let (mut left, mut right) = (0, 0);
    for at in 1..text.len() {
        if at < right {
            same[at] = same[at - left].min(right - at);
        }
        while text.get(at + same[at]).is_some_and(|value| *value == text[same[at]]) {
            same[at] += 1;
        }
        if at + same[at] > right {
            (left, right) = (at, at + same[at]);
        }
    }
    same
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::device::StreamHandle;

    /// A program of steps: `stays` bytes of each stay until the end, besides 3 blocks that go within the step.
    fn program(steps: u64, stays: Option<u64>) -> Vec<(usize, Ask)> {
        let alloc = |block, bytes| (0, Ask::Alloc { block, bytes, stream: StreamHandle(0), refused: false, to: None });
        let mut asks = vec![alloc(0, 1 << 30), alloc(1, 77)];
        for step in 1..=steps {
            let block = step * 10;
            asks.extend((0..4).map(|at| alloc(block + at, 512 << at)));
            asks.extend(stays.map(|bytes| alloc(block + 9, bytes)));
            asks.extend((0..4).map(|at| (0, Ask::Free { block: block + at })));
        }
        asks
    }

    #[test]
    fn what_every_step_leaves_behind_is_found_by_its_period() {
        let steps = Lives::of_asks(0, &program(10, Some(4096))).steps(&[], 2);
        assert_eq!(steps.source, Source::Period { requests: 5 });
        let [left] = steps.left.as_slice() else { panic!("{steps:?}") };
        assert_eq!((left.group.as_str(), left.steps), ("4 KiB, stream 0", steps.looked_at));
        assert_eq!((left.bytes, left.alive_at_the_end), (4096 * steps.looked_at, 4096 * steps.looked_at));
        assert!(steps.looked_at >= 6, "{steps:?}");
    }

    #[test]
    fn a_program_that_leaves_nothing_is_said_to() {
        let steps = Lives::of_asks(0, &program(10, None)).steps(&[], 1);
        assert_eq!(steps.source, Source::Period { requests: 4 });
        assert!(steps.looked_at > 6 && steps.left.is_empty(), "{steps:?}");
    }

    #[test]
    fn without_period_or_marks_there_are_no_steps() {
        let alloc = |block: u64| {
            (0, Ask::Alloc { block, bytes: 512 * block * block, stream: StreamHandle(0), refused: false, to: None })
        };
        let asks: Vec<(usize, Ask)> = (1..50).map(alloc).collect();
        let steps = Lives::of_asks(0, &asks).steps(&[], 2);
        assert_eq!((steps.source, steps.found, steps.looked_at), (Source::None, 0, 0));
        assert!(Lives::default().steps(&[], u64::MAX).left.is_empty());
    }

    #[test]
    fn marks_of_steps_come_first() {
        let mark = |name: &str, event, is_start| Mark { name: name.to_owned(), event, is_start };
        let mut marks: Vec<Mark> = (0..9).map(|at| mark("forward", at, true)).collect();
        marks.extend((0..5).flat_map(|at| {
            [mark("Optimizer.step#Adam.step", 2 * at, true), mark("Optimizer.step#Adam.step", 2 * at + 1, false)]
        }));
        assert_eq!(telling(&marks), Some(("Optimizer.step#Adam.step", false)));
        marks.extend((0..4).map(|at| mark(&format!("ProfilerStep#{at}"), at, true)));
        assert_eq!(telling(&marks), Some(("ProfilerStep#", true)));
        assert_eq!(telling(&marks[..9]), None, "no word of steps");
    }
}
