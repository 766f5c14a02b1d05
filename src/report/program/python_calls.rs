//! Operations as calls of `torch.cuda`.

use super::check::Check;
use super::{Program, Tongue, Unsaid};
use crate::op::{BlockId, DeviceId, Op, Pointer, PoolSource, Via};

const TONGUE: Tongue = Tongue::Python;

/// A call as statements, a line each. Where it may be refused, or its answer counts, what it raises is caught.
pub(super) fn step(program: &Program<'_>, at: usize) -> Result<String, Unsaid> {
    let op = &program.lines[at].op;
    if op.stream().is_some() && op.device().is_some_and(|device| !program.has(device)) {
        return Err(program.unsaid(at, TONGUE, "there is no stream of such a device"));
    }
    let calls = Calls { program, at };
    match calls.block(op).or_else(|| calls.device(op)).or_else(|| calls.allocator(op)).or_else(|| calls.pool(op)) {
        Some(text) => Ok(text),
        None => Err(program.unsaid(at, TONGUE, why(op))),
    }
}

fn why(op: &Op) -> &'static str {
    match op {
        Op::SetSettings { .. } => "torch has no public function to change settings at run time",
        Op::Fault { .. } => "no device call fails on request on a real device",
        Op::Neighbour { .. } => "it takes another process",
        _ => "calls come from one thread",
    }
}

/// Streams are recorded on tensors, and tensors are written and read: the public interface has no way for a bare pointer.
fn is_tensor(program: &Program<'_>, block: BlockId) -> bool {
    program.lines.iter().any(|line| match line.op {
        Op::Alloc { block: made, via, .. } => made == block && via == Via::Tensor,
        Op::RecordStream { block: named, .. } | Op::Use { block: named, .. } => named == block,
        Op::Fill { block: named } | Op::Verify { block: named } => named == block && reads(program, line.added),
        _ => false,
    })
}

/// What the harness wrote and read of its own accord matters only where contents are checked.
fn reads(program: &Program<'_>, added: bool) -> bool {
    !added || program.checks.iter().any(|check| matches!(check, Check::Intact(_)))
}

fn boolean(value: bool) -> &'static str {
    if value { "True" } else { "False" }
}

struct Calls<'p> {
    program: &'p Program<'p>,
    at: usize,
}

impl Calls<'_> {
    fn call(&self, to: &str, expression: &str) -> String {
        if self.program.answers(self.at) {
            format!("{to}, said = attempt(lambda: {expression})")
        } else if self.program.may_be_refused(self.at) {
            format!("{to}, _ = attempt(lambda: {expression})")
        } else {
            format!("{to} = {expression}")
        }
    }

    fn cuda(&self, expression: &str) -> String {
        self.call("_", &format!("torch.cuda.{expression}"))
    }

    fn place(&self, device: Option<DeviceId>) -> i32 {
        device.map_or_else(|| self.program.current(self.at), |d| d.0)
    }

    fn filled(&self, block: BlockId, stream: u8) -> String {
        let (device, pattern) = (self.program.home(block).0, block.0 % 250 + 1);
        self.call("_", &format!("fill({block}, STREAM[{device}][{stream}], {pattern})"))
    }

    /// What names a block.
    fn block(&self, op: &Op) -> Option<String> {
        let program = self.program;
        Some(match op {
            Op::Alloc { block, device, stream, bytes, .. } => {
                let how = if is_tensor(program, *block) { "tensor" } else { "raw" };
                let asked = format!("{how}({}, {}, {bytes})", self.place(*device), stream.0);
                format!("{}\nat_{block}, size_{block} = at({block}), {bytes}", self.call(&block.to_string(), &asked))
            }
            Op::Free { block } if is_tensor(program, *block) && program.answers(self.at) => {
                format!("{block}, said = None, \"served\"")
            }
            Op::Free { block } if is_tensor(program, *block) => format!("{block} = None"),
            Op::Free { block } => self.cuda(&format!("caching_allocator_delete({block})")),
            Op::FreePointer { pointer } => {
                let pointer = match pointer {
                    Pointer::Null => "0".to_owned(),
                    Pointer::Interior { block, offset } => format!("at_{block} + {offset}"),
                    Pointer::Freed { block } => format!("at_{block}"),
                    Pointer::Wild { address } => format!("{address:#x}"),
                };
                self.cuda(&format!("caching_allocator_delete({pointer})"))
            }
            Op::RecordStream { block, stream } => {
                self.call("_", &format!("{block}.record_stream(STREAM[{}][{}])", program.home(*block).0, stream.0))
            }
            Op::Use { block, stream } => self.filled(*block, stream.0),
            Op::Fill { block } if reads(program, program.lines[self.at].added) => {
                self.filled(*block, program.home(*block).1)
            }
            Op::Fill { .. } | Op::Verify { .. } => "pass".to_owned(),
            _ => return None,
        })
    }

    /// What is done to a device.
    fn device(&self, op: &Op) -> Option<String> {
        Some(match op {
            Op::Occupy { device, stream } => format!("busy({}, {})", device.0, stream.0),
            Op::Finish { device, stream } => format!("STREAM[{}][{}].synchronize()", device.0, stream.0),
            Op::WaitStream { device, stream, on } => {
                format!("STREAM[{0}][{1}].wait_stream(STREAM[{0}][{2}])", device.0, stream.0, on.0)
            }
            Op::Synchronize { device } => self.cuda(&format!("synchronize({})", device.0)),
            _ => return None,
        })
    }

    /// What is asked of the allocator, pools apart.
    fn allocator(&self, op: &Op) -> Option<String> {
        Some(match op {
            Op::EmptyCache => self.cuda("empty_cache()"),
            Op::ResetPeak { device } => self.cuda(&format!("reset_peak_memory_stats({})", device.0)),
            Op::ResetAccumulated { device } => self.cuda(&format!("reset_accumulated_memory_stats({})", device.0)),
            Op::SetFraction { device, fraction } => {
                let device = self.place(*device);
                let number =
                    if fraction.is_finite() { format!("{fraction:?}") } else { format!("float(\"{fraction}\")") };
                let is_there = self.program.has(DeviceId(device));
                let number = if is_there { format!("fraction({device}, {number})") } else { number };
                self.cuda(&format!("set_per_process_memory_fraction({number}, {device})"))
            }
            Op::GetFraction { device } => {
                self.cuda(&format!("get_per_process_memory_fraction({})", self.place(*device)))
            }
            Op::SetCaching { enabled } => self.cuda(&format!("caching_allocator_enable({})", boolean(*enabled))),
            Op::SetCurrent { device } => self.cuda(&format!("set_device({})", device.0)),
            Op::Dictionary { device } => self.cuda(&format!("memory_stats({})", device.0)),
            Op::Summary { device, abbreviated } => {
                self.cuda(&format!("memory_summary({}, abbreviated={})", device.0, boolean(*abbreviated)))
            }
            Op::Snapshot => self.cuda("memory_snapshot()"),
            Op::MemoryInfo { device } => self.cuda(&format!("mem_get_info({})", device.0)),
            Op::CycleEnd => "pass".to_owned(),
            _ => return None,
        })
    }

    fn pool(&self, op: &Op) -> Option<String> {
        Some(match op {
            Op::PoolCreate { pool, device, use_on_oom, no_split } => {
                let flags = [(*use_on_oom, "use_on_oom=True"), (*no_split, "no_split=True")];
                let flags: Vec<&str> = flags.iter().filter(|(set, _)| *set).map(|(_, flag)| *flag).collect();
                format!("with torch.cuda.device({}):\n    {pool} = torch.cuda.MemPool({})", device.0, flags.join(", "))
            }
            Op::PoolEnter { pool, device } => {
                let device = device.0;
                let inside = self.call("_", &format!("inside_{pool}_{device}.__enter__()"));
                format!("inside_{pool}_{device} = torch.cuda.use_mem_pool({pool}, device={device})\n{inside}")
            }
            Op::PoolExit { pool, device } => {
                self.call("_", &format!("inside_{pool}_{}.__exit__(None, None, None)", device.0))
            }
            Op::PoolDelete { pool } => format!("{pool} = None"),
            Op::CaptureBegin { graph, device, stream, pool } => {
                let into = match pool {
                    None => String::new(),
                    Some(PoolSource::Pool(pool)) => format!("pool={pool}.id"),
                    Some(PoolSource::Graph(other)) => format!("pool={other}.pool()"),
                };
                let begin = self.call("_", &format!("{graph}.capture_begin({into})"));
                let current = format!("torch.cuda.set_stream(STREAM[{}][{}])", device.0, stream.0);
                format!("{graph} = torch.cuda.CUDAGraph()\n{current}\n{begin}")
            }
            Op::CaptureEnd { graph } => {
                let device = self.program.captured(*graph)?.0;
                let end = self.call("_", &format!("{graph}.capture_end()"));
                format!("{end}\ntorch.cuda.set_stream(STREAM[{device}][0])")
            }
            Op::GraphReset { graph } => self.call("_", &format!("{graph}.reset()")),
            _ => return None,
        })
    }
}
