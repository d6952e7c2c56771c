//! Batch normalisation of images.

use super::device::{ChannelStatistics, LayerDevice};
use dfdx::prelude::*;

/// What networks are written with: types without data.
pub mod builder {
    /// Normalises each of `C` channels of `(batch, C, height, width)`, then scales and shifts it.
    ///
    /// `forward_mut` on a traced tensor trains: it uses the batch's own mean and variance, and moves the running
    /// ones towards them. `forward` on an untraced tensor evaluates with the running ones.
    /// The numbers are PyTorch's: epsilon 1e-5, momentum 0.1, unbiased running variance.
    ///
    /// PyTorch: `torch.nn.BatchNorm2d(C)`. Ioffe and Szegedy, *Batch Normalization*, 2015.
    ///
    /// ```
    /// use dldna::prelude::*;
    /// let dev = Cpu::seed_from_u64(0);
    /// let mut norm = dev.build_module::<BatchNorm2D<3>, f32>();
    /// let x = dev.sample_normal_like(&(8, Const::<3>, 4, 4)) * 5.0;
    /// let y = norm.forward_mut(x.leaky_traced());
    /// let deviation = y.stddev::<Rank1<3>, Axes3<0, 2, 3>>(0.0).array();
    /// assert!(deviation.iter().all(|d| (d - 1.0).abs() < 1e-3));
    /// ```
    #[derive(Debug, Clone, Copy, Default)]
    pub struct BatchNorm2D<const C: usize>;
}

/// [`builder::BatchNorm2D`], built on a device.
#[derive(Debug, Clone)]
pub struct BatchNorm2D<const C: usize, E: Dtype, D: Storage<E>> {
    /// Multiplied with each normalised channel (PyTorch: `weight`).
    pub scale: Tensor<Rank1<C>, E, D>,
    /// Added to each channel afterwards.
    pub bias: Tensor<Rank1<C>, E, D>,
    /// Mean of each channel over the batches seen in training.
    pub running_mean: Tensor<Rank1<C>, E, D>,
    /// Variance of each channel over the batches seen in training.
    pub running_var: Tensor<Rank1<C>, E, D>,
    /// Added to the variance, so that a constant channel does not divide by zero.
    pub epsilon: f64,
    /// Share of the new batch in the running statistics.
    pub momentum: f64,
}

impl<const C: usize, E: Dtype, D: Device<E>> BuildOnDevice<D, E> for builder::BatchNorm2D<C>
where
    BatchNorm2D<C, E, D>: BuildModule<D, E>,
{
    type Built = BatchNorm2D<C, E, D>;
}

impl<const C: usize, D: LayerDevice> BatchNorm2D<C, f32, D> {
    /// Moves the running statistics towards those of a batch of `count` values per channel.
    pub(super) fn try_update(
        &mut self,
        batch: &ChannelStatistics<C, D>,
        count: usize,
    ) -> Result<(), D::Err> {
        let keep = 1.0 - self.momentum;
        self.running_mean
            .try_axpy(keep, &batch.mean, self.momentum)?;
        // The batch was normalised by the biased variance; PyTorch keeps the unbiased one.
        let unbiased = count as f64 / (count as f64 - 1.0);
        self.running_var
            .try_axpy(keep, &batch.variance, self.momentum * unbiased)
    }
}

impl<const C: usize, B: Dim, H: Dim, W: Dim, D: LayerDevice>
    Module<Tensor<(B, Const<C>, H, W), f32, D, NoneTape>> for BatchNorm2D<C, f32, D>
{
    type Output = Tensor<(B, Const<C>, H, W), f32, D, NoneTape>;
    type Error = D::Err;

    fn try_forward(
        &self,
        input: Tensor<(B, Const<C>, H, W), f32, D, NoneTape>,
    ) -> Result<Self::Output, D::Err> {
        let running = ChannelStatistics {
            mean: self.running_mean.clone(),
            variance: self.running_var.clone(),
        };
        D::batch_norm2d_eval(input, running, &self.scale, &self.bias, self.epsilon as f32)
    }
}

impl<const C: usize, B: Dim, H: Dim, W: Dim, D: LayerDevice>
    ModuleMut<Tensor<(B, Const<C>, H, W), f32, D, OwnedTape<f32, D>>> for BatchNorm2D<C, f32, D>
{
    type Output = Tensor<(B, Const<C>, H, W), f32, D, OwnedTape<f32, D>>;
    type Error = D::Err;

    fn try_forward_mut(
        &mut self,
        input: Tensor<(B, Const<C>, H, W), f32, D, OwnedTape<f32, D>>,
    ) -> Result<Self::Output, D::Err> {
        let &(batch, _, height, width) = input.shape();
        let count = batch.size() * height.size() * width.size();
        let (output, statistics) =
            D::batch_norm2d_train(input, &self.scale, &self.bias, self.epsilon as f32)?;
        self.try_update(&statistics, count)?;
        Ok(output)
    }
}

impl<const C: usize, E: Dtype, D: Device<E>> TensorCollection<E, D> for BatchNorm2D<C, E, D> {
    type To<E2: Dtype, D2: Device<E2>> = BatchNorm2D<C, E2, D2>;

    fn iter_tensors<V: ModuleVisitor<Self, E, D>>(
        visitor: &mut V,
    ) -> Result<Option<Self::To<V::E2, V::D2>>, V::Err> {
        visitor.visit_fields(
            (
                Self::tensor(
                    "scale",
                    |norm| &norm.scale,
                    |norm| &mut norm.scale,
                    TensorOptions::reset_to_ones(),
                ),
                Self::tensor(
                    "bias",
                    |norm| &norm.bias,
                    |norm| &mut norm.bias,
                    TensorOptions::reset_to_zeros(),
                ),
                Self::tensor(
                    "running_mean",
                    |norm| &norm.running_mean,
                    |norm| &mut norm.running_mean,
                    TensorOptions::detached(|mean| mean.try_fill_with_zeros()),
                ),
                Self::tensor(
                    "running_var",
                    |norm| &norm.running_var,
                    |norm| &mut norm.running_var,
                    TensorOptions::detached(|variance| variance.try_fill_with_ones()),
                ),
                Self::scalar(
                    "epsilon",
                    |norm| &norm.epsilon,
                    |norm| &mut norm.epsilon,
                    ScalarOptions::from_default(1e-5),
                ),
                Self::scalar(
                    "momentum",
                    |norm| &norm.momentum,
                    |norm| &mut norm.momentum,
                    ScalarOptions::from_default(0.1),
                ),
            ),
            |(scale, bias, running_mean, running_var, epsilon, momentum)| BatchNorm2D {
                scale,
                bias,
                running_mean,
                running_var,
                epsilon,
                momentum,
            },
        )
    }
}
