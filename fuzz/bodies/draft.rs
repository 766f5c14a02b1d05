//! From bytes to a world and operations: a header of 8 bytes, then 8 bytes an operation.
//!
//! Decides what the bytes mean, by `arbitrary`. Operations have equal lengths, so that a fuzzer that moves, copies or
//! deletes them leaves the rest meaning what it meant; a block is named by its place in the list of what is held.

use arbitrary::{Arbitrary, Result, Unstructured};
use poolproof::op::{BlockId, DeviceCall, DeviceId, Op, Setup, StreamId, Via};

use super::header::Header;
use super::held::Held;
use super::kinds;
use super::redirects::Draw;
use super::value::size_of;

/// At most this many operations: longer inputs are slower, and reach nothing new.
const MOST: usize = 512;

/// A sequence and the world and settings it runs under.
#[derive(Debug, Clone)]
pub struct Plan {
    pub config: String,
    pub setup: Setup,
    pub ops: Vec<Op>,
    /// A byte that bodies may take a choice from.
    pub choice: u8,
}

impl<'a> Arbitrary<'a> for Plan {
    fn arbitrary(u: &mut Unstructured<'a>) -> Result<Self> {
        let header = Header::arbitrary(u)?;
        let setup = header.setup();
        let mut held = Held::default();
        let mut ops = Vec::new();
        while u.len() >= 8 && ops.len() < MOST {
            ops.extend(Draft::arbitrary(u)?.op(&mut held, &setup));
        }
        Ok(Plan { config: header.config(), setup, ops, choice: header.choice })
    }
}

/// Eight bytes.
#[derive(Debug, Clone, Copy, Default)]
pub struct Draft {
    pub kind: u8,
    /// Two bits of device, three of stream, three to choose by.
    pub place: u8,
    pub pick: u16,
    pub size: u32,
}

impl<'a> Arbitrary<'a> for Draft {
    fn arbitrary(u: &mut Unstructured<'a>) -> Result<Self> {
        Ok(Draft { kind: u.arbitrary()?, place: u.arbitrary()?, pick: u.arbitrary()?, size: u.arbitrary()? })
    }
}

impl Draft {
    /// The operation, or none if it needs a block and there is none, or a capture forbids it.
    pub fn op(&self, held: &mut Held, setup: &Setup) -> Option<Op> {
        let kind = kinds::of(self.kind);
        match kind {
            "alloc" => Some(self.alloc(held, setup, size_of(self.size), Via::Raw)),
            "alloc_tensor" => Some(self.alloc(held, setup, size_of(self.size), Via::Tensor)),
            "alloc_zero" => Some(self.alloc(held, setup, 0, Via::Raw)),
            "use" | "occupy" | "wait_stream" | "synchronize" if held.redirects.captured().is_some() => None,
            "free" | "record_stream" | "use" => {
                let block = held.pick(self.pick)?;
                Some(self.on_block(kind, block, held, setup))
            }
            "free_pointer" => Some(Op::FreePointer { pointer: held.bad_pointer(self.pick, self.turn(), self.size) }),
            "bad_device" | "bad_fraction" | "bad_pool" => Some(self.refused(kind, held, setup)),
            "set_fraction" | "get_fraction" | "set_current" | "caller" | "reset_peak" | "reset_accumulated"
            | "dictionary" | "summary" | "snapshot" | "memory_info" => Some(self.figures(kind, setup)),
            "occupy" | "finish" | "neighbour" | "wait_stream" | "synchronize" | "empty_cache" | "fault" => {
                Some(self.world(kind, setup))
            }
            _ => held.redirects.op(kind, &self.draw(setup)),
        }
    }

    fn device(&self, setup: &Setup) -> DeviceId {
        DeviceId(i32::try_from(usize::from(self.place & 3) % setup.device_bytes.len().max(1)).unwrap_or(0))
    }

    /// The device as a caller names it, or leaves it out.
    fn named(&self, setup: &Setup) -> Option<DeviceId> {
        (self.turn() != 7).then_some(self.device(setup))
    }

    fn stream(&self, setup: &Setup) -> StreamId {
        StreamId((self.place >> 2 & 7) % setup.streams.max(1))
    }

    /// Three bits to choose by.
    fn turn(&self) -> u8 {
        self.place >> 5
    }

    fn tenth(&self) -> f64 {
        f64::from(self.size % 1001) / 1000.0
    }

    pub fn draw(&self, setup: &Setup) -> Draw {
        let (device, stream) = (self.device(setup), self.place >> 2 & 7);
        Draw { device, pick: self.pick, turn: self.turn(), stream, streams: setup.streams }
    }

    /// Most requests during a capture are the capture's.
    fn alloc(&self, held: &mut Held, setup: &Setup, bytes: u64, via: Via) -> Op {
        let captured = held.redirects.captured().filter(|_| self.turn() < 5);
        let (device, stream) =
            captured.map_or_else(|| (self.named(setup), self.stream(setup)), |(device, stream)| (Some(device), stream));
        Op::Alloc { block: held.ask(), device, stream, bytes, via }
    }

    fn on_block(&self, kind: &str, block: BlockId, held: &mut Held, setup: &Setup) -> Op {
        let stream = self.stream(setup);
        match kind {
            "record_stream" => Op::RecordStream { block, stream },
            "use" => Op::Use { block, stream },
            _ => {
                held.free(block);
                Op::Free { block }
            }
        }
    }

    /// What changes or reads figures and settings.
    fn figures(&self, kind: &str, setup: &Setup) -> Op {
        let (device, turn) = (self.device(setup), self.turn());
        match kind {
            "set_fraction" => Op::SetFraction { device: self.named(setup), fraction: self.tenth() },
            "get_fraction" => Op::GetFraction { device: self.named(setup) },
            "set_current" => Op::SetCurrent { device },
            "caller" => Op::Caller { caller: turn },
            "reset_peak" => Op::ResetPeak { device },
            "reset_accumulated" => Op::ResetAccumulated { device },
            "dictionary" => Op::Dictionary { device },
            "summary" => Op::Summary { device, abbreviated: turn & 1 == 1 },
            "memory_info" => Op::MemoryInfo { device },
            _ => Op::Snapshot,
        }
    }

    /// What happens to streams and to the device.
    fn world(&self, kind: &str, setup: &Setup) -> Op {
        let (device, stream) = (self.device(setup), self.stream(setup));
        match kind {
            "occupy" => Op::Occupy { device, stream },
            "finish" => Op::Finish { device, stream },
            "wait_stream" => Op::WaitStream { device, stream, on: StreamId(self.turn() % setup.streams.max(1)) },
            "neighbour" => Op::Neighbour { device, bytes: u64::from(self.size) << 20 },
            "synchronize" => Op::Synchronize { device },
            "empty_cache" => Op::EmptyCache,
            _ => {
                let call = DeviceCall::ALL[usize::from(self.turn())];
                Op::Fault { device, call, skip: self.size % 5, error: None }
            }
        }
    }

    /// What must be refused.
    fn refused(&self, kind: &str, held: &Held, setup: &Setup) -> Op {
        if kind == "bad_fraction" {
            let bad = [-0.1, 1.000_000_1, f64::NAN, f64::INFINITY, f64::NEG_INFINITY, -0.0, 2.0, f64::MIN_POSITIVE];
            return Op::SetFraction { device: self.named(setup), fraction: bad[usize::from(self.turn())] };
        }
        let count = i32::try_from(setup.device_bytes.len()).unwrap_or(9);
        let device = DeviceId([-1, count, 99, i32::MIN][usize::from(self.place & 3)]);
        if kind == "bad_pool" {
            return held.redirects.bad(&self.draw(setup), device);
        }
        match self.turn() & 3 {
            0 => Op::SetCurrent { device },
            1 => Op::SetFraction { device: Some(device), fraction: self.tenth() },
            2 => Op::Synchronize { device },
            _ => Op::MemoryInfo { device },
        }
    }
}
