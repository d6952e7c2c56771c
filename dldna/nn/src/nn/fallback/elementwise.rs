//! Activations, sums, channels side by side, and the linear layer.

use super::super::device::{concat_shape, *};
use super::super::error::LayerError;
use super::normalization::over_images;
use super::{Fallback, Leaf, Recomputed, Recorded, Rows, leaves, part};
use crate::kernels::activation::Activation;
use dfdx::prelude::*;

impl Fallback {
    /// The activation of each value, as [`LayerDevice::activate`].
    ///
    /// # Errors
    /// Those of the device.
    ///
    /// # Example
    /// ```
    /// use dldna_nn::nn::{Activation, fallback::Fallback};
    /// use dldna_nn::prelude::*;
    ///
    /// let x = Cpu::default().tensor_from_vec(vec![-1.0, 5.0, 7.0], (1, 1, 1, 3));
    /// let y = Fallback::default().activate(x, Activation::Relu6)?;
    /// assert_eq!(y.output.as_vec(), [0.0, 5.0, 6.0]);
    /// # Ok::<(), CpuError>(())
    /// ```
    pub fn activate<D: ReportError>(
        &self,
        x: Batch<D>,
        activation: Activation,
    ) -> Result<Operation<D>, D::Err> {
        self.each_image(x, move |x| activate(x, activation))
    }

    /// An operation on each image by itself that keeps its shape.
    fn each_image<D: ReportError>(
        &self,
        x: Batch<D>,
        operation: impl Fn(Rows<D, Recorded<D>>) -> Result<Rows<D, Recorded<D>>, D::Err> + 'static,
    ) -> Result<Operation<D>, D::Err> {
        let &shape @ (batch, channels, height, width) = x.shape();
        Recomputed {
            dev: x.device().clone(),
            leaves: leaves([&x as &dyn Leaf<D>]),
            chunks: self.chunks(batch, 4 * channels * height * width),
            shape,
            operation: Box::new(move |chunk| operation(part(&x, chunk)?)),
        }
        .run()
    }

    /// The mean of each channel of each image, as [`LayerDevice::global_avg_pool2d`].
    ///
    /// # Errors
    /// Those of the device.
    ///
    /// # Example
    /// ```
    /// use dldna_nn::{nn::fallback::Fallback, prelude::*};
    ///
    /// let images = Cpu::default().tensor_from_vec(vec![1.0, 2.0, 6.0], (1, 1, 1, 3));
    /// assert_eq!(Fallback::default().global_avg_pool2d(images)?.output.as_vec(), [3.0]);
    /// # Ok::<(), CpuError>(())
    /// ```
    pub fn global_avg_pool2d<D: ReportError>(&self, x: Batch<D>) -> Result<Operation<D>, D::Err> {
        let &(batch, channels, height, width) = x.shape();
        let share = 1.0 / (height * width) as f32;
        Recomputed {
            dev: x.device().clone(),
            leaves: leaves([&x as &dyn Leaf<D>]),
            chunks: self.chunks(batch, channels * height * width),
            shape: (batch, channels, 1, 1),
            operation: Box::new(move |chunk| {
                let sums = part(&x, chunk)?.try_sum::<(usize, usize), Axis<2>>()?;
                let &(n, channels) = sums.shape();
                sums.try_mul(share)?.try_reshape_like(&(n, channels, 1))
            }),
        }
        .run()
    }

    /// A linear layer, as [`LayerDevice::linear`].
    ///
    /// # Errors
    /// Those of the device.
    ///
    /// # Example
    /// ```
    /// use dldna_nn::{nn::fallback::Fallback, prelude::*};
    ///
    /// let dev = Cpu::default();
    /// let x = dev.tensor_from_vec(vec![1.0, 2.0], (1, 2, 1, 1));
    /// let weight = dev.tensor_from_vec(vec![3.0, 4.0], (1, 2));
    /// assert_eq!(Fallback::default().linear(x, weight, None)?.output.as_vec(), [11.0]);
    /// # Ok::<(), CpuError>(())
    /// ```
    pub fn linear<D: ReportError>(
        &self,
        x: Batch<D>,
        weight: Tensor<(usize, usize), f32, D>,
        bias: Option<Channels<D>>,
    ) -> Result<Operation<D>, D::Err> {
        let (&(batch, ..), &(outputs, features)) = (x.shape(), weight.shape());
        let mut leaves = leaves([&x as &dyn Leaf<D>, &weight]);
        leaves.extend(bias.as_ref().map(Leaf::boxed));
        Recomputed {
            dev: x.device().clone(),
            leaves,
            chunks: self.chunks(batch, features + outputs),
            shape: (batch, outputs, 1, 1),
            operation: Box::new(move |chunk| {
                let n = chunk.len();
                let x = part(&x, chunk)?.try_reshape_like(&(n, features))?;
                let weight = weight.retaped::<Recorded<D>>();
                let mut y = x.try_matmul(weight.try_permute::<(usize, usize), Axes2<1, 0>>()?)?;
                if let Some(bias) = &bias {
                    let bias = bias.retaped::<Recorded<D>>();
                    y = y.try_add(bias.try_broadcast_like::<_, Axis<0>>(&(n, outputs))?)?;
                }
                y.try_reshape_like(&(n, outputs, 1))
            }),
        }
        .run()
    }

    /// The sum of two batches, as [`LayerDevice::add`].
    ///
    /// # Errors
    /// Those of the device, and [`LayerError::Sum`].
    ///
    /// # Example
    /// ```
    /// use dldna_nn::{nn::fallback::Fallback, prelude::*};
    ///
    /// let x = Cpu::default().tensor_from_vec(vec![1.0, 2.0], (1, 1, 1, 2));
    /// assert_eq!(Fallback::default().add(x.clone(), x)?.output.as_vec(), [2.0, 4.0]);
    /// # Ok::<(), CpuError>(())
    /// ```
    pub fn add<D: ReportError>(&self, x: Batch<D>, y: Batch<D>) -> Result<Operation<D>, D::Err> {
        if x.shape() != y.shape() {
            return Err(D::error(LayerError::Sum {
                left: x.shape().concrete(),
                right: y.shape().concrete(),
            }));
        }
        let &shape @ (batch, channels, height, width) = x.shape();
        Recomputed {
            dev: x.device().clone(),
            leaves: leaves([&x as &dyn Leaf<D>, &y]),
            chunks: self.chunks(batch, channels * height * width),
            shape,
            operation: Box::new(move |chunk| part(&x, chunk.clone())?.try_add(part(&y, chunk)?)),
        }
        .run()
    }

    /// Each channel times a factor, plus an offset, of its own, as [`LayerDevice::affine`].
    ///
    /// # Errors
    /// Those of the device.
    ///
    /// # Example
    /// ```
    /// use dldna_nn::{nn::fallback::Fallback, prelude::*};
    ///
    /// let dev = Cpu::default();
    /// let x = dev.tensor_from_vec(vec![1.0, 2.0], (1, 2, 1, 1)); // one pixel of two channels
    /// let offsets = dev.tensor_from_vec(vec![10.0, 20.0], (2,));
    /// assert_eq!(Fallback::default().affine(x, None, Some(offsets))?.output.as_vec(), [11.0, 22.0]);
    /// # Ok::<(), CpuError>(())
    /// ```
    pub fn affine<D: ReportError>(
        &self,
        x: Batch<D>,
        factors: Option<Channels<D>>,
        offsets: Option<Channels<D>>,
    ) -> Result<Operation<D>, D::Err> {
        let &shape @ (batch, channels, height, width) = x.shape();
        let mut leaves = leaves([&x as &dyn Leaf<D>]);
        leaves.extend(factors.iter().chain(&offsets).map(Leaf::boxed));
        Recomputed {
            dev: x.device().clone(),
            leaves,
            chunks: self.chunks(batch, 3 * channels * height * width),
            shape,
            operation: Box::new(move |chunk| {
                let mut y = part(&x, chunk)?.try_mul(1.0)?; // a tensor of its own
                if let Some(factors) = &factors {
                    let factors = over_images(factors, &y)?;
                    y = y.try_mul(factors)?;
                }
                if let Some(offsets) = &offsets {
                    let offsets = over_images(offsets, &y)?;
                    y = y.try_add(offsets)?;
                }
                Ok(y)
            }),
        }
        .run()
    }

    /// Element by element, by constants, as [`LayerDevice::multiply`].
    ///
    /// # Errors
    /// Those of the device.
    ///
    /// # Example
    /// ```
    /// use dldna_nn::{nn::fallback::Fallback, prelude::*};
    ///
    /// let x = Cpu::default().tensor_from_vec(vec![1.0, 2.0], (1, 1, 1, 2));
    /// assert_eq!(Fallback::default().multiply(x.clone(), x)?.output.as_vec(), [1.0, 4.0]);
    /// # Ok::<(), CpuError>(())
    /// ```
    pub fn multiply<D: ReportError>(
        &self,
        x: Batch<D>,
        constants: Batch<D>,
    ) -> Result<Operation<D>, D::Err> {
        let &shape @ (batch, channels, height, width) = x.shape();
        Recomputed {
            dev: x.device().clone(),
            leaves: leaves([&x as &dyn Leaf<D>]),
            chunks: self.chunks(batch, 2 * channels * height * width),
            shape,
            operation: Box::new(move |chunk| {
                let (constants, _) = part(&constants, chunk.clone())?.split_tape();
                part(&x, chunk)?.try_mul(constants)
            }),
        }
        .run()
    }

    /// The channels of all parts side by side, as [`LayerDevice::concat`].
    ///
    /// # Errors
    /// Those of the device, and [`LayerError::Concat`].
    ///
    /// # Example
    /// ```
    /// use dldna_nn::{nn::fallback::Fallback, prelude::*};
    ///
    /// let x = Cpu::default().tensor_from_vec(vec![1.0, 2.0], (2, 1, 1, 1)); // two images of one pixel
    /// let both = Fallback::default().concat(vec![x.clone(), x])?;
    /// assert_eq!(both.output.as_vec(), [1.0, 1.0, 2.0, 2.0]);
    /// # Ok::<(), CpuError>(())
    /// ```
    pub fn concat<D: ReportError>(&self, parts: Vec<Batch<D>>) -> Result<Operation<D>, D::Err> {
        let shape = concat_shape(&parts).map_err(D::error)?;
        let (batch, channels, height, width) = shape;
        Recomputed {
            dev: parts[0].device().clone(),
            leaves: leaves(parts.iter().map(|part| part as &dyn Leaf<D>)),
            chunks: self.chunks(batch, 2 * channels * height * width),
            shape,
            operation: Box::new(move |chunk| {
                let first = part(&parts[0], chunk.clone())?.try_mul(1.0)?; // a tensor of its own
                parts[1..].iter().try_fold(first, |left, right| {
                    (left, part(right, chunk.clone())?).try_concat_along(Axis::<1>)
                })
            }),
        }
        .run()
    }

    /// Each channel of each image times a factor of its own, as [`LayerDevice::scale_channels`].
    ///
    /// # Errors
    /// Those of the device, and [`LayerError::Factors`].
    ///
    /// # Example
    /// ```
    /// use dldna_nn::{nn::fallback::Fallback, prelude::*};
    ///
    /// let dev = Cpu::default();
    /// let images = dev.tensor_from_vec(vec![1.0, 2.0, 3.0, 4.0], (1, 2, 1, 2)); // one image, two channels
    /// let factors = dev.tensor_from_vec(vec![10.0, 1.0], (1, 2, 1, 1));
    /// let scaled = Fallback::default().scale_channels(images, factors)?;
    /// assert_eq!(scaled.output.as_vec(), [10.0, 20.0, 3.0, 4.0]);
    /// # Ok::<(), CpuError>(())
    /// ```
    pub fn scale_channels<D: ReportError>(
        &self,
        images: Batch<D>,
        factors: Batch<D>,
    ) -> Result<Operation<D>, D::Err> {
        let &shape @ (batch, channels, height, width) = images.shape();
        if *factors.shape() != (batch, channels, 1, 1) {
            return Err(D::error(LayerError::Factors {
                images: batch,
                channels,
                factors: factors.shape().concrete(),
            }));
        }
        Recomputed {
            dev: images.device().clone(),
            leaves: leaves([&images as &dyn Leaf<D>, &factors]),
            chunks: self.chunks(batch, 2 * channels * height * width),
            shape,
            operation: Box::new(move |chunk| {
                let n = chunk.len();
                let images = part(&images, chunk.clone())?;
                let factors = part(&factors, chunk)?.try_reshape_like(&(n, channels))?;
                let factors = factors.try_broadcast_like::<_, Axis<2>>(images.shape())?;
                images.try_mul(factors)
            }),
        }
        .run()
    }
}

/// The activation, of dfdx's operations.
pub(super) fn activate<S: Shape, D: ReportError, T: Tape<f32, D>>(
    x: Tensor<S, f32, D, T>,
    activation: Activation,
) -> Result<Tensor<S, f32, D, T>, D::Err> {
    match activation {
        Activation::Identity => Ok(x),
        Activation::Relu => relu(x),
        // min(r, 6) = 6 - relu(6 - r), with a slope of 0 at both ends, as PyTorch has it.
        Activation::Relu6 => {
            let rest = relu(x)?.try_negate()?.try_add(6.0)?;
            relu(rest)?.try_negate()?.try_add(6.0)
        }
        Activation::Silu => {
            let sigmoid = x.with_empty_tape().try_sigmoid()?;
            x.try_mul(sigmoid)
        }
        Activation::Sigmoid => x.try_sigmoid(),
        Activation::Gelu => {
            // The derivative that dfdx 0.13 has for it is too large by (sqrt 2 - 1) x phi(x), with phi the normal density. The
            // derivative of phi is -x phi, so this difference of equals, of which one has no gradient, puts it right.
            let constant = gelu_correction(x.retaped::<NoneTape>())?;
            let zero = gelu_correction(x.with_empty_tape())?.try_sub(constant)?;
            x.try_accurate_gelu()?.try_add(zero)
        }
    }
}

/// `max(x, 0)`. dfdx's own turns what is not a number into 0.
fn relu<S: Shape, D: ReportError, T: Tape<f32, D>>(
    x: Tensor<S, f32, D, T>,
) -> Result<Tensor<S, f32, D, T>, D::Err> {
    let zeros: Tensor<S, f32, D> = x.device().try_zeros_like(x.shape())?;
    x.try_le(0.0)?.try_choose(zeros.retaped::<T>(), x)
}

/// `(sqrt 2 - 1) phi(x)`, with `phi` the standard normal density.
fn gelu_correction<S: Shape, D: ReportError, T: Tape<f32, D>>(
    x: Tensor<S, f32, D, T>,
) -> Result<Tensor<S, f32, D, T>, D::Err> {
    use std::f32::consts::{SQRT_2, TAU};
    x.try_square()?
        .try_mul(-0.5)?
        .try_exp()?
        .try_mul((SQRT_2 - 1.0) / TAU.sqrt())
}
