//! A part of a snapshot, written again: its events with all their fields, and what stood after them.
//!
//! Decides which values go with it: everything an event says, the annotations of its time, the settings; and for
//! what stood then the stack of the event that allocated it. Does not decide what stood.

use std::ops::Range;

use rustc_hash::FxHashMap;

use super::{FieldPath, InForce, Opened, Record, SnapshotError};
use crate::op::snapshot::{BlockState, BlockView, SegmentView};
use crate::op::stats::PoolKind;
use crate::recording::pickle::{Entries, Value, Writer};

/// What is kept of a snapshot.
#[derive(Debug, Clone, Copy)]
pub struct Kept<'k> {
    /// Numbers of events, by device.
    pub events: &'k [Range<u32>],
    /// What stood after them.
    pub segments: &'k [SegmentView],
    /// The private pools of events that do not tell theirs, by device and number.
    pub pools: &'k FxHashMap<(usize, u32), (u64, u64)>,
    /// The settings that were in force after them, where they are not those of the file.
    pub in_force: Option<InForce>,
    /// Statistics of these devices stay true.
    pub stats: &'k [usize],
    /// The release that was recorded, where the events would tell a later one or none.
    pub release: Option<u32>,
}

/// Values deeper than this are left out: no snapshot holds any.
const DEEPEST: usize = 16;

impl Opened {
    /// The pickle of a part, which PyTorch's memory viewer opens.
    ///
    /// # Errors
    /// As [`Opened::snapshot`].
    pub fn copied(&self, kept: Kept<'_>) -> Result<Vec<u8>, SnapshotError> {
        let top = Record::of(&self.document, self.document.root(), FieldPath::Top, &self.file)?;
        let traces = top.list("device_traces")?;
        let mut copy = Copying { opened: self, kept, writer: Writer::default(), written: FxHashMap::default() };
        let stacks = copy.stacks(&top)?;
        copy.writer.begin_dict();
        copy.writer.str("segments");
        let segments = kept.segments;
        list(&mut copy, segments.iter(), |copy, segment| copy.segment(segment, &stacks));
        copy.writer.str("device_traces");
        let devices = traces.len().max(kept.events.len());
        list(&mut copy, 0..devices, |copy, device| {
            let own = traces.get(device).and_then(|trace| self.document.items(trace));
            let events = own.zip(kept.events.get(device)).into_iter().flat_map(|(own, range)| {
                (range.start as usize..range.end as usize).filter_map(move |at| Some((at, own.get(at)?)))
            });
            list(copy, events, |copy, (at, event)| copy.event(device, at, event));
        });
        copy.settings(&top);
        copy.annotations(&top);
        copy.stats(&top);
        if let Some(minor) = kept.release {
            copy.writer.str("poolproof_release");
            copy.writer.int(minor);
        }
        copy.writer.end_dict();
        Ok(copy.writer.finish())
    }
}

/// By device and address: the stacks of blocks and of segments.
#[derive(Debug, Default)]
struct Stacks {
    blocks: FxHashMap<(u32, u64), Value>,
    segments: FxHashMap<(u32, u64), Value>,
}

struct Copying<'c> {
    opened: &'c Opened,
    kept: Kept<'c>,
    writer: Writer,
    /// Lists and dicts that were written: where the memo of the pickle has them.
    written: FxHashMap<(bool, u32), u32>,
}

/// A list, its items written by `item`.
fn list<'c, T>(copy: &mut Copying<'c>, items: impl IntoIterator<Item = T>, mut item: impl FnMut(&mut Copying<'c>, T)) {
    copy.writer.begin_list();
    for (count, one) in items.into_iter().enumerate() {
        copy.writer.next_item(count);
        item(copy, one);
    }
    copy.writer.end_list();
}

impl<'c> Copying<'c> {
    fn entries(&self, value: Value) -> Option<Entries<'c>> {
        self.opened.document.entries(value)
    }

    /// The stacks of what may stand after the part: as the file says in the end, unless it says none or it was allocated again after
    /// the part; then those of the last event up to its end that allocated it.
    fn stacks(&self, top: &Record<'c>) -> Result<Stacks, SnapshotError> {
        let document = &self.opened.document;
        let mut stacks = Stacks::default();
        let mut final_ones = Stacks::default();
        let has_frames = |frames: &Value| document.items(*frames).is_some_and(|items| !items.is_empty());
        for (index, segment) in top.list("segments")?.iter().enumerate() {
            let record = Record::of(document, segment, FieldPath::Segment { index }, &self.opened.file)?;
            let device = u32::try_from(record.unsigned("device")?).unwrap_or(u32::MAX);
            let start = record.unsigned("address")?;
            let own = record.get("frames").filter(has_frames);
            final_ones.segments.extend(own.map(|frames| ((device, start), frames)));
            for block in record.list("blocks")?.iter().filter_map(|block| document.entries(block)) {
                let is_live = block.get("state").and_then(|state| document.text(state)) != Some("inactive");
                if let (Some(Value::Int(address)), Some(frames), true) =
                    (block.get("address"), block.get("frames").filter(has_frames), is_live)
                {
                    final_ones.blocks.insert((device, address.cast_unsigned()), frames);
                }
            }
        }
        for (device, trace) in top.list("device_traces")?.iter().enumerate() {
            let end = self.kept.events.get(device).map_or(0, |range| range.end as usize);
            let own = u32::try_from(device).unwrap_or(u32::MAX);
            let events = document.items(trace).into_iter().flat_map(|items| items.iter()).enumerate();
            for (at, event) in events {
                let Some(event) = document.entries(event) else { continue };
                let action = event.get("action").and_then(|action| document.text(action)).unwrap_or_default();
                let (of, last_of) = match action {
                    "alloc" => (&mut stacks.blocks, &mut final_ones.blocks),
                    "segment_alloc" | "segment_map" => (&mut stacks.segments, &mut final_ones.segments),
                    _ => continue,
                };
                let Some(Value::Int(address)) = event.get("addr") else { continue };
                let key = (own, address.cast_unsigned());
                if at < end {
                    match event.get("frames") {
                        Some(frames) => drop(of.insert(key, frames)),
                        None => drop(of.remove(&key)),
                    }
                } else {
                    // What stands there in the end came later.
                    last_of.remove(&key);
                }
            }
        }
        // What was not allocated again stands in the end as it stood then.
        stacks.blocks.extend(final_ones.blocks);
        stacks.segments.extend(final_ones.segments);
        Ok(stacks)
    }

    fn segment(&mut self, view: &SegmentView, stacks: &Stacks) {
        self.writer.begin_dict();
        self.number("device", u64::from(view.device));
        self.number("address", view.address);
        self.number("total_size", view.total_size);
        self.number("allocated_size", view.allocated_size);
        self.number("active_size", view.active_size);
        self.number("requested_size", view.requested_size);
        self.number("stream", view.stream);
        self.writer.str("segment_type");
        self.writer.str(match view.segment_type {
            PoolKind::Small => "small",
            PoolKind::Large => "large",
        });
        self.writer.str("segment_pool_id");
        self.pair(view.segment_pool_id);
        self.writer.str("is_expandable");
        self.writer.bool(view.is_expandable);
        self.frames(stacks.segments.get(&(view.device, view.address)).copied());
        self.writer.str("blocks");
        list(self, view.blocks.iter(), |copy, block| copy.block(view.device, block, stacks));
        self.writer.end_dict();
    }

    fn block(&mut self, device: u32, view: &BlockView, stacks: &Stacks) {
        self.writer.begin_dict();
        self.number("address", view.address);
        self.number("size", view.size);
        self.number("requested_size", view.requested_size);
        self.writer.str("state");
        self.writer.str(match view.state {
            BlockState::ActiveAllocated => "active_allocated",
            BlockState::ActivePendingFree => "active_pending_free",
            BlockState::Inactive => "inactive",
        });
        let live = view.state != BlockState::Inactive;
        self.frames(stacks.blocks.get(&(device, view.address)).copied().filter(|_| live));
        self.writer.end_dict();
    }

    /// Frames, and none where none are known.
    fn frames(&mut self, frames: Option<Value>) {
        self.writer.str("frames");
        match frames {
            Some(frames) if matches!(frames, Value::List(_)) => self.value(frames, 0),
            _ => list(self, std::iter::empty::<()>(), |_, ()| {}),
        }
    }

    fn event(&mut self, device: usize, at: usize, event: Value) {
        let Some(entries) = self.entries(event) else { return self.value(event, 0) };
        self.writer.begin_dict();
        for (key, value) in entries.iter() {
            self.value(key, 1);
            self.value(value, 1);
        }
        let number = u32::try_from(at).unwrap_or(u32::MAX);
        let pool = self.kept.pools.get(&(device, number)).copied();
        if let Some(pool) = pool.filter(|_| entries.get("pool_id").is_none()) {
            self.writer.str("pool_id");
            self.pair(pool);
        }
        // What PyTorch 2.0 did not tell, its viewer of today asks for.
        if entries.get("time_us").is_none() {
            self.number("time_us", at as u64);
        }
        self.writer.end_dict();
    }

    fn settings(&mut self, top: &Record<'c>) {
        let own = top.get("allocator_settings").and_then(|settings| self.entries(settings));
        let Some(own) = own else { return };
        let document = &self.opened.document;
        self.writer.str("allocator_settings");
        self.writer.begin_dict();
        let in_force = self.kept.in_force;
        let is_told = |key: Value| in_force.is_some() && document.text(key).is_some_and(|key| IN_FORCE.contains(&key));
        for (key, value) in own.iter().filter(|(key, _)| !is_told(*key)) {
            self.value(key, 1);
            self.value(value, 1);
        }
        if let Some(in_force) = in_force {
            self.in_force(&in_force);
        }
        self.writer.end_dict();
    }

    fn in_force(&mut self, in_force: &InForce) {
        let [expandable, max_split, collection, roundup] = IN_FORCE;
        if let Some(is) = in_force.expandable_segments {
            self.writer.str(expandable);
            self.writer.bool(is);
        }
        if let Some(bytes) = in_force.max_split_size {
            self.writer.str(max_split);
            self.writer.int(bytes);
        }
        if let Some(threshold) = in_force.gc_threshold {
            self.writer.str(collection);
            self.writer.float(threshold);
        }
        if let Some(divisions) = in_force.roundup_divisions {
            self.writer.str(roundup);
            self.writer.begin_dict();
            for (power, divisions) in divisions.into_iter().enumerate() {
                self.number(&(1_u64 << power).to_string(), divisions);
            }
            self.writer.end_dict();
        }
    }

    /// Those of the time of the part's events; all where events have no times.
    fn annotations(&mut self, top: &Record<'c>) {
        let document = &self.opened.document;
        let marks = top.get("external_annotations").and_then(|list| document.items(list));
        let spans = self.spans(top);
        let time = |mark: Value| match document.entries(mark)?.get("time_us")? {
            Value::Int(time) => Some(time),
            _ => None,
        };
        let is_inside = |mark: &Value| match time(*mark) {
            Some(time) => spans.is_none_or(|(first, last)| (first..=last).contains(&time)),
            None => true,
        };
        self.writer.str("external_annotations");
        let marks = marks.into_iter().flat_map(|marks| marks.iter()).filter(is_inside);
        list(self, marks, |copy, mark| copy.value(mark, 0));
    }

    /// The first and the last time of the part. What began with the file or ended with it is not bounded there.
    fn spans(&self, top: &Record<'c>) -> Option<(i64, i64)> {
        let document = &self.opened.document;
        let traces = top.list("device_traces").ok()?;
        let mut span: Option<(i64, i64)> = None;
        let (mut from_start, mut to_end) = (true, true);
        for (trace, range) in traces.iter().zip(self.kept.events) {
            let Some(trace) = document.items(trace) else { continue };
            let time = |at: u32| match document.entries(trace.get(at as usize)?)?.get("time_us")? {
                Value::Int(time) => Some(time),
                _ => None,
            };
            if range.is_empty() {
                continue;
            }
            from_start &= range.start == 0;
            to_end &= range.end as usize >= trace.len();
            let (first, last) = span.unwrap_or((i64::MAX, i64::MIN));
            span = Some((first.min(time(range.start)?), last.max(time(range.end - 1)?)));
        }
        let (first, last) = span?;
        Some((if from_start { i64::MIN } else { first }, if to_end { i64::MAX } else { last }))
    }

    fn stats(&mut self, top: &Record<'c>) {
        let own = top.get("poolproof_stats").and_then(|stats| self.entries(stats));
        let Some(own) = own.filter(|_| !self.kept.stats.is_empty()) else { return };
        self.writer.str("poolproof_stats");
        self.writer.begin_dict();
        let still =
            |key: Value| matches!(key, Value::Int(device) if self.kept.stats.iter().any(|&s| s as i64 == device));
        for (key, value) in own.iter().filter(|(key, _)| still(*key)) {
            self.value(key, 1);
            self.value(value, 1);
        }
        self.writer.end_dict();
    }

    fn number(&mut self, key: &str, value: u64) {
        self.writer.str(key);
        self.writer.int(value);
    }

    fn pair(&mut self, (first, second): (u64, u64)) {
        self.writer.int(first);
        self.writer.int(second);
        self.writer.pair();
    }

    /// A value as it was. What was written once is referred to from then on.
    fn value(&mut self, value: Value, depth: usize) {
        let document = &self.opened.document;
        match value {
            Value::Bool(is) => self.writer.bool(is),
            Value::Int(number) => self.writer.int(number),
            Value::Float(number) => self.writer.float(number),
            Value::Str(_) => self.writer.str(document.text(value).unwrap_or_default()),
            Value::List(place) | Value::Dict(place) if depth < DEEPEST => {
                let key = (matches!(value, Value::Dict(_)), place);
                if let Some(&known) = self.written.get(&key) {
                    return self.writer.get(known);
                }
                if let Some(entries) = document.entries(value) {
                    let known = self.writer.begin_kept_dict();
                    self.written.insert(key, known);
                    for (key, value) in entries.iter() {
                        self.value(key, depth + 1);
                        self.value(value, depth + 1);
                    }
                    self.writer.end_dict();
                } else {
                    let known = self.writer.begin_kept_list();
                    self.written.insert(key, known);
                    let items = document.items(value).into_iter().flat_map(|items| items.iter());
                    for (count, item) in items.enumerate() {
                        self.writer.next_item(count);
                        self.value(item, depth + 1);
                    }
                    self.writer.end_list();
                }
            }
            Value::Tuple(_) if depth < DEEPEST => {
                let is_pair = document.items(value).is_some_and(|items| items.len() == 2);
                if !is_pair {
                    self.writer.begin_tuple();
                }
                for item in document.items(value).into_iter().flat_map(|items| items.iter()) {
                    self.value(item, depth + 1);
                }
                if is_pair { self.writer.pair() } else { self.writer.end_tuple() }
            }
            // Nothing of a snapshot is any of these, or that deep.
            _ => self.writer.none(),
        }
    }
}

/// The settings that a snapshot tells beside the string.
const IN_FORCE: [&str; 4] =
    ["expandable_segments", "max_split_size", "garbage_collection_threshold", "roundup_power2_divisions"];
