//! Rows that are right, and what is said of those that are not.

use super::*;

const ROW: &str = "{ id: memory_stats/negative, call: torch.cuda.memory_stats(-1), raises: ValueError | RuntimeError, names: \"-1\", by: sense, area: ARG }";

fn rows(text: &str) -> Result<Vec<Row>, String> {
    let mut read = Rows::default();
    read.add("x.yaml", text);
    let told: Vec<String> = read.errors.iter().map(ToString::to_string).collect();
    if told.is_empty() { Ok(read.rows) } else { Err(told.join("\n")) }
}

fn told(rows_text: &str) -> String {
    rows(&format!("contract: torch.cuda.memory\nrows:\n  - {rows_text}\n")).expect_err("it is wrong")
}

#[test]
fn the_rows_that_come_along_are_right_and_many() {
    let rows = built_in().unwrap_or_else(|errors| panic!("{errors:?}"));
    assert!(rows.len() >= 400, "{}", rows.len());
    for row in &rows {
        assert!(row.place.1 > 0 && row.place.0.starts_with("specs/contract/"), "{}: {:?}", row.id, row.place);
    }
}

#[test]
fn a_row_is_read_as_it_is_written() {
    let text = format!("contract: torch.cuda.memory\ndefaults: {{ own_process: true }}\nrows:\n  - {ROW}\n");
    let row = &rows(&text).expect("it is right")[0];
    assert_eq!((row.function(), row.when, row.devices), ("memory_stats", When::Initialised, 1));
    assert_eq!((row.raises.join(","), row.names.join(",")), ("ValueError,RuntimeError".to_owned(), "-1".to_owned()));
    assert!(row.own_process && row.afterwards && row.place == ("x.yaml".to_owned(), 4));
    let json = serde_json::to_value(row).expect("it can be written");
    assert!(json.get("returns").is_none() && json["when"] == "initialised", "{json}");
}

#[test]
fn what_is_wrong_is_told_with_its_place() {
    let both = told("{ id: f/x, call: f(), by: sense, area: ARG }");
    assert_eq!(both, "x.yaml:3:5: a row says `returns`, `raises` or both");
    let class = told("{ id: f/x, call: f(), raises: valueError, by: sense, area: ARG }");
    assert_eq!(
        class,
        "x.yaml:3:27: `valueError` is not the name of a class of errors\n  hint: did you mean `ValueError`?"
    );
    assert!(told("{ id: fx, call: f(), returns: r, by: sense, area: ARG }").contains("an id is `function/what`"));
    assert!(told("{ id: f/x, call: f(), returns: r, by: sense }").contains("`area` is missing"));
    assert!(told("{ id: f/x, call: f(), returns: r, names: a, by: sense, area: ARG }").contains("nothing is raised"));
    assert!(told("{ id: f/x, call: f(), returns: r, when: start, by: sense, area: ARG }").contains("go together"));
    assert!(told("{ id: f/x, call: f(), returns: r, whn: start, by: sense, area: ARG }").contains("whn"));
    let twice = told(&format!("{ROW}\n  - {ROW}"));
    assert_eq!(twice, "x.yaml:4:7: `memory_stats/negative` is the id of the row at x.yaml:3");
    let other = rows("contract: torch.xpu\nrows: []\n").expect_err("it is about something else");
    assert!(other.contains("about torch.cuda.memory"), "{other}");
}
