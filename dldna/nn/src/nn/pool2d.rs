//! Max and average pooling.

use super::device::LayerDevice;
use super::error::or_panic;
use super::forward::{Flowing, Forward, Images, Layer};
use super::layer::same_in_training;
use super::run::run_any;
use crate::kernels::pool2d::Pool2d;
use crate::kernels::window::Window;
use crate::summary::layers::wrong_input;
use crate::summary::{
    LayerSummary, OutputSizeError, Summarize, SummaryError, SummaryProblem, WindowLayer,
};
use dfdx::prelude::*;

macro_rules! pool {
    ($(#[$docs:meta])* $Pool:ident, $method:ident) => {
        $(#[$docs])*
        #[derive(Debug, Clone, Copy, Default)]
        pub struct $Pool<const K: usize, const STRIDE: usize, const PADDING: usize = 0>;

        impl<const K: usize, const STRIDE: usize, const PADDING: usize> $Pool<K, STRIDE, PADDING> {
            const WINDOW: Window = Window::square(K, STRIDE, super::padding(PADDING, K, 1), 1);
        }

        impl<const K: usize, const STRIDE: usize, const PADDING: usize> ZeroSizedModule
            for $Pool<K, STRIDE, PADDING>
        {
        }

        same_in_training!([const K: usize, const STRIDE: usize, const PADDING: usize] $Pool<K, STRIDE, PADDING>);

        impl<const K: usize, const STRIDE: usize, const PADDING: usize> Layer
            for $Pool<K, STRIDE, PADDING>
        {
            type On<E: Dtype, D: Storage<E>> = Self;
        }

        impl<
            const K: usize,
            const STRIDE: usize,
            const PADDING: usize,
            const C: usize,
            D: LayerDevice,
        > Forward<Images<C, D>> for $Pool<K, STRIDE, PADDING>
        {
            type Output = Images<C, D>;

            fn eval(&self, x: Images<C, D>) -> Images<C, D> {
                x.layer(self, |flow| flow.$method(Self::WINDOW))
            }

            fn train(&mut self, x: Images<C, D>) -> Images<C, D> {
                self.eval(x)
            }
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
                x: Tensor<(B, C, H, W), f32, D, T>,
            ) -> Result<Self::Output, D::Err> {
                run_any(x, |flow| flow.$method(Self::WINDOW))
            }

            fn forward(&self, x: Tensor<(B, C, H, W), f32, D, T>) -> Self::Output {
                or_panic(|| self.try_forward(x))
            }
        }

        impl<const K: usize, const STRIDE: usize, const PADDING: usize> Summarize
            for $Pool<K, STRIDE, PADDING>
        {
            /// Works on any number of channels.
            fn summarize(&self, input: &[usize]) -> Result<LayerSummary, SummaryError> {
                let name = stringify!($Pool);
                let &[_, channels, _, _] = input else {
                    let expected = "[batch, channel, height, width]".to_owned();
                    return Err(wrong_input(name, expected, input));
                };
                if !Pool2d::allows_padding(Self::WINDOW) {
                    let problem = SummaryProblem::OutputSize {
                        kind: name.to_owned(),
                        input: input.to_vec(),
                        source: OutputSizeError::PoolPadding {
                            kernel: K,
                            padding: Self::WINDOW.padding.0,
                        },
                    };
                    return Err(problem.into());
                }
                let layer = WindowLayer {
                    name,
                    in_channels: channels,
                    out_channels: channels,
                    window: Self::WINDOW,
                };
                layer.summarize(input, 0, 0)
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
    /// use dldna_nn::prelude::*;
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
    /// use dldna_nn::prelude::*;
    /// let dev = Cpu::seed_from_u64(0);
    /// let x = dev.tensor([[[[1., 2.], [3., 4.]]]]);
    /// let y = AvgPool2D::<2, 2>.forward(x);
    /// assert_eq!(y.as_vec(), [2.5]);
    /// ```
    AvgPool2D,
    avg_pool2d
);
