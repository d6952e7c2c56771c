//! The layers as dfdx modules: PyTorch's numbers, the tape, optimizers, files, and composition.

use dfdx::optim::{Adam, AdamConfig, Optimizer, Sgd};
use dldna_nn::nn::{LayerError, last_error};
use dldna_nn::prelude::*;
use dldna_nn_tests::{Fixture, assert_close};

type Image<const C: usize> = Tensor<(usize, Const<C>, usize, usize), f32, Cpu>;

/// A batch of images from a fixture.
fn images<const C: usize>(dev: &Cpu, fixture: &Fixture, name: &str) -> Image<C> {
    let shape = fixture.shape(name);
    assert_eq!(shape[1], C);
    dev.tensor_from_vec(fixture.tensor(name), (shape[0], Const, shape[2], shape[3]))
}

/// Runs one case of `conv2d` through a layer: the result and all gradients.
macro_rules! check_conv {
    ($case:literal, BiasedConv2D<$in:literal $(, $rest:literal)*>) => {{
        let (dev, fixture) = (Cpu::seed_from_u64(0), Fixture::open("conv2d"));
        let name = |field: &str| format!("{}/{field}", $case);
        let mut layer = dev.build_module::<BiasedConv2D<$in $(, $rest)*>, f32>();
        layer.weight.copy_from(&fixture.tensor(&name("w")));
        layer.bias.copy_from(&fixture.tensor(&name("b")));
        let x = images::<$in>(&dev, &fixture, &name("x"));
        let y = layer.forward_mut(x.leaky_trace());
        assert_close(&name("y"), &y.as_vec(), &fixture.tensor(&name("y")));
        let d_y = dev.tensor_from_vec(fixture.tensor(&name("gy")), *y.shape());
        let gradients = (y * d_y).sum().backward();
        assert_close(&name("gx"), &gradients.get(&x).as_vec(), &fixture.tensor(&name("gx")));
        assert_close(&name("gw"), &gradients.get(&layer.weight).as_vec(), &fixture.tensor(&name("gw")));
        assert_close(&name("gb"), &gradients.get(&layer.bias).as_vec(), &fixture.tensor(&name("gb")));
    }};
}

#[test]
fn biased_convolutions_equal_pytorch() {
    check_conv!("c00", BiasedConv2D<3, 4, 3, 1, 1>);
    check_conv!("c01", BiasedConv2D<1, 2, 3>);
    check_conv!("c02", BiasedConv2D<4, 6, 3, 2, 1>);
    check_conv!("c03", BiasedConv2D<5, 3, 1>);
    check_conv!("c04", BiasedConv2D<8, 4, 1, 2>);
    check_conv!("c05", BiasedConv2D<3, 8, 7, 2, 3>);
    check_conv!("c06", BiasedConv2D<2, 3, 5, 1, 2>);
    check_conv!("c07", BiasedConv2D<3, 3, 3, 1, 2, 2>);
    check_conv!("c10", BiasedConv2D<16, 16, 3, 1, 1>);
    check_conv!("c11", BiasedConv2D<16, 32, 3, 2, 1>);
}

/// Depthwise convolution has no bias of its own: dfdx's `Bias2D` follows it.
macro_rules! check_depthwise {
    ($case:literal, DepthwiseConv2D<$c:literal $(, $rest:literal)*>) => {{
        let (dev, fixture) = (Cpu::seed_from_u64(0), Fixture::open("conv2d"));
        let name = |field: &str| format!("{}/{field}", $case);
        let mut layer = dev.build_module::<(DepthwiseConv2D<$c $(, $rest)*>, Bias2D<$c>), f32>();
        layer.0.weight.copy_from(&fixture.tensor(&name("w")));
        layer.1.bias.copy_from(&fixture.tensor(&name("b")));
        let x = images::<$c>(&dev, &fixture, &name("x"));
        let y = layer.forward_mut(x.leaky_trace());
        assert_close(&name("y"), &y.as_vec(), &fixture.tensor(&name("y")));
        let d_y = dev.tensor_from_vec(fixture.tensor(&name("gy")), *y.shape());
        let gradients = (y * d_y).sum().backward();
        assert_close(&name("gx"), &gradients.get(&x).as_vec(), &fixture.tensor(&name("gx")));
        assert_close(&name("gw"), &gradients.get(&layer.0.weight).as_vec(), &fixture.tensor(&name("gw")));
        assert_close(&name("gb"), &gradients.get(&layer.1.bias).as_vec(), &fixture.tensor(&name("gb")));
    }};
}

#[test]
fn depthwise_convolutions_equal_pytorch() {
    check_depthwise!("c08", DepthwiseConv2D<6, 3, 1, 1>);
    check_depthwise!("c09", DepthwiseConv2D<6, 5, 2, 2>);
}

#[test]
fn a_bias_of_its_own_equals_dfdx_bias() {
    let dev = Cpu::seed_from_u64(1);
    let biased = dev.build_module::<BiasedConv2D<2, 3, 3>, f32>();
    let mut composed = dev.build_module::<(Conv2D<2, 3, 3>, Bias2D<3>), f32>();
    composed.0.weight = biased.weight.clone();
    composed.1.bias = biased.bias.clone();
    let x = dev.sample_normal_like(&(2, Const::<2>, 6, 5));
    assert_close(
        "y",
        &biased.forward(x.clone()).as_vec(),
        &composed.forward(x).as_vec(),
    );
}

macro_rules! check_pool {
    ($case:literal, $c:literal, $max:ty, $average:ty) => {{
        let (dev, fixture) = (Cpu::seed_from_u64(0), Fixture::open("pool2d"));
        let name = |field: &str| format!("{}/{field}", $case);
        let x = images::<$c>(&dev, &fixture, &name("x"));
        let y = <$max>::default().forward(x.leaky_trace());
        assert_eq!(y.as_vec(), fixture.tensor(&name("max_y")));
        let d_y = dev.tensor_from_vec(fixture.tensor(&name("max_gy")), *y.shape());
        let d_x = (y * d_y).sum().backward().get(&x);
        assert_close(
            &name("max_gx"),
            &d_x.as_vec(),
            &fixture.tensor(&name("max_gx")),
        );
        let y = <$average>::default().forward(x.leaky_trace());
        assert_close(&name("avg_y"), &y.as_vec(), &fixture.tensor(&name("avg_y")));
        let d_y = dev.tensor_from_vec(fixture.tensor(&name("avg_gy")), *y.shape());
        let d_x = (y * d_y).sum().backward().get(&x);
        assert_close(
            &name("avg_gx"),
            &d_x.as_vec(),
            &fixture.tensor(&name("avg_gx")),
        );
        let y = AvgPoolGlobal.forward(x);
        assert_close(&name("gap_y"), &y.as_vec(), &fixture.tensor(&name("gap_y")));
    }};
}

#[test]
fn pooling_equals_pytorch() {
    check_pool!("p0", 3, MaxPool2D<2, 2>, AvgPool2D<2, 2>);
    check_pool!("p1", 4, MaxPool2D<3, 2, 1>, AvgPool2D<3, 2, 1>);
    check_pool!("p2", 2, MaxPool2D<3, 1, 1>, AvgPool2D<3, 1, 1>);
    check_pool!("p3", 3, MaxPool2D<2, 1>, AvgPool2D<2, 1>);
}

fn check_batch_norm<const C: usize>(case: &str) {
    let (dev, fixture) = (Cpu::seed_from_u64(0), Fixture::open("batchnorm2d"));
    let name = |field: &str| format!("{case}/{field}");
    let mut layer = dev.build_module::<BatchNorm2D<C>, f32>();
    layer.scale.copy_from(&fixture.tensor(&name("weight")));
    layer.bias.copy_from(&fixture.tensor(&name("bias")));
    layer
        .running_mean
        .copy_from(&fixture.tensor(&name("running_mean_before")));
    layer
        .running_var
        .copy_from(&fixture.tensor(&name("running_var_before")));
    let x = images::<C>(&dev, &fixture, &name("x"));
    let y = layer.forward(x.clone());
    assert_close(
        &name("y_eval"),
        &y.as_vec(),
        &fixture.tensor(&name("y_eval")),
    );

    let y = layer.forward_mut(x.leaky_trace());
    assert_close(
        &name("y_train"),
        &y.as_vec(),
        &fixture.tensor(&name("y_train")),
    );
    let d_y = dev.tensor_from_vec(fixture.tensor(&name("gy")), *y.shape());
    let gradients = (y * d_y).sum().backward();
    let checks = [
        ("gx", gradients.get(&x).as_vec()),
        ("gw", gradients.get(&layer.scale).as_vec()),
        ("gb", gradients.get(&layer.bias).as_vec()),
        ("running_mean_after", layer.running_mean.as_vec()),
        ("running_var_after", layer.running_var.as_vec()),
    ];
    for (field, got) in checks {
        assert_close(&name(field), &got, &fixture.tensor(&name(field)));
    }
}

#[test]
fn batch_norm_equals_pytorch() {
    check_batch_norm::<3>("b0");
    check_batch_norm::<16>("b1");
    check_batch_norm::<8>("b2");
}

type Tiny = (
    (
        BiasedConv2D<1, 8, 3, 1, 1>,
        BatchNorm2D<8>,
        ReLU,
        MaxPool2D<2, 2>,
    ),
    (
        BiasedConv2D<8, 16, 3, 2, 1>,
        BatchNorm2D<16>,
        ReLU,
        AvgPoolGlobal,
    ),
    Linear<16, 10>,
);

#[test]
fn ten_adam_steps_follow_pytorch() {
    let (dev, fixture) = (Cpu::seed_from_u64(0), Fixture::open("training"));
    let mut model = dev.build_module::<Tiny, f32>();
    macro_rules! parameters {
        () => {
            [
                ("conv1.weight", model.0.0.weight.as_vec()),
                ("conv1.bias", model.0.0.bias.as_vec()),
                ("bn1.weight", model.0.1.scale.as_vec()),
                ("bn1.bias", model.0.1.bias.as_vec()),
                ("bn1.running_mean", model.0.1.running_mean.as_vec()),
                ("bn1.running_var", model.0.1.running_var.as_vec()),
                ("conv2.weight", model.1.0.weight.as_vec()),
                ("conv2.bias", model.1.0.bias.as_vec()),
                ("bn2.weight", model.1.1.scale.as_vec()),
                ("bn2.bias", model.1.1.bias.as_vec()),
                ("bn2.running_mean", model.1.1.running_mean.as_vec()),
                ("bn2.running_var", model.1.1.running_var.as_vec()),
                ("fc.weight", model.2.weight.as_vec()),
                ("fc.bias", model.2.bias.as_vec()),
            ]
        };
    }
    let state = |name: &str| fixture.tensor(&format!("state/{name}"));
    model.0.0.weight.copy_from(&state("conv1.weight"));
    model.0.0.bias.copy_from(&state("conv1.bias"));
    model.0.1.scale.copy_from(&state("bn1.weight"));
    model.0.1.bias.copy_from(&state("bn1.bias"));
    model.1.0.weight.copy_from(&state("conv2.weight"));
    model.1.0.bias.copy_from(&state("conv2.bias"));
    model.1.1.scale.copy_from(&state("bn2.weight"));
    model.1.1.bias.copy_from(&state("bn2.bias"));
    model.2.weight.copy_from(&state("fc.weight"));
    model.2.bias.copy_from(&state("fc.bias"));

    let shape = fixture.shape("x"); // steps, batch, channel, height, width
    let (steps, batch) = (shape[0], shape[1]);
    let (x, labels) = (fixture.tensor("x"), fixture.tensor("labels"));
    let config = AdamConfig {
        lr: 1e-3,
        ..Default::default()
    };
    let mut optimizer = Adam::new(&model, config);
    let mut losses = Vec::new();
    for step in 0..steps {
        let pixels = batch * shape[3] * shape[4];
        let images = x[step * pixels..(step + 1) * pixels].to_vec();
        let images = dev.tensor_from_vec(images, (batch, Const::<1>, shape[3], shape[4]));
        let mut one_hot = vec![0.0; batch * 10];
        for i in 0..batch {
            one_hot[i * 10 + labels[step * batch + i] as usize] = 1.0;
        }
        let targets = dev.tensor_from_vec(one_hot, (batch, Const::<10>));
        let logits = model.forward_mut(images.traced(model.alloc_grads()));
        let loss = cross_entropy_with_logits_loss(logits, targets);
        losses.push(loss.array());
        optimizer.update(&mut model, &loss.backward()).unwrap();
    }
    assert_close("losses", &losses, &fixture.tensor("losses"));
    for (name, got) in parameters!() {
        let want = fixture.tensor(&format!("state_after/{name}"));
        let drifts = [
            "conv1.bias",
            "conv2.bias",
            "bn1.running_mean",
            "bn2.running_mean",
        ];
        if drifts.contains(&name) {
            // Batch norm takes the mean away, so the gradient of a bias in front of it is rounding noise around
            // zero, and Adam's steps have a size of their own (the learning rate) however small the gradient
            // is. The running mean follows the bias; nothing else does.
            let steps = steps as f32 * 1e-3;
            let far = got
                .iter()
                .zip(&want)
                .filter(|(got, want)| (*got - *want).abs() > 2.0 * steps);
            assert_eq!(far.count(), 0, "{name}");
        } else {
            assert_close(name, &got, &want);
        }
    }
}

#[test]
fn layers_live_inside_dfdx_residuals_and_sgd() {
    type Block = (
        GeneralizedResidual<(Conv2D<2, 4, 3, 1, 1>, BatchNorm2D<4>), Conv2D<2, 4, 1>>,
        Residual<DepthwiseConv2D<4, 3, 1, 1>>,
        AvgPool2D<2, 2>,
        AvgPoolGlobal,
    );
    let dev = Cpu::seed_from_u64(3);
    let mut model = dev.build_module::<Block, f32>();
    let x = dev.sample_normal_like(&(5, Const::<2>, 6, 6));
    let mut optimizer = Sgd::new(&model, Default::default());
    let mut losses = Vec::new();
    for _ in 0..20 {
        let loss = model
            .forward_mut(x.trace(model.alloc_grads()))
            .square()
            .mean();
        losses.push(loss.array());
        optimizer.update(&mut model, &loss.backward()).unwrap();
    }
    assert!(losses[19] < losses[0], "{losses:?}");
}

#[test]
fn a_model_survives_a_file() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("model.safetensors");
    let dev = Cpu::seed_from_u64(4);
    let mut model = dev.build_module::<Tiny, f32>();
    let x = dev.sample_normal_like(&(3, Const::<1>, 16, 16));
    model.forward_mut(x.leaky_trace()); // moves the running statistics
    model.save_safetensors(&path).unwrap();
    let mut other = Cpu::seed_from_u64(5).build_module::<Tiny, f32>();
    assert_ne!(
        model.forward(x.clone()).as_vec(),
        other.forward(x.clone()).as_vec()
    );
    other.load_safetensors(&path).unwrap();
    assert_eq!(model.forward(x.clone()).as_vec(), other.forward(x).as_vec());
}

#[test]
fn parameters_are_counted() {
    let dev = Cpu::seed_from_u64(0);
    let count = dev.build_module::<Tiny, f32>().num_trainable_params();
    assert_eq!(
        count,
        (9 * 8 + 8) + 2 * 8 + (9 * 8 * 16 + 16) + 2 * 16 + (16 * 10 + 10)
    );
}

#[test]
fn weights_start_like_pytorch_and_are_seeded() {
    let build = |seed| Cpu::seed_from_u64(seed).build_module::<BiasedConv2D<16, 64, 3>, f32>();
    let (layer, bound) = (build(7), 1.0 / (16.0 * 9.0_f32).sqrt());
    let weight = layer.weight.as_vec();
    assert!(weight.iter().all(|w| w.abs() <= bound));
    let variance = weight.iter().map(|w| w * w).sum::<f32>() / weight.len() as f32;
    assert!((variance / (bound * bound / 3.0) - 1.0).abs() < 0.05); // of a uniform distribution
    assert_eq!(weight, build(7).weight.as_vec());
    assert_ne!(weight, build(8).weight.as_vec());
}

#[test]
fn views_are_read_in_their_own_order() {
    let dev = Cpu::seed_from_u64(6);
    let conv = dev.build_module::<Conv2D<3, 2, 3>, f32>();
    let channels_last = dev.sample_normal::<Rank4<2, 6, 5, 3>>();
    let view = channels_last.permute::<Rank4<2, 3, 6, 5>, Axes4<0, 3, 1, 2>>();
    let copy = dev.tensor_from_vec(view.as_vec(), (2, Const::<3>, 6, 5));
    assert_eq!(
        conv.forward(view.leaky_trace()).as_vec(),
        conv.forward(copy.clone()).as_vec()
    );
    let from_view = conv.forward(view.leaky_trace()).square().sum().backward();
    let from_copy = conv.forward(copy.leaky_trace()).square().sum().backward();
    assert_close(
        "weight",
        &from_view.get(&conv.weight).as_vec(),
        &from_copy.get(&conv.weight).as_vec(),
    );
    let row: Tensor<Rank4<2, 3, 6, 5>, f32, _> = dev.sample_normal::<Rank1<5>>().broadcast();
    let copy = dev.tensor_from_vec(row.as_vec(), (2, Const::<3>, 6, 5));
    assert_eq!(conv.forward(row).as_vec(), conv.forward(copy).as_vec());
}

#[test]
fn bad_sizes_are_errors_with_words() {
    let dev = Cpu::seed_from_u64(0);
    let conv = dev.build_module::<Conv2D<1, 1, 5, 1, 1>, f32>();
    assert!(
        conv.try_forward(dev.zeros_like(&(1, Const::<1>, 2, 8)))
            .is_err()
    );
    let error = last_error().unwrap();
    assert_eq!(
        error.to_string(),
        "Conv2D: a window of 5x5 pixels (dilation 1) does not fit on an image of 2x8 pixels with padding 1x1"
    );
    assert!(last_error().is_none());

    let pool = MaxPool2D::<3, 2>;
    assert!(
        pool.try_forward(dev.zeros_like(&(1, Const::<1>, 2, 2)))
            .is_err()
    );
    assert!(matches!(
        last_error(),
        Some(LayerError::WindowTooLarge {
            layer: "MaxPool2D",
            ..
        })
    ));

    let mut norm = dev.build_module::<BatchNorm2D<2>, f32>();
    let single = dev.zeros_like(&(1, Const::<2>, 1, 1));
    assert!(norm.try_forward_mut(single.leaky_traced()).is_err());
    assert_eq!(last_error(), Some(LayerError::TooFewValues { count: 1 }));
    assert_eq!(norm.running_var.array(), [1.0, 1.0]); // nothing half-updated
}

#[test]
fn an_empty_batch_gives_an_empty_result() {
    let dev = Cpu::seed_from_u64(0);
    let model = dev.build_module::<(Conv2D<1, 4, 3>, BatchNorm2D<4>, MaxPool2D<2, 2>), f32>();
    let y = model.forward(dev.zeros_like(&(0, Const::<1>, 8, 8)));
    assert_eq!(*y.shape(), (0, Const::<4>, 3, 3));
}

/// A 1xN convolution and then an Nx1 one: an NxN convolution whose kernel is the product of a column and a row.
#[test]
fn a_row_and_a_column_make_a_square() {
    let dev = Cpu::seed_from_u64(2);
    let row = dev.build_module::<RectangularConv2D<1, 1, 1, 5, 1, 0, 2>, f32>();
    let column = dev.build_module::<RectangularConv2D<1, 1, 5, 1, 1, 2, 0>, f32>();
    let mut square = dev.build_module::<Conv2D<1, 1, 5, 1, 2>, f32>();
    let products = column
        .weight
        .as_vec()
        .into_iter()
        .flat_map(|c| row.weight.as_vec().into_iter().map(move |r| c * r));
    square.weight.copy_from(&products.collect::<Vec<f32>>());
    let x = dev.sample_normal_like(&(2, Const::<1>, 6, 9));
    assert_close(
        "product",
        &column.forward(row.forward(x.clone())).as_vec(),
        &square.forward(x).as_vec(),
    );
}

/// A square kernel with zeros around its middle row or column is a rectangular one: results and gradients.
#[test]
fn a_rectangular_convolution_is_a_square_one_with_zeros() {
    let dev = Cpu::seed_from_u64(3);
    let flat = dev.build_module::<RectangularConv2D<2, 3, 1, 3, 2, 0, 1>, f32>();
    let high = dev.build_module::<RectangularConv2D<2, 3, 3, 1, 2, 1, 0>, f32>();
    let mut square = dev.build_module::<Conv2D<2, 3, 3, 2, 1>, f32>();
    let x = dev.sample_normal_like(&(2, Const::<2>, 7, 8));
    macro_rules! check {
        ($name:literal, $layer:ident, $taps:expr) => {
            let taps: [usize; 3] = $taps;
            let weights = $layer.weight.as_vec();
            let mut padded = vec![0.0; 2 * 3 * 9];
            for (i, weight) in weights.iter().enumerate() {
                padded[i / 3 * 9 + taps[i % 3]] = *weight;
            }
            square.weight.copy_from(&padded);
            let y = $layer.forward(x.leaky_trace());
            let want = square.forward(x.leaky_trace());
            assert_eq!(y.shape(), want.shape());
            assert_close($name, &y.as_vec(), &want.as_vec());
            let gradients = y.square().sum::<Rank0, _>().backward();
            let wanted = want.square().sum::<Rank0, _>().backward();
            let (d_x, d_x_wanted) = (gradients.get(&x), wanted.get(&x));
            assert_close($name, &d_x.as_vec(), &d_x_wanted.as_vec());
            let all = wanted.get(&square.weight).as_vec();
            let d_w: Vec<f32> = (0..weights.len())
                .map(|i| all[i / 3 * 9 + taps[i % 3]])
                .collect();
            assert_close($name, &gradients.get(&$layer.weight).as_vec(), &d_w);
        };
    }
    check!("1x3", flat, [3, 4, 5]);
    check!("3x1", high, [1, 4, 7]);
}

#[test]
fn a_rectangular_window_that_does_not_fit_is_named() {
    let dev = Cpu::seed_from_u64(0);
    let column = dev.build_module::<RectangularConv2D<1, 1, 7, 1>, f32>();
    let flat = dev.zeros_like(&(1, Const::<1>, 5, 9));
    assert!(column.try_forward(flat).is_err());
    let error = last_error().unwrap();
    assert!(error.to_string().contains("7x1 pixels"), "{error}");
}

#[test]
fn a_pooling_names_the_rule_for_its_padding() {
    let dev = Cpu::seed_from_u64(0);
    let x = dev.zeros_like(&(1, Const::<1>, 8, 8));
    assert!(MaxPool2D::<3, 1, 2>.try_forward(x.clone()).is_err());
    let error = last_error().unwrap().to_string();
    assert!(
        error.contains("MaxPool2D") && error.contains("half the kernel"),
        "{error}"
    );
    assert!(AvgPool2D::<2, 2, 2>.try_forward(x.clone()).is_err());
    let error = last_error().unwrap().to_string();
    assert!(
        error.contains("AvgPool2D") && error.contains("half the kernel"),
        "{error}"
    );
    assert!(MaxPool2D::<9, 1>.try_forward(x).is_err());
    assert!(matches!(
        last_error(),
        Some(LayerError::WindowTooLarge { .. })
    ));
}

mod panics {
    use super::*;
    use dldna_nn::nn::{ConvNorm, Stage};
    use dldna_nn::train::BoxedClassifier;

    /// What a panic says.
    #[track_caller]
    fn words_of<R>(run: impl FnOnce() -> R) -> String {
        let run = std::panic::AssertUnwindSafe(run);
        let panic = std::panic::catch_unwind(run).err().expect("it panics");
        *panic.downcast::<String>().expect("a panic with words")
    }

    /// `forward` and `forward_mut` of a layer on images of zeros panic with `words`, and [`last_error`] still has them.
    macro_rules! panics_with {
        ($words:literal, $Layer:ty, $shape:expr) => {
            panics_with!(
                $words,
                Cpu::default().build_module::<$Layer, f32>(),
                $shape,
                forward forward_mut
            )
        };
        ($words:literal, $layer:expr, $shape:expr, $($forward:ident)+) => {$(
            #[allow(unused_mut)]
            let mut layer = $layer;
            let x = Cpu::default().zeros_like(&$shape);
            let words = words_of(|| layer.$forward(x.leaky_traced()));
            assert!(words.contains($words), "{}: {words}", stringify!($forward));
            assert_eq!(last_error().unwrap().to_string(), words);
        )+};
    }

    network! {
        pub struct Careless { conv: Conv2D<2, 2, 3>, }
        forward(x: Images<2>) -> Images<2> { conv(x.clone()) + x }
    }

    network! {
        pub struct Classifier { flatten: Flatten<9>, fc: Linear<9, 2>, }
        forward(Images<1>) -> Vectors<2>;
    }

    #[test]
    fn convolutions_carry_the_words_of_the_error() {
        let small = (1, Const::<4>, 2, 2);
        panics_with!("Conv2D: a window of 3x3", Conv2D<4, 4, 3>, small);
        panics_with!("Conv2D: a window of 3x3", BiasedConv2D<4, 4, 3>, small);
        panics_with!("DepthwiseConv2D: a window", DepthwiseConv2D<4, 3>, small);
        panics_with!("GroupedConv2D: a window", GroupedConv2D<4, 4, 2, 3>, small);
        panics_with!("a window of 3x1", RectangularConv2D<4, 4, 3, 1>, small);
        panics_with!("at least 3x3 pixels", ConvTranspose2D<4, 4, 1, 1, 1>, small);
        panics_with!("at least 3x3 pixels", BiasedConvTranspose2D<4, 4, 1, 1, 1>, small);
        panics_with!("a window of 3x3", ConvNorm<4, 4, 3>, small);
    }

    #[test]
    fn the_other_layers_carry_the_words_of_the_error() {
        let small = (1, Const::<4>, 2, 2);
        panics_with!("half the kernel", MaxPool2D<3, 1, 2>, small);
        panics_with!("does not fit", AvgPool2D<3, 1>, small);
        panics_with!("at least 3x3 pixels", ReflectPad2D<2>, small);
        panics_with!("at least 1x1 pixels", UpsampleNearest2D<2>, (1, 4, 0, 2));
        panics_with!("at least 1x1 pixels", AdaptiveAvgPool2D<2, 2>, (1, 4, 0, 2));
        panics_with!("these have 4x2x2 = 16", Flatten<9>, small);
        panics_with!("each of 4 groups", GroupNorm<4, 4>, (1, Const::<4>, 1, 1));
        let norm = Cpu::default().build_module::<BatchNorm2D<4>, f32>();
        panics_with!(
            "more than one value",
            norm,
            (1, Const::<4>, 1, 1),
            forward_mut
        );
        panics_with!("a probability", Dropout2D { p: 1.5 }, small, forward_mut);
    }

    #[test]
    fn networks_carry_the_words_of_the_error() {
        panics_with!("one shape, these are", Careless, (1, Const::<2>, 5, 5));
        panics_with!("these have 1x2x2 = 4", Classifier, (1, Const::<1>, 2, 2));
        type Two = Stage<Conv2D<1, 1, 3>, Conv2D<1, 1, 3>, 2>;
        panics_with!("on an image of 2x2", Two, (1, Const::<1>, 4, 4));
        let network = || BoxedClassifier::new(Cpu::default().build_module::<Classifier, f32>());
        let x = Cpu::default().zeros_like(&(1, Const, 2, 2));
        let words = [
            words_of(|| network().forward(x.clone())),
            words_of(|| network().forward_mut(x.leaky_traced())),
        ];
        assert!(
            words.iter().all(|words| words.contains("1x2x2 = 4")),
            "{words:?}"
        );
    }
}

/// Images without pixels, and batches without images, give nothing or an error.
#[test]
fn nothing_in_does_not_panic() {
    fn images(dev: &Cpu, (batch, height, width): (usize, usize, usize)) -> Image<2> {
        dev.zeros_like(&(batch, Const::<2>, height, width))
    }
    let dev = Cpu::seed_from_u64(0);
    macro_rules! try_all {
        ($($Layer:ty),+) => {$(
            for shape in [(0, 4, 4), (2, 0, 4), (2, 4, 0), (0, 0, 0)] {
                let mut layer = dev.build_module::<$Layer, f32>();
                if let Ok(y) = layer.try_forward(images(&dev, shape)) {
                    assert!(y.shape().num_elements() < 5, "{} {shape:?}", stringify!($Layer));
                }
                let x = images(&dev, shape);
                let _ = layer.try_forward_mut(x.leaky_trace());
            }
        )+};
    }
    try_all!(
        Conv2D<2, 2, 3, 1, 1>,
        BiasedConv2D<2, 2, 1>,
        DepthwiseConv2D<2, 3, 1, 1>,
        RectangularConv2D<2, 2, 1, 3>,
        BatchNorm2D<2>,
        LayerNorm2D<2>,
        MaxPool2D<2, 2>,
        AvgPool2D<2, 2>,
        AvgPoolGlobal,
        ReLU,
        ReLU6,
        SiLU,
        GELU
    );
}
