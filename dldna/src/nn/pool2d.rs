//! Max and average pooling.

use super::device::LayerDevice;
use crate::kernels::window::Window;
use dfdx::prelude::*;

macro_rules! pool {
    ($(#[$docs:meta])* $Pool:ident, $method:ident) => {
        $(#[$docs])*
        #[derive(Debug, Clone, Copy, Default)]
        pub struct $Pool<const K: usize, const STRIDE: usize, const PADDING: usize = 0>;

        impl<const K: usize, const STRIDE: usize, const PADDING: usize> ZeroSizedModule
            for $Pool<K, STRIDE, PADDING>
        {
        }

        impl<const K: usize, const STRIDE: usize, const PADDING: usize> NonMutableModule
            for $Pool<K, STRIDE, PADDING>
        {
        }

        impl<
            const K: usize,
            const STRIDE: usize,
            const PADDING: usize,
            B: Dim,
            C: Dim,
            H: Dim,
            W: Dim,
            D: LayerDevice,
            T: Tape<f32, D>,
        > Module<Tensor<(B, C, H, W), f32, D, T>> for $Pool<K, STRIDE, PADDING>
        {
            type Output = Tensor<(B, C, usize, usize), f32, D, T>;
            type Error = D::Err;

            fn try_forward(
                &self,
                input: Tensor<(B, C, H, W), f32, D, T>,
            ) -> Result<Self::Output, D::Err> {
                D::$method(input, Window::square(K, STRIDE, PADDING, 1))
            }
        }
    };
}

pool!(
    /// The largest value of each `K`x`K` window: `(batch, channel, height, width)` to
    /// `(batch, channel, height', width')` with `height' = floor((height + 2 PADDING - K) / STRIDE) + 1`.
    /// Padding never wins. The gradient goes to the first largest pixel of each window.
    ///
    /// PyTorch: `torch.nn.MaxPool2d(K, STRIDE, PADDING)`.
    ///
    /// ```
    /// use dldna::prelude::*;
    /// let dev = Cpu::seed_from_u64(0);
    /// let x = dev.tensor([[[[1., 2.], [3., 4.]]]]);
    /// let y = MaxPool2D::<2, 2>.forward(x);
    /// assert_eq!(y.as_vec(), [4.0]);
    /// ```
    MaxPool2D,
    max_pool2d
);

pool!(
    /// The mean of each `K`x`K` window: `(batch, channel, height, width)` to
    /// `(batch, channel, height', width')` with `height' = floor((height + 2 PADDING - K) / STRIDE) + 1`.
    /// Padding counts as zeros.
    ///
    /// PyTorch: `torch.nn.AvgPool2d(K, STRIDE, PADDING)`.
    ///
    /// ```
    /// use dldna::prelude::*;
    /// let dev = Cpu::seed_from_u64(0);
    /// let x = dev.tensor([[[[1., 2.], [3., 4.]]]]);
    /// let y = AvgPool2D::<2, 2>.forward(x);
    /// assert_eq!(y.as_vec(), [2.5]);
    /// ```
    AvgPool2D,
    avg_pool2d
);
