//! Operations as calls of c10 and of the stand-in for CUDA.

use super::{Program, Tongue, Unsaid, quoted};
use crate::op::{DeviceCall, DeviceId, FaultError, GraphName, Op, Pointer, PoolName, PoolSource};

const TONGUE: Tongue = Tongue::Cpp;

/// A call as a statement. Where it may be refused, or its answer counts, what it throws is caught.
pub(super) fn step(program: &Program<'_>, at: usize) -> Result<String, Unsaid> {
    let op = &program.lines[at].op;
    if op.stream().is_some() && op.device().is_some_and(|device| !program.has(device)) {
        return Err(program.unsaid(at, TONGUE, "the stand-in has no stream of such a device"));
    }
    let calls = Calls { program, at };
    match calls.block(op).or_else(|| calls.stand_in(op)).or_else(|| calls.allocator(op)).or_else(|| calls.pool(op)) {
        Some(text) => Ok(text),
        None => Err(program.unsaid(at, TONGUE, why(op))),
    }
}

fn why(op: &Op) -> &'static str {
    match op {
        Op::SetFraction { .. } => "such a fraction has no literal",
        Op::Fault { .. } => "the stand-in lets no such call fail",
        Op::PoolCreate { .. } => "a pool with options is made by ATen",
        Op::PoolDelete { .. } => "a pool is taken down by ATen",
        Op::CaptureEnd { .. } | Op::GraphReset { .. } => "the graph was not captured",
        Op::Summary { .. } => "the table is Python's",
        Op::WaitStream { .. } => "the stand-in lets no stream wait for another",
        Op::Neighbour { .. } => "the stand-in has no other process",
        _ => "calls come from one thread",
    }
}

fn user_id(pool: PoolName) -> String {
    format!("Pool{{0, {}}}", u64::from(pool.0) + 1)
}

struct Calls<'p> {
    program: &'p Program<'p>,
    at: usize,
}

impl Calls<'_> {
    fn call(&self, action: &str) -> String {
        if self.program.answers(self.at) {
            format!("const std::string said = told([&] {{ {action} }});")
        } else if self.program.may_be_refused(self.at) {
            format!("told([&] {{ {action} }});")
        } else {
            action.to_owned()
        }
    }

    fn place(&self, device: Option<DeviceId>) -> i32 {
        device.map_or_else(|| self.program.current(self.at), |d| d.0)
    }

    /// What names a block.
    fn block(&self, op: &Op) -> Option<String> {
        Some(match op {
            Op::Alloc { block, device, stream, bytes, .. } => {
                let device = self.place(*device);
                let action = format!("{block} = alloc({device}, s{device}_{}, {bytes}ul);", stream.0);
                format!("Block {block}; {}", self.call(&action))
            }
            Op::Free { block } => self.call(&format!("give({block}.at);")),
            Op::FreePointer { pointer } => self.call(&match pointer {
                Pointer::Null => "give(0);".to_owned(),
                Pointer::Interior { block, offset } => format!("give({block}.at + {offset}ul);"),
                Pointer::Freed { block } => format!("give({block}.at);"),
                Pointer::Wild { address } => format!("give({address:#x}ul);"),
            }),
            Op::RecordStream { block, stream } => {
                let (device, _) = self.program.home(*block);
                self.call(&format!("record(reinterpret_cast<void *>({block}.at), s{device}_{});", stream.0))
            }
            Op::Use { .. } | Op::Fill { .. } | Op::Verify { .. } => {
                "/* nothing is written on the stand-in */".to_owned()
            }
            _ => return None,
        })
    }

    /// What is done to a device.
    fn stand_in(&self, op: &Op) -> Option<String> {
        Some(match op {
            Op::Occupy { device, stream } => format!("standin_busy({0}, s{0}_{1}.stream());", device.0, stream.0),
            Op::Finish { device, stream } => {
                format!("on({0}, [&] {{ return cudaStreamSynchronize(s{0}_{1}.stream()); }});", device.0, stream.0)
            }
            Op::Synchronize { device } => format!("on({}, [] {{ return cudaDeviceSynchronize(); }});", device.0),
            Op::Fault { call, skip, error, .. } if self.program.devices() == 1 => {
                fault(*call, *skip, error.map(FaultError::code))?
            }
            _ => return None,
        })
    }

    /// What is asked of the allocator, pools apart.
    fn allocator(&self, op: &Op) -> Option<String> {
        Some(match op {
            Op::EmptyCache => self.call("a::emptyCache();"),
            Op::ResetPeak { device } => self.call(&format!("a::resetPeakStats({});", device.0)),
            Op::ResetAccumulated { device } => self.call(&format!("a::resetAccumulatedStats({});", device.0)),
            Op::SetFraction { device, fraction } if fraction.is_finite() => {
                self.call(&format!("a::setMemoryFraction({fraction:?}, {});", self.place(*device)))
            }
            Op::GetFraction { device } => self.call(&format!("(void)a::getMemoryFraction({});", self.place(*device))),
            Op::SetSettings { settings } => self.call(&format!("settings({});", quoted(settings))),
            Op::SetCaching { enabled } => self.call(&format!("a::enable({enabled});")),
            Op::SetCurrent { device } => self.call(&format!("c10::cuda::set_device({});", device.0)),
            Op::Snapshot => self.call("(void)a::snapshot();"),
            Op::Dictionary { .. } | Op::MemoryInfo { .. } | Op::CycleEnd => "/* only reads */".to_owned(),
            _ => return None,
        })
    }

    fn pool(&self, op: &Op) -> Option<String> {
        Some(match op {
            Op::PoolCreate { use_on_oom: false, no_split: false, .. } => {
                "/* a pool is made when it is entered */".to_owned()
            }
            Op::PoolEnter { pool, device } => self.call(&format!("enter({}, {});", device.0, user_id(*pool))),
            Op::PoolExit { pool, device } => self.call(&format!("leave({}, {});", device.0, user_id(*pool))),
            Op::CaptureBegin { graph, .. } | Op::CaptureEnd { graph } | Op::GraphReset { graph } => {
                let (device, stream, _) = self.program.captured(*graph)?;
                let id = graph_id(self.program, *graph)?;
                self.call(&match op {
                    Op::CaptureBegin { .. } => format!("capture({device}, {id}, s{device}_{stream});"),
                    Op::CaptureEnd { .. } => format!("capture_ends({device}, {id}, s{device}_{stream});"),
                    _ => format!("a::releasePool({device}, {id});"),
                })
            }
            _ => return None,
        })
    }
}

/// The pool that a capture goes to: its own, from (1, 0) on, a user's, or another graph's.
fn graph_id(program: &Program<'_>, graph: GraphName) -> Option<String> {
    match program.captured(graph)?.2 {
        None => Some(format!("Pool{{{}, 0}}", u64::from(graph.0) + 1)),
        Some(PoolSource::Pool(pool)) => Some(user_id(pool)),
        Some(PoolSource::Graph(other)) if other != graph => graph_id(program, other),
        Some(PoolSource::Graph(_)) => None,
    }
}

/// Device calls that the stand-in lets fail, and with which error if none is given.
fn fault(call: DeviceCall, skip: u32, error: Option<i32>) -> Option<String> {
    let (name, usual) = match call {
        DeviceCall::Reserve => ("cudaMalloc", 2),
        DeviceCall::Release => ("cudaFree", 999),
        DeviceCall::RecordEvent => ("cudaEventRecord", 999),
        DeviceCall::QueryEvent => ("cudaEventQuery", 999),
        DeviceCall::Map => ("cuMemCreate", 2),
        DeviceCall::SetAccess => ("cuMemSetAccess", 999),
        DeviceCall::Unmap => ("cuMemUnmap", 999),
        DeviceCall::ReserveAddresses => ("cuMemAddressReserve", 2),
        DeviceCall::MemoryInfo => return None,
    };
    Some(format!("standin_fail(\"{name}\", {}, {});", u64::from(skip) + 1, error.unwrap_or(usual)))
}
