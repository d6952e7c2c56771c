//! Stochastic gradient descent.

use super::{Moments, Step, TrainDevice};
use crate::kernels::sgd::SgdStep;
use dfdx::prelude::{tensor_collection::*, *};
use std::collections::BTreeMap;

/// Stochastic gradient descent with momentum, plain or Nesterov's: PyTorch's `torch.optim.SGD`, but for the weight decay,
/// which is decoupled (it does not go through the momentum).
///
/// ```
/// use dldna_nn::{prelude::*, train::Sgd};
///
/// let dev = Cpu::seed_from_u64(0);
/// let mut model = dev.build_module::<Linear<2, 1>, f32>();
/// let x: Tensor<Rank2<8, 2>, f32, Cpu> = dev.sample_normal();
/// let before = model.forward(x.clone()).square().mean::<Rank0, _>().array();
/// let mut sgd = Sgd::new(0.05, 0.9);
/// let mut gradients = model.alloc_grads();
/// for _ in 0..100 {
///     let loss = model.forward(x.trace(gradients)).square().mean();
///     gradients = loss.backward();
///     sgd.update(&mut model, &mut gradients)?;
/// }
/// assert!(model.forward(x).square().mean::<Rank0, _>().array() < 0.05 * before);
/// # Ok::<(), CpuError>(())
/// ```
#[derive(Debug, Clone)]
pub struct Sgd<D: Storage<f32> = Cpu> {
    /// The gradient's factor.
    pub learning_rate: f32,
    /// Decay of the sum of the gradients, from 0 to below 1.
    pub momentum: f32,
    /// Whether to look ahead by one step; not at first.
    pub nesterov: bool,
    /// How much of itself a weight loses in a step, times the learning rate; 0 at first. Tensors with one axis lose nothing.
    pub weight_decay: f32,
    /// By the parameter's name.
    pub(super) moments: BTreeMap<String, Moments<D>>,
}

impl<D: TrainDevice> Sgd<D> {
    /// A new optimizer: no step taken.
    pub fn new(learning_rate: f32, momentum: f32) -> Self {
        Self {
            learning_rate,
            momentum,
            nesterov: false,
            weight_decay: 0.0,
            moments: BTreeMap::new(),
        }
    }

    /// Moves all trainable parameters of `network` by their gradients, and sets these to 0 for the next pass.
    ///
    /// # Errors
    /// Those of the device.
    pub fn update<M: TensorCollection<f32, D>>(
        &mut self,
        network: &mut M,
        gradients: &mut Gradients<f32, D>,
    ) -> Result<(), D::Err> {
        let step = SgdStep {
            learning_rate: self.learning_rate,
            momentum: self.momentum,
            nesterov: self.nesterov,
            weight_decay: self.weight_decay,
        };
        D::step(Step::Sgd(step), network, gradients, &mut self.moments)
    }
}
