//! What a broken promise is: how bad for users, whether it can damage data, and what happened, in one sentence.
//!
//! Decides severity and the title of a finding. A sentence holds for every violation that cites the promise, so it
//! names no figure; the figures are the violation's. Does not decide what is promised (`registry`).

use super::{Area, Severity};

/// One line of the table.
#[derive(Debug, Clone, Copy)]
pub(super) struct Breach {
    pub area: Area,
    pub number: u8,
    pub severity: Severity,
    pub corrupts: bool,
    pub broken: (&'static str, &'static str),
}

/// The line of a promise. A promise without one does not compile.
pub(super) const fn of(area: Area, number: u8) -> Breach {
    let mut at = 0;
    while at < BREACHES.len() {
        if BREACHES[at].area as u8 == area as u8 && BREACHES[at].number == number {
            return BREACHES[at];
        }
        at += 1;
    }
    panic!("every promise says what it means to break it")
}

/// Area, number, severity, then `corrupts` where it applies, and the sentence in both languages.
macro_rules! breaches {
    (@corrupts) => { false };
    (@corrupts corrupts) => { true };
    ($($area:ident $number:literal $severity:ident $($corrupts:ident)?, $en:literal, $zh:literal;)+) => {
        pub(super) const BREACHES: &[Breach] = &[$(Breach {
            area: Area::$area,
            number: $number,
            severity: Severity::$severity,
            corrupts: breaches!(@corrupts $($corrupts)?),
            broken: ($en, $zh),
        }),+];
    };
}

breaches! {
    Stat 1 High, "Memory statistics were negative or did not add up", "内存统计出现负值，或各项合计不符";
    Stat 2 Medium, "Totals allocated and freed did not match the current figure", "累计分配、累计释放与当前值不符";
    Stat 3 High, "Allocated, active or reserved memory was counted wrongly", "已分配、活跃或已保留内存的统计有误";
    Stat 4 High, "Allocation figures did not match the blocks handed out", "分配统计与实际分配的块不符";
    Stat 5 Medium, "A count and its bytes were not zero together", "计数与其字节未同时归零";
    Stat 6 Medium, "Resetting the accumulated statistics left wrong values", "重置累计统计后留下错误的值";
    Stat 7 Medium, "Out-of-memory, retry, synchronization or device-call counters were wrong",
        "内存不足、重试、同步或设备调用的计数有误";
    Stat 8 Medium, "Statistics were not zero before the first request", "首次申请之前统计值不为零";
    Stat 9 Medium, "Requested or waiting memory did not match requests and frees",
        "请求量或等待量与调用者的申请和释放不符";
    Stat 10 Medium, "Device-call counters did not match the segments that came and went",
        "设备调用计数与段的增减不符";
    Stat 11 Medium, "Oversize figures or max_split_size were wrong", "超大统计或 max_split_size 有误";
    Peak 1 High, "A peak was not the highest value reached", "峰值不是实际达到的最大值";
    Peak 2 Medium, "Resetting peaks left a wrong value or changed something else", "重置峰值后留下错误的值，或改变了其他状态";
    Peak 3 Medium, "A refused request left a peak that was never reached", "被拒绝的请求留下从未达到的峰值";
    Pool 1 Medium, "Memory was counted in the wrong size pool", "内存被计入错误的大小池";
    Pool 2 Medium, "Small and large requests were not served from separate segments", "小请求与大请求未由各自独立的段提供";
    Pool 3 Medium, "Cached memory was not reused for a request that it fits", "合适的缓存内存未被复用";
    Pool 4 High, "Free neighbouring blocks did not merge into a whole", "相邻空闲块未合并复原";
    Pool 5 Low, "A request did not get the smallest cached block that fits", "请求未分到最小的合适缓存块";
    Pool 6 Low, "Rounding, segment size or splitting departed from the documented policy",
        "取整、段大小或切分偏离文档化的策略";
    Zero 1 Medium, "A request of zero bytes failed, took memory or changed something", "零字节请求失败、占用内存或改变了状态";
    Zero 2 Medium, "Freeing an empty block or the null pointer was not a no-op", "释放空块或空指针并非无操作";
    Huge 1 High, "A request larger than the device was not refused cleanly", "超过设备容量的请求未被正常拒绝";
    Huge 2 High corrupts, "A size too large to be rounded was not refused cleanly", "过大而无法取整的请求未被正常拒绝";
    Frac 1 High, "The memory fraction was exceeded, or refused memory that it allows", "超出内存比例上限，或在上限之内被拒绝";
    Frac 2 High, "An invalid memory fraction was not refused cleanly, or took effect", "无效的内存比例未被正常拒绝，或产生了作用";
    Frac 3 High, "A memory fraction of zero allowed growth or blocked cached memory", "比例为零时内存仍增长，或缓存不可用";
    Frac 4 Medium, "A memory fraction of one did not leave the whole device", "比例为一时未能使用整个设备";
    Frac 5 Low, "The memory fraction read back wrongly, or reading changed something", "内存比例读回有误，或读取改变了状态";
    Frac 6 High, "Changing the memory fraction moved memory or left the old limit", "修改内存比例改动了内存，或旧上限仍生效";
    Arg 1 Medium, "A call naming a nonexistent device was not refused cleanly", "指定不存在设备的调用未被正常拒绝";
    Arg 2 High corrupts, "Freeing a block twice was not refused cleanly", "重复释放未被正常拒绝";
    Arg 3 High corrupts, "Freeing an invalid pointer was not refused cleanly", "释放无效指针未被正常拒绝";
    Oom 1 High, "Memory was refused without need, inconsistently or as another error", "无故或前后不一地拒绝分配，或错误类型不符";
    Oom 2 High, "A refused request left the allocator changed", "被拒绝的请求改变了分配器状态";
    Oom 3 High, "After running out of memory, later requests were answered wrongly", "内存不足之后，后续请求未得到正确处理";
    Oom 4 High, "A request was refused although cached memory could be given back", "尚有可归还的缓存，请求却被拒绝";
    Oom 5 Low, "The out-of-memory message was missing, wrong or incomplete", "内存不足的错误信息缺失、有误或不完整";
    Oom 6 High, "A failed device call left wrong figures or an unusable allocator", "设备调用失败后统计有误，或分配器不可用";
    Oom 7 High, "Memory that others hold was ignored, or missed for too long", "未计入他人占用的内存，或在其归还后仍视为不可用";
    Trim 1 High, "Emptying the cache did not give back exactly the unused memory", "清空缓存未恰好归还全部空闲内存";
    Trim 2 High corrupts, "Emptying the cache affected blocks in use", "清空缓存影响了正在使用的块";
    Trim 3 Low, "Emptying an empty cache changed the amount of memory", "清空空缓存改变了内存量";
    Iso 1 High, "A call changed a device that it was not about", "调用改变了与其无关的设备";
    Iso 2 High, "A limit, peak or cache of one device affected another", "一个设备的上限、峰值或缓存影响了另一设备";
    Iso 3 High, "A call acted on another device than the one meant", "调用作用于错误的设备";
    Iso 4 High, "Running out of memory on one device affected another", "一个设备内存不足影响了其他设备";
    Strm 1 High corrupts, "Memory reached another stream before the work on it finished", "内存在其上的工作完成之前被交给其他流";
    Strm 2 High corrupts, "Memory was handed out again while a recorded stream still used it",
        "已记录流仍在使用的内存被再次分配";
    Strm 3 High, "Freed memory was withheld although its streams were done", "相关流已完成，释放的内存仍不可用";
    Strm 4 Medium, "A stream could not reuse its own freed memory at once", "流无法立即复用自己释放的内存";
    Strm 5 High corrupts, "Memory was handed out against the order of waiting streams",
        "内存的分配违背了流间等待的次序";
    Leak 1 High, "Memory was still held or counted after everything was freed", "全部释放后仍有内存被占用或计入";
    Leak 2 High, "After device calls failed, memory stayed held or counted", "设备调用失败后，有内存一直被占用或计入";
    Grow 1 High, "Repeating the same requests kept taking more memory", "重复相同的请求，内存持续增长";
    Grow 2 Medium, "A request took the wrong amount of memory from the device", "请求向设备获取的内存量有误";
    Conc 1 High, "Calls of different threads interfered with each other", "不同线程的调用相互干扰";
    Conc 2 High, "A block could not be freed properly by another thread", "块无法由其他线程正常释放";
    Tele 1 Medium, "Device memory in use and reserved memory did not move together", "设备已用内存与保留内存的变化不一致";
    Tele 2 Medium, "Device memory was reported wrongly, or asking changed something", "设备内存量报告有误，或查询改变了状态";
    Tele 3 Medium, "A stream was shown as idle while busy, or the reverse",
        "流在忙时被示为空闲，或相反";
    Tele 4 Medium, "Memory that others hold was counted wrongly", "他人占用的内存计算有误";
    Summ 1 Medium, "The statistics dictionary was wrong, or reading it changed something", "统计字典有误，或读取改变了状态";
    Summ 2 Low, "The summary table was wrong, or printing it changed something", "摘要表格有误，或输出时改变了状态";
    Summ 3 Medium, "A snapshot or report disagreed with the figures, or changed them", "快照或报告与统计不符，或改变了统计";
    Summ 4 Medium, "The recorded events missed, repeated or misstated what happened", "所记录的事件遗漏、重复或误报了实际情况";
    Mem 1 High corrupts, "A live block overlapped another, or lacked memory of its own", "存活块与其他块重叠，或没有自己的内存";
    Mem 2 High, "An address was not aligned as promised", "地址未按承诺对齐";
    Mem 3 High corrupts, "A block no longer held what was written to it", "块中写入的内容被改变";
    Mem 4 High, "A device call was about what was not there", "设备调用的对象并不存在";
    Priv 1 High, "Blocks of a private pool were mixed with others", "私有池的块与其他块混在一起";
    Priv 2 High, "A pool's cache served others, or failed to serve its own", "池的缓存被他人使用，或未服务于本池";
    Priv 3 High, "A request was served from the wrong pool", "请求由错误的内存池提供";
    Priv 4 Medium, "A pool made with use_on_oom helped too early or not at all", "use_on_oom 池过早或未提供帮助";
    Priv 5 Medium, "A pool made with no_split did not hand out whole segments", "no_split 池未按整段分配";
    Priv 6 High, "A deleted pool's memory was given back too early, late or never", "被删除的池过早、过晚或未归还内存";
    Capt 1 High corrupts, "A request during a graph capture was served from the wrong pool", "图捕获期间的请求由错误的内存池提供";
    Capt 2 High corrupts, "Memory that a captured graph needs was released or reused", "已捕获的图所需的内存被归还或另作他用";
    Capt 3 High corrupts, "A block freed during a capture came back too early or never", "捕获期间释放的块过早可用，或不再可用";
    Capt 4 High, "Running out of memory during a capture damaged it or the figures", "捕获期间内存不足破坏了捕获或统计";
    Capt 5 High, "A graph's memory was given back too early or never", "图的内存过早归还，或未归还";
    Capt 6 Medium, "A capture into a reset graph's pool went wrong", "捕获到已重置图的内存池时出错";
    Conf 1 Medium, "An accepted setting did not have its documented effect", "已接受的配置项未产生文档所述的效果";
    Conf 2 High, "Memory mapped page by page did not work like other memory", "按页映射的内存未能像其他内存一样工作";
    Conf 3 High, "With a setting in force, another promise was broken", "启用配置项后其他承诺被破坏";
    Conf 4 Medium, "A change of settings at run time had a wrong effect", "运行时更改配置未生效，或产生了不应有的影响";
    Conf 5 Medium, "Settings that were refused changed those in force", "被拒绝的配置改变了当前生效的配置";
    Conf 6 Medium, "With caching off requests were cached or counted", "关闭缓存后申请仍被缓存或计入统计";
    Conf 7 High, "A switch of caching sent a block back to the wrong place", "缓存开关之后，块未归还到其来源";
    Live 1 High, "A call did not return in time", "调用未在时限内返回";
    Live 2 High, "A call ended the allocator's process, or panicked", "调用使分配器所在的进程终止，或引发 panic";
    Live 3 High, "After a call the device no longer worked properly", "某次调用之后设备无法正常工作";
    Live 4 High, "A valid call was refused, or refused with the wrong error", "有效的调用被拒绝，或拒绝类型有误";
    Live 5 High, "In a world that combines many conditions a promise was broken", "在多种条件组合的环境中有承诺被破坏";
    Same 1 Medium, "Streams were treated differently because of their handles", "流因句柄不同而受到不同对待";
    Same 2 Medium, "Devices of one size were treated differently because of their numbers", "同容量的设备因编号不同而受到不同对待";
    Same 3 Low, "Requests that were given back changed what came later", "已归还的请求影响了之后的行为";
    Same 4 Medium, "Emptying an empty cache changed what came later", "清空空缓存影响了之后的行为";
    Same 5 Medium, "The order of calls to different devices changed the result", "对不同设备的调用次序改变了结果";
    Same 6 Low, "Sizes of one alignment unit were served differently", "同一对齐单位内的大小得到不同的处理";
    Same 7 Medium, "A refused call changed what came later", "被拒绝的调用影响了之后的行为";
    Exact 1 Low, "The allocator departed from the policy that it claims", "分配器偏离了其所声称的策略";
}
