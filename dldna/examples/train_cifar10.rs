//! Trains a residual network on CIFAR-10 in colour and prints the history.
//!
//! `cargo run --release -p dldna --example train_cifar10 -- 10 0`: 10 epochs, seed 0. The data set (163 MB) is downloaded once. The
//! state after each epoch is kept in `cifar10.checkpoint`: the same command goes on from it.
//!
//! The recipe: stochastic gradient descent with Nesterov's momentum, a one-cycle schedule up to a rate of 0.1, decoupled weight
//! decay that leaves norms and biases alone, images mirrored and shifted by up to four pixels, smoothed labels.
use dldna::data::{Split, cifar10};
use dldna::prelude::*;
use dldna::resnet::SmallWideResNet;
use dldna::train::{Augmentation, History, Schedule, TrainConfig, TrainError, UpdateRule, train};

fn main() -> Result<(), TrainError> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let number = |place: usize, default: u64| {
        let text = arguments.get(place);
        text.map_or(default, |text| text.parse().expect("a whole number"))
    };
    let data = cifar10()?;
    let config = TrainConfig {
        checkpoint: Some("cifar10.checkpoint".into()),
        ..recipe(&data, number(0, 10) as usize, number(1, 0))
    };
    println!("{}", train_network(&data, &config)?);
    Ok(())
}

/// The recipe, for images of the size of CIFAR-10's.
pub fn recipe(data: &Split<3>, epochs: usize, seed: u64) -> TrainConfig {
    TrainConfig {
        epochs,
        seed,
        image_size: data.train.height(),
        optimizer: UpdateRule::Sgd {
            momentum: 0.9,
            nesterov: true,
        },
        learning_rate: 0.1,
        schedule: Schedule::OneCycle,
        weight_decay: 5e-3,
        normalisation: Normalisation::of(&data.train),
        augmentations: vec![Augmentation::Shift(4), Augmentation::Mirror],
        label_smoothing: 0.1,
        ..Default::default()
    }
}

/// Loss and accuracy of each epoch.
pub fn train_network(data: &Split<3>, config: &TrainConfig) -> Result<History, TrainError> {
    let network = Cpu::seed_from_u64(config.seed).build_module::<SmallWideResNet<3, 10>, f32>();
    Ok(train(network, data, config)?.history)
}
