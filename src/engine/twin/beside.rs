//! How a twin's devices come to be like those of its target: of themselves, by hearing each answer, or by what was told afterwards.
//!
//! Decides when what was told can be compared, and what an operation's figures say of calls that leave no trace.

use crate::device::followed::TraceLog;
use crate::device::told::DeviceLog;
use crate::op::stats::{Column, Family, Key, Row, Stats};
use crate::op::trace::TraceEvent;
use crate::op::{Counter, DeviceCall, Observation, Reply};

/// Events by device: the twin's own and the target's.
type Both = (Vec<Vec<TraceEvent>>, Vec<Vec<TraceEvent>>);

/// How the twin's devices come to be like those of its target.
pub(super) enum Beside {
    /// Both are simulated alike.
    Alike,
    /// They are the target's: what those answered it.
    Told(Vec<DeviceLog>),
    /// They did what the target tells afterwards.
    Followed {
        logs: Vec<TraceLog>,
        /// What the twin did since all was told last.
        own: Vec<Vec<TraceEvent>>,
        /// What the figures of each device say of calls so far.
        calls: Vec<Calls>,
    },
}

/// What a device's figures say of the calls of it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Calls {
    /// Requests that were served after a first refusal.
    retries: i64,
    got: i64,
    given_back: i64,
    reserved: i64,
}

impl Calls {
    fn of(stats: &Stats) -> Self {
        let counter = |counter| stats.value(Key::Counter(counter));
        Calls {
            retries: counter(Counter::NumAllocRetries),
            got: counter(Counter::NumDeviceAlloc),
            given_back: counter(Counter::NumDeviceFree),
            reserved: stats.value(Key::Family(Family::ReservedBytes, Row::All, Column::Current)),
        }
    }

    /// The size of the one segment that was got since, if nothing else was done, in bytes.
    fn one_segment_more(&self, before: &Calls) -> Option<u64> {
        // A worker may tell any figure.
        let bytes = u64::try_from(self.reserved.saturating_sub(before.reserved)).ok()?;
        let one_more = Calls { got: before.got.saturating_add(1), reserved: self.reserved, ..*before };
        (*self == one_more && bytes > 0).then_some(bytes)
    }
}

impl Beside {
    pub(super) fn followed(logs: Vec<TraceLog>) -> Self {
        let own = logs.iter().map(|_| Vec::new()).collect();
        let calls = logs.iter().map(|_| Calls::default()).collect();
        Beside::Followed { logs, own, calls }
    }

    pub(super) fn is_alike(&self) -> bool {
        matches!(self, Beside::Alike)
    }

    pub(super) fn is_followed(&self) -> bool {
        matches!(self, Beside::Followed { .. })
    }

    /// The devices as they are before the first operation.
    pub(super) fn begin(&mut self, first: &Observation) {
        if let Beside::Followed { logs, calls, .. } = self {
            for ((log, calls), view) in logs.iter().zip(calls).zip(&first.devices) {
                log.settle(view.idle);
                *calls = Calls::of(&view.stats);
            }
        }
    }

    /// An operation that the target has answered is asked of the twin next.
    pub(super) fn begin_operation(&mut self, reply: &Reply, after: &Observation) {
        let Beside::Followed { logs, calls, .. } = self else { return };
        for ((log, calls), view) in logs.iter().zip(calls).zip(&after.devices) {
            let now = Calls::of(&view.stats);
            if let Reply::Allocated { address } = *reply
                && let Some(bytes) = now.one_segment_more(calls)
            {
                log.lies_at(address, bytes);
            }
            log.begin(now.retries > calls.retries && !matches!(reply, Reply::Refused(_)));
            *calls = now;
        }
    }

    /// How the pool is numbered that the operation made.
    pub(super) fn take_pool(&self) -> Option<(u64, u64)> {
        let Beside::Followed { logs, .. } = self else { return None };
        logs.iter().find_map(TraceLog::take_pool)
    }

    /// The operation is over. The first call that only one of the two made of a device.
    pub(super) fn settle(&self, after: &Observation) -> Option<(usize, DeviceCall)> {
        match self {
            Beside::Alike => None,
            Beside::Told(logs) => {
                let parted: Vec<_> =
                    logs.iter().enumerate().filter_map(|(device, log)| Some((device, log.settle()?))).collect();
                parted.into_iter().next()
            }
            Beside::Followed { logs, .. } => {
                logs.iter().zip(&after.devices).for_each(|(log, view)| log.settle(view.idle));
                None
            }
        }
    }

    /// Where events are told now and then: those of both since they were told last, if all are told now.
    pub(super) fn events(&mut self, latest: &mut [Vec<TraceEvent>]) -> Option<Both> {
        let Beside::Followed { logs, own, .. } = self else { return None };
        own.iter_mut().zip(latest).for_each(|(own, latest)| own.append(latest));
        let theirs: Vec<Option<Vec<TraceEvent>>> = logs.iter().map(TraceLog::take_events).collect();
        let theirs: Vec<Vec<TraceEvent>> = theirs.into_iter().collect::<Option<_>>()?;
        Some((own.iter_mut().map(std::mem::take).collect(), theirs))
    }

    /// What the target did can be followed no more.
    pub(super) fn is_lost(&self) -> bool {
        matches!(self, Beside::Followed { logs, .. } if logs.iter().any(TraceLog::is_lost))
    }
}
