//! On one number of threads results are the same to the last bit. On another they are the same up to rounding: how a
//! product is divided among threads decides in which order its sums are taken.

use dldna_nn::kernels::conv2d::Conv2d;
use dldna_nn::kernels::depthwise::Depthwise;
use dldna_nn::kernels::epilogue::Epilogue;
use dldna_nn::kernels::window::Window;
use dldna_nn::prelude::*;
use dldna_nn::resnet::BasicBlock;

/// Elements in -0.5..0.5 that look random.
fn values(seed: u32, count: usize) -> Vec<f32> {
    let mut state = seed;
    let next = || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 8) as f32 / (1 << 24) as f32 - 0.5
    };
    std::iter::repeat_with(next).take(count).collect()
}

/// The results of `work` on so many threads.
fn on<R: Send>(threads: usize, work: impl FnOnce() -> R + Send) -> R {
    let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build();
    pool.unwrap().install(work)
}

/// Fails unless `work` gives the same bits each time, and on every number of threads the same up to a share of 2^-16 of the
/// largest element.
fn check<const N: usize>(what: &str, work: impl Fn() -> [Vec<f32>; N] + Sync) {
    let want = on(1, &work);
    for threads in [1, 2, 3, 16] {
        let once = on(threads, &work);
        for _ in 0..3 {
            let bits = |results: &[Vec<f32>; N]| {
                let all = results.iter().flatten();
                all.map(|value| value.to_bits()).collect::<Vec<_>>()
            };
            let again = on(threads, &work);
            assert!(
                bits(&once) == bits(&again),
                "{what}: {threads} threads give two results"
            );
        }
        for (i, (got, want)) in once.iter().zip(&want).enumerate() {
            let largest = want
                .iter()
                .fold(0f32, |largest, value| largest.max(value.abs()));
            let pairs = got.iter().zip(want).map(|(got, want)| (got - want).abs());
            let error = pairs.fold(0f32, f32::max);
            assert!(
                error <= largest * 2f32.powi(-16),
                "{what}, result {i}: 1 and {threads} threads differ by {error} of {largest}"
            );
        }
    }
}

#[test]
fn convolutions_repeat() {
    for (images, inputs, outputs, kernel, stride, size) in [
        (128, 64, 64, 3, 1, 1),
        (128, 256, 64, 3, 1, 2),
        (96, 128, 16, 3, 1, 4),
        (33, 256, 40, 3, 1, 7),
        (5, 64, 16, 3, 2, 28),
        (9, 16, 16, 3, 1, 14),
        (17, 3, 8, 7, 2, 28),
        (70, 64, 32, 1, 1, 7),
        (3, 512, 3, 5, 1, 12),
    ] {
        let what = format!(
            "{images} images, {inputs} to {outputs} channels, {kernel}x{kernel}, {size}x{size}"
        );
        let window = Window::square(kernel, stride, kernel / 2, 1);
        let conv = Conv2d::new(inputs, outputs, window, (size, size)).unwrap();
        let pixels = conv.output_size().0 * conv.output_size().1;
        let x = values(1, images * inputs * size * size);
        let w = values(2, outputs * inputs * kernel * kernel);
        let d_y = values(3, images * outputs * pixels);
        // Gradients are added to what is there.
        let (d_x, d_w) = (values(4, x.len()), values(5, w.len()));
        check(&what, || {
            let (mut y, mut d_x, mut d_w) = (vec![0.0; d_y.len()], d_x.clone(), d_w.clone());
            conv.forward(&x, &w, &Epilogue::default(), &mut y);
            conv.backward_input(&w, &d_y, &mut d_x);
            conv.backward_weight(&x, &d_y, &mut d_w);
            [y, d_x, d_w]
        });
    }
}

#[test]
fn depthwise_convolutions_repeat() {
    for (images, channels, kernel, stride, size) in
        [(9, 5, 3, 1, 9), (64, 3, 5, 2, 14), (3, 40, 7, 1, 7)]
    {
        let window = Window::square(kernel, stride, kernel / 2, 1);
        let conv = Depthwise::new(channels, window, (size, size)).unwrap();
        let pixels = conv.output_size().0 * conv.output_size().1;
        let x = values(1, images * channels * size * size);
        let w = values(2, channels * kernel * kernel);
        let d_y = values(3, images * channels * pixels);
        check("depthwise", || {
            let [mut y, mut d_x, mut d_w] = [&d_y, &x, &w].map(|like| vec![0.0; like.len()]);
            conv.forward(&x, &w, &Epilogue::default(), &mut y);
            conv.backward_input(&w, &d_y, &mut d_x);
            conv.backward_weight(&x, &d_y, &mut d_w);
            [y, d_x, d_w]
        });
    }
}

#[test]
fn a_step_of_training_repeats() {
    type Network = (
        (
            BiasedConv2D<1, 16, 3, 1, 1>,
            BatchNorm2D<16>,
            ReLU,
            MaxPool2D<2, 2>,
        ),
        BasicBlock<16, 32, 2>,
        LayerNorm2D<32>,
        AvgPoolGlobal,
        Linear<32, 10>,
    );
    for images in [3, 37, 128] {
        check(&format!("{images} images"), || {
            let dev = Cpu::seed_from_u64(0);
            let mut network = dev.build_module::<Network, f32>();
            let x = dev.sample_normal_like(&(images, Const::<1>, 16, 16));
            let logits = network.forward_mut(x.leaky_trace());
            let y = logits.as_vec();
            let gradients = logits.square().sum::<Rank0, _>().backward();
            [
                y,
                gradients.get(&x).as_vec(),
                gradients.get(&network.0.0.weight).as_vec(),
                gradients.get(&network.0.0.bias).as_vec(),
                gradients.get(&network.1.conv1.weight).as_vec(),
                gradients.get(&network.1.conv2.weight).as_vec(),
                gradients.get(&network.2.scale).as_vec(),
                gradients.get(&network.4.weight).as_vec(),
            ]
        });
    }
}
