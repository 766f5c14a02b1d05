//! The reference allocator on simulated devices, as a target.
//!
//! Decides how operations become calls of the reference and of the simulation. All policy is `reference`'s.

mod apply;
mod pools;
mod mistakes;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;

use rustc_hash::FxHashMap;

use super::{Target, TargetError, TargetName};
use crate::device::sim::SimDevice;
use crate::op::DeviceView;
use crate::op::contract::Growth;
use crate::op::{
    BlockId, Capability, Contract, DeviceId, DeviceInfo, GraphName, Observation, Op, PoolName, Reply, Setup, StreamId,
    TargetInfo,
};
use crate::reference::rounding::{MIB, MIN_BLOCK, SEGMENT_ROUND};
use crate::reference::{
    Defect, Planted, Planting, PoolId, Reference, Settings, Sound, TENSOR_LIMIT, Variation, Varied,
};
use mistakes::Memo;

/// A block as its caller knows it.
#[derive(Debug, Clone, Copy)]
struct Held {
    device: usize,
    stream: StreamId,
    address: u64,
    bytes: u64,
}

/// A private pool as the reference knows it.
#[derive(Debug, Clone, Copy)]
struct PoolHome {
    device: usize,
    id: PoolId,
}

/// The reference on one or more simulated devices.
#[derive(Debug)]
pub struct ReferenceTarget<P> {
    info: TargetInfo,
    reference: Reference<SimDevice, P>,
    held: FxHashMap<BlockId, Held>,
    /// Where freed blocks were, for double frees.
    former: FxHashMap<BlockId, u64>,
    caller: u8,
    /// The current device of each caller that changed it.
    current: FxHashMap<u8, DeviceId>,
    pools: BTreeMap<PoolName, PoolHome>,
    /// The pool of each graph's captured memory.
    graphs: BTreeMap<GraphName, PoolHome>,
    memo: Memo,
}

/// Builds `reference@sim` with its options: `defect=NAME` or `variation=NAME`, and settings as PyTorch writes
/// them. Settings of the world come instead of those in the name.
///
/// # Errors
/// An option, a defect or a setting that does not exist.
pub(super) fn open(name: &TargetName, setup: &Setup) -> Result<Box<dyn Target>, TargetError> {
    let (mut defect, mut variation) = (None, None);
    let mut settings = Settings::default();
    for (key, value) in &name.options {
        match (key.as_str(), value) {
            ("defect", Some(value)) => defect = Some(find_defect(name, value)?),
            ("variation", Some(value)) => variation = Some(find_variation(name, value)?),
            ("config", Some(text)) => settings = read_settings(name, text)?,
            (text, None) if text.contains(':') => settings = read_settings(name, text)?,
            (other, _) => {
                return Err(TargetError::UnknownOption {
                    target: name.to_string(),
                    option: other.to_owned(),
                    known: "defect=NAME, variation=NAME and config=SETTINGS".to_owned(),
                });
            }
        }
    }
    // Expectations of PyTorch's figures are written for default settings or for those of their scenario.
    let mut follows = settings == Settings::default();
    if let Some(text) = &setup.config {
        (settings, follows) = (read_settings(name, text)?, true);
    }
    Ok(match (defect, variation) {
        (None, None) => Box::new(ReferenceTarget::new(name, setup, &settings, Sound).following(follows)),
        (Some(defect), None) => {
            Box::new(ReferenceTarget::new(name, setup, &settings, Planted(defect)).following(follows))
        }
        (None, Some(variation)) => {
            let mut target = ReferenceTarget::new(name, setup, &settings, Varied(variation)).following(false);
            vary(&mut target.info, variation);
            Box::new(target)
        }
        (Some(_), Some(_)) => {
            let reason = "a defect cannot be planted in a variation".to_owned();
            return Err(TargetError::BadOption { target: name.to_string(), reason });
        }
    })
}

fn find_defect(name: &TargetName, text: &str) -> Result<Defect, TargetError> {
    text.parse().map_err(|()| {
        let nearest = |d: &&Defect| strsim::levenshtein(d.name(), text);
        let hint = Defect::ALL.iter().min_by_key(nearest).map(|d| d.name().to_owned());
        TargetError::UnknownDefect { target: name.to_string(), defect: text.to_owned(), hint }
    })
}

fn find_variation(name: &TargetName, text: &str) -> Result<Variation, TargetError> {
    text.parse().map_err(|()| {
        let nearest = |v: &&Variation| strsim::levenshtein(v.name(), text);
        let hint = Variation::ALL.iter().min_by_key(nearest).map(|v| v.name().to_owned());
        TargetError::UnknownVariation { target: name.to_string(), variation: text.to_owned(), hint }
    })
}

/// What a variation promises otherwise.
fn vary(info: &mut TargetInfo, variation: Variation) {
    info.capabilities.remove(&Capability::Settings);
    match variation {
        Variation::LargerSegments => info.contract.growth.least = 32 * MIB,
        Variation::EagerTrimming | Variation::NeverCaches => drop(info.capabilities.remove(&Capability::Caching)),
        Variation::WaitsAtFree => drop(info.capabilities.remove(&Capability::DeferredFree)),
        _ => {}
    }
}

fn read_settings(name: &TargetName, text: &str) -> Result<Settings, TargetError> {
    let refused =
        |e: crate::reference::SettingsError| TargetError::BadOption { target: name.to_string(), reason: e.to_string() };
    text.parse().map_err(refused)
}

impl<P: Planting> ReferenceTarget<P> {
    fn new(name: &TargetName, setup: &Setup, settings: &Settings, planted: P) -> Self {
        let streams = setup.streams.clamp(1, StreamId::LIMIT);
        let device = |(i, &bytes): (u32, &u64)| SimDevice::new(i, bytes, streams);
        let devices = (0..).zip(&setup.device_bytes).map(device).collect();
        let info = TargetInfo {
            name: name.to_string(),
            devices: setup
                .device_bytes
                .iter()
                .map(|&total_bytes| DeviceInfo { name: "simulated".to_owned(), total_bytes })
                .collect(),
            streams,
            capabilities: capabilities().collect(),
            contract: contract(settings),
        };
        ReferenceTarget {
            info,
            reference: Reference::new(devices, settings, planted),
            held: FxHashMap::default(),
            former: FxHashMap::default(),
            caller: 0,
            current: FxHashMap::default(),
            pools: BTreeMap::new(),
            graphs: BTreeMap::new(),
            memo: Memo::default(),
        }
    }

    /// The same target, which claims PyTorch's policy or does not.
    fn following(mut self, follows: bool) -> Self {
        if !follows {
            self.info.capabilities.remove(&Capability::PytorchPolicy);
        }
        self
    }

    fn current(&self) -> DeviceId {
        self.current.get(&self.caller()).copied().unwrap_or(DeviceId(0))
    }
}

/// All there are, but for counts of devices: those depend on the world.
fn capabilities() -> impl Iterator<Item = Capability> {
    let names = Capability::names().into_iter().filter_map(|n| n.parse().ok());
    names.filter(|c| !matches!(c, Capability::Devices(_)))
}

fn contract(settings: &Settings) -> Contract {
    let divided = settings.roundup_divisions.iter().any(|&d| d > 1);
    let granule = if settings.expandable_segments { settings.large_segment } else { SEGMENT_ROUND };
    Contract {
        alignment: MIN_BLOCK,
        growth: Growth {
            least: settings.large_segment.max(20 * MIB),
            granule,
            numerator: if divided { 2 } else { 1 },
            denominator: 1,
        },
        counts_segments: !settings.expandable_segments,
        tensor_limit: Some(TENSOR_LIMIT),
    }
}

impl<P: Planting> Target for ReferenceTarget<P> {
    fn info(&self) -> &TargetInfo {
        &self.info
    }

    fn apply(&mut self, op: &Op) -> Reply {
        self.answer(op)
    }

    fn observe(&mut self, into: &mut Observation) {
        into.devices.resize(self.reference.device_count(), DeviceView::default());
        for (i, view) in into.devices.iter_mut().enumerate() {
            let allocator = self.reference.device_mut(i);
            view.stats = *allocator.stats();
            view.fraction = allocator.fraction();
            let device = allocator.device_mut();
            view.total_bytes = crate::device::Device::total_bytes(device);
            // A simulated device always knows; 0 would convict at once.
            view.free_bytes = crate::device::Device::free_bytes(device).unwrap_or(0);
            view.idle = device.idle_mask();
            view.faults_fired = device.faults_fired();
        }
    }
}
