//! Every clause of an `expect` holds or says precisely what did not.

use super::*;

use crate::op::{BlockId, Drop, Op, RefusalClass};
use crate::oracle::fixture::{Bench, alloc, hand_out, oom, refuse};

/// Judges an allocation of 512 B with this expectation, after b1 was given 0x1000.
fn judge(expect: &Expect) -> Vec<String> {
    let mut bench = Bench::new(OracleName::Expectation);
    bench.alloc(1, 0x1000, 600).passes();
    let reply = Reply::Allocated { address: 0x2000 };
    let judged = bench.judge(Some(&alloc(2, 512)), &reply, Some(expect), |o| hand_out(&mut o.devices[0], 512));
    messages(judged)
}

/// Judges a call that answers so and changes nothing.
fn answered(reply: &Reply, expect: &Expect) -> Vec<String> {
    let mut bench = Bench::new(OracleName::Expectation);
    messages(bench.judge(Some(&Op::Snapshot), reply, Some(expect), |_| {}))
}

fn messages(judged: crate::oracle::fixture::Judged) -> Vec<String> {
    let all = judged.all();
    assert!(all.iter().all(|v| v.requirement.is_none() && !v.message.zh.is_empty()));
    all.into_iter().map(|v| v.message.en).collect()
}

#[test]
fn a_figure_reads_in_units_in_both_languages() {
    let mut bench = Bench::new(OracleName::Expectation);
    let bounds = Amount::Between { at_least: Some(3 << 20), at_most: None };
    let expect = Expect { change: figures("allocated_bytes.small_pool.current", bounds), ..Expect::default() };
    let reply = Reply::Allocated { address: 0x2000 };
    let judged = bench.judge(Some(&alloc(2, 600)), &reply, Some(&expect), |o| hand_out(&mut o.devices[0], 600));
    let all = judged.all();
    let figure = all[0].figure.as_ref().expect("an amount is a figure");
    assert_eq!(figure.what.en, "change of allocated bytes of device 0, small pool, current");
    assert_eq!((figure.expected.en.as_str(), figure.actual.en.as_str()), ("at least 3 MiB", "1 KiB"));
    assert_eq!((figure.expected.zh.as_str(), figure.actual.zh.as_str()), ("至少 3 MiB", "1 KiB"));
    let zh = "设备 0 的 allocated_bytes.small_pool.current 变化 1 KiB，而非至少 3 MiB";
    assert_eq!(all[0].message.zh, zh);
}

fn figures(name: &str, amount: Amount) -> std::collections::BTreeMap<DeviceId, Figures> {
    [(DeviceId(0), [(name.to_owned(), amount)].into())].into()
}

#[test]
fn what_holds_passes() {
    let expect = Expect {
        succeeds: true,
        address: Some(AddressExpect::DifferentFrom(BlockId(1))),
        fraction: [(DeviceId(1), 1.0)].into(),
        stats: figures("allocation.all.current", Amount::Exactly(2)),
        change: figures("free_bytes", Amount::Exactly(-512)),
        ..Expect::default()
    };
    assert_eq!(judge(&expect), [""; 0]);
    let expect =
        Expect { refused: Some(RefusalClass::OutOfMemory), contains: vec!["memory".to_owned()], ..Expect::default() };
    assert_eq!(answered(&oom(), &expect), [""; 0]);
    assert_eq!(answered(&Reply::Dropped(Drop::NoSuchBlock), &expect), [""; 0], "never asked");
}

#[test]
fn answers_that_differ_convict() {
    let refused = Expect { refused: Some(RefusalClass::InvalidArgument), unchanged: true, ..Expect::default() };
    assert_eq!(
        judge(&refused),
        [
            "the answer was `address 0x2000` instead of a refusal as invalid_argument",
            "num_device_alloc of device 0 went from 1 to 2 in a step that must change nothing",
        ]
    );
    let succeeds = Expect { succeeds: true, ..Expect::default() };
    assert_eq!(
        answered(&oom(), &succeeds),
        ["the call did not succeed: the answer was `refused (out_of_memory): out of memory`"]
    );
}

#[test]
fn addresses_that_differ_convict() {
    let address = |wanted| judge(&Expect { address: Some(wanted), ..Expect::default() });
    let same = address(AddressExpect::SameAs(BlockId(1)));
    assert_eq!(same, ["0x2000 was given instead of 0x1000, the address of b1"]);
    assert_eq!(address(AddressExpect::Null), ["0x2000 was given instead of the null address"]);
    assert_eq!(address(AddressExpect::NotNull), [""; 0]);
}

/// Judges an allocation of 512 B at 0x2000 against an address, on a target without PyTorch's policy, after b1 lay at
/// `former` and was freed on a stream that is busy or not.
fn placed(wanted: AddressExpect, former: u64, busy: bool, change: impl FnOnce(&mut crate::op::Observation)) -> usize {
    let mut info = crate::oracle::fixture::info();
    info.capabilities.retain(|c| !matches!(c, crate::op::Capability::Policy(_)));
    let mut bench = Bench::with(&[OracleName::Expectation], &info);
    bench.alloc(1, former, 600).passes();
    if busy {
        bench.now.devices[0].idle = 0;
    }
    // kept by a cache: nothing goes back
    bench.step(crate::oracle::fixture::free(1), Reply::Done, |_| {}).passes();
    let expect = Expect { address: Some(wanted), ..Expect::default() };
    bench.judge(Some(&alloc(2, 512)), &Reply::Allocated { address: 0x2000 }, Some(&expect), change).all().len()
}

/// Nothing counts what goes back to the device; who promises to keep what is cached is held to it, while there is room.
#[test]
fn cached_memory_stays_where_that_is_promised() {
    use crate::op::Capability::{Caching, Counters, KeepsCached};
    let found = |promises: &[crate::op::Capability], bytes: u64| {
        let mut info = crate::oracle::fixture::info();
        info.capabilities.retain(|c| ![Caching, Counters, KeepsCached].contains(c));
        info.capabilities.extend(promises);
        let mut bench = Bench::with(&[OracleName::Expectation], &info);
        bench.alloc(1, 0x1000, bytes).passes();
        bench.step(crate::oracle::fixture::free(1), Reply::Done, |_| {}).passes();
        let wanted = Expect { address: Some(AddressExpect::DifferentFrom(BlockId(1))), ..Expect::default() };
        bench.judge(Some(&alloc(2, 512)), &Reply::Allocated { address: 0x1000 }, Some(&wanted), |_| {}).all().len()
    };
    assert_eq!(found(&[Caching, KeepsCached], 600), 1);
    assert_eq!(found(&[Caching], 600), 0, "it may have gone back at any time");
    let total = crate::oracle::fixture::info().devices[0].total_bytes;
    assert_eq!(found(&[Caching, KeepsCached], total), 0, "the request may have needed the room");
}

#[test]
fn which_cached_block_serves_is_anybodys_choice() {
    let same = AddressExpect::SameAs(BlockId(1));
    assert_eq!(placed(same, 0x1000, false, |_| {}), 0, "other cached memory");
    assert_eq!(placed(same, 0x1000, false, |o| hand_out(&mut o.devices[0], 512)), 1, "more memory");
}

#[test]
fn memory_that_went_back_or_is_waited_for_no_longer_may_be_anybodys() {
    let different = AddressExpect::DifferentFrom(BlockId(1));
    assert_eq!(placed(different, 0x2000, false, |_| {}), 1, "nothing tells that it went back");
    let exchange = |o: &mut crate::op::Observation| {
        crate::oracle::fixture::take_back(&mut o.devices[0], 600);
        hand_out(&mut o.devices[0], 512);
    };
    assert_eq!(placed(different, 0x2000, false, exchange), 0, "it may have gone back");
    assert_eq!(placed(different, 0x2000, true, |o| o.devices[0].idle = u64::MAX), 0, "what it waited for is over");
    assert_eq!(placed(different, 0x1000, false, |_| {}), 0);
}

#[test]
fn figures_that_differ_convict() {
    let at_most = Amount::Between { at_least: None, at_most: Some(1) };
    let stats = Expect { stats: figures("active.all.peak", at_most), ..Expect::default() };
    assert_eq!(judge(&stats), ["active.all.peak of device 0 is 2 instead of at most 1"]);
    let change = Expect { change: figures("num_ooms", Amount::Exactly(1)), ..Expect::default() };
    assert_eq!(judge(&change), ["num_ooms of device 0 moved by 0 instead of 1"]);
    let unknown = Expect { stats: figures("num_oom", Amount::Exactly(1)), ..Expect::default() };
    assert_eq!(judge(&unknown), ["there is no figure named num_oom"]);
    let fraction = Expect { fraction: [(DeviceId(0), 0.5), (DeviceId(7), 1.0)].into(), ..Expect::default() };
    assert_eq!(
        judge(&fraction),
        ["the fraction of device 0 reads back as 1 instead of 0.5", "there is no device 7 to look at",]
    );
}

#[test]
fn texts_that_differ_convict() {
    let expect = Expect { contains: vec!["GPU 0".to_owned()], lines: Some(Amount::Exactly(2)), ..Expect::default() };
    assert_eq!(
        answered(&Reply::Text("one line".to_owned()), &expect),
        ["the answer `1 lines of text` lacks `GPU 0`", "the text has 1 lines instead of 2",]
    );
    let expect = Expect { keys: Some(122), ..Expect::default() };
    let found = answered(&Reply::Dictionary(Vec::new()), &expect);
    assert_eq!(found, ["the dictionary has 0 keys instead of 122"]);
    let expect = Expect { segments: [(DeviceId(0), Amount::Exactly(1))].into(), ..Expect::default() };
    let found = answered(&Reply::Snapshot(Box::default()), &expect);
    assert_eq!(found, ["the snapshot shows 0 segments on device 0 instead of 1"]);
}

#[test]
fn a_refusal_that_moves_only_counters_is_a_change() {
    let mut bench = Bench::new(OracleName::Expectation);
    let expect = Expect { unchanged: true, ..Expect::default() };
    let judged = bench.judge(Some(&alloc(1, 1 << 30)), &oom(), Some(&expect), |o| refuse(&mut o.devices[0]));
    assert_eq!(messages(judged), ["num_alloc_retries of device 0 went from 0 to 1 in a step that must change nothing"]);
}
