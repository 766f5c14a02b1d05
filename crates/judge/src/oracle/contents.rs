//! Contents: a block holds what was written to it, in memory that is there.
//!
//! Judges the answers to `Verify`, and work that found no memory behind its addresses. Does not cover: blocks that were never filled, bytes between two
//! verifications, and work on streams that were never recorded: that is the caller's error, and never asked.

use super::cite::{MEM_01, MEM_03, say};
use super::{Oracle, Seen};
use crate::op::{ContentsReport, Op, OracleName, Reply, Text, wording};
use crate::verdict::Violation;

pub(super) struct Contents;

impl Contents {
    /// Work that is still to run keeps its stream busy.
    fn idle_but_pending(&self, seen: &Seen<'_>, block: crate::op::BlockId) -> Option<Violation> {
        let live = seen.model.block(block)?;
        let is_idle = |seen: &crate::op::Observation| seen.devices.get(live.device)?.is_idle(live.stream).then_some(());
        is_idle(seen.before).and(is_idle(seen.after))?;
        let stream = live.stream;
        let number = stream.0;
        let message = say!(
            "what {block} holds could not be read for work that is still to run, but its {stream} is idle",
            "因有工作未完成而无法读取 {block} 的内容，但其所在的流 {number} 为空闲"
        );
        let what = say!("contents of {block}", "{block} 的内容");
        let (expected, actual) = (Text::new("read", "可读取"), Text::new("work pending", "有工作未完成"));
        Some(Violation::new(self.name(), Some(MEM_03), message).figure(what, expected, actual))
    }
}

impl Oracle for Contents {
    fn name(&self) -> OracleName {
        OracleName::Contents
    }

    fn judge(&mut self, seen: &Seen<'_>, convictions: &mut Vec<Violation>) {
        let Reply::Contents(report) = seen.reply else { return };
        let Some(Op::Verify { block } | Op::Use { block, .. } | Op::Fill { block }) = seen.op else { return };
        if *report == ContentsReport::Intact {
            return;
        }
        if *report == ContentsReport::Pending {
            convictions.extend(self.idle_but_pending(seen, *block));
            return;
        }
        let (size, address) = seen.model.block(*block).map_or((0, 0), |live| (live.bytes, live.address));
        let size = wording::bytes(size);
        let violation = match report {
            ContentsReport::Intact | ContentsReport::Pending => return,
            ContentsReport::Changed { offset, bytes, found } => {
                let bytes = wording::bytes(*bytes);
                let message = say!(
                    "{block} no longer holds what was written: {bytes} of its {size}, from offset {offset}, hold {found}",
                    "{block} 的内容已改变：{size} 中自偏移 {offset} 起有 {bytes} 现为 {found}"
                );
                let what = say!("contents of {block} from offset {offset}", "{block} 自偏移 {offset} 起的内容");
                let expected = Text::new("what was written", "写入的内容");
                Violation::new(self.name(), Some(MEM_03), message).figure(what, expected, found.as_str())
            }
            ContentsReport::Unmapped { offset } => {
                let message = say!(
                    "{block} of {size} has no memory of its device behind offset {offset}",
                    "{block}（{size}）在偏移 {offset} 处没有其设备的内存"
                );
                let what = say!("memory behind {block}", "{block} 的内存");
                let expected = say!("all of its {size}", "全部 {size}");
                let actual = say!("none at offset {offset}", "偏移 {offset} 处没有");
                Violation::new(self.name(), Some(MEM_01), message).figure(what, expected, actual)
            }
        };
        convictions.push(violation.with("address", "地址", format_args!("{address:#x}")));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::op::BlockId;
    use crate::oracle::fixture::Bench;

    #[test]
    fn work_that_is_pending_keeps_its_stream_busy() {
        let mut bench = Bench::new(OracleName::Contents);
        bench.alloc(1, 0x1000, 512).passes();
        let busy = |o: &mut crate::op::Observation| o.devices[0].idle = !1;
        let (op, reply) = verify(ContentsReport::Pending);
        bench.step(op.clone(), reply.clone(), busy).passes();
        bench.step(op.clone(), reply.clone(), |o| o.devices[0].idle = u64::MAX).passes();
        bench.step(op, reply, |_| {}).convicts("MEM-03");
    }

    fn verify(report: ContentsReport) -> (Op, Reply) {
        (Op::Verify { block: BlockId(1) }, Reply::Contents(report))
    }

    #[test]
    fn intact_and_pending_pass() {
        let mut bench = Bench::new(OracleName::Contents);
        bench.alloc(1, 0x1000, 512).passes();
        for report in [ContentsReport::Intact, ContentsReport::Pending] {
            let (op, reply) = verify(report);
            bench.step(op, reply, |o| o.devices[0].idle = !1).passes();
        }
    }

    #[test]
    fn changed_and_unmapped_convict() {
        let mut bench = Bench::new(OracleName::Contents);
        bench.alloc(1, 0x1000, 512).passes();
        let found = "the pattern of b7".to_owned();
        let (op, reply) = verify(ContentsReport::Changed { offset: 256, bytes: 16, found });
        let found = bench.step(op, reply, |_| {}).convicts("MEM-03");
        insta::assert_snapshot!(found.message.en, @"b1 no longer holds what was written: 16 B of its 512 B, from offset 256, hold the pattern of b7");
        let (op, reply) = verify(ContentsReport::Unmapped { offset: 0 });
        bench.step(op, reply, |_| {}).convicts("MEM-01");
    }
}
