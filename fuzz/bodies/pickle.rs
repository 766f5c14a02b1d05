//! Memory snapshots: pickles as they are, or made of hostile events; read, lived again, and tried under other settings.
//!
//! An input that begins as pickles do is taken for one; any other byte is a choice, and what follows it are events.

use arbitrary::{Result, Unstructured};
use poolproof::op::snapshot::{BlockState, BlockView, SegmentView};
use poolproof::op::stats::PoolKind;
use poolproof::op::trace::{Action, TraceEvent};
use poolproof::replay::{self, Bound, Lived, Range, Reading, what_if};

use super::coverage::Cells;
use super::files::{on_disk, zipped};
use super::value::{address, number, one_of, rarely};

const CONFIGS: [&str; 5] =
    ["", "expandable_segments:True", "max_split_size_mb:32", "garbage_collection_threshold:0.6", "nonsense"];

pub fn run(data: &[u8], _: &mut Cells) {
    match data.first() {
        Some(0x80) => read(data),
        Some(b'Z') => read(&zipped(&data[1..])),
        Some(_) => {
            if let Ok(lived) = made(&mut Unstructured::new(data)) {
                read(&replay::pickled(&lived));
            }
        }
        None => read(data),
    }
}

fn read(bytes: &[u8]) {
    let bound = |part: usize| Some(Bound::Event((bytes.len() * part / 700 % 23) as u64));
    let range = Range { from: bound(1), to: bound(5) };
    let part = on_disk(bytes, |path| {
        if let Err(error) = replay::exact(path) {
            assert!(!error.to_string().is_empty());
        }
        let configs = ["expandable_segments:True".to_owned()];
        if let Err(error) = what_if::compare(path, &configs, Some(1 << 30), Reading::default()) {
            assert!(!error.to_string().is_empty());
        }
        match replay::copied(path, Reading { range, ..Reading::default() }) {
            Ok((_, part)) => Some(part),
            Err(error) => {
                assert!(!error.to_string().is_empty());
                None
            }
        }
    });
    if let Some(part) = part {
        on_disk(&part, |path| drop(replay::exact(path)));
    }
}

fn made(u: &mut Unstructured<'_>) -> Result<Lived> {
    let config = one_of(u, &CONFIGS)?.to_owned();
    let settings = config.parse().unwrap_or_default();
    let devices = 1 + usize::from(rarely(u, 8)?);
    let mut lived = Lived::default();
    (lived.config, lived.settings) = (config, settings);
    (lived.traces, lived.pools) = (vec![Vec::new(); devices], vec![Vec::new(); devices]);
    while !u.is_empty() && lived.traces[0].len() < 400 {
        if rarely(u, 12)? {
            lived.segments.push(segment(u)?);
            continue;
        }
        let device = usize::from(rarely(u, 8)?) % devices;
        lived.traces[device].push(event(u)?);
        lived.pools[device].push((0, u64::from(rarely(u, 8)?)));
    }
    Ok(lived)
}

fn event(u: &mut Unstructured<'_>) -> Result<TraceEvent> {
    let actions = [
        Action::Alloc,
        Action::FreeRequested,
        Action::FreeCompleted,
        Action::SegmentAlloc,
        Action::SegmentFree,
        Action::SegmentMap,
        Action::SegmentUnmap,
        Action::Oom,
        Action::Alloc,
        Action::FreeRequested,
        Action::FreeCompleted,
    ];
    let stream = if rarely(u, 6)? { number(u)? } else { 0 };
    Ok(TraceEvent { action: one_of(u, &actions)?, address: address(u)?, bytes: number(u)?, stream })
}

fn segment(u: &mut Unstructured<'_>) -> Result<SegmentView> {
    let total_size = number(u)?;
    let base = address(u)?;
    let mut blocks = Vec::new();
    while !rarely(u, 3)? && blocks.len() < 8 {
        let state = one_of(u, &[BlockState::Inactive, BlockState::ActiveAllocated, BlockState::ActivePendingFree])?;
        blocks.push(BlockView { address: address(u)?, size: number(u)?, requested_size: number(u)?, state });
    }
    Ok(SegmentView {
        device: u32::from(u.arbitrary::<u8>()? & 1),
        address: base,
        total_size,
        allocated_size: number(u)?,
        active_size: number(u)?,
        requested_size: number(u)?,
        stream: 0,
        segment_type: one_of(u, &[PoolKind::Small, PoolKind::Large])?,
        segment_pool_id: (0, 0),
        is_expandable: rarely(u, 4)?,
        blocks,
    })
}
