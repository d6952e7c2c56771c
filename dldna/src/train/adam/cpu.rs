//! A step of Adam on the CPU: all tensors at once, on all cores.

use super::{Moments, walk};
use crate::kernels::adam::AdamStep;
use crate::kernels::scratch::Scratch;
use dfdx::prelude::{tensor_collection::*, *};
use rayon::prelude::*;
use std::collections::BTreeMap;
use std::mem::take;

/// Moves all trainable parameters of `network`, and sets their gradients to 0.
pub(super) fn step<M: TensorCollection<f32, Cpu>>(
    step: AdamStep,
    network: &mut M,
    gradients: &mut Gradients<f32, Cpu>,
    moments: &mut BTreeMap<String, Moments<Cpu>>,
) -> Result<(), CpuError> {
    let mut collector = Collector {
        gradients,
        moments,
        parameters: BTreeMap::new(),
    };
    walk(network, &mut collector)?;
    let mut parameters = collector.parameters;
    // All tensors at once: each core copies and updates.
    parameters
        .par_iter_mut()
        .for_each(|(_, parameter)| parameter.update(step));
    let mut writer = Writer {
        gradients,
        moments,
        parameters,
    };
    walk(network, &mut writer)
}

/// Copies the numbers of a tensor to a slice.
type Read = Box<dyn FnOnce(&mut [f32]) + Send>;

/// One tensor of the network, on its way through a step.
struct Parameter {
    /// Copies the numbers out of the tensor: dfdx keeps its own out of reach.
    read: Option<Read>,
    values: Scratch,
    gradient: Vec<f32>,
    moments: Moments<Cpu>,
}

impl Parameter {
    fn update(&mut self, step: AdamStep) {
        // Taken, so that nobody shares the numbers any more when they are written: that would copy them.
        if let Some(read) = self.read.take() {
            read(&mut self.values);
        }
        step.update(
            &mut self.values,
            &mut self.gradient,
            &mut self.moments.first,
            &mut self.moments.second,
        );
    }
}

/// First walk: takes out of network, gradients and moments what the step needs.
struct Collector<'a> {
    gradients: &'a mut Gradients<f32, Cpu>,
    moments: &'a mut BTreeMap<String, Moments<Cpu>>,
    parameters: BTreeMap<String, Parameter>,
}

impl TensorVisitor<f32, Cpu> for Collector<'_> {
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
        let gradient = take(&mut **self.gradients.get_or_alloc_mut(tensor)?);
        let moments = match self.moments.remove(&name) {
            Some(moments) => moments,
            None => Moments::zeros(tensor.device(), gradient.len())?,
        };
        let tensor = tensor.clone(); // shares the numbers
        let parameter = Parameter {
            values: Scratch::any(gradient.len()),
            read: Some(Box::new(move |values| tensor.copy_into(values))),
            gradient,
            moments,
        };
        self.parameters.insert(name, parameter);
        Ok(None)
    }
}

/// Second walk: puts the moved numbers, the gradients and the moments back.
struct Writer<'a> {
    gradients: &'a mut Gradients<f32, Cpu>,
    moments: &'a mut BTreeMap<String, Moments<Cpu>>,
    parameters: BTreeMap<String, Parameter>,
}

impl TensorVisitor<f32, Cpu> for Writer<'_> {
    type Viewer = (ViewTensorMut, ViewTensorName);
    type Err = CpuError;
    type E2 = f32;
    type D2 = Cpu;

    fn visit<S: Shape>(
        &mut self,
        _: TensorOptions<S, f32, Cpu>,
        (tensor, name): (&mut Tensor<S, f32, Cpu>, String),
    ) -> Result<Option<Tensor<S, f32, Cpu>>, CpuError> {
        if let Some(parameter) = self.parameters.remove(&name) {
            tensor.copy_from(&parameter.values);
            **self.gradients.get_or_alloc_mut(tensor)? = parameter.gradient;
            self.moments.insert(name, parameter.moments);
        }
        Ok(None)
    }
}
