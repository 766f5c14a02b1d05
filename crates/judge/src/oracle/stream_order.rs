//! Stream order: freed memory reaches another stream only after the work of its own stream and of every
//! recorded stream has finished, or comes before the work of that other stream, which was told to wait for it after the
//! free.
//!
//! Does not cover: work on streams that the caller never recorded; the part of a freed block beyond the
//! bytes asked for; streams that were recorded on a block and the block freed while requests on its device were
//! redirected, which PyTorch takes for captured work and forgets; and work on a stream that was given more to do before it was seen idle, once the
//! allocator may have waited for that work. Streams must stay busy until told otherwise.

use super::cite::{STRM_01, STRM_02, say};
use super::{Oracle, Seen};
use crate::model::Effect;
use crate::op::OracleName;
use crate::verdict::Violation;

pub(super) struct StreamOrder;

impl Oracle for StreamOrder {
    fn name(&self) -> OracleName {
        OracleName::StreamOrder
    }

    fn judge(&mut self, seen: &Seen<'_>, convictions: &mut Vec<Violation>) {
        if seen.is_unlawful_service() {
            return;
        }
        let (Effect::Allocated(block, live), Some(early)) = (seen.effect, seen.model.trespass()) else { return };
        let (address, end, stream) = (live.address, live.end(), live.stream.0);
        let (start, stop, own) = (early.address, early.end, early.own.0);
        let list: Vec<String> = (0..64).filter(|s| early.streams >> s & 1 == 1).map(|s| s.to_string()).collect();
        let waiting = list.join(", ");
        let (requirement, message) = if early.streams >> (own & 63) & 1 == 1 {
            let message = say!(
                "{block} on stream {stream} was given [{address:#x}, {end:#x}), freed memory on which work of its own stream {own} has not finished",
                "流 {stream} 上的 {block} 得到 [{address:#x}, {end:#x})，而该已释放内存在其所属流 {own} 上的工作尚未完成"
            );
            (STRM_01, message)
        } else {
            let message = say!(
                "{block} on stream {stream} was given [{address:#x}, {end:#x}), freed memory that recorded stream {waiting} still uses",
                "流 {stream} 上的 {block} 得到 [{address:#x}, {end:#x})，而该已释放内存仍被记录流 {waiting} 使用"
            );
            (STRM_02, message)
        };
        let what = say!("memory given to {block}", "{block} 得到的内存");
        let expected = say!("outside [{start:#x}, {stop:#x})", "[{start:#x}, {stop:#x}) 之外");
        let violation = Violation::new(self.name(), Some(requirement), message)
            .figure(what, expected, format!("[{address:#x}, {end:#x})"))
            .with("unfinished streams", "未完成的流", waiting)
            .with("range that was freed", "已释放的区间", format_args!("[{start:#x}, {stop:#x})"));
        convictions.push(violation);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::op::{BlockId, Op, Reply, StreamId};
    use crate::oracle::fixture::{Bench, alloc_on, free};

    fn occupy(bench: &mut Bench, stream: u8) {
        let op = Op::Occupy { device: crate::op::DeviceId(0), stream: StreamId(stream) };
        bench.step(op, Reply::Done, |o| o.devices[0].idle &= !(1 << stream)).passes();
    }

    #[test]
    fn the_same_stream_and_finished_streams_pass() {
        let mut bench = Bench::new(OracleName::StreamOrder);
        bench.alloc(1, 0x1000, 512).passes();
        occupy(&mut bench, 0);
        bench.step(free(1), Reply::Done, |_| {}).passes();
        bench.alloc(2, 0x1000, 512).passes();
        bench.step(free(2), Reply::Done, |_| {}).passes();
        let reply = Reply::Allocated { address: 0x1000 };
        bench.step(alloc_on(3, 1, 512), reply, |o| o.devices[0].idle = u64::MAX).passes();
    }

    #[test]
    fn another_stream_convicts_while_the_own_stream_works() {
        let mut bench = Bench::new(OracleName::StreamOrder);
        bench.alloc(1, 0x1000, 512).passes();
        occupy(&mut bench, 0);
        bench.step(free(1), Reply::Done, |_| {}).passes();
        let found = bench.step(alloc_on(2, 1, 512), Reply::Allocated { address: 0x1000 }, |_| {}).convicts("STRM-01");
        insta::assert_snapshot!(found.message.en, @"b2 on stream 1 was given [0x1000, 0x1200), freed memory on which work of its own stream 0 has not finished");
    }

    fn wait(bench: &mut Bench, stream: u8, on: u8) {
        let op = Op::WaitStream { device: crate::op::DeviceId(0), stream: StreamId(stream), on: StreamId(on) };
        bench.step(op, Reply::Done, |o| o.devices[0].idle &= !(1 << stream)).passes();
    }

    #[test]
    fn who_was_told_to_wait_after_the_free_may_have_it_and_nobody_else() {
        let mut bench = Bench::new(OracleName::StreamOrder);
        bench.alloc(1, 0x1000, 512).passes();
        occupy(&mut bench, 0);
        wait(&mut bench, 1, 0);
        bench.step(free(1), Reply::Done, |_| {}).passes();
        wait(&mut bench, 2, 0);
        let reply = || Reply::Allocated { address: 0x1000 };
        bench.step(alloc_on(2, 2, 100), reply(), |_| {}).passes();
        let reply = Reply::Allocated { address: 0x1100 };
        let found = bench.step(alloc_on(3, 1, 100), reply, |_| {}).convicts("STRM-01");
        assert_eq!(
            found.message.en,
            "b3 on stream 1 was given [0x1100, 0x1164), freed memory on which work of its own stream 0 has not finished"
        );
    }

    #[test]
    fn a_recorded_stream_that_waits_convicts_until_the_other_is_done() {
        let mut bench = Bench::new(OracleName::StreamOrder);
        bench.alloc(1, 0x1000, 512).passes();
        bench.step(Op::RecordStream { block: BlockId(1), stream: StreamId(2) }, Reply::Done, |_| {}).passes();
        occupy(&mut bench, 1);
        wait(&mut bench, 2, 1);
        bench.step(free(1), Reply::Done, |_| {}).passes();
        // Nothing of its own ends here, whatever it is told.
        let finish = |stream| Op::Finish { device: crate::op::DeviceId(0), stream: StreamId(stream) };
        bench.step(finish(2), Reply::Done, |_| {}).passes();
        bench.alloc(2, 0x1000, 100).convicts("STRM-02");
        occupy(&mut bench, 2);
        bench.step(finish(1), Reply::Done, |o| o.devices[0].idle |= 1 << 1).passes();
        bench.alloc(3, 0x1100, 100).passes();
    }

    #[test]
    fn any_other_stream_convicts_while_a_recorded_stream_works() {
        let mut bench = Bench::new(OracleName::StreamOrder);
        bench.alloc(1, 0x1000, 512).passes();
        occupy(&mut bench, 2);
        let record = Op::RecordStream { block: BlockId(1), stream: StreamId(2) };
        bench.step(record, Reply::Done, |_| {}).passes();
        bench.step(free(1), Reply::Done, |_| {}).passes();
        let found = bench.alloc(2, 0x1000, 512).convicts("STRM-02");
        insta::assert_snapshot!(found.message.zh, @"流 0 上的 b2 得到 [0x1000, 0x1200)，而该已释放内存仍被记录流 2 使用");
    }
}
