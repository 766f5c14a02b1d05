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
            "a refusal (invalid_argument) was expected, but the answer was `address 0x2000`",
            "nothing was expected to change, but num_device_alloc of device 0 went from 1 to 2",
        ]
    );
    let succeeds = Expect { succeeds: true, ..Expect::default() };
    assert_eq!(
        answered(&oom(), &succeeds),
        ["success was expected, but the answer was `refused (out_of_memory): out of memory`"]
    );
}

#[test]
fn addresses_that_differ_convict() {
    let address = |wanted| judge(&Expect { address: Some(wanted), ..Expect::default() });
    let same = address(AddressExpect::SameAs(BlockId(1)));
    assert_eq!(same, ["the address of b1, 0x1000, was expected, but 0x2000 was given"]);
    assert_eq!(address(AddressExpect::Null), ["the null address was expected, but 0x2000 was given"]);
    assert_eq!(address(AddressExpect::NotNull), [""; 0]);
}

#[test]
fn figures_that_differ_convict() {
    let at_most = Amount::Between { at_least: None, at_most: Some(1) };
    let stats = Expect { stats: figures("active.all.peak", at_most), ..Expect::default() };
    assert_eq!(judge(&stats), ["active.all.peak of device 0 was expected to be at most 1, but is 2"]);
    let change = Expect { change: figures("num_ooms", Amount::Exactly(1)), ..Expect::default() };
    assert_eq!(judge(&change), ["num_ooms of device 0 was expected to move by exactly 1, but moved by 0"]);
    let unknown = Expect { stats: figures("num_oom", Amount::Exactly(1)), ..Expect::default() };
    assert_eq!(judge(&unknown), ["there is no figure named num_oom"]);
    let fraction = Expect { fraction: [(DeviceId(0), 0.5), (DeviceId(7), 1.0)].into(), ..Expect::default() };
    assert_eq!(
        judge(&fraction),
        ["a fraction of 0.5 was expected on device 0, but it reads back as 1", "there is no device 7 to look at",]
    );
}

#[test]
fn texts_that_differ_convict() {
    let expect = Expect { contains: vec!["GPU 0".to_owned()], lines: Some(Amount::Exactly(2)), ..Expect::default() };
    assert_eq!(
        answered(&Reply::Text("one line".to_owned()), &expect),
        [
            "`GPU 0` was expected in the answer `1 lines of text`",
            "a text of exactly 2 lines was expected, but it has 1",
        ]
    );
    let expect = Expect { keys: Some(122), ..Expect::default() };
    let found = answered(&Reply::Dictionary(Vec::new()), &expect);
    assert_eq!(found, ["a dictionary of 122 keys was expected, but it has 0"]);
    let expect = Expect { segments: [(DeviceId(0), Amount::Exactly(1))].into(), ..Expect::default() };
    let found = answered(&Reply::Snapshot(Box::default()), &expect);
    assert_eq!(found, ["the snapshot was expected to show exactly 1 segments on device 0, but shows 0"]);
}

#[test]
fn a_refusal_that_moves_only_counters_is_a_change() {
    let mut bench = Bench::new(OracleName::Expectation);
    let expect = Expect { unchanged: true, ..Expect::default() };
    let judged = bench.judge(Some(&alloc(1, 1 << 30)), &oom(), Some(&expect), |o| refuse(&mut o.devices[0]));
    assert_eq!(
        messages(judged),
        ["nothing was expected to change, but num_alloc_retries of device 0 went from 0 to 1"]
    );
}
