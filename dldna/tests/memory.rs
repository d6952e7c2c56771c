//! What a step of training takes on a GPU, measured where it can be: on the CPU, with the operations that a GPU uses.
//!
//! `cargo test -p dldna --test memory -- --ignored --nocapture` takes minutes.

use dldna::nn::composed;
use dldna::prelude::*;
use dldna::resnet::ResNet18;

/// The most memory that this process has had, in MB.
fn peak() -> usize {
    let status = std::fs::read_to_string("/proc/self/status").expect("a Linux system");
    let line = status.lines().find(|line| line.starts_with("VmHWM"));
    let kilobytes = line.and_then(|line| line.split_whitespace().nth(1));
    kilobytes.unwrap().parse::<usize>().unwrap() / 1024
}

#[test]
#[ignore = "takes minutes and 2 GB"]
fn a_step_of_resnet18_keeps_two_results_for_each_layer_and_their_gradients() {
    let dev = Cpu::seed_from_u64(0);
    let mut network = dev.build_module::<ResNet18<1, 10>, f32>();
    let mut step = |images: usize| {
        let x = dev.sample_normal_like(&(images, Const::<1>, 224, 224));
        let gradients = network.alloc_grads();
        composed::instead_of_kernels(|| {
            let logits = network.forward_mut(x.traced(gradients));
            logits.square().mean::<Rank0, _>().backward();
        });
        println!("batch {images}: {} MB at most", peak());
        peak()
    };
    step(2);
    // From here on a chunk is smaller than the batch where it counts, and more images only mean more results.
    let (some, more) = (step(24), step(36));
    let each = (more - some) / 12;
    println!("{each} MB for each image more");
    // 2.48 million numbers come out of the convolutions, and as many out of the batch norms, shortcuts and ReLUs: 19.9 MB.
    // In the backward pass their gradients take their place, at worst before they are gone.
    assert!((20..40).contains(&each), "{each}");
}
