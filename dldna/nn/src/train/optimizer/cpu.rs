//! A step of an optimizer on the CPU, in place.

use super::{Moments, Step, for_each_parameter};
use dfdx::prelude::{tensor_collection::*, *};
use std::collections::BTreeMap;

/// Moves all trainable parameters of `network`, and sets their gradients to 0.
pub(super) fn step<M: TensorCollection<f32, Cpu>>(
    step: Step,
    network: &mut M,
    gradients: &mut Gradients<f32, Cpu>,
    moments: &mut BTreeMap<String, Moments<Cpu>>,
) -> Result<(), CpuError> {
    for_each_parameter(network, |name, tensor| {
        let gradient = tensor.gradient_mut(gradients)?;
        let Moments { first, second } =
            Moments::of(&step, moments, name.to_owned(), tensor.device(), gradient)?;
        let axes = tensor.sizes().len();
        let values = tensor.elements_mut().ok_or(CpuError::WrongNumElements)?;
        match step.for_axes(axes) {
            Step::Adam(step) => step.update(values, gradient, first, second),
            Step::Sgd(step) => step.update(values, gradient, first),
        }
        Ok(())
    })
}
