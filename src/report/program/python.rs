//! A program for `torch` on a GPU, by its public interface alone.
//!
//! Decides which functions of `torch.cuda` an operation is. What has none (settings at run time, a failing device call, another process's
//! memory, several threads) is refused.

use super::check::Check;
use super::python_calls::step;
use super::{Program, Tongue, Unsaid, plain, quoted};
use crate::op::stats::{Column, Key};
use crate::op::step::{AddressExpect, Amount};
use crate::op::{BlockId, Op, RefusalClass};

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
    for at in 0..program.lines.len() {
        if at == program.judged {
            text += "    before = [torch.cuda.memory_stats(d) for d in range(len(SIZES))]\n";
        }
        let told = step(program, at)?;
        let comment = plain(&program.lines[at].op.to_line());
        text += &format!("    # {comment}\n");
        for line in told.lines() {
            text += &format!("    {line}\n");
        }
    }
    text += "    wrong = False\n";
    for check in &program.checks {
        let (actual, holds, sure) = checked(check, busy)?;
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
    except (RuntimeError, ValueError, TypeError, OverflowError, AssertionError, SystemError) as error:
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

fn refusals(classes: &[RefusalClass]) -> String {
    let is = |class: &RefusalClass| match class {
        RefusalClass::OutOfMemory => "said.startswith(\"out_of_memory\")",
        _ => "(said.startswith(\"error\") and \"INTERNAL ASSERT\" not in said)",
    };
    classes.iter().map(is).collect::<Vec<_>>().join(" or ")
}

type Told = (String, String, Option<String>);

/// What there is, whether it is right, and what must hold for a wrong answer to count.
fn checked(check: &Check, busy: bool) -> Result<Told, Unsaid> {
    let unseen = |why| Err(Unsaid::Check { what: check.expected(), language: TONGUE, why });
    let stat = |key: &Key, device: i32| format!("torch.cuda.memory_stats({device})[\"{key}\"]");
    let range = |block: &BlockId| format!("(at_{block}, size_{block})");
    let (actual, holds) = match check {
        Check::Served => ("said".to_owned(), "said == \"served\"".to_owned()),
        Check::Refused(classes) => ("said".to_owned(), refusals(classes)),
        Check::ServedOr(classes) => ("said".to_owned(), format!("said == \"served\" or {}", refusals(classes))),
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
    Ok((actual, holds, None))
}
