//! A recording read as sequences: what was asked of the real allocator, to be asked of a target.
//!
//! Decides which operation a recorded call is. What was answered then is left out: a device that fails
//! answers otherwise. So are the blocks that PyTorch asks for itself while it captures.

use std::collections::BTreeMap;
use std::path::Path;

use crate::engine::EngineError;
use crate::op::{BlockId, DeviceId, GraphName, Op, PoolName, PoolSource, Setup, Step, StreamId};
use crate::recording::{Episode, Line, PoolName as RecordedPool, Reader, RecordedOp, RecordingError, Verb};

/// Refused requests have no block; they get ids from here on.
const REFUSED_BLOCKS: u32 = 0xD000_0000;

/// The configuration of the recording, and each episode as a sequence.
pub(super) struct Recorded {
    pub(super) config: String,
    pub(super) sequences: Vec<(Setup, Vec<Step>)>,
}

/// Reads a recording.
///
/// # Errors
/// It cannot be read, or holds what no operation asks for.
pub(super) fn read(path: &Path) -> Result<Recorded, EngineError> {
    let fail = |source: RecordingError| EngineError::BadRecording { source: Box::new(source) };
    let mut reader = Reader::open(path).map_err(fail)?;
    let header = reader.header().map_err(fail)?;
    let device_bytes: Vec<u64> = header.devices.iter().map(|d| d.total_bytes).collect();
    let mut sequences: Vec<(Setup, Vec<Step>)> = Vec::new();
    let mut refused = REFUSED_BLOCKS;
    while let Some(line) = reader.next_line().map_err(fail)? {
        match line {
            Line::Episode(episode) => {
                let streams = episode.streams.values().map(Vec::len).max().unwrap_or(1);
                let streams = u8::try_from(streams).unwrap_or(StreamId::LIMIT).clamp(1, StreamId::LIMIT);
                let setup = Setup { device_bytes: device_bytes.clone(), streams, config: None };
                sequences.push((setup, limits(&episode)));
            }
            Line::Op(op) => {
                let wrong = || fail(reader.out_of_place("a call that lacks what it is about"));
                let Some((_, steps)) = sequences.last_mut() else {
                    return Err(fail(reader.out_of_place("an operation outside of an episode")));
                };
                refused = refused.saturating_add(1);
                let asked = operation(&op, BlockId(refused)).ok_or_else(wrong)?;
                steps.push(asked.into());
                steps.extend(progress(&op).into_iter().map(Step::from));
            }
            Line::End(_) => {}
        }
    }
    Ok(Recorded { config: header.config, sequences })
}

fn device(index: usize) -> DeviceId {
    DeviceId(i32::try_from(index).unwrap_or(i32::MAX))
}

fn stream(index: usize) -> StreamId {
    StreamId(u8::try_from(index).unwrap_or(u8::MAX))
}

/// The limits that were in force when the episode began.
fn limits(episode: &Episode) -> Vec<Step> {
    let below_one: BTreeMap<usize, f64> =
        episode.fraction.iter().filter(|&(_, &f)| f < 1.0).map(|(&d, &f)| (d, f)).collect();
    below_one.into_iter().map(|(d, fraction)| Op::SetFraction { device: Some(device(d)), fraction }.into()).collect()
}

/// `None` for a call that lacks what its operation needs.
fn operation(op: &RecordedOp, refused: BlockId) -> Option<Op> {
    let named = op.block.and_then(|b| u32::try_from(b).ok()).map(BlockId);
    let place = op.device.map(device);
    Some(match op.op {
        Verb::Alloc => Op::Alloc {
            block: named.unwrap_or(refused),
            device: place,
            stream: stream(op.stream.unwrap_or(0)),
            bytes: op.bytes?,
            via: op.via.unwrap_or_default(),
        },
        Verb::Free => Op::Free { block: named? },
        Verb::RecordStream => Op::RecordStream { block: named?, stream: stream(op.stream?) },
        Verb::Occupy => Op::Occupy { device: place?, stream: stream(op.stream.unwrap_or(0)) },
        Verb::WaitStream => Op::WaitStream { device: place?, stream: stream(op.stream?), on: stream(op.on?) },
        Verb::Synchronize => Op::Synchronize { device: place? },
        Verb::EmptyCache => Op::EmptyCache,
        Verb::ResetPeak => Op::ResetPeak { device: place? },
        Verb::ResetAccumulated => Op::ResetAccumulated { device: place? },
        Verb::SetFraction => Op::SetFraction { device: place, fraction: op.fraction? },
        Verb::SetSettings => Op::SetSettings { settings: op.settings.clone()? },
        Verb::PoolCreate => {
            Op::PoolCreate { pool: pool(op)?, device: place?, use_on_oom: op.use_on_oom, no_split: op.no_split }
        }
        Verb::PoolEnter => Op::PoolEnter { pool: pool(op)?, device: place? },
        Verb::PoolExit => Op::PoolExit { pool: pool(op)?, device: place? },
        Verb::PoolDelete => Op::PoolDelete { pool: pool(op)? },
        Verb::CaptureBegin => Op::CaptureBegin {
            graph: graph(op)?,
            device: place?,
            stream: stream(op.stream?),
            pool: match &op.pool {
                Some(RecordedPool::Of(name)) => Some(PoolSource::Graph(named_graph(name)?)),
                Some(RecordedPool::Made(_)) => Some(PoolSource::Pool(pool(op)?)),
                None => None,
            },
        },
        Verb::CaptureEnd => Op::CaptureEnd { graph: graph(op)? },
        Verb::GraphReset => Op::GraphReset { graph: graph(op)? },
        Verb::Neighbour => Op::Neighbour { device: place?, bytes: op.bytes? },
        Verb::SetCaching => Op::SetCaching { enabled: op.enabled? },
    })
}

fn pool(op: &RecordedOp) -> Option<PoolName> {
    match op.pool {
        Some(RecordedPool::Made(number)) => u32::try_from(number).ok().map(PoolName),
        _ => None,
    }
}

fn graph(op: &RecordedOp) -> Option<GraphName> {
    op.graph.and_then(|number| u32::try_from(number).ok()).map(GraphName)
}

/// The graph of `graph:2`.
fn named_graph(name: &str) -> Option<GraphName> {
    name.strip_prefix("graph:")?.parse().ok().map(GraphName)
}

/// Streams that the recorder found idle have finished; on an idle stream this asks for nothing.
fn progress(op: &RecordedOp) -> Vec<Op> {
    let found_idle = op.idle.iter().flat_map(|(&d, streams)| streams.iter().map(move |&s| (d, s)));
    found_idle.map(|(d, s)| Op::Finish { device: device(d), stream: stream(s) }).collect()
}
