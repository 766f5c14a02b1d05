//! A GPU through the CUDA driver.
//!
//! Decides what a borrower of a GPU gets: a budget of its memory, streams, contents and planned failures, by the
//! simulation's rules. Several threads may ask for one GPU; they have it one after the other. All that is `unsafe`
//! is in `driver` and `calls`.
//!
//! The budget is kept here: by default the driver is never near full, and a card plays a small one. With ballast the
//! rest of the card is really held, and the driver itself refuses; only the few granules that it may need for page tables
//! are refused here.

mod bad_kernels;
mod ballast;
mod calls;
mod controlled;
mod driver;
mod error;
mod gpu;
mod guest;
mod library;
mod memory;
mod neighbour;
mod peers;
mod physical;
mod pool;
pub mod probe;
mod selftest;
mod streams;
mod table;
pub mod telemetry;
mod timing;
mod watch;

use std::collections::BTreeMap;
use std::time::Duration;

use rustc_hash::FxHashSet;

use crate::op::{DeviceCall, StreamId};
use device::faults::Faults;
use device::{DeviceError, StreamHandle};
use driver::Handle;
use gpu::{Gpu, Lease};
use poolproof_device as device;
use poolproof_words::op;
use streams::{Streams, Trouble};
use table::Table;
use watch::Watch;

pub use bad_kernels::{hang, touch_nowhere};
pub use error::{Code, CudaError};
pub use neighbour::Neighbour;
pub use peers::link;
pub use pool::{CudaContext, CudaPool, PoolFigures};
pub use selftest::{Check, selftest};
pub use timing::{Bandwidth, CallTimes, bandwidth, call_times};

/// One GPU as it was found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GpuInfo {
    /// CUDA's number in this process.
    pub ordinal: u32,
    /// The card's, as the driver says it.
    pub name: String,
    /// The size of its memory.
    pub total_bytes: u64,
    /// `GPU-xxxxxxxx-xxxx-xxxx-xxxx-xxxxxxxxxxxx`, as NVML writes it.
    pub uuid: String,
    /// Major and minor.
    pub compute_capability: (i32, i32),
}

/// The driver and its GPUs as they were found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CudaInfo {
    /// 13000 for CUDA 13.0.
    pub driver_version: i32,
    /// By CUDA's number.
    pub gpus: Vec<GpuInfo>,
}

/// Looks for a driver and GPUs and makes a context on each.
///
/// # Errors
/// What is missing.
pub fn probe() -> Result<CudaInfo, CudaError> {
    let driver = driver::driver()?;
    let info = |gpu: &'static Gpu| GpuInfo {
        ordinal: gpu.ordinal,
        name: gpu.name.clone(),
        total_bytes: gpu.total_bytes,
        uuid: uuid_text(gpu.uuid),
        compute_capability: gpu.capability,
    };
    let gpus = (0..driver.devices).map(|ordinal| gpu::gpu(ordinal).map(info)).collect::<Result<_, _>>()?;
    Ok(CudaInfo { driver_version: driver.version, gpus })
}

/// Makes what a process needs on a GPU besides an allocator's memory: a context and streams.
///
/// # Errors
/// As `probe`.
pub fn prepare(ordinal: u32, streams: u8) -> Result<(), CudaError> {
    let gpu = gpu::gpu(ordinal)?;
    gpu.enter().map_err(|code| CudaError::Call { call: "cuCtxSetCurrent", code })?;
    let made = gpu.streams(streams).map_err(|code| CudaError::Call { call: "cuStreamCreate", code });
    made.map(|_| ()).map_err(|error| error.on(ordinal))
}

/// How many GPUs there are, without making a context on any.
///
/// # Errors
/// As `probe`.
pub fn count() -> Result<u32, CudaError> {
    driver::driver().map(|d| d.devices)
}

/// The driver as reports name it, once it is open: `580.159.04, CUDA 13.0`.
#[must_use]
pub fn driver_text() -> Option<String> {
    let cuda = driver::driver().ok()?.version;
    let cuda = format!("CUDA {}.{}", cuda / 1000, cuda % 1000 / 10);
    let version = watch::nvml().and_then(|nvml| nvml.telemetry.driver().version.ok());
    Some(version.map_or_else(|| cuda.clone(), |version| format!("{version}, {cuda}")))
}

fn uuid_text(bytes: [u8; 16]) -> String {
    let hex: String = bytes.iter().map(|b| format!("{b:02x}")).collect();
    format!("GPU-{}-{}-{}-{}-{}", &hex[..8], &hex[8..12], &hex[12..16], &hex[16..20], &hex[20..])
}

/// Who sees to it that no more of a card can be had than the size that it plays.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Ballast {
    /// Nobody: the size is only counted, and the driver is never near full.
    #[default]
    Budget,
    /// Allocations of this process hold the rest, so that the driver is full when the budget is.
    Real,
    /// Those of another process do, the one with this number.
    Neighbour(u32),
}

/// What a borrower asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CudaOptions {
    /// The GPU's number in this process.
    pub ordinal: u32,
    /// The size that it plays.
    pub total_bytes: u64,
    /// Streams, the default one included (1 to 64; clamped).
    pub streams: u8,
    /// Who holds the rest of the card.
    pub ballast: Ballast,
    /// Place segments at addresses in the simulation's order, by the virtual-memory calls instead of `cuMemAlloc`.
    pub ordered: bool,
}

/// Addresses for ordered placement: as many as a simulated device has.
const SPAN: u64 = 1 << 40;

/// A GPU, borrowed for one sequence; everything is given back when it is dropped.
#[derive(Debug)]
pub struct CudaDevice {
    table: Table,
    streams: Option<Streams>,
    faults: Faults,
    ballast: Ballast,
    /// The driver refused what the budget had room for.
    crowded: bool,
    /// NVML's view of it, where there is one.
    watch: Option<Watch>,
    /// GPUs that read its memory too.
    peers: Vec<&'static Gpu>,
    illegal_access: Option<u64>,
    /// Physical memory that was created for somebody, by handle: its bytes.
    created: BTreeMap<u64, u64>,
    /// Patterns written since the start.
    tags: FxHashSet<u32>,
    /// Given back last.
    lease: Lease,
}

impl CudaDevice {
    /// Borrows a GPU, waiting until nobody else has it. Whoever borrows several does so in ascending order.
    ///
    /// # Errors
    /// What is missing, or what the driver answers.
    pub fn open(options: CudaOptions) -> Result<Self, CudaError> {
        let lease = Lease::take(options.ordinal)?;
        let gpu = lease.gpu;
        let at = |call| move |code| CudaError::Call { call, code };
        gpu.enter().map_err(at("cuCtxSetCurrent"))?;
        let span = if options.ordered { Some((span_of(gpu).map_err(at("cuMemAddressReserve"))?, SPAN)) } else { None };
        let streams = Streams::new(gpu, options.streams).map_err(at("cuStreamCreate"))?;
        match options.ballast {
            Ballast::Real => ballast::hold(gpu, options.total_bytes).map_err(at("cuMemAlloc"))?,
            Ballast::Budget | Ballast::Neighbour(_) => ballast::drop_all(gpu).map_err(at("cuMemFree"))?,
        }
        await_room(gpu, options.total_bytes)?;
        Ok(CudaDevice {
            table: Table::new(options.total_bytes, span),
            streams: Some(streams),
            faults: Faults::default(),
            ballast: options.ballast,
            crowded: false,
            watch: Watch::start(gpu, options.ballast),
            peers: Vec::new(),
            illegal_access: None,
            created: BTreeMap::new(),
            tags: FxHashSet::default(),
            lease,
        })
    }

    fn gpu(&self) -> &'static Gpu {
        self.lease.gpu
    }

    /// Makes calls of this thread go to the GPU, if it still answers any.
    fn enter(&self) -> Result<&'static Gpu, DeviceError> {
        let gpu = self.gpu();
        if let Some(code) = gpu.poisoned() {
            return Err(DeviceError::Poisoned { code: code.0 });
        }
        gpu.enter().map_err(|code| self.work_failed(code))?;
        Ok(gpu)
    }

    /// A call that an allocator makes failed.
    fn failed(&self, call: DeviceCall, code: Code) -> DeviceError {
        match code {
            Code::OUT_OF_MEMORY => DeviceError::OutOfMemory,
            Code::INVALID_VALUE => DeviceError::InvalidValue { call },
            code if code.is_sticky() => self.work_failed(code),
            code => DeviceError::Failed { call, code: code.0 },
        }
    }

    /// Work on the device failed, or a call that only the harness makes.
    fn work_failed(&self, code: Code) -> DeviceError {
        if code.is_sticky() {
            self.gpu().poison(code);
            return DeviceError::Poisoned { code: code.0 };
        }
        DeviceError::Work { code: code.0 }
    }

    fn troubled(&self, trouble: Trouble) -> DeviceError {
        match trouble {
            Trouble::Code(code) => self.work_failed(code),
            Trouble::Overdue => DeviceError::Overdue,
        }
    }

    /// Calls on the streams with the GPU entered.
    fn with_streams<T>(
        &mut self,
        body: impl FnOnce(&mut Streams, &'static Gpu) -> Result<T, Trouble>,
    ) -> Result<T, DeviceError> {
        let gpu = self.enter()?;
        let Some(streams) = self.streams.as_mut() else { return Err(DeviceError::Work { code: 0 }) }; // until dropped
        body(streams, gpu).map_err(|trouble| self.troubled(trouble))
    }

    /// The position of a stream that exists.
    fn lane(&self, stream: StreamId) -> Result<usize, DeviceError> {
        let lane = usize::from(stream.0);
        let known = self.streams.as_ref().is_some_and(|s| s.handle(lane).is_some());
        if known { Ok(lane) } else { Err(DeviceError::InvalidValue { call: DeviceCall::RecordEvent }) }
    }

    fn lane_of(&self, handle: StreamHandle, call: DeviceCall) -> Result<usize, DeviceError> {
        let raw = usize::try_from(handle.0).ok().map(Handle);
        let lane = raw.and_then(|raw| self.streams.as_ref().and_then(|s| s.position(raw)));
        lane.ok_or(DeviceError::InvalidValue { call })
    }
}

/// Sees that this much is free. A process that was ended a moment ago may still be giving its memory back.
fn await_room(gpu: &Gpu, wanted: u64) -> Result<(), CudaError> {
    const LOOKS: u32 = 200;
    for look in 0.. {
        let info = gpu.driver.memory_info().map_err(|code| CudaError::Call { call: "cuMemGetInfo", code });
        let (free, total) = info?;
        if free >= wanted {
            break;
        }
        if total < wanted {
            return Err(CudaError::TooSmall { ordinal: gpu.ordinal, total, wanted });
        }
        if look == LOOKS {
            return Err(CudaError::Crowded { ordinal: gpu.ordinal, free, wanted });
        }
        std::thread::park_timeout(Duration::from_millis(10));
    }
    Ok(())
}

/// The addresses for ordered placement, reserved once a GPU and process.
fn span_of(gpu: &Gpu) -> Result<u64, Code> {
    let mut kept = gpu.kept();
    if let Some(base) = kept.span {
        return Ok(base);
    }
    let base = gpu.driver.reserve_addresses(SPAN)?;
    kept.span = Some(base);
    Ok(base)
}
