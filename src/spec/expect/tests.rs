//! Files of expected failures: what is read, and what a wrong one is told.

use super::*;
use crate::op::Versions;

const GOOD: &str = "\
target: torch@*
expect:
  - scenario: 'summ::*'
    reason: { en: The table has another shape, zh: 表格形状不同 }
    link: https://example.org/1
    owner: allocator team
    expires: 2030-01-31
  - requirement: PEAK-02
    reason: { en: a, zh: 乙 }
    owner: b
    expires: 2030-02-01
    scope: { allocator: '>=2.11, <2.13', device: 'NVIDIA H*', driver: '570' }
";

fn told(text: &str) -> String {
    match parse("x.yaml", text) {
        Ok(_) => "(nothing)".to_owned(),
        Err(errors) => errors.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n"),
    }
}

fn changed(from: &str, to: &str) -> String {
    assert!(GOOD.contains(from), "{from}");
    told(&GOOD.replacen(from, to, 1))
}

#[test]
fn a_good_file_is_read() {
    let read = parse("x.yaml", GOOD).expect("it is right");
    assert!(read.concerns("torch", "cuda") && !read.concerns("reference", "sim"));
    let [first, second] = &read.entries[..] else { panic!("two entries") };
    assert_eq!(
        (first.line, first.owner.as_str(), first.expires.to_string().as_str()),
        (3, "allocator team", "2030-01-31")
    );
    assert!(matches!(&first.about, About::Scenario(glob) if glob.is_match("summ::table")));
    assert!(matches!(second.about, About::Requirement(id) if id.to_string() == "PEAK-02"));
    let versions = |allocator: Option<&str>, driver: Option<&str>| Versions {
        allocator: allocator.map(str::to_owned),
        driver: driver.map(str::to_owned),
    };
    let reach = |allocator, driver, device| second.scope.reach(&versions(allocator, driver), &[device], &[], "");
    assert_eq!(reach(Some("2.12.0"), Some("570.86"), "NVIDIA H200"), Reach::Here);
    assert_eq!(reach(Some("2.13.0"), Some("570.86"), "NVIDIA H200"), Reach::Elsewhere);
    assert_eq!(reach(Some("2.12.0"), Some("570.86"), "simulated"), Reach::Elsewhere);
    assert_eq!(reach(Some("2.12.0"), None, "NVIDIA H200"), Reach::Unknown("driver version"));
    assert_eq!(first.scope.reach(&Versions::default(), &[], &[], ""), Reach::Here);
}

#[test]
fn wrong_files_are_told_where() {
    let all = [
        changed("owner: b", "ower: b"),
        changed("PEAK-02", "PEAK-92"),
        changed("requirement: PEAK-02", "severity: high"),
        changed("- requirement: PEAK-02", "- requirement: PEAK-02\n    scenario: a"),
        changed("2030-02-01", "soon"),
        changed("    owner: b\n", ""),
        changed("owner: allocator team", "owner: ''"),
        changed("zh: 乙", "zh: ''"),
        changed("'summ::*'", "'['"),
        changed("'>=2.11, <2.13'", "new"),
        changed("owner: b", "owner: b\n    owner: c"),
        changed("target: torch@*", "target: ''"),
        told(""),
        told("target: a@b\nexpect: [\n"),
        told("target: a@b\nexpect: []\n---\ntarget: a@b\nexpect: []\n"),
    ];
    insta::assert_snapshot!(all.join("\n"));
}

#[test]
fn a_draft_reads_back_once_it_has_owners() {
    let reason = Text::new("it \"reads\" 3: not 4", "读作 3\n而非 4");
    let of = |options: Option<&str>| Drafted {
        name: "torch@cuda".to_owned(),
        target: "torch@cuda".to_owned(),
        options: options.map(str::to_owned),
    };
    let failures = [("oom::a", &reason), ("zero::b", &reason)];
    let text = draft(&of(None), "2030-01-31".parse().expect("a date"), &failures);
    assert!(told(&text).starts_with("x.yaml:9:5: `owner` is empty"), "{}", told(&text));
    let read = parse("x.yaml", &text.replace("owner: \"\"", "owner: me")).expect("it is right now");
    assert_eq!((read.entries.len(), &read.entries[1].reason), (2, &reason));
    assert_eq!(read.entries[0].link, None);
    assert!(parse("x.yaml", &draft(&of(None), read.entries[0].expires, &[])).is_ok());
    let scoped =
        draft(&of(Some("defect=[?]x")), read.entries[0].expires, &failures).replace("owner: \"\"", "owner: me");
    let read = parse("x.yaml", &scoped).expect("it is right");
    let reach = |options: &str| read.entries[1].scope.reach(&Versions::default(), &[], &[], options);
    assert_eq!((reach("defect=?x"), reach("defect=y"), reach("")), (Reach::Here, Reach::Elsewhere, Reach::Elsewhere));
}

#[test]
fn every_file_that_comes_along_is_right() {
    assert!(built_in("no-such", "target").expect("there is none").is_none());
    for (file, text) in files::built_in_expectations() {
        let read = parse(&file, text).unwrap_or_else(|errors| panic!("{errors:?}"));
        let allocator = file.rsplit('/').next().and_then(|n| n.strip_suffix(".yaml")).expect("it ends so");
        let places = ["sim", "cuda"].into_iter().filter(|place| read.concerns(allocator, place));
        assert!(places.count() > 0 && !read.concerns("jax", "cuda"), "{file} speaks of another target");
    }
}

#[test]
fn an_entry_may_be_about_some_options_of_a_target() {
    let text = "target: reference@*\nexpect:\n  - requirement: FRAC-01\n    reason: { en: known, zh: 已知 }\n    owner: us\n    expires: 2030-01-31\n    scope: { options: '*expandable_segments:True*' }\n";
    let file = parse("x.yaml", text).expect("well formed");
    let reach = |options| file.entries[0].scope.reach(&Versions::default(), &[], &[], options);
    assert_eq!(reach("seed=1,expandable_segments:True"), Reach::Here);
    assert_eq!(reach(""), Reach::Elsewhere);
}

#[test]
fn an_entry_may_be_about_targets_that_lack_something() {
    let file = built_in("reference", "sim").expect("it is well formed").expect("there is one");
    let reach = |has: &[String]| file.entries[0].scope.reach(&Versions::default(), &[], has, "");
    assert_eq!(reach(&["caching".to_owned()]), Reach::Here);
    assert_eq!(reach(&["fixed_segments".to_owned()]), Reach::Elsewhere);
}
