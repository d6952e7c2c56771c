//! Average pooling to a given size.

use super::separable::separable_layer;
use crate::kernels::separable::LinearMap;

separable_layer! {
    /// Means of as many windows as the result has pixels: `(batch, channel, height, width)` to `(batch, channel, H, W)` for
    /// images of any size. Row `y` of the result is the mean of the rows from `floor(y height / H)` to before
    /// `ceil((y + 1) height / H)`, and the same for the columns.
    ///
    /// PyTorch: `torch.nn.AdaptiveAvgPool2d((H, W))`. For a single pixel there is [`AvgPoolGlobal`](super::AvgPoolGlobal).
    ///
    /// ```
    /// use dldna_nn::prelude::*;
    /// let x = Cpu::default().tensor([[[[1.0, 3.0, 5.0], [2.0, 4.0, 6.0]]]]);
    /// let y = AdaptiveAvgPool2D::<1, 2>.forward(x); // of columns 0 and 1, and of 1 and 2
    /// assert_eq!(y.as_vec(), [2.5, 4.5]);
    /// ```
    pub struct AdaptiveAvgPool2D<const H, const W>;
    rows: |height| LinearMap::adaptive_mean(height, H),
    columns: |width| LinearMap::adaptive_mean(width, W),
    least: 1,
    where H > 0 && W > 0,
}
