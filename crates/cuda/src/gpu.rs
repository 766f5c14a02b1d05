//! One GPU of this process: its context, its kernels and streams, and who may use it now.
//!
//! Decides what is made once (contexts, modules and streams are dear) and that one borrower at a time has the GPU:
//! giving a segment back waits for everything on a device, also for what another borrower keeps busy.

use std::cell::Cell;
use std::ffi::CStr;
use std::sync::atomic::{AtomicI32, Ordering};
use std::sync::{Condvar, Mutex, MutexGuard, OnceLock, PoisonError};

use cudarc::driver::sys;

use super::calls::{Argument, PinnedWords};
use super::driver::{Driver, Handle, driver};
use super::error::{Code, CudaError};
use crate::device::pattern::BLANK;
use crate::op::GRANULE;
use crate::op::StreamId;

const KERNELS: &CStr = match CStr::from_bytes_with_nul(concat!(include_str!("kernels.ptx"), "\0").as_bytes()) {
    Ok(text) => text,
    Err(_) => panic!("checked when this is compiled"),
};

/// Words of the board: one a stream with the ticket that is let go, whether a spin ended by its own deadline, one that
/// nobody lets go, and where what a check found is copied to.
const OVERDUE: usize = 64;
const STUCK: usize = 65;
const FOUND: usize = 68;
const WORDS: usize = 72;

/// Threads of a group, and the most groups: enough to keep the memory of the largest GPUs busy.
const THREADS: u32 = 256;
const GROUPS: u64 = 4096;

/// A kernel that keeps a stream busy ends by itself after this many nanoseconds.
pub(super) const SPIN_NANOSECONDS: u64 = 10_000_000_000;

/// From here on nobody reads what is written behind `Gpu::result`.
const SPARE: u64 = 1024;

/// What a check found: the least offset of a word that differs.
pub(super) const NOWHERE: u64 = u64::MAX;

/// What is kept between borrowers.
#[derive(Debug, Default)]
pub(super) struct Kept {
    taken: bool,
    /// Streams after the default one.
    streams: Vec<Handle>,
    /// For frees that wait for other streams: one for each set of streams, once there was one.
    sides: Vec<(u64, Handle)>,
    /// Events that nobody waits for.
    pub(super) events: Vec<Handle>,
    /// Addresses for placing segments in order, once they were asked for.
    pub(super) span: Option<u64>,
    /// Allocations that hold the rest of the card, and the bytes that they leave.
    pub(super) ballast: Vec<u64>,
}

/// One GPU, made once and never given back.
pub(super) struct Gpu {
    pub(super) driver: &'static Driver,
    pub(super) ordinal: u32,
    pub(super) device: i32,
    pub(super) name: String,
    pub(super) uuid: [u8; 16],
    pub(super) total_bytes: u64,
    pub(super) capability: (i32, i32),
    pub(super) context: Handle,
    fill: Handle,
    verify: Handle,
    spin: Handle,
    board: PinnedWords,
    /// Two numbers on the device that a check writes.
    result: u64,
    /// For work that belongs to no stream of a borrower.
    pub(super) aside: Handle,
    poisoned: AtomicI32,
    kept: Mutex<Kept>,
    given_back: Condvar,
}

thread_local! {
    /// The context that calls of this thread go to.
    static CURRENT: Cell<usize> = const { Cell::new(0) };
}

/// The GPU with this number, made at the first call that succeeds: what a card has no room for now it may have later.
pub(super) fn gpu(ordinal: u32) -> Result<&'static Gpu, CudaError> {
    static GPUS: OnceLock<Vec<OnceLock<Gpu>>> = OnceLock::new();
    static MAKING: Mutex<()> = Mutex::new(());
    let driver = driver()?;
    let gpus = GPUS.get_or_init(|| (0..driver.devices).map(|_| OnceLock::new()).collect());
    let slot = gpus.get(ordinal as usize).ok_or(CudaError::NoSuchDevice { ordinal, count: driver.devices })?;
    let gpu = match slot.get() {
        Some(gpu) => gpu,
        None => {
            let _one_at_a_time = MAKING.lock().unwrap_or_else(PoisonError::into_inner);
            match slot.get() {
                Some(gpu) => gpu,
                None => {
                    let made = Gpu::open(driver, ordinal).map_err(|error| error.on(ordinal))?;
                    slot.get_or_init(|| made)
                }
            }
        }
    };
    match gpu.poisoned() {
        Some(code) => Err(CudaError::Poisoned { ordinal, code }),
        None => Ok(gpu),
    }
}

fn at(call: &'static str) -> impl FnOnce(Code) -> CudaError {
    move |code| CudaError::Call { call, code }
}

impl Gpu {
    fn open(driver: &'static Driver, ordinal: u32) -> Result<Self, CudaError> {
        let number = i32::try_from(ordinal).map_err(|_| CudaError::NoSuchDevice { ordinal, count: driver.devices })?;
        let device = driver.device(number).map_err(at("cuDeviceGet"))?;
        let attribute = |which| driver.attribute(device, which).map_err(at("cuDeviceGetAttribute"));
        use sys::CUdevice_attribute as Attribute;
        let major = attribute(Attribute::CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR)?;
        let minor = attribute(Attribute::CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MINOR)?;
        let maps = attribute(Attribute::CU_DEVICE_ATTRIBUTE_VIRTUAL_MEMORY_MANAGEMENT_SUPPORTED)? != 0;
        let granularity = driver.granularity(device).map_err(at("cuMemGetAllocationGranularity"))?;
        if !maps || granularity == 0 || !GRANULE.is_multiple_of(granularity) {
            return Err(CudaError::NoVirtualMemory { ordinal });
        }
        let context = driver.retain_context(device).map_err(at("cuDevicePrimaryCtxRetain"))?;
        driver.set_context(context).map_err(at("cuCtxSetCurrent"))?;
        CURRENT.set(context.0);
        let module = driver.load_module(KERNELS).map_err(at("cuModuleLoadData"))?;
        let function = |name| driver.function(module, name).map_err(at("cuModuleGetFunction"));
        let gpu = Gpu {
            driver,
            ordinal,
            device,
            name: driver.device_name(device).map_err(at("cuDeviceGetName"))?,
            uuid: driver.device_uuid(device).map_err(at("cuDeviceGetUuid"))?,
            total_bytes: driver.device_total(device).map_err(at("cuDeviceTotalMem"))?,
            capability: (major, minor),
            context,
            fill: function(c"pp_fill")?,
            verify: function(c"pp_verify")?,
            spin: function(c"pp_spin")?,
            board: driver.board(WORDS).map_err(at("cuMemHostAlloc"))?,
            result: driver.alloc(4096).map_err(at("cuMemAlloc"))?,
            aside: driver.create_stream().map_err(at("cuStreamCreate"))?,
            poisoned: AtomicI32::new(0),
            kept: Mutex::default(),
            given_back: Condvar::new(),
        };
        gpu.warm_up().map_err(at("cuLaunchKernel"))?;
        Ok(gpu)
    }

    /// Runs every kernel once: a driver that loads them when they are first used may wait for the whole device to do so.
    fn warm_up(&self) -> Result<(), Code> {
        self.driver.write_words(self.result, &[NOWHERE, 0], self.aside)?;
        let spare = self.result + SPARE;
        self.start_fill(self.aside, spare, 64, BLANK, 0)?;
        self.start_spin(self.aside, 0, 0, SPIN_NANOSECONDS)?;
        self.find_change(self.aside, spare, 64, BLANK, 0).map(|_| ())
    }

    /// Makes calls of this thread go to this GPU.
    pub(super) fn enter(&self) -> Result<(), Code> {
        if CURRENT.get() != self.context.0 {
            self.driver.set_context(self.context)?;
            CURRENT.set(self.context.0);
        }
        Ok(())
    }

    pub(super) fn poisoned(&self) -> Option<Code> {
        match self.poisoned.load(Ordering::Acquire) {
            0 => None,
            code => Some(Code(code)),
        }
    }

    pub(super) fn poison(&self, code: Code) {
        self.poisoned.store(code.0, Ordering::Release);
    }

    pub(super) fn start_fill(
        &self,
        stream: Handle,
        address: u64,
        bytes: u64,
        tag: u32,
        first: u64,
    ) -> Result<(), Code> {
        let arguments = [Argument::Word(address), Argument::Word(bytes), Argument::Half(tag), Argument::Word(first)];
        self.driver.launch(self.fill, shape(address, bytes), stream, arguments)
    }

    /// The least offset where a range differs from the pattern, or [`NOWHERE`]. Waits for the stream.
    pub(super) fn find_change(
        &self,
        stream: Handle,
        address: u64,
        bytes: u64,
        tag: u32,
        first: u64,
    ) -> Result<u64, Code> {
        self.start_verify(stream, address, bytes, tag, first)?;
        let [offset, _] = self.driver.read_pair(&self.board, FOUND, self.result, stream)?;
        if offset != NOWHERE {
            self.driver.write_words(self.result, &[NOWHERE, 0], stream)?;
        }
        Ok(offset)
    }

    pub(super) fn start_verify(
        &self,
        stream: Handle,
        address: u64,
        bytes: u64,
        tag: u32,
        first: u64,
    ) -> Result<(), Code> {
        let arguments = [
            Argument::Word(address),
            Argument::Word(bytes),
            Argument::Half(tag),
            Argument::Word(first),
            Argument::Word(self.result),
        ];
        self.driver.launch(self.verify, shape(address, bytes), stream, arguments)
    }

    /// Holds a stream until `lane` is let go up to `ticket`.
    pub(super) fn start_spin(&self, stream: Handle, lane: usize, ticket: u32, nanoseconds: u64) -> Result<(), Code> {
        let arguments = [
            Argument::Word(self.board.address_of(lane)),
            Argument::Half(ticket),
            Argument::Word(nanoseconds),
            Argument::Word(self.board.address_of(OVERDUE)),
        ];
        self.driver.launch(self.spin, (1, 1), stream, arguments)
    }

    /// Holds a stream for that time, whatever anybody does.
    pub(super) fn start_stuck(&self, stream: Handle, nanoseconds: u64) -> Result<(), Code> {
        self.start_spin(stream, STUCK, 1, nanoseconds)
    }

    pub(super) fn let_go(&self, lane: usize, ticket: u32) {
        self.board.word(lane).store(ticket, Ordering::Release);
    }

    /// Whether a spin ended by its own deadline since this was last asked.
    pub(super) fn take_overdue(&self) -> bool {
        let word = self.board.word(OVERDUE);
        word.load(Ordering::Acquire) != 0 && word.swap(0, Ordering::AcqRel) != 0
    }

    pub(super) fn kept(&self) -> MutexGuard<'_, Kept> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether the stream of `side` for this set is there already.
    pub(super) fn has_side(&self, set: u64) -> bool {
        self.kept().sides.iter().any(|(known, _)| *known == set)
    }

    /// A stream that nobody asks for by name, for frees that wait for this set of others.
    pub(super) fn side(&self, set: u64) -> Result<Handle, Code> {
        let mut kept = self.kept();
        if let Some((_, side)) = kept.sides.iter().find(|(known, _)| *known == set) {
            return Ok(*side);
        }
        let side = self.driver.create_stream()?;
        kept.sides.push((set, side));
        Ok(side)
    }

    /// The handles of that many streams, ascending, the default one (0) first: allocators order their blocks by them,
    /// and a simulated device's grow with the stream too.
    pub(super) fn streams(&self, count: u8) -> Result<Vec<Handle>, Code> {
        let mut kept = self.kept();
        let before = kept.streams.len();
        while kept.streams.len() + 1 < usize::from(count.clamp(1, StreamId::LIMIT)) {
            kept.streams.push(self.driver.create_stream()?);
        }
        self.begin_on(&kept.streams[before..])?;
        let others = kept.streams.iter().copied().take(usize::from(count.max(1)) - 1);
        let mut all: Vec<Handle> = std::iter::once(Handle(0)).chain(others).collect();
        all.sort_unstable_by_key(|handle| handle.0);
        Ok(all)
    }

    /// Gives new streams something to do, and the default stream after them. What is first put on that one after other streams
    /// have begun may wait for all that they hold (seen on an H200 with driver 580: for a spin until its own deadline).
    fn begin_on(&self, new: &[Handle]) -> Result<(), Code> {
        let default = Handle(0);
        for &stream in new.iter().chain([&default]).filter(|_| !new.is_empty()) {
            self.start_fill(stream, self.result + SPARE, 64, BLANK, 0)?;
        }
        new.iter().chain([&default]).try_for_each(|&stream| self.driver.sync_stream(stream))
    }
}

/// Groups and threads for a range: one thread for 16 bytes, or a byte where the address is odd, up to a limit.
fn shape(address: u64, bytes: u64) -> (u32, u32) {
    let units = if address.is_multiple_of(16) { bytes.div_ceil(16).max(bytes % 16) } else { bytes };
    let groups = units.div_ceil(u64::from(THREADS)).clamp(1, GROUPS);
    (u32::try_from(groups).unwrap_or(1), THREADS)
}

impl std::fmt::Debug for Gpu {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Gpu").field(&self.ordinal).finish()
    }
}

/// The right to use a GPU, given back when dropped.
#[derive(Debug)]
pub(super) struct Lease {
    pub(super) gpu: &'static Gpu,
}

impl Lease {
    /// Waits until nobody else has the GPU. Whoever takes several takes them in ascending order.
    pub(super) fn take(ordinal: u32) -> Result<Self, CudaError> {
        let gpu = gpu(ordinal)?;
        let mut kept = gpu.kept();
        while kept.taken {
            kept = gpu.given_back.wait(kept).unwrap_or_else(PoisonError::into_inner);
        }
        // Whoever had it may have broken it.
        if let Some(code) = gpu.poisoned() {
            return Err(CudaError::Poisoned { ordinal, code });
        }
        kept.taken = true;
        Ok(Lease { gpu })
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        self.gpu.kept().taken = false;
        self.gpu.given_back.notify_one();
    }
}
