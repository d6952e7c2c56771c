//! The fuzzers' functions over their corpus, and over mutations of it from a fixed seed: what no panic can tell in a test of one case.
//!
//! A real fuzzer, which follows the branches of the code, runs by `cargo fuzz` in `dldna/fuzz`.

#[path = "../fuzz/targets.rs"]
mod targets;

use std::fs;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::time::{Duration, Instant};

use rand::rngs::StdRng;
use rand::seq::SliceRandom;
use rand::{Rng, SeedableRng};

/// Longer files are read as they are and not mutated: their mutations take long, and teach what those of short ones do.
const LONGEST: usize = 6000;

/// The slowest answer that is accepted to a file of a few thousand bytes, in a build without optimisation on a busy machine.
const SLOWEST: Duration = Duration::from_secs(10);

/// Runs `target` over the corpus of that name and over `count` mutations of it.
fn fuzz(name: &str, target: fn(&[u8]), count: u64) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("fuzz/corpus")
        .join(name);
    let mut paths: Vec<_> = fs::read_dir(&folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    paths.sort();
    let files: Vec<Vec<u8>> = paths.iter().map(|path| fs::read(path).unwrap()).collect();
    assert!(
        files.len() >= 3,
        "{} has {} files",
        folder.display(),
        files.len()
    );
    for file in &files {
        run(name, target, file);
    }
    let short: Vec<Vec<u8>> = files
        .into_iter()
        .filter(|file| file.len() <= LONGEST)
        .collect();
    let mut random = StdRng::seed_from_u64(15);
    for _ in 0..count {
        run(name, target, &mutated(&short, &mut random));
    }
}

/// Runs `target`; an input at which it panics or dwells is kept.
fn run(name: &str, target: fn(&[u8]), bytes: &[u8]) {
    let start = Instant::now();
    let result = catch_unwind(AssertUnwindSafe(|| target(bytes)));
    if result.is_err() || start.elapsed() > SLOWEST {
        let path = std::env::temp_dir().join(format!("dldna-fuzz-{name}-failed"));
        fs::write(&path, bytes).unwrap();
        panic!(
            "{name}: {:?}, after {:?}: {}",
            result.is_err(),
            start.elapsed(),
            path.display()
        );
    }
}

/// A file of the corpus with one to four changes.
fn mutated(files: &[Vec<u8>], random: &mut StdRng) -> Vec<u8> {
    let mut bytes = files.choose(random).expect("a corpus").clone();
    for _ in 0..random.gen_range(1..=4) {
        change(&mut bytes, files, random);
    }
    bytes
}

/// One change of those that fuzzers make.
fn change(bytes: &mut Vec<u8>, files: &[Vec<u8>], random: &mut StdRng) {
    const SPECIAL: [u64; 8] = [0, 1, 0x7f, 0x80, 0xff, 0x7fff_ffff, 0xffff_ffff, u64::MAX];
    let length = bytes.len();
    let (a, b) = (random.gen_range(0..=length), random.gen_range(0..=length));
    let (start, end) = (a.min(b), a.max(b).min(a.min(b) + 64));
    match random.gen_range(0..8) {
        0 if start < length => bytes[start] ^= 1 << random.gen_range(0..8),
        1 if start < length => bytes[start] = random.r#gen(),
        // A number of one, two, four or eight bytes, from either end.
        2 | 3 => {
            let value = *SPECIAL.choose(random).expect("not empty");
            let size = 1 << random.gen_range(0..4);
            let number = match random.r#gen() {
                true => value.to_be_bytes()[8 - size..].to_vec(),
                false => value.to_le_bytes()[..size].to_vec(),
            };
            let end = (start + size).min(length);
            bytes.splice(start..end, number);
        }
        4 => drop(bytes.drain(start..end)),
        5 => {
            let again = bytes[start..end].to_vec();
            bytes.splice(end..end, again);
        }
        6 => bytes.truncate(a),
        _ => {
            let other = files.choose(random).expect("a corpus");
            let from = random.gen_range(0..=other.len());
            bytes.splice(a.., other[from..].iter().copied());
        }
    }
}

macro_rules! targets {
    ($($name:ident $count:literal,)*) => {$(
        #[test]
        fn $name() {
            fuzz(stringify!($name), targets::$name, $count);
        }
    )*};
}

// A hundred thousand in all; as many of each as it takes a share of two minutes.
targets! {
    idx 25_000,
    gzip 20_000,
    cifar 20_000,
    tar 10_000,
    png 15_000,
    jpeg 5_000,
    safetensors 4_000,
    progress 1_000,
}
