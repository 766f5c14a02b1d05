//! A program for `torch` on a GPU, by its public interface alone.
//!
//! Decides which functions of `torch.cuda` an operation is. What has none (settings at run time, a failing device call, another process's
//! memory, several threads) is refused.

use super::check::Check;
use super::{Program, Tongue, Unsaid, plain, quoted};
use crate::op::stats::{Column, Key};
use crate::op::step::{AddressExpect, Amount};
use crate::op::{BlockId, DeviceId, Op, Pointer, PoolSource, RefusalClass, Via};

const TONGUE: Tongue = Tongue::Python;

pub(super) fn write(program: &Program<'_>) -> Result<String, Unsaid> {
    let source = program.source;
    if program.checks.contains(&Check::Survives) {
        let (what, why) =
            (Check::Survives.expected(), "an interpreter that ends in a signal tells no verdict of its own");
        return Err(Unsaid::Check { what, language: TONGUE, why });
    }
    let busy = program.any(|op| matches!(op, Op::Occupy { .. }));
    let mut text = String::from("r\"\"\"");
    text += &program.head().iter().map(|line| plain(line)).collect::<Vec<_>>().join("\n");
    text += "\n\"\"\"\nimport os\nimport sys\n\n";
    if let Some(settings) = program.settings() {
        text += &format!("os.environ[\"PYTORCH_CUDA_ALLOC_CONF\"] = {}\n", quoted(&settings));
    }
    text += "import torch\n\n";
    let sizes: Vec<String> = source.reproducer.setup.device_bytes.iter().map(u64::to_string).collect();
    text += &format!("SIZES = [{}]  # what each device plays: memory is refused beyond it\n", sizes.join(", "));
    text += &format!("STREAMS = {}\n", source.reproducer.setup.streams);
    text += HEAD;
    if busy {
        text += BUSY;
    }
    text += "def main():\n    played = play()\n";
    let mut pools = 0;
    for at in 0..program.lines.len() {
        if at == program.judged {
            text += "    before = [torch.cuda.memory_stats(d) for d in range(len(SIZES))]\n";
        }
        let told = step(program, at, &mut pools)?;
        let comment = plain(&program.lines[at].op.to_line());
        text += &format!("    # {comment}\n");
        for line in told.lines() {
            text += &format!("    {line}\n");
        }
    }
    text += "    wrong = False\n";
    for check in &program.checks {
        let (actual, holds, sure) = checked(program, check, busy)?;
        text += &format!("    wrong |= tell({}, {actual}, {holds})\n", quoted(&check.expected()));
        if let Some(sure) = sure {
            text += &format!(
                "    if wrong and not ({sure}):\n        print(\"the stream's work ended too early to tell\")\n        return 2\n"
            );
        }
    }
    text += "    return int(wrong)\n\n\n";
    text += TAIL;
    Ok(text)
}

const HEAD: &str = r#"if torch.cuda.device_count() < len(SIZES):
    print("needs", len(SIZES), "GPUs, and", torch.cuda.device_count(), "are here")
    sys.exit(2)
STREAM = [[torch.cuda.default_stream(d)] + [torch.cuda.Stream(d) for _ in range(1, STREAMS)] for d in range(len(SIZES))]
HELD = [0] * len(SIZES)  # bytes that this program itself keeps on a device


def fraction(device, wanted):
    """Of the device that is played, not of the real one."""
    total = torch.cuda.get_device_properties(device).total_memory
    return (wanted * SIZES[device] + HELD[device]) / total if 0 <= wanted <= 1 else wanted


def play():
    for device in range(len(SIZES)):
        torch.cuda.set_per_process_memory_fraction(min(1.0, fraction(device, 1.0)), device)
    return True


def attempt(action):
    """What it gives, and "served", or how it is refused."""
    try:
        return action(), "served"
    except torch.OutOfMemoryError as error:
        return None, "out_of_memory: " + str(error)
    except (RuntimeError, ValueError, TypeError, OverflowError, AssertionError) as error:
        return None, "error: " + str(error)


def tensor(device, stream, size):
    with torch.cuda.device(device), torch.cuda.stream(STREAM[device][stream]):
        return torch.empty(size, dtype=torch.uint8, device="cuda")


def raw(device, stream, size):
    return torch.cuda.caching_allocator_alloc(size, device, STREAM[device][stream])


def at(block):
    return block.data_ptr() if isinstance(block, torch.Tensor) else block or 0


def fill(block, stream, value):
    with torch.cuda.stream(stream):
        block.fill_(value)


def overlap(one, other):
    return one[0] < other[0] + other[1] and other[0] < one[0] + one[1]


def tell(expected, actual, holds):
    print("expected:", expected)
    print("actual:  ", actual, "" if holds else "  <- wrong")
    return not holds


"#;

const BUSY: &str = r#"# A stream is kept busy by work on memory of this program's own, a part of a second long.
WORK = [torch.zeros(1 << 28, device=f"cuda:{d}") for d in range(len(SIZES))]
torch.cuda.synchronize()
HELD = [torch.cuda.memory_reserved(d) for d in range(len(SIZES))]
BASE = [torch.cuda.memory_stats(d) for d in range(len(SIZES))]


def busy(device, stream):
    with torch.cuda.stream(STREAM[device][stream]):
        for _ in range(900):
            WORK[device].add_(1)


"#;

const TAIL: &str = r#"print("torch", torch.__version__)
try:
    code = main()
except Exception as error:
    print("the sequence did not run as it did:", type(error).__name__, error)
    code = 2
sys.stdout.flush()
os._exit(code)  # the allocator's own end is not the point
"#;

fn home(program: &Program<'_>, block: BlockId) -> String {
    let made = program.lines.iter().enumerate().find_map(|(at, line)| match line.op {
        Op::Alloc { block: made, device, .. } if made == block => Some((at, device)),
        _ => None,
    });
    match made {
        Some((_, Some(device))) => device.0.to_string(),
        Some((at, None)) => current(program, at).to_string(),
        None => "0".to_owned(),
    }
}

/// The stream that a block was asked for on.
fn own(program: &Program<'_>, block: BlockId) -> u8 {
    let made = program.lines.iter().find_map(|line| match line.op {
        Op::Alloc { block: made, stream, .. } if made == block => Some(stream.0),
        _ => None,
    });
    made.unwrap_or(0)
}

fn current(program: &Program<'_>, at: usize) -> i32 {
    let set = program.lines[..at].iter().rev().find_map(|line| match line.op {
        Op::SetCurrent { device } if !line.answered.starts_with("refused") => Some(device.0),
        _ => None,
    });
    set.unwrap_or(0)
}

/// Streams are recorded on tensors, and tensors are written and read: the public interface has no way for a bare pointer.
fn is_tensor(program: &Program<'_>, block: BlockId) -> bool {
    program.lines.iter().any(|line| match line.op {
        Op::Alloc { block: made, via, .. } => made == block && via == Via::Tensor,
        Op::RecordStream { block: named, .. } | Op::Use { block: named, .. } => named == block,
        // What the harness added matters only where contents are checked.
        Op::Fill { block: named } | Op::Verify { block: named } => named == block && reads(program, line.added),
        _ => false,
    })
}

fn reads(program: &Program<'_>, added: bool) -> bool {
    !added || program.checks.iter().any(|check| matches!(check, Check::Intact(_)))
}

fn condition(amount: Amount, value: &str) -> String {
    match amount {
        Amount::Exactly(wanted) => format!("{value} == {wanted}"),
        Amount::Between { at_least, at_most } => {
            let low = at_least.map(|low| format!("{value} >= {low}"));
            let high = at_most.map(|high| format!("{value} <= {high}"));
            let all: Vec<String> = low.into_iter().chain(high).collect();
            if all.is_empty() { "True".to_owned() } else { all.join(" and ") }
        }
    }
}

type Told = (String, String, Option<String>);

/// What there is, whether it is right, and what must hold for a wrong answer to count.
fn checked(program: &Program<'_>, check: &Check, busy: bool) -> Result<Told, Unsaid> {
    let unseen = |why| Err(Unsaid::Check { what: check.expected(), language: TONGUE, why });
    let stat = |key: &Key, device: i32| format!("torch.cuda.memory_stats({device})[\"{key}\"]");
    let range = |block: &BlockId| format!("(at_{block}, size_{block})");
    let (actual, holds) = match check {
        Check::Served => ("said".to_owned(), "said == \"served\"".to_owned()),
        Check::Refused(classes) => {
            let is = |class: &RefusalClass| match class {
                RefusalClass::OutOfMemory => "said.startswith(\"out_of_memory\")".to_owned(),
                _ => "said.startswith(\"error\") and \"INTERNAL ASSERT\" not in said".to_owned(),
            };
            ("said".to_owned(), classes.iter().map(is).collect::<Vec<_>>().join(" or "))
        }
        Check::Contains(text) => ("said".to_owned(), format!("{} in said", quoted(text))),
        Check::Lacks(text) => ("said".to_owned(), format!("{} not in said", quoted(text))),
        Check::Address(block, wanted) => {
            let holds = match wanted {
                AddressExpect::Null => format!("at_{block} == 0"),
                AddressExpect::NotNull => format!("at_{block} != 0"),
                AddressExpect::SameAs(other) => format!("at_{block} == at_{other}"),
                AddressExpect::DifferentFrom(other) => format!("at_{block} != at_{other}"),
            };
            (format!("hex(at_{block})"), holds)
        }
        Check::Figure { device, key, amount } => {
            let peak = matches!(key, Key::Family(_, _, Column::Peak) | Key::Oversize(_, Column::Peak));
            if busy && peak {
                return unseen("the work that keeps a stream busy counts in peaks, too");
            }
            let base = if busy { format!(" - BASE[{device}][\"{key}\"]") } else { String::new() };
            let value = format!("({}{base})", stat(key, *device));
            (value.clone(), condition(*amount, &value))
        }
        Check::Moved { device, key, amount } => {
            let value = format!("({} - before[{device}][\"{key}\"])", stat(key, *device));
            (value.clone(), condition(*amount, &value))
        }
        Check::Fraction { .. } => {
            return unseen("a fraction is one of the real device, and the device that is played is smaller");
        }
        Check::Apart { block, other } => (
            format!("({}, {})", range(block), range(other)),
            format!("not overlap({}, {})", range(block), range(other)),
        ),
        Check::NotUnderWork { block, former, device, streams } => {
            let works: Vec<String> =
                streams.iter().map(|stream| format!("not STREAM[{device}][{stream}].query()")).collect();
            let told = (
                format!("({}, {})", range(block), range(former)),
                format!("not overlap({}, {})", range(block), range(former)),
            );
            return Ok((told.0, told.1, Some(works.join(" or "))));
        }
        Check::Aligned { block, to } => (format!("hex(at_{block})"), format!("at_{block} % {to} == 0")),
        Check::Intact(block) => {
            let value = format!("int(({block} != {}).sum())", block.0 % 250 + 1);
            (format!("str({value}) + \" bytes differ\""), format!("{value} == 0"))
        }
        Check::Survives => return unseen("an interpreter that ends in a signal tells no verdict of its own"),
    };
    let _ = program;
    Ok((actual, holds, None))
}

fn step(program: &Program<'_>, at: usize, pools: &mut u32) -> Result<String, Unsaid> {
    let line = &program.lines[at];
    let refuse = |why| Err(program.unsaid(at, TONGUE, why));
    let answers = at == program.judged && program.checks.iter().any(Check::is_of_the_answer);
    let call = |to: &str, expression: String| {
        if answers {
            format!("{to}, said = attempt(lambda: {expression})")
        } else if program.may_be_refused(at) {
            format!("{to}, _ = attempt(lambda: {expression})")
        } else {
            format!("{to} = {expression}")
        }
    };
    let count = i32::try_from(program.devices()).unwrap_or(i32::MAX);
    let there = |device: &DeviceId| (0..count).contains(&device.0);
    if line.op.stream().is_some() && line.op.device().is_some_and(|device| !there(&device)) {
        return refuse("there is no stream of such a device");
    }
    let place = |device: &Option<DeviceId>| device.map_or_else(|| current(program, at), |d| d.0);
    Ok(match &line.op {
        Op::Alloc { block, device, stream, bytes, .. } => {
            let how = if is_tensor(program, *block) { "tensor" } else { "raw" };
            let made = call(&block.to_string(), format!("{how}({}, {}, {bytes})", place(device), stream.0));
            format!("{made}\nat_{block}, size_{block} = at({block}), {bytes}")
        }
        Op::Free { block } if is_tensor(program, *block) => {
            if answers {
                format!("{block}, said = None, \"served\"")
            } else {
                format!("{block} = None")
            }
        }
        Op::Free { block } => call("_", format!("torch.cuda.caching_allocator_delete({block})")),
        Op::FreePointer { pointer } => {
            let pointer = match pointer {
                Pointer::Null => "0".to_owned(),
                Pointer::Interior { block, offset } => format!("at_{block} + {offset}"),
                Pointer::Freed { block } => format!("at_{block}"),
                Pointer::Wild { address } => format!("{address:#x}"),
            };
            call("_", format!("torch.cuda.caching_allocator_delete({pointer})"))
        }
        Op::RecordStream { block, stream } => {
            call("_", format!("{block}.record_stream(STREAM[{}][{}])", home(program, *block), stream.0))
        }
        Op::Use { block, stream } => {
            call("_", format!("fill({block}, STREAM[{}][{}], {})", home(program, *block), stream.0, block.0 % 250 + 1))
        }
        Op::Fill { .. } | Op::Verify { .. } if !reads(program, line.added) => "pass".to_owned(),
        Op::Fill { block } => {
            let (device, stream) = (home(program, *block), own(program, *block));
            call("_", format!("fill({block}, STREAM[{device}][{stream}], {})", block.0 % 250 + 1))
        }
        Op::Verify { .. } => "pass".to_owned(),
        Op::Occupy { device, stream } => format!("busy({}, {})", device.0, stream.0),
        Op::Finish { device, stream } => format!("STREAM[{}][{}].synchronize()", device.0, stream.0),
        Op::WaitStream { device, stream, on } => {
            format!("STREAM[{0}][{1}].wait_stream(STREAM[{0}][{2}])", device.0, stream.0, on.0)
        }
        Op::Synchronize { device } => call("_", format!("torch.cuda.synchronize({})", device.0)),
        Op::EmptyCache => call("_", "torch.cuda.empty_cache()".to_owned()),
        Op::ResetPeak { device } => call("_", format!("torch.cuda.reset_peak_memory_stats({})", device.0)),
        Op::ResetAccumulated { device } => {
            call("_", format!("torch.cuda.reset_accumulated_memory_stats({})", device.0))
        }
        Op::SetFraction { device, fraction } => {
            let device = place(device);
            let number = if fraction.is_finite() { format!("{fraction:?}") } else { format!("float(\"{fraction}\")") };
            let number = if (0..count).contains(&device) { format!("fraction({device}, {number})") } else { number };
            call("_", format!("torch.cuda.set_per_process_memory_fraction({number}, {device})"))
        }
        Op::GetFraction { device } => {
            call("_", format!("torch.cuda.get_per_process_memory_fraction({})", place(device)))
        }
        Op::SetCaching { enabled } => {
            call("_", format!("torch.cuda.caching_allocator_enable({})", if *enabled { "True" } else { "False" }))
        }
        Op::SetCurrent { device } => call("_", format!("torch.cuda.set_device({})", device.0)),
        Op::Dictionary { device } => call("_", format!("torch.cuda.memory_stats({})", device.0)),
        Op::Summary { device, abbreviated } => {
            let abbreviated = if *abbreviated { "True" } else { "False" };
            call("_", format!("torch.cuda.memory_summary({}, abbreviated={abbreviated})", device.0))
        }
        Op::Snapshot => call("_", "torch.cuda.memory_snapshot()".to_owned()),
        Op::MemoryInfo { device } => call("_", format!("torch.cuda.mem_get_info({})", device.0)),
        Op::CycleEnd => "pass".to_owned(),
        Op::PoolCreate { pool, device, use_on_oom, no_split } => {
            let flags = [(*use_on_oom, "use_on_oom=True"), (*no_split, "no_split=True")];
            let flags: Vec<&str> = flags.iter().filter(|(set, _)| *set).map(|(_, flag)| *flag).collect();
            format!("with torch.cuda.device({}):\n    {pool} = torch.cuda.MemPool({})", device.0, flags.join(", "))
        }
        Op::PoolEnter { pool, device } => {
            *pools += 1;
            let inside = call("_", format!("inside_{pool}_{}.__enter__()", device.0));
            format!("inside_{pool}_{0} = torch.cuda.use_mem_pool({pool}, device={0})\n{inside}", device.0)
        }
        Op::PoolExit { pool, device } => call("_", format!("inside_{pool}_{}.__exit__(None, None, None)", device.0)),
        Op::PoolDelete { pool } => format!("{pool} = None"),
        Op::CaptureBegin { graph, device, stream, pool } => {
            let into = match pool {
                None => String::new(),
                Some(PoolSource::Pool(pool)) => format!("pool={pool}.id"),
                Some(PoolSource::Graph(other)) => format!("pool={other}.pool()"),
            };
            let begin = call("_", format!("{graph}.capture_begin({into})"));
            format!(
                "{graph} = torch.cuda.CUDAGraph()\ntorch.cuda.set_stream(STREAM[{}][{}])\n{begin}",
                device.0, stream.0
            )
        }
        Op::CaptureEnd { graph } => {
            let device = program.lines.iter().find_map(|line| match line.op {
                Op::CaptureBegin { graph: begun, device, .. } if begun == *graph => Some(device.0),
                _ => None,
            });
            let back = format!("torch.cuda.set_stream(STREAM[{}][0])", device.unwrap_or(0));
            format!("{}\n{back}", call("_", format!("{graph}.capture_end()")))
        }
        Op::GraphReset { graph } => call("_", format!("{graph}.reset()")),
        Op::SetSettings { .. } => return refuse("torch has no public function to change settings at run time"),
        Op::Fault { .. } => return refuse("no device call fails on request on a real device"),
        Op::Neighbour { .. } => return refuse("it takes another process"),
        Op::Caller { .. } => return refuse("calls come from one thread"),
    })
}
