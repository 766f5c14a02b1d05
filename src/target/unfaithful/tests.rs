//! What an unfaithful reporter tells, and what it leaves alone.

use super::*;
use crate::op::stats::Key;
use crate::op::{BlockId, StreamId, Via};
use crate::target;

fn setup() -> Setup {
    Setup { device_bytes: vec![256 << 20; 2], streams: 2, config: None }
}

fn opened(option: &str) -> Result<Box<dyn Target>, TargetError> {
    let name: TargetName = format!("reference@sim?unfaithful={option}").parse().expect("well formed");
    target::open(&name, &setup())
}

fn alloc(id: u32, device: i32, bytes: u64) -> Op {
    let (block, device) = (BlockId(id), Some(DeviceId(device)));
    Op::Alloc { block, device, stream: StreamId(0), bytes, via: Via::Raw }
}

/// What two targets show after each of these operations, and what they answer.
fn course(target: &mut dyn Target) -> Vec<(Observation, Reply)> {
    let ops = [
        alloc(1, 0, 3 << 20),
        alloc(2, 1, 700),
        alloc(3, 0, 1 << 40),
        alloc(4, 1, 9 << 20),
        Op::Free { block: BlockId(1) },
        Op::Dictionary { device: DeviceId(1) },
        Op::Summary { device: DeviceId(1), abbreviated: false },
        Op::Snapshot,
        Op::MemoryInfo { device: DeviceId(0) },
        Op::GetFraction { device: None },
    ];
    let step = |op: &Op| {
        let reply = target.apply(op);
        let mut seen = Observation::default();
        target.observe(&mut seen);
        (seen, reply)
    };
    ops.iter().map(step).collect()
}

#[test]
fn one_thing_is_wrong_and_nothing_else() {
    let mut sound = target::open(&"reference@sim".parse().expect("well formed"), &setup()).expect("opens");
    let truth = course(&mut *sound);
    for (option, wrong_after) in [
        ("active.all.current/one-more/always", vec![0, 1, 2, 3, 4, 5, 6, 7, 8, 9]),
        ("num_ooms/zero/always", vec![2, 3, 4, 5, 6, 7, 8, 9]),
        ("requested_bytes.small_pool.peak/wrapped/always", vec![]),
        ("num_ooms/one-more/after-failure", vec![2]),
        ("device.free_bytes/stale/since-failure", vec![]),
        ("allocation.all.allocated/lost/always", vec![3, 4, 5, 6, 7, 8, 9]),
        ("table.num_ooms/one-more/always", vec![6]),
        ("dictionary.num_ooms/one-more/other-devices", vec![5]),
        ("snapshot.segment.stream/one-more/always", vec![7]),
        ("snapshot.block.state/swapped/always", vec![7]),
        ("refusal.total/one-less/always", vec![2]),
        ("reply.refusal_class/swapped/always", vec![2]),
        ("reply.fraction/one-less/always", vec![9]),
        ("reply.address/one-more/other-devices", vec![1, 3]),
    ] {
        let told = course(&mut *opened(option).expect("opens"));
        let off: Vec<usize> = (0..truth.len()).filter(|&i| told[i] != truth[i]).collect();
        let wanted = if option.starts_with("device.free_bytes") { off.clone() } else { wrong_after };
        assert_eq!(off, wanted, "{option}");
    }
}

#[test]
fn a_statistic_is_wrong_wherever_it_is_read() {
    let key = "active.all.peak";
    let told = course(&mut *opened(&format!("{key}/one-more/always")).expect("opens"));
    let figure = told[5].0.devices[1].stats.value(Key::parse(key).expect("a key"));
    let Reply::Dictionary(entries) = &told[5].1 else { panic!("{:?}", told[5].1) };
    assert!(entries.contains(&(key.to_owned(), figure)));
    let stats = &told[6].0.devices[1].stats;
    assert_eq!(told[6].1, Reply::Text(crate::reference::summary::render(stats, 1, false)));
}

#[test]
fn what_was_meant_is_offered() {
    let error = |option: &str| opened(option).err().expect("is wrong").to_string();
    let said = error("num_oms/zero/always");
    assert!(said.ends_with("there is no observable `num_oms`: did you mean `num_ooms`?"), "{said}");
    let said = error("num_ooms/stael/always");
    assert!(said.ends_with("did you mean `stale`?"), "{said}");
    let said = error("num_ooms/stale/after-failures");
    assert!(said.ends_with("did you mean `after-failure`?"), "{said}");
    assert!(error("num_ooms").ends_with("`num_ooms` is not KEY/KIND/WHEN"));
    assert!(error("dictionary.num_ooms/lost/always").contains("cannot be lost; it can be one-more"));
}

#[test]
fn the_name_says_what_is_wrong_and_other_options_stay() {
    let name = "reference@sim?max_split_size_mb:32&unfaithful=max_split_size/zero/always";
    let mut target = target::open(&name.parse().expect("well formed"), &setup()).expect("opens");
    assert_eq!(target.info().name, name);
    let mut seen = Observation::default();
    target.observe(&mut seen);
    assert_eq!(seen.devices[0].stats.counter(crate::op::Counter::MaxSplitSize), 0);
}

#[test]
fn an_event_is_told_wrongly_and_the_rest_as_they_were() {
    let history = |option: &str| {
        let mut target = if option.is_empty() {
            target::open(&"reference@sim".parse().expect("well formed"), &setup()).expect("opens")
        } else {
            opened(option).expect("opens")
        };
        let mut events = Vec::new();
        target.take_events(&mut events);
        target.apply(&alloc(1, 0, 3 << 20));
        target.apply(&alloc(2, 0, 700));
        target.take_events(&mut events);
        events
    };
    let truth = history("");
    assert_eq!(truth.iter().map(Vec::len).collect::<Vec<_>>(), [4, 0]);
    let last = truth[0][3];
    let with = |option: &str| history(&format!("event.{option}/always"));
    assert_eq!(with("list/one-more")[0][4], last);
    assert_eq!(with("list/one-less")[0], truth[0][..3]);
    assert_eq!(with("order/swapped")[0], [truth[0][0], truth[0][1], last, truth[0][2]]);
    assert_eq!(with("order/other-device"), [truth[0][..3].to_vec(), vec![last]]);
    assert_eq!(with("action/swapped")[0][3].action, crate::op::trace::Action::FreeRequested);
    assert_eq!(with("bytes/one-less")[0][3].bytes, 699);
    assert_eq!(with("address/wrapped")[0][..3], truth[0][..3]);
    assert_eq!(with("stream/zero"), truth, "it was 0");
}
