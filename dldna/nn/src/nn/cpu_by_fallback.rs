//! The layers on the CPU as a GPU computes them, with the feature `fallback`: so the tests of whole networks and of
//! training run on what a GPU would run, where there is none.

use super::device::{Backward, flows, *};
use super::error::{LayerError, remember};
use super::fallback::{Fallback, layer_device_by_fallback};
use super::flow::Flow;
use crate::kernels::activation::Activation;
use crate::kernels::separable::SeparableMap;
use crate::kernels::window::Window;
use dfdx::prelude::*;

type Result<T> = std::result::Result<T, CpuError>;

impl ReportError for Cpu {
    fn error(error: LayerError) -> CpuError {
        remember(error);
        CpuError::WrongNumElements
    }
}

layer_device_by_fallback!(Cpu);
