//! What a broken promise means for users and where such defects usually sit, by area; and what would
//! lift a missing capability.
//!
//! Decides wording by area. Does not look at any run.

use super::words::Pair;
use crate::op::Capability;
use crate::requirement::Area;

/// What a violation in this area does to the people who use the allocator.
#[expect(clippy::too_many_lines, reason = "one sentence an area")]
pub(super) fn impact(area: Area) -> Pair {
    match area {
        Area::Stat => (
            "monitoring and capacity planning read these figures: wrong ones hide leaks or report memory that is not there",
            "监控与容量规划依赖这些数据，失真会掩盖泄漏或虚报占用",
        ),
        Area::Peak => (
            "batch sizes and limits are chosen from peaks: a wrong peak ends in out of memory in production, or in memory left unused",
            "批大小与内存上限依据峰值设定，峰值错误会导致线上内存不足或显存闲置",
        ),
        Area::Pool => (
            "reuse is lost and memory fragments: more is reserved than the workload needs, up to an early out of memory",
            "复用失效、碎片增多，保留内存超出负载所需，严重时提前触发内存不足",
        ),
        Area::Zero => {
            ("code that handles empty tensors fails or is miscounted", "处理空张量的代码会失败，或被错误计数")
        }
        Area::Huge => (
            "a size that overflows can be served with less memory than asked for, and writes go past the block",
            "大小溢出时可能分到小于请求量的内存，写入将越过块边界",
        ),
        Area::Frac => (
            "a process can take more than its share of a device, and the others on it run out of memory",
            "进程可能占用超出其份额的显存，使同一设备上的其他进程内存不足",
        ),
        Area::Arg => (
            "a wrong argument damages state instead of raising an error, and the failure shows far from its cause",
            "错误参数破坏内部状态而不报错，故障现象远离根源",
        ),
        Area::Oom => (
            "a job that could go on after out of memory fails, or goes on with false accounts",
            "内存不足后本可继续的任务失败，或带着错误的账目继续运行",
        ),
        Area::Trim => (
            "memory meant for others stays held, or memory in use is given away",
            "应归还的内存仍被占用，或正在使用的内存被归还",
        ),
        Area::Iso => (
            "work on one device fails or is misreported because of another: multi-device jobs cannot trust either",
            "一个设备的操作影响另一个设备的行为或数据，多卡任务的结果与监控均不可信",
        ),
        Area::Strm => (
            "memory is handed on while a kernel still uses it: results are silently wrong",
            "内核仍在使用的内存被再次分配，产生静默的错误结果",
        ),
        Area::Leak => {
            ("a long-running process loses memory until it is restarted", "长时间运行的进程持续丢失内存，只能重启恢复")
        }
        Area::Grow => (
            "a steady loop takes more and more memory and runs out after hours",
            "稳定的训练或推理循环占用不断上升，数小时后内存不足",
        ),
        Area::Conc => (
            "calls from several threads damage each other's state or reach the wrong device",
            "多线程调用互相破坏状态，或落到错误的设备上",
        ),
        Area::Tele => (
            "schedulers and monitors outside the process act on a usage that is not true",
            "进程外的调度与监控依据失真的占用数据做出决策",
        ),
        Area::Summ => (
            "tools that read the dictionary, the summary or the snapshot break or mislead",
            "读取字典、摘要或快照的工具会出错或给出误导信息",
        ),
        Area::Mem => (
            "two owners share the same bytes, or write where no memory is: data is silently damaged",
            "同一字节有两个所有者，或写入没有内存支撑的地址，数据被静默破坏",
        ),
        Area::Priv => (
            "memory set apart for one use (registered with a network, shared with another library) is handed to others, or never comes back",
            "为特定用途（如网络注册、跨库共享）隔离的内存被挪作他用，或无法收回",
        ),
        Area::Capt => (
            "a graph replays into memory that belongs to somebody else by then: results are silently wrong",
            "图重放时写入已属于他人的内存，产生静默的错误结果",
        ),
        Area::Conf => (
            "a setting that operators rely on has no effect, or breaks what holds without it",
            "运维所依赖的配置项不起作用，或破坏了默认配置下成立的保证",
        ),
        Area::Live => (
            "the whole process stops or dies with all its work, whatever the caller would have done about a refusal",
            "整个进程停滞或终止，其全部工作随之丢失，调用者没有机会处理错误",
        ),
        Area::Same => (
            "a job behaves differently on another device, stream or after a warm-up, and its memory use cannot be planned",
            "换一个设备、流或经过预热之后作业的表现就不同，内存用量无法规划",
        ),
        Area::Exact => (
            "figures, addresses or texts that tools know from PyTorch come out otherwise; by itself this breaks no promise to a caller",
            "工具所熟知的 PyTorch 数据、地址或文本与实际不符；仅此并不违反对调用者的任何承诺",
        ),
    }
}

/// Where to look first, and what to change.
#[expect(clippy::too_many_lines, reason = "one sentence an area")]
pub(super) fn fix(area: Area) -> Pair {
    match area {
        Area::Stat => (
            "move each figure in the same place as the block or segment it counts, on every path, failures included; in debug builds recompute the figures from the blocks and compare",
            "将计数更新与块、段的状态变更放在同一处，覆盖包括失败在内的所有路径；调试构建中由块列表重算并比对",
        ),
        Area::Peak => (
            "raise a peak only where its current value rises, after the request has succeeded; on a reset set it to the current value in every family and pool",
            "仅在请求成功且当前值上升处更新峰值；重置时将每个统计族、每个池的峰值置为当前值",
        ),
        Area::Pool => (
            "take the pool from the rounded size in one function that allocation, freeing and accounting share; check the order of the free list and the merge with both neighbours",
            "由同一函数根据取整后的大小判定所属池，供分配、释放与记账共用；检查空闲列表排序以及与前后邻块的合并",
        ),
        Area::Zero => (
            "answer size 0 before rounding and before any account; treat freeing its result or null as nothing",
            "在取整与记账之前处理 0 字节请求；释放其结果或空指针时直接返回",
        ),
        Area::Huge => (
            "check for overflow before rounding, and refuse before the first account moves",
            "取整前检查溢出，并在任何账目变动之前拒绝",
        ),
        Area::Frac => (
            "validate the fraction before storing it; check the limit at the one place that gets memory from the device, against the figures of that device",
            "保存比例之前先校验；在唯一的设备内存申请处、按该设备的保留量检查上限",
        ),
        Area::Arg => (
            "check devices and pointers before the first change of state; look pointers up among the live blocks",
            "在首次修改状态之前校验设备与指针；指针须在存活块表中查找",
        ),
        Area::Oom => (
            "undo on the failure path whatever the request had changed; give cached segments back and try again before refusing; leave no sticky error behind",
            "失败路径须撤销该请求的全部改动；拒绝之前先归还缓存段并重试；不遗留粘滞错误",
        ),
        Area::Trim => (
            "release exactly the segments whose only block is free, after pending events are processed, and take the same sizes off the accounts",
            "先处理等待中的事件，再归还且仅归还整段空闲的段，并从账目中扣除相同的大小",
        ),
        Area::Iso => (
            "keep free lists, limits and figures per device; take the device from the argument, and restore the current device on every way out",
            "空闲列表、上限与统计按设备分别维护；以参数指定的设备为准，并在每条返回路径上恢复当前设备",
        ),
        Area::Strm => (
            "on free, record an event on every stream that used the block and return the block only after all of them have finished; keep free blocks apart by stream",
            "释放时在每个使用过该块的流上记录事件，全部完成后才放回空闲列表；空闲块按流区分",
        ),
        Area::Leak => (
            "pair every reserve with a release on all paths, those after a failed device call included; compare the segment list with the device at teardown",
            "确保所有路径（含设备调用失败之后）上的申请与归还成对；在清理时将段列表与设备占用比对",
        ),
        Area::Grow => (
            "compare the snapshots of two rounds for the block that is not reused; check rounding, the split threshold and merging",
            "比对两轮循环的快照，找出未被复用的块；检查取整、切分阈值与合并",
        ),
        Area::Conc => (
            "hold the device's lock over each whole call; keep the current device per thread; do not tie a block to the thread that asked for it",
            "每次调用全程持有设备锁；当前设备按线程保存；块不绑定到申请它的线程",
        ),
        Area::Tele => (
            "compare the driver's free figure before and after each reserve and release, and look for memory held outside the accounts",
            "在每次申请与归还前后比对驱动给出的空闲量，查找账目之外占用的内存",
        ),
        Area::Summ => (
            "build dictionary, summary and snapshot from the same figures at one moment, and check the keys against the documented list",
            "字典、摘要与快照由同一时刻的同一份数据生成，并按文档核对键名",
        ),
        Area::Mem => (
            "check that splitting and merging keep blocks disjoint and inside their segment, and that addresses and sizes are rounded before the split",
            "检查切分与合并后各块互不重叠且位于段内，并确认地址与大小在切分之前已取整",
        ),
        Area::Priv => (
            "keep the free blocks of each pool in a set of their own, choose the set once per request from the redirections, and count a pool's users in one place",
            "每个池使用独立的空闲集合，每次请求仅依据重定向选定一次，并在一处统计池的使用者",
        ),
        Area::Capt => (
            "while anything captures, put frees with recorded streams off and flush nothing; take them up when the capture ends; let a pool go with its last graph",
            "捕获期间推迟带流记录的释放且不清空缓存；捕获结束后统一处理；池随最后一个图释放",
        ),
        Area::Conf => (
            "check that every setting is passed on to the place that decides, and run the suite under the settings in use",
            "检查每个配置项都传递到真正做决定之处，并在所用配置下运行本套件",
        ),
        Area::Live => (
            "run the sequence under a debugger or a sanitizer: look for a lock taken twice, a wait for work that cannot finish, an unchecked pointer, an assertion on a caller's mistake",
            "在调试器或内存检查工具下重放该序列：查找重复加锁、等待无法完成的工作、未校验的指针，以及对调用者错误的断言",
        ),
        Area::Same => (
            "run the finding's two sequences side by side up to the first figure that differs, and look for a decision that reads a handle, an index, an address or a count of calls",
            "并排运行发现中的两个序列直至首个不同的数据，查找读取句柄、编号、地址或调用次数的判断",
        ),
        Area::Exact => (
            "replay the sequence beside PyTorch's and compare the first event, address or figure named in the finding; or stop claiming the policy (`policy:pytorch-2.11`) if the difference is wanted",
            "与 PyTorch 并排重放该序列，比对问题所指的首个事件、地址或数据；若差异是有意为之，则不再声称该策略（`policy:pytorch-2.11`）",
        ),
    }
}

/// What would let the scenarios run that need a capability.
pub(super) fn lift(capability: Capability) -> (String, String) {
    let name = capability.to_string();
    match capability {
        Capability::Devices(count) => {
            (format!("provide a machine with at least {count} devices"), format!("提供至少 {count} 个设备的测试机"))
        }
        Capability::Faults | Capability::StreamControl | Capability::Simulated => (
            format!("`{name}` needs a device that obeys the harness: run these scenarios on a `@sim` target"),
            format!("`{name}` 需要可由测试框架控制的设备：改在 `@sim` 目标上运行这些用例"),
        ),
        _ => (
            format!("offer `{name}` in the target's adapter if the allocator has it, otherwise accept the gap"),
            format!("若分配器具备 `{name}`，在目标适配层中开放该能力；否则接受此缺口"),
        ),
    }
}
