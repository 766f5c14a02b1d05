//! Wheels from a server that gives parts, that does not, that cuts and that lies; from a file; and nothing left behind.

use std::io::Cursor;

use sha2::{Digest, Sha256};
use zip::ZipWriter;
use zip::write::SimpleFileOptions;

use super::index::PROCESSOR;
use super::server::{Manner, Server};
use super::*;

const JSON: &str = "application/vnd.pypi.simple.v1+json";

/// A member that takes some room, and does not shrink.
fn noise(length: usize, mut seed: u64) -> Vec<u8> {
    let step = |_| {
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (seed >> 56) as u8
    };
    (0..length).map(step).collect()
}

fn zipped(members: &[(&str, Vec<u8>)]) -> Vec<u8> {
    let mut writer = ZipWriter::new(Cursor::new(Vec::new()));
    for (name, bytes) in members {
        writer.start_file(*name, SimpleFileOptions::default()).expect("in memory");
        std::io::Write::write_all(&mut writer, bytes).expect("in memory");
    }
    writer.finish().expect("in memory").into_inner()
}

/// A wheel like PyTorch's: much that nobody wants, before, between and behind.
fn wheel_of(version: &str) -> Vec<u8> {
    let version = format!("import os\n__version__ = '{version}'\ndebug = False\n").into_bytes();
    zipped(&[
        ("torch/lib/libtorch_cuda.so", noise(3 << 20, 1)),
        ("torch/lib/libc10.so", noise(200_000, 2)),
        ("torch/lib/libtorch_cpu.so", noise(3 << 20, 3)),
        ("torch/lib/libc10_cuda.so", noise(100_000, 4)),
        ("torch/include/c10/cuda/CUDAStream.h", b"// a header".to_vec()),
        ("torch/include/c10/../../../../escaped.h", b"// not a header".to_vec()),
        ("torch/include/ATen/ATen.h", noise(500_000, 5)),
        ("torch/include/torch/headeronly/macros.h", b"// another".to_vec()),
        ("torch/version.py", version),
        ("torch/tail.bin", noise(2 << 20, 6)),
    ])
}

fn name(version: &str) -> String {
    format!("torch-{version}-cp312-cp312-manylinux_2_28_{PROCESSOR}.whl")
}

/// A server with an index of one wheel.
fn server(manner: Manner, version: &str, wheel: Vec<u8>) -> (Server, Pip) {
    let server = Server::start(manner);
    let file = name(version);
    let page = format!(r#"{{"files": [{{"filename": "{file}", "url": "/files/{file}", "hashes": {{}}}}]}}"#);
    server.put("/simple/torch/", JSON, page.into_bytes());
    server.put(&format!("/files/{file}"), "file", wheel);
    let pip = Pip { indexes: vec![format!("{}/simple", server.url)], ..Pip::default() };
    (server, pip)
}

fn files(folder: &Path) -> Vec<String> {
    let mut found = Vec::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(next) = folders.pop() {
        for entry in fs::read_dir(next).expect("a folder of our own").flatten() {
            let path = entry.path();
            if path.is_dir() {
                folders.push(path)
            } else {
                found.push(path.strip_prefix(folder).unwrap().display().to_string())
            }
        }
    }
    found.sort();
    found
}

const TAKEN: [&str; 5] =
    ["include/c10/cuda/CUDAStream.h", "include/torch/headeronly/macros.h", "libc10.so", "libc10_cuda.so", "version.py"];

#[test]
fn parts_of_a_wheel_are_fetched_and_no_more() {
    let (server, pip) = server(Manner::Parts, "2.15.0", wheel_of("2.15.0+cu130"));
    let draft = tempfile::tempdir().expect("a folder");
    let mut told = Vec::new();
    let fetched = from_index(&pip, "2.15.0", draft.path(), &mut |news| {
        match news {
            News::Line(line) => told.push(line.to_owned()),
            News::Bytes { done, total } => assert!(done <= total, "{done} of {total}"),
        }
        true
    });
    let (file, from, bytes, checked) = fetched.expect("all is there");
    assert_eq!((file.as_str(), from.contains("/files/")), (name("2.15.0").as_str(), true));
    assert_eq!(files(draft.path()), TAKEN);
    assert_eq!(fs::read(draft.path().join("libc10.so")).expect("written"), noise(200_000, 2));
    assert!((300_000..3_000_000).contains(&bytes), "{bytes} of 9 MB");
    // The page, the end of the wheel, the three places where members are.
    assert!(server.asked() <= 5, "{} requests", server.asked());
    assert!(checked.contains("CRC-32") && told.len() == 1, "{checked}, {told:?}");
}

#[test]
fn a_server_without_parts_is_said_so() {
    let (server, pip) = server(Manner::Whole, "2.15.0", wheel_of("2.15.0"));
    let draft = tempfile::tempdir().expect("a folder");
    let error = from_index(&pip, "2.15.0", draft.path(), &mut |_| true).expect_err("no parts");
    assert!(matches!(error, TorchError::NoRanges { .. }), "{error}");
    assert!(error.advice().is_some_and(|advice| advice.contains("--wheel FILE")));
    assert_eq!((files(draft.path()), server.asked()), (Vec::new(), 2));
}

#[test]
fn a_cut_is_tried_again_and_then_told() {
    let (_server, pip) = server(Manner::Cuts(2), "2.15.0", wheel_of("2.15.0"));
    let draft = tempfile::tempdir().expect("a folder");
    from_index(&pip, "2.15.0", draft.path(), &mut |_| true).expect("the third answer is whole");
    assert_eq!(files(draft.path()), TAKEN);
    let (_server, pip) = server(Manner::Cuts(usize::MAX), "2.15.0", wheel_of("2.15.0"));
    let error = from_index(&pip, "2.15.0", draft.path(), &mut |_| true).expect_err("always cut");
    let TorchError::Cut { got, wanted, attempts, .. } = error else { panic!("{error}") };
    assert!(attempts == 3 && got < wanted, "{got} of {wanted}");
}

#[test]
fn whoever_is_told_can_stop_it() {
    let (_server, pip) = server(Manner::Parts, "2.15.0", wheel_of("2.15.0"));
    let draft = tempfile::tempdir().expect("a folder");
    let mut left = 3;
    let stopped = from_index(&pip, "2.15.0", draft.path(), &mut |_| {
        left -= 1;
        left > 0
    });
    assert!(matches!(stopped, Err(TorchError::Stopped)) && left == 0);
    assert_eq!(files(draft.path()), [""; 0]);
}

#[test]
fn what_an_index_does_not_have_is_said() {
    let (server, mut pip) = server(Manner::Parts, "2.14.1", wheel_of("2.14.1"));
    let draft = tempfile::tempdir().expect("a folder");
    let error = from_index(&pip, "2.15.0", draft.path(), &mut |_| true).expect_err("another release");
    assert!(matches!(error, TorchError::NotOffered { .. }), "{error}");
    // An index without the project and one that cannot be reached keep nobody from the next.
    pip.indexes.splice(0..0, [format!("{}/empty", server.url), "http://127.0.0.1:9/simple".to_owned()]);
    from_index(&pip, "2.14.1", draft.path(), &mut |_| true).expect("the third has it");
    pip.indexes.pop();
    let error = from_index(&pip, "2.14.1", draft.path(), &mut |_| true).expect_err("none is left");
    assert!(matches!(error, TorchError::Unreachable { .. }), "{error}");
}

#[test]
fn links_to_a_folder_are_looked_at_first() {
    let folder = tempfile::tempdir().expect("a folder");
    fs::write(folder.path().join(name("2.15.0")), wheel_of("2.15.0")).expect("a folder of our own");
    let pip = Pip { links: vec![folder.path().display().to_string()], ..Pip::default() };
    let draft = tempfile::tempdir().expect("a folder");
    from_index(&pip, "2.15.0", draft.path(), &mut |_| true).expect("it lies there");
    assert_eq!(files(draft.path()), TAKEN);
}

#[test]
fn a_damaged_member_and_a_file_that_is_no_wheel_are_told() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut bytes = zipped(&[("torch/lib/libc10.so", noise(4_000, 2))]);
    let at = bytes.len() / 2;
    bytes[at] ^= 0x55;
    let path = folder.path().join("damaged.whl");
    fs::write(&path, &bytes).expect("a folder of our own");
    let error = wheel::from_file(&path, &wanted, folder.path()).expect_err("one bit is wrong");
    assert!(matches!(&error, TorchError::Damaged { member, .. } if member == "torch/lib/libc10.so"), "{error}");
    fs::write(&path, b"<html>no wheel</html>").expect("a folder of our own");
    let error = wheel::from_file(&path, &wanted, folder.path()).expect_err("no archive");
    assert!(matches!(error, TorchError::NotAWheel { .. }), "{error}");
    for cut in [0, 1, 30, bytes.len() / 2, bytes.len() - 1] {
        fs::write(&path, &bytes[..cut]).expect("a folder of our own");
        assert!(wheel::from_file(&path, &wanted, folder.path()).is_err(), "cut at {cut}");
    }
}

#[test]
fn small_packages_come_whole_and_a_wrong_hash_leaves_nothing() {
    let packages = [("nvidia-cuda-runtime", "13.0.96"), ("nvidia-cuda-crt", "13.0.88")];
    for is_right in [true, false] {
        let server = Server::start(Manner::Whole);
        for (project, version) in packages {
            let file = format!("{}-{version}-py3-none-manylinux2014_{PROCESSOR}.whl", project.replace('-', "_"));
            let bytes = zipped(&[
                ("nvidia/cu13/include/cuda.h", b"// cuda".to_vec()),
                ("nvidia/cu13/lib/libcudart.so.13", noise(9_000, 7)),
                ("nvidia/cu13/lib/libcudart_static.a", noise(9_000, 8)),
            ]);
            let right: String = Sha256::digest(&bytes).iter().map(|byte| format!("{byte:02x}")).collect();
            let hash = if is_right { right } else { "0".repeat(64) };
            let page = format!("<a href='/files/{file}#sha256={hash}'>{file}</a>");
            server.put(&format!("/simple/{project}/"), "text/html", page.into_bytes());
            server.put(&format!("/files/{file}"), "file", bytes);
        }
        let pip = || Pip { indexes: vec![format!("{}/simple/", server.url)], ..Pip::default() };
        let cache = tempfile::tempdir().expect("a folder");
        let kit = cuda::kit(13, &pip, cache.path(), &mut |_| true);
        if !is_right {
            assert!(matches!(kit.err(), Some(TorchError::WrongHash { .. })));
            assert_eq!(files(cache.path()), [""; 0]);
            continue;
        }
        let kit = kit.expect("all is there");
        let below = cache.path().join("poolproof");
        assert_eq!(files(&below.join("cuda-13.0.96")), ["include/cuda.h", "libcudart.so.13", "sources.json"]);
        assert_eq!(fs::read_dir(&below).expect("a folder of our own").count(), 1);
        assert!(kit.sources.iter().all(|source| source.checked.starts_with("SHA-256")), "{:?}", kit.sources);
        let asked = server.asked();
        let again = cuda::kit(13, &|| panic!("no index is asked"), cache.path(), &mut |_| true).expect("it is there");
        assert_eq!((again.sources, server.asked()), (kit.sources, asked));
    }
}

#[test]
fn a_release_is_what_it_says_it_is() {
    let own = |text: &str| own_version(text);
    assert_eq!(own("x = 1\n__version__ = '2.11.0+cu130'\n").as_deref(), Some("2.11.0+cu130"));
    assert_eq!([own("__version__ = ''"), own("__version__ = '../x'"), own("")], [None, None, None]);
    let check = |found, asked| check_version("f.whl", found, asked);
    assert!(check("2.9.0", None).is_ok() && check("2.9.0", Some("2.9")).is_ok() && check("2.9.1", Some("2.9")).is_ok());
    assert!(matches!(check("2.16.0", None), Err(TorchError::NotKnown { .. })));
    assert!(matches!(check("", None), Err(TorchError::NotKnown { .. })));
    assert!(matches!(check("2.9.1", Some("2.8")), Err(TorchError::AnotherRelease { .. })));
    assert!(matches!(release(Some("2.3")), Err(TorchError::NoRelease { .. })));
    assert_eq!(release(None).expect("the newest"), RELEASES[0]);
}

#[test]
fn libraries_of_another_processor_or_without_cuda_are_refused() {
    let folder = tempfile::tempdir().expect("a folder");
    let machine: u16 = if cfg!(target_arch = "aarch64") { 183 } else { 62 };
    let write = |name: &str, machine: u16, text: &str| {
        let mut bytes = vec![0; 64];
        bytes[..4].copy_from_slice(b"\x7fELF");
        bytes[18..20].copy_from_slice(&machine.to_le_bytes());
        bytes.extend_from_slice(text.as_bytes());
        bytes.push(0);
        fs::write(folder.path().join(name), bytes).expect("a folder of our own");
    };
    write("libc10.so", machine, "_ZN3c105ErrorC1ENS_14SourceLocationESs");
    write("libc10_cuda.so", machine, "libcudart.so.12");
    let facts = build::facts(folder.path()).expect("ours");
    assert_eq!(facts, build::Facts { cuda: 12, old_strings: true });
    write("libc10_cuda.so", machine, "libcudart.so.14");
    assert!(matches!(build::facts(folder.path()), Err(TorchError::Runtime { .. })));
    write("libc10.so", 8, "");
    assert!(matches!(build::facts(folder.path()), Err(TorchError::Processor { .. })));
    let wheel = folder.path().join(name("2.15.0"));
    fs::write(&wheel, zipped(&[("torch/lib/libc10.so", noise(10, 1))])).expect("a folder of our own");
    let attempt = |wheel: PathBuf| {
        let draft = tempfile::tempdir().expect("a folder");
        fetch(&Source::Wheel(wheel), None, draft.path(), &mut |_| true).expect_err("refused")
    };
    assert!(matches!(attempt(wheel), TorchError::NoCuda { .. }));
    let other = folder.path().join("other.whl");
    fs::write(&other, zipped(&[("other/x.py", Vec::new())])).expect("a folder of our own");
    assert!(matches!(attempt(other), TorchError::NotAWheel { .. }));
    let cache = folder.path().join("cache");
    let missing = make(&Source::Wheel("no/such.whl".into()), None, &cache, &mut |_| true);
    assert!(matches!(missing, Err(TorchError::NoWheel { .. })) && !cache.exists());
}
