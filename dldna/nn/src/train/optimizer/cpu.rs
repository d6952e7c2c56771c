//! A step of an optimizer on the CPU, in place.

use super::{Moments, Step, walk};
use crate::kernels::elements::elements_mut;
use dfdx::prelude::{tensor_collection::*, *};
use std::collections::BTreeMap;

/// Moves all trainable parameters of `network`, and sets their gradients to 0.
pub(super) fn step<M: TensorCollection<f32, Cpu>>(
    step: Step,
    network: &mut M,
    gradients: &mut Gradients<f32, Cpu>,
    moments: &mut BTreeMap<String, Moments<Cpu>>,
) -> Result<(), CpuError> {
    let mut update = Update {
        step,
        gradients,
        moments,
    };
    walk(network, &mut update)
}

struct Update<'a> {
    step: Step,
    gradients: &'a mut Gradients<f32, Cpu>,
    moments: &'a mut BTreeMap<String, Moments<Cpu>>,
}

impl TensorVisitor<f32, Cpu> for Update<'_> {
    type Viewer = (ViewTensorMut, ViewTensorName);
    type Err = CpuError;
    type E2 = f32;
    type D2 = Cpu;

    fn visit<S: Shape>(
        &mut self,
        options: TensorOptions<S, f32, Cpu>,
        (tensor, name): (&mut Tensor<S, f32, Cpu>, String),
    ) -> Result<Option<Tensor<S, f32, Cpu>>, CpuError> {
        if !options.do_gradient_update {
            return Ok(None);
        }
        let gradient = self.gradients.get_or_alloc_mut(tensor)?;
        let Moments { first, second } =
            Moments::of(&self.step, self.moments, name, tensor.device(), gradient)?;
        let values = elements_mut(tensor).ok_or(CpuError::WrongNumElements)?;
        match self.step.for_axes(S::NUM_DIMS) {
            Step::Adam(step) => step.update(values, gradient, first, second),
            Step::Sgd(step) => step.update(values, gradient, first),
        }
        Ok(None)
    }
}
