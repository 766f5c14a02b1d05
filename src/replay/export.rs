//! A memory snapshot in PyTorch's own form, which its memory viewer opens.
//!
//! Decides the keys, their order and their types: those of `torch.cuda.memory._snapshot()` of PyTorch 2.11,
//! and `pool_id` of 2.12, without which requests to private pools cannot be told from others.
//! Times are a count of events, one microsecond apart: nothing here has a clock.

use super::Lived;
use crate::op::snapshot::{BlockState, BlockView, SegmentView};
use crate::op::stats::PoolKind;
use crate::op::trace::{Action, TraceEvent};
use crate::recording::pickle::Writer;
use crate::reference::{PoolId, Settings};

/// The pickle of what the reference came to.
#[must_use]
pub fn pickled(lived: &Lived) -> Vec<u8> {
    let mut writer = Writer::default();
    writer.begin_dict();
    writer.str("segments");
    writer.list(&lived.segments, segment);
    writer.str("device_traces");
    writer.list(lived.traces.iter().enumerate(), |writer, (device, trace)| {
        let pools = lived.pools.get(device).map_or(&[][..], Vec::as_slice);
        writer.list(trace.iter().enumerate(), |writer, (at, event)| {
            entry(writer, at as u64 + 1, event, pools.get(at).copied().unwrap_or_default());
        });
    });
    writer.str("allocator_settings");
    settings(&mut writer, &lived.config, &lived.settings);
    writer.str("external_annotations");
    writer.list(std::iter::empty::<()>(), |_, ()| {});
    if let Some(minor) = lived.release {
        number(&mut writer, "poolproof_release", u64::from(minor));
    }
    writer.end_dict();
    writer.finish()
}

fn number(writer: &mut Writer, key: &str, value: u64) {
    writer.str(key);
    writer.int(value);
}

fn text(writer: &mut Writer, key: &str, value: &str) {
    writer.str(key);
    writer.str(value);
}

fn flag(writer: &mut Writer, key: &str, value: bool) {
    writer.str(key);
    writer.bool(value);
}

/// Stacks are not predicted.
fn no_frames(writer: &mut Writer) {
    writer.str("frames");
    writer.list(std::iter::empty::<()>(), |_, ()| {});
}

fn segment(writer: &mut Writer, view: &SegmentView) {
    writer.begin_dict();
    number(writer, "device", u64::from(view.device));
    number(writer, "address", view.address);
    number(writer, "total_size", view.total_size);
    number(writer, "allocated_size", view.allocated_size);
    number(writer, "active_size", view.active_size);
    number(writer, "requested_size", view.requested_size);
    number(writer, "stream", view.stream);
    let kind = match view.segment_type {
        PoolKind::Small => "small",
        PoolKind::Large => "large",
    };
    text(writer, "segment_type", kind);
    writer.str("segment_pool_id");
    writer.int(view.segment_pool_id.0);
    writer.int(view.segment_pool_id.1);
    writer.pair();
    flag(writer, "is_expandable", view.is_expandable);
    no_frames(writer);
    writer.str("blocks");
    writer.list(&view.blocks, block);
    writer.end_dict();
}

fn block(writer: &mut Writer, view: &BlockView) {
    writer.begin_dict();
    number(writer, "address", view.address);
    number(writer, "size", view.size);
    number(writer, "requested_size", view.requested_size);
    let state = match view.state {
        BlockState::ActiveAllocated => "active_allocated",
        BlockState::ActivePendingFree => "active_pending_free",
        BlockState::Inactive => "inactive",
    };
    text(writer, "state", state);
    no_frames(writer);
    writer.end_dict();
}

fn entry(writer: &mut Writer, time: u64, event: &TraceEvent, pool: PoolId) {
    writer.begin_dict();
    text(writer, "action", event.action.name());
    number(writer, if event.action == Action::Oom { "device_free" } else { "addr" }, event.address);
    number(writer, "size", event.bytes);
    number(writer, "stream", event.stream);
    writer.str("pool_id");
    writer.int(pool.0);
    writer.int(pool.1);
    writer.pair();
    number(writer, "time_us", time);
    text(writer, "compile_context", "N/A");
    text(writer, "user_metadata", "");
    writer.end_dict();
}

fn settings(writer: &mut Writer, config: &str, settings: &Settings) {
    writer.begin_dict();
    text(writer, "PYTORCH_CUDA_ALLOC_CONF", config);
    writer.str("max_split_size");
    writer.int(i64::try_from(settings.max_split).unwrap_or(-1));
    writer.str("garbage_collection_threshold");
    writer.float(settings.gc_threshold);
    flag(writer, "expandable_segments", settings.expandable_segments);
    number(writer, "pinned_num_register_threads", 1);
    flag(writer, "release_lock_on_cudamalloc", false);
    flag(writer, "pinned_use_cuda_host_register", false);
    flag(writer, "graph_capture_record_stream_reuse", false);
    writer.str("roundup_power2_divisions");
    writer.begin_dict();
    for (power, &divisions) in settings.roundup_divisions.iter().enumerate() {
        number(writer, &(1_u64 << power).to_string(), divisions);
    }
    writer.end_dict();
    writer.end_dict();
}
