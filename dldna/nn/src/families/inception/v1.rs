//! The first module: four branches, each convolution with a bias.

use crate::network;
use crate::nn::{BiasedConv2D, Element, Layer, MaxPool2D, cat, relu};
use dfdx::prelude::{BuildOnDevice, Device, Dtype, Storage};

network! {
    /// Four branches side by side, each convolution with a bias and a ReLU:
    ///
    /// | branch | layers | channels |
    /// |---|---|---|
    /// | 1x1 | 1x1 | `C1` |
    /// | 3x3 | 1x1 to `R3`, 3x3 | `C3` |
    /// | 5x5 | 1x1 to `R5`, 5x5 | `C5` |
    /// | pool | 3x3 max pooling, 1x1 | `CP` |
    ///
    /// `(batch, IN, height, width)` to `(batch, OUT, height, width)`. Szegedy et al. 2014, figure 2b.
    /// `OUT` has to be `C1 + C3 + C5 + CP`, or it does not compile:
    ///
    /// ```
    /// use dldna_nn::{inception::Inception, prelude::*};
    /// let dev = Cpu::default();
    /// let module = dev.build_module::<Inception<3, 2, 1, 4, 1, 2, 1, 9>, f32>();
    /// module.forward(dev.zeros_like(&(1, Const::<3>, 5, 5)));
    /// ```
    ///
    /// ```compile_fail
    /// use dldna_nn::{inception::Inception, prelude::*};
    /// let dev = Cpu::default();
    /// let module = dev.build_module::<Inception<3, 2, 1, 4, 1, 2, 1, 10>, f32>();
    /// module.forward(dev.zeros_like(&(1, Const::<3>, 5, 5))); // the branches: 9 channels, but the type says 10
    /// ```
    pub struct Inception<
        const IN: usize,
        const C1: usize, const R3: usize, const C3: usize, const R5: usize, const C5: usize, const CP: usize,
        const OUT: usize
    > {
        branch1x1: BiasedConv2D<IN, C1, 1>,
        branch3x3_reduce: BiasedConv2D<IN, R3, 1>,
        branch3x3: BiasedConv2D<R3, C3, 3, 1, 1>,
        branch5x5_reduce: BiasedConv2D<IN, R5, 1>,
        branch5x5: BiasedConv2D<R5, C5, 5, 1, 2>,
        pool: MaxPool2D<3, 1, 1>,
        branch_pool_proj: BiasedConv2D<IN, CP, 1>,
    }
    forward(x: Images<IN>) -> Images<OUT> {
        let one = relu(branch1x1(x.clone()));
        let three = relu(branch3x3(relu(branch3x3_reduce(x.clone()))));
        let five = relu(branch5x5(relu(branch5x5_reduce(x.clone()))));
        let pool = relu(branch_pool_proj(pool(x)));
        cat((one, three, five, pool))
    }
}

/// [`Inception`] of any widths, with the sum written out.
pub use Inception as InceptionModule;

/// [`Inception`] that knows the sum of its branches: `(batch, IN, height, width)` to
/// `(batch, C1 + C3 + C5 + CP, height, width)`.
///
/// Stable Rust cannot add the numbers of a type. This name knows the sums of the modules of the paper's table 1 and
/// of a few small ones.
#[derive(Debug, Clone, Copy, Default)]
pub struct InceptionV1<
    const IN: usize,
    const C1: usize,
    const R3: usize,
    const C3: usize,
    const R5: usize,
    const C5: usize,
    const CP: usize,
>;

macro_rules! inceptions {
    ($($c1:literal $c3:literal $c5:literal $cp:literal),+ $(,)?) => {$(
        impl<const IN: usize, const R3: usize, const R5: usize> Layer
            for InceptionV1<IN, $c1, R3, $c3, R5, $c5, $cp>
        {
            type On<E: Dtype, D: Storage<E>> =
                Inception<IN, $c1, R3, $c3, R5, $c5, $cp, { $c1 + $c3 + $c5 + $cp }, E, D>;
        }

        impl<const IN: usize, const R3: usize, const R5: usize, E: Element, D: Device<E>> BuildOnDevice<D, E>
            for InceptionV1<IN, $c1, R3, $c3, R5, $c5, $cp>
        {
            type Built = <Self as Layer>::On<E, D>;
        }
    )+};
}

// Table 1 of the paper, 3a to 5b.
inceptions!(
    64 128 32 32, 128 192 96 64, 192 208 48 64, 160 224 64 64, 128 256 64 64,
    112 288 64 64, 256 320 128 128, 384 384 128 128,
);
// Small ones, to try things with.
inceptions!(
    4 5 4 3, 4 4 4 4, 8 8 8 8, 16 16 16 16, 32 32 32 32, 8 16 4 4, 16 32 8 8, 32 64 16 16,
);
