//! The reference allocator as a target, on simulated devices or on GPUs.
//!
//! Decides how operations become calls of the reference and of its devices. All policy is `reference`'s.

mod apply;
pub(super) mod change;
pub(super) mod claims;
mod front_defects;
mod options;
mod pools;
#[cfg(test)]
mod tests;
#[cfg(feature = "planted-defects")]
mod varied;

use std::collections::{BTreeMap, BTreeSet};

use rustc_hash::FxHashMap;

use super::{Target, TargetError, TargetName};
use crate::cuda::{self, CudaDevice, CudaOptions};
use crate::device::ControlledDevice;
use crate::device::sim::SimDevice;
use crate::op::DeviceView;
use crate::op::Growth;
use crate::op::contract::limit_bytes;
use crate::op::trace::TraceEvent;
use crate::op::{
    BlockId, Capability, Contract, DeviceId, DeviceInfo, Family, GraphName, Misuse, Observation, Op, PoolName, Reply,
    Setup, StreamId, TargetInfo, Versions, Via,
};
#[cfg(feature = "planted-defects")]
use crate::reference::Planted;
use crate::reference::rounding::{MIN_BLOCK, MIN_LARGE, SEGMENT_ROUND};
use crate::reference::{Planting, PoolId, Reference, Settings, Sound, TENSOR_LIMIT};
pub(super) use apply::{ReplyResult, no_such_device};
use front_defects::Memo;
pub use front_defects::is_in_front;
pub(super) use options::{Options, read_settings};
pub(super) use pools::graph_id;

/// A block as its caller knows it.
#[derive(Debug, Clone, Copy)]
struct HeldBlock {
    device: usize,
    stream: StreamId,
    address: u64,
    bytes: u64,
    /// It came from the device itself.
    direct: bool,
    via: Via,
}

/// A private pool as the reference knows it.
#[derive(Debug, Clone, Copy)]
struct PoolHome {
    device: usize,
    id: PoolId,
}

/// The reference on one or more devices.
#[derive(Debug)]
pub struct ReferenceTarget<D, P> {
    info: TargetInfo,
    reference: Reference<D, P>,
    held: FxHashMap<BlockId, HeldBlock>,
    /// Where freed blocks were, for double frees.
    former: FxHashMap<BlockId, u64>,
    caller: u8,
    /// The current device of each caller that changed it.
    current: FxHashMap<u8, DeviceId>,
    pools: BTreeMap<PoolName, PoolHome>,
    pools_made: u64,
    /// The number of the pool that is made next, where somebody says so.
    next_pool: Option<PoolId>,
    library_alone: bool,
    /// The pool of each graph's captured memory.
    graphs: BTreeMap<GraphName, PoolHome>,
    /// The same of graphs that were reset: whoever keeps the id can still name it.
    former_graphs: BTreeMap<GraphName, PoolHome>,
    /// Devices on which a stream captures.
    capturing: BTreeSet<usize>,
    /// Requests go to the device itself.
    uncached: bool,
    /// They do whatever is switched (`PYTORCH_NO_CUDA_MEMORY_CACHING=1`).
    never_caches: bool,
    /// What `page` says of all settings so far.
    page: u64,
    memo: Memo,
    on_gpus: bool,
    /// The device of the latest request; only a planted defect goes by it.
    latest: Option<usize>,
    /// Somebody wants to know what is done to the devices.
    tells: bool,
}

/// Builds `reference@sim` with its options: `defect=NAME` or `variation=NAME`, and settings as PyTorch writes
/// them. Settings of the world come instead of those in the name.
///
/// # Errors
/// An option, a defect or a setting that does not exist.
pub(super) fn open(name: &TargetName, setup: &Setup) -> Result<Box<dyn Target>, TargetError> {
    let options = Options::of_world(name, setup, false)?;
    let streams = setup.streams.clamp(1, StreamId::LIMIT);
    let devices = SimDevice::process(&setup.device_bytes, streams);
    Ok(boxed(name, devices, streams, &options))
}

/// Builds the reference beside another target, on devices that answer as that one's did.
///
/// # Errors
/// As `open`.
pub(super) fn open_beside<D: ControlledDevice + 'static>(
    name: &TargetName,
    devices: Vec<D>,
    setup: &Setup,
) -> Result<Box<dyn Target>, TargetError> {
    let options = Options::of_world(name, setup, false)?;
    Ok(boxed(name, devices, setup.streams.clamp(1, StreamId::LIMIT), &options))
}

/// Builds `reference@cuda`: the same on as many GPUs as there are, at most as many as the setup has devices. Each plays
/// the size that the setup gives it; further options are those of `Options`.
///
/// # Errors
/// As `open`, and what is missing for a GPU to be used.
pub fn open_cuda(name: &TargetName, setup: &Setup) -> Result<Box<dyn Target>, TargetError> {
    let options = Options::of_world(name, setup, true)?;
    let unavailable = TargetError::without_gpu(name);
    let streams = setup.streams.clamp(1, StreamId::LIMIT);
    let gpus = cuda::count().map_err(&unavailable)?;
    let borrow = |(ordinal, &bytes): (u32, &u64)| {
        let (total_bytes, ballast) = options.gpu.prepare(ordinal, streams, bytes, 1)?;
        CudaDevice::open(CudaOptions { ordinal, total_bytes, streams, ballast, ordered: options.ordered })
    };
    let mut devices =
        (0..gpus).zip(&setup.device_bytes).map(borrow).collect::<Result<Vec<_>, _>>().map_err(&unavailable)?;
    if options.peers {
        cuda::link(&mut devices).map_err(unavailable)?;
    }
    Ok(boxed::<CudaDevice>(name, devices, streams, &options))
}

fn boxed<D: ControlledDevice + 'static>(
    name: &TargetName,
    devices: Vec<D>,
    streams: u8,
    options: &Options,
) -> Box<dyn Target> {
    let follows = options.follows;
    // A driver puts segments elsewhere each time, and which block is lowest decides much.
    let repeats = name.place != "cuda" || options.ordered;
    match (options.defect, options.variations) {
        #[cfg(feature = "planted-defects")]
        (Some(defect), _) => Box::new(
            ReferenceTarget::new(name, devices, streams, options, Planted::Defect(defect)).following(follows, repeats),
        ),
        #[cfg(feature = "planted-defects")]
        (None, Some(variations)) => {
            let varied = ReferenceTarget::new(name, devices, streams, options, Planted::Variations(variations));
            let mut target = varied.following(false, repeats);
            varied::restate(&mut target.info, variations);
            Box::new(target)
        }
        // Without the feature `Options` let neither of them in.
        _ => Box::new(ReferenceTarget::new(name, devices, streams, options, Sound).following(follows, repeats)),
    }
}

impl<D: ControlledDevice, P: Planting> ReferenceTarget<D, P> {
    fn new(name: &TargetName, devices: Vec<D>, streams: u8, options: &Options, planted: P) -> Self {
        let settings = &options.settings;
        let info = TargetInfo {
            name: name.to_string(),
            devices: devices.iter().map(|d| device_info(d, settings)).collect(),
            streams,
            capabilities: claims::claims(
                name.place == "sim",
                devices.iter().all(ControlledDevice::is_watched),
                settings,
            )
            .filter(|c| !options.uncached || change::without_cache(*c))
            .collect(),
            contract: if options.uncached { change::UNCACHED } else { contract(settings, page(settings, 0)) },
            config: options.config.clone(),
        };
        ReferenceTarget {
            info,
            reference: {
                let reference = Reference::new(devices, settings, planted).by(options.rules);
                if options.library_alone { reference.library_alone() } else { reference }
            },
            held: FxHashMap::default(),
            former: FxHashMap::default(),
            caller: 0,
            current: FxHashMap::default(),
            pools: BTreeMap::new(),
            pools_made: 0,
            next_pool: None,
            library_alone: options.library_alone,
            graphs: BTreeMap::new(),
            former_graphs: BTreeMap::new(),
            capturing: BTreeSet::new(),
            uncached: options.uncached,
            never_caches: options.uncached,
            page: page(settings, 0),
            memo: Memo::default(),
            on_gpus: name.place == "cuda",
            latest: None,
            tells: false,
        }
    }

    /// The same target, which claims PyTorch's policy, and to answer alike when asked again, or does not.
    fn following(mut self, follows: bool, repeats: bool) -> Self {
        let claims = &mut self.info.capabilities;
        claims
            .retain(|c| (follows || !matches!(c, Capability::Policy(_))) && (repeats || *c != Capability::Repeatable));
        self
    }

    fn current(&self) -> DeviceId {
        self.current.get(&self.caller()).copied().unwrap_or(DeviceId(0))
    }
}

/// A device as it is at first, under the fraction that the settings begin with.
pub(super) fn device_info(device: &(impl ControlledDevice + ?Sized), settings: &Settings) -> DeviceInfo {
    let total_bytes = device.total_bytes();
    DeviceInfo {
        limit_bytes: limit_bytes(settings.fraction, total_bytes),
        ..DeviceInfo::whole(device.name(), total_bytes)
    }
}

/// What pages of every size are whole parts of that there can be under these settings, after others under which it was
/// `before`; 0 for no pages.
pub(super) fn page(settings: &Settings, before: u64) -> u64 {
    match (before, settings.large_segment) {
        _ if !settings.expandable_segments => before,
        (0, own) => own,
        (before, own) => {
            let (mut divisor, mut rest) = (before, own);
            while rest > 0 {
                (divisor, rest) = (rest, divisor % rest);
            }
            (before / divisor).checked_mul(own).unwrap_or(before.max(own))
        }
    }
}

/// What is promised under settings, where segments may grow by pages of which `page` has a whole number: each keeps those
/// that it began with. Once there may be such segments, `segment.*` does not count all that is reserved.
pub(super) fn contract(settings: &Settings, page: u64) -> Contract {
    // Between two powers of two a request is rounded up by one of so many steps at most.
    let divisions = settings.roundup_divisions.iter().copied().filter(|&d| d > 1).min();
    let granule = if settings.expandable_segments { page } else { SEGMENT_ROUND };
    Contract {
        alignment: MIN_BLOCK,
        growth: Growth {
            numerator: divisions.map_or(1, |d| d.saturating_add(1)),
            denominator: divisions.unwrap_or(1),
            ..Growth::plain(settings.large_segment.max(MIN_LARGE), granule)
        },
        counts_segments: page == 0,
        tensor_limit: Some(TENSOR_LIMIT),
    }
}

impl<D: ControlledDevice, P: Planting> Target for ReferenceTarget<D, P> {
    fn info(&self) -> &TargetInfo {
        &self.info
    }

    fn versions(&self) -> Versions {
        let driver = if self.on_gpus { cuda::driver_text() } else { None };
        Versions { allocator: Some(env!("CARGO_PKG_VERSION").to_owned()), driver }
    }

    fn apply(&mut self, op: &Op) -> Reply {
        self.answer(op)
    }

    fn take_events(&mut self, into: &mut Vec<Vec<TraceEvent>>) -> bool {
        if !std::mem::replace(&mut self.tells, true) {
            self.reference.record_trace();
        }
        into.resize_with(self.reference.device_count(), Vec::new);
        for (device, events) in into.iter_mut().enumerate() {
            self.reference.device_mut(device).take_trace(events);
        }
        true
    }

    fn take_misuse(&mut self, into: &mut Vec<Misuse>) {
        for device in 0..self.reference.device_count() {
            self.reference.device_mut(device).device_mut().take_misuse(into);
        }
    }

    fn number_pool(&mut self, pool: (u64, u64)) {
        self.next_pool = Some(pool);
    }

    fn is_uncertain(&self) -> bool {
        self.reference.devices().any(|device| device.is_unforeseeable())
    }

    fn poisoned(&self) -> Option<i32> {
        self.reference.devices().find_map(|d| d.device().poisoned())
    }

    fn observe(&mut self, into: &mut Observation) {
        if into.devices.len() != self.reference.device_count() {
            into.devices.resize(self.reference.device_count(), DeviceView::default());
        }
        for (i, view) in into.devices.iter_mut().enumerate() {
            let allocator = self.reference.device_mut(i);
            allocator.before_reading();
            view.stats = *allocator.stats();
            view.fraction = allocator.fraction();
            let reserved = view.stats.all(Family::ReservedBytes).current.max(0).unsigned_abs();
            let device = allocator.device_mut();
            view.crowded = device.is_crowded();
            view.nvml = device.second_opinion(reserved);
            view.total_bytes = device.total_bytes();
            // A device that cannot tell any more is broken, which its next answer says; 0 would convict at once.
            view.free_bytes = device.look_at_free_bytes().unwrap_or(0);
            view.idle = device.idle_mask();
            view.faults_fired = device.faults_fired();
        }
    }
}
