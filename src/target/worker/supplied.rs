//! What the harness supplies to somebody else's worker: streams, contents, a current device, and what a refusal was for.
//!
//! Decides which operations reach the worker: those that it says it can, and those that every allocator can. Streams are the
//! harness's where the worker does not run its own; a worker that must know which are busy is told with every operation.
//! Blocks are written where they lie, or on record where addresses are only numbers. Judges nothing.

use std::collections::BTreeMap;

use rustc_hash::FxHashMap;

use super::super::{Lost, Target, TargetError};
use super::protocol::About;
use super::shown::MemoryKind;
use super::target::{Context, WorkerTarget};
use crate::device::shadow::{ProcessMemory, ShadowDevice};
use crate::op::trace::TraceEvent;
use crate::op::{
    BlockId, Capability, DeviceId, Drop, Observation, Op, Pointer, RefusalClass, Reply, Setup, StreamId, TargetInfo,
    Versions,
};

/// No machine has more: what is served beyond this cannot be there.
const MOST_MEMORY: u64 = 1 << 46;

/// A worker with what it lacks.
#[derive(Debug)]
pub(super) struct Supplied {
    worker: WorkerTarget,
    info: TargetInfo,
    devices: Vec<ShadowDevice>,
    held: FxHashMap<BlockId, About>,
    /// Where freed blocks were, for double frees.
    former: FxHashMap<BlockId, About>,
    caller: u8,
    /// The current device of each caller that changed it.
    current: BTreeMap<u8, DeviceId>,
    /// The worker writes and reads blocks itself.
    has_contents: bool,
    /// The worker's streams are its own.
    has_streams: bool,
    /// The worker keeps the current device itself.
    has_current: bool,
    /// By device, bytes of live blocks, where nobody but the harness knows how many there may be.
    lent: Option<Vec<u64>>,
    busy: Vec<(usize, u8)>,
    /// The latest operation was one on a block's contents, which the harness did without a word to the worker.
    is_untold: bool,
}

impl Supplied {
    /// The worker, and all that the harness can do in its place.
    pub(super) fn over(worker: WorkerTarget, setup: &Setup, repeats: bool) -> Result<Box<dyn Target>, TargetError> {
        let (told, described) = (&worker.told, &worker.told.described);
        let unavailable = |reason: String| TargetError::Unavailable { target: told.info.name.clone(), reason };
        let own = |capability| told.info.can(capability);
        let (has_contents, has_streams) = (own(Capability::Contents), own(Capability::StreamControl));
        let has_current = own(Capability::CurrentDevice);
        // Who runs the streams knows when a write is done: both belong to one side.
        if has_contents != has_streams {
            let (says, lacks) =
                if has_contents { ("contents", "stream_control") } else { ("stream_control", "contents") };
            return Err(unavailable(format!(
                "its worker says `{says}` and not `{lacks}`: it has both, or the harness does both"
            )));
        }
        let streams = told.info.streams;
        let device = |index: usize| {
            let pid = described.pid.or_else(|| worker.process_id()).unwrap_or(0);
            let open = if described.pid.is_none() { ProcessMemory::of_child } else { ProcessMemory::open };
            let memory = match described.memory {
                MemoryKind::Addresses => None,
                MemoryKind::Host => Some(open(pid).map_err(|e| {
                    unavailable(format!(
                        "its worker says that blocks are in its memory, and that of process {pid} cannot be opened: {e}"
                    ))
                })?),
            };
            Ok(ShadowDevice::new(u32::try_from(index).unwrap_or(u32::MAX), streams, memory))
        };
        let devices = if has_contents {
            Vec::new()
        } else {
            (0..told.info.devices.len()).map(device).collect::<Result<_, _>>()?
        };
        let mut info = told.info.clone();
        info.capabilities.extend([Capability::Contents, Capability::StreamControl]);
        info.capabilities.extend([Capability::CurrentDevice, Capability::Callers]);
        if !described.unlimited {
            info.capabilities.insert(Capability::OomTyped);
        }
        if repeats {
            info.capabilities.insert(Capability::Repeatable);
        }
        // Devices as large as asked for, whatever is asked for, of which nothing is real.
        let sizes = info.devices.iter().map(|device| device.total_bytes);
        if !has_contents && described.memory == MemoryKind::Addresses && sizes.eq(setup.device_bytes.iter().copied()) {
            info.capabilities.insert(Capability::Simulated);
        }
        if streams > 1 {
            info.capabilities.insert(Capability::Streams);
        } else {
            info.capabilities.remove(&Capability::Streams);
        }
        let lent = described.unlimited.then(|| vec![0; info.devices.len()]);
        Ok(Box::new(Supplied {
            lent,
            info,
            devices,
            held: FxHashMap::default(),
            former: FxHashMap::default(),
            caller: 0,
            current: BTreeMap::new(),
            has_contents,
            has_streams,
            has_current,
            busy: Vec::new(),
            is_untold: false,
            worker,
        }))
    }

    fn current(&self) -> DeviceId {
        self.current.get(&self.caller).copied().unwrap_or(DeviceId(0))
    }

    /// The same operation as a worker takes it that keeps no current device.
    fn placed(&self, op: &Op) -> Op {
        let mut op = op.clone();
        if let Op::Alloc { device, .. } | Op::SetFraction { device, .. } | Op::GetFraction { device } = &mut op
            && device.is_none()
            && !self.has_current
        {
            *device = Some(self.current());
        }
        op
    }

    /// The block or the address that an operation is about.
    fn about(&self, op: &Op) -> Option<About> {
        let at = |address| About { address, bytes: 0, device: 0, stream: 0 };
        match op {
            Op::FreePointer { pointer: Pointer::Null } => Some(at(0)),
            Op::FreePointer { pointer: Pointer::Wild { address } } => Some(at(*address)),
            Op::FreePointer { pointer: Pointer::Freed { block } } => self.former.get(block).copied(),
            Op::FreePointer { pointer: Pointer::Interior { block, offset } } => {
                let block = self.held.get(block)?;
                Some(About { address: block.address.saturating_add(*offset), bytes: 0, ..*block })
            }
            _ => self.held.get(&op.block()?).copied(),
        }
    }

    /// What a refusal of this operation is for, if it does not say: a request that could be served lacked memory.
    fn unstated(&self, op: &Op) -> RefusalClass {
        let exists = |device: &Option<DeviceId>| device.is_none_or(|d| d.index(self.info.devices.len()).is_some());
        match op {
            Op::Alloc { device, .. } if exists(device) => RefusalClass::OutOfMemory,
            Op::FreePointer { .. } | Op::Free { .. } => RefusalClass::InvalidPointer,
            _ => RefusalClass::InvalidArgument,
        }
    }

    /// Hands the operation to the worker.
    fn pass_on(&mut self, op: &Op) -> Reply {
        let op = self.placed(op);
        self.busy.clear();
        for (index, device) in self.devices.iter().enumerate() {
            let idle = device.idle_mask();
            self.busy.extend((0..self.info.streams).filter(|stream| idle >> stream & 1 == 0).map(|s| (index, s)));
        }
        let (about, unstated) = (self.about(&op), Some(self.unstated(&op)));
        let mut reply = self.worker.apply_in(&op, &Context { about, thread: self.caller, busy: &self.busy, unstated });
        // Work that was waited for is done, before what the answer hands out is anybody's.
        for waited in std::mem::take(&mut self.worker.told.waited) {
            let Some(device) = self.devices.get_mut(waited.device) else { continue };
            match waited.stream {
                Some(stream) => device.wait_stream(StreamId(stream)),
                None => device.synchronize(),
            }
        }
        if let Some(refusal) = self.too_much(&op, &reply) {
            reply = refusal;
        }
        self.note(&op, &reply);
        reply
    }

    /// Takes back what no device of that size could have had, and refuses it in the allocator's place. What nobody could
    /// have is left as it is, for the judges.
    fn too_much(&mut self, op: &Op, reply: &Reply) -> Option<Reply> {
        let (&Op::Alloc { block, device, stream, bytes, .. }, &Reply::Allocated { address }) = (op, reply) else {
            return None;
        };
        let device = device.unwrap_or(self.current()).index(self.info.devices.len())?;
        let (lent, total) = (*self.lent.as_ref()?.get(device)?, self.info.devices[device].total_bytes);
        if lent.saturating_add(bytes) <= total || bytes > MOST_MEMORY {
            return None;
        }
        let about = Some(About { address, bytes, device, stream: stream.0 });
        let context = Context { about, thread: self.caller, busy: &self.busy, unstated: None };
        self.worker.apply_in(&Op::Free { block }, &context);
        let text =
            format!("taken back: the device has {total} B and {lent} B are lent, which nothing tells its allocator");
        Some(Reply::refused(RefusalClass::OutOfMemory, text))
    }

    fn note(&mut self, op: &Op, reply: &Reply) {
        match (op, reply) {
            (&Op::Alloc { block, device, stream, bytes, .. }, &Reply::Allocated { address }) => {
                let device = device.unwrap_or(self.current()).index(self.info.devices.len()).unwrap_or(0);
                self.held.insert(block, About { address, bytes, device, stream: stream.0 });
                if let Some(lent) = self.lent.as_mut().and_then(|all| all.get_mut(device)) {
                    *lent = lent.saturating_add(bytes);
                }
            }
            (Op::Free { block }, Reply::Done) => {
                if let Some(about) = self.held.remove(block) {
                    if let Some(lent) = self.lent.as_mut().and_then(|all| all.get_mut(about.device)) {
                        *lent = lent.saturating_sub(about.bytes);
                    }
                    self.former.insert(*block, about);
                }
            }
            _ => {}
        }
    }

    /// Writes a block, on its own stream if none is named, or reads it.
    fn touch(&mut self, block: BlockId, stream: Option<StreamId>, reads: bool) -> Reply {
        // Once its process is gone, its number may be anybody's.
        if self.worker.process_id().is_none() {
            return Reply::refused(RefusalClass::DeviceError, "its process is gone");
        }
        self.is_untold = true;
        let Some(held) = self.held.get(&block).copied() else { return Reply::Dropped(Drop::NoSuchBlock) };
        let Some(device) = self.devices.get_mut(held.device) else { return Reply::Dropped(Drop::NoSuchPlace) };
        let stream = stream.unwrap_or(StreamId(held.stream));
        if reads {
            return Reply::Contents(device.check(stream, held.address, held.bytes, block.0));
        }
        done(device.write(stream, held.address, held.bytes, block.0))
    }

    /// What the worker would be asked of this while the harness does not yet know the answers before it: `None` where what is
    /// asked beside it, or done to its memory in between, depends on those.
    fn foretold(&self, op: &Op) -> Option<Planned> {
        Some(match op {
            Op::CycleEnd => Planned::ByHarness,
            Op::Fill { .. } | Op::Use { .. } | Op::Verify { .. } if !self.has_contents => Planned::ByHarness,
            // From here on streams that are busy are told with every operation.
            Op::Occupy { .. } | Op::Finish { .. } | Op::WaitStream { .. } if !self.has_streams => return None,
            other => Planned::ByWorker(self.placed(other)),
        })
    }

    fn on_streams(&mut self, device: DeviceId, act: impl FnOnce(&mut ShadowDevice) -> Reply) -> Reply {
        match device.index(self.devices.len()).and_then(|index| self.devices.get_mut(index)) {
            Some(device) => act(device),
            None => self.no_device(device),
        }
    }

    fn no_device(&self, device: DeviceId) -> Reply {
        let reason = format!("{device} does not exist: there are {}", self.info.devices.len());
        Reply::refused(RefusalClass::InvalidArgument, reason)
    }

    fn set_current(&mut self, device: DeviceId) -> Reply {
        if device.index(self.info.devices.len()).is_none() {
            return self.no_device(device);
        }
        self.current.insert(self.caller, device);
        Reply::Done
    }
}

/// Who serves an operation of those that come next.
enum Planned {
    /// The harness, in the worker's place.
    ByHarness,
    /// The worker, asked this.
    ByWorker(Op),
}

fn done(result: Result<(), impl std::fmt::Display>) -> Reply {
    result.map_or_else(|e| Reply::refused(RefusalClass::DeviceError, e.to_string()), |()| Reply::Done)
}

impl Target for Supplied {
    fn info(&self) -> &TargetInfo {
        &self.info
    }

    fn versions(&self) -> Versions {
        self.worker.versions()
    }

    fn wants_plan(&self) -> bool {
        // Blocks in its memory are written between two answers, if not by itself; and what is too much for a device is taken back.
        let is_read_between = !self.has_contents && self.worker.told.described.memory == MemoryKind::Host;
        let may_be_busy = self.devices.iter().any(|device| !device.is_idle());
        !is_read_between && !may_be_busy && self.lent.is_none() && self.worker.wants_plan()
    }

    fn plan(&mut self, next: Vec<Op>) {
        let known = next.iter().map_while(|op| self.foretold(op));
        let asked =
            known.filter_map(|planned| if let Planned::ByWorker(op) = planned { Some(op) } else { None }).collect();
        self.worker.plan(asked, self.caller);
    }

    fn apply(&mut self, op: &Op) -> Reply {
        self.is_untold = false;
        match op {
            Op::CycleEnd => Reply::Done,
            Op::Caller { caller } => {
                self.caller = *caller;
                Reply::Done
            }
            Op::SetCurrent { device } if !self.has_current => self.set_current(*device),
            Op::Fill { block } if !self.has_contents => self.touch(*block, None, false),
            Op::Use { block, stream } if !self.has_contents => self.touch(*block, Some(*stream), false),
            Op::Verify { block } if !self.has_contents => self.touch(*block, None, true),
            Op::Occupy { device, stream } if !self.has_streams => {
                self.on_streams(*device, |device| done(device.occupy(*stream)))
            }
            Op::Finish { device, stream } if !self.has_streams => {
                self.on_streams(*device, |device| done(device.finish(*stream)))
            }
            Op::WaitStream { device, stream, on } if !self.has_streams => {
                self.on_streams(*device, |device| done(device.hold_for(*stream, *on)))
            }
            Op::Synchronize { device } if !self.has_streams => self.on_streams(*device, |device| {
                device.synchronize();
                Reply::Done
            }),
            other => self.pass_on(other),
        }
    }

    fn observe(&mut self, into: &mut Observation) {
        // What it shows cannot have changed: half of all operations are these.
        if self.is_untold {
            into.clone_from(&self.worker.told.seen);
        } else {
            self.worker.observe(into);
        }
        for (device, view) in self.devices.iter().zip(&mut into.devices) {
            view.idle = device.idle_mask();
        }
    }

    fn take_events(&mut self, into: &mut Vec<Vec<TraceEvent>>) -> bool {
        self.worker.take_events(into)
    }

    fn lost(&self) -> Option<&Lost> {
        self.worker.lost()
    }

    fn close(&mut self) {
        self.worker.close();
    }
}
