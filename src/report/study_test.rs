//! Pages of studies: the kill matrix as an appendix, survival.

use super::{Language, add_guided, matrix, read_survival, survival_json, survival_kills, survival_page};
use crate::op::{OracleName, Text};
use crate::requirement::{Area, RequirementId};
use crate::verdict::matrix::{Alarm, DefectRow, Kill, KillMatrix, RowStamp, VariationRow};
use crate::verdict::record::{EndedBy, RunStamp};
use crate::verdict::survival::{Generator, HuntStamp, Hunts, Survival, SurvivalRow};

fn kill_matrix() -> KillMatrix {
    let defect = |name: &str, kill| DefectRow {
        name: name.to_owned(),
        copies: "rapidsai/rmm #1".to_owned(),
        what: "what it does".to_owned(),
        kill,
        failing: None,
        stamp: RowStamp { seconds: 0.5 },
    };
    let kill = Kill {
        requirement: RequirementId::new(Area::Leak, 1),
        oracle: OracleName::Leak,
        scenario: "leak::everything-back".to_owned(),
        message: Text::new("it leaks", "泄漏"),
        operations: 1_234,
        original_steps: 40,
        minimal_steps: 3,
    };
    let alarm = Alarm {
        seed: 7,
        scenario: "pool::merge".to_owned(),
        requirement: RequirementId::new(Area::Pool, 1),
        oracle: Some(OracleName::Expectation),
        message: Text::new("not merged", "未合并"),
    };
    KillMatrix {
        format: KillMatrix::FORMAT.to_owned(),
        version: "0.1.0".to_owned(),
        base: "reference@sim".to_owned(),
        seed: 0,
        selection: Vec::new(),
        ended: EndedBy::Complete,
        untried_defects: 0,
        untried_variations: 0,
        scenarios: 12,
        defects: vec![defect("found", Some(kill)), defect("hidden", None)],
        variations: vec![VariationRow {
            name: "lazy-merging".to_owned(),
            what: "neighbours are merged when memory is short".to_owned(),
            seeds: 20,
            passed: 10,
            not_applicable: 1,
            inconclusive: 1,
            operations: 5_000,
            alarms: vec![alarm],
            stamp: RowStamp { seconds: 1.0 },
        }],
        stamp: RunStamp::default(),
    }
}

fn survival() -> Survival {
    let hunts = |generator, operations: [u64; 2], killed: [bool; 2]| Hunts {
        generator,
        operations: operations.to_vec(),
        killed: killed.to_vec(),
        stamp: HuntStamp { seconds: vec![0.25, 0.5] },
    };
    let row = |name: &str, random, swarm| SurvivalRow {
        name: name.to_owned(),
        hunts: vec![hunts(Generator::Random, [100, 300], random), hunts(Generator::Swarm, [150, 450], swarm)],
    };
    Survival {
        format: Survival::FORMAT.to_owned(),
        version: "0.1.0".to_owned(),
        base: "reference@sim".to_owned(),
        seed: 0,
        seeds: 2,
        limit: 1_000,
        ended: EndedBy::Complete,
        untried: 0,
        scenarios: 67,
        selection: Vec::new(),
        defects: vec![
            row("soon", [true, true], [true, true]),
            row("late", [true, false], [false, false]),
            row("never", [false, false], [false, false]),
        ],
        stamp: RunStamp::default(),
    }
}

#[test]
fn a_kill_matrix_is_a_page_and_an_appendix() {
    for (language, name) in [(Language::En, "kill_matrix_in_english"), (Language::Zh, "kill_matrix_in_chinese")] {
        insta::assert_snapshot!(name, matrix::matrix_page(&kill_matrix(), language));
    }
}

/// Hunts of the published study have twenty seeds each; these have as many, alike but for their operations.
fn of_twenty(random: u64, swarm: u64, killed_by_swarm: usize) -> Survival {
    let hunts = |generator, operations, kills| Hunts {
        generator,
        operations: vec![operations; 20],
        killed: (0..20).map(|seed| seed < kills).collect(),
        stamp: HuntStamp { seconds: vec![0.5; 20] },
    };
    let hunted = vec![hunts(Generator::Random, random, 20), hunts(Generator::Swarm, swarm, killed_by_swarm)];
    let row = SurvivalRow { name: "soon".to_owned(), hunts: hunted };
    Survival { seeds: 20, defects: vec![row], ..survival() }
}

#[test]
fn a_difference_is_stated_where_intervals_are_apart_and_no_winner_is_named_on_a_tie() {
    let said = |all: &Survival, language| {
        let page = survival_page(all, language);
        let part = page.split("\n## ").nth(1).unwrap_or_default().to_owned();
        part.split_once("\n\n").map(|(_, text)| text.to_owned()).unwrap_or_default()
    };
    let tie = of_twenty(100, 100, 20);
    insta::assert_snapshot!("survival_tie_in_english", said(&tie, Language::En));
    insta::assert_snapshot!("survival_tie_in_chinese", said(&tie, Language::Zh));
    insta::assert_snapshot!("survival_apart_in_english", said(&of_twenty(100, 50, 2), Language::En));
    assert!(survival_kills(&of_twenty(100, 50, 2), Language::Zh).ends_with("区间不重叠：随机检出更多。"));
    let few = survival_kills(&survival(), Language::En);
    assert!(few.ends_with("Seeds are too few for an interval of 95 %: no difference is shown."), "{few}");
    let mut unlike = of_twenty(100, 100, 20);
    unlike.defects.extend(of_twenty(100, 100, 20).defects);
    unlike.defects[0].hunts[1].killed.pop();
    assert!(survival_kills(&unlike, Language::En).contains("no hunts of the same seeds"));
    unlike.defects.clear();
    assert!(survival_kills(&unlike, Language::En).contains("not compared"));
}

#[test]
fn survival_is_a_page_with_the_longest_lived_first() {
    let mut all = survival();
    insta::assert_snapshot!(survival_page(&all, Language::En));
    let folder = tempfile::tempdir().expect("a temporary folder");
    let (record, guided) = (folder.path().join("survival.json"), folder.path().join("guided.jsonl"));
    std::fs::write(&record, survival_json(&all).expect("it is JSON")).expect("it is written");
    assert_eq!(read_survival(&record).expect("it reads"), all);
    let line = |defect: &str, seed: u64, killed: bool| {
        format!(
            "{{\"defect\":\"{defect}\",\"seed\":{seed},\"killed\":{killed},\"operations\":9,\"inputs\":3,\"seconds\":1.5}}\n"
        )
    };
    let lines = [line("late", 0, true), line("late", 1, false), line("late", 1, true)].concat();
    std::fs::write(&guided, &lines).expect("it is written");
    add_guided(&mut all, &guided).expect("it reads");
    insta::assert_snapshot!(survival_page(&all, Language::Zh));
    let refused = |text: &str| {
        std::fs::write(&guided, text).expect("it is written");
        let error = add_guided(&mut survival(), &guided).expect_err("it is refused").to_string();
        error.replace(&guided.display().to_string(), "guided.jsonl")
    };
    insta::assert_snapshot!(
        [refused(&line("who", 0, true)), refused("\n{\"defect\":"), refused("{\"defect\":\"late\"}")].join("\n")
    );
}

#[test]
fn what_was_interrupted_says_so_first() {
    let matrix =
        KillMatrix { ended: EndedBy::Interrupted, untried_defects: 1, untried_variations: 12, ..kill_matrix() };
    let page = matrix::matrix_page(&matrix, Language::En);
    let said = page.lines().find(|l| !l.is_empty() && !l.starts_with('#')).expect("it says something");
    assert_eq!(said, "**Interrupted**: 1 defect and 12 variations not tried to the end; nothing is said of them.");
    assert!(matrix::matrix_page(&matrix, Language::Zh).contains("**运行被中断**：1 个缺陷与 12 个变体"));
    let page = survival_page(&Survival { ended: EndedBy::Killed, untried: 3, ..survival() }, Language::En);
    let said = page.lines().find(|l| !l.is_empty() && !l.starts_with('#')).expect("it says something");
    assert_eq!(said, "**Interrupted**: 3 defects were not hunted to the end; nothing is said of what was not.");
}
