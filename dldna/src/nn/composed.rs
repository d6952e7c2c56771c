//! The layers made of dfdx's own operations: they run on every device that dfdx has.
//!
//! A GPU runs the layers this way, and the CPU too where [`instead_of_kernels`] asks for it. A convolution gathers the
//! pixels under the window, for every position of the window, into the columns of a matrix, and is then one product of
//! matrices (Chellapilla et al., *High Performance Convolutional Neural Networks for Document Processing*, 2006).
//!
//! The columns of a 3x3 convolution hold every pixel nine times. For a batch of photographs that is more than a GPU
//! has. So every operation here takes the batch in chunks whose columns fit into a fixed workspace, keeps only
//! its inputs, and computes the columns again when the gradients are asked for.
#![allow(
    clippy::type_complexity,
    reason = "the shapes are what a reader wants to see"
)]

use super::device::{ChannelStatistics, ConvParameters, LayerDevice, NormParameters};
use super::error::LayerError;
use crate::kernels::activation::Activation;
use crate::kernels::pool2d::Pool2d;
use crate::kernels::window::{Sliding, Window};
use dfdx::optim::UnusedTensors;
use dfdx::prelude::*;
use std::cell::Cell;
use std::ops::Range;

/// Numbers that one chunk of a batch may take between input and output: 128 MB. The unit tests have so little that
/// small batches come in several chunks too.
const WORKSPACE: usize = if cfg!(test) { 1 << 9 } else { 1 << 25 };

/// Images with their pixels in one row: `(batch, channel, height * width)`.
type Rows<D, T = NoneTape> = Tensor<(usize, usize, usize), f32, D, T>;
/// One number for each channel.
type Channels<D, T = NoneTape> = Tensor<(usize,), f32, D, T>;
/// What records the operations inside a chunk.
type Recorded<D> = OwnedTape<f32, D>;

thread_local! {
    static CHOSEN: Cell<bool> = const { Cell::new(false) };
}

/// Runs `action` with the operations of this module in place of the CPU's kernels, on this thread. So a network
/// computes on the CPU as it does on a GPU: for a check of either, not for speed.
///
/// ```
/// use dldna::{nn::composed, prelude::*, resnet::ResNet20};
///
/// let dev = Cpu::seed_from_u64(0);
/// let network = dev.build_module::<ResNet20<1, 10>, f32>();
/// let images = dev.sample_normal_like(&(2, Const::<1>, 8, 8));
/// let fast = network.forward(images.clone());
/// let composed = composed::instead_of_kernels(|| network.forward(images));
/// assert!((composed - fast).abs().as_vec().iter().all(|difference| *difference < 1e-4));
/// ```
pub fn instead_of_kernels<R>(action: impl FnOnce() -> R) -> R {
    /// Ends the choice, whichever way `action` ends.
    struct Back(bool);
    impl Drop for Back {
        fn drop(&mut self) {
            CHOSEN.set(self.0);
        }
    }
    let _back = Back(CHOSEN.replace(true));
    action()
}

/// Whether the caller is inside [`instead_of_kernels`].
pub(crate) fn is_chosen() -> bool {
    CHOSEN.get()
}

/// Convolution, as [`LayerDevice::conv2d`].
///
/// # Errors
/// Those of the device, and [`LayerError::WindowTooLarge`].
///
/// # Example
/// ```
/// use dldna::{kernels::window::Window, nn::{composed, LayerDevice}, prelude::*};
///
/// let dev = Cpu::seed_from_u64(0);
/// let (images, window) = (dev.sample_normal_like(&(2, Const::<3>, 6, 6)), Window::square(3, 1, 1, 1));
/// let weight: Tensor<Rank4<8, 3, 3, 3>, f32, _> = dev.sample_normal();
/// let composed = composed::conv2d(images.clone(), &weight, None, window)?;
/// let fast = Cpu::conv2d(images, &weight, None, window)?;
/// assert!((composed - fast).abs().as_vec().iter().all(|difference| *difference < 1e-4));
/// # Ok::<(), CpuError>(())
/// ```
pub fn conv2d<
    const IN: usize,
    const OUT: usize,
    const KERNEL_HEIGHT: usize,
    const KERNEL_WIDTH: usize,
    B: Dim,
    H: Dim,
    W: Dim,
    D: LayerDevice,
    T: Tape<f32, D>,
>(
    input: Tensor<(B, Const<IN>, H, W), f32, D, T>,
    weight: &Tensor<Rank4<OUT, IN, KERNEL_HEIGHT, KERNEL_WIDTH>, f32, D>,
    bias: Option<&Tensor<Rank1<OUT>, f32, D>>,
    window: Window,
) -> Result<Tensor<(B, Const<OUT>, usize, usize), f32, D, T>, D::Err> {
    let places = Places::new("Conv2D", &input, window)?;
    let &(batch, ..) = input.shape();
    let (x, tape) = rows(input)?.split_tape();
    let mut leaves = leaves([&x as &dyn Leaf<D>, weight]);
    leaves.extend(bias.map(Leaf::boxed));
    let numbers = IN * KERNEL_HEIGHT * KERNEL_WIDTH;
    let pixels = places.output_pixels();
    let chunks = Chunks::new(&x, (OUT, pixels), 2 * numbers * pixels); // as gathered, and in order
    let (height, width) = places.output;
    let (weight, bias) = (weight.clone(), bias.cloned());
    let y = chunks.apply(tape, leaves, move |range| {
        let columns = places.gather(part(&x, range)?, 0.0)?; // (n, IN, taps * pixels)
        let &(n, ..) = columns.shape();
        let columns = columns.try_reshape_like(&(n, numbers, pixels))?;
        // One product for all images: for the weights' gradient dfdx would else make one for each on a GPU.
        let columns = columns.try_permute::<(usize, usize, usize), Axes3<1, 0, 2>>()?;
        let columns = columns.try_reshape_like(&(numbers, n * pixels))?;
        let weight = weight.retaped::<Recorded<D>>();
        let weight = weight.try_reshape_like(&(OUT, numbers))?;
        let mut y = weight.try_matmul(columns)?; // (OUT, n * pixels)
        if let Some(bias) = &bias {
            let bias = bias.retaped::<Recorded<D>>().try_reshape_like(&(OUT,))?;
            y = y.try_add(bias.try_broadcast_like::<_, Axis<1>>(&(OUT, n * pixels))?)?;
        }
        y.try_reshape_like(&(OUT, n, pixels))?
            .try_permute::<(usize, usize, usize), Axes3<1, 0, 2>>()?
            .try_contiguous()
    })?;
    y.try_reshape_like(&(batch, Const::<OUT>, height, width))
}

/// Convolution of each channel with its own kernel, as [`LayerDevice::depthwise_conv2d`].
///
/// # Errors
/// Those of the device, and [`LayerError::WindowTooLarge`].
///
/// # Example
/// ```
/// use dldna::{kernels::window::Window, nn::composed, prelude::*};
///
/// let dev = Cpu::seed_from_u64(0);
/// let images = dev.ones_like(&(1, Const::<2>, 4, 4));
/// let weight: Tensor<Rank4<2, 1, 3, 3>, f32, _> = dev.ones();
/// let y = composed::depthwise_conv2d(images, &weight, Window::square(3, 1, 0, 1))?;
/// assert_eq!(y.as_vec(), [9.0; 8]);
/// # Ok::<(), CpuError>(())
/// ```
pub fn depthwise_conv2d<
    const C: usize,
    const K: usize,
    B: Dim,
    H: Dim,
    W: Dim,
    D: LayerDevice,
    T: Tape<f32, D>,
>(
    input: Tensor<(B, Const<C>, H, W), f32, D, T>,
    weight: &Tensor<Rank4<C, 1, K, K>, f32, D>,
    window: Window,
) -> Result<Tensor<(B, Const<C>, usize, usize), f32, D, T>, D::Err> {
    let places = Places::new("DepthwiseConv2D", &input, window)?;
    let &(batch, channels, ..) = input.shape();
    let (x, tape) = rows(input)?.split_tape();
    let leaves = leaves([&x as &dyn Leaf<D>, weight]);
    let (taps, pixels) = (K * K, places.output_pixels());
    let (height, width) = places.output;
    let weight = weight.clone();
    let y = Chunks::new(&x, (C, pixels), C * taps * pixels).apply(tape, leaves, move |range| {
        let columns = places.gather(part(&x, range)?, 0.0)?;
        let shape = (columns.shape().0, C, taps, pixels);
        let weight = weight.retaped::<Recorded<D>>();
        let weight = weight.try_reshape_like(&(C, taps))?;
        let products = columns
            .try_reshape_like(&shape)?
            .try_mul(weight.try_broadcast_like::<_, Axes2<0, 3>>(&shape)?)?;
        products.try_sum::<_, Axis<2>>()
    })?;
    y.try_reshape_like(&(batch, channels, height, width))
}

/// The largest value of each window, as [`LayerDevice::max_pool2d`].
///
/// # Errors
/// Those of the device, and [`LayerError::WindowTooLarge`].
///
/// # Example
/// ```
/// use dldna::{kernels::window::Window, nn::composed, prelude::*};
///
/// let dev = Cpu::seed_from_u64(0);
/// let images = dev.tensor([[[[1., 2.], [3., 4.]]]]);
/// assert_eq!(composed::max_pool2d(images, Window::square(2, 2, 0, 1))?.as_vec(), [4.0]);
/// # Ok::<(), CpuError>(())
/// ```
pub fn max_pool2d<B: Dim, C: Dim, H: Dim, W: Dim, D: LayerDevice, T: Tape<f32, D>>(
    input: Tensor<(B, C, H, W), f32, D, T>,
    window: Window,
) -> Result<Tensor<(B, C, usize, usize), f32, D, T>, D::Err> {
    let places = Places::of_pool("MaxPool2D", &input, window)?;
    let &(batch, channels, ..) = input.shape();
    let (x, tape) = rows(input)?.split_tape();
    let leaves = leaves([&x as &dyn Leaf<D>]);
    let (taps, pixels) = (places.taps, places.output_pixels());
    let (height, width) = places.output;
    // The values, and for each tap what is the largest so far and where it is from.
    let numbers = 3 * channels.size() * taps * pixels;
    let output = (channels.size(), pixels);
    let y = Chunks::new(&x, output, numbers).apply(tape, leaves, move |range| {
        let columns = places.gather(part(&x, range)?, f32::NEG_INFINITY)?;
        if taps == 1 {
            return columns.try_mul(1.0); // a tensor of its own
        }
        let (columns, tape) = columns.split_tape();
        let tap = |tap: usize| (.., .., tap * pixels..(tap + 1) * pixels);
        let mut largest = columns.clone().put_tape(tape).try_slice(tap(0))?;
        for later in 1..taps {
            let value = columns.retaped::<Recorded<D>>().try_slice(tap(later))?;
            // Of equal values the first one wins, and gets all of the gradient.
            let larger = value.try_gt(&largest)?;
            largest = larger.try_choose(value, largest)?;
        }
        Ok(largest)
    })?;
    y.try_reshape_like(&(batch, channels, height, width))
}

/// The mean of each window, as [`LayerDevice::avg_pool2d`].
///
/// # Errors
/// Those of the device, and [`LayerError::WindowTooLarge`].
///
/// # Example
/// ```
/// use dldna::{kernels::window::Window, nn::composed, prelude::*};
///
/// let dev = Cpu::seed_from_u64(0);
/// let images = dev.tensor([[[[1., 2.], [3., 4.]]]]);
/// assert_eq!(composed::avg_pool2d(images, Window::square(2, 2, 0, 1))?.as_vec(), [2.5]);
/// # Ok::<(), CpuError>(())
/// ```
pub fn avg_pool2d<B: Dim, C: Dim, H: Dim, W: Dim, D: LayerDevice, T: Tape<f32, D>>(
    input: Tensor<(B, C, H, W), f32, D, T>,
    window: Window,
) -> Result<Tensor<(B, C, usize, usize), f32, D, T>, D::Err> {
    let places = Places::of_pool("AvgPool2D", &input, window)?;
    let &(batch, channels, ..) = input.shape();
    let (x, tape) = rows(input)?.split_tape();
    let leaves = leaves([&x as &dyn Leaf<D>]);
    let (taps, pixels) = (places.taps, places.output_pixels());
    let (height, width) = places.output;
    let numbers = channels.size() * taps * pixels;
    let output = (channels.size(), pixels);
    let y = Chunks::new(&x, output, numbers).apply(tape, leaves, move |range| {
        let columns = places.gather(part(&x, range)?, 0.0)?;
        let shape = (columns.shape().0, channels.size(), taps, pixels);
        columns
            .try_reshape_like(&shape)?
            .try_sum::<_, Axis<2>>()?
            .try_mul(1.0 / taps as f32)
    })?;
    y.try_reshape_like(&(batch, channels, height, width))
}

/// Batch normalisation by the batch's own statistics, as [`LayerDevice::batch_norm2d_train`].
///
/// # Errors
/// Those of the device, and [`LayerError::TooFewValues`].
///
/// # Example
/// ```
/// use dldna::{nn::composed, prelude::*};
///
/// let dev = Cpu::seed_from_u64(0);
/// let images = dev.tensor([[[[1.0]]], [[[3.0]]]]); // two images of one pixel
/// let (y, statistics) = composed::batch_norm2d_train(images, &dev.ones::<Rank1<1>>(), &dev.zeros(), 0.0)?;
/// assert_eq!((statistics.mean.array(), statistics.variance.array()), ([2.0], [1.0]));
/// assert_eq!(y.as_vec(), [-1.0, 1.0]);
/// # Ok::<(), CpuError>(())
/// ```
pub fn batch_norm2d_train<
    const C: usize,
    B: Dim,
    H: Dim,
    W: Dim,
    D: LayerDevice,
    T: Tape<f32, D>,
>(
    input: Tensor<(B, Const<C>, H, W), f32, D, T>,
    scale: &Tensor<Rank1<C>, f32, D>,
    bias: &Tensor<Rank1<C>, f32, D>,
    epsilon: f32,
) -> Result<
    (
        Tensor<(B, Const<C>, H, W), f32, D, T>,
        ChannelStatistics<C, D>,
    ),
    D::Err,
> {
    let shape = *input.shape();
    let norm = NormParameters {
        scale,
        bias,
        epsilon,
    };
    let (y, statistics) = norm_train(rows(input)?, norm, None, Activation::Identity)?;
    Ok((y.try_reshape_like(&shape)?, statistics))
}

/// Normalisation by given statistics, as [`LayerDevice::batch_norm2d_eval`].
///
/// # Errors
/// Those of the device.
///
/// # Example
/// ```
/// use dldna::{nn::{ChannelStatistics, composed}, prelude::*};
///
/// let dev = Cpu::seed_from_u64(0);
/// let running = ChannelStatistics { mean: dev.tensor([2.0]), variance: dev.tensor([4.0]) };
/// let images = dev.tensor([[[[4.0]]]]);
/// let y = composed::batch_norm2d_eval(images, running, &dev.ones::<Rank1<1>>(), &dev.zeros(), 0.0)?;
/// assert_eq!(y.as_vec(), [1.0]);
/// # Ok::<(), CpuError>(())
/// ```
pub fn batch_norm2d_eval<const C: usize, B: Dim, H: Dim, W: Dim, D: LayerDevice>(
    input: Tensor<(B, Const<C>, H, W), f32, D>,
    running: ChannelStatistics<C, D>,
    scale: &Tensor<Rank1<C>, f32, D>,
    bias: &Tensor<Rank1<C>, f32, D>,
    epsilon: f32,
) -> Result<Tensor<(B, Const<C>, H, W), f32, D>, D::Err> {
    let shape = *input.shape();
    let norm = NormParameters {
        scale,
        bias,
        epsilon,
    };
    let mean = running.mean.try_reshape_like(&(C,))?;
    let variance = running.variance.try_reshape_like(&(C,))?;
    normalize(
        rows(input)?,
        mean,
        variance,
        norm,
        None,
        Activation::Identity,
    )?
    .try_reshape_like(&shape)
}

/// Convolution, batch norm, shortcut and activation in training, as [`LayerDevice::conv_norm_train`].
///
/// # Errors
/// Those of the device, [`LayerError::WindowTooLarge`] and [`LayerError::TooFewValues`].
///
/// # Example
/// ```
/// use dldna::nn::{Then, composed};
/// use dldna::prelude::*;
///
/// let dev = Cpu::seed_from_u64(0);
/// let conv = dev.build_module::<BiasedConv2D<3, 8, 3, 1, 1>, f32>();
/// let norm = dev.build_module::<BatchNorm2D<8>, f32>();
/// let images = dev.sample_normal_like(&(4, Const::<3>, 6, 6));
/// let step = || conv.try_forward_norm_mut(&mut norm.clone(), images.leaky_trace(), Then::relu());
/// let difference = composed::instead_of_kernels(step)? - step()?.retaped::<NoneTape>();
/// assert!(difference.abs().as_vec().iter().all(|difference| *difference < 1e-4));
/// # Ok::<(), CpuError>(())
/// ```
pub fn conv_norm_train<
    const IN: usize,
    const OUT: usize,
    const K: usize,
    B: Dim,
    H: Dim,
    W: Dim,
    D: LayerDevice,
    T: Tape<f32, D>,
>(
    input: Tensor<(B, Const<IN>, H, W), f32, D, T>,
    conv: ConvParameters<IN, OUT, K, D>,
    norm: NormParameters<OUT, D>,
    shortcut: Option<Tensor<(B, Const<OUT>, usize, usize), f32, D, T>>,
    activation: Activation,
) -> Result<
    (
        Tensor<(B, Const<OUT>, usize, usize), f32, D, T>,
        ChannelStatistics<OUT, D>,
    ),
    D::Err,
> {
    // Without its bias, which the normalisation takes away again.
    let convolved = conv2d(input, conv.weight, None, conv.window)?;
    norm_behind(convolved, conv.bias, norm, shortcut, activation)
}

/// Convolution, batch norm, shortcut and activation in evaluation, as [`LayerDevice::conv_norm_eval`].
///
/// # Errors
/// Those of the device, and [`LayerError::WindowTooLarge`].
///
/// # Example
/// As for [`conv_norm_train`].
pub fn conv_norm_eval<
    const IN: usize,
    const OUT: usize,
    const K: usize,
    B: Dim,
    H: Dim,
    W: Dim,
    D: LayerDevice,
>(
    input: Tensor<(B, Const<IN>, H, W), f32, D>,
    conv: ConvParameters<IN, OUT, K, D>,
    norm: NormParameters<OUT, D>,
    running: ChannelStatistics<OUT, D>,
    shortcut: Option<Tensor<(B, Const<OUT>, usize, usize), f32, D>>,
    activation: Activation,
) -> Result<Tensor<(B, Const<OUT>, usize, usize), f32, D>, D::Err> {
    let convolved = conv2d(input, conv.weight, None, conv.window)?;
    norm_by_running(convolved, conv.bias, norm, running, shortcut, activation)
}

/// [`conv_norm_train`] with a kernel for each channel, as [`LayerDevice::depthwise_norm_train`].
///
/// # Errors
/// Those of the device, [`LayerError::WindowTooLarge`] and [`LayerError::TooFewValues`].
///
/// # Example
/// As for [`conv_norm_train`].
pub fn depthwise_norm_train<
    const C: usize,
    const K: usize,
    B: Dim,
    H: Dim,
    W: Dim,
    D: LayerDevice,
    T: Tape<f32, D>,
>(
    input: Tensor<(B, Const<C>, H, W), f32, D, T>,
    conv: ConvParameters<1, C, K, D>,
    norm: NormParameters<C, D>,
    shortcut: Option<Tensor<(B, Const<C>, usize, usize), f32, D, T>>,
    activation: Activation,
) -> Result<
    (
        Tensor<(B, Const<C>, usize, usize), f32, D, T>,
        ChannelStatistics<C, D>,
    ),
    D::Err,
> {
    let convolved = depthwise_conv2d(input, conv.weight, conv.window)?;
    norm_behind(convolved, conv.bias, norm, shortcut, activation)
}

/// [`conv_norm_eval`] with a kernel for each channel, as [`LayerDevice::depthwise_norm_eval`].
///
/// # Errors
/// Those of the device, and [`LayerError::WindowTooLarge`].
///
/// # Example
/// As for [`conv_norm_train`].
pub fn depthwise_norm_eval<
    const C: usize,
    const K: usize,
    B: Dim,
    H: Dim,
    W: Dim,
    D: LayerDevice,
>(
    input: Tensor<(B, Const<C>, H, W), f32, D>,
    conv: ConvParameters<1, C, K, D>,
    norm: NormParameters<C, D>,
    running: ChannelStatistics<C, D>,
    shortcut: Option<Tensor<(B, Const<C>, usize, usize), f32, D>>,
    activation: Activation,
) -> Result<Tensor<(B, Const<C>, usize, usize), f32, D>, D::Err> {
    let convolved = depthwise_conv2d(input, conv.weight, conv.window)?;
    norm_by_running(convolved, conv.bias, norm, running, shortcut, activation)
}

/// The activation of each value, as [`LayerDevice::activate`].
///
/// # Errors
/// Those of the device.
///
/// # Example
/// ```
/// use dldna::nn::{Activation, composed};
/// use dldna::prelude::*;
///
/// let dev = Cpu::seed_from_u64(0);
/// let y = composed::activate(dev.tensor([-1.0, 5.0, 7.0]), Activation::Relu6)?;
/// assert_eq!(y.array(), [0.0, 5.0, 6.0]);
/// # Ok::<(), CpuError>(())
/// ```
pub fn activate<S: Shape, D: LayerDevice, T: Tape<f32, D>>(
    input: Tensor<S, f32, D, T>,
    activation: Activation,
) -> Result<Tensor<S, f32, D, T>, D::Err> {
    match activation {
        Activation::Identity => Ok(input),
        Activation::Relu => input.try_relu(),
        // min(r, 6) = 6 - relu(6 - r), with a slope of 0 at both ends, as PyTorch has it.
        Activation::Relu6 => input
            .try_relu()?
            .try_negate()?
            .try_add(6.0)?
            .try_relu()?
            .try_negate()?
            .try_add(6.0),
        Activation::Silu => {
            let sigmoid = input.with_empty_tape().try_sigmoid()?;
            input.try_mul(sigmoid)
        }
        Activation::Gelu => {
            // The derivative that dfdx 0.13 has for it is too large by (sqrt 2 - 1) x phi(x), with phi the normal density. The
            // derivative of phi is -x phi, so this difference of equals, of which one has no gradient, puts it right.
            let constant = gelu_correction(input.retaped::<NoneTape>())?;
            let zero = gelu_correction(input.with_empty_tape())?.try_sub(constant)?;
            input.try_accurate_gelu()?.try_add(zero)
        }
    }
}

/// `(sqrt 2 - 1) phi(x)`, with `phi` the standard normal density.
fn gelu_correction<S: Shape, D: LayerDevice, T: Tape<f32, D>>(
    x: Tensor<S, f32, D, T>,
) -> Result<Tensor<S, f32, D, T>, D::Err> {
    use std::f32::consts::{SQRT_2, TAU};
    x.try_square()?
        .try_mul(-0.5)?
        .try_exp()?
        .try_mul((SQRT_2 - 1.0) / TAU.sqrt())
}

/// Normalisation of each pixel over its channels, as [`LayerDevice::layer_norm2d`].
///
/// # Errors
/// Those of the device.
///
/// # Example
/// ```
/// use dldna::{nn::composed, prelude::*};
///
/// let dev = Cpu::seed_from_u64(0);
/// let images = dev.tensor([[[[1.0]], [[3.0]]]]); // one pixel of two channels
/// let y = composed::layer_norm2d(images, &dev.ones::<Rank1<2>>(), &dev.zeros(), 0.0)?;
/// assert_eq!(y.as_vec(), [-1.0, 1.0]);
/// # Ok::<(), CpuError>(())
/// ```
pub fn layer_norm2d<const C: usize, B: Dim, H: Dim, W: Dim, D: LayerDevice, T: Tape<f32, D>>(
    input: Tensor<(B, Const<C>, H, W), f32, D, T>,
    scale: &Tensor<Rank1<C>, f32, D>,
    bias: &Tensor<Rank1<C>, f32, D>,
    epsilon: f32,
) -> Result<Tensor<(B, Const<C>, H, W), f32, D, T>, D::Err> {
    let shape = *input.shape();
    let normalised = input.try_normalize::<Axis<1>>(f64::from(epsilon))?;
    let scale = scale.retaped::<T>().try_broadcast_like(&shape)?;
    let bias = bias.retaped::<T>().try_broadcast_like(&shape)?;
    normalised.try_mul(scale)?.try_add(bias)
}

/// The mean of each channel of each image, as [`LayerDevice::global_avg_pool2d`].
///
/// # Errors
/// Those of the device.
///
/// # Example
/// ```
/// use dldna::{nn::composed, prelude::*};
///
/// let dev = Cpu::seed_from_u64(0);
/// let y = composed::global_avg_pool2d(dev.tensor([[[[1.0, 2.0, 6.0]]]]))?;
/// assert_eq!(y.as_vec(), [3.0]);
/// # Ok::<(), CpuError>(())
/// ```
pub fn global_avg_pool2d<B: Dim, C: Dim, H: Dim, W: Dim, D: LayerDevice, T: Tape<f32, D>>(
    input: Tensor<(B, C, H, W), f32, D, T>,
) -> Result<Tensor<(B, C, usize, usize), f32, D, T>, D::Err> {
    let &(batch, channels, height, width) = input.shape();
    let share = 1.0 / (height.size() * width.size()) as f32;
    rows(input)?
        .try_sum::<(usize, usize), Axis<2>>()?
        .try_mul(share)?
        .try_reshape_like(&(batch, channels, 1, 1))
}

/// Each channel of each image times a factor of its own, as [`LayerDevice::scale_channels`].
///
/// # Errors
/// Those of the device, and [`LayerError::Factors`].
///
/// # Example
/// ```
/// use dldna::{nn::composed, prelude::*};
///
/// let dev = Cpu::seed_from_u64(0);
/// let images = dev.tensor([[[[1.0, 2.0]], [[3.0, 4.0]]]]); // one image, two channels
/// let factors = dev.tensor_from_vec(vec![10.0, 1.0], (Const::<1>, Const::<2>, 1, 1));
/// assert_eq!(composed::scale_channels(images, factors)?.as_vec(), [10.0, 20.0, 3.0, 4.0]);
/// # Ok::<(), CpuError>(())
/// ```
pub fn scale_channels<B: Dim, C: Dim, H: Dim, W: Dim, D: LayerDevice, T: Tape<f32, D>>(
    images: Tensor<(B, C, H, W), f32, D, T>,
    factors: Tensor<(B, C, usize, usize), f32, D, T>,
) -> Result<Tensor<(B, C, H, W), f32, D, T>, D::Err> {
    let shape = *images.shape();
    let (batch, channels) = (shape.0.size(), shape.1.size());
    if factors.shape().concrete() != [batch, channels, 1, 1] {
        return Err(D::error(LayerError::Factors {
            images: batch,
            channels,
            factors: factors.shape().concrete(),
        }));
    }
    let images = rows(images)?;
    let factors = factors
        .try_reshape_like(&(batch, channels))?
        .try_broadcast_like::<_, Axis<2>>(images.shape())?;
    images.try_mul(factors)?.try_reshape_like(&shape)
}

/// What follows a convolution in training. Its bias only moves the mean.
fn norm_behind<const C: usize, B: Dim, D: LayerDevice, T: Tape<f32, D>>(
    convolved: Tensor<(B, Const<C>, usize, usize), f32, D, T>,
    conv_bias: Option<&Tensor<Rank1<C>, f32, D>>,
    norm: NormParameters<C, D>,
    shortcut: Option<Tensor<(B, Const<C>, usize, usize), f32, D, T>>,
    activation: Activation,
) -> Result<
    (
        Tensor<(B, Const<C>, usize, usize), f32, D, T>,
        ChannelStatistics<C, D>,
    ),
    D::Err,
> {
    let shape = *convolved.shape();
    let shortcut = shortcut.map(rows).transpose()?;
    let (y, mut statistics) = norm_train(rows(convolved)?, norm, shortcut, activation)?;
    let (y, mut tape) = y.split_tape();
    if let Some(bias) = conv_bias {
        statistics.mean = statistics.mean.try_add(bias.clone())?;
        let d_bias = bias.ghost();
        tape.add_backward_op(move |gradients| gradients.try_alloc_for(&d_bias)); // stays 0
    }
    Ok((y.put_tape(tape).try_reshape_like(&shape)?, statistics))
}

/// What follows a convolution in evaluation.
fn norm_by_running<const C: usize, B: Dim, D: LayerDevice>(
    convolved: Tensor<(B, Const<C>, usize, usize), f32, D>,
    conv_bias: Option<&Tensor<Rank1<C>, f32, D>>,
    norm: NormParameters<C, D>,
    running: ChannelStatistics<C, D>,
    shortcut: Option<Tensor<(B, Const<C>, usize, usize), f32, D>>,
    activation: Activation,
) -> Result<Tensor<(B, Const<C>, usize, usize), f32, D>, D::Err> {
    let shape = *convolved.shape();
    let shortcut = shortcut.map(rows).transpose()?;
    // (conv + bias) - mean = conv - (mean - bias)
    let mean = match conv_bias {
        Some(bias) => running.mean.try_sub(bias.clone())?,
        None => running.mean,
    };
    let mean = mean.try_reshape_like(&(C,))?;
    let variance = running.variance.try_reshape_like(&(C,))?;
    normalize(rows(convolved)?, mean, variance, norm, shortcut, activation)?
        .try_reshape_like(&shape)
}

/// The pixels of each image in one row, without a copy where they are that already.
fn rows<B: Dim, C: Dim, H: Dim, W: Dim, D: LayerDevice, T: Tape<f32, D>>(
    images: Tensor<(B, C, H, W), f32, D, T>,
) -> Result<Rows<D, T>, D::Err> {
    let &(batch, channels, height, width) = images.shape();
    images.try_reshape_like(&(batch.size(), channels.size(), height.size() * width.size()))
}

/// Some images of a batch, recorded on a tape of their own.
///
/// They are gathered: the gradient of dfdx's slice takes the place of what was there, and is not added to it.
fn part<D: LayerDevice>(x: &Rows<D>, range: Range<usize>) -> Result<Rows<D, Recorded<D>>, D::Err> {
    let part = x.retaped::<Recorded<D>>();
    if range == (0..x.shape().0) {
        return Ok(part);
    }
    let count = range.len();
    let index = x.device().try_tensor_from_vec(range.collect(), (count,))?;
    part.try_gather(index)
}

fn too_large<D: LayerDevice>(
    layer: &'static str,
    window: Window,
    (height, width): (usize, usize),
) -> D::Err {
    D::error(LayerError::WindowTooLarge {
        layer,
        window,
        height,
        width,
    })
}

/// Which pixel each tap of a window meets at each of its positions.
struct Places<D: LayerDevice> {
    /// For each tap and then each position, the pixel. Padding is one pixel behind the last.
    index: Tensor<(usize,), usize, D>,
    /// Whether every tap meets the pixel at its own position: a 1x1 window of stride 1.
    identity: bool,
    padded: bool,
    taps: usize,
    /// Height and width of the result.
    output: (usize, usize),
}

impl<D: LayerDevice> Places<D> {
    /// Of a convolution over `images`.
    fn new<B: Dim, C: Dim, H: Dim, W: Dim, T>(
        layer: &'static str,
        images: &Tensor<(B, C, H, W), f32, D, T>,
        window: Window,
    ) -> Result<Self, D::Err> {
        let &(_, _, height, width) = images.shape();
        let size = (height.size(), width.size());
        match Sliding::new(window, size) {
            Some(sliding) => Self::of(images.device(), sliding),
            None => Err(too_large::<D>(layer, window, size)),
        }
    }

    /// Of a pooling over `images`, which has to meet a pixel at every position.
    fn of_pool<B: Dim, C: Dim, H: Dim, W: Dim, T>(
        layer: &'static str,
        images: &Tensor<(B, C, H, W), f32, D, T>,
        window: Window,
    ) -> Result<Self, D::Err> {
        let &(_, _, height, width) = images.shape();
        let size = (height.size(), width.size());
        match Pool2d::new(window, size) {
            Some(pool) => Self::of(images.device(), pool.sliding()),
            None => Err(too_large::<D>(layer, window, size)),
        }
    }

    fn of(dev: &D, sliding: Sliding) -> Result<Self, D::Err> {
        let (window, width) = (sliding.window, sliding.input.1);
        let outside = sliding.input_pixels();
        let (taps, positions) = (window.kernel.0 * window.kernel.1, sliding.output_pixels());
        let mut index = Vec::with_capacity(taps * positions);
        for tap in 0..taps {
            let (tap_row, tap_column) = (tap / window.kernel.1, tap % window.kernel.1);
            let (columns, start) = sliding.columns(tap_column);
            for row in 0..sliding.output.0 {
                let row = sliding.input_row(row, tap_row);
                index.extend((0..sliding.output.1).map(|column| match row {
                    Some(row) if columns.contains(&column) => {
                        row * width + start + (column - columns.start) * window.stride
                    }
                    _ => outside,
                }));
            }
        }
        Ok(Self {
            identity: index.iter().copied().eq(0..outside),
            padded: index.contains(&outside),
            index: dev.try_tensor_from_vec(index, (taps * positions,))?,
            taps,
            output: sliding.output,
        })
    }

    fn output_pixels(&self) -> usize {
        self.output.0 * self.output.1
    }

    /// `(n, channels, pixels)` to `(n, channels, taps * positions)`; taps on the padding give `outside`.
    fn gather<T: Tape<f32, D>>(
        &self,
        images: Rows<D, T>,
        outside: f32,
    ) -> Result<Rows<D, T>, D::Err> {
        if self.identity {
            return Ok(images);
        }
        let &(n, channels, _) = images.shape();
        let images = if self.padded {
            let column: Rows<D> = images.device().try_zeros_like(&(n, channels, 1))?;
            let column = column.try_add(outside)?;
            (images, column).try_concat_along(Axis::<2>)?
        } else {
            images
        };
        let &(all,) = self.index.shape();
        let index = self
            .index
            .clone()
            .try_broadcast_like::<_, Axes2<0, 1>>(&(n, channels, all))?;
        images.try_gather(index)
    }
}

/// Normalises by the statistics of the batch, which are returned too, and goes on as [`normalize`] does.
fn norm_train<const C: usize, D: LayerDevice, T: Tape<f32, D>>(
    x: Rows<D, T>,
    norm: NormParameters<C, D>,
    shortcut: Option<Rows<D, T>>,
    activation: Activation,
) -> Result<(Rows<D, T>, ChannelStatistics<C, D>), D::Err> {
    let &(batch, _, pixels) = x.shape();
    let count = batch * pixels;
    if count < 2 {
        return Err(D::error(LayerError::TooFewValues { count }));
    }
    let share = 1.0 / count as f32;
    let (x, tape) = x.split_tape();
    let values = x.clone();
    let mean = sums::<D, T>(&x, move |range| part(&values, range))?.try_mul(share)?;
    let (values, fixed) = (x.clone(), mean.retaped::<NoneTape>());
    // The variance does not change with the mean: the gradient by it is -2 sum(x - mean) / count = 0.
    let variance = sums::<D, T>(&x, move |range| {
        let x = part(&values, range)?;
        let mean = over_images(fixed.retaped::<Recorded<D>>(), &x)?;
        x.try_sub(mean)?.try_square()
    })?
    .try_mul(share)?;
    let statistics = ChannelStatistics {
        mean: mean.retaped::<NoneTape>().try_reshape_like(&(Const,))?,
        variance: variance.retaped::<NoneTape>().try_reshape_like(&(Const,))?,
    };
    let y = normalize(x.put_tape(tape), mean, variance, norm, shortcut, activation)?;
    Ok((y, statistics))
}

/// The sum over images and pixels of what `values` makes of a part of the batch, for each channel.
fn sums<D: LayerDevice, T: Tape<f32, D>>(
    x: &Rows<D>,
    values: impl Fn(Range<usize>) -> Result<Rows<D, Recorded<D>>, D::Err> + 'static,
) -> Result<Channels<D, T>, D::Err> {
    let &(_, channels, pixels) = x.shape();
    let chunks = Chunks::new(x, (channels, 1), 4 * channels * pixels);
    let by_image = chunks.apply(T::default(), leaves([x as &dyn Leaf<D>]), move |range| {
        let sums = values(range)?.try_sum::<(usize, usize), Axis<2>>()?;
        let &(n, channels) = sums.shape();
        sums.try_reshape_like(&(n, channels, 1))
    })?;
    by_image.try_sum::<_, Axes2<0, 2>>()
}

/// `activation((x - mean) * scale / sqrt(variance + epsilon) + bias + shortcut)`.
fn normalize<const C: usize, D: LayerDevice, T: Tape<f32, D>>(
    x: Rows<D, T>,
    mean: Channels<D, T>,
    variance: Channels<D, T>,
    norm: NormParameters<C, D>,
    shortcut: Option<Rows<D, T>>,
    activation: Activation,
) -> Result<Rows<D, T>, D::Err> {
    let &(_, channels, pixels) = x.shape();
    let (x, tape) = x.split_tape();
    let (mean, of_mean) = mean.split_tape();
    let (variance, of_variance) = variance.split_tape();
    let mut tape = tape.merge(of_mean).merge(of_variance);
    let mut leaves = leaves([&x as &dyn Leaf<D>, &mean, &variance, norm.scale, norm.bias]);
    let shortcut = shortcut.map(|shortcut| {
        let (shortcut, its_tape) = shortcut.split_tape();
        tape = std::mem::take(&mut tape).merge(its_tape);
        leaves.push(shortcut.boxed());
        shortcut
    });
    let (scale, bias, epsilon) = (norm.scale.clone(), norm.bias.clone(), norm.epsilon);
    Chunks::new(&x, (channels, pixels), 8 * channels * pixels).apply(tape, leaves, move |range| {
        let y = part(&x, range.clone())?;
        let scale = scale.retaped::<Recorded<D>>().try_reshape_like(&(C,))?;
        let bias = bias.retaped::<Recorded<D>>().try_reshape_like(&(C,))?;
        let deviation = variance
            .retaped::<Recorded<D>>()
            .try_add(epsilon)?
            .try_sqrt()?;
        let scale = over_images(scale.try_div(deviation)?, &y)?;
        let bias = over_images(bias, &y)?;
        let mean = over_images(mean.retaped::<Recorded<D>>(), &y)?;
        let mut y = y.try_sub(mean)?.try_mul(scale)?.try_add(bias)?;
        if let Some(shortcut) = &shortcut {
            y = y.try_add(part(shortcut, range)?)?;
        }
        activate(y, activation)
    })
}

/// One number for each channel, at every pixel of the images `like`.
fn over_images<D: LayerDevice>(
    channels: Channels<D, Recorded<D>>,
    like: &Rows<D, Recorded<D>>,
) -> Result<Rows<D, Recorded<D>>, D::Err> {
    channels.try_broadcast_like::<_, Axes2<0, 2>>(like.shape())
}

/// A tensor that gradients are asked for, of whatever shape.
trait Leaf<D: LayerDevice> {
    fn boxed(&self) -> Box<dyn Leaf<D>>;
    /// Adds the tensor to those whose gradients stay.
    fn keep(&self, kept: &mut UnusedTensors);
    /// Exchanges the gradients that two maps have for the tensor.
    fn exchange(
        &self,
        one: &mut Gradients<f32, D>,
        other: &mut Gradients<f32, D>,
    ) -> Result<(), D::Err>;
}

impl<S: Shape, D: LayerDevice> Leaf<D> for Tensor<S, f32, D> {
    fn boxed(&self) -> Box<dyn Leaf<D>> {
        Box::new(self.clone())
    }

    fn keep(&self, kept: &mut UnusedTensors) {
        kept.add(self);
    }

    fn exchange(
        &self,
        one: &mut Gradients<f32, D>,
        other: &mut Gradients<f32, D>,
    ) -> Result<(), D::Err> {
        let (one, other) = (one.get_or_alloc_mut(self)?, other.get_or_alloc_mut(self)?);
        std::mem::swap(one, other);
        Ok(())
    }
}

fn leaves<D: LayerDevice, const N: usize>(tensors: [&dyn Leaf<D>; N]) -> Vec<Box<dyn Leaf<D>>> {
    tensors.map(Leaf::boxed).into()
}

/// A batch, taken apart so that what is computed between input and output fits into the workspace.
struct Chunks<D> {
    dev: D,
    batch: usize,
    /// Images in a chunk; the last one may have fewer.
    images: usize,
    /// Channels and pixels of the result.
    output: (usize, usize),
}

impl<D: LayerDevice> Chunks<D> {
    /// For an operation on `x` that gives `output` = (channels, pixels), and needs so many `numbers` for each image.
    fn new(x: &Rows<D>, output: (usize, usize), numbers: usize) -> Self {
        let batch = x.shape().0;
        Self {
            dev: x.device().clone(),
            batch,
            images: (WORKSPACE / numbers.max(1)).clamp(1, batch.max(1)),
            output,
        }
    }

    fn ranges(&self) -> impl Iterator<Item = Range<usize>> {
        let (batch, images) = (self.batch, self.images);
        (0..batch)
            .step_by(images)
            .map(move |start| start..(start + images).min(batch))
    }

    /// One operation on `tape`: what `operation` gives for each chunk, put together. Of all that it computes nothing
    /// stays but the result; for the gradients, which go to `leaves`, it is called again.
    fn apply<T: Tape<f32, D>>(
        self,
        mut tape: T,
        leaves: Vec<Box<dyn Leaf<D>>>,
        operation: impl Fn(Range<usize>) -> Result<Rows<D, Recorded<D>>, D::Err> + 'static,
    ) -> Result<Rows<D, T>, D::Err> {
        if self.batch == 0 {
            // dfdx's loops need a number to start from.
            let y: Rows<D> = self
                .dev
                .try_zeros_like(&(0, self.output.0, self.output.1))?;
            return Ok(y.put_tape(tape));
        }
        let parts = self
            .ranges()
            .map(|range| Ok(operation(range)?.split_tape().0));
        let y = join(parts.collect::<Result<Vec<Rows<D>>, D::Err>>()?)?;
        let d_y = y.ghost();
        tape.add_backward_op(move |gradients| {
            gradients.try_alloc_for(&d_y)?;
            let d_output: Rows<D> = gradients.get(&d_y);
            // Nothing reads this gradient after us, so its memory can go.
            *gradients.get_or_alloc_mut(&d_y)? = Storage::<f32>::try_alloc_len(&self.dev, 1)?;

            // The gradients of the leaves move into a map of their own, where all others vanish after each chunk.
            let mut own = Gradients::leaky();
            let mut kept = UnusedTensors { ids: Vec::new() };
            for leaf in &leaves {
                leaf.exchange(gradients, &mut own)?;
                leaf.keep(&mut kept);
            }
            own.retain_leafs(&kept.ids);
            for range in self.ranges() {
                let output = operation(range.clone())?;
                let d_output = d_output.clone().try_slice((range, .., ..))?;
                own = backward(output.try_mul(d_output)?.try_sum()?, own)?;
            }
            for leaf in &leaves {
                leaf.exchange(gradients, &mut own)?;
            }
            Ok(())
        });
        Ok(y.put_tape(tape))
    }
}

/// The backward pass of a part of the network, into gradients that are there already.
fn backward<D: LayerDevice>(
    loss: Tensor<Rank0, f32, D, Recorded<D>>,
    gradients: Gradients<f32, D>,
) -> Result<Gradients<f32, D>, D::Err> {
    let (loss, operations) = loss.split_tape();
    let (loss, tape) = loss.traced(gradients).split_tape();
    loss.put_tape(tape.merge(operations)).try_backward()
}

/// The chunks of a batch in one tensor. All but the last have the same size.
fn join<D: LayerDevice>(mut parts: Vec<Rows<D>>) -> Result<Rows<D>, D::Err> {
    let Some(last) = parts.pop() else {
        unreachable!("a batch has at least one chunk")
    };
    let Some(first) = parts.first() else {
        return Ok(last);
    };
    let &(images, channels, pixels) = first.shape();
    let rest = if last.shape().0 == images {
        parts.push(last);
        None
    } else {
        Some(last)
    };
    let shape = (parts.len() * images, channels, pixels);
    let whole = parts.try_stack()?.try_reshape_like(&shape)?;
    match rest {
        Some(rest) => (whole, rest).try_concat_along(Axis::<0>),
        None => Ok(whole),
    }
}

/// Against the CPU's kernels, which know nothing of this module. Chunks are small here: see [`WORKSPACE`].
#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    type Images<const C: usize> = Tensor<(usize, Const<C>, usize, usize), f32, Cpu>;

    /// A result and gradients, or nothing where the window does not fit.
    type Numbers = Option<Vec<Vec<f32>>>;

    /// Runs `layer` with the kernels and without, and compares all numbers.
    fn compare(layer: impl Fn() -> Numbers) -> Result<(), TestCaseError> {
        let (fast, composed) = (layer(), instead_of_kernels(&layer));
        let (Some(fast), Some(composed)) = (&fast, &composed) else {
            prop_assert_eq!(fast, composed);
            return Ok(());
        };
        for (place, (fast, composed)) in fast.iter().zip(composed).enumerate() {
            prop_assert_eq!(fast.len(), composed.len());
            let largest = fast.iter().fold(1f32, |largest, v| largest.max(v.abs()));
            for (one, other) in fast.iter().zip(composed) {
                let near = (one - other).abs() <= 1e-4 * largest;
                prop_assert!(near, "number {place}: {one} and {other}");
            }
        }
        Ok(())
    }

    /// The values of `y`, and the gradients of a function of them.
    fn numbers<S: Shape>(
        y: Tensor<S, f32, Cpu, OwnedTape<f32, Cpu>>,
        of: impl Fn(&Gradients<f32, Cpu>) -> Vec<Vec<f32>>,
    ) -> Numbers {
        let values = y.as_vec();
        let gradients = y.square().sum::<Rank0, _>().backward();
        Some([vec![values], of(&gradients)].concat())
    }

    fn compare_layers<const K: usize>(
        images: &Images<3>,
        window: Window,
    ) -> Result<(), TestCaseError> {
        let dev = images.device();
        let weight: Tensor<Rank4<4, 3, K, K>, f32, Cpu> = dev.sample_normal();
        let bias: Tensor<Rank1<4>, f32, Cpu> = dev.sample_normal();
        compare(|| {
            let y = Cpu::conv2d(images.leaky_trace(), &weight, Some(&bias), window).ok()?;
            numbers(y, |g| {
                vec![
                    g.get(images).as_vec(),
                    g.get(&weight).as_vec(),
                    g.get(&bias).as_vec(),
                ]
            })
        })?;
        let weight: Tensor<Rank4<3, 1, K, K>, f32, Cpu> = dev.sample_normal();
        compare(|| {
            let y = Cpu::depthwise_conv2d(images.leaky_trace(), &weight, window).ok()?;
            numbers(y, |g| vec![g.get(images).as_vec(), g.get(&weight).as_vec()])
        })?;
        // Poolings have no dilation.
        let window = Window {
            dilation: 1,
            ..window
        };
        compare(|| {
            let y = Cpu::avg_pool2d(images.leaky_trace(), window).ok()?;
            numbers(y, |g| vec![g.get(images).as_vec()])
        })?;
        // Of whole numbers many windows have several largest ones.
        let whole = images.as_vec().iter().map(|v| v.round()).collect();
        let images: Images<3> = dev.tensor_from_vec(whole, *images.shape());
        compare(|| {
            let y = Cpu::max_pool2d(images.leaky_trace(), window).ok()?;
            numbers(y, |g| vec![g.get(&images).as_vec()])
        })
    }

    fn compare_norms(images: &Images<3>) -> Result<(), TestCaseError> {
        let dev = images.device();
        let weight: Tensor<Rank4<4, 3, 3, 3>, f32, Cpu> = dev.sample_normal();
        let [conv_bias, scale, bias]: [Tensor<Rank1<4>, f32, Cpu>; 3] =
            std::array::from_fn(|_| dev.sample_normal());
        let &(batch, _, height, width) = images.shape();
        let shortcut: Images<4> = dev.sample_normal_like(&(batch, Const, height, width));
        for (shortcut, activation) in [
            (None, Activation::Identity),
            (None, Activation::Silu),
            (Some(&shortcut), Activation::Relu),
            (Some(&shortcut), Activation::Relu6),
        ] {
            let conv = || ConvParameters {
                weight: &weight,
                bias: Some(&conv_bias),
                window: Window::square(3, 1, 1, 1),
            };
            let norm = || NormParameters {
                scale: &scale,
                bias: &bias,
                epsilon: 1e-5,
            };
            compare(|| {
                let (y, statistics) = Cpu::conv_norm_train(
                    images.leaky_trace(),
                    conv(),
                    norm(),
                    shortcut.map(|shortcut| shortcut.leaky_trace()),
                    activation,
                )
                .ok()?;
                numbers(y, |g| {
                    let shortcut = shortcut.map(|shortcut| g.get(shortcut).as_vec());
                    vec![
                        statistics.mean.as_vec(),
                        statistics.variance.as_vec(),
                        g.get(images).as_vec(),
                        g.get(&weight).as_vec(),
                        g.get(&conv_bias).as_vec(),
                        g.get(&scale).as_vec(),
                        g.get(&bias).as_vec(),
                        shortcut.unwrap_or_default(),
                    ]
                })
            })?;
            compare(|| {
                let running = ChannelStatistics {
                    mean: conv_bias.clone(),
                    variance: scale.clone().square(),
                };
                let shortcut = shortcut.cloned();
                let x = images.clone();
                let y = Cpu::conv_norm_eval(x, conv(), norm(), running, shortcut, activation);
                Some(vec![y.ok()?.as_vec()])
            })?;
        }
        Ok(())
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        #[test]
        fn layers_equal_the_kernels(
            (batch, height, width) in (1..6usize, 1..8usize, 1..8usize),
            (kernel, stride, padding, dilation) in (1..4usize, 1..3usize, 0..3usize, 1..3usize),
            seed: u64,
        ) {
            let dev = Cpu::seed_from_u64(seed);
            let images = dev.sample_normal_like(&(batch, Const, height, width));
            let window = Window::square(kernel, stride, padding, dilation);
            match kernel {
                1 => compare_layers::<1>(&images, window)?,
                2 => compare_layers::<2>(&images, window)?,
                _ => compare_layers::<3>(&images, window)?,
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
            compare_norms(&dev.sample_normal_like(&(batch, Const, height, width)))?;
        }
    }

    #[test]
    fn large_batches_come_in_chunks_that_fit() {
        let chunks = |batch, numbers| -> Vec<usize> {
            let x: Rows<Cpu> = Cpu::default().zeros_like(&(batch, 1, 1));
            Chunks::new(&x, (1, 1), numbers)
                .ranges()
                .map(|r| r.len())
                .collect()
        };
        assert_eq!(chunks(7, WORKSPACE / 3), [3, 3, 1]);
        assert_eq!(chunks(3, 2 * WORKSPACE), [1, 1, 1]); // more than fits, and nothing smaller
        assert_eq!(chunks(5, 1), [5]);
        assert!(chunks(0, 1).is_empty());
    }

    #[test]
    fn the_choice_ends_with_the_action() {
        assert!(!is_chosen());
        assert!(instead_of_kernels(is_chosen));
        assert!(std::panic::catch_unwind(|| instead_of_kernels(|| panic!("expected"))).is_err());
        assert!(!is_chosen());
    }
}
