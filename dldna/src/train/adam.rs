//! Adam, with a state that can be saved.

use crate::kernels::adam::AdamStep;
use crate::kernels::scratch::Scratch;
use crate::weights::Values;
use dfdx::prelude::{tensor_collection::*, *};
use rayon::prelude::*;
use std::collections::BTreeMap;
use std::mem::take;

/// The Adam optimizer on the CPU: Kingma and Ba, 2014, with their settings (which are PyTorch's).
///
/// dfdx has an Adam of its own. This one uses all cores, sets the gradients to 0 in the same pass, and its state can be
/// saved, so that training goes on later as if it had never stopped.
///
/// ```
/// use dldna::{prelude::*, train::Adam};
///
/// let dev = Cpu::seed_from_u64(0);
/// let mut model = dev.build_module::<Linear<2, 1>, f32>();
/// let x: Tensor<Rank2<8, 2>, f32, Cpu> = dev.sample_normal();
/// let before = model.forward(x.clone()).square().mean::<Rank0, _>().array();
/// let mut adam = Adam::new(0.05);
/// let mut gradients = model.alloc_grads();
/// for _ in 0..200 {
///     let loss = model.forward(x.trace(gradients)).square().mean();
///     gradients = loss.backward();
///     adam.update(&mut model, &mut gradients);
/// }
/// assert!(model.forward(x).square().mean::<Rank0, _>().array() < 0.05 * before);
/// ```
#[derive(Debug, Clone, PartialEq)]
pub struct Adam {
    /// How far a parameter moves at most in one step, about.
    pub learning_rate: f32,
    step: i32,
    /// Mean of the gradients, and of their squares, by the parameter's name.
    moments: BTreeMap<String, (Vec<f32>, Vec<f32>)>,
}

impl Adam {
    /// A new optimizer: no step taken.
    pub fn new(learning_rate: f32) -> Self {
        Self {
            learning_rate,
            step: 0,
            moments: BTreeMap::new(),
        }
    }

    /// Moves all trainable parameters of `network` by their gradients, and sets these to 0 for the next pass.
    pub fn update<M: TensorCollection<f32, Cpu>>(
        &mut self,
        network: &mut M,
        gradients: &mut Gradients<f32, Cpu>,
    ) {
        self.step += 1;
        let step = AdamStep {
            learning_rate: self.learning_rate,
            betas: (0.9, 0.999),
            epsilon: 1e-8,
            step: self.step,
        };
        let mut collector = Collector {
            moments: &mut self.moments,
            gradients,
            parameters: BTreeMap::new(),
        };
        walk(network, &mut collector);
        let mut parameters = collector.parameters;
        // All tensors at once: each core copies and updates.
        parameters
            .par_iter_mut()
            .for_each(|(_, parameter)| parameter.update(step));
        for (name, parameter) in &mut parameters {
            let moments = (take(&mut parameter.first), take(&mut parameter.second));
            self.moments.insert(name.clone(), moments);
        }
        walk(
            network,
            &mut Writer {
                gradients,
                parameters,
            },
        );
    }

    /// The state: the number of steps, and the moments under `first/name` and `second/name`.
    pub(super) fn state(&self) -> (i32, BTreeMap<String, Values>) {
        let mut tensors = BTreeMap::new();
        for (name, (first, second)) in &self.moments {
            for (kind, moment) in [("first", first), ("second", second)] {
                let values = Values {
                    shape: vec![moment.len()],
                    data: moment.clone(),
                };
                tensors.insert(format!("{kind}/{name}"), values);
            }
        }
        (self.step, tensors)
    }

    /// The inverse of [`Adam::state`]; `None` if a moment lacks its fellow.
    pub(super) fn with_state(
        learning_rate: f32,
        step: i32,
        mut tensors: BTreeMap<String, Values>,
    ) -> Option<Self> {
        let names: Vec<String> = tensors
            .keys()
            .filter_map(|name| name.strip_prefix("first/").map(str::to_owned))
            .collect();
        let mut moments = BTreeMap::new();
        for name in names {
            let first = tensors.remove(&format!("first/{name}"))?.data;
            let second = tensors.remove(&format!("second/{name}"))?.data;
            moments.insert(name, (first, second));
        }
        tensors.is_empty().then_some(Self {
            learning_rate,
            step,
            moments,
        })
    }
}

/// Shows all tensors of a network to a visitor.
fn walk<M: TensorCollection<f32, Cpu>>(
    network: &mut M,
    visitor: &mut impl TensorVisitor<
        f32,
        Cpu,
        Viewer = (ViewTensorMut, ViewTensorName),
        Err = CpuError,
        E2 = f32,
        D2 = Cpu,
    >,
) {
    let walked = M::iter_tensors(&mut RecursiveWalker {
        m: (network, String::new()),
        f: visitor,
    });
    walked.expect("memory for the gradients was there before");
}

/// Copies the numbers of a tensor to a slice.
type Read = Box<dyn FnOnce(&mut [f32]) + Send>;

/// One tensor of the network, on its way through a step.
struct Parameter {
    /// Copies the numbers out of the tensor: dfdx keeps its own out of reach.
    read: Option<Read>,
    values: Scratch,
    gradient: Vec<f32>,
    first: Vec<f32>,
    second: Vec<f32>,
}

impl Parameter {
    fn update(&mut self, step: AdamStep) {
        if let Some(read) = self.read.take() {
            read(&mut self.values);
        }
        step.update(
            &mut self.values,
            &mut self.gradient,
            &mut self.first,
            &mut self.second,
        );
    }
}

/// First walk: takes out of network, gradients and moments what the step needs.
struct Collector<'a> {
    moments: &'a mut BTreeMap<String, (Vec<f32>, Vec<f32>)>,
    gradients: &'a mut Gradients<f32, Cpu>,
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
        let count = gradient.len();
        let moments = self.moments.remove(&name);
        let (first, second) = moments.unwrap_or_else(|| (vec![0.0; count], vec![0.0; count]));
        let tensor = tensor.clone(); // shares the numbers
        let parameter = Parameter {
            read: Some(Box::new(move |values| tensor.copy_into(values))),
            values: Scratch::any(count),
            gradient,
            first,
            second,
        };
        self.parameters.insert(name, parameter);
        Ok(None)
    }
}

/// Second walk: puts the moved numbers and the gradients back.
struct Writer<'a> {
    gradients: &'a mut Gradients<f32, Cpu>,
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
        }
        Ok(None)
    }
}
