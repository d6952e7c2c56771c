//! Larger images: nearest neighbours, and bilinear.

use super::separable::separable_layer;
use crate::kernels::separable::LinearMap;

separable_layer! {
    /// Each pixel as a square of `SCALE`x`SCALE`: `(batch, channel, height, width)` to
    /// `(batch, channel, SCALE height, SCALE width)`, with `output[y, x] = input[floor(y / SCALE), floor(x / SCALE)]`.
    ///
    /// PyTorch: `torch.nn.Upsample(scale_factor=SCALE)`.
    ///
    /// ```
    /// use dldna_nn::prelude::*;
    /// let y = UpsampleNearest2D::<2>.forward(Cpu::default().tensor([[[[1.0, 2.0]]]]));
    /// assert_eq!(y.as_vec(), [1.0, 1.0, 2.0, 2.0, 1.0, 1.0, 2.0, 2.0]);
    /// ```
    ///
    /// ```compile_fail
    /// use dldna_nn::prelude::*;
    /// UpsampleNearest2D::<0>.forward(Cpu::default().tensor([[[[1.0, 2.0]]]])); // SCALE > 0 does not hold
    /// ```
    pub struct UpsampleNearest2D<const SCALE>;
    rows: |height| LinearMap::nearest(height, SCALE),
    columns: |width| LinearMap::nearest(width, SCALE),
    least: 1,
    where SCALE > 0,
}

separable_layer! {
    /// `SCALE` times as many rows and columns, linear between the centres of the pixels along each axis:
    /// `(batch, channel, height, width)` to `(batch, channel, SCALE height, SCALE width)`. Along one axis, with `x` the place of
    /// output `y` on the input,
    ///
    /// ```text
    /// x = max((y + 1/2) / SCALE - 1/2, 0) = i + f, i whole and 0 <= f < 1
    /// output[y] = (1 - f) input[i] + f input[min(i + 1, size - 1)]
    /// ```
    ///
    /// PyTorch: `torch.nn.Upsample(scale_factor=SCALE, mode="bilinear")`, whose `align_corners` is `False`.
    ///
    /// ```
    /// use dldna_nn::prelude::*;
    /// let y = UpsampleBilinear2D::<2>.forward(Cpu::default().tensor([[[[0.0, 4.0]]]]));
    /// assert_eq!(y.as_vec(), [0.0, 1.0, 3.0, 4.0, 0.0, 1.0, 3.0, 4.0]);
    /// ```
    pub struct UpsampleBilinear2D<const SCALE>;
    rows: |height| LinearMap::linear(height, SCALE),
    columns: |width| LinearMap::linear(width, SCALE),
    least: 1,
    where SCALE > 0,
}
