//! Values of operations that can be made simpler, and what is simpler than what.
//!
//! Decides an order of simplicity for each kind of value; a simplification always goes down in it, so
//! simplifying ends.

use crate::op::{DeviceId, DeviceSlot, GraphName, Op, Pointer, PoolName, PoolSource, StreamId, Via};

const MIB: u64 = 1 << 20;

/// Fractions that need no explanation, simplest first.
const FRACTIONS: [f64; 10] = [0.5, 1.0, 0.0, 0.25, 0.75, 0.1, 0.01, 1.5, -1.0, f64::NAN];

/// A kind of value. Each is read and written as 64 bits, so that one search serves all.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Facet {
    Via,
    Caller,
    Stream,
    /// The stream that another one waits for.
    On,
    Device,
    Bytes,
    Fraction,
    Skip,
    Offset,
    Address,
    /// `use_on_oom` of a pool.
    Helps,
    /// `no_split` of a pool.
    Whole,
    /// Which pool a capture goes to; 0 for one of its own.
    Source,
}

impl Facet {
    pub(super) const ALL: [Facet; 13] = [
        Facet::Via,
        Facet::Caller,
        Facet::Stream,
        Facet::On,
        Facet::Device,
        Facet::Bytes,
        Facet::Fraction,
        Facet::Skip,
        Facet::Offset,
        Facet::Address,
        Facet::Helps,
        Facet::Whole,
        Facet::Source,
    ];

    /// The value, if the operation has one of this kind.
    pub(super) fn read(self, op: &mut Op) -> Option<u64> {
        self.slot(op).map(|slot| slot.read())
    }

    pub(super) fn write(self, op: &mut Op, value: u64) {
        if let Some(slot) = self.slot(op) {
            slot.write(value);
        }
    }

    /// Values worth trying instead, simplest first; all of them simpler than `value`.
    pub(super) fn simpler(self, value: u64) -> Vec<u64> {
        let half = value / 2;
        let candidates: Vec<u64> = match self {
            Facet::Via | Facet::Caller | Facet::Stream | Facet::On | Facet::Skip => vec![0, 1, 2, 3, half],
            Facet::Device => vec![0, 1, 2, 3, MINUS_ONE],
            Facet::Bytes => sizes(value),
            Facet::Fraction => fractions(f64::from_bits(value)),
            Facet::Offset => vec![512, 1, half.max(1)], // 0 would be the block itself
            Facet::Address => vec![0x1000],
            Facet::Helps | Facet::Whole | Facet::Source => vec![0],
        };
        let mut simpler: Vec<u64> = candidates.into_iter().filter(|&c| self.rank(c) < self.rank(value)).collect();
        simpler.sort_by_key(|&c| self.rank(c));
        simpler.dedup();
        simpler
    }

    /// How far from simple.
    fn rank(self, value: u64) -> (u64, u64) {
        match self {
            Facet::Bytes => (coarseness(value), value),
            Facet::Fraction => {
                let known = FRACTIONS.iter().position(|f| f.to_bits() == value);
                let digits = || FRACTIONS.len() + f64::from_bits(value).to_string().len();
                (known.unwrap_or_else(digits) as u64, 0)
            }
            Facet::Device if value == MINUS_ONE => (1, 0),
            Facet::Device => (u64::from(value > 3) * 2, value),
            Facet::Offset => (u64::from(value != 512), value),
            _ => (0, value),
        }
    }

    fn slot(self, op: &mut Op) -> Option<Slot<'_>> {
        Some(match (self, op) {
            (Facet::Via, Op::Alloc { via, .. }) => Slot::Via(via),
            (Facet::Caller, Op::Caller { caller }) => Slot::Byte(caller),
            (Facet::Helps, Op::PoolCreate { use_on_oom, .. }) => Slot::Flag(use_on_oom),
            (Facet::Whole, Op::PoolCreate { no_split, .. }) => Slot::Flag(no_split),
            (Facet::Source, Op::CaptureBegin { pool, .. }) => Slot::Source(pool),
            (Facet::Bytes, Op::Alloc { bytes, .. } | Op::Neighbour { bytes, .. }) => Slot::Long(bytes),
            (Facet::Fraction, Op::SetFraction { fraction, .. }) => Slot::Float(fraction),
            (Facet::Skip, Op::Fault { skip, .. }) => Slot::Int(skip),
            (Facet::Offset, Op::FreePointer { pointer: Pointer::Interior { offset, .. } }) => Slot::Long(offset),
            (Facet::Address, Op::FreePointer { pointer: Pointer::Wild { address } }) => Slot::Long(address),
            (
                Facet::Stream,
                Op::Alloc { stream: StreamId(s), .. }
                | Op::RecordStream { stream: StreamId(s), .. }
                | Op::Use { stream: StreamId(s), .. }
                | Op::Occupy { stream: StreamId(s), .. }
                | Op::Finish { stream: StreamId(s), .. }
                | Op::WaitStream { stream: StreamId(s), .. }
                | Op::CaptureBegin { stream: StreamId(s), .. },
            ) => Slot::Byte(s),
            (Facet::On, Op::WaitStream { on: StreamId(s), .. }) => Slot::Byte(s),
            (Facet::Device, op) => match op.device_slot()? {
                DeviceSlot::Chosen(device) => Slot::MaybeDevice(device),
                DeviceSlot::Named(device) => Slot::Device(device),
            },
            _ => return None,
        })
    }
}

const MINUS_ONE: u64 = 0xffff_ffff;
const CURRENT: u64 = u64::MAX;

/// Where a value stands in an operation.
enum Slot<'a> {
    Via(&'a mut Via),
    Byte(&'a mut u8),
    Int(&'a mut u32),
    Long(&'a mut u64),
    Float(&'a mut f64),
    Device(&'a mut DeviceId),
    MaybeDevice(&'a mut Option<DeviceId>),
    Flag(&'a mut bool),
    Source(&'a mut Option<PoolSource>),
}

impl Slot<'_> {
    fn read(&self) -> u64 {
        let device = |d: DeviceId| u64::from(d.0.cast_unsigned());
        match self {
            Slot::Via(via) => u64::from(**via == Via::Tensor),
            Slot::Byte(v) => u64::from(**v),
            Slot::Int(v) => u64::from(**v),
            Slot::Long(v) => **v,
            Slot::Float(v) => v.to_bits(),
            Slot::Device(d) => device(**d),
            Slot::MaybeDevice(d) => d.map_or(CURRENT, device),
            Slot::Flag(flag) => u64::from(**flag),
            Slot::Source(None) => 0,
            Slot::Source(Some(PoolSource::Pool(pool))) => 1 + 2 * u64::from(pool.0),
            Slot::Source(Some(PoolSource::Graph(graph))) => 2 + 2 * u64::from(graph.0),
        }
    }

    #[expect(clippy::cast_possible_truncation, reason = "values of a slot come from slots of its kind, or are small")]
    fn write(self, value: u64) {
        let device = DeviceId((value as u32).cast_signed());
        match self {
            Slot::Via(via) => *via = if value == 0 { Via::Raw } else { Via::Tensor },
            Slot::Byte(v) => *v = value as u8,
            Slot::Int(v) => *v = value as u32,
            Slot::Long(v) => *v = value,
            Slot::Float(v) => *v = f64::from_bits(value),
            Slot::Device(d) => *d = device,
            Slot::MaybeDevice(d) => *d = (value != CURRENT).then_some(device),
            Slot::Flag(flag) => *flag = value != 0,
            Slot::Source(source) => {
                *source = value.checked_sub(1).map(|name| match name % 2 {
                    0 => PoolSource::Pool(PoolName((name / 2) as u32)),
                    _ => PoolSource::Graph(GraphName((name / 2) as u32)),
                });
            }
        }
    }
}

/// Nothing, 512, powers of two, whole MiB, multiples of 512, the rest.
fn coarseness(bytes: u64) -> u64 {
    match bytes {
        0 => 0,
        512 => 1,
        b if b.is_power_of_two() => 2,
        b => match unit(b) {
            MIB => 3,
            512 => 4,
            _ => 5,
        },
    }
}

/// The steps in which a size can shrink without becoming less round.
pub(super) fn unit(bytes: u64) -> u64 {
    [MIB, 512].into_iter().find(|u| bytes.is_multiple_of(*u)).unwrap_or(1)
}

fn sizes(bytes: u64) -> Vec<u64> {
    let above = |unit: u64| bytes.checked_next_multiple_of(unit).unwrap_or(bytes);
    let power = bytes.checked_next_power_of_two().unwrap_or(bytes);
    let below = |unit: u64| bytes / unit * unit;
    let mut all = vec![512, MIB, 2 * MIB, 10 * MIB, 20 * MIB, power, power / 2, bytes / 2];
    all.extend([above(MIB), below(MIB), above(512), below(512)]);
    all.retain(|&b| b > 0); // a request of 0 bytes is another matter
    all
}

fn fractions(value: f64) -> Vec<u64> {
    let rounded = [1e1, 1e2, 1e3, 1e4].map(|scale| (value * scale).round() / scale);
    FRACTIONS.into_iter().chain(rounded).map(f64::to_bits).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_suggestion_is_simpler_and_there_is_an_end() {
        let floats = [0.1234, -0.1, f64::INFINITY, f64::NAN, 1e300].map(f64::to_bits);
        let values = [0, 1, 2, 3, 511, 512, 513, 1_048_577, 21 * MIB, MINUS_ONE, CURRENT, 1 << 63];
        for facet in Facet::ALL {
            for value in values.into_iter().chain(floats) {
                let mut at = value;
                for _ in 0..200 {
                    let simpler = facet.simpler(at);
                    assert!(simpler.iter().all(|&s| facet.rank(s) < facet.rank(at)), "{facet:?} {at}");
                    let Some(&hardest) = simpler.last() else { break };
                    at = hardest;
                }
                assert_eq!(facet.simpler(at), [0; 0], "{facet:?} {value}");
            }
        }
    }

    #[test]
    fn sizes_go_towards_what_people_write() {
        let expected = [512, MIB / 2, MIB, 2 * MIB, 10 * MIB, 20 * MIB, MIB + 512];
        assert_eq!(Facet::Bytes.simpler(MIB + 1), expected);
        assert_eq!(Facet::Bytes.simpler(512), [0; 0]);
        assert_eq!(Facet::Bytes.simpler(0), [0; 0]);
        assert_eq!(Facet::Device.simpler(CURRENT), [0, 1, 2, 3, MINUS_ONE]);
    }
}
