//! The list. Sorted by area (in the order of `Area`) and number; ids are stable for ever.

use super::{Area, Level, Requirement, RequirementId, breach};

const fn must(area: Area, number: u8, en: &'static str, zh: &'static str) -> Requirement {
    new(Level::Must, area, number, en, zh)
}

const fn should(area: Area, number: u8, en: &'static str, zh: &'static str) -> Requirement {
    new(Level::Should, area, number, en, zh)
}

const fn new(level: Level, area: Area, number: u8, en: &'static str, zh: &'static str) -> Requirement {
    let breach = breach::of(area, number);
    let (severity, corrupts, broken) = (breach.severity, breach.corrupts, breach.broken);
    Requirement { id: RequirementId::new(area, number), level, severity, corrupts, en, zh, broken }
}

use Area::{
    Arg, Capt, Conc, Conf, Exact, Frac, Grow, Huge, Iso, Leak, Live, Mem, Oom, Peak, Pool, Priv, Same, Stat, Strm,
    Summ, Tele, Trim, Zero,
};

/// Every requirement.
pub static ALL: &[Requirement] = &[
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
        Priv,
        1,
        "Blocks of a private pool share no segment with blocks from outside it",
        "私有池的块不与池外的块共用段",
    ),
    must(Priv, 2, "Memory cached in a private pool serves that pool alone", "私有池中的缓存只服务于该池"),
    must(
        Priv,
        3,
        "The pool entered last by the calling thread counts, and leaving it restores the one before",
        "以调用线程最后进入的池为准，离开后恢复到此前的池",
    ),
    must(
        Priv,
        4,
        "A pool made with use_on_oom serves others only when memory has run out, and before a request is refused",
        "以 use_on_oom 创建的池仅在内存用尽时服务池外请求，且先于拒绝",
    ),
    should(Priv, 5, "A pool made with no_split hands out whole segments", "以 no_split 创建的池只分配整段"),
    must(
        Priv,
        6,
        "A deleted pool gives back what it has cached at once, and the rest when its blocks are freed and the cache is emptied",
        "池删除时立即归还其缓存，其余在块释放并清空缓存后归还",
    ),
    must(
        Capt,
        1,
        "While a stream captures, its requests come from the graph's pool and those of other streams do not",
        "流捕获期间，其请求由图的内存池提供，其他流的请求不受影响",
    ),
    must(
        Capt,
        2,
        "Memory that a graph was captured with stays its own until the graph is reset, whatever is freed or emptied",
        "图捕获时所用内存在图重置之前始终归其所有，无论释放或清空什么",
    ),
    must(
        Capt,
        3,
        "A block freed in a capture in which a stream was recorded on it is not handed out before the capture ends, and serves again after",
        "捕获中被记录流后释放的块在捕获结束前不会再次分配，结束后可再次使用",
    ),
    must(
        Capt,
        4,
        "Running out of memory in a capture leaves the capture and every account intact",
        "捕获期间内存不足不影响捕获与任何账目",
    ),
    must(
        Capt,
        5,
        "Once a graph is reset and its blocks are freed, emptying the cache gives its memory back",
        "图重置且其块释放后，清空缓存会归还其内存",
    ),
    must(
        Capt,
        6,
        "A capture may go into the pool of a graph that was reset: into that pool while anybody uses it, into another under its name else",
        "可以捕获到已重置图的内存池中：该池仍有使用者时用该池，否则以同名新池代之",
    ),
    must(Conf, 1, "A setting that is accepted has its documented effect", "被接受的配置项具有文档所述的效果"),
    must(
        Conf,
        2,
        "Memory that is mapped page by page is accessible, accounted and given back like any other",
        "按页映射的内存与其他内存一样可访问、记账并归还",
    ),
    must(Conf, 3, "No setting weakens any other promise", "任何配置项都不削弱其他承诺"),
    must(
        Conf,
        4,
        "Settings changed at run time count from the next call on, on every device, and the change itself moves no figure",
        "运行时更改的配置自下一次调用起在所有设备上生效，更改本身不改变任何数据",
    ),
    must(Conf, 5, "Settings that are refused leave those in force as they were", "被拒绝的配置不影响当前生效的配置"),
    must(
        Conf,
        6,
        "While caching is off each request takes memory from the device and each free returns it at once, and no figure counts either",
        "关闭缓存期间，每次申请直接取自设备，每次释放立即归还，且均不计入任何统计",
    ),
    must(
        Conf,
        7,
        "A block goes back to where it came from, however caching was switched since",
        "块归还到其来源，无论此后缓存如何开关",
    ),
    must(Live, 1, "Every call returns: none hangs", "每次调用都会返回，不会挂起"),
    must(Live, 2, "No call ends the process that makes it", "任何调用都不会使其进程终止"),
    must(
        Live,
        3,
        "No call leaves the device in a state in which every later call fails",
        "任何调用都不会使设备陷入后续调用全部失败的状态",
    ),
    must(
        Live,
        4,
        "A call with valid arguments is served: only a request for memory may be refused, for lack of it",
        "参数有效的调用必须成功：只有内存请求可因内存不足被拒绝",
    ),
    must(
        Live,
        5,
        "Every promise holds in any world: whatever devices, streams, pools, settings and failures come together",
        "任何环境中一切承诺均成立：无论设备、流、内存池、配置与故障如何组合",
    ),
    must(
        Same,
        1,
        "Streams other than the default one are treated alike, whatever their handles",
        "除默认流外，各流一视同仁，与其句柄取值无关",
    ),
    must(
        Same,
        2,
        "Devices of one size are treated alike, whatever their numbers",
        "容量相同的设备一视同仁，与其编号无关",
    ),
    should(
        Same,
        3,
        "Requests that were given back and trimmed leave no trace in what comes later",
        "已归还并清理的请求不影响之后的行为",
    ),
    must(
        Same,
        4,
        "Emptying a cache that holds nothing changes nothing that comes later",
        "清空无缓存内存的缓存不影响之后的行为",
    ),
    must(Same, 5, "The order of calls to different devices makes no difference", "对不同设备的调用次序不影响结果"),
    should(Same, 6, "Sizes of one alignment unit are served alike", "同一对齐单位内的大小得到同样的处理"),
    must(Same, 7, "A call that is refused leaves no trace in what comes later", "被拒绝的调用不影响之后的行为"),
    should(
        Exact,
        1,
        "An allocator that claims PyTorch's policy chooses, counts and says what PyTorch's would",
        "声称遵循 PyTorch 策略的分配器，其选择、计数与文本均与 PyTorch 一致",
    ),
];
