//! The layers on the CPU: each one op on dfdx's tape around a kernel.
//!
//! Every op follows one pattern: read the input as a slice, run the kernel, wrap the result, and put a closure on the
//! tape that adds the gradients. What the backward pass needs of the input and the weights is moved into that closure; it
//! shares their memory.

use super::composed;
use super::device::{ChannelStatistics, ConvParameters, LayerDevice, NormParameters};
use super::error::{LayerError, remember};
use crate::kernels::activation::Activation;
use crate::kernels::batch_norm::{After, BatchNorm, Statistics};
use crate::kernels::conv2d::{Conv2d, backward_bias};
use crate::kernels::depthwise::Depthwise;
use crate::kernels::elementwise::add;
use crate::kernels::layer_norm::LayerNorm;
use crate::kernels::numbers::Numbers;
use crate::kernels::planes;
use crate::kernels::pool2d::Pool2d;
use crate::kernels::scratch::Scratch;
use crate::kernels::window::Window;
use dfdx::prelude::*;
use std::mem::take;
use std::ops::DerefMut;

/// The elements of a tensor, to be changed.
fn copy<S: Shape>(tensor: &Tensor<S, f32, Cpu>) -> Scratch {
    let mut data = Scratch::any(tensor.shape().num_elements());
    tensor.copy_into(&mut data);
    data
}

/// The elements of a tensor, which it shares.
fn shared<S: Shape>(tensor: &Tensor<S, f32, Cpu>) -> Result<Numbers<S>, CpuError> {
    Numbers::of(tensor.clone())
}

/// The gradient of an op's own result. Nothing reads it after the op, so its memory is taken along.
fn taken(gradient: &mut impl DerefMut<Target = Vec<f32>>) -> Scratch {
    take(&mut **gradient).into()
}

/// Runs `work` as a whole on one of the threads that the kernels share their loops out to. Called from any other thread,
/// each loop by itself would be handed over and waited for, which takes longer than many of them.
fn on_pool<R: Send>(work: impl FnOnce() -> R + Send) -> R {
    rayon::scope(|_| work())
}

fn window_too_large<T>(
    layer: &'static str,
    window: Window,
    (height, width): (usize, usize),
) -> Result<T, CpuError> {
    Err(Cpu::error(LayerError::WindowTooLarge {
        layer,
        window,
        height,
        width,
    }))
}

/// A convolution of either kind, as the batch norm behind it needs it.
trait Convolution: Sync + 'static {
    fn output_size(&self) -> (usize, usize);
    /// Without a bias: a normalisation takes it away again.
    fn forward(&self, input: &[f32], weight: &[f32], output: &mut [f32]);
    fn backward_weight(&self, input: &[f32], d_output: &[f32], d_weight: &mut [f32]);
    fn backward_input(&self, weight: &[f32], d_output: &[f32], d_input: &mut [f32]);
}

impl Convolution for Conv2d {
    fn output_size(&self) -> (usize, usize) {
        self.output_size()
    }
    fn forward(&self, input: &[f32], weight: &[f32], output: &mut [f32]) {
        self.forward(input, weight, None, output);
    }
    fn backward_weight(&self, input: &[f32], d_output: &[f32], d_weight: &mut [f32]) {
        self.backward_weight(input, d_output, d_weight);
    }
    fn backward_input(&self, weight: &[f32], d_output: &[f32], d_input: &mut [f32]) {
        self.backward_input(weight, d_output, d_input);
    }
}

impl Convolution for Depthwise {
    fn output_size(&self) -> (usize, usize) {
        self.output_size()
    }
    fn forward(&self, input: &[f32], weight: &[f32], output: &mut [f32]) {
        self.forward(input, weight, output);
    }
    fn backward_weight(&self, input: &[f32], d_output: &[f32], d_weight: &mut [f32]) {
        self.backward_weight(input, d_output, d_weight);
    }
    fn backward_input(&self, weight: &[f32], d_output: &[f32], d_input: &mut [f32]) {
        self.backward_input(weight, d_output, d_input);
    }
}

/// Height and width.
fn image_size<B: Dim, C: Dim, H: Dim, W: Dim, T>(
    images: &Tensor<(B, C, H, W), f32, Cpu, T>,
) -> (usize, usize) {
    let &(_, _, height, width) = images.shape();
    (height.size(), width.size())
}

/// `values + factor * by`, one by one.
fn shifted(values: &[f32], by: &[f32], factor: f32) -> Vec<f32> {
    let pairs = values.iter().zip(by);
    pairs.map(|(value, by)| value + factor * by).collect()
}

/// The body of [`LayerDevice::conv_norm_train`] for either kind of convolution; the weight is `(OUT, GROUP, K, K)`.
#[allow(
    clippy::type_complexity,
    reason = "the shapes are what a reader wants to see"
)]
fn norm_train<
    const IN: usize,
    const GROUP: usize,
    const OUT: usize,
    const K: usize,
    B: Dim,
    H: Dim,
    W: Dim,
    T: Tape<f32, Cpu>,
>(
    kernel: impl Convolution,
    input: Tensor<(B, Const<IN>, H, W), f32, Cpu, T>,
    conv: ConvParameters<GROUP, OUT, K, Cpu>,
    norm: NormParameters<OUT, Cpu>,
    shortcut: Option<Tensor<(B, Const<OUT>, usize, usize), f32, Cpu, T>>,
    activation: Activation,
) -> Result<
    (
        Tensor<(B, Const<OUT>, usize, usize), f32, Cpu, T>,
        ChannelStatistics<OUT, Cpu>,
    ),
    CpuError,
> {
    let (x, mut tape) = input.try_contiguous()?.split_tape();
    let batch = x.shape().0;
    let (out_height, out_width) = kernel.output_size();
    let pixels = out_height * out_width;
    let count = batch.size() * pixels;
    if count < 2 {
        return Err(Cpu::error(LayerError::TooFewValues { count }));
    }

    let input = shared(&x)?;
    let weights = shared(conv.weight)?;
    let mut convolved = Scratch::any(batch.size() * OUT * pixels);
    let shape = (batch, Const::<OUT>, out_height, out_width);
    let shortcut = match shortcut {
        Some(shortcut) => {
            let (shortcut, its_tape) = shortcut.try_contiguous()?.split_tape();
            tape = tape.merge(its_tape);
            Some((shared(&shortcut)?, shortcut.ghost()))
        }
        None => None,
    };
    let normalizer = BatchNorm {
        channels: OUT,
        pixels,
        epsilon: norm.epsilon,
    };
    let (scales, biases) = (shared(norm.scale)?, shared(norm.bias)?);
    let mut output = Scratch::any(convolved.len());
    let after = After {
        shortcut: shortcut.as_ref().map(|(values, _)| &**values),
        activation,
    };
    let (statistics, slopes) = on_pool(|| {
        kernel.forward(&input, &weights, &mut convolved);
        let statistics = normalizer.statistics(&convolved);
        let slopes = normalizer.normalize(
            &convolved,
            &statistics,
            &scales,
            &biases,
            after,
            &mut output,
        );
        (statistics, slopes)
    });

    let dev = x.device();
    let mean = match conv.bias {
        Some(bias) => shifted(&statistics.mean, &shared(bias)?, 1.0),
        None => statistics.mean.clone(),
    };
    let result = ChannelStatistics {
        mean: dev.try_tensor(mean)?,
        variance: dev.try_tensor(statistics.variance.clone())?,
    };
    let y = dev.try_tensor_from_vec(output.into_vec(), shape)?;
    let (d_x, d_w, d_y) = (x.ghost(), conv.weight.ghost(), y.ghost());
    let d_conv_bias = conv.bias.map(|bias| bias.ghost());
    let (d_scale, d_bias) = (norm.scale.ghost(), norm.bias.ghost());
    let d_shortcut = shortcut.map(|(_, ghost)| ghost);
    tape.add_backward_op(move |gradients| {
        let mut d_output = taken(gradients.get_or_alloc_mut(&d_y)?);
        slopes.multiply(&mut d_output);
        if let Some(d_shortcut) = &d_shortcut {
            add(gradients.get_or_alloc_mut(d_shortcut)?, &d_output);
        }
        // The tape lends one gradient at a time: they are taken out and put back.
        let mut weight = take(&mut **gradients.get_or_alloc_mut(&d_w)?);
        let mut scale = take(&mut **gradients.get_or_alloc_mut(&d_scale)?);
        let mut bias = take(&mut **gradients.get_or_alloc_mut(&d_bias)?);
        let d_input = gradients.get_or_alloc_mut(&d_x)?;
        on_pool(|| {
            // Each gradient by the output becomes the one by the convolution's result.
            normalizer.backward(
                &convolved,
                &statistics,
                &scales,
                &mut d_output,
                &mut scale,
                &mut bias,
            );
            kernel.backward_weight(&input, &d_output, &mut weight);
            kernel.backward_input(&weights, &d_output, d_input);
        });
        **gradients.get_or_alloc_mut(&d_w)? = weight;
        **gradients.get_or_alloc_mut(&d_scale)? = scale;
        **gradients.get_or_alloc_mut(&d_bias)? = bias;
        if let Some(d_conv_bias) = &d_conv_bias {
            gradients.try_alloc_for(d_conv_bias)?; // stays 0
        }
        Ok(())
    });
    Ok((y.put_tape(tape), result))
}

/// The body of [`LayerDevice::conv_norm_eval`] for either kind of convolution; the weight is `(OUT, GROUP, K, K)`.
#[allow(
    clippy::type_complexity,
    reason = "the shapes are what a reader wants to see"
)]
fn norm_eval<
    const IN: usize,
    const GROUP: usize,
    const OUT: usize,
    const K: usize,
    B: Dim,
    H: Dim,
    W: Dim,
>(
    kernel: impl Convolution,
    input: Tensor<(B, Const<IN>, H, W), f32, Cpu>,
    conv: ConvParameters<GROUP, OUT, K, Cpu>,
    norm: NormParameters<OUT, Cpu>,
    running: ChannelStatistics<OUT, Cpu>,
    shortcut: Option<Tensor<(B, Const<OUT>, usize, usize), f32, Cpu>>,
    activation: Activation,
) -> Result<Tensor<(B, Const<OUT>, usize, usize), f32, Cpu>, CpuError> {
    let x = input.try_contiguous()?;
    let batch = x.shape().0;
    let (out_height, out_width) = kernel.output_size();
    let pixels = out_height * out_width;
    let normalizer = BatchNorm {
        channels: OUT,
        pixels,
        epsilon: norm.epsilon,
    };
    // (conv + bias) - mean = conv - (mean - bias): the bias costs no pass over the images.
    let mean = running.mean.as_vec();
    let statistics = Statistics {
        mean: match conv.bias {
            Some(bias) => shifted(&mean, &shared(bias)?, -1.0),
            None => mean,
        },
        variance: running.variance.as_vec(),
    };
    let mut output = Scratch::any(batch.size() * OUT * pixels);
    let (input, weights) = (shared(&x)?, shared(conv.weight)?);
    let (scales, biases) = (shared(norm.scale)?, shared(norm.bias)?);
    let shortcut = match shortcut {
        Some(shortcut) => Some(Numbers::of(shortcut)?),
        None => None,
    };
    let after = After {
        shortcut: shortcut.as_deref(),
        activation,
    };
    on_pool(|| {
        kernel.forward(&input, &weights, &mut output);
        normalizer.normalize_in_place(&statistics, &scales, &biases, after, &mut output);
    });
    let shape = (batch, Const::<OUT>, out_height, out_width);
    x.device().try_tensor_from_vec(output.into_vec(), shape)
}

impl LayerDevice for Cpu {
    fn error(error: LayerError) -> CpuError {
        remember(error);
        CpuError::WrongNumElements
    }

    fn conv2d<
        const IN: usize,
        const OUT: usize,
        const KERNEL_HEIGHT: usize,
        const KERNEL_WIDTH: usize,
        B: Dim,
        H: Dim,
        W: Dim,
        T: Tape<f32, Self>,
    >(
        input: Tensor<(B, Const<IN>, H, W), f32, Self, T>,
        weight: &Tensor<Rank4<OUT, IN, KERNEL_HEIGHT, KERNEL_WIDTH>, f32, Self>,
        bias: Option<&Tensor<Rank1<OUT>, f32, Self>>,
        window: Window,
    ) -> Result<Tensor<(B, Const<OUT>, usize, usize), f32, Self, T>, CpuError> {
        if composed::is_chosen() {
            return composed::conv2d(input, weight, bias, window);
        }
        let (x, mut tape) = input.try_contiguous()?.split_tape();
        let &(batch, _, height, width) = x.shape();
        let size = (height.size(), width.size());
        let Some(conv) = Conv2d::new(IN, OUT, window, size) else {
            return window_too_large("Conv2D", window, size);
        };

        let input = shared(&x)?;
        let weights = shared(weight)?;
        let (out_height, out_width) = conv.output_size();
        let pixels = out_height * out_width;
        let mut output = Scratch::any(batch.size() * OUT * pixels);
        let biases = bias.map(shared).transpose()?;
        on_pool(|| conv.forward(&input, &weights, biases.as_deref(), &mut output));

        let shape = (batch, Const::<OUT>, out_height, out_width);
        let y = x.device().try_tensor_from_vec(output.into_vec(), shape)?;
        let (d_x, d_w, d_b, d_y) = (
            x.ghost(),
            weight.ghost(),
            bias.map(|b| b.ghost()),
            y.ghost(),
        );
        tape.add_backward_op(move |gradients| {
            let d_output = taken(gradients.get_or_alloc_mut(&d_y)?);
            if let Some(d_b) = &d_b {
                backward_bias(&d_output, pixels, gradients.get_or_alloc_mut(d_b)?);
            }
            let d_weight = gradients.get_or_alloc_mut(&d_w)?;
            on_pool(|| conv.backward_weight(&input, &d_output, d_weight));
            let d_input = gradients.get_or_alloc_mut(&d_x)?;
            on_pool(|| conv.backward_input(&weights, &d_output, d_input));
            Ok(())
        });
        Ok(y.put_tape(tape))
    }

    fn depthwise_conv2d<
        const C: usize,
        const K: usize,
        B: Dim,
        H: Dim,
        W: Dim,
        T: Tape<f32, Self>,
    >(
        input: Tensor<(B, Const<C>, H, W), f32, Self, T>,
        weight: &Tensor<Rank4<C, 1, K, K>, f32, Self>,
        window: Window,
    ) -> Result<Tensor<(B, Const<C>, usize, usize), f32, Self, T>, CpuError> {
        if composed::is_chosen() {
            return composed::depthwise_conv2d(input, weight, window);
        }
        let (x, mut tape) = input.try_contiguous()?.split_tape();
        let &(batch, channels, height, width) = x.shape();
        let size = (height.size(), width.size());
        let Some(conv) = Depthwise::new(C, window, size) else {
            return window_too_large("DepthwiseConv2D", window, size);
        };

        let input = shared(&x)?;
        let weights = shared(weight)?;
        let (out_height, out_width) = conv.output_size();
        let mut output = Scratch::any(batch.size() * C * out_height * out_width);
        on_pool(|| conv.forward(&input, &weights, &mut output));

        let shape = (batch, channels, out_height, out_width);
        let y = x.device().try_tensor_from_vec(output.into_vec(), shape)?;
        let (d_x, d_w, d_y) = (x.ghost(), weight.ghost(), y.ghost());
        tape.add_backward_op(move |gradients| {
            let d_output = taken(gradients.get_or_alloc_mut(&d_y)?);
            let d_weight = gradients.get_or_alloc_mut(&d_w)?;
            on_pool(|| conv.backward_weight(&input, &d_output, d_weight));
            let d_input = gradients.get_or_alloc_mut(&d_x)?;
            on_pool(|| conv.backward_input(&weights, &d_output, d_input));
            Ok(())
        });
        Ok(y.put_tape(tape))
    }

    fn max_pool2d<B: Dim, C: Dim, H: Dim, W: Dim, T: Tape<f32, Self>>(
        input: Tensor<(B, C, H, W), f32, Self, T>,
        window: Window,
    ) -> Result<Tensor<(B, C, usize, usize), f32, Self, T>, CpuError> {
        if composed::is_chosen() {
            return composed::max_pool2d(input, window);
        }
        let (x, mut tape) = input.try_contiguous()?.split_tape();
        let &(batch, channels, height, width) = x.shape();
        let size = (height.size(), width.size());
        let Some(pool) = Pool2d::new(window, size) else {
            return window_too_large("MaxPool2D", window, size);
        };

        let (out_height, out_width) = pool.output_size();
        let mut output = Scratch::any(batch.size() * channels.size() * out_height * out_width);
        let winners = pool.max(&shared(&x)?, &mut output);

        let shape = (batch, channels, out_height, out_width);
        let y = x.device().try_tensor_from_vec(output.into_vec(), shape)?;
        let (d_x, d_y) = (x.ghost(), y.ghost());
        tape.add_backward_op(move |gradients| {
            let d_output = taken(gradients.get_or_alloc_mut(&d_y)?);
            pool.max_backward(&winners, &d_output, gradients.get_or_alloc_mut(&d_x)?);
            Ok(())
        });
        Ok(y.put_tape(tape))
    }

    fn avg_pool2d<B: Dim, C: Dim, H: Dim, W: Dim, T: Tape<f32, Self>>(
        input: Tensor<(B, C, H, W), f32, Self, T>,
        window: Window,
    ) -> Result<Tensor<(B, C, usize, usize), f32, Self, T>, CpuError> {
        if composed::is_chosen() {
            return composed::avg_pool2d(input, window);
        }
        let (x, mut tape) = input.try_contiguous()?.split_tape();
        let &(batch, channels, height, width) = x.shape();
        let size = (height.size(), width.size());
        let Some(pool) = Pool2d::new(window, size) else {
            return window_too_large("AvgPool2D", window, size);
        };

        let (out_height, out_width) = pool.output_size();
        let mut output = Scratch::any(batch.size() * channels.size() * out_height * out_width);
        pool.average(&shared(&x)?, &mut output);

        let shape = (batch, channels, out_height, out_width);
        let y = x.device().try_tensor_from_vec(output.into_vec(), shape)?;
        let (d_x, d_y) = (x.ghost(), y.ghost());
        tape.add_backward_op(move |gradients| {
            let d_output = taken(gradients.get_or_alloc_mut(&d_y)?);
            pool.average_backward(&d_output, gradients.get_or_alloc_mut(&d_x)?);
            Ok(())
        });
        Ok(y.put_tape(tape))
    }

    fn batch_norm2d_train<const C: usize, B: Dim, H: Dim, W: Dim, T: Tape<f32, Self>>(
        input: Tensor<(B, Const<C>, H, W), f32, Self, T>,
        scale: &Tensor<Rank1<C>, f32, Self>,
        bias: &Tensor<Rank1<C>, f32, Self>,
        epsilon: f32,
    ) -> Result<
        (
            Tensor<(B, Const<C>, H, W), f32, Self, T>,
            ChannelStatistics<C, Self>,
        ),
        CpuError,
    > {
        if composed::is_chosen() {
            return composed::batch_norm2d_train(input, scale, bias, epsilon);
        }
        let (x, mut tape) = input.try_contiguous()?.split_tape();
        let shape = *x.shape();
        let pixels = shape.2.size() * shape.3.size();
        let count = shape.0.size() * pixels;
        if count < 2 {
            return Err(Self::error(LayerError::TooFewValues { count }));
        }

        let norm = BatchNorm {
            channels: C,
            pixels,
            epsilon,
        };
        let input = shared(&x)?;
        let scales = shared(scale)?;
        let batch = norm.statistics(&input);
        let mut output = Scratch::any(input.len());
        norm.normalize(
            &input,
            &batch,
            &scales,
            &shared(bias)?,
            After::default(),
            &mut output,
        );

        let dev = x.device();
        let statistics = ChannelStatistics {
            mean: dev.try_tensor(batch.mean.clone())?,
            variance: dev.try_tensor(batch.variance.clone())?,
        };
        let y = dev.try_tensor_from_vec(output.into_vec(), shape)?;
        let (d_x, d_scale, d_bias, d_y) = (x.ghost(), scale.ghost(), bias.ghost(), y.ghost());
        tape.add_backward_op(move |gradients| {
            let mut d_output = taken(gradients.get_or_alloc_mut(&d_y)?);
            // The tape lends one gradient at a time: the small ones are taken out and put back.
            let mut scale = take(&mut **gradients.get_or_alloc_mut(&d_scale)?);
            let mut bias = take(&mut **gradients.get_or_alloc_mut(&d_bias)?);
            norm.backward(
                &input,
                &batch,
                &scales,
                &mut d_output,
                &mut scale,
                &mut bias,
            );
            add(gradients.get_or_alloc_mut(&d_x)?, &d_output);
            **gradients.get_or_alloc_mut(&d_scale)? = scale;
            **gradients.get_or_alloc_mut(&d_bias)? = bias;
            Ok(())
        });
        Ok((y.put_tape(tape), statistics))
    }

    fn conv_norm_train<
        const IN: usize,
        const OUT: usize,
        const K: usize,
        B: Dim,
        H: Dim,
        W: Dim,
        T: Tape<f32, Self>,
    >(
        input: Tensor<(B, Const<IN>, H, W), f32, Self, T>,
        conv: ConvParameters<IN, OUT, K, Self>,
        norm: NormParameters<OUT, Self>,
        shortcut: Option<Tensor<(B, Const<OUT>, usize, usize), f32, Self, T>>,
        activation: Activation,
    ) -> Result<
        (
            Tensor<(B, Const<OUT>, usize, usize), f32, Self, T>,
            ChannelStatistics<OUT, Self>,
        ),
        CpuError,
    > {
        if composed::is_chosen() {
            return composed::conv_norm_train(input, conv, norm, shortcut, activation);
        }
        let size = image_size(&input);
        match Conv2d::new(IN, OUT, conv.window, size) {
            Some(kernel) => norm_train(kernel, input, conv, norm, shortcut, activation),
            None => window_too_large("Conv2D", conv.window, size),
        }
    }

    fn conv_norm_eval<const IN: usize, const OUT: usize, const K: usize, B: Dim, H: Dim, W: Dim>(
        input: Tensor<(B, Const<IN>, H, W), f32, Self>,
        conv: ConvParameters<IN, OUT, K, Self>,
        norm: NormParameters<OUT, Self>,
        running: ChannelStatistics<OUT, Self>,
        shortcut: Option<Tensor<(B, Const<OUT>, usize, usize), f32, Self>>,
        activation: Activation,
    ) -> Result<Tensor<(B, Const<OUT>, usize, usize), f32, Self>, CpuError> {
        if composed::is_chosen() {
            return composed::conv_norm_eval(input, conv, norm, running, shortcut, activation);
        }
        let size = image_size(&input);
        match Conv2d::new(IN, OUT, conv.window, size) {
            Some(kernel) => norm_eval(kernel, input, conv, norm, running, shortcut, activation),
            None => window_too_large("Conv2D", conv.window, size),
        }
    }

    fn depthwise_norm_train<
        const C: usize,
        const K: usize,
        B: Dim,
        H: Dim,
        W: Dim,
        T: Tape<f32, Self>,
    >(
        input: Tensor<(B, Const<C>, H, W), f32, Self, T>,
        conv: ConvParameters<1, C, K, Self>,
        norm: NormParameters<C, Self>,
        shortcut: Option<Tensor<(B, Const<C>, usize, usize), f32, Self, T>>,
        activation: Activation,
    ) -> Result<
        (
            Tensor<(B, Const<C>, usize, usize), f32, Self, T>,
            ChannelStatistics<C, Self>,
        ),
        CpuError,
    > {
        if composed::is_chosen() {
            return composed::depthwise_norm_train(input, conv, norm, shortcut, activation);
        }
        let size = image_size(&input);
        match Depthwise::new(C, conv.window, size) {
            Some(kernel) => norm_train(kernel, input, conv, norm, shortcut, activation),
            None => window_too_large("DepthwiseConv2D", conv.window, size),
        }
    }

    fn depthwise_norm_eval<const C: usize, const K: usize, B: Dim, H: Dim, W: Dim>(
        input: Tensor<(B, Const<C>, H, W), f32, Self>,
        conv: ConvParameters<1, C, K, Self>,
        norm: NormParameters<C, Self>,
        running: ChannelStatistics<C, Self>,
        shortcut: Option<Tensor<(B, Const<C>, usize, usize), f32, Self>>,
        activation: Activation,
    ) -> Result<Tensor<(B, Const<C>, usize, usize), f32, Self>, CpuError> {
        if composed::is_chosen() {
            return composed::depthwise_norm_eval(input, conv, norm, running, shortcut, activation);
        }
        let size = image_size(&input);
        match Depthwise::new(C, conv.window, size) {
            Some(kernel) => norm_eval(kernel, input, conv, norm, running, shortcut, activation),
            None => window_too_large("DepthwiseConv2D", conv.window, size),
        }
    }

    fn layer_norm2d<const C: usize, B: Dim, H: Dim, W: Dim, T: Tape<f32, Self>>(
        input: Tensor<(B, Const<C>, H, W), f32, Self, T>,
        scale: &Tensor<Rank1<C>, f32, Self>,
        bias: &Tensor<Rank1<C>, f32, Self>,
        epsilon: f32,
    ) -> Result<Tensor<(B, Const<C>, H, W), f32, Self, T>, CpuError> {
        if composed::is_chosen() {
            return composed::layer_norm2d(input, scale, bias, epsilon);
        }
        let (height, width) = image_size(&input);
        let norm = LayerNorm {
            channels: C,
            pixels: (height * width).max(1), // none: nothing to normalise
            epsilon,
        };
        let (x, mut tape) = input.try_contiguous()?.split_tape();
        let factors = shared(scale)?;
        // From here on `normalised` is what the gradient needs.
        let mut normalised = copy(&x);
        let deviations = norm.normalize(&mut normalised);
        let output = norm.scale_and_shift(&normalised, &factors, &shared(bias)?);
        let y = x.device().try_tensor_from_vec(output, *x.shape())?;
        let (d_x, d_y) = (x.ghost(), y.ghost());
        let (d_scale, d_bias) = (scale.ghost(), bias.ghost());
        tape.add_backward_op(move |gradients| {
            let mut d_y = taken(gradients.get_or_alloc_mut(&d_y)?);
            norm.backward_scale(&normalised, &d_y, gradients.get_or_alloc_mut(&d_scale)?);
            backward_bias(&d_y, norm.pixels, gradients.get_or_alloc_mut(&d_bias)?);
            norm.backward_input(&normalised, &deviations, &factors, &mut d_y);
            add(gradients.get_or_alloc_mut(&d_x)?, &d_y);
            Ok(())
        });
        Ok(y.put_tape(tape))
    }

    fn activate<S: Shape, T: Tape<f32, Self>>(
        input: Tensor<S, f32, Self, T>,
        activation: Activation,
    ) -> Result<Tensor<S, f32, Self, T>, CpuError> {
        if composed::is_chosen() {
            return composed::activate(input, activation);
        }
        let (x, mut tape) = input.try_contiguous()?.split_tape();
        let mut output = copy(&x);
        let slopes = on_pool(|| activation.apply_keeping_slopes(&mut output));
        let y = x
            .device()
            .try_tensor_from_vec(output.into_vec(), *x.shape())?;
        let (d_x, d_y) = (x.ghost(), y.ghost());
        tape.add_backward_op(move |gradients| {
            let mut d_output = taken(gradients.get_or_alloc_mut(&d_y)?);
            slopes.multiply(&mut d_output);
            add(gradients.get_or_alloc_mut(&d_x)?, &d_output);
            Ok(())
        });
        Ok(y.put_tape(tape))
    }

    fn global_avg_pool2d<B: Dim, C: Dim, H: Dim, W: Dim, T: Tape<f32, Self>>(
        input: Tensor<(B, C, H, W), f32, Self, T>,
    ) -> Result<Tensor<(B, C, usize, usize), f32, Self, T>, CpuError> {
        if composed::is_chosen() {
            return composed::global_avg_pool2d(input);
        }
        let (x, mut tape) = input.try_contiguous()?.split_tape();
        let &(batch, channels, height, width) = x.shape();
        let pixels = (height.size() * width.size()).max(1); // no pixels, no mean: refused below
        let means = planes::means(&shared(&x)?, pixels);
        let y = x
            .device()
            .try_tensor_from_vec(means, (batch, channels, 1, 1))?;
        let (d_x, d_y) = (x.ghost(), y.ghost());
        tape.add_backward_op(move |gradients| {
            let d_means = take(&mut **gradients.get_or_alloc_mut(&d_y)?);
            planes::means_backward(&d_means, pixels, gradients.get_or_alloc_mut(&d_x)?);
            Ok(())
        });
        Ok(y.put_tape(tape))
    }

    fn scale_channels<B: Dim, C: Dim, H: Dim, W: Dim, T: Tape<f32, Self>>(
        images: Tensor<(B, C, H, W), f32, Self, T>,
        factors: Tensor<(B, C, usize, usize), f32, Self, T>,
    ) -> Result<Tensor<(B, C, H, W), f32, Self, T>, CpuError> {
        if composed::is_chosen() {
            return composed::scale_channels(images, factors);
        }
        let (x, tape) = images.try_contiguous()?.split_tape();
        let (f, its_tape) = factors.try_contiguous()?.split_tape();
        let mut tape = tape.merge(its_tape);
        let &(batch, channels, height, width) = x.shape();
        if f.shape().concrete() != [batch.size(), channels.size(), 1, 1] {
            return Err(Self::error(LayerError::Factors {
                images: batch.size(),
                channels: channels.size(),
                factors: f.shape().concrete(),
            }));
        }
        let pixels = (height.size() * width.size()).max(1); // none: nothing to scale
        let (images, factors) = (shared(&x)?, shared(&f)?);
        let mut output = vec![0.0; images.len()];
        planes::scale(&images, pixels, &factors, &mut output);
        let y = x.device().try_tensor_from_vec(output, *x.shape())?;
        let (d_x, d_f, d_y) = (x.ghost(), f.ghost(), y.ghost());
        tape.add_backward_op(move |gradients| {
            let d_y = taken(gradients.get_or_alloc_mut(&d_y)?);
            let d_factors = gradients.get_or_alloc_mut(&d_f)?;
            planes::scale_backward_factors(&images, pixels, &d_y, d_factors);
            let d_images = gradients.get_or_alloc_mut(&d_x)?;
            planes::scale_backward_images(&factors, pixels, &d_y, d_images);
            Ok(())
        });
        Ok(y.put_tape(tape))
    }

    fn batch_norm2d_eval<const C: usize, B: Dim, H: Dim, W: Dim>(
        input: Tensor<(B, Const<C>, H, W), f32, Self>,
        running: ChannelStatistics<C, Self>,
        scale: &Tensor<Rank1<C>, f32, Self>,
        bias: &Tensor<Rank1<C>, f32, Self>,
        epsilon: f32,
    ) -> Result<Tensor<(B, Const<C>, H, W), f32, Self>, CpuError> {
        if composed::is_chosen() {
            return composed::batch_norm2d_eval(input, running, scale, bias, epsilon);
        }
        let x = input.try_contiguous()?;
        let shape = *x.shape();
        let norm = BatchNorm {
            channels: C,
            pixels: shape.2.size() * shape.3.size(),
            epsilon,
        };
        let statistics = Statistics {
            mean: running.mean.as_vec(),
            variance: running.variance.as_vec(),
        };
        let mut output = copy(&x);
        norm.normalize_in_place(
            &statistics,
            &shared(scale)?,
            &shared(bias)?,
            After::default(),
            &mut output,
        );
        x.device().try_tensor_from_vec(output.into_vec(), shape)
    }
}
