//! Exhaustion: memory is refused only when nothing fits, and an identical request right after is refused too.
//!
//! Judges refusals by what the contract says a request may cost at most, so a request that only a tight fit
//! could serve may be refused. Does not cover: room between live blocks of one segment, cached memory while
//! something is live or waiting, requests refused in a step in which a planned fault fired (and the probe
//! after them), and wrong grants (`limit`, `overlap`). A request in whose refusal waiting blocks became free
//! may be served when asked again: an allocator that waits for streams last does not search its cache once more. So
//! may one in whose refusal a busy stream finished: what other streams have cached may be lent from then on.
//! While requests on the device are redirected nothing need be flushed, and a private pool keeps what it has
//! cached there: cached memory is not judged while there is either. What happens on other devices excuses nothing.
//!
//! Of a target without figures only this is judged: with nothing live and no work under way, it refuses what it has served before.

use std::collections::BTreeMap;

use super::cite::{OOM_01, OOM_04, say};
use super::limit::limit_of;
use super::view::refusal;
use super::{Oracle, Seen};
use crate::model::Effect;
use crate::op::{Capability, DeviceView, Family, Op, OracleName, TargetInfo, Text, wording};
use crate::verdict::Violation;

pub(super) struct Exhaustion {
    /// Free memory and what is reserved are known.
    figures: bool,
    active: bool,
    /// The latest refusal says nothing of the probe after it.
    excused: bool,
    /// One bit a stream that there is.
    streams: u64,
    /// By device, the largest request that was served.
    served: BTreeMap<usize, u64>,
}

impl Exhaustion {
    pub(super) fn new(info: &TargetInfo) -> Self {
        Exhaustion {
            figures: info.can(Capability::MemoryInfo) && info.shows(Family::ReservedBytes),
            active: info.shows(Family::Active) || info.shows(Family::ActiveBytes),
            excused: false,
            streams: u64::MAX >> (64 - u32::from(info.streams.clamp(1, 64))),
            served: BTreeMap::new(),
        }
    }

    /// As far as it can be told without figures: on a device of which nobody holds anything.
    fn judge_blindly(&self, seen: &Seen<'_>, device: usize, bytes: u64, convictions: &mut Vec<Violation>) {
        let Some(state) = seen.model.device(device) else { return };
        let idle = |views: &[DeviceView]| views.get(device).is_some_and(|view| self.streams & !view.idle == 0);
        let busy = !idle(&seen.before.devices) || !idle(&seen.after.devices);
        let pools = seen.model.pools();
        let kept = pools.is_redirected(device) || pools.any_alive_on(device);
        let limited = limit_of(seen, device).is_some_and(|limit| seen.model.at_most(bytes) > limit);
        let served = self.served.get(&device).copied().unwrap_or(0);
        if state.live > 0 || busy || kept || limited || served < bytes {
            return;
        }
        let [asked, served] = [bytes, served].map(wording::bytes);
        let message = say!(
            "{asked} were refused as out of memory although nothing was live or under way on device {device}, which had served up to {served} before",
            "申请 {asked} 因内存不足被拒绝，但设备 {device} 上没有存活的块和未完成的工作，且此前单次最多满足过 {served}"
        );
        let what = say!("answer to {asked} on device {device}", "设备 {device} 上申请 {asked} 的应答");
        let violation = Violation::new(self.name(), Some(OOM_04), message);
        convictions.push(violation.figure(what, Text::new("served", "成功"), refusal("out_of_memory")));
    }

    fn judge_refusal(&self, seen: &Seen<'_>, device: usize, bytes: u64, convictions: &mut Vec<Violation>) {
        let (Some(view), Some(state)) = (seen.after.devices.get(device), seen.model.device(device)) else { return };
        let most = seen.model.owed_from(bytes);
        let free = view.free_bytes;
        let reserved = u64::try_from(view.stats.all(Family::ReservedBytes).current).unwrap_or(0);
        let limit = limit_of(seen, device);
        let allowed = limit.is_none_or(|limit| reserved.saturating_add(most) <= limit);
        let limit_line = || limit.map_or_else(|| "none".to_owned(), wording::bytes);
        if free >= most && allowed {
            let [asked, cost, free] = [bytes, most, free].map(wording::bytes);
            let message = say!(
                "{asked} were refused as out of memory although device {device} had {free} free and such a request costs at most {cost}",
                "申请 {asked} 因内存不足被拒绝，但设备 {device} 尚有 {free} 空闲，而该申请至多需要 {cost}"
            );
            let violation = Violation::new(self.name(), Some(OOM_01), message)
                .figure(
                    say!("free memory of device {device} at the refusal", "拒绝时设备 {device} 的空闲内存"),
                    say!("less than {cost}", "少于 {cost}"),
                    free,
                )
                .with("reserved", "已保留", wording::bytes(reserved))
                .with("limit", "上限", limit_line());
            convictions.push(violation);
            return;
        }
        let active = view.stats.all(Family::Active).current | view.stats.all(Family::ActiveBytes).current;
        let pools = seen.model.pools();
        let kept = pools.is_redirected(device) || pools.any_alive_on(device);
        let idle = !kept && self.active && state.live == 0 && active == 0;
        let whole = free.saturating_add(reserved);
        if idle && whole >= most && limit.is_none_or(|limit| most <= limit) {
            let [asked, cost, free, reserved] = [bytes, most, free, reserved].map(wording::bytes);
            let message = say!(
                "{asked} were refused as out of memory although nothing was live or waiting on device {device}: {free} were free, {reserved} only cached, and such a request costs at most {cost}",
                "申请 {asked} 因内存不足被拒绝，但设备 {device} 上没有存活或等待的块：空闲 {free}，另有 {reserved} 仅为缓存，而该申请至多需要 {cost}"
            );
            let what = say!("cached memory of device {device} at the refusal", "拒绝时设备 {device} 的缓存内存");
            let violation = Violation::new(self.name(), Some(OOM_04), message);
            let violation = violation.figure(what, say!("0 B: given back first", "0 B：先归还"), reserved);
            convictions.push(violation.with("limit", "上限", limit_line()));
        }
    }
}

/// Whether blocks that had waited for streams became free in this step.
fn resolved(seen: &Seen<'_>, device: usize) -> bool {
    let current = |views: &[DeviceView], family| views.get(device).map_or(0, |v| v.stats.all(family).current);
    [Family::Active, Family::ActiveBytes]
        .into_iter()
        .any(|family| current(&seen.after.devices, family) < current(&seen.before.devices, family))
}

/// Whether a stream that was busy before this step has nothing left to do.
fn finished(seen: &Seen<'_>, device: usize) -> bool {
    let idle = |views: &[DeviceView]| views.get(device).map_or(0, |v| v.idle);
    idle(&seen.after.devices) & !idle(&seen.before.devices) != 0
}

/// Whether memory went back to the device in a step under a redirection, where no flush is owed and the
/// request need not be tried once more.
fn flushed_in_part(seen: &Seen<'_>, device: usize) -> bool {
    let reserved = |views: &[DeviceView]| views.get(device).map_or(0, |v| v.stats.all(Family::ReservedBytes).current);
    seen.model.pools().is_redirected(device) && reserved(&seen.after.devices) < reserved(&seen.before.devices)
}

impl Oracle for Exhaustion {
    fn name(&self) -> OracleName {
        OracleName::Exhaustion
    }

    fn judge(&mut self, seen: &Seen<'_>, convictions: &mut Vec<Violation>) {
        let Some(Op::Alloc { bytes, .. }) = seen.asked() else { return };
        if let (Effect::Allocated(_, live), false) = (&seen.effect, self.figures) {
            let most = self.served.entry(live.device).or_default();
            *most = (*most).max(*bytes);
        }
        match seen.effect {
            Effect::Allocated(block, live) if seen.is_retry && !self.excused => {
                let device = live.device;
                let asked = wording::bytes(*bytes);
                let message = say!(
                    "{asked} were refused on device {device} as out of memory, and {block}, the identical request right after, was served",
                    "设备 {device} 上申请 {asked} 因内存不足被拒绝，紧随其后的相同请求 {block} 却成功"
                );
                let what = Text::new("answer to the identical request right after", "紧随其后的相同请求的应答");
                let violation = Violation::new(self.name(), Some(OOM_01), message);
                convictions.push(violation.figure(what, refusal("out_of_memory"), Text::new("served", "成功")));
            }
            Effect::Refused { device } => {
                let fault = seen.fired_on(device);
                self.excused =
                    fault || resolved(seen, device) || finished(seen, device) || flushed_in_part(seen, device);
                match (fault, self.figures) {
                    (true, _) => {}
                    (false, true) => self.judge_refusal(seen, device, *bytes, convictions),
                    (false, false) => self.judge_blindly(seen, device, *bytes, convictions),
                }
            }
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::op::{Observation, PoolKind, Reply};
    use crate::oracle::fixture::{Bench, GIB, alloc, hand_out, oom, refuse};

    fn bench() -> Bench {
        Bench::new(OracleName::Exhaustion)
    }

    /// `bytes` are cached.
    fn cache(o: &mut Observation, bytes: u64) {
        o.devices[0].stats.increase(Family::ReservedBytes, PoolKind::Large, bytes.cast_signed());
        o.devices[0].free_bytes -= bytes;
    }

    #[test]
    fn refusals_on_a_full_device_pass() {
        let mut bench = bench();
        bench.alloc(1, 0x20_0000, GIB - (1 << 20)).passes();
        bench.step(alloc(2, 4 << 20), oom(), |o| refuse(&mut o.devices[0])).passes();
        bench.is_retry = true;
        bench.step(alloc(3, 4 << 20), oom(), |o| refuse(&mut o.devices[0])).passes();
    }

    #[test]
    fn room_on_the_device_convicts() {
        let found = bench().step(alloc(2, 4 << 20), oom(), |o| refuse(&mut o.devices[0])).convicts("OOM-01");
        insta::assert_snapshot!(found.message.en, @"4 MiB were refused as out of memory although device 0 had 1 GiB free and such a request costs at most 4 MiB");
    }

    #[test]
    fn a_limit_excuses_what_it_forbids() {
        let mut bench = bench();
        let op = Op::SetFraction { device: None, fraction: 0.0 };
        bench.step(op, Reply::Done, |o| o.devices[0].fraction = 0.0).passes();
        bench.step(alloc(2, 4 << 20), oom(), |o| refuse(&mut o.devices[0])).passes();
    }

    #[test]
    fn memory_that_is_only_cached_convicts() {
        let mut bench = bench();
        bench.step(Op::CycleEnd, Reply::Done, |o| cache(o, GIB)).passes();
        let found = bench.step(alloc(2, 4 << 20), oom(), |o| refuse(&mut o.devices[0])).convicts("OOM-04");
        insta::assert_snapshot!(found.message.zh, @"申请 4 MiB 因内存不足被拒绝，但设备 0 上没有存活或等待的块：空闲 0 B，另有 1 GiB 仅为缓存，而该申请至多需要 4 MiB");
    }

    #[test]
    fn without_figures_what_was_served_before_is_due_when_nothing_is_live() {
        let mut info = crate::oracle::fixture::info();
        info.capabilities.remove(&Capability::MemoryInfo);
        let blind = || Bench::with(&[OracleName::Exhaustion], &info);
        let free = |bench: &mut Bench| bench.free(1).passes();
        let mut bench = blind();
        bench.alloc(1, 0x20_0000, 8 << 20).passes();
        bench.step(alloc(2, 4 << 20), oom(), |_| {}).passes();
        free(&mut bench);
        bench.step(alloc(3, 9 << 20), oom(), |_| {}).passes();
        let found = bench.step(alloc(4, 4 << 20), oom(), |_| {}).convicts("OOM-04");
        insta::assert_snapshot!(found.message.en, @"4 MiB were refused as out of memory although nothing was live or under way on device 0, which had served up to 8 MiB before");
        let mut busy = blind();
        busy.alloc(1, 0x20_0000, 8 << 20).passes();
        free(&mut busy);
        busy.now.devices[0].idle = 1;
        busy.step(alloc(2, 4 << 20), oom(), |_| {}).passes();
    }

    #[test]
    fn a_retry_that_succeeds_convicts_unless_the_refusal_explains_it() {
        for (fault, waiting, busy) in
            [(false, false, false), (true, false, false), (false, true, false), (false, false, true)]
        {
            let mut bench = bench();
            bench.alloc(1, 0x20_0000, GIB - (1 << 20)).passes();
            if busy {
                bench.now.devices[0].idle = 1;
            }
            let refused = bench.step(alloc(2, 512), oom(), |o| {
                refuse(&mut o.devices[0]);
                o.devices[0].faults_fired += u32::from(fault);
                o.devices[0].idle = u64::MAX;
                o.devices[0].stats.decrease(Family::Active, PoolKind::Large, i64::from(waiting));
            });
            refused.passes();
            bench.is_retry = true;
            let reply = Reply::Allocated { address: 0x1000 };
            let judged = bench.step(alloc(3, 512), reply, |o| hand_out(&mut o.devices[0], 512));
            if fault || waiting || busy { judged.passes() } else { drop(judged.convicts("OOM-01")) }
        }
    }
}
