//! What is to be known beside the figures, in both languages.
//!
//! Decides the Chinese words; the English ones are those of every other command.

use crate::op::Text;
use crate::op::size::human;
use crate::reference::{Remark, SettingsError};
use crate::replay::what_if::Fitted;
use crate::replay::{Note, ReleaseFrom};

/// A note, as a sentence.
pub(super) fn note(note: &Note) -> Text {
    let en = note.to_string();
    Text::new(en, in_chinese(note))
}

fn in_chinese(note: &Note) -> String {
    match note {
        Note::Setting(remark) => setting(remark),
        Note::SettingsNotTold => {
            "快照没有记录设置字符串；凡未以其他方式说明的设置，均按 PyTorch 的默认值处理".to_owned()
        }
        Note::InForce { key } => format!("设置字符串所说的 `{key}` 与结束时实际生效的不同；以实际生效的为准"),
        Note::Late { device, reserved, blocks, bytes, waiting, guessed, ages } => {
            let (reserved, bytes) = (human(*reserved), human(*bytes));
            let mut text = format!(
                "设备 {device}：历史开始得晚；当时已预留 {reserved}，其中有 {blocks} 个块，共 {bytes}，参考实现以此为起点。\
                 此前的峰值与累计值未知"
            );
            if *waiting > 0 {
                text.push_str(&format!("；其中 {waiting} 个块在等待哪些流，没有记录"));
            }
            if *guessed > 0 {
                text.push_str(&format!("；其中 {guessed} 个块的大小按其请求取整，没有信息说明是否更大"));
            }
            if *ages {
                text.push_str("；各块已缓存多久，没有记录");
            }
            text
        }
        Note::Earlier { device } => {
            format!("设备 {device}：统计值多于历史所示：历史开始得晚，当时没有任何预留。不比较峰值与累计值")
        }
        Note::Cut { device, events, first: true } => {
            format!("设备 {device}：最前 {events} 个事件属于历史开始之前的一次调用；按原样接受")
        }
        Note::Cut { device, events, first: false } => {
            format!("设备 {device}：最后 {events} 个事件属于一次没有记录完的调用；不作比较")
        }
        Note::LeftOut { device, action } => {
            format!("设备 {device}：录制时略去了 `{}`（skip_actions）；认为块一经释放即可再用", action.name())
        }
        Note::SettingsChanged { device, index, changed } => {
            let changes: Vec<String> = changed
                .changes()
                .iter()
                .map(|(key, before, after)| format!("{key} 从 {before} 变为 {after}"))
                .collect();
            format!("设备 {device}：录制期间设置有变化；最先显出变化的是事件 {index}：{}", changes.join("，"))
        }
        Note::Collected { device, times } => {
            format!("设备 {device}：按记录重现了 {times} 次垃圾回收：它们取决于缓存年龄与显存比例，快照没有记录")
        }
        Note::Fitted { device, fitted, late } => fitted_limit(*device, *fitted, *late),
        Note::PastTheCache { blocks, most } => format!(
            "有 {blocks} 个块绕过了缓存（当时缓存已关闭），同一时刻最多 {}。它们不计入任何数字，换成其他大小的卡时也不计",
            human(*most)
        ),
        Note::Rules { minor, from } => rules(*minor, from),
        Note::OtherRelease { recorded } => format!(
            "记录自 {recorded}，参考实现不了解该版本的规则，按 2.11 的规则重放；出现的差异可能只是版本之间的差异"
        ),
        Note::PoolsByAddress => "记录中没有 `pool_id`（PyTorch 2.12 之前）：请求的私有池按其地址所在的段判定，\
                                 结束时已不存在的段视为属于默认池"
            .to_owned(),
    }
}

fn fitted_limit(device: usize, fitted: Fitted, late: bool) -> String {
    let (least, most) = (fitted.least, fitted.most);
    let mut text = format!(
        "设备 {device}：垃圾回收所依据的上限（显存比例）没有记录；它由 {} 次回收以及 {} 次事先没有回收的新显存请求推算得出：\
         从 {least} B（{}）到 {most} B（{}）。取其中最小、居中与最大者，参考实现都重现了录制的运行，\
         换成其他设置的结果也都相同",
        fitted.collections,
        fitted.without,
        human(least),
        human(most)
    );
    if late {
        text.push_str("；历史开始时已缓存的内容视为年龄相同");
    }
    text
}

fn rules(minor: u32, from: &ReleaseFrom) -> String {
    let why = match from {
        ReleaseFrom::Header(recorded) => format!("录制自 `{recorded}`"),
        ReleaseFrom::Export => "快照写明了版本".to_owned(),
        ReleaseFrom::Since(since) if minor >= *since => {
            format!("快照没有写明版本，但含有 PyTorch 自 2.{since} 起才写入的内容；在此后的规则中假定为这一版")
        }
        ReleaseFrom::Since(since) => {
            format!("快照没有写明版本；虽含有 PyTorch 自 2.{since} 起才写入的内容，此后的规则却都不能重现它")
        }
        ReleaseFrom::Nothing => "快照没有写明版本，也没有 PyTorch 自 2.12 起写入的 `pool_id`".to_owned(),
    };
    format!("其他设置按 PyTorch 2.{minor} 的规则计算：{why}")
}

fn setting(remark: &Remark) -> String {
    match remark {
        Remark::NoEffect { key } => format!("设置 `{key}`：已接受，对重放没有影响"),
        Remark::HostOnly { key } => format!("设置 `{key}`：已接受，只涉及锁页主机内存，对重放没有影响"),
        Remark::LeftOut { error } => match error {
            SettingsError::UnknownKey { key, .. } => format!("警告：略去一项设置：`{key}` 不是原生分配器的设置"),
            SettingsError::BadValue { key, value, allowed } => {
                format!("警告：略去一项设置：{key} 不允许为 `{value}`；允许的值：{allowed}")
            }
            SettingsError::Missing { key } => format!("警告：略去一项设置：{key} 没有值"),
        },
    }
}
