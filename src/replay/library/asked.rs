//! What a recording asks, in the words of a target.
//!
//! Decides which operation each recorded one is, and what of its answer has to be the recording's.

use super::Library;
use super::figures::Ahead;
use crate::device::StreamHandle;
use crate::device::recorded::Serving;
use crate::op::trace::Action;
use crate::op::{BlockId, DeviceId, GraphName, Op, PoolName, PoolSource, Reply, StreamId, Via};
use crate::recording::{PoolName as RecordedPool, RecordedOp, Verb};
use crate::reference::TENSOR_LIMIT;
use crate::replay::divergence::DivergenceKind;
use crate::replay::driver;

type Answer = Result<Option<DivergenceKind>, &'static str>;

impl Library {
    fn device_of(&self, op: &RecordedOp) -> Result<usize, &'static str> {
        op.device.filter(|&d| d < self.devices.len()).ok_or("device")
    }

    fn fresh_block(&mut self) -> BlockId {
        self.next_block += 1;
        BlockId(self.next_block)
    }

    /// What should be done, was; otherwise the two differ.
    fn done(&mut self, op: &Op) -> Answer {
        Ok(match self.target.apply(op) {
            Reply::Refused(refusal) => {
                Some(DivergenceKind::Refusal { recorded: "served".to_owned(), predicted: refusal.message })
            }
            _ => None,
        })
    }

    pub(super) fn ask(&mut self, op: &RecordedOp) -> Answer {
        let block = || op.block.ok_or("block");
        // The driver that is played back knows of cached memory alone, and refuses what was refused.
        if op.direct || matches!(op.op, Verb::Neighbour | Verb::SetCaching) {
            if op.synchronized {
                self.done(&Op::Synchronize { device: device_id(self.device_of(op)?) })?;
            }
            return Ok(None);
        }
        match op.op {
            Verb::Alloc => self.alloc(op),
            Verb::Free => {
                let block = self.blocks.remove(&block()?).ok_or("block")?;
                let freed = self.done(&Op::Free { block })?;
                if op.synchronized {
                    self.done(&Op::Synchronize { device: device_id(self.device_of(op)?) })?;
                }
                Ok(freed)
            }
            Verb::RecordStream => {
                let block = *self.blocks.get(&block()?).ok_or("block")?;
                self.done(&Op::RecordStream { block, stream: stream_id(op.stream)? })
            }
            Verb::SetSettings => self.change_settings(op.settings.as_deref().ok_or("settings")?, op),
            Verb::EmptyCache => self.done(&Op::EmptyCache),
            _ => {
                let asked = self.plain(op)?;
                let ahead = op.device.and_then(|device| self.ahead.get_mut(device));
                match asked {
                    Op::PoolCreate { pool, .. } => {
                        self.pools.insert(pool);
                    }
                    Op::PoolEnter { pool, device } => self.entered.push((pool, device)),
                    Op::PoolExit { pool, device } => {
                        let place = self.entered.iter().rposition(|&entered| entered == (pool, device));
                        place.map(|place| self.entered.remove(place));
                    }
                    Op::PoolDelete { pool } => {
                        self.pools.remove(&pool);
                    }
                    Op::CaptureBegin { graph, .. } => {
                        self.graphs.insert(graph);
                    }
                    Op::GraphReset { graph } => {
                        self.graphs.remove(&graph);
                    }
                    Op::ResetAccumulated { .. } => ahead.into_iter().for_each(Ahead::forget_grown),
                    Op::ResetPeak { .. } => ahead.into_iter().for_each(Ahead::forget_peaks),
                    _ => {}
                }
                self.done(&asked)
            }
        }
    }

    /// Operations that only have to be said in other words.
    fn plain(&self, op: &RecordedOp) -> Result<Op, &'static str> {
        let device = || self.device_of(op).map(device_id);
        let stream = || stream_id(op.stream);
        let graph = || narrow(op.graph, "graph").map(GraphName);
        let pool = || match op.pool {
            Some(RecordedPool::Made(number)) => narrow(Some(number), "pool").map(PoolName),
            _ => Err("pool"),
        };
        Ok(match op.op {
            Verb::Occupy => Op::Occupy { device: device()?, stream: stream()? },
            Verb::WaitStream => Op::WaitStream { device: device()?, stream: stream()?, on: stream_id(op.on)? },
            Verb::Synchronize => Op::Synchronize { device: device()? },
            Verb::ResetPeak => Op::ResetPeak { device: device()? },
            Verb::ResetAccumulated => Op::ResetAccumulated { device: device()? },
            Verb::SetFraction => Op::SetFraction { device: Some(device()?), fraction: op.fraction.ok_or("fraction")? },
            Verb::PoolCreate => {
                let (use_on_oom, no_split) = (op.use_on_oom, op.no_split);
                Op::PoolCreate { pool: pool()?, device: device()?, use_on_oom, no_split }
            }
            Verb::PoolEnter => Op::PoolEnter { pool: pool()?, device: device()? },
            Verb::PoolExit => Op::PoolExit { pool: pool()?, device: device()? },
            Verb::PoolDelete => Op::PoolDelete { pool: pool()? },
            Verb::CaptureBegin => {
                let pool = match &op.pool {
                    None => None,
                    Some(RecordedPool::Made(_)) => Some(PoolSource::Pool(pool()?)),
                    Some(RecordedPool::Of(text)) => Some(PoolSource::Graph(graph_of(text).ok_or("pool")?)),
                };
                Op::CaptureBegin { graph: graph()?, device: device()?, stream: stream()?, pool }
            }
            Verb::CaptureEnd => Op::CaptureEnd { graph: graph()? },
            Verb::GraphReset => Op::GraphReset { graph: graph()? },
            _ => return Err("op"),
        })
    }

    fn change_settings(&mut self, text: &str, op: &RecordedOp) -> Answer {
        let changed = self.target.apply(&Op::SetSettings { settings: text.to_owned() });
        if op.error.is_none() {
            // What PyTorch took is what it goes by, whatever is made of it here.
            let _ = self.settings.change(text);
        }
        let served = || "served".to_owned();
        let recorded = op.error.as_ref().map_or_else(served, |error| error.message.clone());
        let here = if let Reply::Refused(refusal) = changed { refusal.message } else { served() };
        let is_alike = op.error.is_some() == (here != "served");
        Ok((!is_alike).then_some(DivergenceKind::Refusal { recorded, predicted: here }))
    }

    /// A request of a caller or of PyTorch itself, served by the recorded driver.
    fn request(&mut self, device: usize, bytes: u64, stream: usize, via: Via) -> (BlockId, Result<u64, String>) {
        let small = driver::is_small(bytes, &self.settings);
        let request = self.requests[device];
        let owner = driver::owner(&self.owners[device], request);
        self.devices[device].recorded(|device| {
            let stream = device.handle(stream);
            device.serve(Serving { request, stream, small, owner });
        });
        if bytes > 0 && (via == Via::Raw || bytes < TENSOR_LIMIT) {
            self.requests[device] += 1;
        }
        let block = self.fresh_block();
        let stream = StreamId(u8::try_from(stream).unwrap_or(u8::MAX));
        let reply = self.target.apply(&Op::Alloc { block, device: Some(device_id(device)), stream, bytes, via });
        let answer = match reply {
            Reply::Allocated { address } => Ok(address),
            Reply::Refused(refusal) => Err(refusal.message),
            other => Err(other.to_line()),
        };
        (block, answer)
    }

    fn alloc(&mut self, op: &RecordedOp) -> Answer {
        let device = self.device_of(op)?;
        let bytes = op.bytes.ok_or("bytes")?;
        if driver::was_refused_first(op, device) {
            self.devices[device].recorded(|device| device.refuse_a_retry());
        }
        let (block, here) = self.request(device, bytes, op.stream.ok_or("stream")?, op.via.unwrap_or(Via::Raw));
        if here.is_ok() {
            self.blocks.insert(op.block.ok_or("block")?, block);
        }
        driver::unlike(op, here)
    }

    /// Blocks that PyTorch got inside an operation, before it did what was asked.
    pub(super) fn got_on_its_own_account(&mut self, op: &RecordedOp, kinds: &mut Vec<DivergenceKind>) {
        for &(action, device, recorded, bytes, handle) in &op.internal {
            if action != Action::Alloc || device >= self.devices.len() {
                continue;
            }
            let stream = self.devices[device].recorded(|device| device.position(StreamHandle(handle)));
            let Some(stream) = stream else {
                kinds.push(DivergenceKind::Incomplete { field: "stream" });
                continue;
            };
            match self.request(device, bytes, stream, Via::Raw) {
                (block, Ok(predicted)) if predicted == recorded => drop(self.own.insert(recorded, block)),
                (_, Ok(predicted)) => kinds.push(DivergenceKind::Address { recorded, predicted }),
                (_, Err(predicted)) => kinds.push(DivergenceKind::RefusedInstead { recorded, predicted }),
            }
        }
    }

    /// Blocks that PyTorch gave back inside an operation, after what was asked.
    pub(super) fn given_back_on_its_own_account(&mut self, op: &RecordedOp, kinds: &mut Vec<DivergenceKind>) {
        for &(_, _, address, ..) in op.internal.iter().filter(|e| e.0 == Action::FreeRequested) {
            let Some(block) = self.own.remove(&address) else {
                kinds.push(DivergenceKind::Incomplete { field: "internal" });
                continue;
            };
            let freed = self.done(&Op::Free { block });
            kinds.extend(freed.ok().flatten());
        }
    }
}

pub(super) fn device_id(device: usize) -> DeviceId {
    DeviceId(i32::try_from(device).unwrap_or(i32::MAX))
}

fn stream_id(position: Option<usize>) -> Result<StreamId, &'static str> {
    position.and_then(|position| u8::try_from(position).ok()).map(StreamId).ok_or("stream")
}

fn narrow(number: Option<u64>, field: &'static str) -> Result<u32, &'static str> {
    number.and_then(|number| u32::try_from(number).ok()).ok_or(field)
}

/// `graph:2`.
fn graph_of(text: &str) -> Option<GraphName> {
    text.strip_prefix("graph:")?.parse().ok().map(GraphName)
}
