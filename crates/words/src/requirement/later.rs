//! The part of the list about pools, graphs, settings, staying alive, likeness and exactness.

use super::{Area, Requirement, must, should};

use Area::{Capt, Conf, Exact, Live, Priv, Same};

/// In the order of the list, after `registry`'s.
pub(super) const LATER: [Requirement; 32] = [
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
