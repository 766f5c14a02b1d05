//! The names of outcomes, severities, oracles and situations as reports write them, in both languages.
//!
//! Decides wording only.

use crate::op::{Milestone, OracleName};
use crate::requirement::{Level, Severity};
use crate::verdict::expectation::Standing;
use crate::verdict::{Finding, Outcome, Reproduced};

/// English first, Chinese second.
pub(super) type Pair = (&'static str, &'static str);

pub(super) fn outcome(outcome: Outcome) -> Pair {
    let zh = match outcome {
        Outcome::Pass => "通过",
        Outcome::Fail => "失败",
        Outcome::ExpectedFail => "预期失败",
        Outcome::UnexpectedPass => "意外通过",
        Outcome::NotApplicable => "不适用",
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
        OracleName::Overlap => ("overlap and containment", "重叠与越界"),
        OracleName::Alignment => ("alignment", "地址对齐"),
        OracleName::Contents => ("contents", "内存内容"),
        OracleName::StreamOrder => ("stream order", "流序"),
        OracleName::Accounts => ("accounts", "账目"),
        OracleName::Peak => ("peaks", "峰值"),
        OracleName::Isolation => ("isolation", "设备隔离"),
        OracleName::Leak => ("leaks", "泄漏"),
        OracleName::Exhaustion => ("exhaustion", "内存耗尽"),
        OracleName::Limit => ("limits", "内存上限"),
        OracleName::Growth => ("growth", "内存增长"),
        OracleName::Refusal => ("refusals", "拒绝行为"),
        OracleName::Telemetry => ("telemetry", "遥测"),
        OracleName::Summary => ("summary and dictionary", "摘要与字典"),
        OracleName::PrivatePools => ("private pools and captures", "私有池与图捕获"),
        OracleName::Hang => ("calls that do not return", "调用不返回"),
        OracleName::Crash => ("death of the process", "进程存活"),
        OracleName::StreamNames => ("streams renamed (two runs)", "流改名（两次运行对比）"),
        OracleName::DeviceNames => ("devices renamed (two runs)", "设备改名（两次运行对比）"),
        OracleName::WarmUp => ("warm-up given back (two runs)", "预热后归还（两次运行对比）"),
        OracleName::SpareTrim => ("spare empty_cache (two runs)", "多余的 empty_cache（两次运行对比）"),
        OracleName::DeviceOrder => ("order across devices (two runs)", "跨设备调用次序（两次运行对比）"),
        OracleName::SizeBin => ("sizes of one bin (two runs)", "同档大小（两次运行对比）"),
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
    }
}
