//! PyTorch's own allocator, as a release ships it in `libc10_cuda.so`, over devices of the harness: simulated ones, or GPUs.
//!
//! Decides how operations become calls of the shim, and what Python's side would have done around them: the current device of
//! a caller, pools and captures, the share of a pool in a device. All policy is the release's. It is in this process, which
//! there must be one of a sequence: its state is the process's, and its mistakes end it.

mod apply;
mod library;
mod options;
mod pools;
mod shown;

use std::collections::BTreeMap;

use rustc_hash::FxHashMap;

use super::reference::{self, claims};
use super::{Target, TargetError, TargetName};
use crate::cuda::{self, CudaDevice, CudaOptions};
use crate::cudart::{self, SharedDevice};
use crate::device::ControlledDevice;
use crate::device::sim::SimDevice;
use crate::device::told::{DeviceLog, ToldDevice};
use crate::op::trace::TraceEvent;
use crate::op::{
    BlockId, Capability, DeviceId, GraphName, Misuse, Observation, Op, PoolName, Reply, Setup, StreamId, TargetInfo,
    Versions, Via,
};
use crate::reference::Settings;
use library::{PoolId, Shim};
pub(super) use options::{Options, newest, version};

/// A block as its caller knows it.
#[derive(Debug, Clone, Copy)]
struct HeldBlock {
    device: usize,
    stream: StreamId,
    address: u64,
    bytes: u64,
    via: Via,
}

/// A private pool as the allocator knows it.
#[derive(Debug, Clone, Copy)]
struct PoolHome {
    device: usize,
    id: PoolId,
}

/// The allocator of one release.
#[derive(Debug)]
struct C10Target {
    info: TargetInfo,
    shim: Shim,
    version: String,
    /// As the allocator read them, for what is promised under them.
    settings: Settings,
    /// What `reference::page` says of all settings so far.
    page: u64,
    held: FxHashMap<BlockId, HeldBlock>,
    /// Where freed blocks were, for double frees.
    former: FxHashMap<BlockId, u64>,
    caller: u8,
    /// The current device of each caller that changed it.
    current: FxHashMap<u8, DeviceId>,
    pools: BTreeMap<PoolName, PoolHome>,
    /// The pool of each graph's captured memory, and the stream that captured.
    graphs: BTreeMap<GraphName, (PoolHome, StreamId)>,
    /// The same of graphs that were reset.
    former_graphs: BTreeMap<GraphName, PoolHome>,
    /// Devices on which a stream captures: the thread that began it, and the stream.
    capturing: BTreeMap<usize, (u8, u64)>,
    /// As set last, for releases that do not tell.
    fractions: Vec<f64>,
    /// Somebody wants to know what is done to the devices.
    tells: bool,
}

/// Opens the libraries of the release that a name asks for.
///
/// # Errors
/// It was not set up, or cannot be loaded.
pub(super) fn prepare(name: &TargetName) -> Result<(), TargetError> {
    let options = Options::read(name, name.place == "cuda")?;
    // What the libraries make ready when they are opened asks how many devices there are.
    cudart::install(Vec::new());
    let loaded = load(name, &options);
    cudart::uninstall();
    loaded.map(|_| ())
}

fn load(name: &TargetName, options: &Options) -> Result<Shim, TargetError> {
    if let Some(shim) = options.loaded().and_then(|_| library::loaded()) {
        return Ok(shim);
    }
    let release = options.release(name)?;
    let unavailable = |reason| TargetError::Unavailable { target: name.to_string(), reason };
    let shim = library::load(&release.simulated()).map_err(unavailable)?;
    options.keep(release);
    Ok(shim)
}

/// Builds `c10@sim`. There is one a process: what was opened before is left as it is, and means nothing any more.
///
/// # Errors
/// A release that was not set up, an option or a setting that does not exist.
pub(super) fn open(name: &TargetName, setup: &Setup) -> Result<Box<dyn Target>, TargetError> {
    let options = Options::of_world(name, setup, false)?;
    let streams = setup.streams.clamp(1, StreamId::LIMIT);
    let devices = SimDevice::process(&setup.device_bytes, streams).into_iter();
    let devices: Vec<SharedDevice> = devices.map(|device| Box::new(device) as SharedDevice).collect();
    Ok(Box::new(C10Target::begin(name, devices, streams, options)?))
}

/// The same on devices of the caller's.
///
/// # Errors
/// As `open`.
pub(super) fn open_on(
    name: &TargetName,
    devices: Vec<SharedDevice>,
    setup: &Setup,
) -> Result<Box<dyn Target>, TargetError> {
    if (name.allocator.as_str(), name.place.as_str()) != ("c10", "sim") || name.is_behind_prefix() {
        let reason = "recordings are played back to `c10@sim` alone, such as c10@sim?torch=2.15".to_owned();
        return Err(TargetError::BadOption { target: name.to_string(), reason });
    }
    let options = Options::of_world(name, setup, false)?;
    Ok(Box::new(C10Target::begin(name, devices, setup.streams, options)?))
}

/// Builds `c10@cuda`: the same on GPUs, through the harness's runtime: each plays the size that the setup gives it.
///
/// # Errors
/// As `open`, and what is missing for a GPU to be used.
pub(super) fn open_cuda(name: &TargetName, setup: &Setup) -> Result<Box<dyn Target>, TargetError> {
    let options = Options::of_world(name, setup, true)?;
    let unavailable = TargetError::without_gpu(name);
    let streams = setup.streams.clamp(1, StreamId::LIMIT);
    let gpus = cuda::count().map_err(&unavailable)?;
    let borrow = |(ordinal, &bytes): (u32, &u64)| {
        let (total_bytes, ballast) = options.gpu.prepare(ordinal, streams, bytes, 1)?;
        let device = CudaDevice::open(CudaOptions { ordinal, total_bytes, streams, ballast, ordered: false })?;
        Ok(Box::new(device) as SharedDevice)
    };
    let devices = (0..gpus).zip(&setup.device_bytes).map(borrow).collect::<Result<Vec<_>, _>>().map_err(unavailable)?;
    Ok(Box::new(C10Target::begin(name, devices, streams, options)?))
}

impl C10Target {
    fn begin(
        name: &TargetName,
        devices: Vec<SharedDevice>,
        streams: u8,
        options: Options,
    ) -> Result<Self, TargetError> {
        let unavailable = |reason: String| TargetError::Unavailable { target: name.to_string(), reason };
        let infos = devices.iter().map(|device| reference::device_info(&**device, &options.settings)).collect();
        let is_watched = devices.iter().all(|device| device.is_watched());
        let count = devices.len();
        cudart::install(devices);
        library::set_variable(options.variable(), options.config.as_deref());
        library::set_variable("PYTORCH_NO_CUDA_MEMORY_CACHING", options.uncached.then_some("1"));
        let release = options.release(name)?;
        let shim = load(name, &options)?;
        let number = i32::try_from(count).map_err(|_| unavailable(format!("{count} devices")))?;
        shim.open(number).map_err(|thrown| match options.refused_settings(name, &thrown.message) {
            Some(refused) => refused,
            None => unavailable(thrown.message),
        })?;
        let page = reference::page(&options.settings, 0);
        let claims = claims::claims(name.place == "sim", is_watched, &options.settings);
        let info = TargetInfo {
            name: name.to_string(),
            devices: infos,
            streams,
            capabilities: claims
                .chain([Capability::ExactPolicy])
                .filter(|c| options.offers(*c, release.minor()))
                .collect(),
            contract: options.contract(page),
            config: options.config.clone(),
        };
        let version = release.record.version;
        Ok(C10Target {
            info,
            shim,
            version,
            settings: options.settings,
            page,
            held: FxHashMap::default(),
            former: FxHashMap::default(),
            caller: 0,
            current: FxHashMap::default(),
            pools: BTreeMap::new(),
            graphs: BTreeMap::new(),
            former_graphs: BTreeMap::new(),
            capturing: BTreeMap::new(),
            fractions: vec![options.settings.fraction; count],
            tells: false,
        })
    }

    /// Does something with a device beside the allocator.
    fn on<R>(device: usize, act: impl FnOnce(&mut dyn ControlledDevice) -> R) -> Option<R> {
        cudart::with(|runtime| runtime.device_mut(device).map(|device| act(&mut **device))).flatten()
    }

    fn current(&self) -> DeviceId {
        self.current.get(&self.caller).copied().unwrap_or(DeviceId(0))
    }
}

impl Drop for C10Target {
    fn drop(&mut self) {
        cudart::uninstall();
    }
}

impl Target for C10Target {
    fn info(&self) -> &TargetInfo {
        &self.info
    }

    fn versions(&self) -> Versions {
        Versions { allocator: Some(self.version.clone()), driver: None }
    }

    fn apply(&mut self, op: &Op) -> Reply {
        cudart::set_current_device(self.current().index(self.info.devices.len()).unwrap_or(0));
        self.try_answer(op).unwrap_or_else(|refusal| refusal)
    }

    fn observe(&mut self, into: &mut Observation) {
        self.show(into);
    }

    fn take_events(&mut self, into: &mut Vec<Vec<TraceEvent>>) -> bool {
        self.tell(into)
    }

    fn take_misuse(&mut self, into: &mut Vec<Misuse>) {
        cudart::with(|runtime| into.append(&mut runtime.take_misuse()));
    }

    fn told_devices(&mut self) -> Option<Vec<(ToldDevice, DeviceLog)>> {
        cudart::with(|runtime| runtime.tell(self.info.streams))
    }

    fn poisoned(&self) -> Option<i32> {
        (0..self.info.devices.len()).find_map(|device| C10Target::on(device, |d| d.poisoned()).flatten())
    }
}

/// Whether only Python's side of PyTorch could serve this.
fn is_of_python(capability: Capability) -> bool {
    matches!(capability, Capability::Summary | Capability::Dictionary)
}
