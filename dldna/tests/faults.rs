//! A disk that is full or fails, at each call of each writer of this crate: the old content stands or the new, and nothing
//! else is left. Networks and checkpoints are tried in `nn-tests/tests/faults.rs`.

use dldna::data::{DataError, RemoteFile, Store};
use dldna::exercises;
use dldna::plot::{Chart, PlotError};
use dldna_nn::atomic_file::faults::{self, Fault};
use ring::digest::{SHA256, digest};
use std::collections::BTreeSet;
use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::net::TcpListener;
use std::path::Path;

const FAULTS: [Fault; 3] = [Fault::Full, Fault::Failing, Fault::Short];

/// Calls `write` with a fault at each of its calls to the disk until there was none; it is to check what it finds afterwards.
fn at_every_call(write: impl Fn(Fault, usize) -> usize) {
    for fault in FAULTS {
        let calls = (0..).find_map(|at| {
            let calls = write(fault, at);
            (at >= calls).then_some(calls)
        });
        assert!(
            calls >= Some(5),
            "create, write, sync, rename, sync: {calls:?}"
        );
    }
}

fn names(folder: &Path) -> BTreeSet<String> {
    let entries = fs::read_dir(folder).unwrap();
    let name = |entry: std::io::Result<fs::DirEntry>| entry.unwrap().file_name();
    entries
        .map(|entry| name(entry).into_string().unwrap())
        .collect()
}

#[test]
fn a_figure_is_old_or_new() {
    let figure = |y| Chart::new("").line("", &[0, 1], &[0, y]).draw().unwrap();
    let (old, new) = (figure(1), figure(2));
    at_every_call(|fault, at| {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("figure.png");
        old.save(&path).unwrap();
        let (result, calls) = faults::with(fault, at, || new.save(&path));
        assert!(matches!(result, Ok(()) | Err(PlotError::Save { .. })));
        let expected = if result.is_ok() { &new } else { &old };
        assert_eq!(
            fs::read(&path).unwrap(),
            expected.png(),
            "{fault:?} at {at}"
        );
        assert_eq!(names(folder.path()).len(), 1, "{fault:?} at {at}");
        calls
    });
}

/// The only test of this program that works in the current folder.
#[test]
fn progress_is_old_or_new() {
    let text = |folder: &Path| fs::read_to_string(folder.join(exercises::PROGRESS_FILE)).unwrap();
    at_every_call(|fault, at| {
        let folder = tempfile::tempdir().unwrap();
        std::env::set_current_dir(folder.path()).unwrap();
        exercises::done("basic-1");
        let old = text(folder.path());
        let (answer, calls) = faults::with(fault, at, || exercises::done("basic-2").to_string());
        let told = answer.contains("Progress is not kept");
        let expected = if told {
            old.clone()
        } else {
            old.clone() + "basic-2 written\n"
        };
        assert_eq!(text(folder.path()), expected, "{fault:?} at {at}: {answer}");
        let others = names(folder.path());
        let expected =
            BTreeSet::from(["exercise_progress.lock", "exercise_progress.txt"].map(String::from));
        assert_eq!(others, expected, "{fault:?} at {at}");
        std::env::set_current_dir(std::env::temp_dir()).unwrap();
        calls
    });
}

const CONTENT: &[u8] = b"the content of a data set's file";

/// A server of that file.
fn serve() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = format!("http://{}/file.bin", listener.local_addr().unwrap());
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let lines = BufReader::new(stream.try_clone().unwrap()).lines();
            let lines = lines
                .map_while(Result::ok)
                .take_while(|line| !line.is_empty());
            lines.for_each(drop);
            let length = CONTENT.len();
            let _ = write!(
                stream,
                "HTTP/1.1 200 OK\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n"
            );
            let _ = stream.write_all(CONTENT);
        }
    });
    address
}

#[test]
fn a_download_is_there_whole_or_not_at_all() {
    let hash = digest(&SHA256, CONTENT);
    let file = RemoteFile {
        path: "set/file.bin".into(),
        urls: vec![serve()],
        size: CONTENT.len() as u64,
        sha256: hash
            .as_ref()
            .iter()
            .map(|byte| format!("{byte:02x}"))
            .collect(),
        licence: "CC0-1.0".into(),
        way_out: "Use the sample.".into(),
    };
    at_every_call(|fault, at| {
        let folder = tempfile::tempdir().unwrap();
        let store = Store {
            folders: vec![folder.path().to_owned()],
            cache: folder.path().to_owned(),
        };
        let (result, calls) = faults::with(fault, at, || store.load(&file));
        let left = names(&folder.path().join("set"));
        match result {
            Ok(content) => {
                assert_eq!(content, CONTENT);
                assert_eq!(
                    left,
                    BTreeSet::from(["file.bin".to_owned()]),
                    "{fault:?} at {at}"
                );
            }
            Err(error) => {
                assert!(matches!(error, DataError::Write { .. }), "{error}");
                assert_eq!(left, BTreeSet::new(), "{fault:?} at {at}");
            }
        }
        // The next call does not mind.
        assert_eq!(store.load(&file).unwrap(), CONTENT);
        calls
    });
}
