//! Pickles as Python writes them, as our writer writes them, and as nobody should.

use super::*;

fn read_within(bytes: &[u8], file: u64) -> Result<Document, PickleError> {
    read(bytes, &mut Budget::for_file(file))
}

fn value_of(bytes: &[u8]) -> Result<Document, PickleError> {
    read_within(bytes, bytes.len() as u64)
}

fn refusal(bytes: &[u8]) -> String {
    value_of(bytes).expect_err("is refused").to_string()
}

/// A value in Python's notation; only for values without cycles.
fn shown(document: &Document, value: Value) -> String {
    let all = |items: Items<'_>| items.iter().map(|v| shown(document, v)).collect::<Vec<_>>().join(", ");
    match value {
        Value::Int(number) => number.to_string(),
        Value::Float(number) => format!("{number:?}"),
        Value::Str(_) => format!("{:?}", document.text(value).expect("a string")),
        Value::List(_) => format!("[{}]", all(document.items(value).expect("a list"))),
        Value::Tuple(_) => format!("({})", all(document.items(value).expect("a tuple"))),
        Value::Dict(_) => {
            let entries = document.entries(value).expect("a dict").iter();
            let entries: Vec<String> =
                entries.map(|(k, v)| format!("{}: {}", shown(document, k), shown(document, v))).collect();
            format!("{{{}}}", entries.join(", "))
        }
        other => other.kind().to_owned(),
    }
}

fn read_and_shown(bytes: &[u8]) -> String {
    let document = value_of(bytes).expect("is read");
    shown(&document, document.root())
}

// Written by Python 3.
const PROTOCOLS: [&[u8]; 4] = [
    b"\x80\x02}q\x00(X\x01\x00\x00\x00aq\x01]q\x02(K\x01J\xfe\xff\xff\xffM,\x01Jp\x11\x01\x00\x8a\x05\x00\x0e\xfa\xd5\xfe\x8a\x06\x00\x00\xe0\x8d\x06\x7f\x8a\x09\x00\x00\x00\x00\x00\x00\x00\x00@eX\x01\x00\x00\x00bq\x03G?\xf8\x00\x00\x00\x00\x00\x00\x88N\x87q\x04X\x01\x00\x00\x00cq\x05}q\x06X\x01\x00\x00\x00dq\x07(h\x01X\x02\x00\x00\x00\xc3\xbcq\x08K\x00)tq\x09X\x01\x00\x00\x00eq\x0a]q\x0b(]q\x0cX\x01\x00\x00\x00xq\x0dah\x0ceu.",
    b"\x80\x03}q\x00(X\x01\x00\x00\x00aq\x01]q\x02(K\x01J\xfe\xff\xff\xffM,\x01Jp\x11\x01\x00\x8a\x05\x00\x0e\xfa\xd5\xfe\x8a\x06\x00\x00\xe0\x8d\x06\x7f\x8a\x09\x00\x00\x00\x00\x00\x00\x00\x00@eX\x01\x00\x00\x00bq\x03G?\xf8\x00\x00\x00\x00\x00\x00\x88N\x87q\x04X\x01\x00\x00\x00cq\x05}q\x06X\x01\x00\x00\x00dq\x07(h\x01X\x02\x00\x00\x00\xc3\xbcq\x08K\x00)tq\x09X\x01\x00\x00\x00eq\x0a]q\x0b(]q\x0cX\x01\x00\x00\x00xq\x0dah\x0ceu.",
    b"\x80\x04\x95o\x00\x00\x00\x00\x00\x00\x00}\x94(\x8c\x01a\x94]\x94(K\x01J\xfe\xff\xff\xffM,\x01Jp\x11\x01\x00\x8a\x05\x00\x0e\xfa\xd5\xfe\x8a\x06\x00\x00\xe0\x8d\x06\x7f\x8a\x09\x00\x00\x00\x00\x00\x00\x00\x00@e\x8c\x01b\x94G?\xf8\x00\x00\x00\x00\x00\x00\x88N\x87\x94\x8c\x01c\x94}\x94\x8c\x01d\x94(h\x01\x8c\x02\xc3\xbc\x94K\x00)t\x94\x8c\x01e\x94]\x94(]\x94\x8c\x01x\x94ah\x0ceu.",
    b"\x80\x05\x95o\x00\x00\x00\x00\x00\x00\x00}\x94(\x8c\x01a\x94]\x94(K\x01J\xfe\xff\xff\xffM,\x01Jp\x11\x01\x00\x8a\x05\x00\x0e\xfa\xd5\xfe\x8a\x06\x00\x00\xe0\x8d\x06\x7f\x8a\x09\x00\x00\x00\x00\x00\x00\x00\x00@e\x8c\x01b\x94G?\xf8\x00\x00\x00\x00\x00\x00\x88N\x87\x94\x8c\x01c\x94}\x94\x8c\x01d\x94(h\x01\x8c\x02\xc3\xbc\x94K\x00)t\x94\x8c\x01e\x94]\x94(]\x94\x8c\x01x\x94ah\x0ceu.",
];
const ORDERED: &[u8] = b"\x80\x04\x95)\x00\x00\x00\x00\x00\x00\x00\x8c\x0bcollections\x94\x8c\x0bOrderedDict\x94\x93\x94)R\x94\x8c\x01k\x94K\x01s.";
const DEFAULT: &[u8] = b"\x80\x02ccollections\x0adefaultdict\x0aq\x00c__builtin__\x0along\x0aq\x01\x85q\x02Rq\x03X\x01\x00\x00\x00kq\x04K\x01s.";

/// Written by Python 3, and a text of Python 2 at the end.
const OLD: [&[u8]; 3] = [
    b"(dp0\nVa\np1\n(lp2\nI1\naI-2\naI01\naL139666126798848L\naL9223372036854775808L\nasVb\np3\n(F1.5\nNtp4\nsV\\u00fc\np5\nI00\ns.",
    b"}q\x00(X\x01\x00\x00\x00aq\x01]q\x02(K\x01J\xfe\xff\xff\xffI01\nL139666126798848L\nL9223372036854775808L\neX\x01\x00\x00\x00bq\x03(G?\xf8\x00\x00\x00\x00\x00\x00Ntq\x04X\x02\x00\x00\x00\xc3\xbcq\x05I00\nu.",
    b"(dp0\nS'a'\np1\n(lp2\nI1\naI-2\naI01\naL139666126798848L\naL9223372036854775808L\nasU\x01b(F1.5\nNtsT\x02\x00\x00\x00\xc3\xbcI00\ns.",
];

#[test]
fn protocols_0_and_1_read_as_the_others() {
    for bytes in OLD {
        assert_eq!(
            read_and_shown(bytes),
            "{\"a\": [1, -2, a bool, 139666126798848, an int of more than 64 bits], \"b\": (1.5, None), \"ü\": a bool}"
        );
    }
    assert!(refusal(b"(dp0\nVno end").contains("ends in the middle"));
    assert!(refusal(b"(dp0\nIx\n").contains("a number that is none"));
    assert!(refusal(b"(dp0\ng7\n").contains("has not said yet"));
    assert!(refusal(b"(ios\nsystem\n").contains("INST would run code"));
}

#[test]
fn every_protocol_of_python_reads_the_same() {
    for bytes in PROTOCOLS {
        assert_eq!(
            read_and_shown(bytes),
            "{\"a\": [1, -2, 300, 70000, -5000000000, 139666126798848, an int of more than 64 bits], \
             \"b\": (1.5, a bool, None), \"c\": {}, \"d\": (\"a\", \"ü\", 0, ()), \"e\": [[\"x\"], [\"x\"]]}"
        );
    }
}

#[test]
fn dicts_of_the_standard_library_are_dicts() {
    assert_eq!(read_and_shown(ORDERED), "{\"k\": 1}");
    assert_eq!(read_and_shown(DEFAULT), "{\"k\": 1}");
}

#[test]
fn what_would_run_code_is_refused_with_its_place() {
    assert_eq!(
        refusal(b"\x80\x02cos\nsystem\n(X\x02\x00\x00\x00lstR."),
        "byte 2: the pickle names `os.system`; only plain data is read"
    );
    assert_eq!(
        refusal(b"\x80\x04\x8c\x08builtins\x8c\x04eval\x93."),
        "byte 18: the pickle names `builtins.eval`; only plain data is read"
    );
    assert_eq!(refusal(b"\x80\x02]Rx"), "byte 3: a value is missing");
    assert_eq!(refusal(b"\x80\x02}]Rx"), "byte 4: REDUCE would run code or reach outside the file; refused");
    assert_eq!(
        refusal(b"\x80\x02ccollections\nOrderedDict\n]R."),
        "byte 28: REDUCE would run code or reach outside the file; refused"
    );
    for code in *b"bioPQ\x81\x82\x83\x84\x92\x97" {
        assert!(matches!(value_of(&[0x80, 4, b'}', code]), Err(PickleError::Code { offset: 3, .. })), "{code:#x}");
    }
    assert_eq!(refusal(b"\x80\x04\xff"), "byte 2: opcode 0xff is not one that plain data needs");
}

#[test]
fn broken_pickles_are_told_where() {
    assert_eq!(refusal(b""), "the file is empty");
    assert_eq!(refusal(b"{\"a\": 1}"), "no pickle: it begins with 0x7b, and no pickle begins so");
    assert_eq!(refusal(b"\x80\x06N."), "pickle protocol 6; this program reads 0 to 5");
    assert_eq!(refusal(b"\x80\x04\x8c\x05abc"), "the pickle ends in the middle, at byte 7");
    assert_eq!(refusal(b"\x80\x04."), "byte 2: a value is missing");
    assert_eq!(refusal(b"\x80\x04Ne."), "byte 3: a mark is missing");
    assert_eq!(refusal(b"\x80\x04N(NNe."), "byte 6: values are put into something that is no list or dict");
    assert_eq!(refusal(b"\x80\x04}(Nu."), "byte 5: a dict's key without a value");
    assert_eq!(refusal(b"\x80\x04h\x07."), "byte 2: it refers to something it has not said yet");
    assert_eq!(
        read_and_shown(b"\x80\x04\x8c\x05a\xed\xb3\xbfb."),
        "\"a\u{fffd}\u{fffd}\u{fffd}b\"",
        "a lone surrogate"
    );
    assert_eq!(refusal(b"\x80\x04N(a."), "byte 4: a value is missing");
    assert_eq!(refusal(b"\x80\x04NN\x87."), "byte 4: a tuple of more values than there are");
}

#[test]
fn a_claimed_length_takes_no_memory() {
    for claim in
        [b"\x80\x04X\xff\xff\xff\x7f".as_slice(), b"\x80\x04\x8d\0\0\0\0\x01\0\0\0", b"\x80\x04\x8b\xff\xff\xff\xff"]
    {
        let refused = value_of(claim).expect_err("is refused");
        assert!(matches!(refused, PickleError::Memory { offset: 2, .. }), "{refused}");
    }
    assert!(matches!(value_of(b"\x80\x04X\x00\x00\x10\x00abc"), Err(PickleError::Cut { offset: 10 })));
    assert!(matches!(value_of(b"\x80\x04\x8e\xff\xff\xff\xff\xff\xff\xff\xff"), Err(PickleError::Memory { .. })));
}

#[test]
fn depth_costs_no_stack_and_repetition_no_memory() {
    let mut deep = b"\x80\x04".to_vec();
    deep.extend(std::iter::repeat_n(b']', 200_000));
    deep.extend(std::iter::repeat_n(b'a', 199_999));
    deep.push(b'.');
    assert!(value_of(&deep).is_ok());
    // Each list holds the one before twice: 2 to the power of 200 leaves.
    let mut bomb = b"\x80\x04]\x94".to_vec();
    for index in 0..200_u8 {
        bomb.extend([b']', b'(', b'h', index, b'h', index, b'e', 0x94]);
    }
    bomb.push(b'.');
    let document = value_of(&bomb).expect("is read");
    assert_eq!(document.items(document.root()).map(|items| items.len()), Some(2));
    // Memory without end, of a file that says to be small.
    let mut wide = b"\x80\x04(".to_vec();
    wide.extend(std::iter::repeat_n(b'}', 8_000_000));
    assert!(matches!(read_within(&wide, 1000), Err(PickleError::Memory { .. })));
    let mut marks = b"\x80\x04".to_vec();
    marks.extend(std::iter::repeat_n(b'(', 16_000_000));
    assert!(matches!(read_within(&marks, 1000), Err(PickleError::Memory { .. })));
    // What is filled after it was put into another, or itself, is no plain data.
    let late = "values are put into something that is complete or of the other kind";
    for cycle in
        [&b"\x80\x04]\x94h\x00a."[..], b"\x80\x04]\x94]\x94h\x00aaNa.", b"\x80\x04}\x94Nh\x00s.", b"\x80\x04]2a."]
    {
        assert!(refusal(cycle).contains(late), "{}", refusal(cycle));
    }
}

/// Equal stacks are kept once, whether they are one value or written again and again; what differs is not.
#[test]
fn what_repeats_is_kept_once() {
    let mut writer = Writer::default();
    writer.list(0..10_000_i64, |writer, number| {
        writer.begin_dict();
        writer.str("time_us");
        writer.int(1_700_000_000_000_000 + number);
        writer.str("frames");
        writer.list(0..50_i64, |writer, depth| {
            writer.begin_dict();
            writer.str("name");
            writer.str("step");
            writer.str("line");
            writer.int(depth + number % 3);
            writer.end_dict();
        });
        writer.end_dict();
    });
    let document = value_of(&writer.finish()).expect("is read");
    let events = document.items(document.root()).expect("a list");
    let frames = |at: usize| {
        let event = document.entries(events.get(at).expect("is there")).expect("a dict");
        assert_eq!(event.get("time_us"), Some(Value::Int(1_700_000_000_000_000 + at as i64)));
        event.get("frames").expect("has frames")
    };
    let distinct = (0..10_000).filter(|&at| at < 3 || frames(at) != frames(at - 3)).count();
    assert!((3..100).contains(&distinct), "{distinct}");
    assert_ne!(frames(0), frames(1));
    let line = |at: usize, depth: usize| {
        let frame = document.items(frames(at)).and_then(|frames| frames.get(depth)).expect("is there");
        document.entries(frame).and_then(|frame| frame.get("line"))
    };
    assert_eq!((line(0, 0), line(7, 49)), (Some(Value::Int(0)), Some(Value::Int(50))));
    // Two values an event, the list of all, and little besides.
    assert!(document.words() < 10_000 * 3 + 1000, "{}", document.words());
}

/// A number of each kind keeps its value, be it in a list, a tuple, a dict or the memo.
#[test]
fn numbers_of_every_width_are_kept() {
    let far = (1_i64 << 59) - 1;
    let numbers = [0, -1, far, -far - 1, far + 1, -far - 2, i64::MAX, i64::MIN];
    let mut writer = Writer::default();
    writer.list(numbers, Writer::int);
    let document = value_of(&writer.finish()).expect("is read");
    let items = document.items(document.root()).expect("a list");
    assert_eq!(items.iter().collect::<Vec<_>>(), numbers.map(Value::Int));
}

fn sample() -> Vec<u8> {
    let mut writer = Writer::default();
    writer.begin_dict();
    writer.str("numbers");
    writer.list([0, 255, 256, 65535, 65536, -1, -129, i64::MAX, i64::MIN, 1 << 47], Writer::int);
    writer.str("long");
    writer.list(0..2500, |writer, number| writer.str(&format!("name {}", number % 300)));
    writer.str("pair");
    writer.int(0);
    writer.float(0.25);
    writer.pair();
    writer.str(&"y".repeat(300));
    writer.bool(true);
    writer.end_dict();
    writer.finish()
}

#[test]
fn what_is_written_is_read() {
    let document = value_of(&sample()).expect("is read");
    let entries: Vec<_> = document.entries(document.root()).expect("a dict").iter().collect();
    assert_eq!(
        shown(&document, entries[0].1),
        "[0, 255, 256, 65535, 65536, -1, -129, 9223372036854775807, -9223372036854775808, 140737488355328]"
    );
    let long = document.items(entries[1].1).expect("a list");
    assert_eq!(long.len(), 2500);
    assert!(
        (0..2500)
            .all(|i| long.get(i).and_then(|name| document.text(name)) == Some(format!("name {}", i % 300).as_str()))
    );
    assert_eq!(shown(&document, entries[2].1), "(0, 0.25)");
    assert_eq!(document.text(entries[3].0).map(str::len), Some(300));
}

#[test]
fn no_damage_is_a_panic() {
    let whole = sample();
    for end in (0..whole.len()).step_by(97).chain(whole.len() - 40..whole.len()) {
        assert!(value_of(&whole[..end]).is_err(), "cut at {end}");
    }
    let mut seed = 7_u64;
    for _ in 0..20_000 {
        // A linear congruential generator: any spread will do.
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let (at, byte) = ((seed >> 33) as usize % 400, (seed >> 20) as u8);
        let mut flipped = whole[..2000].to_vec();
        flipped[at] = byte;
        let _ = value_of(&flipped);
    }
}
