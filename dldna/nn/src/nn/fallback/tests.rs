//! Against the CPU's kernels, which know nothing of this module. The workspace is so small that small batches come in
//! several chunks.

use super::super::device::{Backward, *};
use super::Fallback;
use crate::kernels::activation::Activation;
use crate::kernels::separable::{LinearMap, SeparableMap};
use crate::kernels::window::Window;
use dfdx::prelude::*;
use proptest::prelude::*;

const SMALL: Fallback = Fallback { workspace: 1 << 9 };

/// An operation, as both compute it, and whose gradients are compared.
struct Compared<'a> {
    kernel: Result<Operation<Cpu>, CpuError>,
    fallback: Result<Operation<Cpu>, CpuError>,
    batches: &'a [&'a Batch<Cpu>],
    channels: &'a [&'a Channels<Cpu>],
}

impl Compared<'_> {
    /// Results and gradients are the same, or both are errors.
    fn agree(self) -> Result<(), TestCaseError> {
        let (kernel, fallback) = match (self.kernel, self.fallback) {
            (Ok(kernel), Ok(fallback)) => (kernel, fallback),
            (kernel, fallback) => {
                prop_assert_eq!(kernel.is_err(), fallback.is_err());
                return Ok(());
            }
        };
        same(&kernel.output.as_vec(), &fallback.output.as_vec())?;
        let d_output = kernel
            .output
            .device()
            .sample_normal_like(kernel.output.shape());
        let gradients = |Operation { output, backward }: Operation<Cpu>| {
            let mut gradients = Gradients::leaky();
            *gradients.get_or_alloc_mut(&output).unwrap() = cached(d_output.as_vec());
            backward(&mut gradients).unwrap();
            let batches = self.batches.iter().map(|x| {
                gradients.try_alloc_for(*x).unwrap();
                gradients.get(*x).as_vec()
            });
            let mut all: Vec<Vec<f32>> = batches.collect();
            for x in self.channels {
                gradients.try_alloc_for(*x).unwrap();
                all.push(gradients.get(*x).as_vec());
            }
            all
        };
        for (one, other) in gradients(kernel).iter().zip(&gradients(fallback)) {
            same(one, other)?;
        }
        Ok(())
    }
}

/// Elements as dfdx keeps gradients.
fn cached(values: Vec<f32>) -> <Cpu as Storage<f32>>::Vec {
    let mut storage = Storage::<f32>::try_alloc_len(&Cpu::default(), values.len()).unwrap();
    storage.copy_from_slice(&values);
    storage
}

fn same(one: &[f32], other: &[f32]) -> Result<(), TestCaseError> {
    prop_assert_eq!(one.len(), other.len());
    let largest = one.iter().fold(1f32, |largest, v| largest.max(v.abs()));
    for (index, (one, other)) in one.iter().zip(other).enumerate() {
        let near = (one - other).abs() <= 1e-4 * largest;
        prop_assert!(near, "element {index}: {one} and {other}");
    }
    Ok(())
}

/// An operation, and the backward pass of the one in front of it.
fn behind(first: Option<Backward<Cpu>>, second: Operation<Cpu>) -> Operation<Cpu> {
    let Operation { output, backward } = second;
    let backward: Backward<Cpu> = Box::new(move |gradients| {
        backward(gradients)?;
        first.map_or(Ok(()), |first| first(gradients))
    });
    Operation { output, backward }
}

fn compare_convolution(
    x: &Batch<Cpu>,
    weight: Batch<Cpu>,
    window: Window,
    groups: usize,
) -> Result<(), TestCaseError> {
    let bias = x.device().sample_normal_like(&(weight.shape().0,));
    let conv = Convolution {
        weight,
        bias: Some(bias),
        window,
        groups,
    };
    let (weight, bias) = (conv.weight.clone(), conv.bias.clone().unwrap());
    Compared {
        kernel: Cpu::conv2d(Input::Images(x.clone()), conv.clone()),
        fallback: SMALL.conv2d(x.clone(), conv),
        batches: &[x, &weight],
        channels: &[&bias],
    }
    .agree()
}

/// Convolution, batch norm, shortcut and activation, in training and in evaluation.
fn compare_norm(
    x: &Batch<Cpu>,
    shortcut: Option<&Batch<Cpu>>,
    activation: Activation,
) -> Result<(), TestCaseError> {
    let dev = x.device();
    let weight = dev.sample_normal_like(&(4, x.shape().1, 3, 3));
    let [conv_bias, scale, bias]: [Channels<Cpu>; 3] =
        std::array::from_fn(|_| dev.sample_normal_like(&(4,)));
    let conv = Convolution {
        weight: weight.clone(),
        bias: Some(conv_bias.clone()),
        window: Window::square(3, 1, 1, 1),
        groups: 1,
    };
    let norm = NormParameters {
        scale: scale.clone(),
        bias: bias.clone(),
        epsilon: 1e-5,
    };
    let epilogue = Epilogue {
        shortcut: shortcut.cloned(),
        activation,
    };
    let of = || SMALL.conv2d_statistics(x.clone(), conv.clone()).unwrap();
    let of_kernel = || Cpu::conv2d_statistics(Input::Images(x.clone()), conv.clone()).unwrap();
    let (values, statistics) = (of().values, of().statistics);
    let others = of_kernel().statistics;
    same(&statistics.mean.as_vec(), &others.mean.as_vec())?;
    same(&statistics.variance.as_vec(), &others.variance.as_vec())?;

    let mut batches = vec![x, &weight];
    batches.extend(shortcut);
    Compared {
        kernel: Cpu::batch_norm2d_train(of_kernel(), norm.clone(), epilogue.clone()),
        fallback: SMALL.batch_norm2d_train(of(), norm.clone(), epilogue.clone()),
        batches: &batches,
        channels: &[&conv_bias, &scale, &bias],
    }
    .agree()?;

    // The same without a convolution in front, where the values have the gradient.
    let kernel = Cpu::statistics(values.clone()).unwrap();
    let fallback = SMALL.statistics(values.clone()).unwrap();
    Compared {
        kernel: Cpu::batch_norm2d_train(kernel, norm.clone(), epilogue.clone()),
        fallback: SMALL.batch_norm2d_train(fallback, norm.clone(), epilogue.clone()),
        batches: &[&values],
        channels: &[&scale, &bias],
    }
    .agree()?;

    for conv in [None, Some(conv)] {
        let x = if conv.is_some() { x } else { &values };
        let kernel = Cpu::batch_norm2d_eval(
            x.clone(),
            conv.clone(),
            norm.clone(),
            statistics.clone(),
            epilogue.clone(),
        );
        let (norm, running) = (norm.clone(), statistics.clone());
        let fallback = SMALL.batch_norm2d_eval(x.clone(), conv, norm, running, epilogue.clone());
        same(&kernel.unwrap().as_vec(), &fallback.unwrap().as_vec())?;
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn windows_equal_the_kernels(
        (batch, height, width) in (1..6usize, 1..8usize, 1..8usize),
        (kernel, stride, padding, dilation) in (1..4usize, 1..3usize, 0..3usize, 1..3usize),
        seed: u64,
    ) {
        let dev = Cpu::seed_from_u64(seed);
        let x: Batch<Cpu> = dev.sample_normal_like(&(batch, 3, height, width));
        let window = Window::square(kernel, stride, padding, dilation);
        compare_convolution(&x, dev.sample_normal_like(&(4, 3, kernel, kernel)), window, 1)?;
        compare_convolution(&x, dev.sample_normal_like(&(3, 1, kernel, kernel)), window, 3)?;
        compare_convolution(&x, dev.sample_normal_like(&(6, 1, kernel, kernel)), window, 3)?;
        let four: Batch<Cpu> = dev.sample_normal_like(&(batch, 4, height, width));
        compare_convolution(&four, dev.sample_normal_like(&(6, 2, kernel, kernel)), window, 2)?;
        // Poolings have no dilation.
        let window = Window { dilation: 1, ..window };
        Compared {
            kernel: Cpu::avg_pool2d(x.clone(), window),
            fallback: SMALL.avg_pool2d(x.clone(), window),
            batches: &[&x],
            channels: &[],
        }.agree()?;
        // Of whole numbers many windows have several largest ones.
        let whole = x.as_vec().iter().map(|v| v.round()).collect();
        let x: Batch<Cpu> = dev.tensor_from_vec(whole, *x.shape());
        Compared {
            kernel: Cpu::max_pool2d(Input::Images(x.clone()), window),
            fallback: SMALL.max_pool2d(x.clone(), window),
            batches: &[&x],
            channels: &[],
        }.agree()?;
    }

    /// Convolution, batch norm and activation, whose results the operation behind them computes for itself, twice.
    #[test]
    fn what_is_computed_twice_equals_what_is_kept(
        (batch, height, width) in (2..5usize, 2..7usize, 2..7usize),
        (kernel, stride) in (1..3usize, 1..3usize),
        activation in prop::sample::select(vec![Activation::Identity, Activation::Relu, Activation::Relu6, Activation::Silu]),
        with_convolution: bool,
        seed: u64,
    ) {
        let dev = Cpu::seed_from_u64(seed);
        let x: Batch<Cpu> = dev.sample_normal_like(&(batch, 3, height, width));
        let weight: Batch<Cpu> = dev.sample_normal_like(&(3, 3, 3, 3));
        let next: Batch<Cpu> = dev.sample_normal_like(&(4, 3, kernel, kernel));
        let [scale, bias]: [Channels<Cpu>; 2] = std::array::from_fn(|_| dev.sample_normal_like(&(3,)));
        let norm = NormParameters { scale: scale.clone(), bias: bias.clone(), epsilon: 1e-5 };
        let conv = |weight: &Batch<Cpu>, window| Convolution { weight: weight.clone(), bias: None, window, groups: 1 };
        let first = conv(&weight, Window::square(3, 1, 1, 1));
        let window = Window::square(kernel, stride, 0, 1);

        let later = || {
            let of = match with_convolution {
                true => Cpu::conv2d_statistics(Input::Images(x.clone()), first.clone()),
                false => Cpu::statistics(x.clone()),
            };
            let later = Cpu::batch_norm2d_later(of.unwrap(), norm.clone(), activation).unwrap();
            match later {
                Later::Normalised(normalised) => (Input::Normalised(normalised), None),
                Later::Computed(operation) => (Input::Images(operation.output), Some(operation.backward)),
            }
        };
        let kept = || {
            let of = match with_convolution {
                true => SMALL.conv2d_statistics(x.clone(), first.clone()),
                false => SMALL.statistics(x.clone()),
            };
            let epilogue = Epilogue { shortcut: None, activation };
            let operation = SMALL.batch_norm2d_train(of.unwrap(), norm.clone(), epilogue).unwrap();
            (operation.output, Some(operation.backward))
        };
        let batches: &[&Batch<Cpu>] = if with_convolution { &[&x, &weight] } else { &[&x] };
        let channels = &[&scale, &bias];
        let ((input, backward), (results, kept_backward)) = (later(), kept());
        Compared {
            kernel: Cpu::max_pool2d(input, window).map(|operation| behind(backward, operation)),
            fallback: SMALL.max_pool2d(results, window).map(|operation| behind(kept_backward, operation)),
            batches,
            channels,
        }.agree()?;
        let ((input, backward), (results, kept_backward)) = (later(), kept());
        let second = conv(&next, window);
        Compared {
            kernel: Cpu::conv2d(input, second.clone()).map(|operation| behind(backward, operation)),
            fallback: SMALL.conv2d(results, second).map(|operation| behind(kept_backward, operation)),
            batches: &[batches, &[&next]].concat(),
            channels,
        }.agree()?;
        if let (Input::Normalised(normalised), _) = later() {
            let (results, backward) = kept();
            Compared {
                kernel: Cpu::compute(normalised),
                fallback: Ok(Operation { output: results, backward: backward.unwrap() }),
                batches,
                channels,
            }.agree()?;
        }
    }

    #[test]
    fn transposed_windows_equal_the_kernels(
        (batch, height, width) in (1..6usize, 1..6usize, 1..6usize),
        (kernel, stride, padding) in (1..4usize, 1..4usize, 0..3usize),
        seed: u64,
    ) {
        let dev = Cpu::seed_from_u64(seed);
        let x: Batch<Cpu> = dev.sample_normal_like(&(batch, 3, height, width));
        let weight: Batch<Cpu> = dev.sample_normal_like(&(3, 2, kernel, kernel));
        let window = Window::square(kernel, stride, padding, 1);
        Compared {
            kernel: Cpu::conv_transpose2d(x.clone(), weight.clone(), window),
            fallback: SMALL.conv_transpose2d(x.clone(), weight.clone(), window),
            batches: &[&x, &weight],
            channels: &[],
        }.agree()?;
    }

    #[test]
    fn maps_of_rows_and_columns_equal_the_kernels(
        (batch, height, width) in (1..6usize, 1..6usize, 1..6usize),
        number in 1..5usize,
        seed: u64,
    ) {
        let dev = Cpu::seed_from_u64(seed);
        let x: Batch<Cpu> = dev.sample_normal_like(&(batch, 3, height, width));
        for (rows, columns) in [
            (LinearMap::zero_padding(height, number), LinearMap::adaptive_mean(width, number)),
            (LinearMap::linear(height, number), LinearMap::replicate_padding(width, number)),
        ] {
            let map = SeparableMap { rows: rows.unwrap(), columns: columns.unwrap() };
            Compared {
                kernel: Cpu::separable_map(x.clone(), map.clone()),
                fallback: SMALL.separable_map(x.clone(), map),
                batches: &[&x],
                channels: &[],
            }.agree()?;
        }
    }

    #[test]
    fn norms_equal_the_kernels(
        (batch, height, width) in (1..6usize, 1..6usize, 1..6usize),
        seed: u64,
    ) {
        // Of few values the deviation can be next to nothing, and the gradients are then next to infinite.
        prop_assume!(batch * height * width > 7);
        let dev = Cpu::seed_from_u64(seed);
        let x: Batch<Cpu> = dev.sample_normal_like(&(batch, 3, height, width));
        let shortcut: Batch<Cpu> = dev.sample_normal_like(&(batch, 4, height, width));
        compare_norm(&x, None, Activation::Identity)?;
        compare_norm(&x, None, Activation::Silu)?;
        compare_norm(&x, Some(&shortcut), Activation::Relu)?;
        compare_norm(&x, Some(&shortcut), Activation::Relu6)?;
        let [scale, bias]: [Channels<Cpu>; 2] = std::array::from_fn(|_| dev.sample_normal_like(&(3,)));
        let norm = NormParameters { scale: scale.clone(), bias: bias.clone(), epsilon: 1e-6 };
        Compared {
            kernel: Cpu::layer_norm2d(x.clone(), norm.clone()),
            fallback: SMALL.layer_norm2d(x.clone(), norm),
            batches: &[&x],
            channels: &[&scale, &bias],
        }.agree()?;
    }

    #[test]
    fn elementwise_operations_equal_the_kernels(
        (batch, height, width) in (1..6usize, 1..6usize, 1..6usize),
        seed: u64,
    ) {
        let dev = Cpu::seed_from_u64(seed);
        let x: Batch<Cpu> = dev.sample_normal_like(&(batch, 3, height, width));
        let y: Batch<Cpu> = dev.sample_normal_like(&(batch, 3, height, width));
        let factors: Batch<Cpu> = dev.sample_normal_like(&(batch, 3, 1, 1));
        let [scale, offset]: [Channels<Cpu>; 2] = std::array::from_fn(|_| dev.sample_normal_like(&(3,)));
        let compare = |kernel, fallback, batches: &[&Batch<Cpu>], channels: &[&Channels<Cpu>]| {
            Compared { kernel, fallback, batches, channels }.agree()
        };
        let (a, b) = (|| x.clone(), || y.clone());
        for activation in [Activation::Relu, Activation::Relu6, Activation::Silu, Activation::Gelu, Activation::Sigmoid] {
            compare(Cpu::activate(a(), activation), SMALL.activate(a(), activation), &[&x], &[])?;
        }
        compare(Cpu::add(a(), b()), SMALL.add(a(), b()), &[&x, &y], &[])?;
        compare(Cpu::multiply(a(), b()), SMALL.multiply(a(), b()), &[&x], &[])?;
        compare(Cpu::concat(vec![a(), b()]), SMALL.concat(vec![a(), b()]), &[&x, &y], &[])?;
        compare(Cpu::global_avg_pool2d(a()), SMALL.global_avg_pool2d(a()), &[&x], &[])?;
        let scaled = SMALL.scale_channels(a(), factors.clone());
        compare(Cpu::scale_channels(a(), factors.clone()), scaled, &[&x, &factors], &[])?;
        let (f, o) = (|| Some(scale.clone()), || Some(offset.clone()));
        compare(Cpu::affine(a(), f(), o()), SMALL.affine(a(), f(), o()), &[&x], &[&scale, &offset])?;

        let vectors: Batch<Cpu> = dev.sample_normal_like(&(batch, 5, 1, 1));
        let weight: Tensor<(usize, usize), f32, Cpu> = dev.sample_normal_like(&(3, 5));
        compare(
            Cpu::linear(vectors.clone(), weight.clone(), o()),
            SMALL.linear(vectors.clone(), weight.clone(), o()),
            &[&vectors],
            &[&offset],
        )?;
    }
}

#[test]
fn large_batches_come_in_chunks_that_fit() {
    let chunks = |batch, elements| -> Vec<usize> {
        let chunks = SMALL.chunks(batch, elements);
        chunks.iter().map(|chunk| chunk.len()).collect()
    };
    assert_eq!(chunks(7, SMALL.workspace / 3), [3, 3, 1]);
    assert_eq!(chunks(3, 2 * SMALL.workspace), [1, 1, 1]); // more than fits, and nothing smaller
    assert_eq!(chunks(5, 1), [5]);
    assert!(chunks(0, 1).is_empty());
}

#[test]
fn what_is_not_a_number_stays_so() {
    let x: Batch<Cpu> = Cpu::default().tensor_from_vec(vec![f32::NAN], (1, 1, 1, 1));
    for activation in [
        Activation::Relu,
        Activation::Relu6,
        Activation::Silu,
        Activation::Gelu,
    ] {
        let y = SMALL.activate(x.clone(), activation).unwrap().output;
        assert!(y.as_vec()[0].is_nan(), "{activation:?}");
    }
}
