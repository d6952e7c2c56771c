//! Applied 5: 2-D convolution without the library's.

use super::{Exercise, FunctionCheck, Part, WRITTEN, draw, value::images as nested};
use crate::exercises::Answer;
use ndarray::{Array2, Array3, Array4, ArrayView3, Axis, s};
use rand::{SeedableRng, rngs::StdRng};

pub(super) const EXERCISE: Exercise = Exercise {
    id: "applied-5",
    title: "2-D convolution by hand: loops, then im2col",
    parts: &[
        Part {
            name: "conv2d",
            hints: &[
                "Take one output pixel: image n, channel o, row y, column x. Which rows and columns of the input does its \
                 window cover, and in how many channels?",
                "The window begins at row y * stride and column x * stride of the padded image. Row r of the padded image is \
                 row r - padding of the image, and zero where there is none. Subtracting in usize panics below zero: compare \
                 first, or copy the images into a larger array of zeros.",
                "Make the padded images once: Array4::zeros((batch, channels, height + 2 * padding, width + 2 * padding)), then \
                 Array4::from_shape_fn((batch, out_channels, rows, columns), |(n, o, y, x)| ..) with a sum over c, i and j that \
                 begins with bias[o].",
            ],
        },
        Part {
            name: "im2col",
            hints: &[
                "How many windows are there, and how many numbers has each? The first is the number of columns of the result, \
                 the second that of its rows.",
                "Row c * kernel * kernel + i * kernel + j has number (i, j) of channel c of every window. Column \
                 y * columns + x belongs to the window at (y, x).",
                "Array2::from_shape_fn((rows, columns), |(row, column)| ..): divisions and remainders give c, i and j from the \
                 row, y and x from the column.",
            ],
        },
        Part {
            name: "conv2d_im2col",
            hints: &[
                "One row of weights times one column of im2col is one output pixel. What do all rows times all columns give?",
                "weight.to_shape((out_channels, in_channels * kernel * kernel)) puts each filter in a row, in the order of \
                 im2col's rows. a.dot(&b) is the matrix product.",
                "The product has (out_channels, rows * columns) numbers: row o plus bias[o] is channel o of the output, line \
                 after line.",
            ],
        },
        WRITTEN,
    ],
};

/// What the check gives to a convolution.
struct Input {
    /// (batch, in_channels, height, width)
    images: Array4<f32>,
    /// (out_channels, in_channels, kernel, kernel)
    weight: Array4<f32>,
    bias: Vec<f32>,
    stride: usize,
    padding: usize,
}

/// What the learner writes.
type Conv = dyn Fn(&Array4<f32>, &Array4<f32>, &[f32], usize, usize) -> Array4<f32> + Send;

/// Checks a 2-D convolution as in deep learning: several channels, bias, stride, zero padding.
///
/// The function gets `images` (batch, in_channels, height, width), `weight` (out_channels, in_channels, kernel, kernel),
/// `bias` (one for each output channel), `stride` and `padding` (zeros on each side), and returns
/// (batch, out_channels, rows, columns).
///
/// # Example
/// ```
/// # std::env::set_current_dir(std::env::temp_dir())?;
/// use dldna::exercises::check;
///
/// let answer = check::conv2d(|images, _weight, _bias, _stride, _padding| images.clone());
/// assert!(!answer.passed());
/// # Ok::<(), std::io::Error>(())
/// ```
pub fn conv2d(
    function: impl Fn(&Array4<f32>, &Array4<f32>, &[f32], usize, usize) -> Array4<f32> + Send + 'static,
) -> Answer {
    check_conv("conv2d", Box::new(function))
}

/// Checks a 2-D convolution as [`conv2d`] does: the learner makes it from [`im2col`] and a matrix product.
///
/// # Example
/// ```
/// # std::env::set_current_dir(std::env::temp_dir())?;
/// use dldna::exercises::check;
///
/// let answer = check::conv2d_im2col(|_images, _weight, _bias, _stride, _padding| todo!());
/// assert!(answer.to_string().contains("not written yet"));
/// # Ok::<(), std::io::Error>(())
/// ```
pub fn conv2d_im2col(
    function: impl Fn(&Array4<f32>, &Array4<f32>, &[f32], usize, usize) -> Array4<f32> + Send + 'static,
) -> Answer {
    check_conv("conv2d_im2col", Box::new(function))
}

fn check_conv(part: &'static str, function: Box<Conv>) -> Answer {
    FunctionCheck {
        exercise: EXERCISE.id,
        part,
        inputs: inputs(),
        show,
        reference: |input| convolution(input),
        mistakes: &[
            (
                |input| convolution(&Input { bias: vec![0.0; input.bias.len()], ..copy(input) }),
                "The bias is missing: one number for each output channel, added to all of its pixels.",
            ),
            (
                |input| {
                    let channels = input.images.dim().1 as f32;
                    let bias = input.bias.iter().map(|b| channels * b).collect();
                    convolution(&Input { bias, ..copy(input) })
                },
                "The bias is added once for each input channel. It is added once for each output pixel.",
            ),
            (
                |input| convolution(&Input { weight: turned(&input.weight), ..copy(input) }),
                "The kernels are turned by 180 degrees. That is the convolution of mathematics. Deep learning correlates: \
                 + i and + j, not - i and - j.",
            ),
            (
                |input| {
                    let mut weight = input.weight.clone();
                    weight.swap_axes(2, 3);
                    convolution(&Input { weight, ..copy(input) })
                },
                "Rows and columns of the kernels are swapped.",
            ),
            (
                |input| {
                    let mut weight = input.weight.clone();
                    weight.swap_axes(0, 1);
                    // With other numbers of channels this way ends in a panic.
                    if weight.dim() != input.weight.dim() {
                        return Array4::zeros((0, 0, 0, 0));
                    }
                    convolution(&Input { weight, ..copy(input) })
                },
                "Input and output channels of the weights are swapped: weight[[o, c, i, j]], the output channel first.",
            ),
            (
                |input| convolution(&Input { padding: 0, ..copy(input) }),
                "The padding is forgotten: the window may begin in front of the image.",
            ),
            (
                |input| {
                    // Zeros on all sides, of which those below and to the right are cut off again.
                    let padded = padded(&input.images, input.padding);
                    let (_, _, height, width) = input.images.dim();
                    let padding = input.padding as isize;
                    let (bottom, right) = (height as isize + padding, width as isize + padding);
                    let images = padded.slice(s![.., .., ..bottom, ..right]).to_owned();
                    convolution(&Input { images, padding: 0, ..copy(input) })
                },
                "The padding is above and to the left only. It is on all four sides.",
            ),
            (
                |input| convolution(&Input { stride: 1, ..copy(input) }),
                "The stride is forgotten: the window moves by one pixel.",
            ),
            (
                |input| {
                    // As many windows as there should be, side by side at the upper left.
                    let dense = convolution(&Input { stride: 1, ..copy(input) });
                    let (_, _, rows, columns) = convolution(input).dim();
                    dense.slice(s![.., .., ..rows, ..columns]).to_owned()
                },
                "The output is as large as it should be, but its windows are one pixel apart: the window of row y begins at \
                 row y * stride.",
            ),
            (
                |input| only_channel(input, input.images.dim().1 - 1),
                "Only the last input channel counts. Is each one added to those before, by +=?",
            ),
            (
                |input| only_channel(input, 0),
                "Only the first input channel counts. A filter sees all of them.",
            ),
            (
                |input| convolution(input).slice(s![.., .., ..-1, ..-1]).to_owned(),
                "The last row and the last column are missing: off by one.",
            ),
            (
                |input| {
                    let mut output = convolution(input);
                    output.slice_mut(s![1.., .., .., ..]).fill(0.0);
                    output
                },
                "Only the first image of the batch is there.",
            ),
        ],
    }
    .run(move |input| {
        function(&input.images, &input.weight, &input.bias, input.stride, input.padding)
    })
}

/// What the learner writes.
type Im2col = dyn Fn(&Array3<f32>, usize, usize, usize) -> Array2<f32> + Send;

/// Checks a function that lays the windows of one image out as the columns of a matrix.
///
/// The function gets `image` (channels, height, width), `kernel`, `stride` and `padding`, and returns
/// (channels * kernel * kernel, rows * columns). Row `(c * kernel + i) * kernel + j` has the number at row i and column j
/// of channel c of each window; the windows come line by line.
///
/// # Example
/// ```
/// # std::env::set_current_dir(std::env::temp_dir())?;
/// use dldna::exercises::check;
///
/// let answer = check::im2col(|_image, _kernel, _stride, _padding| todo!());
/// assert!(answer.to_string().contains("not written yet"));
/// # Ok::<(), std::io::Error>(())
/// ```
pub fn im2col(
    function: impl Fn(&Array3<f32>, usize, usize, usize) -> Array2<f32> + Send + 'static,
) -> Answer {
    check_im2col(Box::new(function))
}

fn check_im2col(function: Box<Im2col>) -> Answer {
    let first_images = inputs().into_iter().map(|input| Input {
        images: input.images.slice(s![..1, .., .., ..]).to_owned(),
        ..input
    });
    FunctionCheck {
        exercise: EXERCISE.id,
        part: "im2col",
        inputs: first_images.collect(),
        show: |input| {
            let Input { stride, padding, .. } = input;
            let (image, kernel) = (small(&input.images), input.weight.dim().2);
            format!("image {image}, kernel {kernel}, stride {stride}, padding {padding}")
        },
        reference: |input| columns(input, in_order),
        mistakes: &[
            (
                |input| columns(input, in_order).reversed_axes(),
                "The windows are the rows of your result. They are its columns.",
            ),
            (
                |input| columns(input, |window| in_order(window.permuted_axes([1, 2, 0]))),
                "The channels run fastest. In a column they come one after the other: all numbers of channel 0, then all of \
                 channel 1.",
            ),
            (
                |input| columns(input, |window| in_order(window.permuted_axes([0, 2, 1]))),
                "Rows and columns inside of the window are swapped.",
            ),
            (
                |input| columns(input, |window| in_order(window.slice_move(s![.., ..;-1, ..;-1]))),
                "The windows are turned by 180 degrees. That is the convolution of mathematics.",
            ),
            (
                |input| columns(&Input { padding: 0, ..copy(input) }, in_order),
                "The padding is forgotten: the window may begin in front of the image.",
            ),
            (
                |input| columns(&Input { stride: 1, ..copy(input) }, in_order),
                "The stride is forgotten: the window moves by one pixel.",
            ),
        ],
    }
    .run(move |input| {
        let image = input.images.index_axis(Axis(0), 0).to_owned();
        function(&image, input.weight.dim().2, input.stride, input.padding)
    })
}

/// The smallest first. Each one adds a difficulty to those before.
fn inputs() -> Vec<Input> {
    let mut random = StdRng::seed_from_u64(85);
    // Batch, channels, height, width; output channels and kernel; stride and padding.
    [
        ([1, 1, 3, 3], [1, 2], [1, 0]),
        ([1, 2, 3, 4], [2, 2], [1, 0]),
        ([1, 1, 4, 3], [1, 3], [1, 1]),
        ([1, 1, 5, 5], [1, 3], [2, 0]),
        ([2, 2, 5, 6], [3, 3], [2, 1]),
        ([2, 3, 8, 7], [4, 3], [1, 2]),
        ([1, 4, 9, 9], [2, 1], [3, 0]),
    ]
    .map(
        |([batch, channels, height, width], [outputs, kernel], [stride, padding])| {
            let mut tensor = |shape: (usize, usize, usize, usize), low, high| {
                let count = shape.0 * shape.1 * shape.2 * shape.3;
                let numbers = draw(&mut random, count, low, high);
                Array4::from_shape_vec(shape, numbers).expect("as many numbers as the shape has")
            };
            Input {
                images: tensor((batch, channels, height, width), 0, 9),
                weight: tensor((outputs, channels, kernel, kernel), -3, 3),
                bias: draw(&mut random, outputs, 1, 9),
                stride,
                padding,
            }
        },
    )
    .into()
}

fn copy(input: &Input) -> Input {
    Input {
        images: input.images.clone(),
        weight: input.weight.clone(),
        bias: input.bias.clone(),
        ..*input
    }
}

/// All numbers if they are few, else how many there are in each dimension.
fn small(values: &Array4<f32>) -> String {
    let sizes: Vec<String> = values.shape().iter().map(usize::to_string).collect();
    match values.len() {
        ..=36 => nested(values),
        _ => sizes.join(" x "),
    }
}

fn show(input: &Input) -> String {
    let (images, weight) = (small(&input.images), small(&input.weight));
    let Input {
        bias,
        stride,
        padding,
        ..
    } = input;
    format!("images {images}, weight {weight}, bias {bias:?}, stride {stride}, padding {padding}")
}

fn padded(images: &Array4<f32>, padding: usize) -> Array4<f32> {
    let (batch, channels, height, width) = images.dim();
    let size = (batch, channels, height + 2 * padding, width + 2 * padding);
    let mut padded = Array4::zeros(size);
    let inside = s![.., .., padding..padding + height, padding..padding + width];
    padded.slice_mut(inside).assign(images);
    padded
}

/// For each image one value for each window, line by line, and the numbers of lines and of windows in a line.
fn by_window<T>(
    input: &Input,
    mut value: impl FnMut(usize, ArrayView3<f32>) -> T,
) -> (Vec<T>, usize, usize) {
    let images = padded(&input.images, input.padding);
    let (batch, _, height, width) = images.dim();
    let kernel = input.weight.dim().2;
    let starts = |size: usize| {
        (0..size)
            .step_by(input.stride)
            .filter(move |at| at + kernel <= size)
    };
    let mut values = Vec::new();
    for n in 0..batch {
        for top in starts(height) {
            for left in starts(width) {
                let window = s![n, .., top..top + kernel, left..left + kernel];
                values.push(value(n, images.slice(window)));
            }
        }
    }
    (values, starts(height).count(), starts(width).count())
}

/// The products of each window with each filter, whole blocks at a time.
fn convolution(input: &Input) -> Array4<f32> {
    let outputs = input.weight.dim().0;
    let (pixels, rows, columns) = by_window(input, |_, window| -> Vec<f32> {
        let filters = input.weight.axis_iter(Axis(0)).zip(&input.bias);
        filters
            .map(|(filter, bias)| (&window * &filter).sum() + bias)
            .collect()
    });
    let batch = input.images.dim().0;
    Array4::from_shape_fn((batch, outputs, rows, columns), |(n, o, y, x)| {
        pixels[(n * rows + y) * columns + x][o]
    })
}

/// The convolution of one input channel, with the bias.
fn only_channel(input: &Input, channel: usize) -> Array4<f32> {
    let one = |values: &Array4<f32>| {
        values
            .slice(s![.., channel..channel + 1, .., ..])
            .to_owned()
    };
    convolution(&Input {
        images: one(&input.images),
        weight: one(&input.weight),
        ..copy(input)
    })
}

fn turned(weight: &Array4<f32>) -> Array4<f32> {
    weight.slice(s![.., .., ..;-1, ..;-1]).to_owned()
}

fn in_order(window: ArrayView3<f32>) -> Vec<f32> {
    window.iter().copied().collect()
}

/// The windows of a single image, each written down by `order`, as columns.
fn columns(input: &Input, order: impl Fn(ArrayView3<f32>) -> Vec<f32>) -> Array2<f32> {
    let (windows, ..) = by_window(input, |_, window| order(window));
    let length = windows.first().map_or(0, Vec::len);
    Array2::from_shape_fn((length, windows.len()), |(row, column)| {
        windows[column][row]
    })
}
