//! What a program checks, derived from the violation.
//!
//! Decides which violations a program can show by its own means: by answers, addresses, figures and texts that it sees itself. What
//! only a judge with a model of its own can tell is refused.

use super::steps::Line;
use super::{Source, Unsaid};
use crate::op::stats::Key;
use crate::op::step::{AddressExpect, Amount};
use crate::op::{BlockId, Expect, Op, OracleName, RefusalClass, size};
use crate::verdict::Violation;

/// One thing that must hold at the end.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Check {
    /// The call is served.
    Served,
    /// It is refused in one of these ways.
    Refused(Vec<RefusalClass>),
    /// It is served, or refused in one of these ways.
    ServedOr(Vec<RefusalClass>),
    /// What must be said of the address of the block handed out last.
    Address(BlockId, AddressExpect),
    /// A figure.
    Figure { device: i32, key: Key, amount: Amount },
    /// How far the call moves a figure.
    Moved { device: i32, key: Key, amount: Amount },
    /// What the fraction of a device reads back as.
    Fraction { device: i32, value: f64 },
    /// The refusal's text has this.
    Contains(String),
    /// And has not this.
    Lacks(String),
    /// Two blocks have no byte in common.
    Apart { block: BlockId, other: BlockId },
    /// A block shares nothing with one that was freed, while that one's streams are still at work.
    NotUnderWork { block: BlockId, former: BlockId, device: i32, streams: Vec<u8> },
    /// An address is a multiple.
    Aligned { block: BlockId, to: u64 },
    /// A block holds what was written to it last.
    Intact(BlockId),
    /// The process lives on.
    Survives,
}

impl Check {
    /// Whether it is about how the last call is answered.
    pub fn is_of_the_answer(&self) -> bool {
        matches!(
            self,
            Check::Served
                | Check::ServedOr(_)
                | Check::Refused(_)
                | Check::Contains(_)
                | Check::Lacks(_)
                | Check::Address(..)
        )
    }

    pub fn expected(&self) -> String {
        let figure = |device: &i32, key: &Key| format!("{key} of device {device}");
        match self {
            Check::Served => "the call is served".to_owned(),
            Check::Refused(classes) => format!("the call is refused as {}", listed(classes)),
            Check::ServedOr(classes) => format!("the call is served, or refused as {}", listed(classes)),
            Check::Address(block, AddressExpect::Null) => format!("{block} is the null address"),
            Check::Address(block, AddressExpect::NotNull) => format!("{block} is not the null address"),
            Check::Address(block, AddressExpect::SameAs(other)) => format!("{block} lies where {other} lay"),
            Check::Address(block, AddressExpect::DifferentFrom(other)) => {
                format!("{block} does not lie where {other} lay")
            }
            Check::Figure { device, key, amount } => format!("{} is {}", figure(device, key), amount.to_line()),
            Check::Moved { device, key, amount } => format!("{} moves by {}", figure(device, key), amount.to_line()),
            Check::Fraction { device, value } => format!("the fraction of device {device} is {value}"),
            Check::Contains(text) => format!("the text has: {text}"),
            Check::Lacks(text) => format!("the text has not: {text}"),
            Check::Apart { block, other } => format!("{block} and {other}, both live, have no byte in common"),
            Check::NotUnderWork { block, former, .. } => {
                format!("{block} shares nothing with {former}, which was freed and which a stream still uses")
            }
            Check::Aligned { block, to } => format!("{block} lies at a multiple of {to}"),
            Check::Intact(block) => format!("{block} holds what was written to it"),
            Check::Survives => "the process lives on".to_owned(),
        }
    }
}

fn listed(classes: &[RefusalClass]) -> String {
    classes.iter().map(|class| class.name()).collect::<Vec<_>>().join(" or ")
}

fn refuse<T>(violation: &Violation, why: impl Into<String>) -> Result<T, Unsaid> {
    Err(Unsaid::Violation { oracle: violation.oracle, why: why.into() })
}

/// The line whose answer counts, and what is checked at the end.
pub(super) fn derive(source: &Source<'_>, lines: &[Line]) -> Result<(usize, Vec<Check>), Unsaid> {
    let violation = source.violation;
    let Some(last) = lines.len().checked_sub(1) else { return refuse(violation, "nothing was asked") };
    let one = |check: Check| Ok((last, vec![check]));
    match violation.oracle {
        OracleName::Expectation => expectation(source, lines, last),
        OracleName::Overlap => match pair(source, lines, last, "live ") {
            Some((block, other)) => one(Check::Apart { block, other }),
            None => refuse(violation, "it is not about two live blocks"),
        },
        OracleName::StreamOrder => match former(violation, lines, last) {
            Some(check) => one(check),
            None => refuse(violation, "the block that was freed, or where it lay, is not in the sequence"),
        },
        OracleName::Alignment => match (lines[last].op.block(), number_after(&violation.message.en, "the promised ")) {
            (Some(block), Some(to)) if to > 0 => one(Check::Aligned { block, to: to.unsigned_abs() }),
            _ => refuse(violation, "the alignment that is promised is not told"),
        },
        OracleName::Contents => match lines[last].op {
            Op::Verify { block } if violation.message.en.contains("no longer holds") => one(Check::Intact(block)),
            _ => refuse(violation, "it is not about a block that was read"),
        },
        OracleName::Exhaustion | OracleName::Limit if violation.message.en.contains("refused") => {
            let twice = violation.message.en.contains("the identical request right after");
            let at = if twice { last.checked_sub(1).filter(|&at| same_request(lines, at, last)) } else { Some(last) };
            match at.filter(|&at| matches!(lines[at].op, Op::Alloc { .. })) {
                Some(at) => Ok((at, vec![Check::Served])),
                None => refuse(violation, "the request is not the last call"),
            }
        }
        OracleName::Refusal if answer(violation).is_some() => match answer(violation) {
            Some((true, classes)) if classes.is_empty() => one(Check::Served),
            Some((true, classes)) => one(Check::ServedOr(classes)),
            Some((false, classes)) if !classes.is_empty() => one(Check::Refused(classes)),
            _ => figure(source, last),
        },
        OracleName::Crash | OracleName::Panic => one(Check::Survives),
        OracleName::Hang => refuse(violation, "how long a call may take is for who waits to say"),
        oracle if OracleName::RELATIONS.contains(&oracle) => refuse(violation, "two runs are held against each other"),
        _ => figure(source, last),
    }
}

/// Whether a judge of refusals would have the call served, and in which ways it may be refused; `None` if it is about something else.
fn answer(violation: &Violation) -> Option<(bool, Vec<RefusalClass>)> {
    let expected = &violation.figure.as_ref()?.expected.en;
    let served = expected.starts_with("served");
    (served || expected.starts_with("refused")).then(|| (served, classes(expected)))
}

fn same_request(lines: &[Line], first: usize, second: usize) -> bool {
    let bytes = |at: usize| if let Op::Alloc { bytes, .. } = lines[at].op { Some(bytes) } else { None };
    bytes(first).is_some() && bytes(first) == bytes(second)
}

fn classes(text: &str) -> Vec<RefusalClass> {
    use RefusalClass::{DeviceError, InvalidArgument, InvalidPointer, OutOfMemory, Unsupported};
    let all = [InvalidArgument, InvalidPointer, OutOfMemory, DeviceError, Unsupported];
    all.into_iter().filter(|class| text.contains(class.name())).collect()
}

/// What the author of the scenario expects after the step; of several steps that only expect, the first.
fn expectation(source: &Source<'_>, lines: &[Line], last: usize) -> Result<(usize, Vec<Check>), Unsaid> {
    let violation = source.violation;
    let steps = &source.reproducer.steps;
    let own = lines.iter().rposition(|line| !line.added).unwrap_or(last);
    let alone = violation.evidence.iter().any(|e| e.label.en == "step" && e.value == "-");
    let at = if alone { lines[own].step + 1 } else { lines[own].step };
    let Some(expect) = steps.get(at).and_then(|step| step.expect.as_deref()) else {
        return refuse(violation, "the step that expects it is not found");
    };
    if let Some(AddressExpect::SameAs(other) | AddressExpect::DifferentFrom(other)) = expect.address
        && !lines.iter().any(|line| matches!(line.op, Op::Alloc { block, .. } if block == other))
    {
        return refuse(violation, format!("{other} was never asked for"));
    }
    checks(violation, expect, &lines[own]).map(|checks| (own, checks))
}

fn checks(violation: &Violation, expect: &Expect, line: &Line) -> Result<Vec<Check>, Unsaid> {
    let beyond = [
        (expect.unchanged, "that nothing at all changes"),
        (expect.keys.is_some(), "how many entries a dictionary has"),
        (!expect.segments.is_empty() || !expect.private_bytes.is_empty(), "segments of a snapshot"),
        (expect.lines.is_some(), "lines of a table"),
    ];
    if let Some((_, what)) = beyond.iter().find(|(is, _)| *is) {
        return refuse(violation, format!("the step expects {what}"));
    }
    let mut all = Vec::new();
    if let Some(class) = expect.refused {
        all.push(Check::Refused(vec![class]));
    } else if expect.succeeds {
        all.push(Check::Served);
    }
    if let (Some(wanted), Some(block)) = (expect.address, line.op.block()) {
        all.push(Check::Address(block, wanted));
    }
    for (moved, figures) in [(false, &expect.stats), (true, &expect.change)] {
        for (device, figures) in figures {
            for (name, &amount) in figures {
                let Some(key) = Key::parse(name) else {
                    return refuse(violation, format!("`{name}` is a figure of the device, and not the allocator's"));
                };
                let device = device.0;
                all.push(if moved {
                    Check::Moved { device, key, amount }
                } else {
                    Check::Figure { device, key, amount }
                });
            }
        }
    }
    all.extend(expect.fraction.iter().map(|(device, &value)| Check::Fraction { device: device.0, value }));
    all.extend(expect.contains.iter().cloned().map(Check::Contains));
    all.extend(expect.lacks.iter().cloned().map(Check::Lacks));
    if all.is_empty() { refuse(violation, "the step expects nothing that a program can see") } else { Ok(all) }
}

/// The block handed out last and the one that is named after a word.
fn pair(source: &Source<'_>, lines: &[Line], last: usize, after: &str) -> Option<(BlockId, BlockId)> {
    let block = lines[last].op.block()?;
    let names = &source.reproducer.names;
    let told = source.violation.message.en.split(after).nth(1)?.split([' ', ',']).next()?.to_owned();
    let all = lines.iter().filter_map(|line| line.op.block());
    let other =
        all.into_iter().find(|b| *b != block && (b.to_string() == told || names.get(*b) == Some(told.as_str())))?;
    Some((block, other))
}

/// The block handed out last, and the freed one that it lies in: the latest whose bytes are in the range that was freed.
fn former(violation: &Violation, lines: &[Line], last: usize) -> Option<Check> {
    let block = lines[last].op.block()?;
    let range = violation.evidence.iter().find(|e| e.label.en == "range that was freed")?;
    let mut ends = range.value.split("0x").skip(1).map(|part| {
        u64::from_str_radix(part.split(|c: char| !c.is_ascii_hexdigit()).next().unwrap_or_default(), 16).ok()
    });
    let (start, stop) = (ends.next()??, ends.next()??);
    let lies_there = |line: &&Line| {
        let (Op::Alloc { bytes, .. }, Some(address)) = (&line.op, line.address()) else { return false };
        address < stop && address.saturating_add(*bytes) > start
    };
    let former = lines[..last].iter().rev().find(lies_there)?;
    let listed = violation.evidence.iter().find(|e| e.label.en == "unfinished streams")?;
    let streams = listed.value.split(", ").map(|number| number.parse().ok()).collect::<Option<Vec<u8>>>()?;
    Some(Check::NotUnderWork { block, former: former.op.block()?, device: former.op.device()?.0, streams })
}

fn number_after(text: &str, word: &str) -> Option<i64> {
    amount(text.split(word).nth(1)?.trim_end_matches(" B"))
}

/// A figure in words: `3`, `512 B`, `5 MiB (5243392 B)`.
fn amount(text: &str) -> Option<i64> {
    let text = text.trim();
    if let Some((_, inside)) = text.split_once('(') {
        return inside.trim_end_matches(')').trim_end_matches(" B").parse().ok();
    }
    let plain = text.trim_end_matches(" B");
    plain.parse().ok().or_else(|| i64::try_from(size::parse(text).ok()?).ok())
}

fn bounds(text: &str) -> Option<Amount> {
    let (at_least, at_most) = (text.strip_prefix("at least "), text.strip_prefix("at most "));
    match (at_least, at_most) {
        (Some(low), _) => Some(Amount::Between { at_least: Some(amount(low)?), at_most: None }),
        (_, Some(high)) => Some(Amount::Between { at_least: None, at_most: Some(amount(high)?) }),
        _ => amount(text).map(Amount::Exactly),
    }
}

/// A statistic that the message names, with what it should have been, if that is one figure and not what was seen.
fn figure(source: &Source<'_>, last: usize) -> Result<(usize, Vec<Check>), Unsaid> {
    let violation = source.violation;
    let text = &violation.message.en;
    let key = text.split([' ', '`', ',']).find_map(Key::parse);
    let limit = violation.oracle == OracleName::Limit && text.starts_with("reserved memory of device");
    let key = key.or_else(|| limit.then(|| Key::parse("reserved_bytes.all.current")).flatten());
    let device =
        text.split("device ").nth(1).and_then(|rest| rest.split(|c: char| !c.is_ascii_digit()).next()?.parse().ok());
    let wanted = violation.figure.as_ref().and_then(|f| bounds(&f.expected.en));
    let (Some(key), Some(device), Some(wanted)) = (key, device, wanted) else {
        return refuse(violation, "what it should have been is no single figure of the allocator's");
    };
    let moved = [" moved by ", " rose by ", " fell by "].iter().any(|word| text.contains(word));
    let seen = violation.figure.as_ref().and_then(|f| amount(&f.actual.en));
    if seen.is_none_or(|seen| wanted.holds(seen)) {
        return refuse(violation, "the figure alone does not show it");
    }
    let check = if moved {
        Check::Moved { device, key, amount: wanted }
    } else {
        Check::Figure { device, key, amount: wanted }
    };
    Ok((last, vec![check]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_are_read_as_they_are_written() {
        let read = ["3", "-1", "0 B", "512 B", "6 MiB", "5 MiB (5243392 B)", "served", "1, then 2"].map(amount);
        let wanted = [Some(3), Some(-1), Some(0), Some(512), Some(6 << 20), Some(5_243_392), None, None];
        assert_eq!(read, wanted);
        let most = Amount::Between { at_least: None, at_most: Some(2 << 20) };
        assert_eq!((bounds("at most 2 MiB"), bounds("7")), (Some(most), Some(Amount::Exactly(7))));
    }

    #[test]
    fn what_may_be_answered_is_read_off_the_figure() {
        let told = |expected: &str| {
            let violation =
                Violation::new(OracleName::Refusal, None, "m".into()).figure("answer".into(), expected, "x");
            answer(&violation)
        };
        assert_eq!(told("served"), Some((true, vec![])));
        assert_eq!(told("served, or refused as out_of_memory"), Some((true, vec![RefusalClass::OutOfMemory])));
        assert_eq!(told("refused as invalid_argument"), Some((false, vec![RefusalClass::InvalidArgument])));
        assert_eq!(told("0"), None);
    }
}
