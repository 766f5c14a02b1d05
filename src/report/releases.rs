//! The matrix of releases as a page in either language.
//!
//! Decides how it reads; every sentence is computed from the matrix.

use super::Language;
use super::page::{Page, code, escape, named, numbers, plural, thousands, words as text};
use crate::op::size;
use crate::verdict::record::EndedBy;
use crate::verdict::releases::{
    Agreed, Answer, Cell, Change, ChangeKind, PromiseRow, ReleaseMatrix, ReleaseRow, SequenceRow, Standing,
};

/// Lines of a sequence from its start and from its end, where it is longer than both.
const HEAD: usize = 12;
const TAIL: usize = 20;

/// Characters of a message at most: the texts of refusals are long, and stand in the release's own report.
const MESSAGE: usize = 240;

/// The name of the page beside `matrix.json`.
#[must_use]
pub fn releases_file(language: Language) -> &'static str {
    language.pick("matrix.md", "matrix.zh.md")
}

/// The page: which release breaks which promise, and what changed from one to the next.
#[must_use]
pub fn releases_page(matrix: &ReleaseMatrix, language: Language) -> String {
    let mut page = Page::new(language);
    page.heading(1, "PyTorch's allocator, release by release", "PyTorch 分配器各版本对照");
    head(&mut page, matrix);
    page.heading(2, "Promises by release", "各版本的需求结果");
    promises(&mut page, matrix);
    page.heading(2, "What changed from one release to the next", "相邻版本之间的变化");
    changes(&mut page, matrix);
    page.finish()
}

/// What there was and what it came to, in a few lines of plain text: what is printed at the end.
#[must_use]
pub fn releases_summary(matrix: &ReleaseMatrix, language: Language) -> String {
    let of = |kind| matrix.changes.iter().filter(move |c| c.kind == kind && c.sequence.is_some()).count();
    let (fixed, new, moved) = (of(ChangeKind::Fixed), of(ChangeKind::New), of(ChangeKind::Moved));
    let broken = matrix.rows.iter().filter(|r| r.cells.iter().any(|c| c.standing == Standing::Fail)).count();
    let (releases, unverified) =
        (matrix.releases.len(), matrix.changes.iter().filter(|c| c.sequence.is_none()).count());
    let sequences = matrix.sequences.len();
    language.pick(
        format!(
            "{} broken by some of {}; between neighbours {fixed} fixed, {new} new, {moved} moved, and {unverified} seen by one \
             run alone, not verified. {} of findings asked of every release.",
            plural(broken, "promise"),
            plural(releases, "release"),
            plural(sequences, "sequence"),
        ),
        format!(
            "{releases} 个版本中共有 {broken} 项需求被违反；相邻版本之间：已修复 {fixed}，新出现 {new}，有变动 {moved}；另有 {unverified} 处差异\
             仅见于一次运行，未经验证。问题的 {sequences} 条序列已在每个版本上执行。"
        ),
    )
}

fn head(page: &mut Page, matrix: &ReleaseMatrix) {
    interruption(page, matrix);
    let seed = matrix.seed;
    let (first, last) = (matrix.release(0), matrix.release(matrix.releases.len().saturating_sub(1)));
    let releases = matrix.releases.len();
    page.say(
        format!(
            "The same scenarios on {} of PyTorch's allocator, {first} to {last}, each the released library over simulated \
             devices, with seed {seed}.",
            plural(releases, "release")
        ),
        format!(
            "同一组用例，{releases} 个已发布的 PyTorch 分配器（{first} 至 {last}），均为发布的库文件，运行于模拟设备，种子 {seed}。"
        ),
    );
    page.say(releases_summary(matrix, Language::En), releases_summary(matrix, Language::Zh));
    let mut limits = Vec::new();
    if let Some(config) = &matrix.config {
        let config = code(config);
        limits.push(page.t(format!("Settings of every release: {config}"), format!("所有版本的配置：{config}")));
    }
    if !matrix.selection.is_empty() {
        let selection = code(&matrix.selection.join(" "));
        limits.push(page.t(format!("Only a part was run: {selection}"), format!("只运行了一部分：{selection}")));
    }
    if !matrix.exact {
        limits.push(page.t(
            "Promises to callers alone were judged, and not the policy that a release claims (`--no-exact`)".to_owned(),
            "只判定对调用方的承诺，未对照各版本所声称的策略（`--no-exact`）".to_owned(),
        ));
    }
    if !matrix.left_out.is_empty() {
        let list = matrix.left_out.join(page.t(", ", "、"));
        limits.push(page.t(
            format!("Left out, as they are not set up or were not run: {list} (`poolproof setup torch --version X`)"),
            format!("未列入（未安装或未运行）：{list}（`poolproof setup torch --version X`）"),
        ));
    }
    if !limits.is_empty() {
        page.bullets(&limits);
    }
    runs(page, matrix);
}

/// What was cut short, before any figure.
fn interruption(page: &mut Page, matrix: &ReleaseMatrix) {
    if matrix.ended == EndedBy::Complete {
        return;
    }
    let unasked = matrix.sequences.iter().flat_map(|s| &s.answers).filter(|a| **a == Answer::NotAsked).count();
    page.say(
        format!(
            "**Cut short**: the table below says how far each run came; {} of findings were not asked of a release.",
            plural(unasked, "sequence")
        ),
        format!("**未完成**：各版本的进度见下表；另有 {unasked} 次跨版本的序列执行未进行。"),
    );
}

fn runs(page: &mut Page, matrix: &ReleaseMatrix) {
    let columns = [
        text("Release", "版本"),
        text("Ended", "结束方式"),
        numbers("Scenarios with a verdict", "有结论的用例"),
        numbers("without", "无结论"),
        numbers("not applicable", "不适用"),
        numbers("Sequences", "序列数"),
        numbers("Operations", "操作数"),
        numbers("Findings", "问题数"),
    ];
    let row = |row: &ReleaseRow| {
        let link =
            format!("[{}]({}/{})", row.build.as_deref().unwrap_or(&row.version), row.folder, page.language.file_name());
        let counts = [row.executed, row.unreached, row.not_applicable, row.sequences, row.operations, row.findings];
        let mut cells = vec![link, ended(page, row)];
        cells.extend(counts.map(thousands));
        cells
    };
    let rows: Vec<Vec<String>> = matrix.releases.iter().map(row).collect();
    page.table(&columns, &rows);
}

fn ended(page: &Page, row: &ReleaseRow) -> String {
    let unfinished = row.unfinished;
    let (en, zh) = match row.ended {
        EndedBy::Complete => return page.t("complete", "完整").to_owned(),
        EndedBy::TimeUp => ("time was up", "时间已到"),
        EndedBy::Interrupted | EndedBy::Killed => ("interrupted", "被中断"),
        EndedBy::Hung => ("a call never returned", "调用未返回"),
    };
    page.t(
        format!("**{en}**, {} unfinished", plural(unfinished, "scenario")),
        format!("**{zh}**，{unfinished} 个用例未完成"),
    )
}

fn promises(page: &mut Page, matrix: &ReleaseMatrix) {
    let Agreed { pass, not_reached, not_applicable } = matrix.agreed;
    let all = pass + not_reached + not_applicable;
    page.say(
        format!(
            "{} came to the same on every release, and {} not in the table: kept by all as far as the scenarios show {pass}, no \
             verdict on any {not_reached}, applies to none {not_applicable}.",
            plural(all, "promise"),
            if all == 1 { "is" } else { "are" },
        ),
        format!(
            "{all} 项需求在所有版本上结果相同，不列入下表：就用例所及全部通过 {pass} 项，全部无结论 {not_reached} 项，全部不适用 \
             {not_applicable} 项。"
        ),
    );
    if matrix.rows.is_empty() {
        return;
    }
    let mut columns = vec![text("Promise", "需求")];
    columns.extend(matrix.releases.iter().map(|release| named(&release.version)));
    let row = |row: &PromiseRow| {
        let (en, zh) = row.requirement.get().broken;
        let about = format!("{}: {}", row.requirement, escape(page.t(en, zh)));
        let mut cells = vec![about];
        cells.extend(row.cells.iter().map(|c| cell(page, row, c)));
        cells
    };
    let rows: Vec<Vec<String>> = matrix.rows.iter().map(row).collect();
    page.table(&columns, &rows);
    page.say(
        "A row says what happens where the promise is broken. After **fail** stand the findings, without the promise's number where \
         it is that of the row. With † and a release: the run did not find it, and the sequence of that release's finding \
         breaks it here, too.",
        "每行写明违反该需求时的现象。**失败**之后为问题编号，与本行需求编号相同的部分省略。带 † 与版本号者：该版本自身的运行未发现，但\
         所注版本的问题序列在此同样违反该需求。",
    );
}

fn cell(page: &Page, row: &PromiseRow, cell: &Cell) -> String {
    let short = |id: &str| {
        let own = format!("{}-", row.requirement);
        id.strip_prefix(&own).unwrap_or(id).to_owned()
    };
    match cell.standing {
        Standing::Pass => page.t("pass", "通过").to_owned(),
        Standing::NotReached => page.t("not reached", "无结论").to_owned(),
        Standing::NotApplicable => page.t("n/a", "不适用").to_owned(),
        Standing::Fail => {
            let shown = cell.shown.iter().map(|of| format!("{}†{}", short(&of.finding), of.release));
            let ids: Vec<String> = cell.found.iter().map(|id| short(id)).chain(shown).collect();
            format!("{} {}", page.t("**fail**", "**失败**"), ids.join(page.t(", ", "、"))).trim_end().to_owned()
        }
    }
}

fn changes(page: &mut Page, matrix: &ReleaseMatrix) {
    page.say(
        "Each change was tried: the finding's sequence was asked of both neighbours. *Fixed*: it broke the promise on the older release, \
         it holds on the newer one, and nothing else was seen to break that promise there. *New*: the other way round. *Moved*: \
         both releases break the promise, but not with this sequence, or the sequence breaks another one. What is not verified \
         says so.",
        "每项变化均经实际执行：问题的序列在两个相邻版本上各运行一次。“已修复”：旧版本违反该需求，新版本上同一序列不再违反，且未见其他序列违反。\
         “新出现”则相反。“有变动”：两个版本都违反该需求，但并非都由此序列触发，或此序列转而违反另一需求。未经验证者另行注明。",
    );
    let pairs = (1..matrix.releases.len()).map(|newer| (newer - 1, newer));
    let mut unchanged = Vec::new();
    for (older, newer) in pairs {
        let names = format!("{} → {}", matrix.release(older), matrix.release(newer));
        let between: Vec<&Change> = matrix.changes.iter().filter(|c| (c.older, c.newer) == (older, newer)).collect();
        if between.is_empty() {
            unchanged.push(names);
            continue;
        }
        page.heading(3, &names, &names);
        for change in between {
            one(page, matrix, change);
        }
    }
    if !unchanged.is_empty() {
        let list = unchanged.join(page.t(", ", "、"));
        page.say(format!("No change was seen between {list}."), format!("以下相邻版本之间未见变化：{list}。"));
    }
}

fn one(page: &mut Page, matrix: &ReleaseMatrix, change: &Change) {
    let newer = matrix.release(change.newer);
    let requirement = change.requirement;
    let (title_en, title_zh) = requirement.get().broken;
    let (title_en, title_zh) =
        (format!("{requirement} · {}", escape(title_en)), format!("{requirement} · {}", escape(title_zh)));
    let Some(sequence) = change.sequence.and_then(|i| matrix.sequences.get(i)) else {
        unverified(page, matrix, change, &(title_en, title_zh));
        return;
    };
    let (en, zh) = match change.kind {
        ChangeKind::Fixed => (format!("Fixed in {newer}"), format!("{newer} 已修复")),
        ChangeKind::New => (format!("New in {newer}"), format!("{newer} 新出现")),
        ChangeKind::Moved => (format!("Moved in {newer}"), format!("{newer} 有变动")),
    };
    page.heading(4, &format!("{en} · {title_en}"), &format!("{zh} · {title_zh}"));
    page.bullets(&account(page, matrix, change, sequence));
    page.code_block("text", &listing(page, sequence));
    let commands: Vec<String> = [change.older, change.newer]
        .into_iter()
        .filter_map(|i| {
            let target = matrix.releases.get(i)?.target.replace('\'', r"'\''");
            let comes_to = match sequence.answers.get(i) {
                Some(Answer::Breaks { .. }) => page.t("breaks", "违反"),
                _ => page.t("holds", "成立"),
            };
            Some(format!("{} --target '{target}'   # {comes_to}", sequence.command))
        })
        .collect();
    page.code_block("sh", &commands.join("\n"));
}

/// What one run came upon and the other did not, with no sequence that tells the two apart.
fn unverified(page: &mut Page, matrix: &ReleaseMatrix, change: &Change, (title_en, title_zh): &(String, String)) {
    let breaks = matrix.release(change.breaks_on);
    let other = matrix.release(if change.breaks_on == change.older { change.newer } else { change.older });
    page.heading(
        4,
        &format!("Not verified, seen on {breaks} alone · {title_en}"),
        &format!("未经验证，仅见于 {breaks} · {title_zh}"),
    );
    let row = matrix.rows.iter().find(|row| row.requirement == change.requirement);
    let found =
        row.and_then(|row| row.cells.get(change.breaks_on)).map(|cell| cell.found.as_slice()).unwrap_or_default();
    let found = found.iter().map(|id| code(id)).collect::<Vec<_>>().join(page.t(", ", "、"));
    let (from_en, from_zh) = if found.is_empty() {
        (format!("Sequences of other releases break it on {breaks}"), format!("其他版本的序列在 {breaks} 上违反该需求"))
    } else {
        (format!("The run on {breaks} put it down to {found}"), format!("{breaks} 的运行将其归于 {found}"))
    };
    page.say(
        format!("{from_en}, the run on {other} did not come upon it, and no sequence breaks it on the one and holds on the other."),
        format!("{from_zh}，{other} 的运行未遇到；没有在前者上违反、在后者上成立的序列。"),
    );
}

fn account(page: &Page, matrix: &ReleaseMatrix, change: &Change, sequence: &SequenceRow) -> Vec<String> {
    let mut items = Vec::new();
    for i in [change.older, change.newer] {
        let release = matrix.release(i);
        let told = match sequence.answers.get(i) {
            Some(answer @ Answer::Breaks { .. }) => told(page, change, answer),
            _ if change.kind == ChangeKind::Moved => page.t(
                "this sequence breaks nothing; others still break the promise".to_owned(),
                "此序列不再违反；另有序列违反该需求".to_owned(),
            ),
            _ => page.t("the same sequence breaks nothing".to_owned(), "同一序列未违反任何需求".to_owned()),
        };
        items.push(page.t(format!("**{release}**: {told}"), format!("**{release}**：{told}")));
    }
    if let Some(of) = sequence.of.first() {
        let (finding, release, scenario) = (code(&of.finding), &of.release, code(&sequence.scenario));
        let others = change.shown_by.saturating_sub(1);
        let (also_en, also_zh) = if others == 0 {
            Default::default()
        } else {
            (
                format!("; {} more show the same", plural(others, "sequence")),
                format!("；另有 {others} 条序列显示相同变化"),
            )
        };
        items.push(page.t(
            format!("Finding {finding} of {release}, in {scenario}{also_en}"),
            format!("{release} 的问题 {finding}，见于用例 {scenario}{also_zh}"),
        ));
    }
    let devices: Vec<String> = sequence.setup.device_bytes.iter().map(|&b| size::human(b)).collect();
    let (n, streams, steps) = (devices.len(), sequence.setup.streams, sequence.steps.len());
    let devices = devices.join(page.t(", ", "、"));
    let (minimal_en, minimal_zh) = if sequence.minimal {
        ("Minimal sequence", "最小序列")
    } else {
        ("Sequence, not minimal", "序列（未最小化）")
    };
    let (under_en, under_zh) = sequence.setup.config.as_ref().map_or_else(Default::default, |config| {
        (format!(", under {}", code(config)), format!("，配置 {}", code(config)))
    });
    items.push(page.t(
        format!(
            "{minimal_en}: {}, on {} ({devices}) with {}{under_en}",
            plural(steps, "step"),
            plural(n, "device"),
            plural(streams, "stream")
        ),
        format!("{minimal_zh}：{steps} 步，{n} 个设备（{devices}），{streams} 个流{under_zh}"),
    ));
    items
}

/// What an answer says of the promise, or of another one in its place, and which others it breaks, too.
fn told(page: &Page, change: &Change, answer: &Answer) -> String {
    let breach = answer.breach_of(change.requirement).or_else(|| answer.breaches().first());
    let Some(breach) = breach else { return String::new() };
    let message = page.t(&breach.message.en, &breach.message.zh);
    let short: String = message.chars().take(MESSAGE).collect();
    let more = if short.len() < message.len() { " …" } else { "" };
    let others = answer.breaches().iter().filter(|other| other.requirement != breach.requirement);
    let others: Vec<String> = others.map(|other| other.requirement.to_string()).collect();
    let also = others.join(page.t(", ", "、"));
    let also = match others.is_empty() {
        true => String::new(),
        false => page.t(format!(" (with it {also})"), format!("（同时违反 {also}）")),
    };
    page.t(
        format!("{}: {}{more}{also}", breach.requirement, escape(&short)),
        format!("{}：{}{more}{also}", breach.requirement, escape(&short)),
    )
}

fn listing(page: &Page, sequence: &SequenceRow) -> String {
    let digits = sequence.steps.len().to_string().len();
    let line = |(i, step): (usize, &String)| format!("{:>digits$}  {}", i + 1, step.replace(['\n', '\r'], " "));
    let numbered = || sequence.steps.iter().enumerate();
    if sequence.steps.len() <= HEAD + TAIL {
        return numbered().map(line).collect::<Vec<_>>().join("\n");
    }
    let hidden = sequence.steps.len() - HEAD - TAIL;
    let mut shown: Vec<String> = numbered().take(HEAD).map(line).collect();
    shown.push(page.t(
        format!("... {hidden} steps left out; {} has every one", sequence.file),
        format!("... 省略 {hidden} 步，完整步骤见 {}", sequence.file),
    ));
    shown.extend(numbered().skip(HEAD + hidden).map(line));
    shown.join("\n")
}
