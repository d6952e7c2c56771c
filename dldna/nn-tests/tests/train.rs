//! Optimizers against PyTorch, sizes against OpenCV, networks of every family in colour, and what is saved.

use ::safetensors::SafeTensors;
use dldna_nn::convnext::ConvNeXtBlock;
use dldna_nn::data::{Dataset, Normalisation, Pixels, Split, resize, stripes};
use dldna_nn::efficientnet::MBConv;
use dldna_nn::inception::BatchNormInception;
use dldna_nn::prelude::*;
use dldna_nn::resnet::BasicBlock;
use dldna_nn::train::{
    Adam, Augmentation, Classifier, Schedule, Sgd, TrainConfig, TrainError, Trained, UpdateRule,
    clip_gradients, predict, train,
};
use dldna_nn_tests::{assert_close, numbers, read};
use tempfile::TempDir;

/// Made by `fixtures/make_optimizers.py`.
fn reference(name: &str) -> Vec<f32> {
    let bytes = read("optimizers.safetensors");
    let file = SafeTensors::deserialize(&bytes).unwrap();
    numbers(file.tensor(name).unwrap().data())
}

type Layer = dldna_nn::nn::modules::Linear<4, 3, f32, Cpu>;

fn layer() -> Layer {
    let mut layer = Cpu::default().build_module::<Linear<4, 3>, f32>();
    layer.weight.copy_from(&reference("weight"));
    layer.bias.copy_from(&reference("bias"));
    layer
}

/// The gradients of step `step`, as a backward pass leaves them.
fn gradients(layer: &Layer, step: usize) -> Gradients<f32, Cpu> {
    let of = |name: &str, count: usize| reference(name)[step * count..][..count].to_vec();
    let mut gradients = layer.alloc_grads();
    gradients
        .get_or_alloc_mut(&layer.weight)
        .unwrap()
        .copy_from_slice(&of("gradient_weight", 12));
    gradients
        .get_or_alloc_mut(&layer.bias)
        .unwrap()
        .copy_from_slice(&of("gradient_bias", 3));
    gradients
}

fn ten_steps(name: &str, mut update: impl FnMut(&mut Layer, &mut Gradients<f32, Cpu>)) {
    let mut layer = layer();
    for step in 0..10 {
        let mut gradients = gradients(&layer, step);
        update(&mut layer, &mut gradients);
    }
    assert_close(
        name,
        &layer.weight.as_vec(),
        &reference(&format!("{name}/weight")),
    );
    assert_close(
        name,
        &layer.bias.as_vec(),
        &reference(&format!("{name}/bias")),
    );
}

#[test]
fn ten_steps_of_each_optimizer_equal_pytorch() {
    let mut sgd = Sgd::new(0.1, 0.0);
    ten_steps("sgd", |layer, gradients| {
        sgd.update(layer, gradients).unwrap()
    });
    let mut momentum = Sgd::new(0.1, 0.9);
    ten_steps("momentum", |layer, gradients| {
        momentum.update(layer, gradients).unwrap()
    });
    let mut nesterov = Sgd::new(0.1, 0.9);
    nesterov.nesterov = true;
    ten_steps("nesterov", |layer, gradients| {
        nesterov.update(layer, gradients).unwrap()
    });
    let mut adam = Adam::new(0.01);
    ten_steps("adam", |layer, gradients| {
        adam.update(layer, gradients).unwrap()
    });
    let mut adamw = Adam::new(0.01);
    adamw.weight_decay = 0.1;
    ten_steps("adamw", |layer, gradients| {
        adamw.update(layer, gradients).unwrap()
    });
}

#[test]
fn clipped_gradients_equal_pytorch() {
    let mut layer = layer();
    let mut gradients = gradients(&layer, 0);
    let norm = clip_gradients(&mut layer, &mut gradients, 1.0).unwrap();
    assert_close("norm", &[norm], &reference("clipped/norm"));
    assert_close(
        "weight",
        &gradients.get(&layer.weight).as_vec(),
        &reference("clipped/weight"),
    );
    assert_close(
        "bias",
        &gradients.get(&layer.bias).as_vec(),
        &reference("clipped/bias"),
    );
}

#[test]
fn resized_planes_equal_opencv() {
    let plane = reference("plane");
    for (kind, sizes) in [
        ("area", &[(6, 8), (13, 5), (1, 1), (12, 16)][..]),
        ("linear", &[(26, 34), (20, 40), (13, 18)]),
    ] {
        for &(height, width) in sizes {
            let name = format!("{kind}_{height}_{width}");
            let got = resize(&plane, (13, 17), (height, width));
            assert_close(&name, &got, &reference(&name));
        }
    }
}

/// Images of one colour each: red, green, blue, with noise of their brightness.
fn colors(count: usize, size: usize) -> Dataset<3> {
    let plane = size * size;
    let labels: Vec<usize> = (0..count).map(|index| index % 3).collect();
    let images = labels.iter().enumerate().flat_map(|(index, &label)| {
        (0..3 * plane).map(move |at| {
            let noise = (index * 31 + at * 17) % 60;
            if at / plane == label {
                180 + noise as u8
            } else {
                noise as u8
            }
        })
    });
    let names = ["red", "green", "blue"].map(String::from).to_vec();
    Dataset::color(images.collect(), labels.clone(), size, size, names).unwrap()
}

fn quick() -> TrainConfig {
    TrainConfig {
        epochs: 6,
        batch_size: 16,
        learning_rate: 0.02,
        image_size: 12,
        progress: false,
        ..Default::default()
    }
}

fn learns_colors<N: Classifier<3, 3>>(name: &str, network: N) -> Trained<N> {
    let split = Split {
        train: colors(96, 12),
        test: colors(30, 12),
    };
    let config = TrainConfig {
        normalisation: Normalisation::of(&split.train),
        ..quick()
    };
    let trained = train(network, &split, &config).unwrap();
    let accuracy = trained.evaluate(&split.test).unwrap().accuracy();
    assert!(accuracy > 0.9, "{name}: {}", trained.history);
    trained
}

#[test]
fn each_family_learns_in_colour() {
    let dev = Cpu::seed_from_u64(0);
    type End<const C: usize> = (AvgPoolGlobal, Linear<C, 3>);
    type Start<const C: usize> = (BiasedConv2D<3, C, 3, 2, 1>, BatchNorm2D<C>, ReLU);
    learns_colors("a tuple", dev.build_module::<(Start<8>, End<8>), f32>());
    learns_colors(
        "ResNet",
        dev.build_module::<(BasicBlock<3, 8, 2>, End<8>), f32>(),
    );
    learns_colors(
        "Inception",
        dev.build_module::<(
            Start<8>,
            BatchNormInception<8, 4, 4, 4, 4, 4, 4, 16>,
            End<16>,
        ), f32>(),
    );
    learns_colors(
        "EfficientNet",
        dev.build_module::<(Start<8>, MBConv<8, 32, 2, 8, 3, 1, SiLU>, End<8>), f32>(),
    );
    learns_colors(
        "ConvNeXt",
        dev.build_module::<(Start<8>, ConvNeXtBlock<8, 32>, End<8>), f32>(),
    );
}

network! {
    struct Small {
        conv: BiasedConv2D<3, 8, 3, 2, 1>,
        norm: BatchNorm2D<8>,
        fc: Linear<8, 3>,
    }
    forward(x: Images<3>) -> Vectors<3> { fc(mean(relu(norm(conv(x))))) }
}

fn small() -> Small<f32, Cpu> {
    Cpu::seed_from_u64(3).build_module::<Small, f32>()
}

#[test]
fn a_loaded_network_says_the_same_of_any_picture() {
    let trained = learns_colors("written", small());
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("colors.safetensors");
    trained.save(&path).unwrap();
    let loaded = Trained::load(small(), &path).unwrap();
    assert_eq!(loaded.preprocessing, trained.preprocessing);

    let green: Vec<u8> = [10, 220, 30].repeat(40 * 25);
    let picture = Pixels::new(25, 40, 3, &green).unwrap();
    let prediction = predict(&loaded, &picture).unwrap();
    assert_eq!(prediction, predict(&trained, &picture).unwrap());
    assert_eq!(prediction.best().name, "green");
    let sum: f32 = prediction
        .classes
        .iter()
        .map(|class| class.probability)
        .sum();
    assert!((sum - 1.0).abs() < 1e-5);

    let gray = vec![128; 9];
    let prediction = predict(&loaded, &Pixels::new(3, 3, 1, &gray).unwrap()).unwrap();
    assert_eq!(prediction.classes.len(), 3);
}

#[test]
fn weights_alone_are_not_a_trained_network() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("weights.safetensors");
    dldna_nn::weights::save_model(&small(), &path).unwrap();
    let error = Trained::load(small(), &path).unwrap_err().to_string();
    assert!(error.contains("it has no image_size"), "{error}");
}

fn stripes_network() -> impl Classifier<1, 2> + Clone {
    let dev = Cpu::seed_from_u64(1);
    dev.build_module::<(
        BiasedConv2D<1, 8, 3>,
        BatchNorm2D<8>,
        ReLU,
        AvgPoolGlobal,
        Linear<8, 2>,
    ), f32>()
}

#[test]
fn every_optimizer_schedule_and_augmentation_learns() {
    let data = stripes(128, 64, 12);
    let rules = [
        UpdateRule::Adam,
        UpdateRule::Sgd {
            momentum: 0.9,
            nesterov: false,
        },
        UpdateRule::Sgd {
            momentum: 0.9,
            nesterov: true,
        },
    ];
    let schedules = [
        Schedule::Cosine,
        Schedule::Steps {
            parts: 3,
            factor: 0.3,
        },
        Schedule::OneCycle,
    ];
    for (optimizer, schedule) in rules.into_iter().zip(schedules) {
        let config = TrainConfig {
            optimizer,
            schedule,
            warm_up: 0.1,
            weight_decay: 0.01,
            gradient_clip: Some(1.0),
            augmentations: vec![
                Augmentation::Shift(1),
                Augmentation::Mirror,
                Augmentation::RandomResizedCrop(0.6),
                Augmentation::Cutout(3),
                Augmentation::Mixup(0.2),
            ],
            epochs: 10,
            ..quick()
        };
        let trained = train(stripes_network(), &data, &config).unwrap();
        let accuracy = trained.evaluate(&data.test).unwrap().accuracy();
        assert!(accuracy > 0.85, "{optimizer:?}: {}", trained.history);
    }
}

#[test]
fn patience_ends_a_training_and_the_best_network_is_kept() {
    let data = stripes(64, 64, 8);
    let config = TrainConfig {
        epochs: 60,
        learning_rate: 0.3,
        patience: Some(3),
        keep_best: true,
        image_size: 8,
        ..quick()
    };
    let trained = train(stripes_network(), &data, &config).unwrap();
    let (best, epoch) = trained.history.best().unwrap();
    assert!(trained.finished && trained.history.epochs.len() < 60);
    assert_eq!(trained.history.epochs.len(), best + 4);
    assert_eq!(trained.evaluate(&data.test).unwrap().loss, epoch.test_loss);
}

#[test]
fn a_loss_out_of_bounds_is_said_in_words() {
    let config = TrainConfig {
        epochs: 1,
        learning_rate: 100.0,
        ..quick()
    };
    match train(stripes_network(), &stripes(64, 32, 12), &config) {
        Ok(trained) => {
            let warning = trained.warning.expect("a warning");
            assert!(
                warning.contains("Try a smaller learning rate than 100"),
                "{warning}"
            );
        }
        Err(error) => assert!(matches!(error, TrainError::Diverged { .. }), "{error}"),
    }
}

#[test]
fn an_interrupt_ends_a_training_and_keeps_the_network() {
    let file = tempfile::NamedTempFile::new().unwrap();
    let status = std::process::Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "the_interrupted_training", "--ignored"])
        .env("DLDNA_INTERRUPT", file.path())
        .status();
    assert!(status.unwrap().success());
}

#[test]
#[ignore = "another test runs it, with an environment variable"]
fn the_interrupted_training() {
    let trained = train(stripes_network(), &stripes(64, 32, 8), &quick()).unwrap();
    assert!(!trained.finished);
    assert!(trained.history.epochs.is_empty());
}

#[test]
fn a_stopped_training_goes_on_with_every_setting() {
    let folder = TempDir::new().unwrap();
    let data = stripes(64, 32, 8);
    let whole = TrainConfig {
        epochs: 4,
        optimizer: UpdateRule::Sgd {
            momentum: 0.9,
            nesterov: true,
        },
        augmentations: vec![Augmentation::Mixup(0.2), Augmentation::Cutout(2)],
        keep_best: true,
        image_size: 8,
        ..quick()
    };
    let without_stop = train(stripes_network(), &data, &whole).unwrap();
    let first = TrainConfig {
        epochs: 2,
        checkpoint: Some(folder.path().join("new/folder/checkpoint")),
        ..whole.clone()
    };
    train(stripes_network(), &data, &first).unwrap();
    let second = TrainConfig { epochs: 4, ..first };
    let resumed = train(stripes_network(), &data, &second).unwrap();
    assert_eq!(resumed.history, without_stop.history);
    assert_eq!(
        resumed.evaluate(&data.test).unwrap(),
        without_stop.evaluate(&data.test).unwrap()
    );
}

/// Every part of a checkpoint, damaged by one bit, and a checkpoint of other images.
#[test]
fn a_damaged_or_foreign_checkpoint_is_refused_with_the_part_named() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("checkpoint");
    let config = TrainConfig {
        epochs: 1,
        checkpoint: Some(path.clone()),
        image_size: 8,
        ..quick()
    };
    let data = stripes(64, 32, 8);
    train(stripes_network(), &data, &config).unwrap();
    let good = std::fs::read(&path).unwrap();
    let more = TrainConfig {
        epochs: 2,
        ..config
    };

    let file = SafeTensors::deserialize(&good).unwrap();
    let start = good.as_ptr() as usize;
    for (name, view) in file.tensors() {
        let mut damaged = good.clone();
        damaged[view.data().as_ptr() as usize - start] ^= 1;
        std::fs::write(&path, damaged).unwrap();
        let error = train(stripes_network(), &data, &more)
            .err()
            .expect(&name)
            .to_string();
        assert!(error.contains(&format!("{name} is damaged")), "{error}");
    }
    let text = String::from_utf8_lossy(&good);
    let step = text.find("\"step\":\"4\"").expect("four steps") + 8;
    let mut damaged = good.clone();
    damaged[step] = b'9';
    std::fs::write(&path, damaged).unwrap();
    let error = train(stripes_network(), &data, &more)
        .err()
        .unwrap()
        .to_string();
    assert!(
        error.contains("the list of its settings is damaged"),
        "{error}"
    );

    std::fs::write(&path, &good).unwrap();
    let mut others = data.clone();
    others.train = others.train.shuffled(5);
    let error = train(stripes_network(), &others, &more)
        .err()
        .unwrap()
        .to_string();
    assert!(error.contains("data was 64 images"), "{error}");
    train(stripes_network(), &data, &more).unwrap();
}

#[cfg(target_arch = "x86_64")]
mod subnormal_numbers {
    use super::*;
    use dldna_nn::kernels::subnormals::are_flushed;

    /// Passes its input on, and says whether subnormal numbers are zero meanwhile.
    #[derive(Debug, Clone, Default)]
    struct Probe;

    impl ZeroSizedModule for Probe {}
    impl NonMutableModule for Probe {}

    impl<X> Module<X> for Probe {
        type Output = X;
        type Error = CpuError;

        fn try_forward(&self, x: X) -> Result<X, CpuError> {
            assert!(are_flushed());
            assert_eq!(rayon_threads_that_flush(), rayon::current_num_threads());
            Ok(x)
        }
    }

    fn rayon_threads_that_flush() -> usize {
        let threads = rayon::broadcast(|_| are_flushed());
        threads.into_iter().filter(|flushes| *flushes).count()
    }

    /// A reader's own numbers are as small after a training as before it.
    #[test]
    fn they_are_zero_in_a_training_and_nowhere_else() {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(2).build();
        pool.unwrap().install(|| {
            let network =
                Cpu::seed_from_u64(7).build_module::<(Probe, Flatten<36>, Linear<36, 2>), f32>();
            let config = TrainConfig {
                image_size: 6,
                epochs: 1,
                ..quick()
            };
            assert!(!are_flushed());
            train(network.clone(), &stripes(20, 10, 6), &config).unwrap();
            assert!(!are_flushed());
            assert_eq!(rayon_threads_that_flush(), 0);

            // A training that fails sets back, too.
            let config = TrainConfig {
                learning_rate: 1e38,
                epochs: 9,
                ..config
            };
            train(network, &stripes(20, 10, 6), &config).unwrap_err();
            assert!(!are_flushed());
            assert_eq!(rayon_threads_that_flush(), 0);
        });
    }
}
