//! A disk that is full or fails, at each call of each writer: the old content stands or the new, and nothing else is left.

use dldna_nn::atomic_file::{self, faults, faults::Fault};
use dldna_nn::data::stripes;
use dldna_nn::prelude::*;
use dldna_nn::train::{TrainConfig, TrainError, Trained, train};
use dldna_nn::weights::{WeightsError, load_model, save_model};
use std::fs;
use std::path::Path;

const FAULTS: [Fault; 3] = [Fault::Full, Fault::Failing, Fault::Short];

/// The bytes of a file in the order of their values: the words in a file of weights come in any order.
fn content(path: &Path) -> Option<Vec<u8>> {
    let mut bytes = fs::read(path).ok()?;
    bytes.sort_unstable();
    Some(bytes)
}

/// Runs `write` on a disk with each fault at each of its calls. `old` lays down what is there before.
fn at_every_call<E: std::fmt::Debug>(
    old: impl Fn(&Path),
    write: impl Fn(&Path) -> Result<(), E>,
    is_error_of_the_disk: impl Fn(&E) -> bool,
) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("file");
    write(&path).unwrap();
    let after = content(&path);
    let mut calls = 0;
    for fault in FAULTS {
        for at in 0.. {
            let folder = tempfile::tempdir().unwrap();
            let path = folder.path().join("file");
            old(&path);
            let before = content(&path);
            assert_ne!(before, after);
            let (result, all) = faults::with(fault, at, || write(&path));
            let found = content(&path);
            match &result {
                // What fails after the rename, a sync of the folder, leaves the new content.
                Ok(()) => assert_eq!(found, after, "{fault:?} at {at}"),
                Err(error) => {
                    assert!(is_error_of_the_disk(error), "{fault:?} at {at}: {error:?}");
                    assert_eq!(found, before, "{fault:?} at {at}");
                }
            }
            let names = fs::read_dir(folder.path()).unwrap();
            let others = names.filter(|entry| entry.as_ref().unwrap().file_name() != "file");
            assert_eq!(others.count(), 0, "{fault:?} at {at}");
            if at >= all {
                assert!(result.is_ok(), "there was no fault at {at}");
                calls = calls.max(all);
                break;
            }
        }
    }
    assert!(calls >= 5, "create, write, sync, rename, sync: {calls}");
}

#[test]
fn a_file_is_old_or_new() {
    let old = |path: &Path| fs::write(path, b"old").unwrap();
    let write = |path: &Path| atomic_file::write(path, b"the new content");
    at_every_call(old, write, |_| true);
    at_every_call(|_| {}, write, |_| true); // nothing there before
}

#[test]
fn a_probe_leaves_nothing() {
    for fault in FAULTS {
        let folder = tempfile::tempdir().unwrap();
        let (result, calls) =
            faults::with(fault, 0, || atomic_file::probe(&folder.path().join("file")));
        assert_eq!((result.is_ok(), calls), (fault == Fault::Short, 1));
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
    }
}

fn network(seed: u64) -> (Flatten<36>, Linear<36, 2>) {
    Cpu::seed_from_u64(seed).build_module::<(Flatten<36>, Linear<36, 2>), f32>()
}

#[test]
fn a_saved_network_is_old_or_new() {
    let old = |path: &Path| save_model(&network(1), path).unwrap();
    let write = |path: &Path| save_model(&network(2), path);
    at_every_call(old, write, |error| {
        matches!(error, WeightsError::Write { .. })
    });
}

fn config(path: &Path, epochs: usize) -> TrainConfig {
    TrainConfig {
        epochs,
        batch_size: 8,
        image_size: 6,
        checkpoint: Some(path.to_owned()),
        progress: false,
        ..Default::default()
    }
}

#[test]
fn a_trained_network_is_old_or_new() {
    let trained = |seed| {
        let config = TrainConfig {
            checkpoint: None,
            ..config(Path::new(""), 1)
        };
        train(network(seed), &stripes(16, 8, 6), &config).unwrap()
    };
    let [first, second]: [Trained<_>; 2] = [trained(1), trained(2)];
    at_every_call(
        |path| first.save(path).unwrap(),
        |path| second.save(path),
        |error| matches!(error, WeightsError::Write { .. }),
    );
}

/// A training of two epochs that meets the fault anywhere: with what it leaves, the next one ends as if nothing had been.
#[test]
fn a_training_goes_on_from_what_a_fault_of_the_disk_leaves() {
    let data = stripes(16, 8, 6);
    let run = |path: &Path| train(network(3), &data, &config(path, 2));
    let weights = |trained: &Trained<(Flatten<36>, Linear<36, 2>)>| trained.model.1.weight.as_vec();
    let whole = tempfile::tempdir().unwrap();
    let expected = weights(&run(&whole.path().join("file")).unwrap());
    for fault in FAULTS {
        for at in 0.. {
            let folder = tempfile::tempdir().unwrap();
            let path = folder.path().join("file");
            let (result, calls) = faults::with(fault, at, || run(&path));
            if let Err(error) = &result {
                assert!(
                    matches!(
                        error,
                        TrainError::Checkpoint { .. } | TrainError::Weights(_)
                    ),
                    "{error:?}"
                );
            }
            let names = fs::read_dir(folder.path()).unwrap();
            let others = names.filter(|entry| entry.as_ref().unwrap().file_name() != "file");
            assert_eq!(others.count(), 0, "{fault:?} at {at}");
            assert_eq!(weights(&run(&path).unwrap()), expected, "{fault:?} at {at}");
            if at >= calls {
                assert!(calls > 10, "two checkpoints and a probe: {calls}");
                break;
            }
        }
    }
}

#[test]
fn the_network_in_a_file_can_be_read_after_a_fault() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("file");
    save_model(&network(1), &path).unwrap();
    faults::with(Fault::Full, 1, || save_model(&network(2), &path))
        .0
        .unwrap_err();
    let mut read = network(9);
    load_model(&mut read, &path).unwrap();
    assert_eq!(read.1.weight.as_vec(), network(1).1.weight.as_vec());
}
