//! The GPU. It is asked for before dfdx is: dfdx's first call panics where there is none.

use super::{AnyDevice, DeviceError};
use crate::nn::Conv2D;
use cudarc::cublas::{result::CublasError, sys::cublasStatus_t};
use cudarc::driver::{DriverError, result, sys::CUresult};
use dfdx::prelude::*;
use std::panic::{AssertUnwindSafe, catch_unwind};

/// The first GPU, if there is one, after it has shown that it can compute.
pub(super) fn find_gpu() -> Result<Option<AnyDevice>, DeviceError> {
    match result::init().and_then(|()| result::device::get_count()) {
        Ok(0) | Err(DriverError(CUresult::CUDA_ERROR_NO_DEVICE)) => return Ok(None),
        Ok(_) => {}
        // The code and not the error: to show that, cudarc asks the driver for words, and panics where it has none.
        Err(DriverError(code)) => return Err(unusable(format!("{code:?}"))),
    }
    let build = || -> Result<Cuda, CudaError> {
        let gpu = Cuda::try_build(0, 0)?;
        check(&gpu)?;
        Ok(gpu)
    };
    // What dfdx compiles while it runs, it unwraps.
    match catch_unwind(AssertUnwindSafe(build)) {
        Ok(Ok(gpu)) => Ok(Some(AnyDevice::Cuda(gpu))),
        Ok(Err(error)) => Err(match error.into() {
            DeviceError::Failed { reason } => unusable(reason),
            error => error,
        }),
        Err(_) => Err(unusable("its first operation failed, see above".to_owned())),
    }
}

fn unusable(reason: String) -> DeviceError {
    DeviceError::Unusable { reason }
}

/// One small convolution, forward and backward. It loads what dfdx compiled when it was built, compiles a kernel, and
/// multiplies matrices: all that can be wrong with the versions of driver and toolkit shows here.
fn check(gpu: &Cuda) -> Result<(), CudaError> {
    let image = gpu.try_ones_like(&(1, Const::<1>, 3, 3))?;
    let conv = gpu.try_build_module::<Conv2D<1, 1, 3, 1, 1>, f32>()?;
    let y = conv.try_forward(image.leaky_trace())?;
    y.try_sum::<Rank0, _>()?.try_backward()?;
    gpu.try_synchronize()
}

/// How much memory the GPU has, and how much of it is free.
pub(super) fn memory() -> String {
    match result::mem_get_info() {
        Ok((free, total)) => format!("{} of {} MB free", free >> 20, total >> 20),
        Err(_) => "memory of unknown size".to_owned(),
    }
}

impl From<CudaError> for DeviceError {
    fn from(error: CudaError) -> Self {
        match error {
            CudaError::Driver(DriverError(CUresult::CUDA_ERROR_OUT_OF_MEMORY))
            | CudaError::Blas(CublasError(cublasStatus_t::CUBLAS_STATUS_ALLOC_FAILED)) => {
                DeviceError::OutOfMemory { memory: memory() }
            }
            error => DeviceError::Failed {
                reason: error.to_string(),
            },
        }
    }
}
