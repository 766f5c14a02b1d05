//! Dictionaries, tables and snapshots that agree with the figures pass `summary`; doctored ones convict.

use super::*;
use crate::op::snapshot::BlockView;
use crate::oracle::fixture::Bench;

/// 600 B live on device 0 at 0x1000.
fn bench() -> Bench {
    let mut bench = Bench::new(OracleName::Summary);
    bench.alloc(1, 0x1000, 600).passes();
    bench
}

fn dictionary(change: impl FnOnce(&mut Vec<(String, i64)>)) -> (Bench, Op, Reply) {
    let bench = bench();
    let mut entries = bench.now.devices[0].stats.dictionary();
    change(&mut entries);
    (bench, Op::Dictionary { device: DeviceId(0) }, Reply::Dictionary(entries))
}

fn summary(change: impl FnOnce(String) -> String) -> (Bench, Op, Reply) {
    let bench = bench();
    let text = table::text(&bench.now.devices[0].stats, 0, false);
    (bench, Op::Summary { device: DeviceId(0), abbreviated: false }, Reply::Text(change(text)))
}

fn snapshot(change: impl FnOnce(&mut SegmentView)) -> (Bench, Op, Reply) {
    let block = BlockView { address: 0x1000, size: 1024, requested_size: 600, state: BlockState::ActiveAllocated };
    let mut segment = SegmentView {
        device: 0,
        address: 0x1000,
        total_size: 1024,
        allocated_size: 1024,
        active_size: 1024,
        requested_size: 600,
        stream: 0,
        segment_type: PoolKind::Small,
        segment_pool_id: (0, 0),
        is_expandable: false,
        blocks: vec![block],
    };
    change(&mut segment);
    (bench(), Op::Snapshot, Reply::Snapshot(Box::new(Snapshot { segments: vec![segment] })))
}

fn judge((mut bench, op, reply): (Bench, Op, Reply)) -> crate::oracle::fixture::Judged {
    bench.step(op, reply, |_| {})
}

#[test]
fn what_agrees_passes() {
    judge(dictionary(|_| {})).passes();
    judge(summary(|text| text)).passes();
    judge(snapshot(|_| {})).passes();
}

#[test]
fn a_dictionary_that_is_off_convicts() {
    let found = judge(dictionary(|e| e[5].1 += 1)).convicts("SUMM-01");
    insta::assert_snapshot!(found.message.en, @"the dictionary of device 0 says active.large_pool.current = 1, but the figure is 0");
    judge(dictionary(|e| e.swap(1, 2))).convicts("SUMM-01");
    judge(dictionary(|e| drop(e.pop()))).convicts("SUMM-01");
    judge(dictionary(|e| e.push(("zzz".to_owned(), 0)))).convicts("SUMM-01");
}

#[test]
fn a_table_that_is_off_convicts() {
    let found = judge(summary(|text| text.replace("CUDA OOMs: 0", "CUDA OOMs: 1"))).convicts("SUMM-02");
    insta::assert_snapshot!(found.message.en, @"line 4 of the summary of device 0 does not read as documented for its figures");
    insta::assert_snapshot!(found.evidence[1].value, @"|            CUDA OOMs: 0            |        cudaMalloc retries: 0         |");
    judge(summary(|text| text.replace("600 B  ", "601 B  "))).convicts("SUMM-02");
    judge(summary(|text| text.lines().take(46).map(|l| format!("{l}\n")).collect())).convicts("SUMM-02");
}

#[test]
fn a_snapshot_that_does_not_add_up_convicts() {
    let found = judge(snapshot(|s| s.blocks[0].size = 512)).convicts("SUMM-03");
    insta::assert_snapshot!(found.message.en, @"the blocks of the segment at 0x1000 of device 0 cover 512 B of its 1 KiB");
    judge(snapshot(|s| s.blocks[0].address = 0x1200)).convicts("SUMM-03");
    judge(snapshot(|s| s.requested_size = 601)).convicts("SUMM-03");
    let pending = |s: &mut SegmentView| {
        s.blocks[0].state = BlockState::ActivePendingFree;
        s.allocated_size = 0;
    };
    let found = judge(snapshot(pending)).convicts("SUMM-03");
    insta::assert_snapshot!(found.message.zh, @"设备 0 的快照合计 allocation.all.current = 0，而统计值为 1");
}

#[test]
fn a_segment_of_the_wrong_pool_convicts() {
    judge(snapshot(|s| s.segment_type = PoolKind::Large)).convicts("POOL-01");
}

#[test]
fn a_live_block_that_is_not_shown_convicts() {
    let moved = |s: &mut SegmentView| {
        s.address = 0x8000;
        s.blocks[0].address = 0x8000;
    };
    judge(snapshot(moved)).convicts("MEM-01");
}
