//! The layers by hand against PyTorch, against a sum written another way, and on input that does not fit.

use dfdx::prelude::*;
use dldna::{
    simple_conv::{SimpleConv2d, SimpleConvError, SimpleMaxPool2d, Tensor4, im2col},
    summary::OutputSizeError,
};
use dldna_nn_tests::Fixture;
use proptest::prelude::{ProptestConfig, prop_assert, prop_assert_eq, proptest};

fn images_of(fixture: &Fixture, name: &str) -> Tensor4 {
    let [n, c, h, w] = fixture.shape(name).try_into().unwrap();
    Cpu::default().tensor_from_vec(fixture.tensor(name), (n, c, h, w))
}

fn vector_of(fixture: &Fixture, name: &str) -> Tensor<(usize,), f32, Cpu> {
    let values = fixture.tensor(name);
    let length = values.len();
    Cpu::default().tensor_from_vec(values, (length,))
}

fn assert_close(got: &Tensor4, want: &Tensor4, what: &str) {
    assert_eq!(got.shape(), want.shape(), "{what}");
    dldna_nn_tests::assert_close(what, &got.as_vec(), &want.as_vec());
}

#[test]
fn the_ramp_of_the_chapter_gives_pytorchs_numbers() {
    let fixture = Fixture::open("simple_conv");
    let x = images_of(&fixture, "x");
    let [in_channels, out_channels, kernel_size, padding, pool] =
        ["cin", "cout", "k", "pad", "pool"].map(|field| fixture.setting("simple", field));

    let mut conv = SimpleConv2d::new(in_channels, out_channels, kernel_size, 1, padding, 0);
    conv.weight = images_of(&fixture, "w");
    conv.bias = vector_of(&fixture, "b");
    assert_close(
        &conv.forward(&x).unwrap(),
        &images_of(&fixture, "conv"),
        "loops",
    );
    assert_close(
        &conv.forward_im2col(&x).unwrap(),
        &images_of(&fixture, "conv"),
        "im2col",
    );

    let pooled = SimpleMaxPool2d::new(pool, pool).forward(&x).unwrap();
    assert_close(&pooled, &images_of(&fixture, "pool"), "pooling");
}

#[test]
fn convolutions_equal_pytorchs() {
    let fixture = Fixture::open("conv2d");
    let mut compared = 0;
    for name in fixture.case_names() {
        let [n_in, n_out, k, stride, padding, dilation, groups] =
            ["cin", "cout", "k", "stride", "pad", "dilation", "groups"]
                .map(|field| fixture.setting(&name, field));
        if dilation != 1 || groups != 1 {
            continue;
        }
        let mut conv = SimpleConv2d::new(n_in, n_out, k, stride, padding, 0);
        conv.weight = images_of(&fixture, &format!("{name}/w"));
        conv.bias = vector_of(&fixture, &format!("{name}/b"));
        let x = images_of(&fixture, &format!("{name}/x"));
        let want = images_of(&fixture, &format!("{name}/y"));
        assert_close(&conv.forward(&x).unwrap(), &want, &name);
        assert_close(&conv.forward_im2col(&x).unwrap(), &want, &name);
        compared += 1;
    }
    assert!(compared > 0);
}

#[test]
fn max_poolings_equal_pytorchs() {
    let fixture = Fixture::open("pool2d");
    let mut compared = 0;
    for name in fixture.case_names() {
        if fixture.setting(&name, "pad") != 0 {
            continue;
        }
        let pool = SimpleMaxPool2d::new(
            fixture.setting(&name, "k"),
            fixture.setting(&name, "stride"),
        );
        let y = pool
            .forward(&images_of(&fixture, &format!("{name}/x")))
            .unwrap();
        assert_close(&y, &images_of(&fixture, &format!("{name}/max_y")), &name);
        compared += 1;
    }
    assert!(compared > 0);
}

/// One output value as the formula has it, padding as a condition instead of as zeros.
fn value_at(
    conv: &SimpleConv2d,
    x: &Tensor4,
    stride: usize,
    padding: usize,
    at: [usize; 4],
) -> f64 {
    let [n, co, h, w] = at;
    let (_, channels, height, width) = *x.shape();
    let (_, _, k, _) = *conv.weight.shape();
    let (pixels, weight) = (x.as_vec(), conv.weight.as_vec());
    let mut sum = f64::from(conv.bias.as_vec()[co]);
    for ci in 0..channels {
        for i in 0..k {
            for j in 0..k {
                let row = (h * stride + i) as isize - padding as isize;
                let column = (w * stride + j) as isize - padding as isize;
                if (0..height as isize).contains(&row) && (0..width as isize).contains(&column) {
                    let pixel =
                        ((n * channels + ci) * height + row as usize) * width + column as usize;
                    let tap = ((co * channels + ci) * k + i) * k + j;
                    sum += f64::from(pixels[pixel]) * f64::from(weight[tap]);
                }
            }
        }
    }
    sum
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn every_output_is_the_sum_of_the_formula(
        (batch, in_channels, out_channels) in (1..3usize, 1..4usize, 1..4usize),
        (height, width) in (1..8usize, 1..8usize),
        (k, stride, padding) in (1..5usize, 1..4usize, 0..3usize),
        seed in 0..1000u64,
    ) {
        let conv = SimpleConv2d::new(in_channels, out_channels, k, stride, padding, seed);
        let x: Tensor4 = Cpu::seed_from_u64(seed + 1).sample_normal_like(&(batch, in_channels, height, width));
        let fits = height + 2 * padding >= k && width + 2 * padding >= k;
        let y = conv.forward(&x);
        prop_assert_eq!(y.is_ok(), fits);
        let Ok(y) = y else { return Ok(()) };

        let columns = conv.forward_im2col(&x).unwrap();
        prop_assert_eq!(columns.shape(), y.shape());
        let (_, _, out_height, out_width) = *y.shape();
        prop_assert_eq!(out_height, (height + 2 * padding - k) / stride + 1);
        prop_assert_eq!(out_width, (width + 2 * padding - k) / stride + 1);
        for (index, (loops, columns)) in y.as_vec().into_iter().zip(columns.as_vec()).enumerate() {
            let at = [
                index / (out_channels * out_height * out_width),
                index / (out_height * out_width) % out_channels,
                index / out_width % out_height,
                index % out_width,
            ];
            let want = value_at(&conv, &x, stride, padding, at);
            prop_assert!((f64::from(loops) - want).abs() <= 1e-4 * want.abs().max(1.0));
            prop_assert!((f64::from(columns) - want).abs() <= 1e-4 * want.abs().max(1.0));
        }
    }
}

#[test]
fn seeded_weights_repeat_and_stay_within_the_bound() {
    let conv = SimpleConv2d::new(4, 50, 3, 1, 0, 11);
    assert_eq!(
        conv.weight.as_vec(),
        SimpleConv2d::new(4, 50, 3, 1, 0, 11).weight.as_vec()
    );
    assert_ne!(
        conv.weight.as_vec(),
        SimpleConv2d::new(4, 50, 3, 1, 0, 12).weight.as_vec()
    );

    let bound = 1.0 / 36.0f32.sqrt();
    let weight = conv.weight.as_vec();
    assert!(
        weight
            .iter()
            .chain(&conv.bias.as_vec())
            .all(|value| value.abs() <= bound)
    );
    // A uniform distribution has mean 0 and variance bound^2 / 3; 1800 samples come within a few percent.
    let mean = weight.iter().sum::<f32>() / weight.len() as f32;
    let variance = weight.iter().map(|value| value * value).sum::<f32>() / weight.len() as f32;
    assert!(mean.abs() < 0.1 * bound, "{mean}");
    assert!(
        (variance / (bound * bound / 3.0) - 1.0).abs() < 0.1,
        "{variance}"
    );
}

#[test]
fn compile_time_shapes_are_taken_too() {
    let x: Tensor<Rank4<2, 3, 6, 6>, f32, _> = Cpu::default().sample_normal();
    let y = SimpleConv2d::new(3, 5, 3, 2, 1, 7).forward(&x).unwrap();
    assert_eq!(*y.shape(), (2, 5, 3, 3));
    assert_eq!(
        *SimpleMaxPool2d::new(3, 3).forward(&x).unwrap().shape(),
        (2, 3, 2, 2)
    );
    assert_eq!(*im2col(&x, 3, 1, 0).unwrap().shape(), (2, 27, 16));
}

#[test]
fn a_broadcast_input_is_read_by_its_shape_not_by_its_storage() {
    let dev = Cpu::default();
    let row: Tensor<Rank1<4>, f32, _> = dev.tensor([1.0, 2.0, 3.0, 4.0]);
    let x = row.broadcast::<Rank4<1, 1, 4, 4>, Axes3<0, 1, 2>>();
    let y = SimpleMaxPool2d::new(2, 2).forward(&x).unwrap();
    assert_eq!(y.as_vec(), [2.0, 4.0, 2.0, 4.0]);
}

#[test]
fn max_pooling_keeps_nan_and_negative_values() {
    let dev = Cpu::default();
    let x = dev.tensor([[[[-3.0, -2.0, f32::NAN, 1.0]]]]);
    let y = SimpleMaxPool2d::new(1, 1).forward(&x).unwrap().as_vec();
    assert_eq!(y[..2], [-3.0, -2.0]);
    let x = dev.tensor([[[[f32::NAN, 1.0], [2.0, 3.0]]]]);
    assert!(SimpleMaxPool2d::new(2, 1).forward(&x).unwrap().as_vec()[0].is_nan());
    let x = dev.tensor([[[[f32::NEG_INFINITY]]]]);
    assert_eq!(
        SimpleMaxPool2d::new(1, 1).forward(&x).unwrap().as_vec(),
        [f32::NEG_INFINITY]
    );
}

fn images(shape: (usize, usize, usize, usize)) -> Tensor4 {
    Cpu::default().zeros_like(&shape)
}

#[test]
fn what_does_not_fit_is_an_error_that_says_so() {
    let x = images((1, 3, 4, 4));
    let error = SimpleConv2d::new(2, 1, 3, 1, 0, 0).forward(&x).unwrap_err();
    assert_eq!(
        error,
        SimpleConvError::Channels {
            expected: 2,
            actual: 3,
            shape: [1, 3, 4, 4]
        }
    );
    assert_eq!(
        error.to_string(),
        "the layer expects the shape [batch, 2, height, width], but the input has [1, 3, 4, 4]"
    );

    let output_size = |kernel, stride, padding| {
        let conv = SimpleConv2d::new(3, 1, kernel, stride, padding, 0);
        let errors = [
            conv.forward(&x).unwrap_err(),
            conv.forward_im2col(&x).unwrap_err(),
        ];
        assert_eq!(errors[0], errors[1]);
        match &errors[0] {
            SimpleConvError::OutputSize { source, .. } => *source,
            other => panic!("{other}"),
        }
    };
    assert_eq!(output_size(0, 1, 0), OutputSizeError::Zero("kernel"));
    assert_eq!(output_size(3, 0, 0), OutputSizeError::Zero("stride"));
    assert_eq!(
        output_size(7, 1, 1),
        OutputSizeError::KernelTooLarge {
            span: 7,
            padded_input: 6
        }
    );
    assert_eq!(output_size(3, 1, usize::MAX), OutputSizeError::Overflow);
    let huge = SimpleConv2d::new(3, 1, 3, 1, 1 << 40, 0)
        .forward(&x)
        .unwrap_err();
    assert!(matches!(huge, SimpleConvError::TooLarge { .. }), "{huge}");

    let mut conv = SimpleConv2d::new(3, 2, 3, 1, 0, 0);
    conv.weight = images((2, 3, 3, 2));
    let (expected, actual) = ([2, 3, 3, 3], [2, 3, 3, 2]);
    assert_eq!(
        conv.forward(&x).unwrap_err(),
        SimpleConvError::WeightShape { expected, actual }
    );

    let mut conv = SimpleConv2d::new(3, 2, 3, 1, 0, 0);
    conv.bias = Cpu::default().zeros_like(&(3,));
    assert_eq!(
        conv.forward(&x).unwrap_err(),
        SimpleConvError::BiasLength {
            expected: 2,
            actual: 3
        }
    );

    for pool in [
        SimpleMaxPool2d::new(0, 1),
        SimpleMaxPool2d::new(2, 0),
        SimpleMaxPool2d::new(5, 1),
    ] {
        assert!(matches!(
            pool.forward(&x).unwrap_err(),
            SimpleConvError::OutputSize { .. }
        ));
    }
    assert!(im2col(&x, 5, 1, 0).is_err());
    assert!(
        SimpleMaxPool2d::new(1, 1)
            .forward(&images((1, 1, 0, 3)))
            .is_err()
    );
}

#[test]
fn an_empty_batch_gives_an_empty_result() {
    let y = SimpleConv2d::new(1, 2, 3, 1, 0, 0)
        .forward(&images((0, 1, 4, 4)))
        .unwrap();
    assert_eq!(*y.shape(), (0, 2, 2, 2));
    let conv = SimpleConv2d::new(1, 2, 3, 1, 0, 0);
    let y = conv.forward_im2col(&images((0, 1, 4, 4))).unwrap();
    assert_eq!(*y.shape(), (0, 2, 2, 2));
}
