//! How a twin's devices come to be like those of its target: of themselves, by hearing each answer, or by what was told afterwards.
//!
//! Decides when what was told can be compared, and what an operation's figures say of calls that leave no trace.

use crate::device::followed::TraceLog;
use crate::device::told::DeviceLog;
use crate::op::stats::Key;
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
        /// Requests so far that were served after a first refusal, by device.
        retries: Vec<i64>,
    },
}

impl Beside {
    pub(super) fn followed(logs: Vec<TraceLog>) -> Self {
        let own = logs.iter().map(|_| Vec::new()).collect();
        let retries = logs.iter().map(|_| 0).collect();
        Beside::Followed { logs, own, retries }
    }

    pub(super) fn is_alike(&self) -> bool {
        matches!(self, Beside::Alike)
    }

    pub(super) fn is_followed(&self) -> bool {
        matches!(self, Beside::Followed { .. })
    }

    /// The devices as they are before the first operation.
    pub(super) fn begin(&mut self, first: &Observation) {
        if let Beside::Followed { logs, retries, .. } = self {
            for ((log, retries), view) in logs.iter().zip(retries).zip(&first.devices) {
                log.settle(view.idle);
                *retries = view.stats.value(Key::Counter(Counter::NumAllocRetries));
            }
        }
    }

    /// An operation that the target has answered is asked of the twin next.
    pub(super) fn begin_operation(&mut self, reply: &Reply, after: &Observation) {
        let Beside::Followed { logs, retries, .. } = self else { return };
        for ((log, retries), view) in logs.iter().zip(retries).zip(&after.devices) {
            let now = view.stats.value(Key::Counter(Counter::NumAllocRetries));
            log.begin(now > *retries && !matches!(reply, Reply::Refused(_)));
            *retries = now;
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
