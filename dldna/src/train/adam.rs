//! Adam, with a state that can be saved.

use crate::kernels::adam::AdamStep;
use crate::weights::Values;
use dfdx::prelude::{tensor_collection::*, *};
use std::collections::BTreeMap;

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
        let mut update = Update {
            step: AdamStep {
                learning_rate: self.learning_rate,
                betas: (0.9, 0.999),
                epsilon: 1e-8,
                step: self.step,
            },
            moments: &mut self.moments,
            gradients,
            parameters: Vec::new(),
        };
        let walked = M::iter_tensors(&mut RecursiveWalker {
            m: (network, String::new()),
            f: &mut update,
        });
        walked.expect("memory for the gradients was there before");
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

struct Update<'a> {
    step: AdamStep,
    moments: &'a mut BTreeMap<String, (Vec<f32>, Vec<f32>)>,
    gradients: &'a mut Gradients<f32, Cpu>,
    /// The parameters of one tensor: dfdx keeps its own out of reach.
    parameters: Vec<f32>,
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
        let gradients = self.gradients.get_or_alloc_mut(tensor)?;
        let count = gradients.len();
        let (first, second) = self
            .moments
            .entry(name)
            .or_insert_with(|| (vec![0.0; count], vec![0.0; count]));
        self.parameters.resize(count, 0.0);
        tensor.copy_into(&mut self.parameters);
        self.step
            .update(&mut self.parameters, gradients, first, second);
        tensor.copy_from(&self.parameters);
        Ok(None)
    }
}
