//! Batch normalisation of images.

use super::device::{ChannelStatistics, LayerDevice, NormParameters};
use super::error::or_panic;
use super::forward::{Flowing, Forward, Images};
use super::layer::layer;
use super::run::{run_any, run_time_sizes};
use crate::summary::layers::batch_norm_2d;
use crate::summary::{LayerSummary, Summarize, SummaryError};
use dfdx::prelude::*;

layer! {
    /// Normalises each of `C` channels of `(batch, C, height, width)`, then scales and shifts it.
    ///
    /// `forward_mut` on a traced tensor trains: it uses the batch's own mean and variance, and moves the running
    /// ones towards them. `forward` evaluates with the running ones.
    /// The numbers are PyTorch's: epsilon 1e-5, momentum 0.1, unbiased running variance.
    ///
    /// PyTorch: `torch.nn.BatchNorm2d(C)`. Ioffe and Szegedy, *Batch Normalization*, 2015.
    ///
    /// ```
    /// use dldna_nn::prelude::*;
    /// let dev = Cpu::seed_from_u64(0);
    /// let mut norm = dev.build_module::<BatchNorm2D<3>, f32>();
    /// let x = dev.sample_normal_like(&(8, Const::<3>, 4, 4)) * 5.0;
    /// let y = norm.forward_mut(x.leaky_traced());
    /// let deviation = y.stddev::<Rank1<3>, Axes3<0, 2, 3>>(0.0).array();
    /// assert!(deviation.iter().all(|d| (d - 1.0).abs() < 1e-3));
    /// ```
    pub struct BatchNorm2D<const C> {
        /// Multiplied with each normalised channel. In files its name is `weight`, as in PyTorch.
        scale as "weight": Rank1<C> = TensorOptions::reset_to_ones(),
        /// Added to each channel afterwards.
        bias: Rank1<C> = TensorOptions::reset_to_zeros(),
        /// Mean of each channel over the batches seen in training.
        running_mean: Rank1<C> = TensorOptions::detached(|mean| mean.try_fill_with_zeros()),
        /// Variance of each channel over the batches seen in training.
        running_var: Rank1<C> = TensorOptions::detached(|variance| variance.try_fill_with_ones()),
        ;
        /// Added to the variance, so that a constant channel does not divide by zero.
        epsilon = 1e-5,
        /// Share of the new batch in the running statistics.
        momentum = 0.1,
    }
}

impl<const C: usize, D: LayerDevice> BatchNorm2D<C, f32, D> {
    fn parameters(&self) -> NormParameters<D> {
        NormParameters {
            scale: run_time_sizes(self.scale.clone()),
            bias: run_time_sizes(self.bias.clone()),
            epsilon: self.epsilon as f32,
        }
    }

    /// Moves the running statistics towards those of a batch of `count` values per channel.
    fn try_update(&mut self, batch: &ChannelStatistics<D>, count: usize) -> Result<(), D::Err> {
        let keep = 1.0 - self.momentum;
        // The batch was normalised by the biased variance; PyTorch keeps the unbiased one.
        let unbiased = count as f64 / (count as f64 - 1.0);
        for (running, new, share) in [
            (&mut self.running_mean, &batch.mean, self.momentum),
            (
                &mut self.running_var,
                &batch.variance,
                self.momentum * unbiased,
            ),
        ] {
            running.try_axpy(keep, &known_sizes(new.clone()), share)?;
        }
        Ok(())
    }
}

/// The inverse of [`run_time_sizes`].
fn known_sizes<const C: usize, D: LayerDevice>(
    channels: super::device::Channels<D>,
) -> Tensor<Rank1<C>, f32, D> {
    let Ok(channels) = channels.try_realize() else {
        unreachable!("a batch norm has as many statistics as channels")
    };
    channels
}

impl<const C: usize, D: LayerDevice> Forward<Images<C, D>> for BatchNorm2D<C, f32, D> {
    type Output = Images<C, D>;

    fn eval(&self, x: Images<C, D>) -> Images<C, D> {
        x.layer(self, |flow| {
            let running = ChannelStatistics {
                mean: run_time_sizes(self.running_mean.clone()),
                variance: run_time_sizes(self.running_var.clone()),
            };
            flow.batch_norm2d_eval(self.parameters(), running)
        })
    }

    fn train(&mut self, x: Images<C, D>) -> Images<C, D> {
        let flow = x.into_flow();
        Images::from_flow(
            flow.batch_norm2d_train(self.parameters(), |statistics, count| {
                self.try_update(statistics, count)
            }),
        )
    }
}

impl<const C: usize, B: Dim, H: Dim, W: Dim, D: LayerDevice, T: Tape<f32, D>>
    Module<Tensor<(B, Const<C>, H, W), f32, D, T>> for BatchNorm2D<C, f32, D>
{
    type Output = Tensor<(B, Const<C>, H, W), f32, D, T>;
    type Error = D::Err;

    fn try_forward(
        &self,
        x: Tensor<(B, Const<C>, H, W), f32, D, T>,
    ) -> Result<Self::Output, D::Err> {
        run_any(x, |flow| self.eval(Images::from_flow(flow)).into_flow())
    }

    fn forward(&self, x: Tensor<(B, Const<C>, H, W), f32, D, T>) -> Self::Output {
        or_panic(|| self.try_forward(x))
    }
}

impl<const C: usize, B: Dim, H: Dim, W: Dim, D: LayerDevice, T: Tape<f32, D>>
    ModuleMut<Tensor<(B, Const<C>, H, W), f32, D, T>> for BatchNorm2D<C, f32, D>
{
    type Output = Tensor<(B, Const<C>, H, W), f32, D, T>;
    type Error = D::Err;

    fn try_forward_mut(
        &mut self,
        x: Tensor<(B, Const<C>, H, W), f32, D, T>,
    ) -> Result<Self::Output, D::Err> {
        run_any(x, |flow| self.train(Images::from_flow(flow)).into_flow())
    }

    fn forward_mut(&mut self, x: Tensor<(B, Const<C>, H, W), f32, D, T>) -> Self::Output {
        or_panic(|| self.try_forward_mut(x))
    }
}

impl<const C: usize, E: Dtype, D: Storage<E>> Summarize for BatchNorm2D<C, E, D> {
    fn summarize(&self, input: &[usize]) -> Result<LayerSummary, SummaryError> {
        batch_norm_2d(input, C)
    }
}
