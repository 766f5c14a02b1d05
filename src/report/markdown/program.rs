//! A finding's program: where it is, and what it said when it was run.

use super::super::page::{Page, code, escape};
use crate::verdict::standalone::Came;
use crate::verdict::{Finding, Standalone};

/// So many lines of what a program printed are shown, from its end.
const LINES: usize = 12;

pub(super) fn write(page: &mut Page, finding: &Finding) {
    match &finding.standalone {
        None => {}
        Some(Standalone::Unsaid { language, why }) => page.say(
            format!("**Without poolproof**: not as a program in {language}: {}", escape(why)),
            format!("**脱离 poolproof**：无法写成 {language} 程序：{}", escape(why)),
        ),
        Some(Standalone::Program { language, file, came }) => {
            let file = code(file);
            let (en, zh) = said(page, came);
            page.say(
                format!("**Without poolproof**: {file}, a program in {language} that exits 1 while the defect is there and 0 when it is gone. {en}"),
                format!("**脱离 poolproof**：{file}，{language} 程序，缺陷存在时退出码为 1，修复后为 0。{zh}"),
            );
            if let Some(printed) = printed(came).filter(|text| !text.is_empty()) {
                let lines: Vec<&str> = printed.lines().collect();
                page.code_block("text", &lines[lines.len().saturating_sub(LINES)..].join("\n"));
            }
        }
    }
}

fn said(page: &Page, came: &Came) -> (String, String) {
    match came {
        Came::Shows { .. } => {
            ("Run in a fresh process, it exited 1:".to_owned(), "在全新进程中运行，退出码为 1：".to_owned())
        }
        Came::Holds { .. } => (
            "**Run in a fresh process, it exited 0**: outside of poolproof the defect did not show.".to_owned(),
            "**在全新进程中运行，退出码为 0**：脱离 poolproof 未能显现。".to_owned(),
        ),
        Came::Otherwise { end, .. } => (
            format!("**Run in a fresh process, it ended otherwise ({}), and says nothing**:", escape(end)),
            format!("**在全新进程中运行，以其他方式结束（{}），不能说明问题**：", escape(end)),
        ),
        Came::NotRun { why } => {
            let why = page.of(why);
            (format!("**It was not run**: {why}"), format!("**未运行**：{why}"))
        }
    }
}

fn printed(came: &Came) -> Option<&str> {
    match came {
        Came::Shows { printed } | Came::Holds { printed } | Came::Otherwise { printed, .. } => Some(printed),
        Came::NotRun { .. } => None,
    }
}
