//! A GPU beside the CPU, whose numbers the other tests compare with PyTorch's. It needs a GPU of NVIDIA:
//! `cargo test --release -p dldna --features cuda --test cuda`.
#![cfg(feature = "cuda")]

use ::safetensors::SafeTensors;
use dldna::convnext::ConvNeXtBlock;
use dldna::data::{fashion_mnist_sample, mnist_sample};
use dldna::device::{AnyDevice, DeviceError, device};
use dldna::efficientnet::MBConv;
use dldna::inception::{InceptionModule, SmallGoogLeNet};
use dldna::prelude::*;
use dldna::resnet::{BasicBlock, Bottleneck, ResNet18, ResNet20};
use dldna::train::{History, TrainConfig, evaluate, train, train_resnet18};
use dldna_nn_tests::numbers;
use std::collections::BTreeMap;
use std::process::{Command, Stdio};
use tempfile::TempDir;

fn gpu() -> Cuda {
    match device() {
        Ok(AnyDevice::Cuda(gpu)) => gpu,
        other => panic!("this test needs a GPU: {other:?}"),
    }
}

/// All tensors of a network, by name.
fn tensors<M: SaveToSafetensors<f32, Cpu>>(network: &M) -> BTreeMap<String, Vec<f32>> {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("network");
    network.save_safetensors(&path).unwrap();
    let bytes = std::fs::read(path).unwrap();
    let file = SafeTensors::deserialize(&bytes).unwrap();
    let tensors = file.tensors().into_iter();
    tensors
        .map(|(name, view)| (name, numbers(view.data())))
        .collect()
}

/// Fails unless all differences are within a thousandth of the largest number.
#[track_caller]
fn assert_same(what: &str, gpu: &[f32], cpu: &[f32]) {
    assert_eq!(gpu.len(), cpu.len(), "{what}");
    let largest = cpu.iter().fold(0f32, |largest, v| largest.max(v.abs()));
    for (i, (gpu, cpu)) in gpu.iter().zip(cpu).enumerate() {
        assert!(
            (gpu - cpu).abs() <= 1e-3 * largest + 1e-6,
            "{what}[{i}]: {gpu} on the GPU, {cpu} on the CPU; the largest is {largest}"
        );
    }
}

/// One pass forward and back, and a step of SGD with the rate 1: by as much as its gradient is, each parameter moves.
macro_rules! step {
    ($network:expr, $x:expr, $device:expr) => {{
        let x = $x;
        let y = $network.forward_mut(x.leaky_trace());
        let values = y.as_vec();
        // Any direction will do, but the same on both devices.
        let direction = Cpu::seed_from_u64(4).sample_normal_like(y.shape());
        let loss = (y * direction.to_device($device)).sum::<Rank0, _>();
        let gradients = loss.backward();
        let rate = SgdConfig {
            lr: 1.0,
            ..Default::default()
        };
        let mut sgd = Sgd::new(&$network, rate);
        sgd.update(&mut $network, &gradients).unwrap();
        (values, gradients.get(&x).as_vec())
    }};
}

/// Results, gradients of images and parameters, and running statistics are the same on both devices.
macro_rules! same_on_both {
    ($module:ty, $channels:literal, $size:literal) => {{
        let (cpu, gpu, name) = (Cpu::seed_from_u64(3), gpu(), stringify!($module));
        let mut here = cpu.build_module::<$module, f32>();
        let before = tensors(&here);
        let mut there = here.to_device(&gpu);
        let x = cpu.sample_normal_like(&(4, Const::<$channels>, $size, $size));
        let (y_gpu, d_x_gpu) = step!(there, x.to_device(&gpu), &gpu);
        let (y, d_x) = step!(here, x, &cpu);
        assert_same(name, &y_gpu, &y);
        assert_same(&format!("{name}, gradient of the images"), &d_x_gpu, &d_x);
        let (after, after_gpu) = (tensors(&here), tensors(&there.to_device(&cpu)));
        assert_eq!(after_gpu.len(), before.len());
        for (tensor, before) in before {
            let moved = |after: &[f32]| -> Vec<f32> {
                after
                    .iter()
                    .zip(&before)
                    .map(|(after, before)| after - before)
                    .collect()
            };
            let (on_gpu, on_cpu) = (moved(&after_gpu[&tensor]), moved(&after[&tensor]));
            assert_same(&format!("{name}, {tensor}"), &on_gpu, &on_cpu);
        }
    }};
}

#[test]
fn layers_are_the_same_on_both() {
    same_on_both!(Conv2D<3, 8, 3>, 3, 12);
    same_on_both!(Conv2D<3, 8, 5, 2, 2>, 3, 12);
    same_on_both!(BiasedConv2D<3, 8, 7, 3, 2, 2>, 3, 15);
    same_on_both!(DepthwiseConv2D<6, 3, 1, 1>, 6, 12);
    same_on_both!(RectangularConv2D<2, 4, 1, 5>, 2, 12);
    same_on_both!((Conv2D<3, 8, 3>, MaxPool2D<3, 2, 1>), 3, 12);
    same_on_both!((Conv2D<3, 8, 3>, AvgPool2D<2, 2>), 3, 12);
    same_on_both!(BatchNorm2D<5>, 5, 9);
    same_on_both!(LayerNorm2D<5>, 5, 9);
    same_on_both!((Conv2D<3, 8, 3>, GELU), 3, 9);
    same_on_both!((Conv2D<3, 8, 3>, SiLU), 3, 9);
    same_on_both!((Conv2D<3, 8, 3>, ReLU6), 3, 9);
}

network! {
    /// What a reader may write, and what no network of the crate has in one place.
    pub struct Written {
        conv: BiasedConv2D<3, 8, 3, 1, 1>, norm: BatchNorm2D<8>, gate: BiasedConv2D<8, 8, 1>,
        pool: MaxPool2D<2, 2>, shortcut: Conv2D<3, 8, 1, 2>, fc: Linear<8, 4>,
    }
    forward(x: Images<3>) -> Vectors<4> {
        let y = silu(norm(conv(x.clone())));
        let y = scale_channels(y.clone(), sigmoid(gate(squeeze(y))));
        fc(mean(pool(y) + shortcut(x)))
    }
}

#[test]
fn blocks_are_the_same_on_both() {
    same_on_both!(Written, 3, 8);
    same_on_both!(BasicBlock<8, 16, 2>, 8, 10);
    same_on_both!(Bottleneck<32, 8, 1>, 32, 6);
    same_on_both!(InceptionModule<8, 4, 4, 8, 2, 4, 4, 20>, 8, 7);
    same_on_both!(MBConv<8, 48, 2, 8, 3, 1>, 8, 8);
    same_on_both!(ConvNeXtBlock<8, 32>, 8, 9);
}

#[test]
fn networks_are_the_same_on_both() {
    same_on_both!(ResNet20<1, 10>, 1, 28);
    same_on_both!(SmallGoogLeNet<1, 10>, 1, 28);
}

/// Results alone: a gradient that changes its sign at a ReLU between two devices would be no mistake of either.
#[test]
fn resnet18_gives_the_same_logits_on_both_for_a_batch_in_several_chunks() {
    let (cpu, gpu) = (Cpu::seed_from_u64(3), gpu());
    let here = cpu.build_module::<ResNet18<1, 10>, f32>();
    let there = here.to_device(&gpu);
    let x = cpu.sample_normal_like(&(24, Const::<1>, 224, 224));
    let y = there.forward(x.to_device(&gpu));
    assert_same("ResNet-18", &y.as_vec(), &here.forward(x).as_vec());
}

fn config() -> TrainConfig {
    TrainConfig {
        epochs: 3,
        batch_size: 64,
        subset: Some(512),
        progress: false,
        ..Default::default()
    }
}

/// The sums of a GPU come in any order, and training amplifies the difference.
#[track_caller]
fn assert_about_the_same(gpu: &History, cpu: &History) {
    assert_eq!(gpu.epochs.len(), cpu.epochs.len());
    for (gpu, cpu) in gpu.epochs.iter().zip(&cpu.epochs) {
        let difference = (gpu.train_loss - cpu.train_loss).abs();
        assert!(difference < 0.1 * cpu.train_loss, "{gpu:?} {cpu:?}");
    }
}

#[test]
fn training_goes_the_same_way_stopped_or_not() {
    let folder = TempDir::new().unwrap();
    let split = mnist_sample().unwrap();
    let network = Cpu::seed_from_u64(0).build_module::<ResNet20<1, 10>, f32>();
    let on_gpu = |config: &TrainConfig| train(network.to_device(&gpu()), &split, config).unwrap();
    let on_cpu = train(network.clone(), &split, &config()).unwrap().history;
    assert_about_the_same(&on_gpu(&config()).history, &on_cpu);
    let checkpoint = Some(folder.path().join("checkpoint"));
    on_gpu(&TrainConfig {
        epochs: 1,
        checkpoint: checkpoint.clone(),
        ..config()
    });
    let resumed = on_gpu(&TrainConfig {
        checkpoint,
        ..config()
    });
    assert_about_the_same(&resumed.history, &on_cpu);
}

#[test]
fn train_resnet18_takes_the_gpu_and_returns_the_network_on_the_cpu() {
    gpu();
    let trained = train_resnet18(&config()).unwrap();
    let test = evaluate(&trained.model, &fashion_mnist_sample().unwrap().test, 28).unwrap();
    let last = trained.history.epochs.last().unwrap();
    assert!((test.loss - last.test_loss).abs() < 1e-2 * test.loss);
}

#[test]
fn full_memory_is_an_error_with_a_way_out() {
    let terabyte = gpu()
        .try_zeros_like(&(1 << 38,))
        .map(|_: Tensor<(usize,), f32, Cuda>| ());
    let error = DeviceError::from(terabyte.unwrap_err());
    assert!(matches!(error, DeviceError::OutOfMemory { .. }), "{error}");
    assert!(error.to_string().contains("smaller batch"), "{error}");
}

/// As `nvidia-smi` sees it, which counts what CUDA takes for itself.
#[test]
#[ignore = "measures the whole GPU: alone, with `-- --ignored --nocapture`"]
fn the_books_batch_fits_on_a_small_gpu() {
    let gpu = gpu();
    let query = [
        "--query-gpu=memory.used",
        "--format=csv,noheader,nounits",
        "-lms",
        "20",
    ];
    let mut watch = Command::new("nvidia-smi");
    let mut watch = watch.args(query).stdout(Stdio::piped()).spawn().unwrap();
    let network = gpu.build_module::<ResNet18<1, 10>, f32>();
    let config = TrainConfig {
        epochs: 1,
        image_size: 224,
        subset: Some(8 * 128),
        ..Default::default()
    };
    train(network, &fashion_mnist_sample().unwrap(), &config).unwrap();
    watch.kill().unwrap();
    let seen = watch.wait_with_output().unwrap().stdout;
    let seen = String::from_utf8(seen).unwrap();
    let most = seen
        .lines()
        .filter_map(|line| line.trim().parse::<usize>().ok())
        .max();
    let most = most.expect("nvidia-smi says how much memory is used");
    println!("ResNet-18, 128 images of 224x224 pixels: {most} MiB");
    assert!((2_000..6_000).contains(&most), "{most} MiB");
}
