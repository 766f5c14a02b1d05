//! From bytes to a world and operations: a header of 8 bytes, then 8 bytes an operation.
//!
//! Decides what the bytes mean, by `arbitrary`. Operations have equal lengths, so that a fuzzer that moves, copies or
//! deletes them leaves the rest meaning what it meant; a block is named by its place in the list of what is held.

use arbitrary::{Arbitrary, Result, Unstructured};
use poolproof::op::{BlockId, DeviceCall, DeviceId, Op, Pointer, Setup, StreamId, Via};

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

/// The first bytes.
#[derive(Debug, Clone, Copy, Default)]
pub struct Header {
    /// Bit 0 expandable, 1 two devices, 2 and 3 round-up, 4 a fraction, 5 collection, 6 and 7 a split limit.
    pub settings: u8,
    pub streams: u8,
    /// In granules of 2 MiB, less 8.
    pub capacity: u16,
    pub fraction: u8,
    pub collect: u8,
    pub large: u8,
    pub choice: u8,
}

impl<'a> Arbitrary<'a> for Header {
    fn arbitrary(u: &mut Unstructured<'a>) -> Result<Self> {
        Ok(Header {
            settings: u.arbitrary()?,
            streams: u.arbitrary()?,
            capacity: u.arbitrary()?,
            fraction: u.arbitrary()?,
            collect: u.arbitrary()?,
            large: u.arbitrary()?,
            choice: u.arbitrary()?,
        })
    }
}

impl Header {
    pub fn config(&self) -> String {
        let mut parts = Vec::new();
        let bit = |n: u8| self.settings >> n & 1 == 1;
        // Pages of whole granules, as the device wants them.
        let large = if bit(0) { 12 + self.large % 14 * 2 } else { 11 + self.large % 29 };
        if self.large > 0 {
            parts.push(format!("large_segment_size_mb:{large}"));
        }
        if bit(0) {
            parts.push("expandable_segments:True".to_owned());
        }
        match self.settings >> 2 & 3 {
            1 => parts.push("roundup_power2_divisions:4".to_owned()),
            2 => parts.push("roundup_power2_divisions:[1:8,16:4,64:2,>:1]".to_owned()),
            _ => {}
        }
        if bit(4) {
            parts.push(format!("per_process_memory_fraction:{}", f64::from(self.fraction) / 255.0));
        }
        if bit(5) {
            parts.push(format!("garbage_collection_threshold:{}", (f64::from(self.collect) + 1.0) / 257.0));
        }
        match self.settings >> 6 & 3 {
            1 => parts.push("max_split_size_mb:40".to_owned()),
            2 => parts.push("max_split_size_mb:64,max_non_split_rounding_mb:44".to_owned()),
            3 => parts.push("max_split_size_mb:128".to_owned()),
            _ => {}
        }
        parts.join(",")
    }

    pub fn setup(&self) -> Setup {
        let bytes = (u64::from(self.capacity % 512) + 8) << 21;
        let devices = 1 + usize::from(self.settings >> 1 & 1);
        Setup { device_bytes: vec![bytes; devices], streams: 1 + self.streams % 4, config: None }
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

/// What a kind byte stands for, modulo the length.
pub const KINDS: [&str; 64] = [
    "alloc",
    "free",
    "record_stream",
    "use",
    "occupy",
    "finish",
    "synchronize",
    "empty_cache",
    "reset_peak",
    "reset_accumulated",
    "set_fraction",
    "get_fraction",
    "set_current",
    "caller",
    "dictionary",
    "summary",
    "snapshot",
    "memory_info",
    "free_pointer",
    "fault",
    "alloc_tensor",
    "alloc_zero",
    "bad_device",
    "bad_fraction",
    "alloc",
    "alloc",
    "alloc",
    "alloc",
    "alloc",
    "alloc",
    "alloc",
    "alloc",
    "alloc",
    "alloc",
    "alloc",
    "alloc",
    "alloc",
    "alloc",
    "alloc",
    "alloc",
    "free",
    "free",
    "free",
    "free",
    "free",
    "free",
    "free",
    "free",
    "free",
    "free",
    "free",
    "record_stream",
    "record_stream",
    "record_stream",
    "record_stream",
    "use",
    "occupy",
    "occupy",
    "finish",
    "finish",
    "empty_cache",
    "fault",
    "synchronize",
    "set_fraction",
];

/// What is held so far, as the next draft names it.
#[derive(Debug, Default)]
pub struct Held {
    pub blocks: Vec<BlockId>,
    pub freed: Vec<BlockId>,
    pub next: u32,
}

impl Held {
    fn pick(&self, draw: u16) -> Option<BlockId> {
        usize::from(draw).checked_rem(self.blocks.len()).map(|i| self.blocks[i])
    }

    pub fn ask(&mut self) -> BlockId {
        let block = BlockId(self.next);
        self.next += 1;
        self.blocks.push(block);
        block
    }

    pub fn free(&mut self, block: BlockId) {
        if let Some(i) = self.blocks.iter().position(|&b| b == block) {
            self.blocks.swap_remove(i);
            self.freed.push(block);
        }
    }
}

/// Sizes: below 2^31 as they are; above, one of those at which something changes.
pub fn size_of(draw: u32) -> u64 {
    const MIB: u64 = 1 << 20;
    const EDGES: [u64; 12] =
        [0, 512, 1024, 4096, MIB, 2 * MIB, 10 * MIB, 20 * MIB, 32 * MIB, 64 * MIB, 128 * MIB, 1 << 30];
    const HUGE: [u64; 8] =
        [1 << 40, 1 << 47, 1 << 60, (1 << 63) - 512, 1 << 63, u64::MAX - 511, u64::MAX - 1, u64::MAX];
    let by = u64::from(draw & 0x3ff);
    match draw >> 29 {
        0..4 => u64::from(draw),
        4 => 1 + u64::from(draw & 0xfff),
        5 => MIB + u64::from(draw & 0xff_ffff),
        6 => (EDGES[(draw >> 10) as usize % EDGES.len()] + by).saturating_sub(512),
        _ => HUGE[(draw >> 10) as usize % HUGE.len()],
    }
}

impl Draft {
    /// The operation, or none if it needs a block and there is none.
    pub fn op(&self, held: &mut Held, setup: &Setup) -> Option<Op> {
        let devices = setup.device_bytes.len();
        let device = DeviceId(i32::try_from(usize::from(self.place & 3) % devices.max(1)).unwrap_or(0));
        let stream = StreamId((self.place >> 2 & 7) % setup.streams.max(1));
        let turn = self.place >> 5;
        let named = (turn != 7).then_some(device);
        let tenth = f64::from(self.size % 1001) / 1000.0;
        Some(match KINDS[usize::from(self.kind) % KINDS.len()] {
            "alloc" => Op::Alloc { block: held.ask(), device: named, stream, bytes: size_of(self.size), via: Via::Raw },
            "alloc_tensor" => {
                Op::Alloc { block: held.ask(), device: named, stream, bytes: size_of(self.size), via: Via::Tensor }
            }
            "alloc_zero" => Op::Alloc { block: held.ask(), device: named, stream, bytes: 0, via: Via::Raw },
            "free" => {
                let block = held.pick(self.pick)?;
                held.free(block);
                Op::Free { block }
            }
            "record_stream" => Op::RecordStream { block: held.pick(self.pick)?, stream },
            "use" => Op::Use { block: held.pick(self.pick)?, stream },
            "occupy" => Op::Occupy { device, stream },
            "finish" => Op::Finish { device, stream },
            "synchronize" => Op::Synchronize { device },
            "empty_cache" => Op::EmptyCache,
            "reset_peak" => Op::ResetPeak { device },
            "reset_accumulated" => Op::ResetAccumulated { device },
            "set_fraction" => Op::SetFraction { device: named, fraction: tenth },
            "bad_fraction" => {
                let bad = [-0.1, 1.000_000_1, f64::NAN, f64::INFINITY, f64::NEG_INFINITY, -0.0, 2.0, f64::MIN_POSITIVE];
                Op::SetFraction { device: named, fraction: bad[usize::from(turn)] }
            }
            "get_fraction" => Op::GetFraction { device: named },
            "set_current" => Op::SetCurrent { device },
            "caller" => Op::Caller { caller: turn },
            "dictionary" => Op::Dictionary { device },
            "summary" => Op::Summary { device, abbreviated: turn & 1 == 1 },
            "snapshot" => Op::Snapshot,
            "memory_info" => Op::MemoryInfo { device },
            "free_pointer" => Op::FreePointer { pointer: self.bad_pointer(held, turn) },
            "bad_device" => {
                let device =
                    DeviceId([-1, i32::try_from(devices).unwrap_or(9), 99, i32::MIN][usize::from(self.place & 3)]);
                match turn & 3 {
                    0 => Op::SetCurrent { device },
                    1 => Op::SetFraction { device: Some(device), fraction: tenth },
                    2 => Op::Synchronize { device },
                    _ => Op::MemoryInfo { device },
                }
            }
            _ => {
                let call = DeviceCall::ALL[usize::from(turn)];
                Op::Fault { device, call, skip: self.size % 5, error: None }
            }
        })
    }

    fn bad_pointer(&self, held: &Held, turn: u8) -> Pointer {
        let freed = || usize::from(self.pick).checked_rem(held.freed.len()).map(|i| held.freed[i]);
        match turn & 3 {
            0 => freed().map(|block| Pointer::Freed { block }),
            // Below any heap, and aligned as an allocator's addresses are.
            1 => Some(Pointer::Wild { address: 0x1000 + u64::from(self.pick & 0x7f) * 512 }),
            _ => None,
        }
        .unwrap_or(Pointer::Null)
    }
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
