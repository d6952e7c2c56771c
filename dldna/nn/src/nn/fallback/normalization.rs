//! Batch and layer normalisation.

use super::super::device::*;
use super::super::error::LayerError;
use super::elementwise::activate;
use super::{Fallback, Leaf, Recomputed, Recorded, Rows, add_gradients, leaves, part, rows, taken};
use dfdx::prelude::*;
use std::ops::Range;

impl Fallback {
    /// Mean and biased variance of each channel, as [`LayerDevice::statistics`].
    ///
    /// # Errors
    /// Those of the device, and [`LayerError::TooFewValues`].
    ///
    /// # Example
    /// ```
    /// use dldna_nn::{nn::fallback::Fallback, prelude::*};
    ///
    /// let images = Cpu::default().tensor_from_vec(vec![1.0, 3.0], (2, 1, 1, 1)); // two images of one pixel
    /// let statistics = Fallback::default().statistics(images)?.statistics;
    /// assert_eq!((statistics.mean.as_vec(), statistics.variance.as_vec()), (vec![2.0], vec![1.0]));
    /// # Ok::<(), CpuError>(())
    /// ```
    pub fn statistics<D: ReportError>(&self, x: Batch<D>) -> Result<BatchStatistics<D>, D::Err> {
        let &shape @ (batch, _, height, width) = x.shape();
        let count = batch * height * width;
        if count < 2 {
            return Err(D::error(LayerError::TooFewValues { count }));
        }
        let mean = self.channel_sums(&x, Ok)?.try_mul(1.0 / count as f32)?;
        let squares = self.channel_sums(&x, |x| {
            let mean = mean
                .clone()
                .try_broadcast_like::<_, Axes2<0, 2>>(x.shape())?;
            x.try_sub(mean)?.try_square()
        })?;
        let variance = squares.try_mul(1.0 / count as f32)?;
        Ok(BatchStatistics {
            values: x,
            shape,
            statistics: ChannelStatistics { mean, variance },
            convolution: None,
            input: None,
        })
    }

    /// The sum of `values` over images and pixels, for each channel.
    fn channel_sums<D: ReportError>(
        &self,
        x: &Batch<D>,
        values: impl Fn(Rows<D>) -> Result<Rows<D>, D::Err>,
    ) -> Result<Channels<D>, D::Err> {
        let &(batch, channels, height, width) = x.shape();
        let rows = rows(x.clone())?;
        let mut sums: Channels<D> = x.device().try_zeros_like(&(channels,))?;
        for chunk in self.chunks(batch, 4 * channels * height * width) {
            let part = rows.clone().try_slice((chunk, .., ..))?;
            // Pixels first: many short sums round less than one long one.
            let by_image = values(part)?.try_sum::<(usize, usize), Axis<2>>()?;
            sums = sums.try_add(by_image.try_sum::<_, Axis<0>>()?)?;
        }
        Ok(sums)
    }

    /// Convolution without its bias and the statistics of its result, as [`LayerDevice::conv2d_statistics`].
    ///
    /// # Errors
    /// Those of the device, [`LayerError::WindowTooLarge`] and [`LayerError::TooFewValues`].
    ///
    /// # Example
    /// As for [`statistics`](Self::statistics).
    pub fn conv2d_statistics<D: ReportError>(
        &self,
        x: Batch<D>,
        conv: Convolution<D>,
    ) -> Result<BatchStatistics<D>, D::Err> {
        let values = self
            .convolution(x.clone(), without_bias(conv.clone()))?
            .output()?;
        Ok(BatchStatistics {
            convolution: Some(conv),
            input: Some(x),
            ..self.statistics(values)?
        })
    }

    /// Batch normalisation in training, as [`LayerDevice::batch_norm2d_train`].
    ///
    /// With `c` a channel, `N` its values and `g` the gradients with respect to mean and variance, which the
    /// normalisation gives, the values get beside its own gradient
    ///
    /// ```text
    /// g_mean[c] / N + g_variance[c] 2 (x - mean[c]) / N
    /// ```
    ///
    /// # Errors
    /// Those of the device.
    ///
    /// # Example
    /// ```
    /// use dldna_nn::nn::{Epilogue, NormParameters, fallback::Fallback};
    /// use dldna_nn::prelude::*;
    ///
    /// let dev = Cpu::default();
    /// let values = dev.tensor_from_vec(vec![1.0, 3.0], (2, 1, 1, 1));
    /// let of = Fallback::default().statistics(values)?;
    /// let norm = NormParameters { scale: dev.ones_like(&(1,)), bias: dev.zeros_like(&(1,)), epsilon: 0.0 };
    /// let normalized = Fallback::default().batch_norm2d_train(of, norm, Epilogue::none())?;
    /// assert_eq!(normalized.output.as_vec(), [-1.0, 1.0]);
    /// # Ok::<(), CpuError>(())
    /// ```
    pub fn batch_norm2d_train<D: ReportError>(
        &self,
        of: BatchStatistics<D>,
        norm: NormParameters<D>,
        epilogue: Epilogue<D>,
    ) -> Result<Operation<D>, D::Err> {
        let ChannelStatistics { mean, variance } = of.statistics.clone();
        let x = of.values;
        let normalize = self.normalize(x.clone(), norm, of.statistics, epilogue)?;
        let output = normalize.output()?;
        let convolution = of.input.zip(of.convolution).map(|(input, conv)| {
            let bias = conv.bias.clone();
            Ok((self.convolution(input, without_bias(conv))?, bias))
        });
        let convolution = convolution.transpose()?;
        let (d_y, d_x) = (output.ghost(), x.ghost());
        let (d_mean, d_variance) = (mean.ghost(), variance.ghost());
        let dev = x.device().clone();
        Ok(Operation {
            output,
            backward: Box::new(move |gradients| {
                let d_output = taken!(gradients, &d_y, &dev);
                normalize.backward(gradients, d_output)?;
                let d_mean = taken!(gradients, &d_mean, &dev);
                let d_variance = taken!(gradients, &d_variance, &dev);
                add_statistics_gradients(
                    gradients,
                    &x,
                    &mean,
                    (d_mean, d_variance),
                    &normalize.chunks,
                )?;
                let Some((convolution, bias)) = convolution else {
                    return Ok(());
                };
                let d_values = taken!(gradients, &d_x, &dev);
                if let Some(bias) = bias {
                    gradients.try_alloc_for(&bias)?; // stays 0
                }
                convolution.backward(gradients, d_values)
            }),
        })
    }

    /// Convolution if there is one and batch normalisation by given statistics, as
    /// [`LayerDevice::batch_norm2d_eval`].
    ///
    /// # Errors
    /// Those of the device, and [`LayerError::WindowTooLarge`].
    ///
    /// # Example
    /// As for [`batch_norm2d_train`](Self::batch_norm2d_train).
    pub fn batch_norm2d_eval<D: ReportError>(
        &self,
        x: Batch<D>,
        conv: Option<Convolution<D>>,
        norm: NormParameters<D>,
        running: ChannelStatistics<D>,
        epilogue: Epilogue<D>,
    ) -> Result<Batch<D>, D::Err> {
        let x = match conv {
            Some(conv) => self.convolution(x, conv)?.output()?,
            None => x,
        };
        self.normalize(x, norm, running, epilogue)?.output()
    }

    /// Batch normalisation by given statistics, as [`LayerDevice::batch_norm2d_frozen`].
    ///
    /// # Errors
    /// Those of the device.
    ///
    /// # Example
    /// As for [`batch_norm2d_train`](Self::batch_norm2d_train).
    pub fn batch_norm2d_frozen<D: ReportError>(
        &self,
        x: Batch<D>,
        norm: NormParameters<D>,
        running: ChannelStatistics<D>,
        epilogue: Epilogue<D>,
    ) -> Result<Operation<D>, D::Err> {
        self.normalize(x, norm, running, epilogue)?.run()
    }

    /// `activation((x - mean) * scale / sqrt(variance + epsilon) + bias + shortcut)`.
    fn normalize<D: ReportError>(
        &self,
        x: Batch<D>,
        norm: NormParameters<D>,
        statistics: ChannelStatistics<D>,
        epilogue: Epilogue<D>,
    ) -> Result<Recomputed<D>, D::Err> {
        epilogue.check(x.shape())?;
        let &shape @ (batch, channels, height, width) = x.shape();
        let ChannelStatistics { mean, variance } = statistics;
        let mut leaves = leaves([
            &x as &dyn Leaf<D>,
            &mean,
            &variance,
            &norm.scale,
            &norm.bias,
        ]);
        leaves.extend(epilogue.shortcut.as_ref().map(Leaf::boxed));
        Ok(Recomputed {
            dev: x.device().clone(),
            leaves,
            chunks: self.chunks(batch, 8 * channels * height * width),
            shape,
            operation: Box::new(move |chunk| {
                let y = part(&x, chunk.clone())?;
                let deviation = variance.retaped::<Recorded<D>>();
                let deviation = deviation.try_add(norm.epsilon)?.try_sqrt()?;
                let scale = norm.scale.retaped::<Recorded<D>>().try_div(deviation)?;
                let scale = scale.try_broadcast_like::<_, Axes2<0, 2>>(y.shape())?;
                let mean = over_images(&mean, &y)?;
                let y = y.try_sub(mean)?;
                let bias = over_images(&norm.bias, &y)?;
                let mut y = y.try_mul(scale)?.try_add(bias)?;
                if let Some(shortcut) = &epilogue.shortcut {
                    y = y.try_add(part(shortcut, chunk)?)?;
                }
                activate(y, epilogue.activation)
            }),
        })
    }

    /// Normalisation of each pixel over its channels, as [`LayerDevice::layer_norm2d`].
    ///
    /// # Errors
    /// Those of the device.
    ///
    /// # Example
    /// ```
    /// use dldna_nn::nn::{NormParameters, fallback::Fallback};
    /// use dldna_nn::prelude::*;
    ///
    /// let dev = Cpu::default();
    /// let images = dev.tensor_from_vec(vec![1.0, 3.0], (1, 2, 1, 1)); // one pixel of two channels
    /// let norm = NormParameters { scale: dev.ones_like(&(2,)), bias: dev.zeros_like(&(2,)), epsilon: 0.0 };
    /// assert_eq!(Fallback::default().layer_norm2d(images, norm)?.output.as_vec(), [-1.0, 1.0]);
    /// # Ok::<(), CpuError>(())
    /// ```
    pub fn layer_norm2d<D: ReportError>(
        &self,
        x: Batch<D>,
        norm: NormParameters<D>,
    ) -> Result<Operation<D>, D::Err> {
        let &shape @ (batch, channels, height, width) = x.shape();
        Recomputed {
            dev: x.device().clone(),
            leaves: leaves([&x as &dyn Leaf<D>, &norm.scale, &norm.bias]),
            chunks: self.chunks(batch, 8 * channels * height * width),
            shape,
            operation: Box::new(move |chunk| {
                let y = part(&x, chunk)?.try_normalize::<Axis<1>>(f64::from(norm.epsilon))?;
                let scale = over_images(&norm.scale, &y)?;
                let bias = over_images(&norm.bias, &y)?;
                y.try_mul(scale)?.try_add(bias)
            }),
        }
        .run()
    }
}

fn without_bias<D: ReportError>(conv: Convolution<D>) -> Convolution<D> {
    Convolution { bias: None, ..conv }
}

/// What the values of a batch get through its mean and its variance.
fn add_statistics_gradients<D: ReportError>(
    gradients: &mut Gradients<f32, D>,
    x: &Batch<D>,
    mean: &Channels<D>,
    (d_mean, d_variance): (Channels<D>, Channels<D>),
    chunks: &[Range<usize>],
) -> Result<(), D::Err> {
    let &(batch, _, height, width) = x.shape();
    let share = 1.0 / (batch * height * width) as f32;
    let (d_mean, d_variance) = (d_mean.try_mul(share)?, d_variance.try_mul(share)?);
    add_gradients(gradients, &leaves([x as &dyn Leaf<D>]), chunks, |chunk| {
        let x = part(x, chunk)?;
        let mean = fixed(mean, &x)?;
        let centred = x.try_sub(mean)?;
        let linear = fixed(&d_mean, &centred)?;
        let quadratic = fixed(&d_variance, &centred)?;
        let slope = centred
            .with_empty_tape()
            .try_mul(quadratic)?
            .try_add(linear)?;
        centred.try_mul(slope)?.try_sum()
    })
}

/// One element for each channel, at every pixel of the images `like`, with gradients.
pub(super) fn over_images<D: ReportError>(
    channels: &Channels<D>,
    like: &Rows<D, Recorded<D>>,
) -> Result<Rows<D, Recorded<D>>, D::Err> {
    let channels = channels.retaped::<Recorded<D>>();
    channels.try_broadcast_like::<_, Axes2<0, 2>>(like.shape())
}

/// The same without gradients.
fn fixed<D: ReportError>(
    channels: &Channels<D>,
    like: &Rows<D, Recorded<D>>,
) -> Result<Rows<D>, D::Err> {
    let channels = channels.clone();
    channels.try_broadcast_like::<_, Axes2<0, 2>>(like.shape())
}
