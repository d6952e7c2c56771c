//! Adam and AdamW.

use super::{Moments, Step, TrainDevice};
use crate::kernels::adam::AdamStep;
use dfdx::prelude::{tensor_collection::*, *};
use std::collections::BTreeMap;

/// The Adam optimizer: Kingma and Ba, 2014, with their settings (which are PyTorch's).
///
/// dfdx has an Adam of its own. The state of this one can be saved, so that training goes on later as if it had never
/// stopped; and on the CPU it uses all cores, and sets the gradients to 0 in the same pass.
///
/// ```
/// use dldna_nn::{prelude::*, train::Adam};
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
///     adam.update(&mut model, &mut gradients)?;
/// }
/// assert!(model.forward(x).square().mean::<Rank0, _>().array() < 0.05 * before);
/// # Ok::<(), CpuError>(())
/// ```
#[derive(Debug, Clone)]
pub struct Adam<D: Storage<f32> = Cpu> {
    /// How far a parameter moves at most in one step, about.
    pub learning_rate: f32,
    /// How much of itself a weight loses in a step, times the learning rate; 0 at first. With it this is AdamW (Loshchilov
    /// and Hutter, 2017). Tensors with one axis, which are the factors of norms and all biases, lose nothing.
    pub weight_decay: f32,
    pub(super) step: i32,
    /// By the parameter's name.
    pub(super) moments: BTreeMap<String, Moments<D>>,
}

impl<D: TrainDevice> Adam<D> {
    /// A new optimizer: no step taken.
    pub fn new(learning_rate: f32) -> Self {
        Self {
            learning_rate,
            weight_decay: 0.0,
            step: 0,
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
        self.step += 1;
        let step = AdamStep {
            learning_rate: self.learning_rate,
            betas: (0.9, 0.999),
            epsilon: 1e-8,
            weight_decay: self.weight_decay,
            step: self.step,
        };
        D::step(Step::Adam(step), network, gradients, &mut self.moments)
    }
}
