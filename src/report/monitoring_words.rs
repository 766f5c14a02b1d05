//! What rows, promises and figures of monitoring are called in either language.
//!
//! Decides words and nothing else; the codes are the worker's (`workers/torch/monitoring*.py`).

use crate::verdict::contract::RowOutcome;
use crate::verdict::monitoring::{Figure, Promise};

/// The situation of a row, by its id.
pub(super) fn situation(id: &str) -> (&'static str, &'static str) {
    let (group, what) = id.split_once('/').unwrap_or(("", id));
    let group = if group.starts_with("cuda:") { "cuda" } else { group };
    let refused = what.ends_with("-refusal");
    match (group, what.trim_end_matches("-refusal")) {
        ("cuda", "alone") => ("the process holds 96 MiB", "进程自身占用 96 MiB"),
        ("cuda", "neighbour") => ("another process holds 160 MiB, too", "另一进程同时占用 160 MiB"),
        ("cuda", "after-neighbour") => ("the other process has ended", "另一进程结束之后"),
        ("cuda", "current") => ("no argument; the device is the current one", "不带参数，当前设备"),
        ("cuda", "unit") => ("the unit of the figures", "数值的单位"),
        ("cuda", "refusal") => ("the text of a refusal, beside another process", "存在另一进程时显存不足的报错文本"),
        ("cuda", "poolproof") => ("`poolproof processes`, at the same time", "同一时刻的 `poolproof processes`"),
        ("wrong", "past-the-end") => ("one past the last device", "最后一个设备之后的编号"),
        ("wrong", "far-past-the-end") => ("far past the last device", "远超最后一个设备的编号"),
        ("wrong", "negative") => ("a negative device", "负的设备编号"),
        ("wrong", "cpu") => ("a device that is no GPU", "非 GPU 设备"),
        ("wrong", "string-past-the-end") => {
            ("far past the last device, as a string", "远超最后一个设备的编号，以字符串给出")
        }
        ("wrong", "past-the-visible") => {
            ("one past the devices in `CUDA_VISIBLE_DEVICES`", "超出 `CUDA_VISIBLE_DEVICES` 所列设备的编号")
        }
        ("pynvml", "module-missing") => ("pynvml is not installed", "未安装 pynvml"),
        ("pynvml", "module-broken") => ("pynvml cannot be imported", "pynvml 无法导入"),
        ("pynvml", "module-old") => ("pynvml lacks a name", "pynvml 缺少所需名称"),
        ("pynvml", "driver-not-loaded") => ("pynvml finds no driver", "pynvml 未找到驱动"),
        ("pynvml", "library-not-found") => ("pynvml finds no library", "pynvml 未找到 NVML 库"),
        ("pynvml", "device-lost") => ("the GPU has been lost", "GPU 已丢失"),
        ("pynvml", "not-permitted") => ("listing is not permitted", "无权列出进程"),
        ("pynvml", "nobody") => ("there is no process", "没有进程"),
        ("pynvml", "others") => ("processes of others", "其他进程"),
        ("pynvml", "many") => ("300 processes", "300 个进程"),
        ("pynvml", "bytes-not-told") => ("the bytes of one process are not told", "某进程的显存未给出"),
        ("nvml", library) => of_library(library, refused),
        ("reordered", "listed") => ("devices in reverse order", "设备顺序颠倒"),
        ("reordered", "heading") => ("the heading, devices in reverse order", "设备顺序颠倒时的标题"),
        _ => ("", ""),
    }
}

fn of_library(library: &str, refused: bool) -> (&'static str, &'static str) {
    match (library, refused) {
        ("library-unreadable", false) => ("NVML's library is no library", "NVML 库文件不是有效的库"),
        ("library-unreadable", true) => {
            ("memory is too short, NVML's library is no library", "显存不足，NVML 库文件不是有效的库")
        }
        ("library-without-functions", false) => ("NVML's library has no function", "NVML 库没有任何函数"),
        ("library-without-functions", true) => {
            ("memory is too short, NVML's library has no function", "显存不足，NVML 库没有任何函数")
        }
        ("library-too-old", false) => ("NVML's library cannot list processes", "NVML 库没有列出进程的函数"),
        ("library-too-old", true) => {
            ("memory is too short, NVML's library cannot list processes", "显存不足，NVML 库没有列出进程的函数")
        }
        ("library-refuses", false) => ("NVML refuses to list processes", "NVML 拒绝列出进程"),
        ("library-refuses", true) => {
            ("memory is too short, NVML refuses to list processes", "显存不足，NVML 拒绝列出进程")
        }
        ("library-driver-gone", false) => ("NVML says that no driver is loaded", "NVML 报告驱动未加载"),
        ("library-driver-gone", true) => {
            ("memory is too short, NVML says that no driver is loaded", "显存不足，NVML 报告驱动未加载")
        }
        _ => ("", ""),
    }
}

pub(super) fn promise(promise: Promise) -> (&'static str, &'static str) {
    match promise {
        Promise::Listed => {
            ("Every process that NVML names is listed, and nobody else", "NVML 给出的进程全部列出，且不列出其他进程")
        }
        Promise::Bytes => ("The bytes of each process agree with NVML's", "各进程的字节数与 NVML 一致"),
        Promise::Unit => ("The unit that is written is the one that the figure is in", "所写单位与数值相符"),
        Promise::Heading => ("The heading names the device that was asked for", "标题给出所查的设备"),
        Promise::WrongDevice => {
            ("A device that is not there ends in an error that names it", "设备不存在时抛出指明该设备的错误")
        }
        Promise::MissingSaid => {
            ("What is missing or fails is named in a text or an error", "缺失或失败的原因在文本或错误中指明")
        }
        Promise::Refusal => {
            ("A request that memory is too short for ends in `OutOfMemoryError`", "显存不足时抛出 `OutOfMemoryError`")
        }
        Promise::Named => (
            "The text of a refusal names every process that NVML names, with its bytes",
            "显存不足的报错列出 NVML 给出的所有进程及其字节数",
        ),
        Promise::Alive => ("The process goes on, and allocates and frees as before", "进程继续运行，分配与释放如常"),
    }
}

pub(super) fn outcome(outcome: RowOutcome) -> (&'static str, &'static str) {
    match outcome {
        RowOutcome::Kept => ("kept", "遵守"),
        RowOutcome::Broken => ("**broken**", "**未遵守**"),
        RowOutcome::Crashed => ("**crashed**", "**崩溃**"),
        RowOutcome::Hung => ("**hung**", "**挂起**"),
        RowOutcome::NotApplicable => ("not judged", "未判定"),
        RowOutcome::NotRun => ("not run", "未执行"),
    }
}

/// Why a row was not judged, where the worker has a code for it.
pub(super) fn reason(code: &str) -> Option<(&'static str, &'static str)> {
    Some(match code {
        "simulated" => ("a simulated device is one process's", "模拟设备只属于一个进程"),
        "no_poolproof" => ("this program was not found", "未找到本程序"),
        "restless" => ("processes came and went while it was asked", "查询期间进程不断变化"),
        "no_nvml" => ("there is no NVML", "没有 NVML"),
        "one_device" => ("there is one device", "只有一个设备"),
        "visible_set" => ("`CUDA_VISIBLE_DEVICES` is set", "已设置 `CUDA_VISIBLE_DEVICES`"),
        "nobody_listed" => ("no process with its bytes was listed", "未列出任何带字节数的进程"),
        "processor" => ("no stand-in was made for this processor", "没有适用于该处理器的替身库"),
        _ => return None,
    })
}

pub(super) fn figure(figure: Figure) -> (&'static str, &'static str) {
    match figure {
        Figure::NvmlDevice => ("NVML, device", "NVML，设备"),
        Figure::NvmlProcess => ("NVML, process", "NVML，进程"),
        Figure::MemGetInfo => ("`mem_get_info`", "`mem_get_info`"),
        Figure::MemoryReserved => ("`memory_reserved`", "`memory_reserved`"),
    }
}
