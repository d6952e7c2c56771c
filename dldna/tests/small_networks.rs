//! The small networks of the chapter learn.

use dldna::convnext::{SmallConvNeXt, SmallResNet, train_small_networks};
use dldna::data::fashion_mnist_sample;
use dldna::inception::train_small_google_net;
use dldna::prelude::*;
use dldna::train::{TrainConfig, evaluate};

#[test]
fn the_small_networks_cost_the_same_and_learn() {
    let dev = Cpu::seed_from_u64(0);
    let convnext = dev.build_module::<SmallConvNeXt, f32>();
    let resnet = dev.build_module::<SmallResNet, f32>();
    let shape = [1, 1, 28, 28];
    let costs = [
        Summary::of(&convnext, &shape).unwrap().multiply_adds() as f64,
        Summary::of(&resnet, &shape).unwrap().multiply_adds() as f64,
    ];
    assert!((costs[0] / costs[1] - 1.0).abs() < 0.01, "{costs:?}");

    let images = fashion_mnist_sample().unwrap();
    let config = TrainConfig {
        epochs: 2,
        subset: Some(256),
        batch_size: 32,
        learning_rate: 4e-3,
        progress: false,
        ..Default::default()
    };
    let histories = train_small_networks(&images, &config).unwrap();
    for history in histories {
        let losses: Vec<f32> = history.epochs.iter().map(|e| e.train_loss).collect();
        assert!(
            losses[1] < losses[0] && losses[1] < 10f32.ln(),
            "{losses:?}"
        );
    }
}

#[test]
fn the_small_googlenet_learns_with_all_that_v3_adds() {
    let sample = fashion_mnist_sample().unwrap();
    let config = TrainConfig {
        epochs: 3,
        batch_size: 32,
        subset: Some(400),
        label_smoothing: 0.1,
        progress: false,
        ..Default::default()
    };
    let trained = train_small_google_net(true, &sample, &config).unwrap();
    let test = evaluate(&trained.model, &sample.test, 28).unwrap();
    assert!(test.accuracy() > 0.5, "{}", trained.history);
}
