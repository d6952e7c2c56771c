//! Which device to compute on: the GPU where there is one, else the CPU.
//!
//! dfdx writes the device into the types, so that a network on a GPU cannot meet images that are not there. A program
//! says `Cuda` where it said `Cpu`, and everything else stays as it is. Where the choice is made at run time, it is made
//! once, at the start, by [`device()`]:
//!
//! ```
//! use dldna_nn::device::{AnyDevice, device};
//! use dldna_nn::prelude::*;
//!
//! /// Whatever is to be done, on any device.
//! fn pixels<D: LayerDevice + DeviceBuildExt>(dev: &D) -> Result<usize, D::Err> {
//!     let network = dev.build_module::<(Conv2D<1, 8, 3>, MaxPool2D<2, 2>), f32>();
//!     let y = network.try_forward(dev.try_zeros_like(&(1, Const::<1>, 28, 28))?)?;
//!     Ok(y.shape().num_elements())
//! }
//!
//! let device = device()?;
//! println!("on the {device}");
//! let count = match device {
//!     AnyDevice::Cpu(cpu) => pixels(&cpu).unwrap(),
//!     #[cfg(feature = "cuda")]
//!     AnyDevice::Cuda(gpu) => pixels(&gpu).unwrap(),
//! };
//! assert_eq!(count, 8 * 13 * 13);
//! # Ok::<(), dldna_nn::device::DeviceError>(())
//! ```

#[cfg(feature = "cuda")]
mod cuda;

#[cfg(feature = "cuda")]
use cuda::find_gpu;
use dfdx::prelude::Cpu;
#[cfg(feature = "cuda")]
use dfdx::prelude::Cuda;
use std::fmt;
use thiserror::Error;

/// The environment variable that decides, where it is set: `cpu` or `cuda`.
pub const VARIABLE: &str = "DLDNA_DEVICE";

/// A device that was picked at run time. `Display` says which.
#[derive(Debug, Clone)]
pub enum AnyDevice {
    /// The processor.
    Cpu(Cpu),
    /// A GPU of NVIDIA.
    #[cfg(feature = "cuda")]
    Cuda(Cuda),
}

impl fmt::Display for AnyDevice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            AnyDevice::Cpu(_) => {
                let threads = rayon::current_num_threads();
                write!(f, "CPU with {threads} threads")
            }
            #[cfg(feature = "cuda")]
            AnyDevice::Cuda(_) => write!(f, "GPU with {}", cuda::memory()),
        }
    }
}

/// Why there is no device to compute on, or why it cannot go on.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum DeviceError {
    /// The variable names no device.
    #[error(
        "{VARIABLE} is {found:?}, expected cpu or cuda; unset it to take the GPU where there is one"
    )]
    Unknown {
        /// What it was set to.
        found: String,
    },
    /// A GPU is asked for, and the program cannot use one.
    #[error(
        "{VARIABLE} asks for cuda, but this program was built without the feature `cuda`: build it with `--features cuda` (notebooks: `cargo lab --features cuda`), or set {VARIABLE}=cpu"
    )]
    NotBuilt,
    /// A GPU is asked for, and there is none.
    #[error(
        "{VARIABLE} asks for cuda, but the driver finds no GPU: see whether `nvidia-smi` lists one, or set {VARIABLE}=cpu"
    )]
    NoGpu,
    /// There is a GPU, and it does not work with this program.
    #[error(
        "the GPU cannot be used: {reason}. The driver has to be as new as the CUDA toolkit that this program was built with, see `nvidia-smi` and `nvcc --version`; after a change of either, `cargo clean -p dfdx` and build again. Or set {VARIABLE}=cpu"
    )]
    Unusable {
        /// What CUDA says.
        reason: String,
    },
    /// The memory of the GPU is full.
    #[error(
        "the memory of the GPU is full ({memory}): take a smaller batch or smaller images, end other programs that use the GPU, or set {VARIABLE}=cpu"
    )]
    OutOfMemory {
        /// How much there is.
        memory: String,
    },
    /// An operation failed.
    #[error(
        "the GPU failed: {reason}. Start the program again, or set {VARIABLE}=cpu to do without it"
    )]
    Failed {
        /// What CUDA says.
        reason: String,
    },
}

/// The GPU where the feature `cuda` is on and one is there, else the CPU. `DLDNA_DEVICE=cpu` or `DLDNA_DEVICE=cuda`
/// decides otherwise.
///
/// # Errors
/// [`DeviceError`] when the variable names no device, when it asks for a GPU that is not there, and when there is a GPU
/// that does not work. Each says what to do.
///
/// A program with the feature on is linked to the driver's library. On a machine without it the program does not start:
/// the system says that `libcuda.so.1` is missing.
///
/// # Example
/// See the [module](self).
pub fn device() -> Result<AnyDevice, DeviceError> {
    let wish = std::env::var_os(VARIABLE);
    choose(
        wish.as_deref()
            .map(|wish| wish.to_string_lossy())
            .as_deref(),
    )
}

fn choose(wish: Option<&str>) -> Result<AnyDevice, DeviceError> {
    let cpu = || AnyDevice::Cpu(Cpu::default());
    match wish {
        None => Ok(find_gpu()?.unwrap_or_else(cpu)),
        Some("cpu") => Ok(cpu()),
        Some("cuda") if cfg!(feature = "cuda") => find_gpu()?.ok_or(DeviceError::NoGpu),
        Some("cuda") => Err(DeviceError::NotBuilt),
        Some(found) => Err(DeviceError::Unknown {
            found: found.to_owned(),
        }),
    }
}

#[cfg(not(feature = "cuda"))]
fn find_gpu() -> Result<Option<AnyDevice>, DeviceError> {
    Ok(None)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_variable_decides() {
        let cpu = choose(Some("cpu")).unwrap();
        assert!(matches!(cpu, AnyDevice::Cpu(_)));
        assert!(cpu.to_string().starts_with("CPU with "));
        for wrong in ["gpu", "CUDA", "cuda:1", ""] {
            let error = choose(Some(wrong)).unwrap_err();
            assert_eq!(
                error,
                DeviceError::Unknown {
                    found: wrong.to_owned()
                }
            );
            assert!(
                error.to_string().contains("expected cpu or cuda"),
                "{error}"
            );
        }
    }

    #[test]
    #[cfg(not(feature = "cuda"))]
    fn without_the_feature_there_is_the_cpu_and_a_way_to_the_gpu() {
        assert!(matches!(choose(None), Ok(AnyDevice::Cpu(_))));
        let error = choose(Some("cuda")).unwrap_err();
        assert_eq!(error, DeviceError::NotBuilt);
        assert!(
            error.to_string().contains("cargo lab --features cuda"),
            "{error}"
        );
        assert!(error.to_string().contains("DLDNA_DEVICE=cpu"), "{error}");
    }
}
