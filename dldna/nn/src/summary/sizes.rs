//! Sizes and parameters of single layers, by formula.

use crate::kernels::window::Window;

/// Why a sliding window has no output.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum OutputSizeError {
    /// A size that must be at least 1 is 0.
    #[error("the {0} must be at least 1, but is 0")]
    Zero(&'static str),
    /// The kernel does not fit the padded input.
    #[error("the kernel spans {span} pixels, but the padded input has only {padded_input}")]
    KernelTooLarge {
        /// Pixels from the kernel's first tap to its last.
        span: usize,
        /// Input size with the padding on both sides.
        padded_input: usize,
    },
    /// More padding than half a pooling's kernel: some windows would hold no pixel.
    #[error(
        "a pooling's padding must not be more than half its kernel of {kernel} pixels, but is {padding}"
    )]
    PoolPadding {
        /// Side of the kernel.
        kernel: usize,
        /// Pixels that are added on each side.
        padding: usize,
    },
    /// A size does not fit `usize`.
    #[error("the sizes are too large to count")]
    Overflow,
}

/// Output size of a convolution or pooling along one side:
///
/// ```text
/// output = floor((input + 2 * padding - dilation * (kernel - 1) - 1) / stride) + 1
/// ```
///
/// The division rounds down: pixels at the end that no whole step reaches are not looked at.
///
/// ```
/// use dldna_nn::summary::conv_output_size;
///
/// assert_eq!(conv_output_size(28, 3, 1, 1, 1)?, 28);
/// assert_eq!(conv_output_size(28, 3, 2, 0, 1)?, 13); // 25 / 2 = 12.5, rounded down to 12
/// assert!(conv_output_size(2, 3, 1, 0, 1).is_err());
/// # Ok::<(), dldna_nn::summary::OutputSizeError>(())
/// ```
pub fn conv_output_size(
    input: usize,
    kernel: usize,
    stride: usize,
    padding: usize,
    dilation: usize,
) -> Result<usize, OutputSizeError> {
    for (name, size) in [
        ("input", input),
        ("kernel", kernel),
        ("stride", stride),
        ("dilation", dilation),
    ] {
        if size == 0 {
            return Err(OutputSizeError::Zero(name));
        }
    }
    let padded_input = padding
        .checked_mul(2)
        .and_then(|both| both.checked_add(input));
    let span = dilation
        .checked_mul(kernel - 1)
        .and_then(|gaps| gaps.checked_add(1));
    let (padded_input, span) = padded_input.zip(span).ok_or(OutputSizeError::Overflow)?;
    let positions = Window::square(kernel, stride, padding, dilation).output_size(input, input);
    positions
        .map(|(size, _)| size)
        .ok_or(OutputSizeError::KernelTooLarge { span, padded_input })
}

/// Output size of a pooling without padding along one side: [`conv_output_size`] with no padding and dilation 1.
///
/// ```
/// assert_eq!(dldna_nn::summary::pool_output_size(13, 2, 2)?, 6);
/// # Ok::<(), dldna_nn::summary::OutputSizeError>(())
/// ```
pub fn pool_output_size(
    input: usize,
    kernel: usize,
    stride: usize,
) -> Result<usize, OutputSizeError> {
    conv_output_size(input, kernel, stride, 0, 1)
}

/// Parameters of a convolution: `kernel * kernel * in_channels` weights for each output channel, and its bias.
///
/// `usize::MAX` where there are as many or more: no machine holds them.
///
/// ```
/// use dldna_nn::summary::conv_parameters;
///
/// assert_eq!(conv_parameters(3, 64, 3), 1_792);
/// assert_eq!(conv_parameters(64, 64, 1 << 30), usize::MAX); // 2^72
/// ```
pub fn conv_parameters(in_channels: usize, out_channels: usize, kernel: usize) -> usize {
    kernel
        .saturating_mul(kernel)
        .saturating_mul(in_channels)
        .saturating_add(1)
        .saturating_mul(out_channels)
}

/// Multiply-adds of a convolution on one image: `kernel * kernel * in_channels` products for each of `out_channels` times
/// `output_size * output_size` results.
///
/// ```
/// use dldna_nn::summary::conv_multiply_adds;
///
/// assert_eq!(conv_multiply_adds(3, 64, 7, 112), 118_013_952); // the first layer of ResNet
/// ```
pub fn conv_multiply_adds(
    in_channels: usize,
    out_channels: usize,
    kernel: usize,
    output_size: usize,
) -> u128 {
    let factors = [
        kernel,
        kernel,
        in_channels,
        out_channels,
        output_size,
        output_size,
    ];
    factors.into_iter().fold(1, |product: u128, factor| {
        product.saturating_mul(factor as u128)
    })
}

/// The receptive field of a unit behind one more convolution or pooling, and the jump, the input pixels from one unit to the
/// next; before the first layer both are 1. `None` where they do not fit `usize`.
///
/// ```text
/// receptive field = receptive field before + (kernel - 1) * dilation * jump before
/// jump = jump before * stride
/// ```
///
/// Araujo, Norris and Sim, *Computing Receptive Fields of Convolutional Neural Networks*, 2019.
///
/// ```
/// use dldna_nn::summary::receptive_field_behind;
///
/// let pooled = receptive_field_behind((3, 1), 2, 2, 1).unwrap(); // a 3x3 convolution, and a pooling behind it
/// assert_eq!(pooled, (4, 2));
/// assert_eq!(receptive_field_behind(pooled, 3, 1, 1), Some((8, 2)));
/// ```
pub fn receptive_field_behind(
    (receptive_field, jump): (usize, usize),
    kernel: usize,
    stride: usize,
    dilation: usize,
) -> Option<(usize, usize)> {
    let growth = kernel
        .checked_sub(1)?
        .checked_mul(dilation)?
        .checked_mul(jump)?;
    Some((
        receptive_field.checked_add(growth)?,
        jump.checked_mul(stride)?,
    ))
}
