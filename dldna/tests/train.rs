//! Training: repeatable, resumable after a kill at any moment, and clear about what is wrong.

use dldna::data::{self, Dataset, Split};
use dldna::prelude::*;
use dldna::resnet::ResNet20;
use dldna::train::{
    AUXILIARY_WEIGHT, Adam, Augmentation, Schedule, TrainConfig, TrainError, Trained,
    TrainingOutput, evaluate, load_model, save_model, smoothed_targets, train,
};
use dldna::weights::WeightsError;
use dldna_nn_tests::assert_close;
use std::process::{Command, Stdio};
use std::time::Duration;
use tempfile::TempDir;

type Network = <ResNet20<1, 10> as BuildOnDevice<Cpu, f32>>::Built;

fn network(seed: u64) -> Network {
    Cpu::seed_from_u64(seed).build_module::<ResNet20<1, 10>, f32>()
}

fn quiet(epochs: usize) -> TrainConfig {
    TrainConfig {
        epochs,
        batch_size: 32,
        image_size: 8,
        subset: Some(160),
        progress: false,
        ..Default::default()
    }
}

/// Four epochs of two steps, on tiny images.
fn short() -> TrainConfig {
    TrainConfig {
        subset: Some(64),
        image_size: 4,
        ..quiet(4)
    }
}

/// Handwritten digits, 1,000 to learn from and 50 to measure with.
fn digits() -> Split {
    let sample = data::mnist_sample().unwrap();
    Split {
        train: sample.train,
        test: sample.test.take(50),
    }
}

fn run(config: &TrainConfig) -> Result<Trained<Network>, TrainError> {
    train(network(config.seed), &digits(), config)
}

fn weights(network: &Network) -> Vec<f32> {
    [
        network.conv1.weight.as_vec(),
        network.fc.weight.as_vec(),
        network.bn1.running_var.as_vec(),
    ]
    .concat()
}

#[test]
fn the_same_seed_gives_the_same_network() {
    let first = run(&quiet(2)).unwrap();
    let second = run(&quiet(2)).unwrap();
    assert_eq!(first.history, second.history);
    assert_eq!(weights(&first.model), weights(&second.model));
    let other = run(&TrainConfig {
        seed: 1,
        ..quiet(2)
    })
    .unwrap();
    assert_ne!(first.history, other.history);
}

#[test]
fn it_learns() {
    let trained = run(&TrainConfig {
        epochs: 8,
        image_size: 14,
        subset: Some(400),

        ..quiet(8)
    })
    .unwrap();
    let epochs = &trained.history.epochs;
    assert!(
        epochs[7].train_loss < 0.5 * epochs[0].train_loss,
        "{}",
        trained.history
    );
    let test = evaluate(&trained.model, &digits().test, 14).unwrap();
    assert!(test.accuracy() > 0.5, "{}", trained.history);
    assert_eq!(test.accuracy(), epochs[7].test_accuracy);
    assert_eq!(test.confusion.counts.iter().flatten().sum::<usize>(), 50);
    let classes = test.confusion.class_accuracies();
    assert!(classes.iter().all(|share| (0.0..=1.0).contains(share)));
}

#[test]
fn a_stopped_training_goes_on_as_if_nothing_had_been() {
    let folder = TempDir::new().unwrap();
    for schedule in [Schedule::Constant, Schedule::OneCycle] {
        let checkpoint = folder.path().join(format!("{schedule:?}"));
        let whole = TrainConfig {
            schedule,
            augmentations: vec![Augmentation::Shift(2), Augmentation::Mirror],
            ..quiet(3)
        };
        let without_stop = run(&whole).unwrap();
        // A first run that is stopped in the middle of the second epoch, by its stop file.
        let config = TrainConfig {
            checkpoint: Some(checkpoint.clone()),
            ..whole.clone()
        };
        let stopped = run(&TrainConfig {
            time_limit: Some(Duration::ZERO),
            ..config.clone()
        })
        .unwrap();
        assert!(!stopped.finished && stopped.history.epochs.is_empty());
        std::fs::write(folder.path().join(format!("{schedule:?}.stop")), "").unwrap();
        assert!(!run(&config).unwrap().finished);
        std::fs::remove_file(folder.path().join(format!("{schedule:?}.stop"))).unwrap();
        let resumed = run(&config).unwrap();
        assert!(resumed.finished);
        assert_eq!(resumed.history, without_stop.history);
        assert_eq!(weights(&resumed.model), weights(&without_stop.model));
        // Complete: nothing is left to do.
        assert_eq!(
            weights(&run(&config).unwrap().model),
            weights(&without_stop.model)
        );
    }
}

/// The child of the next test.
#[test]
#[ignore = "is killed by a_killed_training_loses_at_most_one_epoch"]
fn train_until_killed() {
    let Some(path) = std::env::var_os("DLDNA_TEST_CHECKPOINT") else {
        return;
    };
    let config = TrainConfig {
        checkpoint: Some(path.into()),
        ..short()
    };
    assert!(run(&config).unwrap().finished);
}

/// SIGKILL twenty times, at moments spread over the whole run; each time the next run goes on from a good checkpoint.
#[test]
fn a_killed_training_loses_at_most_one_epoch() {
    let folder = TempDir::new().unwrap();
    let expected = run(&short()).unwrap();
    let start = |path: &std::path::Path| {
        Command::new(std::env::current_exe().unwrap())
            .args(["--ignored", "--exact", "train_until_killed"])
            .env("DLDNA_TEST_CHECKPOINT", path)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap()
    };
    // How long a whole run takes here, so that the kills fall into it.
    let clock = std::time::Instant::now();
    assert!(
        start(&folder.path().join("timing"))
            .wait()
            .unwrap()
            .success()
    );
    let whole = clock.elapsed();
    let (mut kills, mut round) = (0, 0);
    while kills < 20 {
        let path = folder.path().join(format!("checkpoint{round}"));
        round += 1;
        for part in [3u32, 7, 2, 9, 5, 8, 4, 6] {
            let mut child = start(&path);
            std::thread::sleep(whole * part / 10);
            child.kill().unwrap();
            if !child.wait().unwrap().success() {
                kills += 1;
            }
            if path.exists() {
                // Whole and loadable, or this is an error.
                let config = TrainConfig {
                    checkpoint: Some(path.clone()),
                    time_limit: Some(Duration::ZERO),
                    ..short()
                };
                let so_far = run(&config).unwrap().history.epochs;
                assert_eq!(so_far, expected.history.epochs[..so_far.len()]);
            }
        }
        let config = TrainConfig {
            checkpoint: Some(path),
            ..short()
        };
        let resumed = run(&config).unwrap();
        assert_eq!(weights(&resumed.model), weights(&expected.model));
    }
    let left: Vec<_> = std::fs::read_dir(folder.path()).unwrap().collect();
    println!(
        "{kills} kills in {round} rounds; {} files in the folder",
        left.len()
    );
}

#[test]
fn a_checkpoint_of_another_training_is_refused() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("checkpoint");
    let config = TrainConfig {
        checkpoint: Some(path.clone()),
        ..quiet(1)
    };
    run(&config).unwrap();

    let error = run(&TrainConfig {
        seed: 7,
        ..config.clone()
    })
    .unwrap_err()
    .to_string();
    println!("{error}");
    assert!(error.contains("seed was 0, now it is 7"), "{error}");

    let small = Cpu::default().build_module::<dldna::resnet::PlainNet56<1, 10>, f32>();
    let error = train(small, &data::mnist_sample().unwrap(), &config).unwrap_err();
    println!("{error}");
    assert!(
        matches!(error, TrainError::Weights(WeightsError::Mismatch { .. })),
        "{error}"
    );

    let bytes = std::fs::read(&path).unwrap();
    std::fs::write(&path, &bytes[..bytes.len() / 2]).unwrap();
    let error = run(&config).unwrap_err().to_string();
    println!("{error}");
    assert!(error.contains("not a complete safetensors file"), "{error}");

    let error = run(&TrainConfig {
        checkpoint: Some(path.join("below a file")),
        ..quiet(1)
    })
    .unwrap_err();
    println!("{error}");
    assert!(error.to_string().starts_with("cannot write"), "{error}");
}

#[test]
fn bad_data_and_settings_are_named() {
    let sample = data::mnist_sample().unwrap();
    let names = |count: usize| (0..count).map(|i| i.to_string()).collect::<Vec<_>>();
    let empty = Dataset::new(vec![], vec![], 28, 28, names(10)).unwrap();
    let many = Dataset::new(vec![0; 8 * 784], vec![10; 8], 28, 28, names(11)).unwrap();
    let with = |train: Dataset, test: Dataset| {
        dldna::train::train(network(0), &Split { train, test }, &quiet(1))
    };
    for (error, words) in [
        (
            with(empty.clone(), sample.test.clone()).unwrap_err(),
            "the training set is empty",
        ),
        (
            with(sample.train.clone(), empty).unwrap_err(),
            "the test set is empty",
        ),
        (
            with(many, sample.test.clone()).unwrap_err(),
            "the training set has 11 classes, the network has outputs for 10",
        ),
        (
            run(&TrainConfig {
                batch_size: 1,
                ..quiet(1)
            })
            .unwrap_err(),
            "batch_size is 1, expected at least 2",
        ),
        (
            run(&TrainConfig {
                image_size: 0,
                ..quiet(1)
            })
            .unwrap_err(),
            "image_size is 0",
        ),
        (
            run(&TrainConfig {
                learning_rate: f32::NAN,
                ..quiet(1)
            })
            .unwrap_err(),
            "learning_rate is NaN",
        ),
        (
            run(&TrainConfig {
                learning_rate: 1e30,
                ..quiet(3)
            })
            .unwrap_err(),
            "try a smaller learning rate than",
        ),
    ] {
        println!("{error}");
        assert!(error.to_string().contains(words), "{error}");
    }
}

#[test]
fn a_saved_model_is_the_same_model() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("model.safetensors");
    let saved = network(3);
    save_model(&saved, &path).unwrap();
    let mut loaded = network(4);
    load_model(&mut loaded, &path).unwrap();
    assert_eq!(weights(&loaded), weights(&saved));
    let error = save_model(&saved, folder.path().join("none/model"))
        .unwrap_err()
        .to_string();
    assert!(error.starts_with("cannot write"), "{error}");
}

/// Against dfdx's own Adam, which the fixture `training` has compared with PyTorch's.
#[test]
fn adam_follows_dfdx() {
    let dev = Cpu::seed_from_u64(5);
    let mut ours = dev.build_module::<(Linear<6, 8>, ReLU, Linear<8, 3>), f32>();
    let mut theirs = ours.clone();
    let x: Tensor<Rank2<16, 6>, f32, Cpu> = dev.sample_normal();
    let mut adam = Adam::new(1e-2);
    let mut other = dfdx::optim::Adam::new(
        &theirs,
        dfdx::optim::AdamConfig {
            lr: 1e-2,
            ..Default::default()
        },
    );
    let (mut gradients, mut others) = (ours.alloc_grads(), theirs.alloc_grads());
    for _ in 0..50 {
        gradients = ours.forward(x.trace(gradients)).square().mean().backward();
        adam.update(&mut ours, &mut gradients).unwrap();
        others = theirs.forward(x.trace(others)).square().mean().backward();
        other.update(&mut theirs, &others).unwrap();
        theirs.zero_grads(&mut others);
    }
    for (a, b) in ours.0.weight.as_vec().iter().zip(theirs.0.weight.as_vec()) {
        assert!((a - b).abs() < 1e-4, "{a} {b}");
    }
}

/// Three images of four classes.
fn some_logits() -> (Tensor<(usize, Const<4>), f32, Cpu>, [usize; 3]) {
    let logits = [
        [2.0, -1.0, 0.5, 0.0],
        [0.1, 0.2, 0.3, 0.4],
        [-3.0, 4.0, 1.0, 1.0],
    ];
    let dev = Cpu::default();
    let logits = dev.tensor_from_vec(logits.concat(), (3, Const::<4>));
    (logits, [0, 3, 2])
}

/// `-log softmax(logits)[label]` for each image and each class, in double precision.
fn surprises() -> Vec<[f64; 4]> {
    let (logits, _) = some_logits();
    let rows = logits.as_vec();
    rows.chunks_exact(4)
        .map(|row| {
            let sum: f64 = row.iter().map(|&v| f64::from(v).exp()).sum();
            std::array::from_fn(|class| sum.ln() - f64::from(row[class]))
        })
        .collect()
}

/// Equation 2 of the paper's section 7: `(1 - eps)` of the cross entropy, and `eps` of the mean over all classes.
#[test]
fn label_smoothing_mixes_in_the_mean_over_all_classes() {
    let surprises = surprises();
    let (_, labels) = some_logits();
    for eps in [0.0, 0.1, 0.5] {
        let (logits, _) = some_logits();
        let targets = smoothed_targets::<4>(&labels, eps).unwrap();
        let got = logits.leaky_traced().try_loss(targets).unwrap().array();
        let want = surprises.iter().zip(labels).map(|(image, label)| {
            let mean = image.iter().sum::<f64>() / 4.0;
            (1.0 - f64::from(eps)) * image[label] + f64::from(eps) * mean
        });
        let want = want.sum::<f64>() / 3.0;
        assert!(
            (f64::from(got) - want).abs() < 1e-5,
            "{got}, expected {want}"
        );
    }
}

/// The gradient of a cross entropy by the logits is softmax minus target: with smoothing it is zero at finite logits.
#[test]
fn smoothed_targets_can_be_reached() {
    let targets = smoothed_targets::<4>(&[1], 0.1).unwrap();
    let best = targets.clone().ln();
    let loss = best.leaky_trace().try_loss(targets).unwrap();
    let gradient = loss.backward().get(&best).as_vec();
    assert!(gradient.iter().all(|g| g.abs() < 1e-6), "{gradient:?}");
}

#[test]
fn an_auxiliary_classifier_counts_three_tenths() {
    let (logits, labels) = some_logits();
    let targets = || smoothed_targets::<4>(&labels, 0.0).unwrap();
    let auxiliary = logits.clone() * 0.5;
    let alone = |logits: &Tensor<_, f32, Cpu>| {
        let loss = logits.leaky_trace().try_loss(targets()).unwrap();
        (loss.array(), loss.backward().get(logits).as_vec())
    };
    let ((main_loss, main_gradient), (other_loss, other_gradient)) =
        (alone(&logits), alone(&auxiliary));
    let pair = (logits.leaky_trace(), auxiliary.leaky_trace());
    assert_eq!(pair.logits().as_vec(), logits.as_vec());
    let loss = pair.try_loss(targets()).unwrap();
    assert!((loss.array() - (main_loss + 0.3 * other_loss)).abs() < 1e-6);
    assert_eq!(AUXILIARY_WEIGHT, 0.3);
    let gradients = loss.backward();
    assert_close("main", &gradients.get(&logits).as_vec(), &main_gradient);
    let weighted: Vec<f32> = other_gradient.iter().map(|g| 0.3 * g).collect();
    assert_close("auxiliary", &gradients.get(&auxiliary).as_vec(), &weighted);
}

#[test]
fn a_smoothing_that_makes_no_sense_is_refused() {
    for label_smoothing in [-0.1, 1.0, f32::NAN] {
        let error = run(&TrainConfig {
            label_smoothing,
            ..short()
        });
        assert!(error.unwrap_err().to_string().contains("label_smoothing"));
    }
    let error = smoothed_targets::<4>(&[1, 4], 0.1).unwrap_err();
    assert!(error.to_string().contains("outputs for 4"), "{error}");
}
