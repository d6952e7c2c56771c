//! Basic 4: Inception, sizes and 1x1 convolutions.

use super::{Exercise, FunctionCheck, Part, WRITTEN};
use crate::exercises::Answer;
use rand::{Rng, SeedableRng, rngs::StdRng};

pub(super) const EXERCISE: Exercise = Exercise {
    id: "basic-4",
    title: "Inception: sizes and 1x1 convolutions",
    parts: &[
        Part {
            name: "output_size",
            hints: &[
                "How many pixels has the row once it is padded, on both sides?",
                "The window can move by what is left of the padded row behind it. How many strides fit in there? Division \
                 of usize rounds down.",
                "To the strides comes the place where the window begins.",
            ],
        },
        Part {
            name: "conv_cost",
            hints: &[
                "Take one output channel. How large is the block of weights that makes it, and what else does it have?",
                "A filter has kernel * kernel weights for each input channel, and one bias. Each weight is used once for each \
                 output pixel.",
            ],
        },
        Part {
            name: "bottleneck_cost",
            hints: &[
                "You can call conv_cost. How often, and with which channels?",
                "The 1x1 convolution goes from in_channels to reduced. What goes into the second one?",
            ],
        },
        WRITTEN,
    ],
};

/// Checks the size of a convolution's output.
///
/// The function gets `input` (pixels along one side), `kernel`, `stride` and `padding` (on each side), and returns how
/// many pixels the output has along that side.
///
/// # Example
/// ```
/// # std::env::set_current_dir(std::env::temp_dir())?;
/// use dldna::exercises::check;
///
/// let answer = check::output_size(|input, kernel, stride, _padding| (input - kernel) / stride + 1);
/// assert!(answer.to_string().contains("without padding"));
/// # Ok::<(), std::io::Error>(())
/// ```
pub fn output_size(
    function: impl Fn(usize, usize, usize, usize) -> usize + Send + 'static,
) -> Answer {
    check_output_size(Box::new(function))
}

fn check_output_size(function: Box<dyn Fn(usize, usize, usize, usize) -> usize + Send>) -> Answer {
    let mut random = StdRng::seed_from_u64(76);
    let mut inputs = vec![[28, 5, 1, 2], [28, 3, 1, 0], [32, 3, 2, 1], [224, 7, 2, 3]];
    inputs.extend((0..20).map(|_| {
        let kernel = random.gen_range(1..=7);
        [
            random.gen_range(8..=64),
            kernel,
            random.gen_range(1..=4),
            random.gen_range(0..=kernel / 2),
        ]
    }));
    FunctionCheck {
        exercise: EXERCISE.id,
        part: "output_size",
        inputs,
        show: |[input, kernel, stride, padding]| {
            format!("input {input}, kernel {kernel}, stride {stride}, padding {padding}")
        },
        reference: |&[input, kernel, stride, padding]| {
            // Counted: the places where a window begins, such that its last pixel is inside.
            let starts = (0..input + 2 * padding).step_by(stride);
            starts.filter(|start| start + kernel <= input + 2 * padding).count()
        },
        mistakes: &[
            (
                |&[input, kernel, stride, _]| (input - kernel) / stride + 1,
                "This is the size without padding.",
            ),
            (
                |&[input, kernel, stride, padding]| (input + padding - kernel) / stride + 1,
                "The padding is on both sides, and counts twice.",
            ),
            (
                |&[input, kernel, stride, padding]| (input + 2 * padding - kernel) / stride,
                "The place where the window begins is missing: off by one.",
            ),
            (
                |&[input, kernel, stride, padding]| (input + 2 * padding - kernel).div_ceil(stride) + 1,
                "The last window reaches over the edge. The division rounds down.",
            ),
            (
                |&[input, kernel, _, padding]| input + 2 * padding - kernel + 1,
                "This is the size for stride 1.",
            ),
            (
                |&[input, kernel, stride, padding]| (input + 2 * padding - kernel + 1) / stride,
                "The 1 is added before the division. It belongs after it.",
            ),
            (
                |&[input, _, stride, _]| input / stride,
                "This is the input divided by the stride. The kernel and the padding count as well.",
            ),
        ],
    }
    .run(move |&[input, kernel, stride, padding]| function(input, kernel, stride, padding))
}

/// What the learner writes.
type ConvCost = dyn Fn(usize, usize, usize, usize) -> (usize, usize) + Send;

/// Checks what a convolution costs: (parameters, multiply-adds).
///
/// The function gets `in_channels`, `out_channels`, `kernel` and `size`, the height and width of the output. The
/// convolution has biases; additions of biases are not counted.
///
/// # Example
/// ```
/// # std::env::set_current_dir(std::env::temp_dir())?;
/// use dldna::exercises::check;
///
/// let no_bias = |input, output, kernel, size| {
///     let weights = input * output * kernel * kernel;
///     (weights, weights * size * size)
/// };
/// assert!(check::conv_cost(no_bias).to_string().contains("bias"));
/// # Ok::<(), std::io::Error>(())
/// ```
pub fn conv_cost(
    function: impl Fn(usize, usize, usize, usize) -> (usize, usize) + Send + 'static,
) -> Answer {
    check_conv_cost(Box::new(function))
}

fn check_conv_cost(function: Box<ConvCost>) -> Answer {
    let mut random = StdRng::seed_from_u64(77);
    let mut inputs = vec![[3, 64, 3, 32], [192, 32, 5, 28]];
    inputs.extend((0..10).map(|_| {
        let channels = [1, 2, 3, 8, 16, 24, 48];
        let mut channel = || channels[random.gen_range(0..channels.len())];
        [channel(), channel(), 0, 0]
    }));
    for input in &mut inputs[2..] {
        (input[2], input[3]) = (random.gen_range(1..=7), random.gen_range(5..=28));
    }
    FunctionCheck {
        exercise: EXERCISE.id,
        part: "conv_cost",
        inputs,
        show: |[input, output, kernel, size]| {
            format!("in_channels {input}, out_channels {output}, kernel {kernel}, size {size}")
        },
        reference: |&[input, output, kernel, size]| cost(input, output, kernel, size),
        mistakes: &[
            (
                |&[input, output, kernel, size]| {
                    let (parameters, work) = cost(input, output, kernel, size);
                    (parameters - output, work)
                },
                "The biases are missing: one for each output channel.",
            ),
            (
                |&[input, output, kernel, size]| {
                    let (parameters, work) = cost(input, output, kernel, size);
                    (parameters - output + input, work)
                },
                "There is a bias for each input channel. It is one for each output channel.",
            ),
            (
                |&[input, output, kernel, size]| {
                    let (parameters, work) = cost(input, output, kernel, size);
                    (parameters - output + 1, work)
                },
                "There is a single bias. It is one for each output channel.",
            ),
            (
                |&[input, output, kernel, size]| {
                    let weights = input * output * kernel;
                    (weights + output, weights * size * size)
                },
                "The kernel is counted along one side only. It has kernel * kernel weights.",
            ),
            (
                |&[_, output, kernel, size]| cost(1, output, kernel, size),
                "The input channels are missing: each filter looks at all of them.",
            ),
            (
                |&[input, output, kernel, size]| {
                    let (parameters, work) = cost(input, output, kernel, size);
                    (parameters, work / size)
                },
                "The multiply-adds count one row of the output. It has size * size pixels.",
            ),
            (
                |&[input, output, kernel, size]| {
                    let (parameters, _) = cost(input, output, kernel, size);
                    (parameters, parameters * size * size)
                },
                "Biases are in the multiply-adds. They are added, not multiplied.",
            ),
            (
                |&[input, output, kernel, size]| {
                    let (parameters, work) = cost(input, output, kernel, size);
                    (parameters, 2 * work)
                },
                "A multiplication and its addition are one multiply-add, not two.",
            ),
            (
                |&[input, output, kernel, size]| {
                    let (parameters, work) = cost(input, output, kernel, size);
                    (work, parameters)
                },
                "Parameters and multiply-adds are swapped.",
            ),
        ],
    }
    .run(move |&[input, output, kernel, size]| function(input, output, kernel, size))
}

/// What the learner writes.
type BottleneckCost = dyn Fn(usize, usize, usize, usize, usize) -> (usize, usize) + Send;

/// Checks what a branch of Inception costs that has a 1x1 convolution first: (parameters, multiply-adds) of both
/// convolutions together.
///
/// The function gets `in_channels`, `reduced` (the channels between the two), `out_channels`, `kernel` and `size`. The
/// height and width do not change.
///
/// # Example
/// ```
/// # std::env::set_current_dir(std::env::temp_dir())?;
/// use dldna::exercises::check;
///
/// let answer = check::bottleneck_cost(|_in_channels, _reduced, _out_channels, _kernel, _size| (0, 0));
/// assert!(answer.to_string().contains("same for every input"));
/// # Ok::<(), std::io::Error>(())
/// ```
pub fn bottleneck_cost(
    function: impl Fn(usize, usize, usize, usize, usize) -> (usize, usize) + Send + 'static,
) -> Answer {
    check_bottleneck_cost(Box::new(function))
}

fn check_bottleneck_cost(function: Box<BottleneckCost>) -> Answer {
    let mut random = StdRng::seed_from_u64(78);
    let mut inputs = vec![[192, 16, 32, 5, 28], [192, 96, 128, 3, 28]];
    inputs.extend((0..10).map(|_| {
        let (reduced, output) = (random.gen_range(4..=32), random.gen_range(8..=64));
        let (kernel, size) = (random.gen_range(2..=7), random.gen_range(7..=28));
        [random.gen_range(33..=256), reduced, output, kernel, size]
    }));
    FunctionCheck {
        exercise: EXERCISE.id,
        part: "bottleneck_cost",
        inputs,
        show: |[input, reduced, output, kernel, size]| {
            format!(
                "in_channels {input}, reduced {reduced}, out_channels {output}, kernel {kernel}, size {size}"
            )
        },
        reference: |&[input, reduced, output, kernel, size]| {
            add(cost(input, reduced, 1, size), cost(reduced, output, kernel, size))
        },
        mistakes: &[
            (
                |&[_, reduced, output, kernel, size]| cost(reduced, output, kernel, size),
                "The 1x1 convolution costs something, too.",
            ),
            (
                |&[input, reduced, _, _, size]| cost(input, reduced, 1, size),
                "This is the 1x1 convolution alone.",
            ),
            (
                |&[input, _, output, kernel, size]| cost(input, output, kernel, size),
                "This is the branch without the 1x1 convolution.",
            ),
            (
                |&[input, reduced, output, kernel, size]| {
                    add(cost(input, reduced, 1, size), cost(input, output, kernel, size))
                },
                "The second convolution does not get in_channels. What comes out of the 1x1 convolution?",
            ),
            (
                |&[input, reduced, output, kernel, size]| {
                    add(cost(input, reduced, kernel, size), cost(reduced, output, kernel, size))
                },
                "The first convolution is 1x1.",
            ),
            (
                |&[input, reduced, output, kernel, size]| {
                    let (parameters, work) =
                        add(cost(input, reduced, 1, size), cost(reduced, output, kernel, size));
                    (parameters - reduced - output, work)
                },
                "The biases are missing: one for each output channel of each convolution.",
            ),
        ],
    }
    .run(move |&[input, reduced, output, kernel, size]| {
        function(input, reduced, output, kernel, size)
    })
}

/// Parameters with biases, and multiply-adds.
fn cost(input: usize, output: usize, kernel: usize, size: usize) -> (usize, usize) {
    let filter = input * kernel * kernel;
    (output * (filter + 1), output * filter * size * size)
}

fn add(a: (usize, usize), b: (usize, usize)) -> (usize, usize) {
    (a.0 + b.0, a.1 + b.1)
}
