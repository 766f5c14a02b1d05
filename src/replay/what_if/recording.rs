//! The calls of a recording, apart from what was answered; and what was answered, in figures.
//!
//! Decides what the recorded run came to by its own statistics alone.

use std::path::Path;

use super::ask::{Ask, RecordedUsage};
use super::held_back::{self, HeldBack};
use super::pools::{self, Names, Streams, handle_of};
use super::{CardSize, Row, SizeFrom, Workload};
use crate::device::StreamHandle;
use crate::device::card::Given;
use crate::op::stats::{Counter, Family};
use crate::op::trace::Action;
use crate::op::{Stats, Via};
use crate::recording::{self, End, Line, Reader, RecordedOp, StatsChange, Verb};
use crate::reference::{Rules, Settings, TENSOR_LIMIT, rounding};
use crate::replay::{Note, ReleaseFrom, ReplayError, header_of, release};

/// One device of a recorded run, by its statistics.
#[derive(Debug, Clone, Default)]
struct Count {
    stats: Stats,
    row: Row,
}

impl Count {
    fn starts(&mut self, change: &StatsChange) {
        self.stats = Stats::default();
        change.apply(&mut self.stats);
    }

    fn of(device: usize) -> Self {
        Count { row: Row::new("", device), ..Count::default() }
    }

    /// What is held now.
    fn reserved(&self) -> u64 {
        u64::try_from(self.stats.all(Family::ReservedBytes).current).unwrap_or(0)
    }

    /// `resets`: what was counted begins anew.
    fn follow(&mut self, change: Option<&StatsChange>, resets: bool) {
        let before = self.stats;
        if let Some(change) = change {
            change.apply(&mut self.stats);
        }
        let bytes = |family: Family| self.stats.all(family);
        let unsigned = |value: i64| u64::try_from(value).unwrap_or(0);
        let (reserved, allocated) = (bytes(Family::ReservedBytes), bytes(Family::AllocatedBytes));
        self.row.peak_allocated = self.row.peak_allocated.max(unsigned(allocated.peak));
        self.row.peak_reserved = self.row.peak_reserved.max(unsigned(reserved.peak));
        self.row.at_most_reserved(unsigned(reserved.current), unsigned(allocated.current));
        let more = |counter| if resets { 0 } else { unsigned(self.stats.counter(counter) - before.counter(counter)) };
        self.row.device_calls += more(Counter::NumDeviceAlloc) + more(Counter::NumDeviceFree);
        self.row.retries += more(Counter::NumAllocRetries);
    }
}

/// What the devices could give, as refusals show it: by episode and device.
fn available(ends: &[End], settings: &Settings, devices: &[u64]) -> Vec<Vec<u64>> {
    let mut all = Vec::new();
    for end in ends {
        all.push(devices.iter().enumerate().map(|(d, &total)| of_device(end, d, settings, total)).collect());
    }
    all
}

/// What was held and free when the driver refused more; unless more was held at another time, so that somebody else
/// must have held some of it.
fn of_device(end: &End, device: usize, settings: &Settings, total: u64) -> u64 {
    let (mut reserved, mut peak, mut refused): (u64, u64, u64) = (0, 0, u64::MAX);
    let mut told: Option<u64> = None;
    for event in end.events_of(device) {
        match event.action {
            Action::SegmentAlloc | Action::SegmentMap => reserved = reserved.saturating_add(event.bytes),
            Action::SegmentFree | Action::SegmentUnmap => reserved = reserved.saturating_sub(event.bytes),
            Action::Oom => {
                let asked = rounding::segment_size(event.bytes.min(rounding::LARGEST), settings);
                if event.address < asked {
                    told = told.max(Some(reserved.saturating_add(event.address)));
                    refused = refused.min(reserved.saturating_add(asked));
                }
            }
            _ => {}
        }
        peak = peak.max(reserved);
    }
    match told {
        Some(told) if told >= peak => told.min(total),
        Some(_) if total >= refused => peak.min(total),
        _ => total,
    }
}

/// Where the driver put what was got, in order.
fn given(ends: &[End], device: usize, ranges: &[Vec<u64>]) -> Given {
    let ranges = ranges.get(device).into_iter().flatten().copied().collect();
    let mut given = Given { ranges, ..Given::default() };
    for event in ends.iter().flat_map(|end| end.events_of(device)).filter(|e| e.action == Action::SegmentAlloc) {
        given.segments.entry(event.bytes).or_default().push_back(event.address);
    }
    given
}

/// Reads the calls of a recording.
pub(in crate::replay) fn workload(path: &Path) -> Result<Workload, ReplayError> {
    let (report, lived) = super::super::recorded(path, false)?;
    let ends = recording::endings(path)?;
    let mut reader = Reader::open(path)?;
    let (header, settings) = header_of(&mut reader)?;
    let totals: Vec<u64> = header.devices.iter().map(|d| d.total_bytes).collect();
    let tells = held_back::tells(path)?;
    let available = if tells { Vec::new() } else { available(&ends, &settings, &totals) };
    let devices = totals.len();
    let mut counts: Vec<Count> = (0..devices).map(Count::of).collect();
    let tells_captures = Rules::of(release::of_recording(&header)).is_some_and(|rules| rules.captures_alone);
    let mut in_force = settings;
    let (mut asks, mut names, mut streams) = (Vec::new(), Names::default(), Streams::new());
    let (mut episode, mut requests) = (0, 0);
    let mut held_back = HeldBack::new(&totals);
    while let Some(line) = reader.next_line()? {
        let at = reader.line_number();
        match line {
            Line::Episode(start) => {
                for device in 0..devices {
                    let bytes = available.get(episode).map_or(totals[device], |of| of[device]);
                    asks.extend([(device, Ask::Clear), (device, held_back.begin(device, bytes))]);
                    asks.extend(start.fraction.get(&device).map(|&fraction| (device, Ask::Limit { fraction })));
                    start.stats.get(&device).into_iter().for_each(|change| counts[device].starts(change));
                }
                streams = start.streams;
                episode += 1;
            }
            Line::Op(op) => {
                asks.extend(pools::on_its_own_account(&op, devices, Action::Alloc));
                if op.direct {
                    asks.extend(held_back.past_the_cache(&op));
                    let waited = op.device.filter(|&device| op.synchronized && device < devices);
                    asks.extend(waited.map(|device| (device, Ask::Synchronize)));
                } else {
                    asks_on_stream(&op, devices, &streams, tells_captures, &mut asks);
                }
                if let (Verb::SetSettings, Some(text)) = (op.op, &op.settings) {
                    // What a refused string leaves counts, too.
                    let _ = in_force.change(text);
                    asks.extend((0..devices).map(|device| (device, Ask::Settings(Box::new(in_force)))));
                }
                asks.extend(names.asks(&op, &streams, devices));
                asks.extend(pools::on_its_own_account(&op, devices, Action::FreeRequested));
                idle(&op, devices, &streams, &mut asks);
                follow(&op, at, &mut counts, &mut asks);
                asks.extend(held_back.of_neighbours(&op, |device| counts[device].reserved()));
                note_refusal(&op, &mut counts, &mut requests);
            }
            Line::End(_) => {}
        }
    }
    let minor = release::of_recording(&header);
    let mut notes = report.notes;
    notes.extend(of_release(&header, &notes));
    notes.extend(held_back.note());
    let cards = cards(&totals, &available, &held_back, tells);
    let recorded = counts.into_iter().map(|count| Row { config: header.config.clone(), ..count.row }).collect();
    let given = (0..devices).map(|device| given(&ends, device, &lived.ranges)).collect();
    Ok(Workload {
        rules: Rules::of(minor).unwrap_or_default(),
        config: header.config,
        settings,
        at_the_end: in_force,
        cards,
        asks,
        recorded,
        given,
        diverged: report.first,
        notes,
        ..Workload::default()
    })
}

/// By whose rules other settings are asked, unless it is noted already.
fn of_release(header: &recording::Header, notes: &[Note]) -> Option<Note> {
    let minor = release::of_recording(header);
    let is_noted = notes.iter().any(|note| matches!(note, Note::OtherRelease { .. }));
    (!is_noted).then(|| Note::Rules { minor, from: ReleaseFrom::Header(header.recorded_from.clone()) })
}

fn cards(totals: &[u64], available: &[Vec<u64>], held_back: &HeldBack, tells: bool) -> Vec<CardSize> {
    let card = |(device, &total): (usize, &u64)| {
        let least = available.iter().map(|of| of[device]).min().unwrap_or(total);
        let from = if least < total { SizeFrom::Refusals } else { SizeFrom::Header };
        let told = held_back.card(device, total).filter(|_| tells);
        told.unwrap_or(CardSize { total, bytes: least, from })
    };
    totals.iter().enumerate().map(card).collect()
}

/// What an operation changed by the recorded statistics, and what was held then.
fn follow(op: &RecordedOp, at: u64, counts: &mut [Count], asks: &mut Vec<(usize, Ask)>) {
    for (device, count) in counts.iter_mut().enumerate() {
        count.follow(op.stats.get(&device), op.op == Verb::ResetAccumulated);
        let current = |family| u64::try_from(count.stats.all(family).current).unwrap_or(0);
        let (reserved, allocated) = (current(Family::ReservedBytes), current(Family::AllocatedBytes));
        asks.push((device, Ask::RecordedUsage(RecordedUsage { at, reserved, allocated })));
    }
}

/// As [`asks_of`], where it matters with the stream that is current meanwhile.
fn asks_on_stream(
    op: &RecordedOp,
    devices: usize,
    streams: &Streams,
    tells_captures: bool,
    asks: &mut Vec<(usize, Ask)>,
) {
    let current = tensor_stream(op, devices, streams).filter(|_| tells_captures);
    asks.extend(current.map(|(device, stream)| (device, Ask::Current { stream: Some(stream) })));
    asks_of(op, devices, streams, asks);
    asks.extend(current.map(|(device, _)| (device, Ask::Current { stream: None })));
}

/// Requests count as the calls do: those of PyTorch itself, too.
fn note_refusal(op: &RecordedOp, counts: &mut [Count], requests: &mut u64) {
    *requests += op.internal.iter().filter(|e| e.0 == Action::Alloc).count() as u64;
    if op.op != Verb::Alloc || op.block.is_none() || op.direct {
        return;
    }
    *requests += 1;
    if let (Some(_), Some(bytes), Some(count)) = (&op.error, op.bytes, op.device.and_then(|d| counts.get_mut(d))) {
        count.row.refusals += 1;
        count.row.first_refusal.get_or_insert((*requests, bytes));
    }
}

/// The stream that a tensor's allocation makes current for itself: by the rules of some releases it matters.
fn tensor_stream(op: &RecordedOp, devices: usize, streams: &Streams) -> Option<(usize, StreamHandle)> {
    let device = op.device.filter(|&device| device < devices && op.op == Verb::Alloc && op.via == Some(Via::Tensor))?;
    Some((device, handle_of(streams, device, op.stream)?))
}

fn asks_of(op: &RecordedOp, devices: usize, streams: &Streams, asks: &mut Vec<(usize, Ask)>) {
    let device = op.device.filter(|&d| d < devices);
    let stream = device.and_then(|device| handle_of(streams, device, op.stream));
    let mut push = |ask: Option<Ask>| asks.extend(device.zip(ask));
    match op.op {
        Verb::Alloc if op.via == Some(Via::Tensor) && op.bytes.is_some_and(|bytes| bytes >= TENSOR_LIMIT) => {
            push(op.bytes.map(|bytes| Ask::Unaskable { bytes }));
        }
        Verb::Alloc => {
            let asked = op.block.zip(op.bytes).zip(stream).map(|((block, bytes), stream)| {
                let refused = op.error.is_some();
                Ask::Alloc { block, bytes, stream, refused, to: None }
            });
            asks.extend(device.zip(asked));
        }
        Verb::Free => {
            push(op.block.map(|block| Ask::Free { block }));
            push(op.synchronized.then_some(Ask::Synchronize));
        }
        Verb::RecordStream => push(op.block.zip(stream).map(|(block, stream)| Ask::Record { block, stream })),
        Verb::Occupy => push(stream.map(|stream| Ask::Occupy { stream })),
        Verb::WaitStream => {
            let on = device.and_then(|device| handle_of(streams, device, op.on));
            push(stream.zip(on).map(|(stream, on)| Ask::WaitStream { stream, on }));
        }
        Verb::Synchronize => push(Some(Ask::Synchronize)),
        Verb::EmptyCache => asks.extend((0..devices).map(|device| (device, Ask::Flush))),
        Verb::SetFraction => push(op.fraction.map(|fraction| Ask::Limit { fraction })),
        // The rows count for themselves, and settings hold for all devices.
        Verb::ResetPeak | Verb::ResetAccumulated | Verb::SetSettings => {}
        Verb::PoolCreate
        | Verb::PoolEnter
        | Verb::PoolExit
        | Verb::PoolDelete
        | Verb::CaptureBegin
        | Verb::CaptureEnd
        | Verb::GraphReset => {} // said in `pools`
        Verb::Neighbour | Verb::SetCaching => {} // said in `held_back`
    }
}

/// Streams that were found idle afterwards.
fn idle(op: &RecordedOp, devices: usize, streams: &Streams, asks: &mut Vec<(usize, Ask)>) {
    for (&device, idle) in op.idle.iter().filter(|&(&d, _)| d < devices) {
        let handles = idle.iter().filter_map(|&position| handle_of(streams, device, Some(position)));
        asks.extend(handles.map(|stream| (device, Ask::Finish { stream })));
    }
}
