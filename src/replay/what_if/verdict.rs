//! Whether the reference comes to what was recorded: the first figure in which it does not, and why.
//!
//! Decides that there is no table of other settings where it does not.

use std::fmt;

use super::ask::RecordedUsage;
use super::{Fitted, Row, SizeFrom, Unfitted, Workload};
use crate::op::size::human;
use crate::replay::{Divergence, Note};

/// A figure in which a reference and a recorded run can disagree.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(missing_docs, reason = "each is a column of the table")]
pub enum Figure {
    PeakReserved,
    PeakAllocated,
    DeviceCalls,
    Refusals,
}

impl Figure {
    /// Its column.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Figure::PeakReserved => "peak reserved",
            Figure::PeakAllocated => "peak allocated",
            Figure::DeviceCalls => "device calls",
            Figure::Refusals => "refused requests",
        }
    }
}

/// Why a reference comes to something else.
#[derive(Debug, Clone, PartialEq)]
pub enum Reason {
    /// It parted from the events of the recorded run.
    Diverged(Box<Divergence>),
    /// Garbage collections go by what a snapshot does not tell.
    Collections {
        /// How many there were.
        times: u64,
        /// Why no limit could be fitted to them.
        why: Option<Unfitted>,
    },
    /// The reference comes to what was recorded with several limits, and to different things under other settings.
    LimitMatters {
        /// The first settings of which that is so.
        config: String,
        /// Two limits, and what the reference comes to with each.
        limits: (u64, u64),
        /// Peak reserved.
        peaks: (u64, u64),
        /// Device calls.
        calls: (u64, u64),
        /// Refused requests.
        refusals: (u64, u64),
    },
    /// The memory that there was changed in the course of the run.
    Changing,
    /// Nothing else is known but where it first held other memory: recorded, and as the reference comes to it.
    Parted {
        /// By position.
        device: usize,
        /// In words: a line of the recording or an event of the trace.
        place: String,
        /// Reserved and allocated.
        recorded: (u64, u64),
        /// The same.
        reference: (u64, u64),
    },
    /// Between all calls it held the same.
    Unknown,
}

/// The first figure that disagrees, and why.
#[derive(Debug, Clone, PartialEq)]
pub struct Disagreement {
    /// By position.
    pub device: usize,
    /// Which figure, recorded and as the reference comes to it; `None` where a divergence says it all.
    pub figure: Option<(Figure, u64, u64)>,
    /// Why.
    pub reason: Reason,
}

/// The first disagreement, if there is one.
pub(super) fn between(
    workload: &Workload,
    (recorded, reference): (&[Row], &[Row]),
    parted: Option<(usize, RecordedUsage, RecordedUsage)>,
) -> Option<Disagreement> {
    let differs = |(recorded, reference): (&Row, &Row)| {
        let figures = [
            (Figure::PeakReserved, recorded.peak_reserved, reference.peak_reserved),
            (Figure::PeakAllocated, recorded.peak_allocated, reference.peak_allocated),
            (Figure::DeviceCalls, recorded.device_calls, reference.device_calls),
            (Figure::Refusals, recorded.refusals, reference.refusals),
        ];
        figures.into_iter().find(|(_, a, b)| a != b).map(|figure| (recorded.device, figure))
    };
    let first = recorded.iter().zip(reference).find_map(differs);
    if let Some(divergence) = &workload.diverged {
        let device = divergence.place.device().unwrap_or(0);
        let reason = Reason::Diverged(Box::new(divergence.clone()));
        return Some(Disagreement { device, figure: None, reason });
    }
    let (device, figure) = first?;
    let collected = workload.notes.iter().find_map(|note| match note {
        Note::Collected { device: of, times } if *of == device => Some(*times),
        _ => None,
    });
    let reason = match (collected, parted) {
        (Some(times), _) => Reason::Collections { times, why: workload.unfitted(device) },
        (None, _) if workload.cards.get(device).is_some_and(|card| card.from == SizeFrom::Changing) => Reason::Changing,
        (None, Some((device, recorded, other))) => Reason::Parted {
            device,
            place: if workload.is_recording() {
                format!("line {}", recorded.at)
            } else {
                format!("event {}", recorded.at)
            },
            recorded: (recorded.reserved, recorded.allocated),
            reference: (other.reserved, other.allocated),
        },
        (None, None) => Reason::Unknown,
    };
    Some(Disagreement { device, figure: Some(figure), reason })
}

impl Workload {
    /// Why no limit that was fitted leads to what was recorded of a device.
    fn unfitted(&self, device: usize) -> Option<Unfitted> {
        let limit = self.limits.get(device).copied().flatten()?;
        Some(limit.map_or_else(|why| why, |Fitted { least, most, .. }| Unfitted::Otherwise { least, most }))
    }

    /// A recording's cards are known by its header; a snapshot has none.
    fn is_recording(&self) -> bool {
        self.cards
            .iter()
            .any(|card| matches!(card.from, SizeFrom::Header | SizeFrom::Refusals | SizeFrom::Others { .. }))
    }
}

impl fmt::Display for Disagreement {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some((figure, recorded, reference)) = self.figure {
            let shown = |value: u64| match figure {
                Figure::PeakReserved | Figure::PeakAllocated => format!("{value} B ({})", human(value)),
                Figure::DeviceCalls | Figure::Refusals => value.to_string(),
            };
            writeln!(
                f,
                "first disagreement: {} of device {}: recorded {}, the reference comes to {}",
                figure.name(),
                self.device,
                shown(recorded),
                shown(reference)
            )?;
        }
        match &self.reason {
            Reason::Diverged(divergence) => write!(f, "the reference parts from the recorded run: {divergence}"),
            Reason::Collections { times, why } => {
                write!(
                    f,
                    "because: {times} garbage collections of the recorded run go by the memory fraction and by ages, which a \
                     snapshot does not tell"
                )?;
                why.map_or(Ok(()), |why| write!(f, "; {why}"))
            }
            Reason::LimitMatters { config, limits, peaks, calls, refusals } => write!(
                f,
                "because: the memory fraction is not told, and with limits of {} B and of {} B the reference comes to what was \
                 recorded; under `{config}` it comes to {} B or {} B of peak reserved, {} or {} device calls and {} or {} \
                 refused requests",
                limits.0, limits.1, peaks.0, peaks.1, calls.0, calls.1, refusals.0, refusals.1
            ),
            Reason::Changing => f.write_str(
                "because: the memory that the run could have changed in its course (a fraction set at run time, or another \
                 process): it was refused less at one time than it held at another",
            ),
            Reason::Parted { device, place, recorded, reference } => write!(
                f,
                "it first holds other memory at {place} (device {device}): recorded {} B reserved and {} B allocated, the \
                 reference {} B and {} B",
                recorded.0, recorded.1, reference.0, reference.1
            ),
            Reason::Unknown => f.write_str("between all calls the reference holds what the recorded run held"),
        }
    }
}
