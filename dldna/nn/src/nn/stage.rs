//! Blocks of one kind in a row.

use super::error::or_panic;
use super::forward::{Flowing, Forward, Layer, eval_layer};
use crate::summary::{LayerSummary, Summarize, SummaryError};
use dfdx::prelude::*;

/// `First`, then `BLOCKS - 1` times `Next`: a stage of a network.
///
/// ```
/// use dldna_nn::nn::Stage;
/// use dldna_nn::prelude::*;
/// let dev = Cpu::seed_from_u64(0);
/// let stage = dev.build_module::<Stage<Conv2D<1, 4, 3>, Conv2D<4, 4, 3>, 3>, f32>();
/// assert_eq!(stage.rest.len(), 2);
/// assert_eq!(*stage.forward(dev.zeros_like(&(1, Const::<1>, 9, 9))).shape(), (1, Const::<4>, 3, 3));
/// ```
#[derive(Debug, Clone)]
pub struct Stage<First, Next, const BLOCKS: usize> {
    /// Changes channels and size.
    pub first: First,
    /// `BLOCKS - 1` blocks that keep channels and size.
    pub rest: Vec<Next>,
}

impl<
    E: Dtype,
    D: Device<E>,
    First: BuildOnDevice<D, E>,
    Next: BuildOnDevice<D, E>,
    const BLOCKS: usize,
> BuildOnDevice<D, E> for Stage<First, Next, BLOCKS>
{
    type Built = Stage<First::Built, Next::Built, BLOCKS>;
}

impl<
    E: Dtype,
    D: Device<E>,
    First: TensorCollection<E, D>,
    Next: TensorCollection<E, D>,
    const BLOCKS: usize,
> TensorCollection<E, D> for Stage<First, Next, BLOCKS>
{
    type To<E2: Dtype, D2: Device<E2>> = Stage<First::To<E2, D2>, Next::To<E2, D2>, BLOCKS>;

    fn iter_tensors<V: ModuleVisitor<Self, E, D>>(
        visitor: &mut V,
    ) -> Result<Option<Self::To<V::E2, V::D2>>, V::Err> {
        let first = visitor.visit_module("0", |stage| &stage.first, |stage| &mut stage.first)?;
        let rest = (1..BLOCKS).map(|block| {
            visitor.visit_module(
                &block.to_string(),
                |stage| &stage.rest[block - 1],
                |stage| &mut stage.rest[block - 1],
            )
        });
        let rest: Vec<Option<_>> = rest.collect::<Result<_, _>>()?;
        let rest: Option<Vec<_>> = rest.into_iter().collect();
        Ok(first.zip(rest).map(|(first, rest)| Stage { first, rest }))
    }
}

impl<
    X,
    First: Module<X>,
    Next: Module<First::Output, Output = First::Output, Error = First::Error>,
    const BLOCKS: usize,
> Module<X> for Stage<First, Next, BLOCKS>
{
    type Output = First::Output;
    type Error = First::Error;

    fn try_forward(&self, x: X) -> Result<Self::Output, Self::Error> {
        let x = self.first.try_forward(x)?;
        self.rest
            .iter()
            .try_fold(x, |x, block| block.try_forward(x))
    }

    fn forward(&self, x: X) -> Self::Output {
        or_panic(|| self.try_forward(x))
    }
}

impl<
    X,
    First: ModuleMut<X>,
    Next: ModuleMut<First::Output, Output = First::Output, Error = First::Error>,
    const BLOCKS: usize,
> ModuleMut<X> for Stage<First, Next, BLOCKS>
{
    type Output = First::Output;
    type Error = First::Error;

    fn try_forward_mut(&mut self, x: X) -> Result<Self::Output, Self::Error> {
        let x = self.first.try_forward_mut(x)?;
        self.rest
            .iter_mut()
            .try_fold(x, |x, block| block.try_forward_mut(x))
    }

    fn forward_mut(&mut self, x: X) -> Self::Output {
        or_panic(|| self.try_forward_mut(x))
    }
}

impl<First: Summarize, Next: Summarize, const BLOCKS: usize> Summarize
    for Stage<First, Next, BLOCKS>
{
    fn summarize(&self, input: &[usize]) -> Result<LayerSummary, SummaryError> {
        let mut stage = LayerSummary::group("Stage", input).then("0", &self.first)?;
        for (block, next) in self.rest.iter().enumerate() {
            stage = stage.then(&(block + 1).to_string(), next)?;
        }
        Ok(stage)
    }
}

impl<First: Layer, Next: Layer, const BLOCKS: usize> Layer for Stage<First, Next, BLOCKS> {
    type On<E: Dtype, D: Storage<E>> = Stage<First::On<E, D>, Next::On<E, D>, BLOCKS>;
}

impl<X: Flowing, First, Next, const BLOCKS: usize> Forward<X> for Stage<First, Next, BLOCKS>
where
    First: Forward<X, Output: Flowing<Device = X::Device>>,
    Next: Forward<First::Output, Output = First::Output>,
{
    type Output = First::Output;

    fn eval(&self, x: X) -> First::Output {
        x.group("Stage", |x| {
            let x = eval_layer(&self.first, "0", x);
            let rest = self.rest.iter().zip(1..);
            rest.fold(x, |x, (block, index)| {
                eval_layer(block, &index.to_string(), x)
            })
        })
    }

    fn train(&mut self, x: X) -> First::Output {
        let x = self.first.train(x);
        self.rest.iter_mut().fold(x, |x, block| block.train(x))
    }
}
