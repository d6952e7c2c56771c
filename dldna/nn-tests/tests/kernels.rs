//! The kernels against PyTorch and against the definitions, for random shapes.

use dldna_nn::kernels::activation::Activation;
use dldna_nn::kernels::batch_norm::BatchNorm;
use dldna_nn::kernels::conv2d::{Conv2d, backward_bias};
use dldna_nn::kernels::depthwise::Depthwise;
use dldna_nn::kernels::epilogue::Epilogue;
use dldna_nn::kernels::pool2d::Pool2d;
use dldna_nn::kernels::window::Window;
use dldna_nn_tests::{Fixture, assert_close};
use proptest::prelude::*;
use std::ops::Range;

#[test]
fn conv2d_equals_pytorch() {
    let fixture = Fixture::open("conv2d");
    let mut tried = 0;
    for case in fixture.case_names() {
        let setting = |name| fixture.setting(&case, name);
        let tensor = |name: &str| fixture.tensor(&format!("{case}/{name}"));
        let window = Window::square(
            setting("k"),
            setting("stride"),
            setting("pad"),
            setting("dilation"),
        );
        let size = (setting("h"), setting("w"));
        let (x, w, b, d_y) = (tensor("x"), tensor("w"), tensor("b"), tensor("gy"));
        let mut y = vec![0.0; d_y.len()];
        let (mut d_x, mut d_w) = (vec![0.0; x.len()], vec![0.0; w.len()]);
        let channels = (setting("cin"), setting("cout"));
        let pixels = d_y.len() / setting("n") / channels.1;
        match setting("groups") {
            1 => {
                let conv = Conv2d::new(channels.0, channels.1, window, size).unwrap();
                conv.forward(&x, &w, &Epilogue::bias(&b), &mut y);
                conv.backward_weight(&x, &d_y, &mut d_w);
                conv.backward_input(&w, &d_y, &mut d_x);
            }
            groups if groups == channels.0 && groups == channels.1 => {
                let conv = Depthwise::new(channels.0, window, size).unwrap();
                conv.forward(&x, &w, &Epilogue::default(), &mut y);
                for (plane, bias) in y.chunks_exact_mut(pixels).zip(b.iter().cycle()) {
                    plane.iter_mut().for_each(|value| *value += bias);
                }
                conv.backward_weight(&x, &d_y, &mut d_w);
                conv.backward_input(&w, &d_y, &mut d_x);
            }
            groups => panic!("{case}: no layer for {groups} groups"),
        }
        let mut d_b = vec![0.0; b.len()];
        backward_bias(&d_y, pixels, &mut d_b);
        assert_close(&format!("{case} y"), &y, &tensor("y"));
        assert_close(&format!("{case} gx"), &d_x, &tensor("gx"));
        assert_close(&format!("{case} gw"), &d_w, &tensor("gw"));
        assert_close(&format!("{case} gb"), &d_b, &tensor("gb"));
        tried += 1;
    }
    assert!(tried > 0);
}

#[test]
fn pooling_equals_pytorch() {
    let fixture = Fixture::open("pool2d");
    for case in fixture.case_names() {
        let setting = |name| fixture.setting(&case, name);
        let tensor = |name: &str| fixture.tensor(&format!("{case}/{name}"));
        let window = Window::square(setting("k"), setting("stride"), setting("pad"), 1);
        let pool = Pool2d::new(window, (setting("h"), setting("w"))).unwrap();
        let x = tensor("x");

        let mut y = vec![0.0; tensor("max_y").len()];
        let winners = pool.max(&x, &mut y);
        assert_eq!(y, tensor("max_y"), "{case}");
        let mut d_x = vec![0.0; x.len()];
        pool.max_backward(&winners, &tensor("max_gy"), &mut d_x);
        assert_close(&case, &d_x, &tensor("max_gx"));

        pool.average(&x, &mut y);
        assert_close(&case, &y, &tensor("avg_y"));
        d_x.fill(0.0);
        pool.average_backward(&tensor("avg_gy"), &mut d_x);
        assert_close(&case, &d_x, &tensor("avg_gx"));
    }
}

#[test]
fn batch_norm_equals_pytorch() {
    let fixture = Fixture::open("batchnorm2d");
    for case in fixture.case_names() {
        let tensor = |name: &str| fixture.tensor(&format!("{case}/{name}"));
        let norm = BatchNorm {
            channels: fixture.setting(&case, "c"),
            pixels: fixture.setting(&case, "h") * fixture.setting(&case, "w"),
            epsilon: 1e-5,
        };
        let (x, scale, bias) = (tensor("x"), tensor("weight"), tensor("bias"));
        let statistics = norm.statistics(&x);
        let mut y = vec![0.0; x.len()];
        let lines = norm.lines(&statistics, &scale, &bias);
        norm.normalize(
            &x,
            &Epilogue {
                lines,
                ..Epilogue::default()
            },
            &mut y,
        );
        assert_close(&format!("{case} y"), &y, &tensor("y_train"));

        let mut d_x = tensor("gy");
        let (mut d_scale, mut d_bias) = (vec![0.0; scale.len()], vec![0.0; bias.len()]);
        norm.backward(&x, &statistics, &scale, &mut d_x, &mut d_scale, &mut d_bias);
        assert_close(&format!("{case} gx"), &d_x, &tensor("gx"));
        assert_close(&format!("{case} gw"), &d_scale, &tensor("gw"));
        assert_close(&format!("{case} gb"), &d_bias, &tensor("gb"));
    }
}

/// Numbers in -1..1 from a seed.
fn numbers(seed: u64, count: usize) -> Vec<f32> {
    let mut state = seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state >> 40) as f32 / (1u64 << 23) as f32 - 1.0
    };
    (0..count).map(|_| next()).collect()
}

/// The definition of the convolution, in f64, one product at a time: calls `visit(result, pixel, weight)`.
fn for_each_product(
    (batch, in_channels, out_channels): (usize, usize, usize),
    window: Window,
    (height, width): (usize, usize),
    mut visit: impl FnMut(usize, usize, usize),
) {
    let (out_height, out_width) = window.output_size(height, width).unwrap();
    for n in 0..batch {
        for o in 0..out_channels {
            for y in 0..out_height {
                for x in 0..out_width {
                    for c in 0..in_channels {
                        for i in 0..window.kernel.0 {
                            for j in 0..window.kernel.1 {
                                let row = (y * window.stride + i * window.dilation) as isize
                                    - window.padding.0 as isize;
                                let column = (x * window.stride + j * window.dilation) as isize
                                    - window.padding.1 as isize;
                                if (0..height as isize).contains(&row)
                                    && (0..width as isize).contains(&column)
                                {
                                    visit(
                                        ((n * out_channels + o) * out_height + y) * out_width + x,
                                        ((n * in_channels + c) * height + row as usize) * width
                                            + column as usize,
                                        ((o * in_channels + c) * window.kernel.0 + i)
                                            * window.kernel.1
                                            + j,
                                    );
                                }
                            }
                        }
                    }
                }
            }
        }
    }
}

fn windows() -> impl Strategy<Value = (Window, (usize, usize))> {
    windows_on(1..13, 1..13)
}

/// Windows on images with so many rows and columns.
fn windows_on(
    heights: Range<usize>,
    widths: Range<usize>,
) -> impl Strategy<Value = (Window, (usize, usize))> {
    (
        (1..6usize, 1..6usize),
        1..5usize,
        (0..4usize, 0..4usize),
        1..4usize,
        (heights, widths),
    )
        .prop_map(|(kernel, stride, padding, dilation, size)| {
            let window = Window {
                kernel,
                stride,
                padding,
                dilation,
            };
            (window, size)
        })
        .prop_filter("the window fits", |(window, size)| {
            window.output_size(size.0, size.1).is_some()
        })
}

/// Values and both gradients of a convolution with random numbers, against the definition.
fn check_conv2d(
    (batch, in_channels, out_channels): (usize, usize, usize),
    window: Window,
    size: (usize, usize),
    seed: u64,
) {
    let conv = Conv2d::new(in_channels, out_channels, window, size).unwrap();
    let out_pixels = conv.output_size().0 * conv.output_size().1;
    let x = numbers(seed, batch * in_channels * size.0 * size.1);
    let w = numbers(
        seed ^ 1,
        out_channels * in_channels * window.kernel.0 * window.kernel.1,
    );
    let b = numbers(seed ^ 2, out_channels);
    let d_y = numbers(seed ^ 3, batch * out_channels * out_pixels);
    let mut want: (Vec<f64>, Vec<f64>, Vec<f64>) =
        (vec![0.0; d_y.len()], vec![0.0; x.len()], vec![0.0; w.len()]);
    for_each_product(
        (batch, in_channels, out_channels),
        window,
        size,
        |result, pixel, weight| {
            want.0[result] += f64::from(x[pixel]) * f64::from(w[weight]);
            want.1[pixel] += f64::from(d_y[result]) * f64::from(w[weight]);
            want.2[weight] += f64::from(d_y[result]) * f64::from(x[pixel]);
        },
    );
    for (index, y) in want.0.iter_mut().enumerate() {
        *y += f64::from(b[index / out_pixels % out_channels]);
    }
    let to_f32 = |values: &[f64]| values.iter().map(|v| *v as f32).collect::<Vec<_>>();

    let (mut y, mut d_x, mut d_w) = (vec![0.0; d_y.len()], vec![0.0; x.len()], vec![0.0; w.len()]);
    conv.forward(&x, &w, &Epilogue::bias(&b), &mut y);
    conv.backward_input(&w, &d_y, &mut d_x);
    conv.backward_weight(&x, &d_y, &mut d_w);
    assert_close("y", &y, &to_f32(&want.0));
    assert_close("d_x", &d_x, &to_f32(&want.1));
    assert_close("d_w", &d_w, &to_f32(&want.2));
}

/// A convolution in which one element stands out, `extreme` in one of `[x, w, d_y]`: each result may be wrong by a share of
/// the products that it sums, and by nothing of those that it does not see.
fn check_extreme(channels: usize, operand: usize, extreme: f32, padding: usize, seed: u64) {
    let (batch, size) = (2, (16, 16));
    let window = Window::square(3, 1, padding, 1);
    let conv = Conv2d::new(channels, channels, window, size).unwrap();
    let out_pixels = conv.output_size().0 * conv.output_size().1;
    let mut operands = [
        numbers(seed, batch * channels * size.0 * size.1),
        numbers(seed ^ 1, channels * channels * 9),
        numbers(seed ^ 2, batch * channels * out_pixels),
    ];
    let index = (seed >> 8) as usize % operands[operand].len();
    operands[operand][index] = extreme;
    let [x, w, d_y] = operands;

    let [mut y, mut d_x, mut d_w] = [&d_y, &x, &w].map(|like| vec![0.0; like.len()]);
    conv.forward(&x, &w, &Epilogue::default(), &mut y);
    conv.backward_input(&w, &d_y, &mut d_x);
    conv.backward_weight(&x, &d_y, &mut d_w);

    let mut want = [&d_y, &x, &w].map(|like| vec![(0.0, 0.0); like.len()]);
    for_each_product(
        (batch, channels, channels),
        window,
        size,
        |result, pixel, weight| {
            let mut add = |of: usize, at: usize, a: f32, b: f32| {
                let product = f64::from(a) * f64::from(b);
                let (sum, magnitude): &mut (f64, f64) = &mut want[of][at];
                (*sum, *magnitude) = (*sum + product, *magnitude + product.abs());
            };
            add(0, result, x[pixel], w[weight]);
            add(1, pixel, d_y[result], w[weight]);
            add(2, weight, d_y[result], x[pixel]);
        },
    );
    // Up to 256 times the mean the fast way is taken, which is less exact.
    let share = 2f64.powi(if extreme.abs() <= 128.0 { -14 } else { -18 });
    for ((name, got), want) in [("y", y), ("d_x", d_x), ("d_w", d_w)].iter().zip(want) {
        for (i, (got, (sum, magnitude))) in got.iter().zip(want).enumerate() {
            let same = match sum.is_finite() {
                true => (f64::from(*got) - sum).abs() <= share * magnitude,
                false => f64::from(*got) == sum || (got.is_nan() && sum.is_nan()),
            };
            let of = ["x", "w", "d_y"][operand];
            assert!(same, "{extreme} in {of}: {name}[{i}] is {got}, not {sum}");
        }
    }
}

#[test]
fn an_extreme_element_spreads_over_no_result_that_does_not_see_it() {
    // Without unfolding, and by Winograd's algorithm.
    for (channels, seed) in [(3, 1), (3, 70_001), (3, 900_007), (32, 1), (32, 70_001)] {
        for operand in 0..3 {
            for extreme in [1e2, 3e3, 1e6, -1e12, 1e30] {
                check_extreme(channels, operand, extreme, 1, seed);
            }
            // Beside infinite weights zeros of the padding would be products too: 0 times infinity is not a number.
            let padding = usize::from(operand == 0);
            for extreme in [f32::INFINITY, f32::NEG_INFINITY, f32::NAN] {
                check_extreme(channels, operand, extreme, padding, seed);
            }
        }
    }
}

/// Each infinite pixel makes the gradients of those taps infinite that meet it, and of no others.
#[test]
fn an_infinite_pixel_counts_for_the_taps_of_a_depthwise_kernel_that_meet_it() {
    let (window, size) = (Window::square(3, 1, 1, 1), (4, 5));
    let conv = Depthwise::new(1, window, size).unwrap();
    for pixel in 0..20 {
        let mut x = vec![1.0; 20];
        x[pixel] = f32::INFINITY;
        let mut d_w = [0.0; 9];
        conv.backward_weight(&x, &[1.0; 20], &mut d_w);
        let mut want = [0.0; 9];
        for_each_product((1, 1, 1), window, size, |_, pixel, tap| {
            want[tap] += x[pixel]
        });
        assert_eq!(d_w, want, "pixel {pixel}");
    }
}

/// More channels than one panel of Winograd's kernels has: with few tiles, and with several blocks of them.
#[test]
fn wide_3x3_convolutions_equal_the_definition() {
    for (batch, side) in [(1, 5), (2, 24)] {
        let window = Window::square(3, 1, 1, 1);
        check_conv2d((batch, 40, 70), window, (side, side), 7);
    }
}

/// More channels than are computed at a time, and more than have their weights' gradient summed without unfolding.
#[test]
fn wide_convolutions_of_large_images_equal_the_definition() {
    check_conv2d((1, 3, 60), Window::square(5, 1, 2, 1), (50, 50), 8);
    check_conv2d((2, 30, 5), Window::square(5, 2, 2, 1), (30, 30), 9);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    /// Rectangular kernels, 1x1 images, strides larger than the kernel, dilation, any batch.
    #[test]
    fn conv2d_equals_the_definition(
        (window, size) in windows(), batch in 1..6usize, in_channels in 1..4usize, out_channels in 1..4usize, seed in any::<u64>(),
    ) {
        check_conv2d((batch, in_channels, out_channels), window, size, seed);
    }

    /// The same where the results are enough for the way without unfolding.
    #[test]
    fn conv2d_of_large_images_equals_the_definition(
        (window, size) in windows_on(8..14, 20..40), batch in 1..5usize, channels in (1..6usize, 1..6usize), seed in any::<u64>(),
    ) {
        check_conv2d((batch, channels.0, channels.1), window, size, seed);
    }

    /// Windows of one pixel: the image is used as it is.
    #[test]
    fn convolutions_of_pixels_equal_the_definition(
        batch in 1..6usize, channels in (1..6usize, 1..6usize), size in (1..30usize, 1..30usize), seed in any::<u64>(),
    ) {
        check_conv2d((batch, channels.0, channels.1), Window::square(1, 1, 0, 1), size, seed);
    }

    /// With enough channels and pixels for the fast way (Winograd's), tiles cut off at the borders and none included.
    #[test]
    fn large_3x3_convolutions_equal_the_definition(
        channels in (32..37usize, 32..37usize), size in (4..15usize, 4..15usize), padding in (0..3usize, 0..3usize),
        batch in 1..4usize, seed in any::<u64>(),
    ) {
        let window = Window { kernel: (3, 3), stride: 1, padding, dilation: 1 };
        check_conv2d((batch, channels.0, channels.1), window, size, seed);
    }

    /// What follows a convolution, done on the way, gives what it gives afterwards. The cases divide the work in other ways.
    #[test]
    fn an_epilogue_on_the_way_is_one_afterwards(
        case in prop::sample::select(vec![
            (3, 5, 3, 1, (5, 6)),    // several images in one product
            (2, 4, 3, 1, (13, 12)),  // without unfolding
            (33, 32, 3, 1, (9, 7)),  // Winograd's way, by blocks of tiles
            (40, 70, 3, 1, (5, 5)),  // .. and by panels of channels
            (3, 4, 5, 7, (1, 2)),    // kernels that meet padding alone
        ]),
        batch in 1..20usize,
        (with_shortcut, with_lines) in (any::<bool>(), any::<bool>()),
        seed in any::<u64>(),
    ) {
        let (channels, out_channels, kernel, dilation, size) = case;
        let window = Window::square(kernel, 1, kernel / 2, dilation);
        let Some(conv) = Conv2d::new(channels, out_channels, window, size) else { return Ok(()) };
        let (height, width) = conv.output_size();
        let x = numbers(seed, batch * channels * size.0 * size.1);
        let w = numbers(seed ^ 1, out_channels * channels * kernel * kernel);
        let shortcut = numbers(seed ^ 2, batch * out_channels * height * width);
        let lines = numbers(seed ^ 3, 2 * out_channels);
        let epilogue = Epilogue {
            lines: if with_lines { lines.chunks(2).map(|line| (line[0], line[1])).collect() } else { Vec::new() },
            shortcut: with_shortcut.then_some(&shortcut[..]),
            activation: Activation::Relu,
        };
        let [mut on_the_way, mut afterwards] = [(); 2].map(|_| vec![0.0; shortcut.len()]);
        conv.forward(&x, &w, &epilogue, &mut on_the_way);
        conv.forward(&x, &w, &Epilogue::default(), &mut afterwards);
        epilogue.apply_to_all(height * width, &mut afterwards);
        prop_assert_eq!(on_the_way, afterwards);
    }

    /// A depthwise convolution is a convolution whose channels do not mix.
    #[test]
    fn depthwise_equals_conv2d_of_each_channel(
        (window, size) in windows(), batch in 1..4usize, channels in 1..5usize, seed in any::<u64>(),
    ) {
        let depthwise = Depthwise::new(channels, window, size).unwrap();
        let single = Conv2d::new(1, 1, window, size).unwrap();
        let (pixels, out_pixels) = (size.0 * size.1, single.output_size().0 * single.output_size().1);
        let taps = window.kernel.0 * window.kernel.1;
        let x = numbers(seed, batch * channels * pixels);
        let w = numbers(seed ^ 1, channels * taps);
        let d_y = numbers(seed ^ 2, batch * channels * out_pixels);
        let (mut y, mut d_x, mut d_w) = (vec![0.0; d_y.len()], vec![0.0; x.len()], vec![0.0; w.len()]);
        depthwise.forward(&x, &w, &Epilogue::default(), &mut y);
        depthwise.backward_input(&w, &d_y, &mut d_x);
        depthwise.backward_weight(&x, &d_y, &mut d_w);

        let mut want = (vec![0.0; d_y.len()], vec![0.0; x.len()], vec![0.0; w.len()]);
        for plane in 0..batch * channels {
            let kernel = plane % channels * taps..(plane % channels + 1) * taps;
            let (input, output) = (plane * pixels..(plane + 1) * pixels, plane * out_pixels..(plane + 1) * out_pixels);
            single.forward(&x[input.clone()], &w[kernel.clone()], &Epilogue::default(), &mut want.0[output.clone()]);
            single.backward_input(&w[kernel.clone()], &d_y[output.clone()], &mut want.1[input.clone()]);
            single.backward_weight(&x[input], &d_y[output], &mut want.2[kernel]);
        }
        assert_close("y", &y, &want.0);
        assert_close("d_x", &d_x, &want.1);
        assert_close("d_w", &d_w, &want.2);
    }

    /// Average pooling is a convolution with equal weights.
    #[test]
    fn average_pooling_is_a_convolution_with_equal_weights(
        (window, size) in windows(), planes in 1..4usize, seed in any::<u64>(),
    ) {
        let window = Window { dilation: 1, ..window };
        let Some(pool) = Pool2d::new(window, size) else { return Ok(()) };
        let conv = Conv2d::new(1, 1, window, size).unwrap();
        let taps = window.kernel.0 * window.kernel.1;
        let weight = vec![1.0 / taps as f32; taps];
        let x = numbers(seed, planes * size.0 * size.1);
        let mut y = vec![0.0; planes * pool.output_size().0 * pool.output_size().1];
        let mut want = y.clone();
        pool.average(&x, &mut y);
        conv.forward(&x, &weight, &Epilogue::default(), &mut want);
        assert_close("y", &y, &want);
        let d_y = numbers(seed ^ 1, y.len());
        let (mut d_x, mut want) = (vec![0.0; x.len()], vec![0.0; x.len()]);
        pool.average_backward(&d_y, &mut d_x);
        conv.backward_input(&weight, &d_y, &mut want);
        assert_close("d_x", &d_x, &want);
    }

    /// Each winner is the first tap whose pixel nothing in the window exceeds, also where all are minus infinity.
    #[test]
    fn max_pooling_finds_the_largest((window, size) in windows(), lowest in -1.0f32..1.0, seed in any::<u64>()) {
        let window = Window { dilation: 1, ..window };
        let Some(pool) = Pool2d::new(window, size) else { return Ok(()) };
        let mut x = numbers(seed, size.0 * size.1);
        x.iter_mut().filter(|x| **x < lowest).for_each(|x| *x = f32::NEG_INFINITY);
        let mut y = vec![0.0; pool.output_size().0 * pool.output_size().1];
        let winners = pool.max(&x, &mut y);
        let (mut largest, mut want) = (vec![f32::NEG_INFINITY; y.len()], vec![None; y.len()]);
        for_each_product((1, 1, 1), window, size, |result, pixel, tap| {
            if want[result].is_none() || x[pixel] > largest[result] {
                (largest[result], want[result]) = (x[pixel], Some((tap as u32, pixel)));
            }
        });
        prop_assert_eq!(&y, &largest);
        let want: Vec<_> = want.into_iter().map(|want| want.expect("a window holds a pixel")).collect();
        prop_assert_eq!(&winners, &want.iter().map(|(tap, _)| *tap).collect::<Vec<_>>());
        // Whole numbers, whose sums are exact in any order.
        let d_y: Vec<f32> = (0..y.len()).map(|result| (result % 7) as f32).collect();
        let (mut d_x, mut d_want) = (vec![1.0; x.len()], vec![1.0; x.len()]);
        pool.max_backward(&winners, &d_y, &mut d_x);
        want.iter().zip(&d_y).for_each(|((_, pixel), d_y)| d_want[*pixel] += d_y);
        prop_assert_eq!(d_x, d_want);
        pool.max_alone(&x, &mut y);
        prop_assert_eq!(y, largest);
    }

    /// The gradients of batch normalisation against central differences in f64.
    #[test]
    fn batch_norm_gradients_equal_finite_differences(
        batch in 1..4usize, channels in 1..4usize, pixels in 1..5usize, seed in any::<u64>(),
    ) {
        prop_assume!(batch * pixels >= 3);
        let norm = BatchNorm { channels, pixels, epsilon: 1e-2 };
        let x = numbers(seed, batch * channels * pixels);
        let (scale, bias, d_y) = (numbers(seed ^ 1, channels), numbers(seed ^ 2, channels), numbers(seed ^ 3, x.len()));
        let loss = |x: &[f64], scale: &[f64], bias: &[f64]| -> f64 {
            (0..channels).map(|c| {
                let at = |n: usize, p: usize| (n * channels + c) * pixels + p;
                let all: Vec<usize> = (0..batch).flat_map(|n| (0..pixels).map(move |p| at(n, p))).collect();
                let count = all.len() as f64;
                let mean = all.iter().map(|&i| x[i]).sum::<f64>() / count;
                let variance = all.iter().map(|&i| (x[i] - mean).powi(2)).sum::<f64>() / count;
                all.iter().map(|&i| f64::from(d_y[i]) * ((x[i] - mean) / (variance + 1e-2).sqrt() * scale[c] + bias[c])).sum::<f64>()
            }).sum()
        };
        let wide = |values: &[f32]| values.iter().map(|v| f64::from(*v)).collect::<Vec<f64>>();
        let point = [wide(&x), wide(&scale), wide(&bias)];
        let differences = |which: usize| -> Vec<f32> {
            (0..point[which].len()).map(|i| {
                let step = 1e-5;
                let (mut up, mut down) = (point.clone(), point.clone());
                up[which][i] += step;
                down[which][i] -= step;
                ((loss(&up[0], &up[1], &up[2]) - loss(&down[0], &down[1], &down[2])) / (2.0 * step)) as f32
            }).collect()
        };
        let (mut d_x, mut d_scale, mut d_bias) = (d_y.clone(), vec![0.0; channels], vec![0.0; channels]);
        norm.backward(&x, &norm.statistics(&x), &scale, &mut d_x, &mut d_scale, &mut d_bias);
        assert_close("d_x", &d_x, &differences(0));
        assert_close("d_scale", &d_scale, &differences(1));
        assert_close("d_bias", &d_bias, &differences(2));
    }
}
