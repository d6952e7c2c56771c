//! The modules of Inception v2 and v3, with batch norm, and with large windows made of small ones.

use crate::network;
use crate::nn::{AvgPool2D, BatchNorm2D, ConvNorm, MaxPool2D, ReLU, RectangularConv2D, cat};

/// A 1 x `N` convolution and an `N` x 1 one, each with batch norm and ReLU, that see together what one `N` x `N`
/// convolution sees: `2 / N` of its work where `IN` and `OUT` are equal. `PADDING` is `(N - 1) / 2`, to keep the size.
///
/// `(batch, IN, height, width)` to `(batch, OUT, height, width)`. Szegedy et al. 2015, *Rethinking the Inception
/// Architecture for Computer Vision*, section 3.2.
///
/// ```
/// use dldna_nn::{inception::AsymmetricConv, prelude::*};
/// let dev = Cpu::seed_from_u64(0);
/// let pair = dev.build_module::<AsymmetricConv<8, 8, 7, 3>, f32>();
/// let work = Summary::of(&pair, &[1, 8, 17, 17])?.multiply_adds();
/// assert_eq!(work, 2 * 7 * 8 * 8 * 17 * 17); // a 7x7 convolution has 49 in place of 2 * 7
/// # Ok::<(), dldna_nn::summary::SummaryError>(())
/// ```
pub type AsymmetricConv<const IN: usize, const OUT: usize, const N: usize, const PADDING: usize> = (
    (
        RectangularConv2D<IN, OUT, 1, N, 1, 0, PADDING>,
        BatchNorm2D<OUT>,
        ReLU,
    ),
    (
        RectangularConv2D<OUT, OUT, N, 1, 1, PADDING, 0>,
        BatchNorm2D<OUT>,
        ReLU,
    ),
);

network! {
    /// [`Inception`](super::Inception) with a batch norm after each convolution.
    ///
    /// `(batch, IN, height, width)` to `(batch, OUT, height, width)`, where `OUT` has to be `C1 + C3 + C5 + CP`.
    /// Ioffe and Szegedy, *Batch Normalization*, 2015.
    ///
    /// ```
    /// use dldna_nn::{inception::BatchNormInception, prelude::*};
    /// let dev = Cpu::seed_from_u64(0);
    /// let module = dev.build_module::<BatchNormInception<192, 64, 96, 128, 16, 32, 32, 256>, f32>();
    /// let y = module.forward(dev.zeros_like(&(1, Const::<192>, 28, 28)));
    /// assert_eq!(*y.shape(), (1, Const::<256>, 28, 28));
    /// ```
    pub struct BatchNormInception<
        const IN: usize,
        const C1: usize, const R3: usize, const C3: usize, const R5: usize, const C5: usize, const CP: usize,
        const OUT: usize
    > {
        branch1x1: ConvNorm<IN, C1, 1>,
        branch3x3: (ConvNorm<IN, R3, 1>, ConvNorm<R3, C3, 3, 1, 1>),
        branch5x5: (ConvNorm<IN, R5, 1>, ConvNorm<R5, C5, 5, 1, 2>),
        branch_pool: (MaxPool2D<3, 1, 1>, ConvNorm<IN, CP, 1>),
    }
    forward(x: Images<IN>) -> Images<OUT> {
        cat((branch1x1(x.clone()), branch3x3(x.clone()), branch5x5(x.clone()), branch_pool(x)))
    }
}

network! {
    /// [`BatchNormInception`] with two 3x3 convolutions in place of the 5x5 one, and average pooling.
    ///
    /// `(batch, IN, height, width)` to `(batch, OUT, height, width)`, where `OUT` has to be `C1 + C3 + C5 + CP`.
    /// Szegedy et al. 2015, *Rethinking the Inception Architecture*, figure 5. (The paper does not say which pooling it is.
    /// In torchvision's `inception_v3` it is the mean.)
    ///
    /// ```
    /// use dldna_nn::{inception::FactorizedInception, prelude::*};
    /// let dev = Cpu::seed_from_u64(0);
    /// let module = dev.build_module::<FactorizedInception<192, 64, 96, 128, 16, 32, 32, 256>, f32>();
    /// let y = module.forward(dev.zeros_like(&(1, Const::<192>, 28, 28)));
    /// assert_eq!(*y.shape(), (1, Const::<256>, 28, 28));
    /// ```
    pub struct FactorizedInception<
        const IN: usize,
        const C1: usize, const R3: usize, const C3: usize, const R5: usize, const C5: usize, const CP: usize,
        const OUT: usize
    > {
        branch1x1: ConvNorm<IN, C1, 1>,
        branch3x3: (ConvNorm<IN, R3, 1>, ConvNorm<R3, C3, 3, 1, 1>),
        branch5x5: (ConvNorm<IN, R5, 1>, ConvNorm<R5, C5, 3, 1, 1>, ConvNorm<C5, C5, 3, 1, 1>),
        branch_pool: (AvgPool2D<3, 1, 1>, ConvNorm<IN, CP, 1>),
    }
    forward(x: Images<IN>) -> Images<OUT> {
        cat((branch1x1(x.clone()), branch3x3(x.clone()), branch5x5(x.clone()), branch_pool(x)))
    }
}

network! {
    /// [`FactorizedInception`] with an [`AsymmetricConv`] of size `N` in place of each 3x3 convolution.
    ///
    /// `(batch, IN, height, width)` to `(batch, OUT, height, width)`, where `OUT` has to be `C1 + C3 + C5 + CP`, and
    /// `PADDING` is `(N - 1) / 2`. Szegedy et al. 2015, *Rethinking the Inception Architecture*, figure 6; they use `N = 7`
    /// on 17x17 pixels.
    ///
    /// ```
    /// use dldna_nn::{inception::AsymmetricInception, prelude::*};
    /// let dev = Cpu::seed_from_u64(0);
    /// let module = dev.build_module::<AsymmetricInception<96, 16, 16, 24, 16, 24, 8, 72, 7, 3>, f32>();
    /// let y = module.forward(dev.zeros_like(&(1, Const::<96>, 17, 17)));
    /// assert_eq!(*y.shape(), (1, Const::<72>, 17, 17));
    /// ```
    pub struct AsymmetricInception<
        const IN: usize,
        const C1: usize, const R3: usize, const C3: usize, const R5: usize, const C5: usize, const CP: usize,
        const OUT: usize, const N: usize = 3, const PADDING: usize = 1
    > {
        branch1x1: ConvNorm<IN, C1, 1>,
        branch3x3: (ConvNorm<IN, R3, 1>, AsymmetricConv<R3, C3, N, PADDING>),
        branch5x5: (ConvNorm<IN, R5, 1>, AsymmetricConv<R5, C5, N, PADDING>, AsymmetricConv<C5, C5, N, PADDING>),
        branch_pool: (AvgPool2D<3, 1, 1>, ConvNorm<IN, CP, 1>),
    }
    forward(x: Images<IN>) -> Images<OUT> {
        cat((branch1x1(x.clone()), branch3x3(x.clone()), branch5x5(x.clone()), branch_pool(x)))
    }
}
