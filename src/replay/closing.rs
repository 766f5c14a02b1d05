//! The end of an episode: the order of events, and the segments and blocks that stand.

use super::divergence::DivergenceKind;
use crate::op::snapshot::{BlockState, SegmentView};
use crate::op::trace::{Action, TraceEvent};
use crate::recording::End;
use crate::reference::PoolId;

/// Everything that differs, a few at the most: one difference tends to bring the rest.
pub(super) fn compare(
    traces: &[(Vec<TraceEvent>, Vec<PoolId>)],
    segments: &[SegmentView],
    end: &End,
    hash_order: bool,
) -> Vec<DivergenceKind> {
    let differs = |(device, (predicted, _)): (usize, &(Vec<TraceEvent>, Vec<PoolId>))| {
        first_event(device, end.events_of(device).collect(), predicted.clone(), hash_order)
    };
    let events = traces.iter().enumerate().filter_map(differs);
    events.chain(first_segment(&end.segments, segments)).collect()
}

/// The first event that differs, numbered from the first of those given.
pub(super) fn first_event(
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
    let text = |event: Option<&TraceEvent>| event.map_or_else(|| "nothing more".to_owned(), TraceEvent::to_line);
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

/// The first segment that differs.
pub(super) fn first_segment(recorded: &[SegmentView], predicted: &[SegmentView]) -> Option<DivergenceKind> {
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
