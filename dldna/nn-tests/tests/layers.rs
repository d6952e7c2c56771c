//! Grouped and transposed convolution, group norm, dropout of channels, padding, upsampling and adaptive pooling: PyTorch's
//! numbers, the definitions in plain loops, and networks of them.

use dfdx::optim::{Adam, AdamConfig, Optimizer};
use dldna_nn::kernels::epilogue::Epilogue;
use dldna_nn::kernels::grouped::GroupedConv2d;
use dldna_nn::kernels::separable::LinearMap;
use dldna_nn::kernels::window::Window;
use dldna_nn::nn::{Batch, Forward, LayerError, Operation, last_error, run};
use dldna_nn::prelude::*;
use dldna_nn::weights::{load_model, load_torch_weights, save_model};
use dldna_nn_tests::{Fixture, assert_close};
use proptest::prelude::*;
use tempfile::TempDir;

fn dev() -> Cpu {
    Cpu::seed_from_u64(3)
}

/// Runs one case of `layers` through a layer: the result in training and in evaluation, and all gradients. The weights come
/// from a file with PyTorch's names.
macro_rules! equals_pytorch {
    ($case:expr, $Layer:ty, $IN:literal $(, $($tensor:ident).+ = $name:literal)* $(,)?) => {{
        let (fixture, case) = (Fixture::open("layers"), $case);
        let tensor = |name: &str| fixture.tensor(&format!("{case}/{name}"));
        let mut layer = dev().build_module::<$Layer, f32>();
        let names: &[&str] = &[$($name),*];
        if !names.is_empty() {
            let folder = TempDir::new().unwrap();
            let path = fixture.write_state(case, folder.path());
            load_torch_weights::<_, Cpu>(&mut layer, path).unwrap();
        }
        let shape = fixture.shape(&format!("{case}/x"));
        let x = dev().tensor_from_vec(tensor("x"), (shape[0], Const::<$IN>, shape[2], shape[3]));
        let in_evaluation = layer.forward(x.clone());
        assert_close(&format!("{case} in evaluation"), &in_evaluation.as_vec(), &tensor("y"));
        let y = layer.forward_mut(x.leaky_trace());
        let y_shape: Vec<usize> = y.shape().concrete().into();
        assert_eq!(y_shape, fixture.shape(&format!("{case}/y")), "{case}");
        assert_close(case, &y.as_vec(), &tensor("y"));
        let d_y = dev().tensor_from_vec(tensor("gy"), *y.shape());
        let gradients = (y * d_y).sum().backward();
        assert_close(&format!("{case} x"), &gradients.get(&x).as_vec(), &tensor("gx"));
        $(
            let gradient = gradients.get(&layer.$($tensor).+).as_vec();
            assert_close(&format!("{case} {}", $name), &gradient, &tensor(&format!("grad/{}", $name)));
        )*
    }};
}

#[test]
fn grouped_convolutions_equal_pytorch() {
    equals_pytorch!("grouped0", GroupedConv2D<6, 4, 2, 3, 1, 1>, 6, weight = "weight");
    equals_pytorch!("grouped1", GroupedConv2D<8, 12, 4, 3, 2, 1>, 8, weight = "weight");
    equals_pytorch!("grouped2", GroupedConv2D<4, 8, 4, 5, 1, SAME>, 4, weight = "weight");
    equals_pytorch!("grouped3", GroupedConv2D<9, 6, 3, 1>, 9, weight = "weight");
}

#[test]
fn transposed_convolutions_equal_pytorch() {
    macro_rules! biased {
        ($case:literal, $Layer:ty, $IN:literal) => {
            equals_pytorch!($case, $Layer, $IN, weight = "weight", bias = "bias")
        };
    }
    biased!("transposed0", BiasedConvTranspose2D<3, 4, 3>, 3);
    equals_pytorch!("transposed1", ConvTranspose2D<4, 2, 2, 2>, 4, weight = "weight");
    biased!("transposed2", BiasedConvTranspose2D<5, 3, 4, 2, 1>, 5);
    equals_pytorch!("transposed3", ConvTranspose2D<2, 3, 3, 3, 1>, 2, weight = "weight");
    biased!("transposed4", BiasedConvTranspose2D<3, 2, 2, 3>, 3); // pixels that no kernel reaches
    equals_pytorch!("transposed5", ConvTranspose2D<6, 5, 1>, 6, weight = "weight");
}

#[test]
fn group_norms_equal_pytorch() {
    macro_rules! norm {
        ($case:literal, $groups:literal, $channels:literal) => {
            equals_pytorch!($case, GroupNorm<$groups, $channels>, $channels, scale = "weight", bias = "bias")
        };
    }
    norm!("group_norm0", 2, 6);
    norm!("group_norm1", 1, 4); // layer normalisation
    norm!("group_norm2", 5, 5); // instance normalisation
    norm!("group_norm3", 4, 8); // of images of one pixel
}

#[test]
fn adaptive_pooling_equals_pytorch() {
    equals_pytorch!("adaptive0", AdaptiveAvgPool2D<1, 1>, 3);
    equals_pytorch!("adaptive1", AdaptiveAvgPool2D<3, 2>, 3);
    equals_pytorch!("adaptive2", AdaptiveAvgPool2D<4, 7>, 2); // to a larger size
    equals_pytorch!("adaptive3", AdaptiveAvgPool2D<2, 3>, 2); // in equal parts
}

#[test]
fn upsampling_equals_pytorch() {
    equals_pytorch!("nearest0", UpsampleNearest2D<1>, 2);
    equals_pytorch!("nearest1", UpsampleNearest2D<2>, 3);
    equals_pytorch!("nearest2", UpsampleNearest2D<3>, 2);
    equals_pytorch!("nearest3", UpsampleNearest2D<4>, 1);
    equals_pytorch!("bilinear0", UpsampleBilinear2D<1>, 2);
    equals_pytorch!("bilinear1", UpsampleBilinear2D<2>, 3);
    equals_pytorch!("bilinear2", UpsampleBilinear2D<3>, 2);
    equals_pytorch!("bilinear3", UpsampleBilinear2D<4>, 1);
}

#[test]
fn padding_equals_pytorch() {
    equals_pytorch!("reflect0", ReflectPad2D<1>, 3);
    equals_pytorch!("reflect1", ReflectPad2D<2>, 2);
    equals_pytorch!("reflect2", ReflectPad2D<3>, 1);
    equals_pytorch!("replicate0", ReplicatePad2D<1>, 3);
    equals_pytorch!("replicate1", ReplicatePad2D<2>, 2);
    equals_pytorch!("replicate2", ReplicatePad2D<3>, 1);
    equals_pytorch!("zeros0", ZeroPad2D<1>, 3);
    equals_pytorch!("zeros1", ZeroPad2D<2>, 2);
    equals_pytorch!("zeros2", ZeroPad2D<3>, 1);
}

#[rustfmt::skip]
network! {
    /// All of them but dropout, which is not the same in two libraries.
    pub struct Layers {
        mirror: ReflectPad2D<1>, stem: BiasedConv2D<3, 8, 3>, norm1: GroupNorm<2, 8>,
        border: ReplicatePad2D<1>, grouped: GroupedConv2D<8, 12, 4, 3, 2, 1>, norm2: GroupNorm<3, 12>,
        double: UpsampleNearest2D<2>, up: BiasedConvTranspose2D<12, 6, 2, 2>,
        smooth: UpsampleBilinear2D<2>, pool: AdaptiveAvgPool2D<3, 2>,
        flatten: Flatten<36>, fc: Linear<36, 4>,
    }
    forward(x: Images<3>) -> Vectors<4> {
        let x = relu(norm1(stem(mirror(x))));
        let x = relu(norm2(grouped(border(x))));
        fc(flatten(pool(smooth(up(double(x))))))
    }
}

#[test]
fn a_network_of_them_equals_pytorch() {
    equals_pytorch!(
        "network",
        Layers,
        3,
        stem.weight = "stem.weight",
        stem.bias = "stem.bias",
        norm1.scale = "norm1.weight",
        norm1.bias = "norm1.bias",
        grouped.weight = "grouped.weight",
        norm2.scale = "norm2.weight",
        norm2.bias = "norm2.bias",
        up.weight = "up.weight",
        up.bias = "up.bias",
        fc.weight = "fc.weight",
        fc.bias = "fc.bias",
    );
}

/// A grouped convolution whose batch norm runs with it, dropout, and the layers in tuples.
type Trained = (
    (
        ReflectPad2D<1>,
        GroupedConv2D<2, 8, 2, 3>,
        BatchNorm2D<8>,
        ReLU,
        Dropout2D,
        UpsampleBilinear2D<2>,
    ),
    (
        ConvTranspose2D<8, 4, 2, 2>,
        GroupNorm<2, 4>,
        ReLU,
        ReplicatePad2D<1>,
        ZeroPad2D<1>,
        UpsampleNearest2D<2>,
    ),
    (AdaptiveAvgPool2D<2, 2>, Flatten<16>, Linear<16, 2>),
);

#[test]
fn a_network_of_all_of_them_learns() {
    let dev = dev();
    let mut network = dev.build_module::<Trained, f32>();
    network.0.4.p = 0.1;
    let x = dev.sample_normal_like(&(16, Const::<2>, 6, 6));
    // Whether the left half of the first channel is brighter than the right one.
    let pixels = x.as_vec();
    let brighter = pixels.chunks(72).flat_map(|image| {
        let signs = (0..36).map(|i| image[i] * if i % 6 < 3 { 1.0 } else { -1.0 });
        let left = f32::from(u8::from(signs.sum::<f32>() > 0.0));
        [left, 1.0 - left]
    });
    let targets = dev.tensor_from_vec(brighter.collect(), (16, Const::<2>));
    let config = AdamConfig {
        lr: 1e-2,
        ..Default::default()
    };
    let mut optimizer = Adam::new(&network, config);
    let mut losses = Vec::new();
    for _ in 0..40 {
        let logits = network.forward_mut(x.trace(network.alloc_grads()));
        let loss = cross_entropy_with_logits_loss(logits, targets.clone());
        losses.push(loss.array());
        optimizer.update(&mut network, &loss.backward()).unwrap();
    }
    assert!(losses[39] < 0.5 * losses[0], "{losses:?}");

    let folder = TempDir::new().unwrap();
    let path = folder.path().join("network.safetensors");
    save_model(&network, &path).unwrap();
    let mut loaded = Cpu::seed_from_u64(9).build_module::<Trained, f32>();
    load_model(&mut loaded, &path).unwrap();
    let evaluated = network.forward(x.clone()).as_vec();
    assert_eq!(evaluated, network.forward(x.clone()).as_vec());
    assert_eq!(evaluated, loaded.forward(x).as_vec());
}

#[test]
fn a_summary_knows_shapes_and_parameters() {
    let network = dev().build_module::<Trained, f32>();
    let summary = Summary::of(&network, &[5, 2, 6, 6]).unwrap();
    assert_eq!(summary.output_shape(), [5, 2]);
    assert_eq!(summary.parameters(), network.num_trainable_params());
    let text = summary.to_string();
    for line in [
        "ReflectPad2D 1",
        "GroupedConv2D 2 -> 8, 3x3, 2 groups",
        "Dropout2D 0.5",
        "UpsampleBilinear2D 2",
        "ConvTranspose2D 8 -> 4, 2x2, stride 2",
        "GroupNorm 4, 2 groups",
        "ReplicatePad2D 1",
        "ZeroPad2D 1",
        "UpsampleNearest2D 2",
        "AdaptiveAvgPool2D 2x2",
    ] {
        assert!(text.contains(line), "{line} in\n{text}");
    }

    let layers = dev().build_module::<Layers, f32>();
    let summary = Summary::of(&layers, &[1, 3, 6, 8]).unwrap();
    assert_eq!(summary.parameters(), layers.num_trainable_params());
    // Multiply-adds by hand: stem on 6x8, grouped on 4x5, transposed from 8x10, linear.
    let products = 6 * 8 * 8 * 27 + 4 * 5 * 12 * 18 + 8 * 10 * 12 * 6 * 4 + 36 * 4;
    assert_eq!(summary.network.multiply_adds, products);
}

#[test]
fn a_summary_refuses_what_the_layer_refuses() {
    let error =
        |layer: &dyn Summarize, input: &[usize]| layer.summarize(input).unwrap_err().to_string();
    let text = error(&ReflectPad2D::<2>, &[1, 3, 2, 5]);
    assert!(text.contains("of at least 3x3 pixels"), "{text}");
    let text = error(&ReflectPad2D::<2>, &[3, 2]);
    assert!(text.contains("[batch, channel, height, width]"), "{text}");
    let conv = dev().build_module::<ConvTranspose2D<3, 4, 2, 1, 2>, f32>();
    let text = error(&conv, &[1, 3, 3, 3]);
    assert!(text.contains("of at least 4x4 pixels"), "{text}");
    assert_eq!(
        conv.summarize(&[1, 3, 4, 4]).unwrap().output_shape,
        [1, 4, 1, 1]
    );
    let conv = dev().build_module::<GroupedConv2D<4, 4, 2, 3>, f32>();
    assert!(conv.summarize(&[1, 4, 2, 2]).is_err());
    assert!(conv.summarize(&[1, 3, 5, 5]).is_err());
}

#[test]
fn bad_sizes_are_errors_with_words() {
    let dev = dev();
    assert!(
        ReflectPad2D::<3>
            .try_forward(dev.zeros_like(&(1, 2, 3, 9)))
            .is_err()
    );
    let error = last_error().unwrap();
    assert_eq!(
        error.to_string(),
        "ReflectPad2D: expected images of at least 4x4 pixels, these are 3x9"
    );
    assert!(
        UpsampleNearest2D::<2>
            .try_forward(dev.zeros_like(&(1, 2, 0, 9)))
            .is_err()
    );
    let error = last_error().unwrap().to_string();
    assert!(
        error.contains("at least 1x1 pixels, these are 0x9"),
        "{error}"
    );

    let conv = dev.build_module::<ConvTranspose2D<1, 1, 2, 1, 2>, f32>();
    assert!(
        conv.try_forward(dev.zeros_like(&(1, Const::<1>, 4, 3)))
            .is_err()
    );
    let error = last_error().unwrap();
    assert!(
        matches!(
            error,
            LayerError::ImageTooSmall {
                least: 4,
                height: 4,
                width: 3,
                ..
            }
        ),
        "{error}"
    );

    let conv = dev.build_module::<GroupedConv2D<4, 4, 2, 5>, f32>();
    assert!(
        conv.try_forward(dev.zeros_like(&(1, Const::<4>, 4, 4)))
            .is_err()
    );
    let error = last_error().unwrap().to_string();
    assert!(
        error.starts_with("GroupedConv2D: a window of 5x5"),
        "{error}"
    );

    let norm = dev.build_module::<GroupNorm<4, 4>, f32>();
    assert!(
        norm.try_forward(dev.zeros_like(&(3, Const::<4>, 1, 1)))
            .is_err()
    );
    let error = last_error().unwrap().to_string();
    assert!(
        error.contains("each of 4 groups, these are 3x4x1x1"),
        "{error}"
    );

    for p in [-0.1, 1.5, f32::NAN] {
        let x = dev.zeros_like(&(1, 2, 3, 3));
        assert!(Dropout2D { p }.try_forward_mut(x.leaky_trace()).is_err());
        let error = last_error().unwrap().to_string();
        assert!(error.starts_with("Dropout2D: a probability"), "{error}");
    }
}

#[test]
fn no_images_are_no_results() {
    let dev = dev();
    let none = dev.zeros_like(&(0, Const::<4>, 3, 3));
    macro_rules! check {
        ($($Layer:ty),+) => {$(
            let y = dev.build_module::<$Layer, f32>().forward(none.clone());
            assert_eq!(y.shape().num_elements(), 0, stringify!($Layer));
        )+};
    }
    check!(GroupedConv2D<4, 4, 2, 3>, ConvTranspose2D<4, 4, 2>, ReflectPad2D<1>);
    check!(UpsampleBilinear2D<2>, AdaptiveAvgPool2D<2, 2>, Dropout2D);
    let norm = dev.build_module::<GroupNorm<2, 4>, f32>();
    assert!(norm.try_forward(none).is_err());
    let error = last_error().unwrap().to_string();
    assert!(error.ends_with("these are 0x4x3x3"), "{error}");
}

#[test]
fn dropout_leaves_out_whole_channels_and_keeps_the_mean() {
    let dropped = |seed: u64, p: f32| -> Vec<f32> {
        let dev = Cpu::seed_from_u64(seed);
        let x = dev.ones_like(&(50, Const::<40>, 3, 3));
        let y = Dropout2D { p }.forward_mut(x.leaky_trace());
        let gradient = y.retaped::<NoneTape>().as_vec();
        // The gradient of the sum is the factor of each pixel: with an input of ones, the result.
        assert_close("gradient", &y.sum().backward().get(&x).as_vec(), &gradient);
        gradient
    };
    let y = dropped(1, 0.2);
    assert!(
        y.chunks(9)
            .all(|channel| channel.iter().all(|v| *v == channel[0]))
    );
    let left_out = y.chunks(9).filter(|channel| channel[0] == 0.0).count();
    assert!(
        (340..460).contains(&left_out),
        "{left_out} of 2000 channels"
    ); // 400, and three and a half deviations
    assert!(y.iter().all(|v| *v == 0.0 || (*v - 1.25).abs() < 1e-6));
    assert_eq!(y, dropped(1, 0.2));
    assert_ne!(y, dropped(2, 0.2));
    assert!(dropped(1, 0.0).iter().all(|v| *v == 1.0));
    assert!(dropped(1, 1.0).iter().all(|v| *v == 0.0));

    // The same in a forward pass, and nothing in evaluation.
    let x = Cpu::seed_from_u64(1).ones_like(&(50, Const::<40>, 3, 3));
    let mut dropout = Dropout2D { p: 0.2 };
    let in_training = run(x.clone(), |x| dropout.train(x)).unwrap();
    assert_eq!(in_training.as_vec(), y);
    let in_evaluation = run(x.clone(), |x| dropout.eval(x)).unwrap();
    assert_eq!(in_evaluation.as_vec(), x.as_vec());
}

#[test]
fn weights_start_like_pytorch() {
    let grouped = dev().build_module::<GroupedConv2D<32, 64, 4, 3>, f32>();
    let transposed = dev().build_module::<BiasedConvTranspose2D<16, 32, 3>, f32>();
    for (weight, fan_in) in [
        (grouped.weight.as_vec(), 32 / 4 * 9),
        (transposed.weight.as_vec(), 32 * 9),
    ] {
        let bound = 1.0 / (fan_in as f32).sqrt();
        assert!(weight.iter().all(|w| w.abs() <= bound));
        let variance = weight.iter().map(|w| w * w).sum::<f32>() / weight.len() as f32;
        assert!((variance / (bound * bound / 3.0) - 1.0).abs() < 0.05); // of a uniform distribution
    }
    let bound = 1.0 / (32.0 * 9.0_f32).sqrt();
    let bias = transposed.bias.as_vec();
    assert!(bias.iter().all(|b| b.abs() <= bound) && bias.iter().any(|b| *b != 0.0));
}

#[test]
fn they_are_layers_of_a_forward_pass_and_of_dfdx() {
    let dev = dev();
    let x = dev.sample_normal_like(&(2, Const::<4>, 5, 5));
    let conv = dev.build_module::<GroupedConv2D<4, 4, 2, 3, 1, 1>, f32>();
    let norm = dev.build_module::<GroupNorm<2, 4>, f32>();
    let by_flow = run(x.clone(), |x| norm.eval(conv.eval(x))).unwrap();
    let by_module = norm.forward(conv.forward(x.clone()));
    assert_eq!(by_flow.as_vec(), by_module.as_vec());
    // A residual needs a layer that keeps the type of the shape.
    let residual = dev.build_module::<Residual<GroupNorm<2, 4>>, f32>();
    assert_eq!(residual.forward(x.clone()).shape(), x.shape());
}

/// Numbers in -1..1 from a seed.
fn numbers(seed: u64, count: usize) -> Vec<f32> {
    let row = Cpu::seed_from_u64(seed).sample_like(&(count,), rand_distr::Uniform::new(-1.0, 1.0));
    row.as_vec()
}

fn close(got: &[f32], want: &[f64]) -> Result<(), TestCaseError> {
    prop_assert_eq!(got.len(), want.len());
    for (got, want) in got.iter().zip(want) {
        let near = (f64::from(*got) - want).abs() <= 1e-4 * want.abs().max(1.0);
        prop_assert!(near, "got {}, want {}", got, want);
    }
    Ok(())
}

/// The output and the gradients of an operation by some batches.
fn output_and_gradients(
    operation: Operation<Cpu>,
    d_output: &[f32],
    of: &[&Batch<Cpu>],
) -> (Vec<f32>, Vec<Vec<f32>>) {
    let Operation { output, backward } = operation;
    let mut gradients = Gradients::leaky();
    let d_y = gradients.get_or_alloc_mut(&output).unwrap();
    d_y.copy_from_slice(d_output);
    backward(&mut gradients).unwrap();
    let gradients = of.iter().map(|x| gradients.get(*x).as_vec()).collect();
    (output.as_vec(), gradients)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(100))]

    /// Each pixel of a group with each of its kernels, one product at a time.
    #[test]
    fn grouped_convolution_equals_the_definition(
        (batch, groups, inputs, outputs) in (1..4usize, 1..4usize, 1..4usize, 1..4usize),
        (kernel, stride, padding) in (1..4usize, 1..4usize, 0..3usize),
        size in (1..8usize, 1..8usize), seed in any::<u64>(),
    ) {
        let window = Window::square(kernel, stride, padding, 1);
        let channels = (groups * inputs, groups * outputs);
        let Some(conv) = GroupedConv2d::new(channels, groups, window, size) else { return Ok(()) };
        let out = conv.output_size();
        let x = numbers(seed, batch * channels.0 * size.0 * size.1);
        let w = numbers(seed ^ 1, channels.1 * inputs * kernel * kernel);
        let b = numbers(seed ^ 2, channels.1);
        let d_y = numbers(seed ^ 3, batch * channels.1 * out.0 * out.1);
        let mut y: Vec<f64> = (0..d_y.len()).map(|i| f64::from(b[i / (out.0 * out.1) % channels.1])).collect();
        let (mut d_x, mut d_w) = (vec![1.0; x.len()], vec![1.0; w.len()]); // are added to
        for (i, y) in y.iter_mut().enumerate() {
            let (n, o, row, column) = (i / (out.0 * out.1 * channels.1), i / (out.0 * out.1) % channels.1, i / out.1 % out.0, i % out.1);
            for c in 0..inputs {
                for tap in 0..kernel * kernel {
                    let (r, s) = (row * stride + tap / kernel, column * stride + tap % kernel);
                    if r < padding || s < padding || r - padding >= size.0 || s - padding >= size.1 { continue }
                    let channel = o / outputs * inputs + c;
                    let pixel = ((n * channels.0 + channel) * size.0 + r - padding) * size.1 + s - padding;
                    let weight = (o * inputs + c) * kernel * kernel + tap;
                    *y += f64::from(x[pixel]) * f64::from(w[weight]);
                    d_x[pixel] += f64::from(d_y[i]) * f64::from(w[weight]);
                    d_w[weight] += f64::from(d_y[i]) * f64::from(x[pixel]);
                }
            }
        }
        let (mut got, mut got_x, mut got_w) = (vec![0.0; d_y.len()], vec![1.0; x.len()], vec![1.0; w.len()]);
        conv.forward(&x, &w, &Epilogue::bias(&b), &mut got);
        conv.backward_input(&w, &d_y, &mut got_x);
        conv.backward_weight(&x, &d_y, &mut got_w);
        close(&got, &y)?;
        close(&got_x, &d_x)?;
        close(&got_w, &d_w)?;
    }

    /// Each pixel puts its kernel on the result, one product at a time.
    #[test]
    fn transposed_convolution_equals_the_definition(
        (batch, inputs, outputs) in (1..4usize, 1..4usize, 1..4usize),
        (kernel, stride, padding) in (1..5usize, 1..4usize, 0..3usize),
        size in (1..6usize, 1..6usize), seed in any::<u64>(),
    ) {
        let dev = Cpu::default();
        let (shape, kernels) = ((batch, inputs, size.0, size.1), (inputs, outputs, kernel, kernel));
        let x = numbers(seed, batch * inputs * size.0 * size.1);
        let w = numbers(seed ^ 1, inputs * outputs * kernel * kernel);
        let (input, weight) = (dev.tensor_from_vec(x.clone(), shape), dev.tensor_from_vec(w.clone(), kernels));
        let operation = Cpu::conv_transpose2d(input.clone(), weight.clone(), Window::square(kernel, stride, padding, 1));
        let side = |size: usize| ((size - 1) * stride + kernel).checked_sub(2 * padding).filter(|&size| size > 0);
        let Some(out) = side(size.0).zip(side(size.1)) else {
            prop_assert!(operation.is_err());
            return Ok(());
        };
        let d_y = numbers(seed ^ 2, batch * outputs * out.0 * out.1);
        let (mut y, mut d_x, mut d_w) = (vec![0.0; d_y.len()], vec![0.0; x.len()], vec![0.0; w.len()]);
        for i in 0..x.len() {
            let (n, c, row, column) = (i / (inputs * size.0 * size.1), i / (size.0 * size.1) % inputs, i / size.1 % size.0, i % size.1);
            for o in 0..outputs {
                for tap in 0..kernel * kernel {
                    let (r, s) = (row * stride + tap / kernel, column * stride + tap % kernel);
                    if r < padding || s < padding || r - padding >= out.0 || s - padding >= out.1 { continue }
                    let result = ((n * outputs + o) * out.0 + r - padding) * out.1 + s - padding;
                    let weight = (c * outputs + o) * kernel * kernel + tap;
                    y[result] += f64::from(x[i]) * f64::from(w[weight]);
                    d_x[i] += f64::from(d_y[result]) * f64::from(w[weight]);
                    d_w[weight] += f64::from(d_y[result]) * f64::from(x[i]);
                }
            }
        }
        let (got, gradients) = output_and_gradients(operation.unwrap(), &d_y, &[&input, &weight]);
        close(&got, &y)?;
        close(&gradients[0], &d_x)?;
        close(&gradients[1], &d_w)?;
    }

    /// Means and variances of each group in f64, and the gradient with respect to the input as a central difference.
    #[test]
    fn group_norm_equals_the_definition(batch in 1..4usize, size in (1..5usize, 1..5usize), seed in any::<u64>()) {
        let dev = Cpu::default();
        let mut norm = dev.build_module::<GroupNorm<2, 6>, f32>();
        norm.epsilon = 1e-2;
        let (scale, bias) = (numbers(seed ^ 1, 6), numbers(seed ^ 2, 6));
        norm.scale.copy_from(&scale);
        norm.bias.copy_from(&bias);
        let pixels = size.0 * size.1;
        let x = numbers(seed, batch * 6 * pixels);
        let wide: Vec<f64> = x.iter().map(|&x| f64::from(x)).collect();
        let normalised = |x: &[f64]| -> Vec<f64> {
            let groups = x.chunks(3 * pixels).enumerate();
            groups.flat_map(|(group, x)| {
                let mean = x.iter().sum::<f64>() / x.len() as f64;
                let variance = x.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / x.len() as f64;
                let of = |i: usize| group % 2 * 3 + i / pixels;
                let y = |(i, x): (usize, &f64)| {
                    (x - mean) / (variance + 1e-2).sqrt() * f64::from(scale[of(i)]) + f64::from(bias[of(i)])
                };
                x.iter().enumerate().map(y).collect::<Vec<f64>>()
            }).collect()
        };
        let images = dev.tensor_from_vec(x.clone(), (batch, Const::<6>, size.0, size.1));
        let y = norm.forward(images.leaky_trace());
        close(&y.as_vec(), &normalised(&wide))?;
        let d_y = numbers(seed ^ 3, x.len());
        let loss = |x: &[f64]| -> f64 { normalised(x).iter().zip(&d_y).map(|(y, d)| y * f64::from(*d)).sum() };
        let differences = (0..x.len()).map(|i| {
            let (mut up, mut down) = (wide.clone(), wide.clone());
            up[i] += 1e-5;
            down[i] -= 1e-5;
            (loss(&up) - loss(&down)) / 2e-5
        });
        let d_output = dev.tensor_from_vec(d_y.clone(), *y.shape());
        let gradients = (y * d_output).sum().backward();
        close(&gradients.get(&images).as_vec(), &differences.collect::<Vec<f64>>())?;
    }

    /// Pixel by pixel: where each comes from, found by walking instead of by a formula.
    #[test]
    fn lines_equal_the_definitions(inputs in 1..9usize, number in 1..6usize, seed in any::<u64>()) {
        let x = numbers(seed, inputs);
        let apply = |map: Option<LinearMap>| map.unwrap().apply(&x);

        // A walker who turns round at both ends.
        if number < inputs {
            let (mut place, mut step) = (0_isize, 1_isize);
            let mut walk = vec![];
            for _ in 0..4 * inputs + 2 * number {
                walk.push(x[place as usize]);
                if inputs > 1 && !(0..inputs as isize).contains(&(place + step)) { step = -step }
                place += step;
            }
            let period = 2 * (inputs - 1);
            let start = (period - number % period) % period;
            let padded = apply(LinearMap::reflect_padding(inputs, number));
            prop_assert_eq!(&padded[..], &walk[start..start + inputs + 2 * number]);
        } else {
            prop_assert!(LinearMap::reflect_padding(inputs, number).is_none());
        }

        let mut padded = vec![x[0]; number];
        padded.extend(&x);
        padded.extend(vec![x[inputs - 1]; number]);
        prop_assert_eq!(apply(LinearMap::replicate_padding(inputs, number)), padded);

        let mut padded = vec![0.0; number];
        padded.extend(&x);
        padded.extend(vec![0.0; number]);
        prop_assert_eq!(apply(LinearMap::zero_padding(inputs, number)), padded);

        let repeated: Vec<f32> = x.iter().flat_map(|&x| vec![x; number]).collect();
        prop_assert_eq!(apply(LinearMap::nearest(inputs, number)), repeated);

        // A neighbourhood has every number that lies in it, be it with a part.
        let means = apply(LinearMap::adaptive_mean(inputs, number));
        for (y, mean) in means.iter().enumerate() {
            let (from, to) = (y as f64 / number as f64, (y + 1) as f64 / number as f64);
            let inside: Vec<f64> = x.iter().enumerate().filter(|(i, _)| {
                let (start, end) = (*i as f64 / inputs as f64, (i + 1) as f64 / inputs as f64);
                start.max(from) + 1e-9 < end.min(to)
            }).map(|(_, &x)| f64::from(x)).collect();
            close(&[*mean], &[inside.iter().sum::<f64>() / inside.len() as f64])?;
        }

        // The broken line through the centres of the pixels, level in front of the first and behind the last.
        let enlarged = apply(LinearMap::linear(inputs, number));
        for (y, value) in enlarged.iter().enumerate() {
            let place = (y as f64 + 0.5) / number as f64 - 0.5;
            let place = place.clamp(0.0, inputs as f64 - 1.0);
            let (left, right) = (place.floor() as usize, place.ceil() as usize);
            let part = place - left as f64;
            close(&[*value], &[(1.0 - part) * f64::from(x[left]) + part * f64::from(x[right])])?;
        }
    }
}
