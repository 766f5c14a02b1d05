//! Explicit steps: names of blocks become ids, variables become values, repetitions are written out.

use std::collections::{BTreeMap, BTreeSet};

use serde::de::DeserializeOwned;

use super::pools::Names;
use super::{Binding, Problems, World, expect};
use crate::op::{BlockId, DeviceId, Names as BlockNames, Op, Pointer, Step, StreamId};
use crate::spec::error::{Complaint, nearest};
use crate::spec::locate::Path;
use crate::spec::raw::step::{BlockOnStream, Interior, RawAlloc, Repeat};
use crate::spec::raw::{Either, Extent, Name, OrShare, RawOp, RawPointer, RawStep, Slot, WrittenPointer};
use crate::spec::scenario::{Share, SharePlace, Shared};

/// More steps than a sequence can usefully have.
const MOST_STEPS: usize = 100_000;

/// What became of a block that a name stands for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fate {
    Live,
    Freed,
    /// Its request is expected to be refused.
    Refused,
}

#[derive(Debug, Clone, Copy)]
struct Bound {
    id: BlockId,
    fate: Fate,
    /// The round of a repetition that asked for it.
    round: u32,
    /// The how manieth block of the name it is.
    nth: u32,
}

/// One pass over the steps, for one combination of variables.
pub(super) struct Pass<'a> {
    pub(super) world: &'a World,
    bindings: &'a [Binding<'a>],
    used: &'a mut BTreeSet<String>,
    pub(super) problems: &'a mut Problems,
    blocks: BTreeMap<String, Bound>,
    pub(super) pools: Names,
    pub(super) graphs: Names,
    next_block: u32,
    pub(super) round: u32,
    rounds: u32,
    steps: Vec<Step>,
    names: BlockNames,
    shares: Vec<Shared>,
}

/// Lowers the steps, and says what their blocks are called; what is wrong goes to `problems`, the variables that occur to `used`.
pub(super) fn lower(
    steps: &[RawStep],
    bindings: &[Binding<'_>],
    world: &World,
    used: &mut BTreeSet<String>,
    problems: &mut Problems,
) -> (Vec<Step>, BlockNames, Vec<Shared>) {
    let mut pass = Pass {
        world,
        bindings,
        used,
        problems,
        blocks: BTreeMap::new(),
        pools: Names::of("pool"),
        graphs: Names::of("graph"),
        next_block: 0,
        round: 0,
        rounds: 0,
        steps: Vec::new(),
        names: BlockNames::default(),
        shares: Vec::new(),
    };
    pass.steps(steps, &Path::ROOT.key("steps"));
    (pass.steps, pass.names, pass.shares)
}

impl Pass<'_> {
    fn steps(&mut self, steps: &[RawStep], path: &Path<'_>) {
        for (index, step) in steps.iter().enumerate() {
            self.step(step, &path.index(index));
        }
    }

    fn step(&mut self, step: &RawStep, path: &Path<'_>) {
        let expect = step.expect.as_deref();
        match &*step.operations {
            [] if expect.is_none() => {
                self.problems.add(path, Complaint::new("an empty step: write an operation, `expect`, or both"));
            }
            [(key, RawOp::Repeat(repeat))] => {
                if expect.is_some() {
                    let complaint = Complaint::new("`expect` belongs to one operation, not to a repetition");
                    self.problems
                        .add(&path.key("expect"), complaint.hint("make it a step of its own: `- expect: ...`"));
                }
                self.repeat(repeat, &path.key(key));
            }
            [_, (second, _), ..] => {
                let complaint = Complaint::new(format!("a step is one operation; `{second}` is another"));
                self.problems.add(&path.key(second), complaint.hint(format!("begin a new step: `- {second}: ...`")));
            }
            found => {
                let expects_refusal = expect.is_some_and(|e| e.refused.is_some());
                let op = found.first().map(|(key, op)| self.operation(op, expects_refusal, &path.key(key)));
                let asked = found.first().map(|(key, _)| *key);
                let expect = expect.map(|e| Box::new(expect::lower(self, e, asked, &path.key("expect"))));
                // Where the operation is wrong there is no scenario in the end; what follows is checked all the same.
                self.steps.push(Step { op: op.flatten(), expect });
            }
        }
    }

    fn repeat(&mut self, repeat: &Repeat, path: &Path<'_>) {
        let Some(times) = self.value(&repeat.times, &path.key("times")) else { return };
        if times == 0 || repeat.steps.is_empty() {
            self.problems.add(path, Complaint::new("a repetition of nothing"));
            return;
        }
        let outer = self.round;
        for _ in 0..times {
            self.rounds += 1;
            self.round = self.rounds;
            let before = (self.steps.len(), self.problems.count());
            self.steps(&repeat.steps, &path.key("steps"));
            // Where a round is wrong there is no scenario in the end, and another round is wrong the same way.
            let is_wrong = self.problems.count() > before.1;
            if self.steps.len() > MOST_STEPS || self.steps.len() == before.0 || is_wrong {
                break;
            }
        }
        self.round = outer;
        if self.steps.len() > MOST_STEPS {
            self.problems.add(&path.key("times"), Complaint::new(format!("more than {MOST_STEPS} steps in all")));
        }
    }

    /// The value that was written, or that the variable has here.
    pub(super) fn value<T: DeserializeOwned + Clone>(&mut self, slot: &Slot<T>, path: &Path<'_>) -> Option<T> {
        let name = match slot {
            Slot::Is(value) => return Some(value.clone()),
            Slot::Variable(name) => name,
        };
        let Some(binding) = self.bindings.iter().find(|b| b.name == name) else {
            let known = nearest(name, self.bindings.iter().map(|b| b.name)).map(|h| h.replacen('`', "`$", 1));
            let hint = known.unwrap_or_else(|| format!("define it: `for_each: {{ {name}: [...] }}`"));
            self.problems.add(path, Complaint::new(format!("`${name}` is not defined")).hint(hint));
            return None;
        };
        self.used.insert(name.clone());
        binding
            .value
            .read()
            .map_err(|complaint| {
                let root = Path::ROOT;
                self.problems.add(&root.key("for_each").key(binding.name).index(binding.index), complaint);
            })
            .ok()
    }

    /// A device that the operation names. One that does not exist must be meant to be refused.
    pub(super) fn device(&mut self, slot: &Slot<i32>, expects_refusal: bool, path: &Path<'_>) -> Option<DeviceId> {
        let device = DeviceId(self.value(slot, path)?);
        let most = *self.world.devices.end();
        if device.index(usize::from(most)).is_none() && !expects_refusal {
            let complaint = Complaint::new(format!("{device} does not exist here: `devices` is {most}"));
            let hint = "if that is the point, say so: `expect: { refused: invalid_argument }`";
            self.problems.add(path, complaint.hint(hint));
        }
        Some(device)
    }

    fn some_device(
        &mut self,
        slot: Option<&Slot<i32>>,
        expects_refusal: bool,
        path: &Path<'_>,
    ) -> Option<Option<DeviceId>> {
        match slot {
            None => Some(None),
            Some(slot) => self.device(slot, expects_refusal, &path.key("device")).map(Some),
        }
    }

    fn operation(&mut self, op: &RawOp, expects_refusal: bool, path: &Path<'_>) -> Option<Op> {
        let mut device = |argument: &Either<Slot<i32>, crate::spec::raw::step::ByDevice>| match argument {
            Either::Scalar(slot) => self.device(slot, expects_refusal, path),
            Either::Container(by) => self.device(&by.device, expects_refusal, &path.key("device")),
        };
        Some(match op {
            RawOp::Synchronize(at) => Op::Synchronize { device: device(at)? },
            RawOp::ResetPeak(at) => Op::ResetPeak { device: device(at)? },
            RawOp::ResetAccumulated(at) => Op::ResetAccumulated { device: device(at)? },
            RawOp::SetCurrent(at) => Op::SetCurrent { device: device(at)? },
            RawOp::Dictionary(at) => Op::Dictionary { device: device(at)? },
            RawOp::MemoryInfo(at) => Op::MemoryInfo { device: device(at)? },
            RawOp::Summary(raw) => {
                let device = self.device(&raw.device, expects_refusal, &path.key("device"))?;
                Op::Summary { device, abbreviated: raw.abbreviated }
            }
            RawOp::GetFraction(raw) => {
                Op::GetFraction { device: self.some_device(raw.device.as_ref(), expects_refusal, path)? }
            }
            RawOp::SetFraction(raw) => {
                let device = self.some_device(raw.device.as_ref(), expects_refusal, path);
                let fraction = self.value(&raw.to, &path.key("to"));
                Op::SetFraction { device: device?, fraction: fraction?.0 }
            }
            RawOp::SetSettings(text) => Op::SetSettings { settings: self.value(text, path)? },
            RawOp::SetCaching(enabled) => Op::SetCaching { enabled: self.value(enabled, path)? },
            RawOp::Occupy(_) | RawOp::Finish(_) | RawOp::WaitStream(_) => return self.stream_operation(op, path),
            RawOp::Neighbour(raw) => {
                let device = self.device(&raw.device, expects_refusal, &path.key("device"));
                let bytes = self.extent(&raw.bytes, &path.key("bytes"));
                Op::Neighbour { device: device?, bytes: bytes? }
            }
            RawOp::Caller(Either::Scalar(slot)) => Op::Caller { caller: self.value(slot, path)? },
            RawOp::Caller(Either::Container(raw)) => {
                Op::Caller { caller: self.value(&raw.caller, &path.key("caller"))? }
            }
            RawOp::Fault(raw) => {
                let device = self.device(&raw.device, expects_refusal, &path.key("device"));
                let call = self.value(&raw.call, &path.key("call"));
                let skip = raw.skip.as_ref().map_or(Some(0), |skip| self.value(skip, &path.key("skip")));
                let error = raw.error.as_ref().map_or(Some(None), |e| self.value(e, &path.key("error")).map(Some));
                Op::Fault { device: device?, call: call?, skip: skip?, error: error? }
            }
            RawOp::EmptyCache(_) => Op::EmptyCache,
            RawOp::Snapshot(_) => Op::Snapshot,
            RawOp::CycleEnd(_) => Op::CycleEnd,
            RawOp::Alloc(_) | RawOp::Free(_) | RawOp::FreePointer(_) | RawOp::RecordStream(_) | RawOp::Use(_) => {
                return self.block_operation(op, expects_refusal, path);
            }
            RawOp::Repeat(_) => return None,
            _ => return self.pool_operation(op, expects_refusal, path),
        })
    }

    fn block_operation(&mut self, op: &RawOp, expects_refusal: bool, path: &Path<'_>) -> Option<Op> {
        match op {
            RawOp::Alloc(raw) => self.alloc(raw, expects_refusal, path),
            RawOp::Free(Either::Scalar(name)) => self.free(name, path),
            RawOp::Free(Either::Container(by)) => self.free(&by.block, &path.key("block")),
            RawOp::FreePointer(raw) => self.pointer(raw, path).map(|pointer| Op::FreePointer { pointer }),
            RawOp::RecordStream(raw) => {
                let (block, stream) = self.block_on_stream(raw, path)?;
                Some(Op::RecordStream { block, stream })
            }
            RawOp::Use(raw) => {
                let (block, stream) = self.block_on_stream(raw, path)?;
                Some(Op::Use { block, stream })
            }
            _ => None,
        }
    }

    fn alloc(&mut self, raw: &RawAlloc, expects_refusal: bool, path: &Path<'_>) -> Option<Op> {
        let fate = if expects_refusal { Fate::Refused } else { Fate::Live };
        let block = self.bind(&raw.block, fate, &path.key("block"));
        let device = self.some_device(raw.device.as_ref(), expects_refusal, path);
        let stream = raw.stream.as_ref().map_or(Some(StreamId(0)), |slot| self.stream(slot, &path.key("stream")));
        let bytes = self.extent(&raw.bytes, &path.key("bytes"));
        let via = raw.via.as_ref().map_or(Some(crate::op::Via::Raw), |slot| self.value(slot, &path.key("via")));
        Some(Op::Alloc { block, device: device?, stream: stream?, bytes: bytes?, via: via? })
    }

    /// Bytes; where they are a part of a device, what stands for it until the device is known.
    fn extent(&mut self, slot: &Slot<Extent>, path: &Path<'_>) -> Option<u64> {
        match self.value(slot, path)? {
            OrShare::Share(share) => {
                self.note_share(SharePlace::Bytes, share);
                Some(1)
            }
            OrShare::Is(size) => Some(size.0),
        }
    }

    /// Notes a part of a device in the step under way.
    pub(super) fn note_share(&mut self, place: SharePlace, share: Share) {
        self.shares.push(Shared { step: self.steps.len(), place, share });
    }

    fn free(&mut self, name: &Name, path: &Path<'_>) -> Option<Op> {
        let block = self.live(name, path)?;
        if let Some(bound) = self.blocks.get_mut(&name.0) {
            bound.fate = Fate::Freed;
        }
        Some(Op::Free { block })
    }

    fn block_on_stream(&mut self, raw: &BlockOnStream, path: &Path<'_>) -> Option<(BlockId, StreamId)> {
        let block = self.live(&raw.block, &path.key("block"));
        let stream = self.stream(&raw.stream, &path.key("stream"));
        Some((block?, stream?))
    }

    fn pointer(&mut self, raw: &WrittenPointer, path: &Path<'_>) -> Option<Pointer> {
        let given = match raw {
            Either::Scalar(_) => return Some(Pointer::Null),
            Either::Container(given) => given,
        };
        match given {
            RawPointer { interior: Some(Interior { block, offset }), freed: None, wild: None } => {
                let here = path.key("interior");
                let block = self.live(block, &here.key("block"));
                let offset = self.value(offset, &here.key("offset"))?.0;
                if offset == 0 {
                    self.problems.add(&here.key("offset"), Complaint::new("offset 0 is the block itself"));
                }
                Some(Pointer::Interior { block: block?, offset })
            }
            RawPointer { interior: None, freed: Some(name), wild: None } => {
                let here = path.key("freed");
                let bound = self.known(name, &here)?;
                if bound.fate != Fate::Freed {
                    let complaint = Complaint::new(format!("block `{}` has not been freed before", name.0));
                    self.problems.add(&here, complaint.hint("a double free needs a `free` first"));
                }
                Some(Pointer::Freed { block: bound.id })
            }
            RawPointer { interior: None, freed: None, wild: Some(slot) } => {
                Some(Pointer::Wild { address: self.value(slot, &path.key("wild"))?.0 })
            }
            _ => {
                let complaint = Complaint::new("a pointer is exactly one of `interior`, `freed` and `wild`");
                self.problems.add(path, complaint);
                None
            }
        }
    }

    /// A new block for the name. A name may be used again once its block is gone, or in a later round.
    fn bind(&mut self, name: &Name, fate: Fate, path: &Path<'_>) -> BlockId {
        if name.0.starts_with('$') {
            self.problems.add(path, Complaint::new("a block's name cannot be a variable"));
        }
        let before = self.blocks.get(&name.0).copied();
        if before.is_some_and(|b| b.fate == Fate::Live && b.round == self.round) {
            let complaint = Complaint::new(format!("block `{}` is asked for while it is live", name.0));
            self.problems.add(path, complaint.hint("give it another name, or free the first"));
        }
        let id = BlockId(self.next_block);
        self.next_block += 1;
        let nth = before.map_or(1, |b| b.nth.saturating_add(1));
        self.names.add(id, &name.0, nth);
        self.blocks.insert(name.0.clone(), Bound { id, fate, round: self.round, nth });
        id
    }

    fn known(&mut self, name: &Name, path: &Path<'_>) -> Option<Bound> {
        let found = self.blocks.get(&name.0).copied();
        if found.is_none() {
            let complaint = Complaint::new(format!("block `{}` is used before it is asked for", name.0));
            let known = self.blocks.keys().map(String::as_str);
            let complaint = if self.problems.is_full() { complaint } else { complaint.near(&name.0, known) };
            self.problems.add(path, complaint);
        }
        found
    }

    fn live(&mut self, name: &Name, path: &Path<'_>) -> Option<BlockId> {
        let bound = self.known(name, path)?;
        let why = match bound.fate {
            Fate::Live => return Some(bound.id),
            Fate::Freed => Complaint::new(format!("block `{}` was freed before", name.0))
                .hint(format!("to free twice on purpose: `free_pointer: {{ freed: {} }}`", name.0)),
            Fate::Refused => Complaint::new(format!("block `{}` does not exist: its request is refused", name.0)),
        };
        self.problems.add(path, why);
        None
    }

    /// The block that a name stands or stood for, live or not.
    pub(super) fn block_of(&mut self, name: &Name, path: &Path<'_>) -> Option<BlockId> {
        self.known(name, path).map(|bound| bound.id)
    }
}
