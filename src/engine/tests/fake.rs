//! A trivially correct allocator over a range of numbers, with a few ways to go wrong on request.

use std::collections::BTreeMap;

use crate::op::contract::{Contract, DeviceInfo, Growth};
use crate::op::stats::Row;
use crate::op::{
    BlockId, Capability, ContentsReport, DeviceView, Family, Observation, Op, RefusalClass, Reply, Setup, TargetInfo,
};
use crate::target::lost::End;
use crate::target::{Lost, Target};

/// How it goes wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Flaw {
    None,
    /// Every third block lies where the one before lies.
    Overlaps,
    /// A request of exactly this many bytes panics.
    PanicsAt(u64),
    /// Every second request that does not fit is served somewhere all the same.
    ChangesItsMind,
    /// It shows no device.
    Blind,
    /// A request of exactly this many bytes never returns.
    HangsAt(u64),
    /// A request of exactly this many bytes ends its process.
    DiesAt(u64),
    /// What is read is never what was written.
    Forgets,
    /// No flaw: what is freed goes back to the device at once, and is shown to.
    Returns,
}

pub(super) struct Bump {
    info: TargetInfo,
    flaw: Flaw,
    next: u64,
    held: BTreeMap<BlockId, (usize, u64)>,
    used: Vec<u64>,
    requests: u64,
    refusals: u64,
    last: u64,
    lost: Option<Lost>,
}

impl Bump {
    pub(super) fn new(setup: &Setup, flaw: Flaw) -> Self {
        let device = |bytes: &u64| DeviceInfo::whole("range", *bytes);
        let capabilities = [Capability::EmptyCache, Capability::OomTyped, Capability::Contents].into();
        Bump {
            info: TargetInfo {
                name: "bump@test".to_owned(),
                devices: setup.device_bytes.iter().map(device).collect(),
                streams: setup.streams,
                capabilities,
                contract: Contract {
                    alignment: 512,
                    growth: Growth::plain(0, 512),
                    counts_segments: false,
                    tensor_limit: None,
                },
                config: None,
            },
            flaw,
            next: 1 << 20,
            held: BTreeMap::new(),
            used: vec![0; setup.device_bytes.len()],
            requests: 0,
            refusals: 0,
            last: 0,
            lost: None,
        }
    }

    fn alloc(&mut self, block: BlockId, device: usize, bytes: u64) -> Reply {
        self.requests += 1;
        if self.flaw == Flaw::PanicsAt(bytes) {
            panic!("no room for {bytes}");
        }
        while self.flaw == Flaw::HangsAt(bytes) {
            std::thread::park();
        }
        if self.flaw == Flaw::DiesAt(bytes) {
            self.lost = Some(Lost::Exited { end: End::Signal(6), stderr: String::new() });
            return Reply::refused(RefusalClass::DeviceError, "gone");
        }
        let size = bytes.div_ceil(512) * 512;
        if self.used[device] + size > self.info.devices[device].total_bytes {
            self.refusals += 1;
            if self.flaw != Flaw::ChangesItsMind || !self.refusals.is_multiple_of(2) {
                return Reply::refused(RefusalClass::OutOfMemory, "out of memory");
            }
        }
        self.used[device] += size;
        self.held.insert(block, (device, size));
        if self.flaw != Flaw::Overlaps || !self.requests.is_multiple_of(3) {
            self.last = self.next;
            self.next += size;
        }
        Reply::Allocated { address: if bytes == 0 { 0 } else { self.last } }
    }
}

impl Target for Bump {
    fn info(&self) -> &TargetInfo {
        &self.info
    }

    fn apply(&mut self, op: &Op) -> Reply {
        match op {
            Op::Alloc { block, device, bytes, .. } => {
                match device.map_or(Some(0), |d| d.index(self.info.devices.len())) {
                    Some(device) => self.alloc(*block, device, *bytes),
                    None => Reply::refused(RefusalClass::InvalidArgument, "no such device"),
                }
            }
            Op::Free { block } => {
                if let Some((device, size)) = self.held.remove(block) {
                    self.used[device] -= size;
                }
                Reply::Done
            }
            Op::Verify { .. } if self.flaw == Flaw::Forgets => Reply::Contents(ContentsReport::Unmapped { offset: 0 }),
            Op::Verify { .. } => Reply::Contents(ContentsReport::Intact),
            _ => Reply::Done,
        }
    }

    fn lost(&self) -> Option<&Lost> {
        self.lost.as_ref()
    }

    fn observe(&mut self, into: &mut Observation) {
        into.devices.clear();
        if self.flaw == Flaw::Blind {
            return;
        }
        let views = self.info.devices.iter().zip(&self.used).map(|(device, used)| DeviceView {
            free_bytes: device.total_bytes.saturating_sub(*used),
            total_bytes: device.total_bytes,
            fraction: 1.0,
            idle: u64::MAX,
            ..DeviceView::default()
        });
        into.devices.extend(views);
        if self.flaw == Flaw::Returns {
            for (view, used) in into.devices.iter_mut().zip(&self.used) {
                view.stats.get_mut(Family::ReservedBytes, Row::All).current = i64::try_from(*used).unwrap_or(i64::MAX);
            }
        }
    }
}
