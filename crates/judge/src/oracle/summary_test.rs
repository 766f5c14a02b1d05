//! Dictionaries and tables that agree with the figures pass `summary`; doctored ones convict.

use super::*;
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

fn judge((mut bench, op, reply): (Bench, Op, Reply)) -> crate::oracle::fixture::Judged {
    bench.step(op, reply, |_| {})
}

#[test]
fn what_agrees_passes() {
    judge(dictionary(|_| {})).passes();
    judge(summary(|text| text)).passes();
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
