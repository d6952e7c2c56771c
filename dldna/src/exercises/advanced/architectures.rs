//! Advanced 2: the blocks of ResNet, Inception and EfficientNet, and what they cost.

use super::{Exercise, FunctionCheck, Part, WRITTEN};
use crate::efficientnet::MBConv;
use crate::exercises::Answer;
use crate::inception::InceptionV1;
use crate::resnet::Bottleneck;
use crate::summary::{Summarize, Summary};
use dfdx::prelude::{BuildOnDevice, Cpu, DeviceBuildExt};

pub(super) const EXERCISE: Exercise = Exercise {
    id: "advanced-2",
    title: "ResNet, Inception, EfficientNet compared",
    parts: &[
        Part {
            name: "residual_bottleneck",
            hints: &[
                "Write down the three convolutions: how many channels go into each, how many come out, and which kernel has \
                 it?",
                "1x1 from 4 mid to mid, 3x3 from mid to mid, 1x1 from mid to 4 mid. Each has a bias for each output channel, \
                 and so has its batch norm, with a scale besides.",
            ],
        },
        Part {
            name: "inception_module",
            hints: &[
                "There are six convolutions. Which of them see the module's input, and which see what a 1x1 has left?",
                "Four 1x1 convolutions see the input, with c1, r3, r5 and cp filters. The 3x3 sees r3 channels, the 5x5 sees \
                 r5. Pooling costs nothing.",
            ],
        },
        Part {
            name: "mbconv",
            hints: &[
                "How many channels are there in the middle? Which of the steps mix channels, and which look at one channel \
                 each?",
                "The depthwise convolution has kernel * kernel weights for each channel of the middle, and nothing more.",
                "Squeeze-and-excitation: a 1x1 convolution from the middle to channels / 4 and one back, with biases, on an \
                 image of a single pixel.",
            ],
        },
        WRITTEN,
    ],
};

/// (parameters, multiply-adds)
type Cost = (usize, usize);

/// Checks what a bottleneck block of ResNet costs that keeps its `4 mid` channels: (parameters, multiply-adds).
///
/// The function gets `mid` and the `size` of the image, its height and width. All three convolutions have biases, and a
/// batch norm each.
///
/// # Example
/// ```
/// # std::env::set_current_dir(std::env::temp_dir())?;
/// use dldna::exercises::check;
///
/// let weights_only = |mid, size| (17 * mid * mid, 17 * mid * mid * size * size);
/// assert!(check::residual_bottleneck(weights_only).to_string().contains("biases"));
/// # Ok::<(), std::io::Error>(())
/// ```
pub fn residual_bottleneck(function: impl Fn(usize, usize) -> Cost + Send + 'static) -> Answer {
    check_residual_bottleneck(Box::new(function))
}

fn check_residual_bottleneck(function: Box<dyn Fn(usize, usize) -> Cost + Send>) -> Answer {
    /// 17 mid^2: 4 for each 1x1, and 9.
    fn cost(mid: usize, size: usize, per_channel: usize) -> Cost {
        let weights = 17 * mid * mid;
        (weights + per_channel * 6 * mid, weights * size * size)
    }
    FunctionCheck {
        exercise: EXERCISE.id,
        part: "residual_bottleneck",
        inputs: vec![(16, 7), (64, 56), (32, 28), (8, 9), (128, 28), (64, 14)],
        show: |(mid, size)| format!("mid {mid}, size {size}"),
        reference: |&(mid, size)| match mid {
            8 => built::<Bottleneck<32, 8, 1>>(32, size),
            16 => built::<Bottleneck<64, 16, 1>>(64, size),
            32 => built::<Bottleneck<128, 32, 1>>(128, size),
            64 => built::<Bottleneck<256, 64, 1>>(256, size),
            _ => built::<Bottleneck<512, 128, 1>>(512, size),
        },
        mistakes: &[
            (
                |&(mid, size)| cost(mid, size, 0),
                "These are the weights. The biases are missing, and the batch norms with a scale and a bias.",
            ),
            (
                |&(mid, size)| cost(mid, size, 1),
                "The batch norms are missing: each has a scale and a bias for each channel.",
            ),
            (
                |&(mid, size)| cost(mid, size, 2),
                "Either the biases of the convolutions are missing, or the scales of the batch norms. Each channel has three \
                 numbers besides its weights.",
            ),
            (
                |&(mid, size)| (cost(mid, size, 3).0 + 2 * 4 * mid, cost(mid, size, 3).1),
                "There are too many batch norms. The shortcut has none: it is the input itself.",
            ),
            (
                |&(mid, size)| {
                    let (parameters, work) = cost(mid, size, 3);
                    (parameters + 16 * mid * mid, work + 16 * mid * mid * size * size)
                },
                "You count a convolution on the shortcut. Channels and size stay, so the shortcut is the input itself.",
            ),
            (
                |&(mid, size)| {
                    let parameters = 11 * mid * mid + 9 * mid;
                    (parameters, 11 * mid * mid * size * size)
                },
                "The block has 4 mid channels at both ends, and mid only in the middle.",
            ),
            (
                |&(mid, size)| (cost(mid, size, 3).0, cost(mid, size, 3).0 * size * size),
                "The multiply-adds count biases and batch norms. They are not counted: only the weights of convolutions.",
            ),
            (
                |&(mid, size)| (cost(mid, size, 3).0, 17 * mid * mid * size),
                "The multiply-adds count one row of the image. It has size * size pixels.",
            ),
        ],
    }
    .run(move |&(mid, size)| function(mid, size))
}

/// What the learner writes.
type InceptionCost = dyn Fn([usize; 7], usize) -> Cost + Send;

/// Checks what a module of GoogLeNet costs: (parameters, multiply-adds).
///
/// The function gets the channels `[input, c1, r3, c3, r5, c5, cp]` and the `size` of the image, its height and width:
/// a 1x1 convolution to `c1`; one to `r3` and a 3x3 one to `c3`; one to `r5` and a 5x5 one to `c5`; and, behind a max
/// pooling, a 1x1 one to `cp`. All have biases.
///
/// # Example
/// ```
/// # std::env::set_current_dir(std::env::temp_dir())?;
/// use dldna::exercises::check;
///
/// assert!(!check::inception_module(|_channels, _size| (0, 0)).passed());
/// # Ok::<(), std::io::Error>(())
/// ```
pub fn inception_module(function: impl Fn([usize; 7], usize) -> Cost + Send + 'static) -> Answer {
    check_inception_module(Box::new(function))
}

fn check_inception_module(function: Box<InceptionCost>) -> Answer {
    fn convs(convs: &[[usize; 3]], size: usize) -> Cost {
        let weights = |&[input, output, kernel]: &[usize; 3]| input * output * kernel * kernel;
        let all: usize = convs.iter().map(weights).sum();
        let biases: usize = convs.iter().map(|conv| conv[1]).sum();
        (all + biases, all * size * size)
    }
    FunctionCheck {
        exercise: EXERCISE.id,
        part: "inception_module",
        inputs: vec![
            ([3, 4, 2, 5, 1, 4, 3], 7),
            ([192, 64, 96, 128, 16, 32, 32], 28),
            ([256, 128, 128, 192, 32, 96, 64], 28),
            ([480, 192, 96, 208, 16, 48, 64], 14),
            ([528, 256, 160, 320, 32, 128, 128], 14),
            ([832, 384, 192, 384, 48, 128, 128], 7),
        ],
        show: |(channels, size)| {
            format!("[input, c1, r3, c3, r5, c5, cp] {channels:?}, size {size}")
        },
        reference: |&(channels, size)| {
            let input = channels[0];
            match input {
                3 => built::<InceptionV1<3, 4, 2, 5, 1, 4, 3>>(input, size),
                192 => built::<InceptionV1<192, 64, 96, 128, 16, 32, 32>>(input, size),
                256 => built::<InceptionV1<256, 128, 128, 192, 32, 96, 64>>(input, size),
                480 => built::<InceptionV1<480, 192, 96, 208, 16, 48, 64>>(input, size),
                528 => built::<InceptionV1<528, 256, 160, 320, 32, 128, 128>>(input, size),
                _ => built::<InceptionV1<832, 384, 192, 384, 48, 128, 128>>(input, size),
            }
        },
        mistakes: &[
            (
                |&([i, c1, _, c3, _, c5, cp], size)| {
                    convs(&[[i, c1, 1], [i, c3, 3], [i, c5, 5], [i, cp, 1]], size)
                },
                "This is the module without the 1x1 convolutions that reduce channels: the paper's naive one.",
            ),
            (
                |&([i, c1, r3, c3, r5, c5, cp], size)| {
                    convs(&[[i, c1, 1], [i, r3, 1], [i, c3, 3], [i, r5, 1], [i, c5, 5], [i, cp, 1]], size)
                },
                "The 3x3 and the 5x5 see what the 1x1 before them has left, r3 and r5 channels.",
            ),
            (
                |&([i, c1, r3, c3, r5, c5, _], size)| {
                    convs(&[[i, c1, 1], [i, r3, 1], [r3, c3, 3], [i, r5, 1], [r5, c5, 5]], size)
                },
                "The branch with the pooling is missing: a 1x1 convolution follows it.",
            ),
            (
                |&([i, c1, r3, c3, r5, c5, cp], size)| {
                    convs(&[[i, c1, 1], [r3, c3, 3], [r5, c5, 5], [i, cp, 1], [i, r3, 0], [i, r5, 0]], size)
                },
                "The 1x1 convolutions that reduce channels cost something, too.",
            ),
            (
                |&([i, c1, r3, c3, r5, c5, cp], size)| {
                    convs(&[[i, c1, 1], [i, r3, 1], [r3, c3, 3], [i, r5, 1], [r5, c5, 3], [i, cp, 1]], size)
                },
                "The third branch has a 5x5 kernel.",
            ),
            (
                |&([i, c1, r3, c3, r5, c5, cp], size)| {
                    convs(&[[i, c1, 1], [i, r3, 1], [r3, c3, 3], [i, r5, 1], [r5, c5, 5], [i, cp, 3]], size)
                },
                "The convolution behind the pooling is 1x1. The 3x3 is the pooling's window, which has no weights.",
            ),
            (
                |&([i, c1, r3, c3, r5, c5, cp], size)| {
                    let (parameters, work) =
                        convs(&[[i, c1, 1], [i, r3, 1], [r3, c3, 3], [i, r5, 1], [r5, c5, 5], [i, cp, 1]], size);
                    (parameters - c1 - r3 - c3 - r5 - c5 - cp, work)
                },
                "The biases are missing: one for each output channel of each convolution.",
            ),
        ],
    }
    .run(move |&(channels, size)| function(channels, size))
}

/// What the learner writes.
type MBConvCost = dyn Fn(usize, usize, usize, usize) -> Cost + Send;

/// Checks what an MBConv block of EfficientNet costs that keeps channels and size: (parameters, multiply-adds).
///
/// The function gets `channels`, `expand`, the side of the `kernel`, and the `size` of the image. The convolutions have no
/// biases, and a batch norm each. Squeeze-and-excitation has biases, and squeezes to a quarter of `channels`.
///
/// # Example
/// ```
/// # std::env::set_current_dir(std::env::temp_dir())?;
/// use dldna::exercises::check;
///
/// assert!(!check::mbconv(|channels, _expand, _kernel, size| (channels, size)).passed());
/// # Ok::<(), std::io::Error>(())
/// ```
pub fn mbconv(function: impl Fn(usize, usize, usize, usize) -> Cost + Send + 'static) -> Answer {
    check_mbconv(Box::new(function))
}

fn check_mbconv(function: Box<MBConvCost>) -> Answer {
    /// Parameters and multiply-adds of the three convolutions with their norms, and of squeeze-and-excitation.
    fn parts([channels, expand, kernel, size]: [usize; 4]) -> [Cost; 2] {
        let (middle, pixels) = (channels * expand, size * size);
        let squeezed = channels / 4;
        let weights = 2 * channels * middle + middle * kernel * kernel;
        let gate = 2 * middle * squeezed;
        [
            (weights + 2 * (2 * middle + channels), weights * pixels),
            (gate + squeezed + middle, gate),
        ]
    }
    fn whole(input: [usize; 4]) -> Cost {
        let [convs, gate] = parts(input);
        (convs.0 + gate.0, convs.1 + gate.1)
    }
    FunctionCheck {
        exercise: EXERCISE.id,
        part: "mbconv",
        inputs: vec![
            [8, 4, 3, 7],
            [24, 6, 3, 56],
            [40, 6, 5, 28],
            [16, 4, 5, 14],
            [80, 6, 3, 14],
            [112, 6, 5, 14],
        ],
        show: |[channels, expand, kernel, size]| {
            format!("channels {channels}, expand {expand}, kernel {kernel}, size {size}")
        },
        reference: |&[channels, _, _, size]| match channels {
            8 => built::<MBConv<8, 32, 2, 8, 3, 1>>(channels, size),
            24 => built::<MBConv<24, 144, 6, 24, 3, 1>>(channels, size),
            40 => built::<MBConv<40, 240, 10, 40, 5, 1>>(channels, size),
            16 => built::<MBConv<16, 64, 4, 16, 5, 1>>(channels, size),
            80 => built::<MBConv<80, 480, 20, 80, 3, 1>>(channels, size),
            _ => built::<MBConv<112, 672, 28, 112, 5, 1>>(channels, size),
        },
        mistakes: &[
            (
                |&input| parts(input)[0],
                "Squeeze-and-excitation is missing.",
            ),
            (
                |&input| {
                    let [_, gate] = parts(input);
                    let whole = whole(input);
                    (whole.0, whole.1 - gate.1 + gate.1 * input[3] * input[3])
                },
                "Squeeze-and-excitation works on the mean of each channel: on one pixel, not on all.",
            ),
            (
                |&input| (whole(input).0, parts(input)[0].1),
                "The multiply-adds of squeeze-and-excitation are missing. They are few, but counted.",
            ),
            (
                |&[channels, expand, kernel, size]| {
                    let middle = channels * expand;
                    let more = (middle - 1) * middle * kernel * kernel;
                    let whole = whole([channels, expand, kernel, size]);
                    (whole.0 + more, whole.1 + more * size * size)
                },
                "The middle convolution is depthwise: each channel has one kernel of its own, and sees no other channel.",
            ),
            (
                |&[channels, expand, kernel, size]| {
                    let (middle, squeezed) = (channels * expand, channels * expand / 4);
                    let [convs, _] = parts([channels, expand, kernel, size]);
                    let gate = 2 * middle * squeezed;
                    (convs.0 + gate + squeezed + middle, convs.1 + gate)
                },
                "The squeeze is to a quarter of the block's channels, not of the expanded ones.",
            ),
            (
                |&[channels, expand, kernel, size]| {
                    let whole = whole([channels, expand, kernel, size]);
                    (whole.0 - 2 * (2 * channels * expand + channels), whole.1)
                },
                "The batch norms are missing: a scale and a bias for each channel, behind each of the three convolutions.",
            ),
            (
                |&[channels, expand, kernel, size]| {
                    let whole = whole([channels, expand, kernel, size]);
                    (whole.0 + 2 * channels * expand + channels, whole.1)
                },
                "The convolutions have no biases here: the batch norm behind each has one.",
            ),
            (
                |&[channels, expand, kernel, size]| {
                    let whole = whole([channels, expand, kernel, size]);
                    (whole.0 - channels * expand - channels / 4, whole.1)
                },
                "The biases of squeeze-and-excitation are missing.",
            ),
        ],
    }
    .run(move |&[channels, expand, kernel, size]| function(channels, expand, kernel, size))
}

/// Builds the layers and asks them.
fn built<B: BuildOnDevice<Cpu, f32>>(channels: usize, size: usize) -> Cost
where
    B::Built: Summarize,
{
    let layers = Cpu::default().build_module::<B, f32>();
    let summary = Summary::of(&layers, &[1, channels, size, size])
        .unwrap_or_else(|error| unreachable!("the check's own sizes fit: {error}"));
    (summary.parameters(), summary.multiply_adds() as usize)
}
