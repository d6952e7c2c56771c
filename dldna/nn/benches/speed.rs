//! Training and inference of ResNet-18, EfficientNet's block, and single convolutions: milliseconds, images per second, peak memory.
//!
//! `cargo bench -p dldna-nn` measures all cases, `cargo bench -p dldna-nn -- conv` those with `conv` in their name, each in a
//! process of its own. `torch_reference.py` beside this file measures the same in PyTorch; `cargo run -p ci -- bench --torch PYTHON` runs both in turn.

use dfdx::data::OneHotEncode;
use dldna_nn::efficientnet::MBConv;
use dldna_nn::kernels::{
    conv2d::Conv2d, depthwise::Depthwise, epilogue::Epilogue, pool2d::Pool2d, window::Window,
};
use dldna_nn::prelude::*;
use dldna_nn::resnet::ResNet18;
use dldna_nn::train::Adam;
use std::hint::black_box;
use std::process::Command;
use std::time::Instant;

/// `(name, images per run, how to measure one run)`.
struct Case {
    name: String,
    images: usize,
    measure: Box<dyn Fn(usize) -> f64>,
}

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let repeats =
        std::env::var("BENCH_REPEATS").map_or(7, |n| n.parse().expect("BENCH_REPEATS is a number"));
    if let Some(name) = arguments.iter().find_map(|a| a.strip_prefix("--case=")) {
        let case = cases()
            .into_iter()
            .find(|case| case.name == name)
            .expect("a case of that name");
        return print(&case.name, (case.measure)(repeats), case.images);
    }
    if arguments.iter().any(|a| a == "--list") {
        return cases().iter().for_each(|case| println!("{}", case.name));
    }
    let filter = arguments.iter().find(|a| !a.starts_with("--"));
    for case in cases() {
        if filter.is_none_or(|filter| case.name.contains(filter.as_str())) {
            let program = std::env::current_exe().expect("the path of this program");
            let argument = format!("--case={}", case.name);
            let status = Command::new(program)
                .arg(argument)
                .status()
                .expect("it starts again");
            assert!(status.success(), "{} failed", case.name);
        }
    }
}

/// The same line as `torch_reference.py`.
fn print(name: &str, seconds: f64, images: usize) {
    println!(
        "{name:34} {:9.2} ms {:9.1} img/s {:8.0} MiB",
        seconds * 1e3,
        images as f64 / seconds,
        peak_mebibytes()
    );
}

/// The most memory that this process has held; 0 where the system does not say.
fn peak_mebibytes() -> f64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    peak.and_then(|text| text.trim().strip_suffix(" kB")?.parse().ok())
        .unwrap_or(0.0)
        / 1024.0
}

/// Median seconds of `repeats` runs after two that warm up.
fn median(repeats: usize, mut run: impl FnMut()) -> f64 {
    run();
    run();
    let mut seconds: Vec<f64> = (0..repeats)
        .map(|_| {
            let start = Instant::now();
            run();
            start.elapsed().as_secs_f64()
        })
        .collect();
    seconds.sort_by(f64::total_cmp);
    seconds[repeats / 2]
}

fn cases() -> Vec<Case> {
    let mut cases = Vec::new();
    for (images, size) in [(32, 28), (128, 28), (8, 224)] {
        cases.push(Case {
            name: format!("resnet18/train/b{images}/{size}"),
            images,
            measure: Box::new(move |repeats| train(images, size, repeats)),
        });
        cases.push(Case {
            name: format!("resnet18/infer/b{images}/{size}"),
            images,
            measure: Box::new(move |repeats| infer(images, size, repeats)),
        });
    }
    for (images, channels, size, kernel) in [
        (64, 16, 14, 5),
        (64, 32, 14, 5),
        (8, 8, 56, 3),
        (8, 16, 56, 3),
        (8, 64, 56, 3),
        (8, 128, 28, 3),
        (8, 256, 14, 3),
        (8, 512, 7, 3),
        (128, 512, 1, 3),
        (8, 256, 56, 1),
    ] {
        for (pass, backward) in [("fwd", false), ("fwd+bwd", true)] {
            cases.push(Case {
                name: format!("conv/{pass}/b{images}/c{channels}/{size}/k{kernel}"),
                images,
                measure: Box::new(move |repeats| {
                    convolve(images, channels, size, kernel, backward, repeats)
                }),
            });
        }
    }
    cases.push(Case {
        name: "mbconv/train/b64/c24/32".to_owned(),
        images: 64,
        measure: Box::new(train_mbconv),
    });
    for (images, channels, size, kernel) in [(8, 96, 56, 3), (64, 144, 32, 3), (64, 144, 32, 5)] {
        for (pass, backward) in [("fwd", false), ("fwd+bwd", true)] {
            cases.push(Case {
                name: format!("depthwise/{pass}/b{images}/c{channels}/{size}/k{kernel}"),
                images,
                measure: Box::new(move |repeats| {
                    convolve_channels(images, channels, size, kernel, backward, repeats)
                }),
            });
        }
    }
    for (pass, backward) in [("fwd", false), ("fwd+bwd", true)] {
        cases.push(Case {
            name: format!("maxpool/{pass}/b8/c64/112/k3"),
            images: 8,
            measure: Box::new(move |repeats| max_pool(8 * 64, 112, backward, repeats)),
        });
    }
    cases
}

/// One step of training: forward, loss, backward, Adam.
fn train(batch: usize, size: usize, repeats: usize) -> f64 {
    let dev = Cpu::seed_from_u64(0);
    let mut network = dev.build_module::<ResNet18<1, 10>, f32>();
    let images = dev.sample_normal_like(&(batch, Const::<1>, size, size));
    let targets = dev.one_hot_encode(
        Const::<10>,
        (0..batch).map(|image| image * 7 % 10).collect::<Vec<_>>(),
    );
    let mut adam = Adam::new(1e-3);
    let mut gradients = network.alloc_grads();
    median(repeats, || {
        let held = std::mem::replace(&mut gradients, Gradients::leaky());
        let logits = network.forward_mut(images.trace(held));
        let loss = cross_entropy_with_logits_loss(logits, targets.clone());
        gradients = loss.backward();
        adam.update(&mut network, &mut gradients)
            .expect("memory for the moments");
    })
}

fn infer(batch: usize, size: usize, repeats: usize) -> f64 {
    let dev = Cpu::seed_from_u64(0);
    let network = dev.build_module::<ResNet18<1, 10>, f32>();
    let images = dev.sample_normal_like(&(batch, Const::<1>, size, size));
    median(repeats, || {
        black_box(network.forward(images.clone()));
    })
}

/// Forward and backward through EfficientNet's block: 24 to 24 channels by way of 144, 32x32 pixels.
fn train_mbconv(repeats: usize) -> f64 {
    let dev = Cpu::seed_from_u64(0);
    let mut block = dev.build_module::<MBConv<24, 144, 6, 24, 3, 1>, f32>();
    let images = dev.sample_normal_like(&(64, Const::<24>, 32, 32));
    let mut gradients = block.alloc_grads();
    median(repeats, || {
        block.zero_grads(&mut gradients);
        let held = std::mem::replace(&mut gradients, Gradients::leaky());
        let y = block.forward_mut(images.trace(held));
        let means = AvgPoolGlobal.forward(y);
        gradients = means.square().mean::<Rank0, _>().backward();
    })
}

/// One convolution that keeps channels and size, as a kernel.
fn convolve(
    images: usize,
    channels: usize,
    size: usize,
    kernel: usize,
    backward: bool,
    repeats: usize,
) -> f64 {
    let window = Window::square(kernel, 1, kernel / 2, 1);
    let conv = Conv2d::new(channels, channels, window, (size, size)).expect("it fits");
    let input = noise(images * channels * size * size);
    let weight = noise(channels * channels * kernel * kernel);
    let bias = noise(channels);
    let mut output = vec![0.0; input.len()];
    let (mut d_input, mut d_weight) = (vec![0.0; input.len()], vec![0.0; weight.len()]);
    median(repeats, || {
        conv.forward(&input, &weight, &Epilogue::bias(&bias), &mut output);
        if backward {
            conv.backward_weight(&input, &output, &mut d_weight);
            conv.backward_input(&weight, &output, &mut d_input);
        }
        black_box((&output, &d_input, &d_weight));
    })
}

/// The same for one that keeps the channels apart.
fn convolve_channels(
    images: usize,
    channels: usize,
    size: usize,
    kernel: usize,
    backward: bool,
    repeats: usize,
) -> f64 {
    let window = Window::square(kernel, 1, kernel / 2, 1);
    let conv = Depthwise::new(channels, window, (size, size)).expect("it fits");
    let input = noise(images * channels * size * size);
    let weight = noise(channels * kernel * kernel);
    let mut output = vec![0.0; input.len()];
    let (mut d_input, mut d_weight) = (vec![0.0; input.len()], vec![0.0; weight.len()]);
    median(repeats, || {
        conv.forward(&input, &weight, &Epilogue::default(), &mut output);
        if backward {
            conv.backward_weight(&input, &output, &mut d_weight);
            conv.backward_input(&weight, &output, &mut d_input);
        }
        black_box((&output, &d_input, &d_weight));
    })
}

/// Max pooling of planes by a stem's window, as a kernel.
fn max_pool(planes: usize, size: usize, backward: bool, repeats: usize) -> f64 {
    let pool = Pool2d::new(Window::square(3, 2, 1, 1), (size, size)).expect("it fits");
    let input = noise(planes * size * size);
    let (height, width) = pool.output_size();
    let mut output = vec![0.0; planes * height * width];
    let mut d_input = vec![0.0; input.len()];
    median(repeats, || {
        if backward {
            let winners = pool.max(&input, &mut output);
            pool.max_backward(&winners, &output, &mut d_input);
        } else {
            pool.max_alone(&input, &mut output);
        }
        black_box((&output, &d_input));
    })
}

/// Numbers between -0.5 and 0.5 that look random.
fn noise(count: usize) -> Vec<f32> {
    let mut state = 1u32;
    (0..count)
        .map(|_| {
            state = state.wrapping_mul(1664525).wrapping_add(1013904223);
            (state >> 8) as f32 / (1 << 24) as f32 - 0.5
        })
        .collect()
}
