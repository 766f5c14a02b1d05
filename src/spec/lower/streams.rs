//! What happens to streams of a device in explicit steps.
//!
//! Decides which streams an operation names. Whether waiting for one makes sense is the engine's to say.

use super::steps::Pass;
use crate::op::{DeviceId, Op, StreamId};
use crate::spec::error::Complaint;
use crate::spec::locate::Path;
use crate::spec::raw::step::DeviceStream;
use crate::spec::raw::{RawOp, Slot};

impl Pass<'_> {
    pub(super) fn stream(&mut self, slot: &Slot<u8>, path: &Path<'_>) -> Option<StreamId> {
        let (stream, count) = (self.value(slot, path)?, self.world.streams);
        if stream >= count {
            let complaint = Complaint::new(format!("stream {stream} does not exist: `streams` is {count}"));
            self.problems.add(path, complaint.hint("streams count from 0, the default stream"));
        }
        Some(StreamId(stream))
    }

    fn place(&mut self, place: &DeviceStream, path: &Path<'_>) -> Option<(DeviceId, StreamId)> {
        let device = self.device(&place.device, false, &path.key("device"));
        let stream = self.stream(&place.stream, &path.key("stream"));
        Some((device?, stream?))
    }

    pub(super) fn stream_operation(&mut self, op: &RawOp, path: &Path<'_>) -> Option<Op> {
        match op {
            RawOp::Occupy(place) => {
                let (device, stream) = self.place(place, path)?;
                Some(Op::Occupy { device, stream })
            }
            RawOp::Finish(place) => {
                let (device, stream) = self.place(place, path)?;
                Some(Op::Finish { device, stream })
            }
            RawOp::WaitStream(raw) => {
                let device = self.device(&raw.device, false, &path.key("device"));
                let stream = self.stream(&raw.stream, &path.key("stream"));
                let on = self.stream(&raw.on, &path.key("on"));
                Some(Op::WaitStream { device: device?, stream: stream?, on: on? })
            }
            _ => None,
        }
    }
}
