//! The names of outcomes, severities, oracles and situations as reports write them, in both languages.
//!
//! Decides wording only.

use super::page::code;
use crate::op::{Dimension, Milestone, OracleName, size};
use crate::requirement::{Level, Severity};
use crate::verdict::expectation::Standing;
use crate::verdict::{Because, Condition, Finding, Outcome, RanOut, Reproduced};

/// English first, Chinese second.
pub(super) type Pair = (&'static str, &'static str);

pub(super) fn outcome(outcome: Outcome) -> Pair {
    let zh = match outcome {
        Outcome::Pass => "通过",
        Outcome::Fail => "失败",
        Outcome::ExpectedFail => "预期失败",
        Outcome::UnexpectedPass => "意外通过",
        Outcome::Blocked => "被阻断",
        Outcome::NotApplicable => "不适用",
        Outcome::NotSelected => "未选中",
        Outcome::Skipped => "跳过",
        Outcome::Broken => "执行中断",
        Outcome::Inconclusive => "无结论",
    };
    (outcome.name(), zh)
}

pub(super) fn standing(standing: Standing) -> Pair {
    let zh = match standing {
        Standing::Met => "符合预期",
        Standing::UnexpectedPass => "意外通过",
        Standing::Stale => "已失效",
        Standing::Expired => "已过期",
        Standing::OutOfScope => "不在适用范围",
        Standing::NotRun => "未得出结论",
    };
    (standing.name(), zh)
}

pub(super) fn severity(severity: Severity) -> Pair {
    match severity {
        Severity::High => ("high", "高"),
        Severity::Medium => ("medium", "中"),
        Severity::Low => ("low", "低"),
    }
}

/// What is said of a finding that did not fail in every run; nothing of one that did.
pub(super) fn comes_and_goes(finding: &Finding) -> Option<(String, String)> {
    let Reproduced { times, of } = finding.reproduced.filter(|r| r.is_partial())?;
    Some((format!("comes and goes, reproduced {times} of {of}"), format!("时有时无，复现 {times}/{of}")))
}

/// What a severity stands for in a heading.
pub(super) fn weight(severity: Severity) -> Pair {
    match severity {
        Severity::High => ("high (blocking)", "高（阻塞性）"),
        Severity::Medium => ("medium (functional)", "中（功能缺陷）"),
        Severity::Low => ("low (minor)", "低（轻微）"),
    }
}

pub(super) fn level(level: Level) -> Pair {
    match level {
        Level::Must => ("must", "必须"),
        Level::Should => ("should", "应当"),
    }
}

/// What an oracle watches.
pub(super) fn oracle(oracle: OracleName) -> Pair {
    match oracle {
        OracleName::Expectation => ("what the scenario expects", "用例期望"),
        OracleName::Overlap => ("blocks that overlap or lie outside their memory", "块重叠与越界"),
        OracleName::Alignment => ("alignment of addresses", "地址对齐"),
        OracleName::Contents => ("what blocks hold", "内存内容"),
        OracleName::StreamOrder => ("reuse across streams", "跨流复用次序"),
        OracleName::Accounts => ("statistics that must add up", "统计数据自洽"),
        OracleName::Peak => ("peak figures", "峰值"),
        OracleName::Isolation => ("one device beside another", "设备隔离"),
        OracleName::Leak => ("memory that does not come back", "泄漏"),
        OracleName::Exhaustion => ("out-of-memory refusals", "内存不足的拒绝"),
        OracleName::Limit => ("memory fractions", "内存比例上限"),
        OracleName::Growth => ("growth over equal rounds", "等量循环中的内存增长"),
        OracleName::Refusal => ("what a refused call leaves behind", "被拒绝的调用"),
        OracleName::Telemetry => ("the device's own figures", "设备侧数据"),
        OracleName::Summary => ("dictionary, table and snapshot", "字典、摘要与快照"),
        OracleName::PrivatePools => ("private pools and graph captures", "私有池与图捕获"),
        OracleName::Trim => ("what emptying the cache gives back", "清空缓存的归还"),
        OracleName::History => ("events that tell what happened", "事件记录"),
        OracleName::DeviceCalls => ("device calls that make no sense", "无意义的设备调用"),
        OracleName::Hang => ("calls that do not return", "调用不返回"),
        OracleName::Crash => ("death of the process", "进程存活"),
        OracleName::Panic => ("calls that panic", "调用引发 panic"),
        OracleName::Exact => ("the policy that is claimed, address by address", "与所声称策略逐地址对照"),
        OracleName::StreamNames => ("two runs, streams renamed", "两次运行对比：流改名"),
        OracleName::DeviceNames => ("two runs, devices renamed", "两次运行对比：设备改名"),
        OracleName::WarmUp => ("two runs, one after a warm-up", "两次运行对比：预热后归还"),
        OracleName::SpareTrim => ("two runs, one with a spare empty_cache", "两次运行对比：多余的 empty_cache"),
        OracleName::DeviceOrder => ("two runs, calls to devices in another order", "两次运行对比：跨设备调用次序"),
        OracleName::SizeBin => ("two runs, sizes changed within one alignment unit", "两次运行对比：同档大小"),
        OracleName::WithoutRefused => ("two runs, one without the refused calls", "两次运行对比：略去被拒绝的调用"),
    }
}

/// Why a sequence was not taken apart to the end.
pub(super) fn ran_out(ran_out: RanOut) -> (&'static str, &'static str) {
    match ran_out {
        RanOut::Time => (": such a failure is given no more time", "：此类问题不再分配更多时间"),
        RanOut::Runs => {
            (": as many sequences were run for it as one failure may cost", "：已达到单个问题可运行的序列数上限")
        }
        RanOut::Operations => {
            (": as many operations went into it as one failure may cost", "：已达到单个问题可执行的操作数上限")
        }
        RanOut::Run => (": the run ended first", "：运行先行结束"),
    }
}

/// What a minimal sequence cannot do without.
pub(super) fn condition(condition: &Condition) -> (String, String) {
    let both = |en: &str, zh: &str| (en.to_owned(), zh.to_owned());
    match condition {
        Condition::Settings(text) => (format!("the settings {}", code(text)), format!("配置 {}", code(text))),
        Condition::Devices(n) => (format!("{n} devices"), format!("{n} 个设备")),
        Condition::Streams(n) => (format!("{n} streams"), format!("{n} 个流")),
        Condition::SideStream => both("a stream other than the default one", "非默认流"),
        Condition::BusyStream { step } => {
            (format!("a stream that is still at work (step {step})"), format!("仍有未完成工作的流（第 {step} 步）"))
        }
        Condition::Neighbour => both("memory that another process holds", "其他进程占用的内存"),
        Condition::WaitingStream => ("a stream that waits for another".to_owned(), "等待另一流的流".to_owned()),
        Condition::RecordedStream => both("a block recorded on another stream", "块被记录到另一个流"),
        Condition::Threads(n) => (format!("calls from {n} threads"), format!("来自 {n} 个线程的调用")),
        Condition::Fraction(fraction) => {
            (format!("a memory fraction of {fraction}"), format!("内存比例设为 {fraction}"))
        }
        Condition::FailingCall { call, number, error } => {
            let name = code(call.name());
            let (with_en, with_zh) = error.map_or_else(Default::default, |e| {
                (format!(" with {}", code(e.name())), format!("，错误为 {}", code(e.name())))
            });
            (
                format!("device call {name} number {number} failing{with_en}"),
                format!("第 {number} 次设备调用 {name} 失败{with_zh}"),
            )
        }
        Condition::OutOfMemory => both("a request refused as out of memory", "一次因内存不足被拒绝的请求"),
        Condition::EmptiedCache => both("an emptied cache", "清空缓存"),
        Condition::PrivatePools(1) => both("a private pool", "一个私有池"),
        Condition::PrivatePools(n) => (format!("{n} private pools"), format!("{n} 个私有池")),
        Condition::Captures(1) => both("a graph capture", "一次图捕获"),
        Condition::Captures(n) => (format!("{n} graph captures"), format!("{n} 次图捕获")),
        Condition::LargeRequest(bytes) => {
            let size = size::both(*bytes);
            (
                format!("a request of {size} or more, as far as sizes were tried"),
                format!("不小于 {size} 的请求（就尝试过的大小而言）"),
            )
        }
        Condition::EmptyRequest => both("a request of 0 bytes", "0 字节请求"),
        Condition::Requests(n) => (format!("{n} requests"), format!("{n} 次请求")),
        Condition::Freed => both("a block given back", "释放一个块"),
        Condition::BadPointer => both("a pointer at which no live block starts", "不指向任何存活块起始处的指针"),
        Condition::MissingDevice => both("a device that does not exist", "不存在的设备"),
        Condition::Reset => both("a reset of figures", "重置统计数据"),
        Condition::Closing => {
            both("everything freed, waited for and emptied at the end", "最后全部释放、同步并清空缓存")
        }
    }
}

/// Why a violation is put down to another one's mistake.
pub(super) fn because(because: Because) -> Pair {
    match because {
        Because::SamePromise => (
            "same requirement, seen in the same way or as expected by a scenario",
            "同一需求，以相同方式或由用例期望发现",
        ),
        Because::SameCalls => ("same calls", "调用序列相同"),
        Because::SequenceBreaksIt => ("the sequence above breaks it, too", "上述序列同样违反该需求"),
        Because::BreaksInItsSequence => ("its own sequence shows this finding, too", "其自身序列同样显现本问题"),
    }
}

pub(super) fn situation(milestone: Milestone) -> Pair {
    match milestone {
        Milestone::Oom => ("out of memory", "内存不足"),
        Milestone::SuccessAfterOom => ("success after out of memory", "内存不足之后分配成功"),
        Milestone::FlushOnOom => ("cache given back before a refusal", "拒绝前先归还缓存"),
        Milestone::RetrySucceeded => ("success after flushing the cache", "清空缓存重试后成功"),
        Milestone::SegmentReserved => ("memory got from the device", "向设备申请段"),
        Milestone::CacheHit => ("served from the cache", "缓存命中"),
        Milestone::Split => ("block split", "块切分"),
        Milestone::Merge => ("free neighbours merged", "相邻空闲块合并"),
        Milestone::PendingFree => ("freed block waits for a stream", "已释放块等待其他流"),
        Milestone::PendingResolved => ("waiting block became free", "等待中的块恢复空闲"),
        Milestone::LimitRefusal => ("refused by the memory fraction", "因内存比例上限被拒绝"),
        Milestone::DeviceRefusal => ("refused by the device", "被设备拒绝"),
        Milestone::FaultFired => ("planned fault fired", "注入的故障已触发"),
        Milestone::CacheEmptied => ("cache emptied", "清空缓存并归还内存"),
        Milestone::PeakLowered => ("peak lowered by a reset", "重置使峰值下降"),
        Milestone::TwoDevicesLive => ("live blocks on two devices", "两个设备同时持有存活块"),
        Milestone::CrossDeviceCall => ("call names a device that is not current", "指定非当前设备的调用"),
        Milestone::BothPools => ("live blocks in both pools", "大小池同时持有存活块"),
        Milestone::TwoStreamsLive => ("live blocks of two streams", "两个流同时持有存活块"),
        Milestone::CallerSwitch => ("calls from different threads", "调用线程切换"),
        Milestone::CrossCallerFree => ("freed by another thread", "由其他线程释放"),
        Milestone::ZeroServed => ("0 bytes answered", "0 字节请求得到应答"),
        Milestone::ArgumentRefused => ("argument or pointer refused", "参数或指针被拒绝"),
        Milestone::CycleRepeated => ("steady round repeated", "稳定循环重复执行"),
        Milestone::ServedFromPool => ("served from a private pool", "由私有池提供"),
        Milestone::NestedPools => ("served where redirections nest", "嵌套重定向下的分配"),
        Milestone::HelpedOnOom => ("a private pool helped out", "内存用尽时由私有池救济"),
        Milestone::PoolDied => ("private pool died", "私有池消亡"),
        Milestone::GraphCaptured => ("graph captured", "完成图捕获"),
        Milestone::GraphKept => ("cache emptied beside a graph's memory", "清空缓存而图内存保留"),
        Milestone::FreeDeferred => ("free deferred by a redirection", "重定向期间释放被推迟"),
        Milestone::Crowded => ("refused for want of another process's memory", "因其他进程占用内存而被拒绝"),
        Milestone::StreamWaited => ("a stream waited for a busy one", "流等待另一忙碌的流"),
    }
}

/// The head of a column or row of the matrix of states.
pub(super) fn dimension(dimension: Dimension) -> Pair {
    match dimension {
        Dimension::Step => ("step", "步骤结果"),
        Dimension::Pool => ("pool", "内存池"),
        Dimension::Setting => ("setting", "配置"),
        Dimension::Pending => ("pending", "等待中的释放"),
        Dimension::Capture => ("capture", "图捕获"),
        Dimension::Device => ("device", "设备"),
        Dimension::Current => ("current", "当前设备"),
        Dimension::Devices => ("devices", "设备数"),
        Dimension::Elsewhere => ("elsewhere", "其他设备"),
        Dimension::Failure => ("failure", "此前的失败"),
        Dimension::Scale => ("scale", "规模"),
    }
}
