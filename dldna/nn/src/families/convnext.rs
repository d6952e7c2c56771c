//! ConvNeXt: Liu et al., *A ConvNet for the 2020s*, 2022.
//!
//! A residual network rebuilt step by step from the parts of its time, until it met the vision transformers of 2021 on
//! their own ground. Its block is here.
//!
//! ```
//! use dldna_nn::{convnext::ConvNeXtBlock, prelude::*};
//!
//! let dev = Cpu::seed_from_u64(0);
//! let block = dev.build_module::<ConvNeXtBlock<96, 384>, f32>();
//! let y = block.forward(dev.zeros_like(&(1, Const::<96>, 7, 7)));
//! assert_eq!(*y.shape(), (1, Const::<96>, 7, 7));
//! ```

use crate::network;
use crate::nn::{BiasedConv2D, DepthwiseConv2D, LayerNorm2D, LayerScale, gelu};
use dfdx::nn::builders::Bias2D;

network! {
    /// `x + layer_scale F(x)`: `(batch, C, height, width)` to the same shape. Liu et al. 2022, figure 4, right.
    ///
    /// | step of `F` | what | channels |
    /// |---|---|---|
    /// | depthwise | 7x7 convolution of each channel by itself, with a bias | `C` |
    /// | norm | layer norm of each pixel over its channels | `C` |
    /// | expand | 1x1 convolution, GELU | to `HIDDEN` |
    /// | project | 1x1 convolution | to `C` |
    ///
    /// In the paper `HIDDEN` is `4 C`, which stable Rust cannot compute in a type. `layer_scale` has a factor for each
    /// channel and begins at 1e-6: at first the block does nothing.
    ///
    /// ```
    /// use dldna_nn::{convnext::ConvNeXtBlock, prelude::*};
    /// let dev = Cpu::seed_from_u64(0);
    /// let block = dev.build_module::<ConvNeXtBlock<8, 32>, f32>();
    /// let x = dev.sample_normal_like(&(1, Const::<8>, 5, 5));
    /// let change = block.forward(x.clone()) - x.try_realize::<(usize, Const<8>, usize, usize)>().unwrap();
    /// assert!(change.as_vec().iter().all(|change| change.abs() < 1e-4));
    /// ```
    pub struct ConvNeXtBlock<const C: usize, const HIDDEN: usize> {
        depthwise: DepthwiseConv2D<C, 7, 1, 3>,
        depthwise_bias: Bias2D<C>,
        norm: LayerNorm2D<C>,
        expand: BiasedConv2D<C, HIDDEN, 1>,
        project: BiasedConv2D<HIDDEN, C, 1>,
        layer_scale: LayerScale<C>,
    }
    forward(x: Images<C>) -> Images<C> {
        let y = norm(depthwise_bias(depthwise(x.clone())));
        layer_scale(project(gelu(expand(y)))) + x
    }
}

/// The networks once built on a device: the same types.
pub mod modules {
    pub use super::ConvNeXtBlock;
}
