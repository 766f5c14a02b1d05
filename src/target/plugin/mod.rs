//! A shared library with the functions of PyTorch's `CUDAPluggableAllocator` as a target, in the process that serves it.
//!
//! Decides how operations become calls of its functions, and what is answered in its place: what PyTorch itself refuses before
//! it asks such an allocator (a device that does not exist, a fraction that is none). Its streams are made-up handles on the
//! host, and real ones on a GPU. How a function is called is `library`'s.

mod card;
mod elf;
mod library;
mod options;
mod shared;
mod streams;
mod threads;

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use rustc_hash::FxHashMap;

use super::{Guest, Target, TargetError, TargetName};
use crate::op::{
    BlockId, Capability, Contract, DeviceId, DeviceInfo, DeviceView, Drop, Growth, Observation, Op, PoolName,
    RefusalClass, Reply, Setup, StreamId, TargetInfo,
};
use card::Cards;
use library::{Call, Functions};
use options::Hook;
pub use options::Options;
pub use shared::SharedLibrary;
use threads::Threads;

/// A block as its caller knows it.
#[derive(Debug, Clone, Copy)]
struct HeldBlock {
    device: usize,
    stream: StreamId,
    address: u64,
    bytes: u64,
}

/// A library that was loaded.
#[derive(Debug)]
struct Plugin {
    info: TargetInfo,
    threads: Threads,
    held: FxHashMap<BlockId, HeldBlock>,
    /// As set last; the functions have no way to ask.
    fractions: Vec<f64>,
    pools: BTreeMap<PoolName, usize>,
    /// The calling thread.
    thread: u8,
    /// `None` on the host.
    cards: Option<Cards>,
}

/// Builds `plugin:PATH@host` or `plugin:PATH@cuda`.
///
/// # Errors
/// No library that can be loaded here, a function that is missing, an option that makes no sense; on a GPU what is missing.
pub(super) fn open(name: &TargetName, setup: &Setup) -> Result<Box<dyn Target>, TargetError> {
    let options = Options::read(name)?;
    let streams = setup.streams.clamp(1, StreamId::LIMIT);
    // A GPU is there before a library is loaded, which may look for it at once.
    let cards = match name.place.as_str() {
        "host" => None,
        "cuda" => Some(Cards::open(name, setup, options.gpu)?),
        place => {
            let reason = format!("a library allocates @host or @cuda, and not @{place}");
            return Err(TargetError::BadOption { target: name.to_string(), reason });
        }
    };
    let functions = load(name, &options)?;
    let devices: Vec<DeviceInfo> = match &cards {
        Some(cards) => cards.devices(),
        None => {
            let device = |(at, &bytes)| DeviceInfo::whole(format!("device {at} on the host"), bytes);
            setup.device_bytes.iter().enumerate().map(device).collect()
        }
    };
    let mut capabilities: BTreeSet<Capability> =
        claims(|hook| functions.has(hook)).chain(cards.iter().flat_map(Cards::claims)).collect();
    capabilities.extend(options.promises.iter().copied());
    if streams > 1 {
        capabilities.insert(Capability::Streams);
    }
    let alignment = options.alignment.unwrap_or(if cards.is_some() { 256 } else { 16 });
    let info = TargetInfo {
        name: name.to_string(),
        streams,
        capabilities,
        contract: Contract { alignment, growth: Growth::USUAL, counts_segments: false, tensor_limit: None },
        config: None,
        devices,
    };
    streams::begin(info.devices.len(), streams);
    let fractions = vec![1.0; info.devices.len()];
    let (held, pools) = (FxHashMap::default(), BTreeMap::new());
    let plugin = Plugin { info, threads: Threads::new(functions), held, fractions, pools, thread: 0, cards };
    plugin.begin();
    Ok(Box::new(plugin))
}

/// Loads the library of that name.
fn load(name: &TargetName, options: &Options) -> Result<Functions, TargetError> {
    let bad = |reason: String| TargetError::BadOption { target: name.to_string(), reason };
    let unavailable = |reason: String| TargetError::Unavailable { target: name.to_string(), reason };
    let path = name.library().unwrap_or_default();
    // A name without a slash would be looked for among the system's libraries.
    let path = if path.components().count() == 1 { PathBuf::from(".").join(path) } else { path };
    let shown = path.display();
    let bytes = std::fs::read(&path).map_err(|e| bad(format!("{shown}: {e}")))?;
    let offered = elf::functions(&bytes).map_err(|e| bad(format!("{shown}: {e}")))?;
    let symbols = options.symbols(&offered).map_err(|e| bad(format!("{shown}: {e}")))?;
    library::load(&path, &symbols).map_err(|e| unavailable(format!("{shown}: {e}")))
}

/// What a library can that has these functions.
fn claims(has: impl Fn(Hook) -> bool) -> impl Iterator<Item = Capability> {
    let has_pools = [Hook::BeginAllocateToPool, Hook::EndAllocateToPool, Hook::ReleasePool].into_iter().all(&has);
    let all = [
        (Capability::RecordStream, has(Hook::RecordStream)),
        (Capability::EmptyCache, has(Hook::Reset) || has(Hook::Trim)),
        (Capability::MemoryFraction, has(Hook::MemoryFraction)),
        (Capability::PrivatePools, has_pools),
    ];
    all.into_iter().filter(|(_, can)| *can).map(|(capability, _)| capability)
}

impl Plugin {
    /// What the library is told before the first request.
    fn begin(&self) {
        self.call(Call::Streams);
        for (device, info) in self.info.devices.iter().enumerate() {
            self.call(Call::Device { device: number(device), bytes: info.total_bytes });
        }
        self.call(Call::Init { devices: number(self.info.devices.len()) });
    }

    /// On a GPU from one thread alone, the one whose current context is the GPU's.
    fn call(&self, call: Call) -> u64 {
        let thread = if self.cards.is_some() { 0 } else { self.thread };
        self.threads.call(thread, call)
    }

    /// Who empties a cache waits for the device first, and work that is held back on a GPU would not end by itself.
    fn empty(&mut self) -> Result<Reply, Reply> {
        if let Some(cards) = &mut self.cards {
            cards.synchronize()?;
        }
        self.call(if self.has(Hook::Trim) { Call::Trim } else { Call::Reset });
        Ok(Reply::Done)
    }

    fn has(&self, hook: Hook) -> bool {
        self.threads.functions().has(hook)
    }

    fn stream(&self, device: usize, stream: StreamId) -> usize {
        match &self.cards {
            Some(cards) => cards.stream(device, stream),
            None => streams::handle(device, stream.0),
        }
    }

    fn try_answer(&mut self, op: &Op) -> Result<Reply, Reply> {
        match op {
            Op::Alloc { block, device, stream, bytes, .. } => self.alloc(*block, *device, *stream, *bytes),
            Op::Free { block } => self.free(*block),
            Op::RecordStream { block, stream } => {
                let held = self.held(*block)?;
                self.known(*stream)?;
                self.enter(held.device)?;
                let stream = self.stream(held.device, *stream);
                self.call(Call::RecordStream { address: held.address, stream });
                Ok(Reply::Done)
            }
            Op::EmptyCache => self.empty(),
            Op::SetFraction { device, fraction } => self.set_fraction(*device, *fraction),
            Op::GetFraction { device } => Ok(Reply::Fraction(self.fractions[self.place(*device)?])),
            Op::PoolCreate { pool, device, .. } => {
                let device = self.place(Some(*device))?;
                self.pools.insert(*pool, device);
                Ok(Reply::Done)
            }
            Op::PoolEnter { pool, device } => {
                let device = number(self.place(Some(*device))?);
                self.call(Call::BeginAllocateToPool { device, pool: pool_number(*pool) });
                Ok(Reply::Done)
            }
            Op::PoolExit { pool, device } => {
                let device = number(self.place(Some(*device))?);
                self.call(Call::EndAllocateToPool { device, pool: pool_number(*pool) });
                Ok(Reply::Done)
            }
            Op::PoolDelete { pool } => {
                let device = self.pools.remove(pool).ok_or(Reply::Dropped(Drop::NoSuchPool))?;
                self.call(Call::ReleasePool { device: number(device), pool: pool_number(*pool) });
                Ok(Reply::Done)
            }
            Op::CycleEnd => Ok(Reply::Done),
            other => match &mut self.cards {
                Some(cards) => cards.answer(other, |block| {
                    let held = self.held.get(&block).copied()?;
                    Some((held.device, held.stream, held.address, held.bytes))
                }),
                None => Err(unsupported(other)),
            },
        }
    }

    fn alloc(&mut self, block: BlockId, device: Option<DeviceId>, on: StreamId, bytes: u64) -> Result<Reply, Reply> {
        let device = self.place(device)?;
        self.known(on)?;
        self.enter(device)?;
        let address = self.call(Call::Alloc { bytes, device: number(device), stream: self.stream(device, on) });
        if address == 0 && bytes > 0 {
            let text = format!("its alloc answered NULL for {bytes} B");
            return Err(Reply::refused(RefusalClass::OutOfMemory, text));
        }
        if let Some(cards) = &mut self.cards {
            cards.adopt(device, address, bytes);
            cards.note_work(device, on);
        }
        self.held.insert(block, HeldBlock { device, stream: on, address, bytes });
        Ok(Reply::Allocated { address })
    }

    /// An address 0 is never given back: no tensor of 0 bytes without memory is freed.
    fn free(&mut self, block: BlockId) -> Result<Reply, Reply> {
        let HeldBlock { device, stream: on, address, bytes } = self.held(block)?;
        let at = device;
        self.enter(device)?;
        self.held.remove(&block);
        if let Some(cards) = &mut self.cards {
            cards.forget(device, address);
        }
        if address != 0 {
            let stream = self.stream(device, on);
            self.call(Call::Free { address, bytes, device: number(device), stream });
            if let Some(cards) = &mut self.cards {
                cards.note_work(at, on);
            }
        }
        Ok(Reply::Done)
    }

    /// PyTorch lets nothing but 0 to 1 through to the function.
    fn set_fraction(&mut self, device: Option<DeviceId>, fraction: f64) -> Result<Reply, Reply> {
        let device = self.place(device)?;
        if !(0.0..=1.0).contains(&fraction) {
            let text = format!("Invalid fraction value: {fraction}. Allowed range: 0~1");
            return Err(Reply::refused(RefusalClass::InvalidArgument, text));
        }
        self.call(Call::MemoryFraction { fraction, device: number(device) });
        self.fractions[device] = fraction;
        Ok(Reply::Done)
    }

    /// PyTorch asks for memory of a device that exists.
    fn place(&self, device: Option<DeviceId>) -> Result<usize, Reply> {
        let (device, count) = (device.unwrap_or(DeviceId(0)), self.info.devices.len());
        device.index(count).ok_or_else(|| {
            Reply::refused(RefusalClass::InvalidArgument, format!("{device} does not exist: there are {count}"))
        })
    }

    fn known(&self, stream: StreamId) -> Result<(), Reply> {
        let refused = || Reply::refused(RefusalClass::InvalidArgument, format!("{stream} does not exist"));
        if stream.0 < self.info.streams { Ok(()) } else { Err(refused()) }
    }

    fn held(&self, block: BlockId) -> Result<HeldBlock, Reply> {
        self.held.get(&block).copied().ok_or(Reply::Dropped(Drop::NoSuchBlock))
    }

    /// The device is the current one of the calling thread, as PyTorch sees to it.
    fn enter(&mut self, device: usize) -> Result<(), Reply> {
        self.cards.as_mut().map_or(Ok(()), |cards| cards.enter(device))
    }
}

fn unsupported(op: &Op) -> Reply {
    Reply::refused(RefusalClass::Unsupported, format!("a pluggable allocator has no {}", op.name()))
}

fn number(position: usize) -> i32 {
    i32::try_from(position).unwrap_or(i32::MAX)
}

/// PyTorch numbers pools of users (0, n) from 1.
fn pool_number(pool: PoolName) -> (u64, u64) {
    (0, u64::from(pool.0) + 1)
}

impl Target for Plugin {
    fn info(&self) -> &TargetInfo {
        &self.info
    }

    fn apply(&mut self, op: &Op) -> Reply {
        self.try_answer(op).unwrap_or_else(|refusal| refusal)
    }

    fn observe(&mut self, into: &mut Observation) {
        into.devices.resize(self.info.devices.len(), DeviceView::default());
        for ((view, info), fraction) in into.devices.iter_mut().zip(&self.info.devices).zip(&self.fractions) {
            view.total_bytes = info.total_bytes;
            view.fraction = *fraction;
            view.idle = u64::MAX;
        }
        if let Some(cards) = &mut self.cards {
            cards.observe(into);
        }
    }

    fn as_guest(&mut self) -> Option<&mut dyn Guest> {
        Some(self)
    }

    /// What is left is given back, for a library that serves the next sequence too.
    fn close(&mut self) {
        let mut left: Vec<BlockId> = self.held.keys().copied().collect();
        left.sort_unstable();
        for block in left {
            // It is among those that are held.
            let _ = self.free(block);
        }
        // The sequence is over: a GPU that fails now is told of by the next one.
        let _ = self.empty();
    }

    fn poisoned(&self) -> Option<i32> {
        self.cards.as_ref().and_then(Cards::poisoned)
    }
}

impl Guest for Plugin {
    fn has_host_memory(&self) -> bool {
        self.cards.is_none()
    }

    fn is_unlimited(&self) -> bool {
        !self.has(Hook::Device) && self.cards.as_ref().is_none_or(|cards| !cards.are_full())
    }

    fn before(&mut self, thread: u8, busy: &[(usize, u8)]) {
        self.thread = thread;
        streams::set_busy(busy);
    }

    fn take_waited(&mut self) -> Vec<(usize, u8)> {
        streams::take_waited()
    }
}
