//! The layers on a GPU of NVIDIA: all of them composed of dfdx's operations.

use super::device::LayerDevice;
use super::error::{LayerError, remember};
use dfdx::prelude::{CpuError, Cuda, CudaError};

impl LayerDevice for Cuda {
    fn error(error: LayerError) -> CudaError {
        remember(error);
        CudaError::Cpu(CpuError::WrongNumElements)
    }
}
