//! The teaching networks: shapes, counts, gradients, and the effect of pooling.

use dfdx::{optim::Sgd, prelude::*};
use dldna::{
    cnn::{HierarchicalCnn, ShiftError, SimpleCnn, shift_response},
    summary::{Summary, count_parameters},
};

#[test]
fn simple_cnn_gives_64_channels_of_the_same_size() {
    let cnn = SimpleCnn::new(7);
    let images = Cpu::seed_from_u64(1).sample_normal_like(&(2, Const::<1>, 9, 12));
    let maps = cnn.feature_maps(&images).unwrap();
    let shapes: Vec<(&str, [usize; 4])> = maps
        .maps
        .iter()
        .map(|map| (&*map.layer, map.shape()))
        .collect();
    assert_eq!(
        shapes,
        [
            ("input", [2, 1, 9, 12]),
            ("conv1", [2, 32, 9, 12]),
            ("relu1", [2, 32, 9, 12]),
            ("conv2", [2, 64, 9, 12]),
            ("relu2", [2, 64, 9, 12]),
        ]
    );
    assert_eq!(
        maps.get("relu2").unwrap().values.as_vec(),
        cnn.forward(images).as_vec()
    );
    assert!(maps.get("conv3").is_none());

    let summary = Summary::of(&cnn, &[2, 1, 9, 12]).unwrap();
    assert_eq!(summary.output_shape(), [2, 64, 9, 12]);
    assert_eq!(summary.parameters(), 320 + 18_496);
    assert_eq!(count_parameters(&cnn), summary.parameters());
}

#[test]
fn hierarchical_cnn_gives_256_channels_of_the_same_size() {
    let cnn = HierarchicalCnn::new(7);
    let images = Cpu::seed_from_u64(1).sample_normal_like(&(2, Const::<3>, 5, 4));
    let maps = cnn.feature_maps(&images).unwrap();
    let channels: Vec<usize> = maps.maps.iter().map(|map| map.shape()[1]).collect();
    assert_eq!(channels, [3, 64, 64, 64, 128, 128, 128, 256, 256, 256]);
    // One layer after the other rounds otherwise than the convolution, norm and ReLU in one.
    let last = maps.get("relu3").unwrap().values.as_vec();
    for (one, other) in last.iter().zip(cnn.forward(images).as_vec()) {
        assert!((one - other).abs() < 1e-5);
    }

    let summary = Summary::of(&cnn, &[2, 3, 5, 4]).unwrap();
    // Convolutions 1,792 + 73,856 + 295,168, and two numbers for each channel of a batch norm.
    assert_eq!(
        summary.parameters(),
        1_792 + 73_856 + 295_168 + 2 * (64 + 128 + 256)
    );
    assert_eq!(count_parameters(&cnn), summary.parameters());
}

#[test]
fn seeds_repeat() {
    let weights = |seed| SimpleCnn::new(seed).conv1.weight.as_vec();
    assert_eq!(weights(1), weights(1));
    assert_ne!(weights(1), weights(2));
}

#[test]
fn both_networks_train() {
    let dev = Cpu::seed_from_u64(3);
    let config = SgdConfig {
        lr: 0.01,
        ..Default::default()
    };

    let mut cnn = SimpleCnn::new(7);
    let mut sgd = Sgd::new(&cnn, config);
    let images: Tensor<(usize, Const<1>, usize, usize), f32, _> =
        dev.sample_normal_like(&(2, Const, 6, 6));
    let mut losses = Vec::new();
    for _ in 0..3 {
        let loss = cnn.forward(images.leaky_trace()).square().mean();
        losses.push(loss.array());
        sgd.update(&mut cnn, &loss.backward()).unwrap();
    }
    assert!(losses.is_sorted_by(|a, b| a > b), "{losses:?}");

    let mut cnn = HierarchicalCnn::new(7);
    let mut sgd = Sgd::new(&cnn, config);
    let images: Tensor<(usize, Const<3>, usize, usize), f32, _> =
        dev.sample_normal_like(&(2, Const, 4, 4));
    let mut losses = Vec::new();
    for _ in 0..3 {
        let loss = cnn.forward_mut(images.leaky_trace()).square().mean();
        losses.push(loss.array());
        sgd.update(&mut cnn, &loss.backward()).unwrap();
    }
    assert!(losses.is_sorted_by(|a, b| a > b), "{losses:?}");
    assert!(
        cnn.bn1
            .running_mean
            .as_vec()
            .iter()
            .any(|&mean| mean != 0.0)
    );
}

#[test]
fn feature_maps_show_channels_and_zeros() {
    let images = Cpu::default().tensor([[[[1.0, 0.0], [3.0, 4.0]]], [[[5.0, 6.0], [7.0, 8.0]]]]);
    let maps = SimpleCnn::new(7).feature_maps(&images).unwrap();
    let input = &maps.maps[0];
    assert_eq!(
        input.channel(1, 0).unwrap(),
        ndarray::arr2(&[[5.0, 6.0], [7.0, 8.0]])
    );
    assert!(input.channel(2, 0).is_none() && input.channel(0, 1).is_none());
    assert_eq!(input.zero_share(), 1.0 / 8.0);
    let text = maps.to_string();
    assert!(
        text.starts_with("Layer  Output shape   Zeros\ninput  [2, 1, 2, 2]   12.5%\n"),
        "{text}"
    );
}

/// A bright square on black, away from the borders.
fn square() -> Tensor<(usize, Const<1>, usize, usize), f32, Cpu> {
    let inside = |position: usize| (6..14).contains(&position);
    let pixels = (0..24 * 24).map(|pixel| {
        if inside(pixel / 24) && inside(pixel % 24) {
            1.0
        } else {
            0.0
        }
    });
    Cpu::default().tensor_from_vec(pixels.collect(), (1, Const, 24, 24))
}

#[test]
fn pooling_changes_less_when_the_image_moves() {
    let table = shift_response(&square(), 4, 7).unwrap();
    assert_eq!(table.rows.len(), 5);
    let still = table.rows[0];
    assert_eq!(
        [
            still.image,
            still.convolution,
            still.pool2,
            still.pool4,
            still.global
        ],
        [0.0; 5]
    );
    // One column of 8 pixels is lost and one is won, of 64: sqrt(16 / 64).
    assert!((table.rows[1].image - 0.5).abs() < 1e-6);
    for row in &table.rows[1..] {
        assert!(row.convolution > 0.0);
        assert!(row.global < 1e-6, "nothing leaves the image: {row:?}");
    }
    let one = table.rows[1];
    assert!(
        one.pool2 < one.convolution && one.pool4 < one.convolution,
        "{one:?}"
    );
    assert_eq!(table, shift_response(&square(), 4, 7).unwrap());
}

#[test]
fn a_shift_out_of_the_image_leaves_black() {
    let table = shift_response(&square(), 24, 7).unwrap();
    assert!((table.rows[24].image - 1.0).abs() < 1e-6);
}

#[test]
fn an_empty_batch_gives_empty_maps() {
    let maps = SimpleCnn::new(7).feature_maps(&Cpu::default().zeros_like(&(0, Const::<1>, 4, 4)));
    let maps = maps.unwrap();
    assert_eq!(maps.get("relu2").unwrap().shape(), [0, 64, 4, 4]);
    assert_eq!(maps.maps[0].zero_share(), 0.0);
    assert!(maps.maps[0].channel(0, 0).is_none());
}

#[test]
fn small_images_are_refused() {
    let images = Cpu::default().zeros_like(&(1, Const::<1>, 3, 8));
    let error = shift_response(&images, 1, 7).unwrap_err();
    assert_eq!(
        error,
        ShiftError::ImageTooSmall {
            height: 3,
            width: 8
        }
    );
}
