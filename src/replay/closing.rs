//! The end of an episode: the order of events, and the segments and blocks that stand.

use super::divergence::DivergenceKind;
use crate::device::recorded::RecordedDevice;
use crate::op::snapshot::{BlockState, SegmentView};
use crate::op::trace::{Action, TraceEvent};
use crate::recording::End;
use crate::reference::Reference;

/// Everything that differs, a few at the most: one difference tends to bring the rest.
pub(super) fn compare(reference: &mut Reference<RecordedDevice>, end: &End, hash_order: bool) -> Vec<DivergenceKind> {
    let mut kinds = Vec::new();
    for device in 0..reference.device_count() {
        let predicted = reference.device_mut(device).take_trace();
        let recorded = end.events.iter().filter(|e| e.1 == device);
        let recorded: Vec<TraceEvent> = recorded
            .map(|&(action, _, address, bytes, stream)| TraceEvent { action, address, bytes, stream })
            .collect();
        kinds.extend(first_event(device, recorded, predicted, hash_order));
    }
    kinds.extend(first_segment(&end.segments, &reference.snapshot().segments));
    kinds
}

fn first_event(
    device: usize,
    mut recorded: Vec<TraceEvent>,
    mut predicted: Vec<TraceEvent>,
    hash_order: bool,
) -> Option<DivergenceKind> {
    for event in recorded.iter_mut().chain(&mut predicted).filter(|e| e.action == Action::Oom) {
        event.address = 0; // what the driver had free: of the machine, not of the allocator
    }
    if hash_order {
        sort_completions(&mut recorded);
        sort_completions(&mut predicted);
    }
    let length = recorded.len().max(predicted.len());
    let index = (0..length).find(|&i| recorded.get(i) != predicted.get(i))?;
    let text = |event: Option<&TraceEvent>| {
        event.map_or_else(
            || "nothing more".to_owned(),
            |e| format!("{} {:#x}, {} B, stream {}", e.action.name(), e.address, e.bytes, e.stream),
        )
    };
    Some(DivergenceKind::Event {
        device,
        index,
        recorded: text(recorded.get(index)),
        predicted: text(predicted.get(index)),
    })
}

/// Blocks that became free in one step, in an order that does not depend on a hash.
fn sort_completions(events: &mut [TraceEvent]) {
    for run in events.chunk_by_mut(|a, b| a.action == Action::FreeCompleted && b.action == Action::FreeCompleted) {
        run.sort_by_key(|e| (e.stream, e.address));
    }
}

fn first_segment(recorded: &[SegmentView], predicted: &[SegmentView]) -> Option<DivergenceKind> {
    let comparable = |segment: &SegmentView| {
        let mut segment = segment.clone();
        for block in segment.blocks.iter_mut().filter(|b| b.state == BlockState::Inactive) {
            block.requested_size = 0; // stale in PyTorch, and depends on the hash order
        }
        segment
    };
    let recorded: Vec<SegmentView> = recorded.iter().map(comparable).collect();
    let predicted: Vec<SegmentView> = predicted.iter().map(comparable).collect();
    let length = recorded.len().max(predicted.len());
    let index = (0..length).find(|&i| recorded.get(i) != predicted.get(i))?;
    let text = |segment: Option<&SegmentView>| segment.map_or_else(|| "none".to_owned(), |s| format!("{s:?}"));
    Some(DivergenceKind::Segment { index, recorded: text(recorded.get(index)), predicted: text(predicted.get(index)) })
}
