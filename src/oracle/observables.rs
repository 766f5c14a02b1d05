//! Which oracles judge what a target shows, whatever its policy.
//!
//! Decides nothing of a step. A judge is named where a promise speaks of the observable and a wrong value can convict;
//! scenarios that expect figures of their own (`expectation`) and relations between runs are not counted.

use crate::op::OracleName;
use crate::op::observable::{DeviceFigure, Observable, ReplyField, SegmentField};
use crate::op::stats::{Column, Counter, Key};

/// The judges of an observable, in the order of their names.
#[must_use]
pub fn judges(observable: Observable) -> Vec<OracleName> {
    use OracleName::{
        Alignment, Contents, Exhaustion, Growth, Isolation, Leak, Limit, Overlap, Refusal, Summary, Telemetry,
    };
    match observable {
        Observable::Statistic(key) => statistic(key),
        Observable::Device(DeviceFigure::FreeBytes) => vec![Isolation, Leak, Exhaustion, Refusal, Telemetry],
        Observable::Device(DeviceFigure::TotalBytes) => vec![Isolation, Refusal, Telemetry],
        Observable::Device(DeviceFigure::Fraction) => vec![Isolation, Limit, Refusal],
        Observable::Device(DeviceFigure::Idle) => Vec::new(),
        Observable::Dictionary(_) | Observable::Table(_) => vec![Summary],
        Observable::Segment(SegmentField::Stream | SegmentField::Pool) => Vec::new(),
        Observable::Segment(_) | Observable::Block(_) => vec![Summary],
        Observable::Refusal(_) => Vec::new(),
        Observable::Reply(field) => match field {
            ReplyField::Address => vec![Overlap, Alignment, Contents],
            ReplyField::FreeBytes | ReplyField::TotalBytes => vec![Telemetry],
            ReplyField::Fraction => vec![Limit],
            ReplyField::Contents => vec![Contents],
            ReplyField::Class => vec![Growth, Refusal],
        },
    }
}

fn statistic(key: Key) -> Vec<OracleName> {
    use OracleName::{Accounts, Isolation, Leak, Peak, Refusal, Summary};
    match key {
        Key::Family(_, _, Column::Peak) | Key::Oversize(_, Column::Peak) => vec![Peak, Isolation],
        Key::Family(..) => vec![Accounts, Peak, Isolation, Leak, Refusal, Summary],
        Key::Oversize(..) => vec![Accounts, Peak, Isolation],
        Key::Counter(Counter::MaxSplitSize) => vec![Isolation],
        Key::Counter(_) => vec![Accounts, Isolation],
    }
}
