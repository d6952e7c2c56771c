//! Padding by a mirror, by the border, and by zeros.

use super::separable::separable_layer;
use crate::kernels::separable::LinearMap;

separable_layer! {
    /// `P` pixels on each side, mirrored at the border, whose pixels are not repeated: `(batch, channel, height, width)` to
    /// `(batch, channel, height + 2 P, width + 2 P)`, with `output[y] = input[|y - P|]` at the first border and likewise at the
    /// others. An image that is not larger than `P` pixels is an error.
    ///
    /// PyTorch: `torch.nn.ReflectionPad2d(P)`.
    ///
    /// ```
    /// use dldna_nn::prelude::*;
    /// let dev = Cpu::default();
    /// let y = ReflectPad2D::<1>.forward(dev.tensor([[[[1.0, 2.0], [3.0, 4.0]]]]));
    /// let rows = [[4., 3., 4., 3.], [2., 1., 2., 1.], [4., 3., 4., 3.], [2., 1., 2., 1.]];
    /// assert_eq!(y.as_vec(), rows.concat());
    ///
    /// assert!(ReflectPad2D::<2>.try_forward(dev.tensor([[[[1.0, 2.0], [3.0, 4.0]]]])).is_err());
    /// let error = dldna_nn::nn::last_error().unwrap();
    /// assert!(error.to_string().contains("at least 3x3 pixels, these are 2x2"));
    /// ```
    pub struct ReflectPad2D<const P>;
    rows: |height| LinearMap::reflect_padding(height, P),
    columns: |width| LinearMap::reflect_padding(width, P),
    least: P + 1,
}

separable_layer! {
    /// `P` pixels on each side, each the nearest one of the border: `(batch, channel, height, width)` to
    /// `(batch, channel, height + 2 P, width + 2 P)`, with `output[y] = input[min(max(y - P, 0), height - 1)]` along each axis.
    ///
    /// PyTorch: `torch.nn.ReplicationPad2d(P)`.
    ///
    /// ```
    /// use dldna_nn::prelude::*;
    /// let y = ReplicatePad2D::<1>.forward(Cpu::default().tensor([[[[1.0, 2.0]]]]));
    /// assert_eq!(y.as_vec(), [[1.0, 1.0, 2.0, 2.0]; 3].concat());
    /// ```
    pub struct ReplicatePad2D<const P>;
    rows: |height| LinearMap::replicate_padding(height, P),
    columns: |width| LinearMap::replicate_padding(width, P),
    least: 1,
}

separable_layer! {
    /// `P` zeros on each side: `(batch, channel, height, width)` to `(batch, channel, height + 2 P, width + 2 P)`. In front of a
    /// convolution its own `PADDING` does the same.
    ///
    /// PyTorch: `torch.nn.ZeroPad2d(P)`.
    ///
    /// ```
    /// use dldna_nn::prelude::*;
    /// let y = ZeroPad2D::<1>.forward(Cpu::default().tensor([[[[5.0]]]]));
    /// assert_eq!(y.as_vec(), [0.0, 0.0, 0.0, 0.0, 5.0, 0.0, 0.0, 0.0, 0.0]);
    /// ```
    pub struct ZeroPad2D<const P>;
    rows: |height| LinearMap::zero_padding(height, P),
    columns: |width| LinearMap::zero_padding(width, P),
    least: 1,
}
