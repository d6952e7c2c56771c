//! Advanced 5: the block of ConvNeXt. Liu et al., *A ConvNet for the 2020s*, 2022.

use super::{Exercise, FunctionCheck, Part, WRITTEN, draw, vector};
use crate::convnext::{ConvNeXtBlock, modules};
use crate::exercises::{Answer, value::matrix};
use crate::nn::GELU;
use crate::summary::Summary;
use dfdx::prelude::*;
use ndarray::{Array1, Array2, Axis};
use rand::{SeedableRng, rngs::StdRng};

pub(super) const EXERCISE: Exercise = Exercise {
    id: "advanced-5",
    title: "A ConvNeXt block",
    parts: &[
        Part {
            name: "channel_norm",
            hints: &[
                "Which numbers share a mean: those of one channel, or those of one pixel?",
                "Go pixel by pixel, that is column by column. Take the mean over the rows, then the mean of the squared \
                 differences.",
                "scale[c] * (x - mean) / (variance + 1e-6).sqrt() + bias[c]",
            ],
        },
        Part {
            name: "convnext_block",
            hints: &[
                "Follow the table of the block from top to bottom. Each layer is a field of `block`, and has `forward`.",
                "depthwise, depthwise_bias, norm, expand, GELU, project. What are you still to do with the result before it is \
                 added to x?",
                "y * block.layer_scale.factors.clone().broadcast_like(&y), and then + x. Keep a clone of x for that.",
            ],
        },
        Part {
            name: "convnext_cost",
            hints: &[
                "Which of the three convolutions looks at one channel each? How many weights has it?",
                "The two 1x1 convolutions have 4 channels^2 weights each. All three have biases.",
                "Besides the convolutions: scale and bias of the norm, and layer_scale. None of them counts as a multiply-add.",
            ],
        },
        WRITTEN,
    ],
};

/// A pixel in each column, a channel in each row; and scale and bias of the channels.
type Pixels = (Array2<f64>, Array1<f64>, Array1<f64>);

/// What the learner writes.
type Norm = dyn Fn(&Array2<f64>, &Array1<f64>, &Array1<f64>) -> Array2<f64> + Send;

/// Checks the layer norm of ConvNeXt: each pixel is normalised over its channels, then each channel is scaled and
/// shifted.
///
/// The function gets the `image`, with a channel in each row and a pixel in each column, and `scale` and `bias` of the
/// channels. To the variance, which is the biased one, 1e-6 is added.
///
/// # Example
/// ```
/// # std::env::set_current_dir(std::env::temp_dir())?;
/// use dldna::{exercises::check, prelude::*};
///
/// let nothing = |image: &Array2<f64>, _scale: &Array1<f64>, _bias: &Array1<f64>| image.clone();
/// assert!(!check::channel_norm(nothing).passed());
/// # Ok::<(), std::io::Error>(())
/// ```
pub fn channel_norm(
    function: impl Fn(&Array2<f64>, &Array1<f64>, &Array1<f64>) -> Array2<f64> + Send + 'static,
) -> Answer {
    check_channel_norm(Box::new(function))
}

fn check_channel_norm(function: Box<Norm>) -> Answer {
    let mut random = StdRng::seed_from_u64(90);
    let mut inputs: Vec<Pixels> = [(2, 1), (4, 2), (3, 3), (6, 4), (4, 9)]
        .into_iter()
        .map(|(channels, pixels)| {
            let mut one = || draw(&mut random, (1, channels)).remove_axis(Axis(0));
            let (scale, bias) = (one(), one());
            (draw(&mut random, (channels, pixels)), scale, bias)
        })
        .collect();
    // A pixel whose channels are almost the same: here the 1e-6 decides.
    inputs[2]
        .0
        .column_mut(1)
        .assign(&ndarray::array![0.5, 0.5005, 0.501]);
    FunctionCheck {
        exercise: EXERCISE.id,
        part: "channel_norm",
        inputs,
        show: |(image, scale, bias)| {
            format!("image {}, scale {}, bias {}", matrix(image), vector(scale), vector(bias))
        },
        reference: |pixels| normalised(pixels, EPSILON),
        mistakes: &[
            (
                |(image, scale, bias)| {
                    let rows = (image.t().to_owned(), Array1::ones(image.ncols()), Array1::zeros(image.ncols()));
                    let image = normalised(&rows, EPSILON).reversed_axes();
                    shifted(&image, scale, bias)
                },
                "You normalise each channel over its pixels, row by row. A layer norm looks at one pixel, at a column.",
            ),
            (
                |(image, scale, bias)| {
                    let all = Array2::from_shape_fn((image.len(), 1), |(i, _)| image[[i / image.ncols(), i % image.ncols()]]);
                    let one = normalised(&(all, Array1::ones(image.len()), Array1::zeros(image.len())), EPSILON);
                    let image = Array2::from_shape_fn(image.dim(), |(c, p)| one[[c * image.ncols() + p, 0]]);
                    shifted(&image, scale, bias)
                },
                "You normalise all numbers at once. Each pixel has its own mean and variance.",
            ),
            (
                |pixels| normalised(pixels, 0.0),
                "The 1e-6 is missing. It decides where the channels of a pixel are almost the same.",
            ),
            (
                |(image, scale, bias)| {
                    let image = by_column(image, |x, mean, variance| (x - mean) / (variance.sqrt() + EPSILON));
                    shifted(&image, scale, bias)
                },
                "The 1e-6 is added to the variance, before the root.",
            ),
            (
                |(image, scale, bias)| {
                    shifted(&by_column(image, |x, mean, variance| (x - mean) / (variance + EPSILON)), scale, bias)
                },
                "The root is missing: divide by the deviation, not by the variance.",
            ),
            (
                |(image, scale, bias)| {
                    shifted(&by_column(image, |x, mean, _| x - mean), scale, bias)
                },
                "The mean is subtracted, but nothing is divided by the deviation.",
            ),
            (
                |(image, scale, bias)| {
                    shifted(&by_column(image, |x, _, variance| x / (variance + EPSILON).sqrt()), scale, bias)
                },
                "The mean is not subtracted.",
            ),
            (
                |(image, scale, bias)| {
                    let unbiased = image.nrows() as f64 / (image.nrows() as f64 - 1.0);
                    let smaller = normalised(&(image.clone(), Array1::ones(scale.len()), Array1::zeros(scale.len())), EPSILON / unbiased);
                    shifted(&(smaller / unbiased.sqrt()), scale, bias)
                },
                "The squares are divided by the number of channels less one. A layer norm divides by the number of channels.",
            ),
            (
                |(image, _, _)| by_column(image, |x, mean, variance| (x - mean) / (variance + EPSILON).sqrt()),
                "The scale and the bias are missing.",
            ),
            (
                |(image, scale, bias)| normalised(&(image.clone(), bias.clone(), scale.clone()), EPSILON),
                "Scale and bias are swapped.",
            ),
            (
                |(image, scale, _)| normalised(&(image.clone(), scale.clone(), Array1::zeros(scale.len())), EPSILON),
                "The bias is missing.",
            ),
            (
                |(image, _, bias)| normalised(&(image.clone(), Array1::ones(bias.len()), bias.clone()), EPSILON),
                "The scale is missing.",
            ),
        ],
    }
    .run(move |(image, scale, bias)| function(image, scale, bias))
}

/// A built block.
type Block = modules::ConvNeXtBlock<4, 16, f32, Cpu>;
/// `(batch, 4, height, width)`
type Images = Tensor<(usize, Const<4>, usize, usize), f32, Cpu>;

/// Checks the block: the function gets a built block and images, and applies the layers of the block to them.
///
/// # Example
/// ```
/// # std::env::set_current_dir(std::env::temp_dir())?;
/// use dldna::{convnext::modules::ConvNeXtBlock, exercises::check, prelude::*};
///
/// type Images = Tensor<(usize, Const<4>, usize, usize), f32, Cpu>;
/// let nothing = |_block: &ConvNeXtBlock<4, 16, f32, Cpu>, x: Images| x;
/// assert!(!check::convnext_block(nothing).passed());
/// # Ok::<(), std::io::Error>(())
/// ```
pub fn convnext_block(function: impl Fn(&Block, Images) -> Images + Send + 'static) -> Answer {
    check_convnext_block(Box::new(function))
}

/// What the learner writes.
type Forward = dyn Fn(&Block, Images) -> Images + Send;

fn check_convnext_block(function: Box<Forward>) -> Answer {
    let dev = Cpu::seed_from_u64(91);
    let inputs = [(1, 7, 7), (2, 5, 9), (1, 3, 4)].map(|(batch, height, width)| {
        let mut block = dev.build_module::<ConvNeXtBlock<4, 16>, f32>();
        // Layers that a new block has at 0 or at 1 would hide mistakes.
        for vector in [
            &mut block.depthwise_bias.bias,
            &mut block.norm.scale,
            &mut block.norm.bias,
            &mut block.layer_scale.factors,
        ] {
            vector.fill_with_distr(rand_distr::StandardNormal);
        }
        let images = dev.sample_normal_like(&(batch, Const::<4>, height, width));
        (block, images)
    });
    FunctionCheck {
        exercise: EXERCISE.id,
        part: "convnext_block",
        inputs: inputs.into(),
        show: |(_, x)| {
            let (batch, _, height, width) = x.shape();
            format!("a block with random numbers, images ({batch}, 4, {height}, {width})")
        },
        reference: |(block, x)| flat(block.forward(x.clone())),
        mistakes: &[
            (
                |(block, x)| flat(block.forward(x.clone()) - x.clone()),
                "The input is not added at the end: the block has no skip.",
            ),
            (
                |(block, x)| flat(end(block, inner(block, x.clone())) + x.clone()),
                "layer_scale is missing: multiply each channel by its factor before you add the input.",
            ),
            (
                |(block, x)| flat(scaled(block, end(block, inner(block, x.clone())) + x.clone())),
                "layer_scale multiplies the input, too. It belongs to what the block adds.",
            ),
            (
                |(block, x)| {
                    let y = block.expand.forward(start(block, x.clone()));
                    flat(scaled(block, block.project.forward(y)) + x.clone())
                },
                "The GELU between the two 1x1 convolutions is missing.",
            ),
            (
                |(block, x)| {
                    let y = block.expand.forward(start(block, x.clone())).relu();
                    flat(scaled(block, block.project.forward(y)) + x.clone())
                },
                "This has a ReLU. ConvNeXt has a GELU in its place.",
            ),
            (
                |(block, x)| {
                    let y = block.depthwise_bias.forward(block.depthwise.forward(x.clone()));
                    let y = GELU.forward(block.expand.forward(y));
                    flat(scaled(block, end(block, y)) + x.clone())
                },
                "The norm is missing.",
            ),
            (
                |(block, x)| {
                    let y = block.norm.forward(x.clone());
                    let y = block.depthwise_bias.forward(block.depthwise.forward(y));
                    let y = GELU.forward(block.expand.forward(y));
                    flat(scaled(block, end(block, y)) + x.clone())
                },
                "The norm comes after the depthwise convolution.",
            ),
            (
                |(block, x)| {
                    let y = block.norm.forward(block.depthwise.forward(x.clone()));
                    let y = GELU.forward(block.expand.forward(y));
                    flat(scaled(block, end(block, y)) + x.clone())
                },
                "depthwise_bias is missing.",
            ),
            (
                |(block, x)| {
                    let y = block.norm.forward(x.clone());
                    let y = GELU.forward(block.expand.forward(y));
                    flat(scaled(block, end(block, y)) + x.clone())
                },
                "The depthwise convolution is missing: nothing looks at more than one pixel.",
            ),
            (
                |(block, x)| {
                    let y = GELU.forward(start(block, x.clone()));
                    let y = GELU.forward(block.expand.forward(y));
                    flat(scaled(block, end(block, y)) + x.clone())
                },
                "There is a GELU behind the norm. The block has a single one, between the two 1x1 convolutions.",
            ),
            (
                |(_, x)| flat(x.clone()),
                "This is the input. Nothing is added to it yet.",
            ),
        ],
    }
    .run(move |(block, x)| flat(function(block, x.clone())))
}

/// Checks what a block costs whose middle has four times the channels: (parameters, multiply-adds).
///
/// The function gets `channels` and the `size` of the image, its height and width.
///
/// # Example
/// ```
/// # std::env::set_current_dir(std::env::temp_dir())?;
/// use dldna::exercises::check;
///
/// let no_depthwise = |channels, size| (8 * channels * channels, 8 * channels * channels * size * size);
/// assert!(!check::convnext_cost(no_depthwise).passed());
/// # Ok::<(), std::io::Error>(())
/// ```
pub fn convnext_cost(function: impl Fn(usize, usize) -> (usize, usize) + Send + 'static) -> Answer {
    check_convnext_cost(Box::new(function))
}

fn check_convnext_cost(function: Box<dyn Fn(usize, usize) -> (usize, usize) + Send>) -> Answer {
    /// The weights of all convolutions, and the other parameters of a channel.
    fn cost(channels: usize, size: usize, depthwise: usize, others: usize) -> (usize, usize) {
        let weights = 8 * channels * channels + depthwise;
        (weights + others * channels, weights * size * size)
    }
    FunctionCheck {
        exercise: EXERCISE.id,
        part: "convnext_cost",
        inputs: vec![(8, 7), (24, 14), (33, 14), (96, 56), (33, 28)],
        show: |(channels, size)| format!("channels {channels}, size {size}"),
        reference: |&(channels, size)| match channels {
            8 => built::<8, 32>(size),
            24 => built::<24, 96>(size),
            33 => built::<33, 132>(size),
            _ => built::<96, 384>(size),
        },
        mistakes: &[
            (
                |&(c, size)| cost(c, size, 49 * c * c, 9),
                "The 7x7 convolution is depthwise: each channel has one kernel, and sees no other channel.",
            ),
            (
                |&(c, size)| cost(c, size, 0, 8),
                "The depthwise convolution is missing, with its biases.",
            ),
            (
                |&(c, size)| cost(c, size, 9 * c, 9),
                "The depthwise convolution has 7x7 pixels.",
            ),
            (
                |&(c, size)| cost(c, size, 49 * c, 8),
                "A number for each channel is missing: the biases of the depthwise convolution, or layer_scale?",
            ),
            (
                |&(c, size)| cost(c, size, 49 * c, 7),
                "Two numbers for each channel are missing: is the norm counted, with a scale and a bias?",
            ),
            (
                |&(c, size)| cost(c, size, 49 * c, 3),
                "The biases of the three convolutions are missing: 1, 4 and 1 for each channel.",
            ),
            (
                |&(c, size)| cost(c, size, 49 * c, 6),
                "The norm and layer_scale are missing: three numbers for each channel.",
            ),
            (
                |&(c, size)| cost(c, size, 49 * c, 0),
                "These are the weights of the convolutions. Biases, norm and layer_scale are parameters as well.",
            ),
            (
                |&(c, size)| {
                    let (parameters, _) = cost(c, size, 49 * c, 9);
                    (parameters, parameters * size * size)
                },
                "The multiply-adds count biases and norms. Only the weights of the convolutions are counted.",
            ),
        ],
    }
    .run(move |&(channels, size)| function(channels, size))
}

const EPSILON: f64 = 1e-6;

fn normalised((image, scale, bias): &Pixels, epsilon: f64) -> Array2<f64> {
    let mut result = image.clone();
    for mut column in result.columns_mut() {
        let mean = column.sum() / column.len() as f64;
        // The mean of the squares less the square of the mean.
        let variance = column.dot(&column) / column.len() as f64 - mean * mean;
        column.mapv_inplace(|x| (x - mean) / (variance.max(0.0) + epsilon).sqrt());
    }
    shifted(&result, scale, bias)
}

/// Replaces each number by what is made of it, and of mean and variance of its column.
fn by_column(image: &Array2<f64>, make: fn(f64, f64, f64) -> f64) -> Array2<f64> {
    let mut result = image.clone();
    for mut column in result.columns_mut() {
        let count = column.len() as f64;
        let mean = column.sum() / count;
        let variance = column.mapv(|x| (x - mean).powi(2)).sum() / count;
        column.mapv_inplace(|x| make(x, mean, variance));
    }
    result
}

fn shifted(image: &Array2<f64>, scale: &Array1<f64>, bias: &Array1<f64>) -> Array2<f64> {
    let column = |vector: &Array1<f64>| vector.clone().insert_axis(Axis(1));
    image * &column(scale) + &column(bias)
}

/// To the norm.
fn start(block: &Block, x: Images) -> Images {
    let y = block.depthwise.forward(x);
    block.norm.forward(block.depthwise_bias.forward(y))
}

/// To the GELU.
fn inner(block: &Block, x: Images) -> Tensor<(usize, Const<16>, usize, usize), f32, Cpu> {
    GELU.forward(block.expand.forward(start(block, x)))
}

fn end(block: &Block, y: Tensor<(usize, Const<16>, usize, usize), f32, Cpu>) -> Images {
    block.project.forward(y)
}

fn scaled(block: &Block, y: Images) -> Images {
    let factors = block.layer_scale.factors.clone().broadcast_like(&y);
    y * factors
}

/// A row for each channel of each image.
fn flat(images: Images) -> Array2<f32> {
    let &(batch, _, height, width) = images.shape();
    let values = images.as_vec();
    let pixels = height * width;
    Array2::from_shape_fn((batch * 4, pixels), |(row, pixel)| {
        values[row * pixels + pixel]
    })
}

fn built<const C: usize, const HIDDEN: usize>(size: usize) -> (usize, usize) {
    let block = Cpu::default().build_module::<ConvNeXtBlock<C, HIDDEN>, f32>();
    let summary = Summary::of(&block, &[1, C, size, size])
        .unwrap_or_else(|error| unreachable!("the check's own sizes fit: {error}"));
    (summary.parameters(), summary.multiply_adds() as usize)
}
