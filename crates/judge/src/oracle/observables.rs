//! Which oracles judge what a target shows, whatever its policy.
//!
//! Decides nothing of a step. A judge is named where a promise speaks of the observable and a wrong value can convict;
//! scenarios that expect figures of their own (`expectation`) and relations between runs are not counted.

use crate::op::OracleName;
use crate::op::observable::{DeviceFigure, Observable, ReplyField};
use crate::op::stats::{Column, Counter, Family, Key, Row};

/// The judges of an observable, in the order of their names.
#[must_use]
pub fn judges(observable: Observable) -> Vec<OracleName> {
    use OracleName::{
        Alignment, Contents, Exhaustion, History, Isolation, Leak, Limit, Overlap, PrivatePools, Refusal, StreamOrder,
        Summary, Telemetry,
    };
    match observable {
        Observable::Statistic(key) => statistic(key),
        Observable::Device(DeviceFigure::FreeBytes) => vec![Isolation, Leak, Exhaustion, Limit, Refusal, Telemetry],
        Observable::Device(DeviceFigure::TotalBytes) => vec![Isolation, Refusal, Telemetry],
        Observable::Device(DeviceFigure::Fraction) => vec![Isolation, Limit, Refusal],
        Observable::Device(DeviceFigure::Idle) => vec![StreamOrder, Telemetry],
        Observable::Dictionary(_) | Observable::Table(_) => vec![Summary],
        Observable::Refusal(_) => vec![Refusal],
        Observable::Segment(_) | Observable::Block(_) => vec![Summary],
        Observable::Event(_) => vec![History],
        Observable::Reply(field) => match field {
            ReplyField::Address => vec![Overlap, Alignment, StreamOrder, Summary, PrivatePools],
            ReplyField::FreeBytes | ReplyField::TotalBytes => vec![Telemetry],
            ReplyField::Fraction => vec![Limit],
            ReplyField::Contents => vec![Contents],
            ReplyField::Class => vec![Refusal],
        },
    }
}

fn statistic(key: Key) -> Vec<OracleName> {
    use OracleName::{
        Accounts, Exhaustion, Growth, Isolation, Leak, Limit, Peak, PrivatePools, Refusal, Summary, Telemetry,
    };
    match key {
        Key::Family(Family::ReservedBytes, Row::All, Column::Current) => {
            vec![Accounts, Peak, Isolation, Leak, Exhaustion, Limit, Growth, Refusal, Telemetry, Summary]
        }
        Key::Family(_, _, Column::Current) => vec![Accounts, Peak, Isolation, Leak, Refusal, Summary],
        Key::Family(..) | Key::Oversize(..) => vec![Accounts, Peak, Isolation, Refusal],
        Key::Counter(Counter::NumDeviceAlloc) => vec![Accounts, Isolation, Limit, Refusal, PrivatePools],
        Key::Counter(_) => vec![Accounts, Isolation, Refusal],
    }
}
