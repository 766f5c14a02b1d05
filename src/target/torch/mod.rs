//! A live PyTorch, asked through what its users call, by a worker in Python: on NVIDIA GPUs, or over simulated devices.
//!
//! Decides what is claimed of it: where its allocator is its own, all that its release claims under its settings; where it is the
//! driver's pools, what the worker says it can be asked. How an operation becomes a call of PyTorch's is the worker's
//! (`workers/torch/worker.py`), how that is started `command`'s.

mod command;

use std::collections::BTreeSet;

use super::reference::{self, claims, read_settings};
use super::worker::{Context, WorkerTarget};
use super::{Followed, Lost, Target, TargetError, TargetName, released};
use crate::device::StreamHandle;
use crate::device::followed::{FollowedDevice, TraceLog};
use crate::op::trace::TraceEvent;
use crate::op::{
    BlockId, Capability, Contract, Growth, Observation, Op, Policy, Reply, Setup, Step, TargetInfo, Versions, Via,
};
use crate::reference::{Rules, Settings, TENSOR_LIMIT};

pub use command::script;
pub(super) use command::{HELP, program};

/// Whether a name is of a live PyTorch.
pub(super) fn is_meant(name: &TargetName) -> bool {
    name.allocator == "torch" && ["cuda", "sim"].contains(&name.place.as_str())
}

/// A live PyTorch.
#[derive(Debug)]
struct LiveTorch {
    worker: WorkerTarget,
    info: TargetInfo,
    caller: u8,
    /// Blocks that will be recorded on a stream, which only tensors can be.
    recorded: BTreeSet<BlockId>,
    /// Who is told what was done to each device.
    logs: Vec<TraceLog>,
    events: Vec<Vec<TraceEvent>>,
}

/// What a driver may need itself to give all that is free of a card in one piece.
const MARGIN: u64 = 64 << 20;

/// The worker as a target.
///
/// # Errors
/// Settings that PyTorch took and nobody here can read.
pub(super) fn over(worker: WorkerTarget, name: &TargetName, setup: &Setup) -> Result<Box<dyn Target>, TargetError> {
    let told = &worker.told;
    let mut info = told.info.clone();
    let config = setup.config.clone().or_else(|| command::config(name));
    info.config.clone_from(&config);
    for (device, seen) in info.devices.iter_mut().zip(&told.seen.devices) {
        let margin = if name.place == "cuda" { MARGIN } else { 0 };
        device.taken_bytes = device.total_bytes.saturating_sub(seen.free_bytes).saturating_add(margin);
    }
    if info.can(Capability::ExactPolicy) {
        let settings = config.as_deref().map_or_else(|| Ok(Settings::default()), |text| read_settings(name, text))?;
        let claimed: BTreeSet<Capability> = claims::claims(true, false, &settings).collect();
        info.capabilities.retain(|capability| claimed.contains(capability));
        let minor = told.versions.allocator.as_deref().and_then(released::minor);
        if minor.and_then(Rules::of).is_none() {
            info.capabilities.remove(&Capability::ExactPolicy);
        }
        // It is written of the settings that everybody has, and of those that a scenario asks for.
        let follows = setup.config.is_some() || settings == Settings::default();
        if minor != Some(11) || !follows {
            info.capabilities.remove(&Capability::Policy(Policy::Pytorch2_11));
        }
        info.contract = reference::contract(&settings, reference::page(&settings, 0));
    } else {
        // The driver takes memory for its pools in pieces of 32 MiB.
        let growth = Growth::plain(32 << 20, 32 << 20);
        info.contract = Contract { alignment: 256, growth, counts_segments: false, tensor_limit: Some(TENSOR_LIMIT) };
    }
    Ok(Box::new(LiveTorch { worker, info, caller: 0, recorded: BTreeSet::new(), logs: Vec::new(), events: Vec::new() }))
}

impl LiveTorch {
    /// The same operation as PyTorch can be asked it: only tensors can be recorded on streams.
    fn as_asked(&self, op: &Op) -> Op {
        match op {
            &Op::Alloc { block, device, stream, bytes, via: Via::Raw }
                if self.recorded.contains(&block) && (1..TENSOR_LIMIT).contains(&bytes) =>
            {
                Op::Alloc { block, device, stream, bytes, via: Via::Tensor }
            }
            other => other.clone(),
        }
    }

    /// Hands on what was told of the devices.
    fn tell(&mut self) {
        if !self.worker.told.tells_events {
            return;
        }
        self.worker.take_events(&mut self.events);
        for (log, events) in self.logs.iter().zip(&self.events) {
            log.tell(events);
        }
    }
}

impl Target for LiveTorch {
    fn info(&self) -> &TargetInfo {
        &self.info
    }

    fn versions(&self) -> Versions {
        self.worker.versions()
    }

    fn foresee(&mut self, steps: &[Step]) {
        let recorded = |step: &Step| match step.op {
            Some(Op::RecordStream { block, .. }) => Some(block),
            _ => None,
        };
        self.recorded = steps.iter().filter_map(recorded).collect();
    }

    fn wants_plan(&self) -> bool {
        self.worker.wants_plan()
    }

    fn plan(&mut self, next: Vec<Op>) {
        // The end of a round is answered here.
        let asked = next.iter().filter(|op| **op != Op::CycleEnd).map(|op| self.as_asked(op)).collect();
        self.worker.plan(asked, self.caller);
    }

    fn apply(&mut self, op: &Op) -> Reply {
        match op {
            Op::Caller { caller } => {
                self.caller = *caller;
                Reply::Done
            }
            Op::CycleEnd => Reply::Done,
            other => {
                let asked = self.as_asked(other);
                let reply = self.worker.apply_in(&asked, &Context { thread: self.caller, ..Context::default() });
                self.tell();
                if let Some(log) = self.logs.first() {
                    log.number_pool(self.worker.told.pool);
                }
                reply
            }
        }
    }

    fn observe(&mut self, into: &mut Observation) {
        self.worker.observe(into);
    }

    fn lost(&self) -> Option<&Lost> {
        self.worker.lost()
    }

    fn close(&mut self) {
        self.worker.close();
    }

    fn followed_devices(&mut self) -> Option<Followed> {
        let release = self.worker.told.versions.allocator.clone()?;
        let device = |told: &super::worker::shown::DescribedDevice| {
            let streams = told.streams.iter().map(|&(handle, number)| (StreamHandle(handle), number)).collect();
            let log = TraceLog::default();
            (FollowedDevice::new(told.name.clone(), told.total_bytes, streams, log.clone()), log)
        };
        let (devices, logs): (Vec<_>, Vec<_>) = self.worker.told.described.devices.iter().map(device).unzip();
        self.logs.clone_from(&logs);
        Some(Followed { devices, logs, release })
    }
}
