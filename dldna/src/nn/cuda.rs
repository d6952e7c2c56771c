//! The layers on a GPU of NVIDIA, made of dfdx's operations.

use super::device::{Backward, flows, *};
use super::error::{LayerError, remember};
use super::fallback::Fallback;
use super::flow::Flow;
use crate::kernels::activation::Activation;
use crate::kernels::window::Window;
use dfdx::prelude::*;

type Result<T> = std::result::Result<T, CudaError>;

impl ReportError for Cuda {
    fn error(error: LayerError) -> CudaError {
        remember(error);
        CudaError::Cpu(CpuError::WrongNumElements)
    }
}

impl LayerDevice for Cuda {
    fn conv2d(x: Batch<Cuda>, conv: Convolution<Cuda>) -> Result<Operation<Cuda>> {
        Fallback::default().conv2d(x, conv)
    }

    fn conv2d_statistics(
        x: &Batch<Cuda>,
        conv: &Convolution<Cuda>,
    ) -> Result<(Batch<Cuda>, ChannelStatistics<Cuda>)> {
        Fallback::default().conv2d_statistics(x, conv)
    }

    fn statistics(x: &Batch<Cuda>) -> Result<ChannelStatistics<Cuda>> {
        Fallback::default().statistics(x)
    }

    fn batch_norm2d_train(
        of: BatchStatistics<Cuda>,
        norm: NormParameters<Cuda>,
        epilogue: Epilogue<Cuda>,
    ) -> Result<Operation<Cuda>> {
        Fallback::default().batch_norm2d_train(of, norm, epilogue)
    }

    fn batch_norm2d_eval(
        x: Batch<Cuda>,
        conv: Option<Convolution<Cuda>>,
        norm: NormParameters<Cuda>,
        running: ChannelStatistics<Cuda>,
        epilogue: Epilogue<Cuda>,
    ) -> Result<Batch<Cuda>> {
        Fallback::default().batch_norm2d_eval(x, conv, norm, running, epilogue)
    }

    fn batch_norm2d_frozen(
        x: Batch<Cuda>,
        norm: NormParameters<Cuda>,
        running: ChannelStatistics<Cuda>,
        epilogue: Epilogue<Cuda>,
    ) -> Result<Operation<Cuda>> {
        Fallback::default().batch_norm2d_frozen(x, norm, running, epilogue)
    }

    fn layer_norm2d(x: Batch<Cuda>, norm: NormParameters<Cuda>) -> Result<Operation<Cuda>> {
        Fallback::default().layer_norm2d(x, norm)
    }

    fn max_pool2d(x: Batch<Cuda>, window: Window) -> Result<Operation<Cuda>> {
        Fallback::default().max_pool2d(x, window)
    }

    fn avg_pool2d(x: Batch<Cuda>, window: Window) -> Result<Operation<Cuda>> {
        Fallback::default().avg_pool2d(x, window)
    }

    fn global_avg_pool2d(x: Batch<Cuda>) -> Result<Operation<Cuda>> {
        Fallback::default().global_avg_pool2d(x)
    }

    fn linear(
        x: Batch<Cuda>,
        weight: Tensor<(usize, usize), f32, Cuda>,
        bias: Option<Channels<Cuda>>,
    ) -> Result<Operation<Cuda>> {
        Fallback::default().linear(x, weight, bias)
    }

    fn activate(x: Batch<Cuda>, activation: Activation) -> Result<Operation<Cuda>> {
        Fallback::default().activate(x, activation)
    }

    fn add(x: Batch<Cuda>, y: Batch<Cuda>) -> Result<Operation<Cuda>> {
        Fallback::default().add(x, y)
    }

    fn affine(
        x: Batch<Cuda>,
        factors: Option<Channels<Cuda>>,
        offsets: Option<Channels<Cuda>>,
    ) -> Result<Operation<Cuda>> {
        Fallback::default().affine(x, factors, offsets)
    }

    fn multiply(x: Batch<Cuda>, constants: Batch<Cuda>) -> Result<Operation<Cuda>> {
        Fallback::default().multiply(x, constants)
    }

    fn concat(parts: Vec<Batch<Cuda>>) -> Result<Operation<Cuda>> {
        Fallback::default().concat(parts)
    }

    fn scale_channels(images: Batch<Cuda>, factors: Batch<Cuda>) -> Result<Operation<Cuda>> {
        Fallback::default().scale_channels(images, factors)
    }

    flows!(Cuda);
}
