//! What a snapshot tells beside what the allocator did: when, from where in the program, and under which marks.
//!
//! Decides how a stack is named in one line, and which marks there are. Replays nothing.

use std::collections::BTreeMap;
use std::num::NonZeroU32;

use rustc_hash::FxHashMap;

use super::fields::{FieldPath, Record};
use super::{MOST_DEVICES, Opened, SnapshotError};
use crate::recording::pickle::{Budget, Document, Value};

/// A mark that the program set in its trace: `record_function`, an optimizer's step, `annotate`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mark {
    pub name: String,
    /// The first event at or after it.
    pub event: u32,
    /// The start of what is marked, or its end.
    pub is_start: bool,
}

/// The stacks, times and marks of one device's trace.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct DeviceTold {
    /// For each event: its stack, as a place in [`Told::sites`], from 1.
    pub stacks: Vec<Option<NonZeroU32>>,
    /// For each event: microseconds of some clock.
    pub times: Vec<Option<u64>>,
    pub marks: Vec<Mark>,
}

/// What a snapshot tells beside its events.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Told {
    /// Each stack in one line: where the program was, and which call of a library it had made there.
    pub sites: Vec<String>,
    pub devices: Vec<DeviceTold>,
}

impl Told {
    /// A stack in one line.
    #[must_use]
    pub fn site(&self, stack: NonZeroU32) -> Option<&str> {
        self.sites.get(stack.get() as usize - 1).map(String::as_str)
    }

    /// When events were is not asked any more.
    pub fn forget_times(&mut self) {
        for device in &mut self.devices {
            device.times = Vec::new();
        }
    }
}

impl Opened {
    /// What it tells beside the events of a snapshot.
    ///
    /// # Errors
    /// As [`Opened::snapshot`].
    pub fn told(&self) -> Result<Told, SnapshotError> {
        let telling = Telling {
            document: &self.document,
            budget: self.budget,
            file: &self.file,
            told: Told::default(),
            known: BTreeMap::new(),
            of_stack: FxHashMap::default(),
        };
        telling.all()
    }
}

struct Telling<'d> {
    document: &'d Document,
    budget: Budget,
    file: &'d str,
    told: Told,
    known: BTreeMap<String, Option<NonZeroU32>>,
    /// Stacks that were met before: a pickle holds equal ones once.
    of_stack: FxHashMap<u32, Option<NonZeroU32>>,
}

impl<'d> Telling<'d> {
    fn all(mut self) -> Result<Told, SnapshotError> {
        let top = Record::of(self.document, self.document.root(), FieldPath::Top, self.file)?;
        for (device, trace) in top.list("device_traces")?.iter().take(MOST_DEVICES).enumerate() {
            let told = self.device(device, trace)?;
            self.told.devices.push(told);
        }
        self.annotations(&top);
        for device in &mut self.told.devices {
            device.marks.sort_by_key(|mark| mark.event);
        }
        Ok(self.told)
    }

    fn device(&mut self, device: usize, trace: Value) -> Result<DeviceTold, SnapshotError> {
        let mut told = DeviceTold::default();
        for (at, item) in self.document.items(trace).into_iter().flat_map(|items| items.iter()).enumerate() {
            let charged = self.budget.charge(64, 0);
            charged.map_err(|_| SnapshotError::Unfolds { file: self.file.to_owned() })?;
            let event = Record::of(self.document, item, FieldPath::Event { device, at }, self.file)?;
            let time = match event.get("time_us") {
                Some(Value::Int(time)) => u64::try_from(time).ok(),
                _ => None,
            };
            told.times.push(time);
            let stack = event.get("frames").and_then(|frames| self.stack(frames));
            told.stacks.push(stack);
            if event.get("action").and_then(|a| self.document.text(a)) == Some("annotate") {
                let name = event.get("user_metadata").and_then(|m| self.document.text(m)).unwrap_or("annotate");
                let event = u32::try_from(at).unwrap_or(u32::MAX);
                told.marks.push(Mark { name: name.to_owned(), event, is_start: true });
            }
        }
        Ok(told)
    }

    /// Marks that stand beside the trace, put to the event that follows them. One without a time or a name, or on
    /// a device that is not there, tells nothing.
    fn annotations(&mut self, top: &Record<'d>) {
        let document = self.document;
        let marks = top.get("external_annotations").and_then(|list| document.items(list));
        for mark in marks.into_iter().flat_map(|marks| marks.iter()) {
            let Some(entries) = document.entries(mark) else { continue };
            let text = |name: &str| entries.get(name).and_then(|value| document.text(value));
            let number = |name: &str| match entries.get(name) {
                Some(Value::Int(number)) => u64::try_from(number).ok(),
                _ => None,
            };
            let (Some(name), Some(time)) = (text("name"), number("time_us")) else { continue };
            let device = number("device").and_then(|d| usize::try_from(d).ok()).unwrap_or(0);
            let Some(told) = self.told.devices.get_mut(device) else { continue };
            let event = told.times.partition_point(|t| t.is_some_and(|t| t < time));
            let is_start = text("stage") != Some("END");
            told.marks.push(Mark { name: name.to_owned(), event: u32::try_from(event).unwrap_or(u32::MAX), is_start });
        }
    }

    /// The stack's line; `None` for one without frames.
    fn stack(&mut self, frames: Value) -> Option<NonZeroU32> {
        let items = self.document.items(frames).filter(|items| !items.is_empty())?;
        let (Value::List(identity) | Value::Tuple(identity)) = frames else { return None };
        if let Some(&known) = self.of_stack.get(&identity) {
            return known;
        }
        let site = self.site(items.iter()).map(|text| {
            *self.known.entry(text.clone()).or_insert_with(|| {
                self.told.sites.push(text);
                u32::try_from(self.told.sites.len()).ok().and_then(NonZeroU32::new)
            })
        });
        let site = site.flatten();
        self.of_stack.insert(identity, site);
        site
    }

    /// The innermost frame of the program's own, and the innermost of all where that is another's.
    fn site(&self, frames: impl Iterator<Item = Value>) -> Option<String> {
        let named: Vec<(&str, &str, i64)> = frames.filter_map(|frame| self.frame(frame)).collect();
        let own = named.iter().find(|(_, file, _)| !is_library(file));
        let first = named.first()?;
        let line = |&(name, file, line): &(&str, &str, i64)| {
            let file = file.rsplit('/').take(2).collect::<Vec<_>>().into_iter().rev().collect::<Vec<_>>().join("/");
            format!("{file}:{line} {name}")
        };
        Some(match own {
            Some(own) if own != first => format!("{} ({})", line(own), first.0),
            Some(own) => line(own),
            None => line(first),
        })
    }

    /// Name, file and line of a frame of Python; those of C++ say less.
    fn frame(&self, frame: Value) -> Option<(&'d str, &'d str, i64)> {
        let document = self.document;
        let entries = document.entries(frame)?;
        let (name, file) = (document.text(entries.get("name")?)?, document.text(entries.get("filename")?)?);
        let line = if let Some(Value::Int(line)) = entries.get("line") { line } else { 0 };
        (!file.is_empty() && file != "??").then_some((name, file, line))
    }
}

/// Of Python itself or a package that is installed.
fn is_library(file: &str) -> bool {
    ["site-packages/", "dist-packages/", "lib/python", "<frozen", "torch/"].iter().any(|part| file.contains(part))
}
