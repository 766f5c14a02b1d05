//! The list. Sorted by area (in the order of `Area`) and number; ids are stable for ever. The areas from `Priv` on are in `later`.

use super::{Area, Requirement, later, must, should};

use Area::{Arg, Conc, Frac, Grow, Huge, Iso, Leak, Mem, Oom, Peak, Pool, Stat, Strm, Summ, Tele, Trim, Zero};

/// Every requirement.
pub static ALL: [Requirement; FIRST.len() + later::LATER.len()] = {
    let mut all = [FIRST[0]; FIRST.len() + later::LATER.len()];
    let mut at = 0;
    while at < all.len() {
        all[at] = if at < FIRST.len() { FIRST[at] } else { later::LATER[at - FIRST.len()] };
        at += 1;
    }
    all
};

const FIRST: [Requirement; 70] = [
    must(
        Stat,
        1,
        "Current figures are never negative, and the pools add up to the whole",
        "当前值永不为负，且各池之和等于总计",
    ),
    must(Stat, 2, "What was allocated less what was freed is what is current", "累计分配减累计释放等于当前值"),
    must(Stat, 3, "Allocated is at most active, and active at most reserved", "已分配 ≤ 活跃 ≤ 已保留"),
    must(
        Stat,
        4,
        "The number of allocations is the number of live blocks, and their bytes cover the requests",
        "分配计数等于存活块数，其字节数覆盖请求量",
    ),
    must(Stat, 5, "A count is zero exactly when its bytes are", "计数为零当且仅当其字节为零"),
    must(
        Stat,
        6,
        "Resetting the accumulated figures clears them and leaves current and peak alone",
        "重置累计值会清零累计值，而不影响当前值与峰值",
    ),
    must(
        Stat,
        7,
        "Out-of-memory refusals, retries and device calls are counted once each",
        "内存不足拒绝、重试与设备调用各计一次",
    ),
    must(
        Stat,
        8,
        "An allocator that holds nothing before the first request has counted nothing",
        "首次申请之前未持有内存的分配器各项统计均为零",
    ),
    must(
        Stat,
        9,
        "What was requested is what callers asked for, in blocks that they hold or that were freed and wait",
        "请求字节即调用者所申请之量，仅含其持有的块与已释放而在等待的块",
    ),
    must(
        Stat,
        10,
        "Device calls are counted as often as segments or reserved memory come and go",
        "设备调用的计数与段或保留内存的增减相符",
    ),
    must(
        Stat,
        11,
        "Oversize figures count what is as large as max_split_size, which no call changes",
        "超大统计只计不小于 max_split_size 者，且该设置不因调用而改变",
    ),
    must(Peak, 1, "A peak is the highest current value since the last reset", "峰值是自上次重置以来当前值的最大者"),
    must(
        Peak,
        2,
        "Resetting a peak sets it to the current value and changes nothing else",
        "重置峰值使其等于当前值，且不改变其他任何状态",
    ),
    must(Peak, 3, "A failed request does not leave a peak that was never reached", "失败的请求不会留下从未达到的峰值"),
    must(
        Pool,
        1,
        "Every figure of a block goes to the pool that its rounded size belongs to",
        "块的每项数据都计入其取整后大小所属的池",
    ),
    must(Pool, 2, "Small and large requests are served from separate segments", "小请求与大请求由各自的段提供"),
    must(Pool, 3, "A freed block serves the next request that fits it", "释放的块可用于下一个合适的请求"),
    must(
        Pool,
        4,
        "Free neighbours merge, so that what was split becomes whole again",
        "相邻空闲块合并，被切分者可复原",
    ),
    should(Pool, 5, "Of the free blocks that fit, the smallest is taken", "在合适的空闲块中取最小者"),
    should(
        Pool,
        6,
        "Rounding, segments and cuts are those of the documented policy",
        "取整、段大小与切分符合文档化的策略",
    ),
    must(
        Zero,
        1,
        "A request of 0 bytes is answered without an error and moves no figure",
        "0 字节请求正常应答且不改变任何数据",
    ),
    must(
        Zero,
        2,
        "Freeing what a request of 0 bytes gave, or a null pointer, does nothing",
        "释放 0 字节请求的结果或空指针不产生任何作用",
    ),
    must(
        Huge,
        1,
        "A request larger than the device is refused as out of memory, never overflows, and changes no account",
        "超过设备容量的请求以内存不足被拒绝，不溢出，不影响账目",
    ),
    must(Huge, 2, "A size that cannot be rounded is refused", "无法取整的大小被拒绝"),
    must(
        Frac,
        1,
        "With a fraction set, what is reserved never grows past the limit",
        "设置比例后，保留内存不会增长到超过上限",
    ),
    must(
        Frac,
        2,
        "A fraction outside [0, 1] or not a number is refused and changes nothing",
        "[0, 1] 之外或非数值的比例被拒绝且不改变任何状态",
    ),
    must(
        Frac,
        3,
        "A fraction of 0 refuses all growth, and a cached block still serves",
        "比例为 0 时拒绝一切增长，而缓存块仍可使用",
    ),
    must(Frac, 4, "A fraction of 1 leaves the whole device", "比例为 1 时可使用整个设备"),
    must(Frac, 5, "The fraction reads back as set", "比例可按设置值读回"),
    must(
        Frac,
        6,
        "Lowering the fraction frees nothing and raising it again restores growth",
        "降低比例不释放内存，再次提高即恢复增长",
    ),
    must(Arg, 1, "A device that does not exist is refused and nothing changes", "不存在的设备被拒绝且状态不变"),
    must(Arg, 2, "Freeing a block twice is refused and nothing changes", "重复释放被拒绝且状态不变"),
    must(
        Arg,
        3,
        "Freeing a pointer into a block, or one never handed out, is refused and nothing changes",
        "释放块内部指针或从未分配的指针被拒绝且状态不变",
    ),
    must(
        Oom,
        1,
        "Memory is refused only when nothing fits, and an identical request right after is refused too",
        "仅在确无可用内存时拒绝，且紧随其后的相同请求同样被拒绝",
    ),
    must(
        Oom,
        2,
        "A refused request leaves every live block and account as it was",
        "被拒绝的请求不影响任何存活块与账目",
    ),
    must(
        Oom,
        3,
        "After an out-of-memory refusal the allocator serves whatever fits",
        "内存不足之后分配器仍可服务一切可满足的请求",
    ),
    must(Oom, 4, "Cached memory is given back before a request is refused", "拒绝请求之前先归还缓存内存"),
    must(Oom, 5, "The refusal names the size, the device and where the memory is", "拒绝信息指明大小、设备与内存去向"),
    must(
        Oom,
        6,
        "A device call that fails leaves the allocator usable and its accounts true",
        "设备调用失败后分配器仍可用且账目属实",
    ),
    must(Oom, 7, "What others hold is lacking for as long as they hold it", "他人占用的内存仅在其占用期间不可用"),
    must(
        Trim,
        1,
        "Emptying the cache gives back every segment without a live block",
        "清空缓存会归还所有没有存活块的段",
    ),
    must(Trim, 2, "Emptying the cache leaves live blocks and their accounts alone", "清空缓存不影响存活块及其账目"),
    must(Trim, 3, "Emptying an empty cache changes no amount of memory", "清空空缓存不改变任何内存量"),
    must(
        Iso,
        1,
        "A call that names one device changes no figure of another",
        "针对一个设备的调用不改变其他设备的任何数据",
    ),
    must(Iso, 2, "A limit, a peak or a cache belongs to one device", "上限、峰值与缓存只属于一个设备"),
    must(
        Iso,
        3,
        "The device named counts, not the current one; without a name the current one",
        "以指明的设备为准而非当前设备；未指明时用当前设备",
    ),
    must(Iso, 4, "Out of memory on one device leaves the others serving", "一个设备内存不足不影响其他设备"),
    must(
        Strm,
        1,
        "A block reaches another stream only after the work on it has finished",
        "块只有在其上的工作完成后才会交给其他流",
    ),
    must(
        Strm,
        2,
        "A freed block that a recorded stream still uses is not handed out",
        "被记录流仍在使用的已释放块不会被再次分配",
    ),
    must(Strm, 3, "Once its streams are done, a waiting block serves again", "相关流完成后，等待中的块可再次使用"),
    must(Strm, 4, "Blocks of one stream serve that stream without waiting", "同一流的块无需等待即可用于该流"),
    must(
        Strm,
        5,
        "A wait orders what was there before it, and who waits is not done",
        "等待只约束此前的工作，等待者尚未完成",
    ),
    must(
        Leak,
        1,
        "When all is freed, waited for and emptied, nothing is reserved and the device has its memory back",
        "全部释放、同步并清空后无保留内存，设备内存如初",
    ),
    must(Leak, 2, "Nothing leaks when device calls fail", "设备调用失败时不产生泄漏"),
    must(
        Grow,
        1,
        "A steady cycle of requests reaches a fixpoint of reserved memory",
        "稳定的请求循环使保留内存达到不动点",
    ),
    must(
        Grow,
        2,
        "A request takes no more memory from the device than its contract allows",
        "一次申请向设备获取的内存不超过契约所允许",
    ),
    must(
        Conc,
        1,
        "Interleaved callers see each call as a whole, with a current device of their own",
        "交错的调用者各自看到完整的调用，并拥有各自的当前设备",
    ),
    must(
        Conc,
        2,
        "A block may be freed by another caller than the one that asked for it",
        "块可由申请者之外的调用者释放",
    ),
    must(Tele, 1, "What the device reports as used moves with what is reserved", "设备报告的已用量随保留量变化"),
    must(Tele, 2, "The device's total never changes, and free is at most total", "设备总量不变，且空闲量不超过总量"),
    must(
        Tele,
        3,
        "A stream is busy while it is kept so, and idle once the device was waited for",
        "流在被占用期间为忙，在等待设备完成之后为空闲",
    ),
    must(
        Tele,
        4,
        "What others hold lowers what is free and moves nothing else",
        "他人占用的内存只减少空闲量，不影响其他数据",
    ),
    must(
        Summ,
        1,
        "The dictionary has every documented key, sorted, and agrees with the figures",
        "字典包含全部文档化的键，有序且与数据一致",
    ),
    must(
        Summ,
        2,
        "The summary table has its documented shape and agrees with the figures",
        "摘要表格符合文档形状且与数据一致",
    ),
    must(Summ, 3, "The snapshot's segments and blocks add up to the figures", "快照中的段与块合计与数据一致"),
    must(
        Summ,
        4,
        "The events recorded tell each request, free and segment once and in order, and agree with the figures",
        "所记录的事件对每次申请、释放与段各记一次且有序，并与数据一致",
    ),
    must(Mem, 1, "Live blocks never overlap and lie in memory of their device", "存活块互不重叠，且位于其设备的内存中"),
    must(Mem, 2, "Every address is aligned as promised", "每个地址都按承诺对齐"),
    must(Mem, 3, "A block keeps what was written to it until it is freed", "块在释放前保持写入的内容"),
    must(
        Mem,
        4,
        "What is freed, mapped, unmapped or released on the device is there to be, and each once",
        "在设备上释放、映射、解除映射或归还的对象确实存在，且各只一次",
    ),
];
