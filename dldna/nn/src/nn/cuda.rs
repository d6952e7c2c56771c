//! The layers on a GPU of NVIDIA, made of dfdx's operations.

use super::device::{Backward, flows, *};
use super::error::{LayerError, remember};
use super::fallback::{Fallback, layer_device_by_fallback};
use super::flow::Flow;
use crate::kernels::activation::Activation;
use crate::kernels::separable::SeparableMap;
use crate::kernels::window::Window;
use dfdx::prelude::*;

type Result<T> = std::result::Result<T, CudaError>;

impl ReportError for Cuda {
    fn error(error: LayerError) -> CudaError {
        remember(error);
        CudaError::Cpu(CpuError::WrongNumElements)
    }
}

layer_device_by_fallback!(Cuda);
