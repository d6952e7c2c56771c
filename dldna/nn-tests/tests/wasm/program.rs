//! Ten steps of training and a forward pass, as a module for WebAssembly: `tests/wasm.rs` runs it in Node.

use ::safetensors::SafeTensors;
use dldna_nn::{
    prelude::*,
    train::{Adam, smoothed_targets},
};

network! {
    struct Tiny {
        conv1: BiasedConv2D<1, 8, 3, 1, 1>,
        bn1: BatchNorm2D<8>,
        pool: MaxPool2D<2, 2>,
        conv2: BiasedConv2D<8, 16, 3, 2, 1>,
        bn2: BatchNorm2D<16>,
        fc: Linear<16, 10>,
    }
    forward(x: Images<1>) -> Vectors<10> {
        let x = pool(relu(bn1(conv1(x))));
        fc(mean(relu(bn2(conv2(x)))))
    }
}

/// PyTorch's weights, images and labels: `training.safetensors` of the fixtures.
fn tensor(name: &str) -> Vec<f32> {
    let bytes = include_bytes!("../../../tests/fixtures/training.safetensors");
    let file = SafeTensors::deserialize(bytes).unwrap();
    let (values, _) = file.tensor(name).unwrap().data().as_chunks();
    values.iter().map(|&v| f32::from_le_bytes(v)).collect()
}

/// The losses of ten steps of Adam, the weights of the last layer after them, and the logits of the first batch then.
pub fn losses_weights_logits() -> [Vec<f32>; 3] {
    const BATCH: usize = 16;
    const SIDE: usize = 16;
    let dev = Cpu::seed_from_u64(0);
    let mut network = dev.build_module::<Tiny, f32>();
    let state = |name: &str| tensor(&format!("state/{name}"));
    network.conv1.weight.copy_from(&state("conv1.weight"));
    network.conv1.bias.copy_from(&state("conv1.bias"));
    network.bn1.scale.copy_from(&state("bn1.weight"));
    network.bn1.bias.copy_from(&state("bn1.bias"));
    network.conv2.weight.copy_from(&state("conv2.weight"));
    network.conv2.bias.copy_from(&state("conv2.bias"));
    network.bn2.scale.copy_from(&state("bn2.weight"));
    network.bn2.bias.copy_from(&state("bn2.bias"));
    network.fc.weight.copy_from(&state("fc.weight"));
    network.fc.bias.copy_from(&state("fc.bias"));

    let (x, labels) = (tensor("x"), tensor("labels"));
    let images = |step: usize| {
        let pixels = BATCH * SIDE * SIDE;
        let images = x[step * pixels..][..pixels].to_vec();
        dev.tensor_from_vec(images, (BATCH, Const::<1>, SIDE, SIDE))
    };
    let mut adam = Adam::new(1e-3);
    let mut losses = Vec::new();
    for (step, labels) in labels.chunks_exact(BATCH).enumerate() {
        let labels: Vec<usize> = labels.iter().map(|&label| label as usize).collect();
        let logits = network.forward_mut(images(step).traced(network.alloc_grads()));
        let loss = cross_entropy_with_logits_loss(logits, smoothed_targets(&labels, 0.0).unwrap());
        losses.push(loss.array());
        let mut gradients = loss.backward();
        adam.update(&mut network, &mut gradients).unwrap();
    }
    let logits = network.forward(images(0));
    [losses, network.fc.weight.as_vec(), logits.as_vec()]
}

/// What [`losses_weights_logits`] gives, one value after the other. Numbers are all that crosses the border of a module.
#[allow(unsafe_code, reason = "no other item of the module has this name")]
#[unsafe(no_mangle)]
pub extern "C" fn value(index: usize) -> f32 {
    thread_local! {
        static VALUES: Vec<f32> = losses_weights_logits().concat();
    }
    VALUES.with(|values| values.get(index).copied().unwrap_or(f32::NAN))
}
