//! Operations as calls of the library crates.

use super::{Program, Tongue, Unsaid, quoted};
use crate::op::{BlockId, Op, Pointer, PoolName};

const TONGUE: Tongue = Tongue::Rust;

/// A call as a statement. Where it may be refused, or its answer counts, nothing ends the program.
pub(super) fn step(program: &Program<'_>, at: usize) -> Result<String, Unsaid> {
    let op = &program.lines[at].op;
    if op.device().is_some_and(|device| !program.has(device)) {
        return Err(program.unsaid(at, TONGUE, "a device that does not exist is refused before the crates are asked"));
    }
    let calls = Calls { program, at };
    match calls.block(op).or_else(|| calls.device(op)).or_else(|| calls.allocator(op)) {
        Some(text) => Ok(text),
        None => Err(program.unsaid(at, TONGUE, why(op))),
    }
}

fn why(op: &Op) -> &'static str {
    match op {
        Op::CaptureBegin { .. } | Op::CaptureEnd { .. } | Op::GraphReset { .. } => {
            "what a device forbids in a capture is told to it by the harness"
        }
        Op::Caller { .. } => "threads are the harness's",
        Op::SetCaching { .. } => "the harness's front switches caching off",
        Op::PoolDelete { .. } => "the pool was not made",
        _ => "texts that a user reads are made by the harness's front",
    }
}

/// Ids as PyTorch numbers them: users' pools (0, n), from 1.
fn user_id(pool: PoolName) -> String {
    format!("(0, {})", u64::from(pool.0) + 1)
}

struct Calls<'p> {
    program: &'p Program<'p>,
    at: usize,
}

impl Calls<'_> {
    fn call(&self, expression: &str) -> String {
        if self.program.answers(self.at) {
            format!("let outcome = told(&{expression});")
        } else if self.program.may_be_refused(self.at) {
            format!("let _ = {expression};")
        } else {
            format!("{expression}.expect(\"it was served\");")
        }
    }

    fn written(&self, block: BlockId, stream: &str) -> String {
        let write =
            format!("a.device_mut(home_{block}).device_mut().write({stream}, {block}.0, {block}.1, {})", block.0);
        if self.program.may_be_refused(self.at) {
            format!("let _ = {write};")
        } else {
            format!("{write}.expect(\"it was written\");")
        }
    }

    /// What names a block.
    fn block(&self, op: &Op) -> Option<String> {
        Some(match op {
            Op::Alloc { block, device, stream, bytes, .. } => {
                let device = device.map_or_else(|| self.program.current(self.at), |d| d.0);
                let told = if self.program.answers(self.at) { "let outcome = told(&r); " } else { "" };
                let served =
                    if self.program.may_be_refused(self.at) { "unwrap_or(0)" } else { "expect(\"it was served\")" };
                let stream = stream.0;
                format!(
                    "let h = a.device({device}).device().stream_handle(StreamId({stream})); \
                     let r = a.device_mut({device}).alloc({bytes}, h); {told}\
                     let ({block}, home_{block}, own_{block}) = ((r.{served}, {bytes}_u64), {device}_usize, StreamId({stream}));"
                )
            }
            Op::Free { block } => self.call(&format!("a.free({block}.0)")),
            Op::FreePointer { pointer } => self.call(&match pointer {
                Pointer::Null => "a.free(0)".to_owned(),
                Pointer::Interior { block, offset } => format!("a.free({block}.0 + {offset})"),
                Pointer::Freed { block } => format!("a.free({block}.0)"),
                Pointer::Wild { address } => format!("a.free({address:#x})"),
            }),
            Op::RecordStream { block, stream } => format!(
                "let h = a.device(home_{block}).device().stream_handle(StreamId({})); a.record_stream({block}.0, h);",
                stream.0
            ),
            Op::Use { block, stream } => self.written(*block, &format!("StreamId({})", stream.0)),
            Op::Fill { block } => self.written(*block, &format!("own_{block}")),
            Op::Verify { block } => format!(
                "let read_{block} = a.device(home_{block}).device().check(own_{block}, {block}.0, {block}.1, {});",
                block.0
            ),
            _ => return None,
        })
    }

    /// What is done to a device.
    fn device(&self, op: &Op) -> Option<String> {
        let device = |device: &crate::op::DeviceId| format!("a.device_mut({}).device_mut()", device.0);
        Some(match op {
            Op::Occupy { device: d, stream } => self.call(&format!("{}.occupy(StreamId({}))", device(d), stream.0)),
            Op::Finish { device: d, stream } => self.call(&format!("{}.finish(StreamId({}))", device(d), stream.0)),
            Op::WaitStream { device: d, stream, on } => {
                let handle = |of: u8| format!("a.device({}).device().stream_handle(StreamId({of}))", d.0);
                let (h, o) = (handle(stream.0), handle(on.0));
                format!(
                    "let (h, o) = ({h}, {o}); {}.hold_for(StreamId({}), StreamId({})).expect(\"it waits\"); a.device_mut({}).note_wait(h, o);",
                    device(d),
                    stream.0,
                    on.0,
                    d.0
                )
            }
            Op::Neighbour { device: d, bytes } => format!("{}.set_neighbour({bytes});", device(d)),
            Op::Synchronize { device: d } => format!("{}.synchronize();", device(d)),
            Op::Fault { device: d, call, skip, error } => {
                let error = error.map_or_else(|| "None".to_owned(), |error| format!("Some(FaultError::{error:?})"));
                format!("{}.fault_with(DeviceCall::{call:?}, {skip}, {error});", device(d))
            }
            _ => return None,
        })
    }

    /// The rest; `None` for what the crates cannot.
    fn allocator(&self, op: &Op) -> Option<String> {
        let place =
            |device: &Option<crate::op::DeviceId>| device.map_or_else(|| self.program.current(self.at), |d| d.0);
        Some(match op {
            Op::EmptyCache => self.call("a.empty_cache()"),
            Op::ResetPeak { device } => format!("a.device_mut({}).reset_peak();", device.0),
            Op::ResetAccumulated { device } => format!("a.device_mut({}).reset_accumulated();", device.0),
            Op::SetFraction { device, fraction } => {
                let number = if fraction.is_nan() { "f64::NAN".to_owned() } else { format!("{fraction:?}_f64") };
                let number = number.replace("inf_f64", "f64::INFINITY");
                self.call(&format!("a.set_fraction({}, {number})", place(device)))
            }
            Op::GetFraction { device } => format!("let _ = a.device({}).fraction();", place(device)),
            Op::SetSettings { settings } => self.call(&format!("a.change_settings({})", quoted(settings))),
            Op::SetCurrent { device } => format!("a.set_current({});", device.0),
            Op::PoolCreate { pool, device, use_on_oom, no_split } => format!(
                "a.device_mut({}).retain_pool({}, PoolFlags {{ use_on_oom: {use_on_oom}, no_split: {no_split} }});",
                device.0,
                user_id(*pool)
            ),
            Op::PoolEnter { pool, device } => {
                self.call(&format!("a.device_mut({}).enter_pool({}, Catch::Caller(0))", device.0, user_id(*pool)))
            }
            Op::PoolExit { pool, device } => {
                let (d, id) = (device.0, user_id(*pool));
                let end = format!("a.device_mut({d}).end_redirection({id})");
                self.call(&format!("{end}.and_then(|()| a.device_mut({d}).release_pool_user({id}))"))
            }
            Op::PoolDelete { pool } => {
                let home = self.program.lines[..self.at].iter().find_map(|line| match line.op {
                    Op::PoolCreate { pool: made, device, .. } if made == *pool => Some(device.0),
                    _ => None,
                });
                self.call(&format!("a.drop_pool({}, {})", home?, user_id(*pool)))
            }
            Op::Snapshot => "let _ = a.snapshot();".to_owned(),
            Op::Dictionary { .. } | Op::Summary { .. } if self.program.answers(self.at) => return None,
            Op::Dictionary { .. } | Op::Summary { .. } | Op::MemoryInfo { .. } | Op::CycleEnd => String::new(),
            _ => return None,
        })
    }
}
