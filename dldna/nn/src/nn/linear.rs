//! The linear layer.

use super::conv2d::try_fill_default;
use super::device::LayerDevice;
use super::forward::{Flowing, Forward, Vectors};
use super::layer::layer;
use super::run::{run, run_time_sizes};
use crate::summary::layers::linear;
use crate::summary::{LayerSummary, Summarize, SummaryError};
use dfdx::prelude::*;

layer! {
    /// `weight x + bias`: `(batch, I)` to `(batch, O)`, and the same for single vectors `(I,)` and for sequences of them,
    /// `(batch, length, I)`.
    ///
    /// Weight `(O, I)` and bias start uniform in `±1 / sqrt(I)`, as in PyTorch.
    ///
    /// PyTorch: `torch.nn.Linear(I, O)`.
    ///
    /// ```
    /// use dldna_nn::prelude::*;
    /// let dev = Cpu::seed_from_u64(0);
    /// let layer = dev.build_module::<Linear<784, 10>, f32>();
    /// let y = layer.forward(dev.zeros_like(&(32, Const::<784>)));
    /// assert_eq!(*y.shape(), (32, Const::<10>));
    /// ```
    pub struct Linear<const I, const O> {
        /// One row for each output.
        weight: Rank2<O, I> = TensorOptions::reset_with(|weight| try_fill_default(weight, I)),
        /// Added to each output.
        bias: Rank1<O> = TensorOptions::reset_with(|bias| try_fill_default(bias, I)),
    }
}

impl<const I: usize, const O: usize, D: LayerDevice> Forward<Vectors<I, D>>
    for Linear<I, O, f32, D>
{
    type Output = Vectors<O, D>;

    fn eval(&self, x: Vectors<I, D>) -> Vectors<O, D> {
        x.layer(self, |flow| {
            let weight = run_time_sizes(self.weight.clone());
            let bias = run_time_sizes(self.bias.clone());
            flow.apply(|x| D::linear(x, weight, Some(bias)))
        })
    }

    fn train(&mut self, x: Vectors<I, D>) -> Vectors<O, D> {
        self.eval(x)
    }
}

impl<const I: usize, const O: usize, D: Storage<f32>> NonMutableModule for Linear<I, O, f32, D> {}

impl<const I: usize, const O: usize, B: Dim, D: LayerDevice, T: Tape<f32, D>>
    Module<Tensor<(B, Const<I>), f32, D, T>> for Linear<I, O, f32, D>
{
    type Output = Tensor<(B, Const<O>), f32, D, T>;
    type Error = D::Err;

    fn try_forward(&self, x: Tensor<(B, Const<I>), f32, D, T>) -> Result<Self::Output, D::Err> {
        run(x, |x| self.eval(x))
    }
}

impl<const I: usize, const O: usize, D: LayerDevice, T: Tape<f32, D>>
    Module<Tensor<(Const<I>,), f32, D, T>> for Linear<I, O, f32, D>
{
    type Output = Tensor<(Const<O>,), f32, D, T>;
    type Error = D::Err;

    fn try_forward(&self, x: Tensor<(Const<I>,), f32, D, T>) -> Result<Self::Output, D::Err> {
        let row = x.try_reshape_like(&(Const::<1>, Const::<I>))?;
        self.try_forward(row)?.try_reshape_like(&(Const,))
    }
}

impl<const I: usize, const O: usize, B: Dim, S: Dim, D: LayerDevice, T: Tape<f32, D>>
    Module<Tensor<(B, S, Const<I>), f32, D, T>> for Linear<I, O, f32, D>
{
    type Output = Tensor<(B, S, Const<O>), f32, D, T>;
    type Error = D::Err;

    fn try_forward(&self, x: Tensor<(B, S, Const<I>), f32, D, T>) -> Result<Self::Output, D::Err> {
        let &(batch, length, _) = x.shape();
        let rows = x.try_reshape_like(&(batch.size() * length.size(), Const::<I>))?;
        self.try_forward(rows)?
            .try_reshape_like(&(batch, length, Const))
    }
}

impl<const I: usize, const O: usize, E: Dtype, D: Storage<E>> Summarize for Linear<I, O, E, D> {
    fn summarize(&self, input: &[usize]) -> Result<LayerSummary, SummaryError> {
        linear(format!("Linear {I} -> {O}"), input, [I, O], I * O + O)
    }
}
