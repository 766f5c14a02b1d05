//! An allocator that hands out the same address twice is convicted: `cargo run -p poolproof-judge --example overlap`.

use poolproof_judge::model::Model;
use poolproof_judge::oracle::{Moved, Seen, build};
use poolproof_words::op::{
    BlockId, Contract, DeviceId, DeviceInfo, DeviceView, Growth, Observation, Op, OracleName, Reply, StreamId,
    TargetInfo, Via,
};

fn main() {
    let info = TargetInfo {
        name: "mine".to_owned(),
        devices: vec![DeviceInfo::whole("a device", 1 << 30)],
        streams: 1,
        capabilities: [].into(),
        contract: Contract { alignment: 1, growth: Growth::USUAL, counts_segments: false, tensor_limit: None },
        config: None,
    };
    let seen = Observation { devices: vec![DeviceView { total_bytes: 1 << 30, ..DeviceView::default() }] };
    let mut model = Model::new(&info);
    let mut judges = build(&[OracleName::Overlap].into(), &info, &seen);
    let moved = Moved::default();
    for (number, address) in [(0, 0x1000), (1, 0x1200)] {
        let device = Some(DeviceId(0));
        let op = Op::Alloc { block: BlockId(number), device, stream: StreamId(0), bytes: 1_000, via: Via::Raw };
        let reply = Reply::Allocated { address };
        let law = model.law(&op);
        let effect = model.apply(&op, &reply, &seen);
        let step = Seen {
            op: Some(&op),
            reply: &reply,
            expect: None,
            before: &seen,
            after: &seen,
            moved: &moved,
            law,
            effect,
            model: &model,
            is_retry: false,
            events: None,
            misuse: &[],
            is_end: false,
        };
        let mut convictions = Vec::new();
        judges.iter_mut().for_each(|judge| judge.judge(&step, &mut convictions));
        let said = convictions.first().map_or("in order", |violation| &violation.message.en);
        println!("block {number} at {address:#x}: {said}");
    }
}
