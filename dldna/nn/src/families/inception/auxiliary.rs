//! A second classifier in the middle of a network, for training only.

use super::ConvNorm;
use crate::nn::{AvgPool2D, Flatten, Linear, ReLU};
use crate::summary::{LayerSummary, Summarize, SummaryError};
use dfdx::prelude::*;

/// GoogLeNet's auxiliary classifier: 5x5 average pooling of stride 3, a 1x1 convolution to 128 channels, and two linear
/// layers. `(batch, IN, height, width)` to `(batch, CLASSES)`.
///
/// `FEATURES` is 128 times the pixels after the pooling: 128 x 4 x 4 = 2,048 for feature maps of 14x14 pixels, the size
/// at which GoogLeNet has its two. As in v2 and v3 there is a batch norm; GoogLeNet has a dropout of 70% before the last
/// layer instead. Szegedy et al. 2014, section 5.
///
/// ```
/// use dldna_nn::{inception::AuxiliaryHead, prelude::*};
/// let dev = Cpu::seed_from_u64(0);
/// let head = dev.build_module::<AuxiliaryHead<512, 2048, 10>, f32>();
/// let logits = head.forward(dev.zeros_like(&(2, Const::<512>, 14, 14)));
/// assert_eq!(*logits.shape(), (2, Const::<10>));
/// ```
pub type AuxiliaryHead<const IN: usize, const FEATURES: usize, const CLASSES: usize> = (
    AvgPool2D<5, 3>,
    ConvNorm<IN, 128, 1>,
    Flatten<FEATURES>,
    (Linear<FEATURES, 1024>, ReLU),
    Linear<1024, CLASSES>,
);

/// Two classifiers on the same features. In training it gives the results of both, `(main, head)`; in evaluation only
/// `main` runs. [`train`](crate::train::train) adds the loss of `head` with weight 0.3.
///
/// ```
/// use dldna_nn::{inception::WithAuxiliary, prelude::*};
/// let dev = Cpu::seed_from_u64(0);
/// let mut end = dev.build_module::<WithAuxiliary<Linear<8, 2>, Linear<8, 2>>, f32>();
/// let x = dev.sample_normal::<Rank2<4, 8>>();
/// let (main, _head) = end.forward_mut(x.leaky_trace());
/// assert_eq!(main.as_vec(), end.forward(x).as_vec());
/// ```
#[derive(Debug, Clone, Copy, Default)]
pub struct WithAuxiliary<Main, Head> {
    /// What the network is for.
    pub main: Main,
    /// What helps it to learn.
    pub head: Head,
}

impl<Main: BuildOnDevice<D, E>, Head: BuildOnDevice<D, E>, E: Dtype, D: Device<E>>
    BuildOnDevice<D, E> for WithAuxiliary<Main, Head>
{
    type Built = WithAuxiliary<Main::Built, Head::Built>;
}

impl<Main: TensorCollection<E, D>, Head: TensorCollection<E, D>, E: Dtype, D: Device<E>>
    TensorCollection<E, D> for WithAuxiliary<Main, Head>
{
    type To<E2: Dtype, D2: Device<E2>> = WithAuxiliary<Main::To<E2, D2>, Head::To<E2, D2>>;

    fn iter_tensors<V: ModuleVisitor<Self, E, D>>(
        visitor: &mut V,
    ) -> Result<Option<Self::To<V::E2, V::D2>>, V::Err> {
        visitor.visit_fields(
            (
                Self::module("main", |m| &m.main, |m| &mut m.main),
                Self::module("head", |m| &m.head, |m| &mut m.head),
            ),
            |(main, head)| WithAuxiliary { main, head },
        )
    }
}

impl<X, Main: Module<X>, Head> Module<X> for WithAuxiliary<Main, Head> {
    type Output = Main::Output;
    type Error = Main::Error;

    fn try_forward(&self, x: X) -> Result<Main::Output, Main::Error> {
        self.main.try_forward(x)
    }
}

impl<X: WithEmptyTape, Main: ModuleMut<X>, Head: ModuleMut<X, Error = Main::Error>> ModuleMut<X>
    for WithAuxiliary<Main, Head>
{
    type Output = (Main::Output, Head::Output);
    type Error = Main::Error;

    fn try_forward_mut(&mut self, x: X) -> Result<Self::Output, Main::Error> {
        let head = self.head.try_forward_mut(x.with_empty_tape())?;
        Ok((self.main.try_forward_mut(x)?, head))
    }
}

impl<Main: Summarize, Head: Summarize> Summarize for WithAuxiliary<Main, Head> {
    fn summarize(&self, input: &[usize]) -> Result<LayerSummary, SummaryError> {
        LayerSummary::group("WithAuxiliary", input)
            .then("main", &self.main)?
            .aside("head", &self.head, input)
    }
}
