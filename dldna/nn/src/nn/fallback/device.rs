//! A device that computes everything by the fallback.

use crate::nn::device::{Input, LayerDevice};
use std::convert::Infallible;

impl<D: LayerDevice<Normalised = Infallible>> Input<D> {
    /// The images, which such a device computes at once.
    pub(in crate::nn) fn images(self) -> crate::nn::Batch<D> {
        match self {
            Input::Images(images) => images,
            Input::Normalised(normalised) => match normalised {},
        }
    }
}

/// Implements [`LayerDevice`](crate::nn::LayerDevice) for a device by [`Fallback`](crate::nn::fallback::Fallback).
macro_rules! layer_device_by_fallback {
    ($Device:ty) => {
        impl LayerDevice for $Device {
            type Values = Batch<$Device>;
            type Normalised = std::convert::Infallible;

            fn conv2d(
                input: Input<$Device>,
                conv: Convolution<$Device>,
            ) -> Result<Operation<$Device>> {
                Fallback::default().conv2d(input.images(), conv)
            }

            fn conv_transpose2d(
                x: Batch<$Device>,
                weight: Batch<$Device>,
                window: Window,
            ) -> Result<Operation<$Device>> {
                Fallback::default().conv_transpose2d(x, weight, window)
            }

            fn conv2d_statistics(
                input: Input<$Device>,
                conv: Convolution<$Device>,
            ) -> Result<BatchStatistics<$Device>> {
                Fallback::default().conv2d_statistics(input.images(), conv)
            }

            fn statistics(x: Batch<$Device>) -> Result<BatchStatistics<$Device>> {
                Fallback::default().statistics(x)
            }

            fn batch_norm2d_train(
                of: BatchStatistics<$Device>,
                norm: NormParameters<$Device>,
                epilogue: Epilogue<$Device>,
            ) -> Result<Operation<$Device>> {
                Fallback::default().batch_norm2d_train(of, norm, epilogue)
            }

            fn batch_norm2d_later(
                of: BatchStatistics<$Device>,
                norm: NormParameters<$Device>,
                activation: Activation,
            ) -> Result<Later<$Device>> {
                let epilogue = Epilogue {
                    shortcut: None,
                    activation,
                };
                Fallback::default()
                    .batch_norm2d_train(of, norm, epilogue)
                    .map(Later::Computed)
            }

            fn compute(normalised: Self::Normalised) -> Result<Operation<$Device>> {
                match normalised {}
            }

            fn batch_norm2d_eval(
                x: Batch<$Device>,
                conv: Option<Convolution<$Device>>,
                norm: NormParameters<$Device>,
                running: ChannelStatistics<$Device>,
                epilogue: Epilogue<$Device>,
            ) -> Result<Batch<$Device>> {
                Fallback::default().batch_norm2d_eval(x, conv, norm, running, epilogue)
            }

            fn batch_norm2d_frozen(
                x: Batch<$Device>,
                norm: NormParameters<$Device>,
                running: ChannelStatistics<$Device>,
                epilogue: Epilogue<$Device>,
            ) -> Result<Operation<$Device>> {
                Fallback::default().batch_norm2d_frozen(x, norm, running, epilogue)
            }

            fn layer_norm2d(
                x: Batch<$Device>,
                norm: NormParameters<$Device>,
            ) -> Result<Operation<$Device>> {
                Fallback::default().layer_norm2d(x, norm)
            }

            fn max_pool2d(input: Input<$Device>, window: Window) -> Result<Operation<$Device>> {
                Fallback::default().max_pool2d(input.images(), window)
            }

            fn max_pool2d_eval(x: Batch<$Device>, window: Window) -> Result<Batch<$Device>> {
                Ok(Fallback::default().max_pool2d(x, window)?.output)
            }

            fn avg_pool2d(x: Batch<$Device>, window: Window) -> Result<Operation<$Device>> {
                Fallback::default().avg_pool2d(x, window)
            }

            fn global_avg_pool2d(x: Batch<$Device>) -> Result<Operation<$Device>> {
                Fallback::default().global_avg_pool2d(x)
            }

            fn separable_map(x: Batch<$Device>, map: SeparableMap) -> Result<Operation<$Device>> {
                Fallback::default().separable_map(x, map)
            }

            fn linear(
                x: Batch<$Device>,
                weight: Tensor<(usize, usize), f32, $Device>,
                bias: Option<Channels<$Device>>,
            ) -> Result<Operation<$Device>> {
                Fallback::default().linear(x, weight, bias)
            }

            fn activate(x: Batch<$Device>, activation: Activation) -> Result<Operation<$Device>> {
                Fallback::default().activate(x, activation)
            }

            fn add(x: Batch<$Device>, y: Batch<$Device>) -> Result<Operation<$Device>> {
                Fallback::default().add(x, y)
            }

            fn affine(
                x: Batch<$Device>,
                factors: Option<Channels<$Device>>,
                offsets: Option<Channels<$Device>>,
            ) -> Result<Operation<$Device>> {
                Fallback::default().affine(x, factors, offsets)
            }

            fn multiply(
                x: Batch<$Device>,
                constants: Batch<$Device>,
            ) -> Result<Operation<$Device>> {
                Fallback::default().multiply(x, constants)
            }

            fn concat(parts: Vec<Batch<$Device>>) -> Result<Operation<$Device>> {
                Fallback::default().concat(parts)
            }

            fn scale_channels(
                images: Batch<$Device>,
                factors: Batch<$Device>,
            ) -> Result<Operation<$Device>> {
                Fallback::default().scale_channels(images, factors)
            }

            flows!($Device);
        }
    };
}
pub(in crate::nn) use layer_device_by_fallback;
