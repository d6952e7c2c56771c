//! The layers on the CPU: each operation a kernel, and a backward pass around the kernels of its gradients.
//!
//! Every operation follows one pattern: read the input as a slice, run the kernel, wrap the result, and give a closure
//! that adds the gradients. What the backward pass needs of the input and the weights is moved into that closure; it
//! shares their memory.

mod normalised;
mod operand;

use super::conv_transpose2d::transposed_size;
use super::device::{Backward, concat_shape, flows, *};
use super::error::{LayerError, remember};
use super::fallback::Fallback;
use super::flow::Flow;
use crate::kernels::activation::Activation;
use crate::kernels::batch_norm::{BatchNorm, Statistics};
use crate::kernels::conv2d::{Conv2d, backward_bias};
use crate::kernels::depthwise::Depthwise;
use crate::kernels::elements::ElementSlice;
use crate::kernels::elementwise::{add, multiply};
use crate::kernels::epilogue::Epilogue as Following;
use crate::kernels::grouped::GroupedConv2d;
use crate::kernels::layer_norm::LayerNorm;
use crate::kernels::matmul::{Matrix, MatrixMut, Store, matmul};
use crate::kernels::planes;
use crate::kernels::pool2d::Pool2d;
use crate::kernels::scratch::Scratch;
use crate::kernels::separable::SeparableMap;
use crate::kernels::window::Window;
use dfdx::prelude::*;
use normalised::{Convolved, Normalised, ResultBackward, Values};
use operand::Operand;
use std::mem::take;
use std::ops::DerefMut;

type Result<T> = std::result::Result<T, CpuError>;
/// The elements of a batch.
type Pixels = ElementSlice<(usize, usize, usize, usize)>;

/// The elements of a tensor, to be changed.
fn copy(tensor: &Batch<Cpu>) -> Scratch {
    let mut data = Scratch::of_tensor(tensor.shape().num_elements());
    tensor.copy_into(&mut data);
    data
}

/// The elements of a tensor, which it shares.
fn shared<S: Shape>(tensor: &Tensor<S, f32, Cpu>) -> Result<ElementSlice<S>> {
    ElementSlice::of(tensor.clone())
}

/// The gradient of an operation's own result. Nothing reads it afterwards, so its memory is taken along.
fn taken(gradient: &mut impl DerefMut<Target = Vec<f32>>) -> Scratch {
    take(&mut **gradient).into()
}

/// Runs `work` as a whole on one of the threads that the kernels share their loops out to. Called from any other thread,
/// each loop by itself would be handed over and waited for, which takes longer than many of them.
fn on_pool<R: Send>(work: impl FnOnce() -> R + Send) -> R {
    rayon::scope(|_| work())
}

/// A result of `shape`, and its backward pass.
fn operation(
    dev: &Cpu,
    values: Vec<f32>,
    shape: (usize, usize, usize, usize),
    backward: impl FnOnce(Scratch, &mut Gradients<f32, Cpu>) -> Result<()> + 'static,
) -> Result<Operation<Cpu>> {
    let output = dev.try_tensor_from_vec(values, shape)?;
    Ok(operation_of(output, backward))
}

/// The result of an operation with its backward pass.
fn operation_of(
    output: Batch<Cpu>,
    backward: impl FnOnce(Scratch, &mut Gradients<f32, Cpu>) -> Result<()> + 'static,
) -> Operation<Cpu> {
    let d_y = output.ghost();
    Operation {
        output,
        backward: Box::new(move |gradients| {
            let d_output = taken(gradients.get_or_alloc_mut(&d_y)?);
            backward(d_output, gradients)
        }),
    }
}

fn window_too_large<T>(
    layer: &'static str,
    window: Window,
    (height, width): (usize, usize),
) -> Result<T> {
    Err(Cpu::error(LayerError::WindowTooLarge {
        layer,
        window,
        height,
        width,
    }))
}

/// A convolution of any kind.
trait ConvolutionKernel: Sync + Send {
    fn output_size(&self) -> (usize, usize);
    fn forward(&self, input: &[f32], weight: &[f32], epilogue: &Following, output: &mut [f32]);
    fn backward_weight(&self, input: &[f32], d_output: &[f32], d_weight: &mut [f32]);
    fn backward_input(&self, weight: &[f32], d_output: &[f32], d_input: &mut [f32]);
}

macro_rules! convolution_kernel {
    ($Kernel:ty) => {
        impl ConvolutionKernel for $Kernel {
            fn output_size(&self) -> (usize, usize) {
                self.output_size()
            }
            fn forward(
                &self,
                input: &[f32],
                weight: &[f32],
                epilogue: &Following,
                output: &mut [f32],
            ) {
                self.forward(input, weight, epilogue, output);
            }
            fn backward_weight(&self, input: &[f32], d_output: &[f32], d_weight: &mut [f32]) {
                self.backward_weight(input, d_output, d_weight);
            }
            fn backward_input(&self, weight: &[f32], d_output: &[f32], d_input: &mut [f32]) {
                self.backward_input(weight, d_output, d_input);
            }
        }
    };
}

convolution_kernel!(Conv2d);
convolution_kernel!(GroupedConv2d);
convolution_kernel!(Depthwise);

/// The kernel of a convolution for images of this shape, and the shape of its result.
#[allow(clippy::type_complexity, reason = "a kernel and a shape")]
fn kernel_for(
    &(batch, channels, height, width): &(usize, usize, usize, usize),
    conv: &Convolution<Cpu>,
) -> Result<(Box<dyn ConvolutionKernel>, (usize, usize, usize, usize))> {
    let size = (height, width);
    let outputs = conv.weight.shape().0;
    let kernel = if conv.groups == 1 {
        Conv2d::new(channels, outputs, conv.window, size)
            .map(|kernel| Box::new(kernel) as Box<dyn ConvolutionKernel>)
    } else if conv.is_depthwise() {
        Depthwise::new(channels, conv.window, size)
            .map(|kernel| Box::new(kernel) as Box<dyn ConvolutionKernel>)
    } else {
        GroupedConv2d::new((channels, outputs), conv.groups, conv.window, size)
            .map(|kernel| Box::new(kernel) as Box<dyn ConvolutionKernel>)
    };
    let Some(kernel) = kernel else {
        return window_too_large(conv.layer(), conv.window, size);
    };
    let (height, width) = kernel.output_size();
    Ok((kernel, (batch, outputs, height, width)))
}

/// `values + factor * by`, one by one.
fn shifted(values: &[f32], by: &[f32], factor: f32) -> Vec<f32> {
    let pairs = values.iter().zip(by);
    pairs.map(|(value, by)| value + factor * by).collect()
}

fn elements(&(n, c, h, w): &(usize, usize, usize, usize)) -> usize {
    n * c * h * w
}

/// The normalisation of images of `shape`.
fn normalizer(
    &(_, channels, height, width): &(usize, usize, usize, usize),
    epsilon: f32,
) -> BatchNorm {
    BatchNorm {
        channels,
        pixels: (height * width).max(1), // none: nothing to normalise
        epsilon,
    }
}

/// More than one value for each channel, or there is no variance.
fn enough_values(&(batch, _, height, width): &(usize, usize, usize, usize)) -> Result<()> {
    match batch * height * width {
        count @ 0..2 => Err(Cpu::error(LayerError::TooFewValues { count })),
        _ => Ok(()),
    }
}

/// Statistics of a kernel as tensors.
fn on_device(dev: &Cpu, statistics: Statistics) -> Result<ChannelStatistics<Cpu>> {
    let tensor = |values: Vec<f32>| {
        let count = values.len();
        dev.try_tensor_from_vec(values, (count,))
    };
    Ok(ChannelStatistics {
        mean: tensor(statistics.mean)?,
        variance: tensor(statistics.variance)?,
    })
}

/// The inverse of [`on_device`].
fn on_host(statistics: &ChannelStatistics<Cpu>) -> Result<Statistics> {
    // Not by `as_vec`, which goes from element to element.
    Ok(Statistics {
        mean: shared(&statistics.mean)?.to_vec(),
        variance: shared(&statistics.variance)?.to_vec(),
    })
}

/// Mean of each channel with the convolution's bias taken off: `(conv + bias) - mean = conv - (mean - bias)`, so the
/// bias costs no pass over the images.
fn without_bias(statistics: &mut Statistics, conv: &Convolution<Cpu>) -> Result<()> {
    if let Some(bias) = &conv.bias {
        statistics.mean = shifted(&statistics.mean, &shared(bias)?, -1.0);
    }
    Ok(())
}

/// From the gradient with respect to the result of a convolution to those with respect to weights and input.
fn convolution_backward(
    kernel: Box<dyn ConvolutionKernel>,
    input: Operand,
    weight: &Batch<Cpu>,
) -> Result<ResultBackward> {
    let weights = shared(weight)?;
    let d_w = weight.ghost();
    Ok(Box::new(move |d_output, gradients| {
        let d_weight = gradients.get_or_alloc_mut(&d_w)?;
        {
            let input: &[f32] = &input.lender.elements()?;
            on_pool(|| kernel.backward_weight(input, &d_output, d_weight));
        }
        drop(input.lender);
        let add_to_input = move |d_input: &mut [f32]| {
            on_pool(|| kernel.backward_input(&weights, &d_output, d_input))
        };
        (input.backward)(Box::new(add_to_input), gradients)
    }))
}

impl ReportError for Cpu {
    fn error(error: LayerError) -> CpuError {
        remember(error);
        CpuError::WrongNumElements
    }
}

impl LayerDevice for Cpu {
    type Values = Values;
    type Normalised = Normalised;

    fn conv2d(input: Input<Cpu>, conv: Convolution<Cpu>) -> Result<Operation<Cpu>> {
        let input = Operand::of(input)?;
        let (kernel, shape) = kernel_for(&input.shape, &conv)?;
        let epilogue = match &conv.bias {
            Some(bias) => Following::bias(&shared(bias)?),
            None => Following::default(),
        };
        let mut output = Scratch::of_tensor(elements(&shape));
        {
            let (images, weights) = (&*input.lender.elements()?, &*shared(&conv.weight)?);
            on_pool(|| kernel.forward(images, weights, &epilogue, &mut output));
        }

        let dev = input.device.clone();
        let to_operands = convolution_backward(kernel, input, &conv.weight)?;
        let d_b = conv.bias.as_ref().map(|bias| bias.ghost());
        let pixels = shape.2 * shape.3;
        operation(
            &dev,
            output.into_vec(),
            shape,
            move |d_output, gradients| {
                if let Some(d_b) = &d_b {
                    backward_bias(&d_output, pixels, gradients.get_or_alloc_mut(d_b)?);
                }
                to_operands(d_output, gradients)
            },
        )
    }

    fn conv_transpose2d(
        x: Batch<Cpu>,
        weight: Batch<Cpu>,
        window: Window,
    ) -> Result<Operation<Cpu>> {
        let (&(batch, _, height, width), &(inputs, outputs, ..)) = (x.shape(), weight.shape());
        let size = transposed_size(window, (height, width)).map_err(Cpu::error)?;
        let shape = (batch, outputs, size.0, size.1);
        let Some(kernel) = Conv2d::new(outputs, inputs, window, size) else {
            return window_too_large("ConvTranspose2D", window, size);
        };
        let (input, weights) = (shared(&x)?, shared(&weight)?);
        let mut output = Scratch::zeros(elements(&shape));
        on_pool(|| kernel.backward_input(&weights, &input, &mut output));
        let (d_x, d_w) = (x.ghost(), weight.ghost());
        operation(
            x.device(),
            output.into_vec(),
            shape,
            move |d_output, gradients| {
                let d_weight = gradients.get_or_alloc_mut(&d_w)?;
                on_pool(|| kernel.backward_weight(&d_output, &input, d_weight));
                let mut d_input = Scratch::any(input.len());
                on_pool(|| {
                    kernel.forward(&d_output, &weights, &Following::default(), &mut d_input)
                });
                add(gradients.get_or_alloc_mut(&d_x)?, &d_input);
                Ok(())
            },
        )
    }

    fn conv2d_statistics(
        input: Input<Cpu>,
        conv: Convolution<Cpu>,
    ) -> Result<BatchStatistics<Cpu, Values>> {
        let input = Operand::of(input)?;
        let (kernel, shape) = kernel_for(&input.shape, &conv)?;
        enough_values(&shape)?;
        let mut result = Scratch::any(elements(&shape));
        let statistics = {
            let (images, weights) = (&*input.lender.elements()?, &*shared(&conv.weight)?);
            on_pool(|| {
                kernel.forward(images, weights, &Following::default(), &mut result);
                normalizer(&shape, 0.0).statistics(&result)
            })
        };
        let statistics = on_device(&input.device, statistics)?;
        let to_operands = convolution_backward(kernel, input, &conv.weight)?;
        let d_bias = conv.bias.as_ref().map(|bias| bias.ghost());
        let backward: ResultBackward = Box::new(move |d_result, gradients| {
            if let Some(d_bias) = &d_bias {
                gradients.try_alloc_for(d_bias)?; // stays 0: the mean takes the bias off again
            }
            to_operands(d_result, gradients)
        });
        Ok(BatchStatistics {
            values: Values::Convolved(Convolved { result, backward }),
            shape,
            statistics,
            convolution: Some(conv),
            input: None,
        })
    }

    fn statistics(x: Batch<Cpu>) -> Result<BatchStatistics<Cpu, Values>> {
        let shape = *x.shape();
        enough_values(&shape)?;
        let statistics = normalizer(&shape, 0.0).statistics(&shared(&x)?);
        Ok(BatchStatistics {
            statistics: on_device(x.device(), statistics)?,
            values: Values::Input(x),
            shape,
            convolution: None,
            input: None,
        })
    }

    fn batch_norm2d_train(
        of: BatchStatistics<Cpu, Values>,
        norm: NormParameters<Cpu>,
        epilogue: Epilogue<Cpu>,
    ) -> Result<Operation<Cpu>> {
        epilogue.check(&of.shape)?;
        let normalised = Normalised::new(of, norm, epilogue.activation)?;
        let (dev, shape) = (normalised.device(), normalised.shape);
        let Normalised {
            normalisation,
            to_operands,
            ..
        } = normalised;
        let shortcut = epilogue.shortcut.as_ref().map(shared).transpose()?;
        let (output, slopes) = normalisation.results(shortcut.as_deref())?;
        let output = dev.try_tensor_from_vec(output.into_vec(), shape)?;
        let (result, d_shortcut) = (shared(&output)?, epilogue.shortcut.map(|x| x.ghost()));
        Ok(operation_of(output, move |mut d_output, gradients| {
            slopes.multiply(&mut d_output, &result);
            drop(result);
            if let Some(d_shortcut) = &d_shortcut {
                add(gradients.get_or_alloc_mut(d_shortcut)?, &d_output);
            }
            let d_values = normalisation.backward_normalized(d_output, gradients)?;
            drop(normalisation);
            to_operands(d_values, gradients)
        }))
    }

    fn batch_norm2d_later(
        of: BatchStatistics<Cpu, Values>,
        norm: NormParameters<Cpu>,
        activation: Activation,
    ) -> Result<Later<Cpu>> {
        if activation.slopes_of_results().is_some() {
            return Normalised::new(of, norm, activation).map(Later::Normalised);
        }
        // An exponential function takes longer to compute than its results to read.
        let epilogue = Epilogue {
            shortcut: None,
            activation,
        };
        Self::batch_norm2d_train(of, norm, epilogue).map(Later::Computed)
    }

    fn compute(normalised: Normalised) -> Result<Operation<Cpu>> {
        let (dev, shape) = (normalised.device(), normalised.shape);
        let Normalised {
            normalisation,
            to_operands,
            ..
        } = normalised;
        let (output, _) = normalisation.results(None)?;
        operation(
            &dev,
            output.into_vec(),
            shape,
            move |d_output, gradients| {
                let d_values = normalisation.backward(d_output, gradients)?;
                drop(normalisation);
                to_operands(d_values, gradients)
            },
        )
    }

    fn batch_norm2d_eval(
        x: Batch<Cpu>,
        conv: Option<Convolution<Cpu>>,
        norm: NormParameters<Cpu>,
        running: ChannelStatistics<Cpu>,
        epilogue: Epilogue<Cpu>,
    ) -> Result<Batch<Cpu>> {
        let mut statistics = on_host(&running)?;
        let (scales, biases) = (shared(&norm.scale)?, shared(&norm.bias)?);
        let shortcut = epilogue.shortcut.as_ref().map(shared).transpose()?;
        let convolution = match conv {
            None => None,
            Some(conv) => {
                without_bias(&mut statistics, &conv)?;
                let (kernel, shape) = kernel_for(x.shape(), &conv)?;
                Some((kernel, shape, shared(&conv.weight)?))
            }
        };
        let shape = convolution.as_ref().map_or(*x.shape(), |conv| conv.1);
        epilogue.check(&shape)?;
        let normalizer = normalizer(&shape, norm.epsilon);
        let following = Following {
            lines: normalizer.lines(&statistics, &scales, &biases),
            shortcut: shortcut.as_deref(),
            activation: epilogue.activation,
        };
        let output = match convolution {
            None => {
                let mut output = copy(&x);
                on_pool(|| following.apply_to_all(normalizer.pixels, &mut output));
                output
            }
            Some((kernel, shape, weights)) => {
                let (input, mut output) = (shared(&x)?, Scratch::any(elements(&shape)));
                on_pool(|| kernel.forward(&input, &weights, &following, &mut output));
                output
            }
        };
        x.device().try_tensor_from_vec(output.into_vec(), shape)
    }

    fn batch_norm2d_frozen(
        x: Batch<Cpu>,
        norm: NormParameters<Cpu>,
        running: ChannelStatistics<Cpu>,
        epilogue: Epilogue<Cpu>,
    ) -> Result<Operation<Cpu>> {
        Fallback::default().batch_norm2d_frozen(x, norm, running, epilogue)
    }

    fn layer_norm2d(x: Batch<Cpu>, norm: NormParameters<Cpu>) -> Result<Operation<Cpu>> {
        let &(_, channels, height, width) = x.shape();
        let kernel = LayerNorm {
            channels,
            pixels: (height * width).max(1), // none: nothing to normalise
            epsilon: norm.epsilon,
        };
        let factors = shared(&norm.scale)?;
        // From here on `normalised` is what the gradient needs.
        let mut normalised = copy(&x);
        let deviations = kernel.normalize(&mut normalised);
        let output = kernel.scale_and_shift(&normalised, &factors, &shared(&norm.bias)?);
        let (d_x, d_scale, d_bias) = (x.ghost(), norm.scale.ghost(), norm.bias.ghost());
        operation(x.device(), output, *x.shape(), move |mut d_y, gradients| {
            kernel.backward_scale(&normalised, &d_y, gradients.get_or_alloc_mut(&d_scale)?);
            backward_bias(&d_y, kernel.pixels, gradients.get_or_alloc_mut(&d_bias)?);
            kernel.backward_input(&normalised, &deviations, &factors, &mut d_y);
            add(gradients.get_or_alloc_mut(&d_x)?, &d_y);
            Ok(())
        })
    }

    fn max_pool2d(input: Input<Cpu>, window: Window) -> Result<Operation<Cpu>> {
        let (shape, dev) = match &input {
            Input::Images(x) => (*x.shape(), x.device().clone()),
            Input::Normalised(normalised) => (normalised.shape, normalised.device()),
        };
        let (pool, shape) = pool_for("MaxPool2D", &shape, window)?;
        let mut output = Scratch::of_tensor(elements(&shape));
        let backward: ResultBackward = match input {
            Input::Images(x) => {
                let winners = pool.max(&shared(&x)?, &mut output);
                let d_x = x.ghost();
                Box::new(move |d_output, gradients| {
                    pool.max_backward(&winners, &d_output, gradients.get_or_alloc_mut(&d_x)?);
                    Ok(())
                })
            }
            Input::Normalised(normalised) => normalised.max_pool2d(pool, &mut output)?,
        };
        operation(&dev, output.into_vec(), shape, backward)
    }

    fn max_pool2d_eval(x: Batch<Cpu>, window: Window) -> Result<Batch<Cpu>> {
        let (pool, shape) = pool_for("MaxPool2D", x.shape(), window)?;
        let (input, mut output) = (shared(&x)?, Scratch::any(elements(&shape)));
        on_pool(|| pool.max_alone(&input, &mut output));
        x.device().try_tensor_from_vec(output.into_vec(), shape)
    }

    fn avg_pool2d(x: Batch<Cpu>, window: Window) -> Result<Operation<Cpu>> {
        let (pool, shape) = pool_for("AvgPool2D", x.shape(), window)?;
        let mut output = Scratch::of_tensor(elements(&shape));
        pool.average(&shared(&x)?, &mut output);
        let d_x = x.ghost();
        operation(
            x.device(),
            output.into_vec(),
            shape,
            move |d_output, gradients| {
                pool.average_backward(&d_output, gradients.get_or_alloc_mut(&d_x)?);
                Ok(())
            },
        )
    }

    fn global_avg_pool2d(x: Batch<Cpu>) -> Result<Operation<Cpu>> {
        let &(batch, channels, height, width) = x.shape();
        let pixels = (height * width).max(1); // no pixels, no mean: refused by dfdx
        let means = planes::means(&shared(&x)?, pixels);
        let d_x = x.ghost();
        operation(
            x.device(),
            means,
            (batch, channels, 1, 1),
            move |d_means, gradients| {
                planes::means_backward(&d_means, pixels, gradients.get_or_alloc_mut(&d_x)?);
                Ok(())
            },
        )
    }

    fn separable_map(x: Batch<Cpu>, map: SeparableMap) -> Result<Operation<Cpu>> {
        let &(batch, channels, ..) = x.shape();
        let (height, width) = map.output_size();
        let shape = (batch, channels, height, width);
        let input = shared(&x)?;
        let mut output = Scratch::zeros(elements(&shape));
        on_pool(|| map.add_to(&input, &mut output));
        let d_x = x.ghost();
        operation(
            x.device(),
            output.into_vec(),
            shape,
            move |d_output, gradients| {
                let d_input = gradients.get_or_alloc_mut(&d_x)?;
                on_pool(|| map.transposed().add_to(&d_output, d_input));
                Ok(())
            },
        )
    }

    fn linear(
        x: Batch<Cpu>,
        weight: Tensor<(usize, usize), f32, Cpu>,
        bias: Option<Channels<Cpu>>,
    ) -> Result<Operation<Cpu>> {
        let (&(batch, ..), &(outputs, features)) = (x.shape(), weight.shape());
        let (input, weights) = (shared(&x)?, shared(&weight)?);
        let mut output = match &bias {
            Some(bias) => shared(bias)?.repeat(batch),
            None => vec![0.0; batch * outputs],
        };
        on_pool(|| {
            matmul(
                MatrixMut::new(&mut output, batch, outputs, outputs),
                Store::Add,
                Matrix::new(&input, batch, features, features),
                Matrix::new(&weights, outputs, features, features).transposed(),
                true,
            );
        });
        let (d_x, d_w) = (x.ghost(), weight.ghost());
        let d_b = bias.map(|bias| bias.ghost());
        operation(
            x.device(),
            output,
            (batch, outputs, 1, 1),
            move |d_output, gradients| {
                if let Some(d_b) = &d_b {
                    backward_bias(&d_output, 1, gradients.get_or_alloc_mut(d_b)?);
                }
                let d_output = Matrix::new(&d_output, batch, outputs, outputs);
                let input = Matrix::new(&input, batch, features, features);
                let d_weight = gradients.get_or_alloc_mut(&d_w)?;
                let d_weight = MatrixMut::new(d_weight, outputs, features, features);
                on_pool(|| matmul(d_weight, Store::Add, d_output.transposed(), input, true));
                let d_input =
                    MatrixMut::new(gradients.get_or_alloc_mut(&d_x)?, batch, features, features);
                let weights = Matrix::new(&weights, outputs, features, features);
                on_pool(|| matmul(d_input, Store::Add, d_output, weights, true));
                Ok(())
            },
        )
    }

    fn activate(x: Batch<Cpu>, activation: Activation) -> Result<Operation<Cpu>> {
        let mut output = copy(&x);
        let slopes = on_pool(|| activation.apply_keeping_slopes(&mut output));
        let output = x
            .device()
            .try_tensor_from_vec(output.into_vec(), *x.shape())?;
        let (d_x, result) = (x.ghost(), shared(&output)?);
        Ok(operation_of(output, move |mut d_output, gradients| {
            slopes.multiply(&mut d_output, &result);
            add(gradients.get_or_alloc_mut(&d_x)?, &d_output);
            Ok(())
        }))
    }

    fn add(x: Batch<Cpu>, y: Batch<Cpu>) -> Result<Operation<Cpu>> {
        if x.shape() != y.shape() {
            return Err(Cpu::error(LayerError::Sum {
                left: x.shape().concrete(),
                right: y.shape().concrete(),
            }));
        }
        let mut output = copy(&x);
        add(&mut output, &shared(&y)?);
        let (d_x, d_y) = (x.ghost(), y.ghost());
        operation(
            x.device(),
            output.into_vec(),
            *x.shape(),
            move |d_output, gradients| {
                add(gradients.get_or_alloc_mut(&d_x)?, &d_output);
                add(gradients.get_or_alloc_mut(&d_y)?, &d_output);
                Ok(())
            },
        )
    }

    fn affine(
        x: Batch<Cpu>,
        factors: Option<Channels<Cpu>>,
        offsets: Option<Channels<Cpu>>,
    ) -> Result<Operation<Cpu>> {
        let &(batch, _, height, width) = x.shape();
        let pixels = (height * width).max(1); // none: nothing to compute
        let values = shared(&x)?;
        // A factor for each plane.
        let scales = match &factors {
            Some(factors) => shared(factors)?.repeat(batch),
            None => vec![1.0; values.len() / pixels],
        };
        let mut output = Scratch::of_tensor(values.len());
        planes::scale(&values, pixels, &scales, &mut output);
        if let Some(offsets) = &offsets {
            planes::add_to_each(&shared(offsets)?, pixels, &mut output);
        }
        let (d_x, d_offsets) = (x.ghost(), offsets.map(|offsets| offsets.ghost()));
        let d_factors = factors.map(|factors| factors.ghost());
        operation(
            x.device(),
            output.into_vec(),
            *x.shape(),
            move |d_y, gradients| {
                if let Some(d_offsets) = &d_offsets {
                    backward_bias(&d_y, pixels, gradients.get_or_alloc_mut(d_offsets)?);
                }
                if let Some(d_factors) = &d_factors {
                    let mut by_plane = vec![0.0; scales.len()];
                    planes::scale_backward_factors(&values, pixels, &d_y, &mut by_plane);
                    backward_bias(&by_plane, 1, gradients.get_or_alloc_mut(d_factors)?);
                }
                let d_images = gradients.get_or_alloc_mut(&d_x)?;
                planes::scale_backward_images(&scales, pixels, &d_y, d_images);
                Ok(())
            },
        )
    }

    fn multiply(x: Batch<Cpu>, constants: Batch<Cpu>) -> Result<Operation<Cpu>> {
        let factors = shared(&constants)?;
        let mut output = copy(&x);
        multiply(&mut output, &factors);
        let d_x = x.ghost();
        operation(
            x.device(),
            output.into_vec(),
            *x.shape(),
            move |mut d_output, gradients| {
                multiply(&mut d_output, &factors);
                add(gradients.get_or_alloc_mut(&d_x)?, &d_output);
                Ok(())
            },
        )
    }

    fn concat(parts: Vec<Batch<Cpu>>) -> Result<Operation<Cpu>> {
        let shape = concat_shape(&parts).map_err(Cpu::error)?;
        let (batch, pixels) = (shape.0, shape.2 * shape.3);
        let sizes: Vec<usize> = parts.iter().map(|part| part.shape().1 * pixels).collect();
        let slices = parts.iter().map(shared).collect::<Result<Vec<_>>>()?;
        let mut output = Scratch::of_tensor(elements(&shape));
        let mut rest = &mut output[..];
        for n in 0..batch {
            for (slice, &size) in slices.iter().zip(&sizes) {
                let part;
                (part, rest) = rest.split_at_mut(size);
                part.copy_from_slice(&slice[n * size..][..size]);
            }
        }
        let ghosts: Vec<_> = parts.iter().map(|part| part.ghost()).collect();
        operation(
            parts[0].device(),
            output.into_vec(),
            shape,
            move |d_output, gradients| {
                let mut start = 0;
                let step = sizes.iter().sum::<usize>();
                for (ghost, &size) in ghosts.iter().zip(&sizes) {
                    let d_part = gradients.get_or_alloc_mut(ghost)?;
                    for n in 0..batch {
                        add(
                            &mut d_part[n * size..][..size],
                            &d_output[n * step + start..][..size],
                        );
                    }
                    start += size;
                }
                Ok(())
            },
        )
    }

    fn scale_channels(images: Batch<Cpu>, factors: Batch<Cpu>) -> Result<Operation<Cpu>> {
        let &(batch, channels, height, width) = images.shape();
        if *factors.shape() != (batch, channels, 1, 1) {
            return Err(Cpu::error(LayerError::Factors {
                images: batch,
                channels,
                factors: factors.shape().concrete(),
            }));
        }
        let pixels = (height * width).max(1); // none: nothing to scale
        let (d_x, d_f) = (images.ghost(), factors.ghost());
        let (values, scales) = (shared(&images)?, shared(&factors)?);
        let mut output = Scratch::of_tensor(values.len());
        planes::scale(&values, pixels, &scales, &mut output);
        operation(
            images.device(),
            output.into_vec(),
            *images.shape(),
            move |d_y, gradients| {
                let d_factors = gradients.get_or_alloc_mut(&d_f)?;
                planes::scale_backward_factors(&values, pixels, &d_y, d_factors);
                let d_images = gradients.get_or_alloc_mut(&d_x)?;
                planes::scale_backward_images(&scales, pixels, &d_y, d_images);
                Ok(())
            },
        )
    }

    flows!(Cpu);
}

/// A pooling of images such as `x`, and the shape of its result.
#[allow(clippy::type_complexity, reason = "a kernel and a shape")]
fn pool_for(
    layer: &'static str,
    &(batch, channels, height, width): &(usize, usize, usize, usize),
    window: Window,
) -> Result<(Pool2d, (usize, usize, usize, usize))> {
    let Some(pool) = Pool2d::new(window, (height, width)) else {
        return Err(Cpu::error(LayerError::of_pool(
            layer,
            window,
            (height, width),
        )));
    };
    let (height, width) = pool.output_size();
    Ok((pool, (batch, channels, height, width)))
}
