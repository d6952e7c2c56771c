//! Optimizers, with a state that can be saved.

mod adam;
mod cpu;
mod sgd;
mod state;

pub use adam::Adam;
pub use sgd::Sgd;
pub use state::Moments;

use super::TrainError;
use crate::kernels::{adam::AdamStep, sgd::SgdStep};
use crate::nn::LayerDevice;
use crate::weights::{AnyTensorMut, Values, for_each_tensor_mut};
use dfdx::optim::{Momentum, WeightDecay};
use dfdx::prelude::{tensor_collection::*, *};
use state::storage;
use std::collections::BTreeMap;

/// How the gradients move the parameters.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub enum UpdateRule {
    /// [`Adam`]; with a weight decay in the configuration it is AdamW.
    #[default]
    Adam,
    /// [`Sgd`]: stochastic gradient descent.
    Sgd {
        /// Decay of the sum of the gradients, from 0 to below 1; 0.9 is usual.
        momentum: f32,
        /// Whether to look ahead by one step.
        nesterov: bool,
    },
}

/// One step of an optimizer.
#[derive(Debug, Clone, Copy)]
pub enum Step {
    /// Of Adam.
    Adam(AdamStep),
    /// Of stochastic gradient descent.
    Sgd(SgdStep),
}

impl Step {
    /// The same step for a tensor with `axes` axes: a batch norm's factors and all biases have one axis, and are not to
    /// become smaller.
    fn for_axes(self, axes: usize) -> Self {
        match self {
            Step::Adam(step) if axes < 2 => Step::Adam(AdamStep {
                weight_decay: 0.0,
                ..step
            }),
            Step::Sgd(step) if axes < 2 => Step::Sgd(SgdStep {
                weight_decay: 0.0,
                ..step
            }),
            step => step,
        }
    }
}

/// A device to train on: it runs the layers, takes the optimizer's steps, and says in words what went wrong.
pub trait TrainDevice: LayerDevice {
    /// The error of an operation, with the layer's own words where it left some.
    fn explain(error: Self::Err) -> TrainError;

    /// One step: moves all trainable parameters of `network` by their gradients, and sets these to 0 for the next pass.
    /// `moments` has those of each tensor by its name; where there are none yet, they start from 0.
    ///
    /// # Errors
    /// Those of the device.
    fn step<M: TensorCollection<f32, Self>>(
        step: Step,
        network: &mut M,
        gradients: &mut Gradients<f32, Self>,
        moments: &mut BTreeMap<String, Moments<Self>>,
    ) -> Result<(), Self::Err> {
        let mut update = Update {
            step,
            gradients,
            moments,
        };
        M::iter_tensors(&mut RecursiveWalker {
            m: (network, String::new()),
            f: &mut update,
        })
        .map(drop)
    }

    /// `values *= factor`
    ///
    /// # Errors
    /// Those of the device.
    fn scale(
        &self,
        values: &mut <Self as Storage<f32>>::Vec,
        factor: f32,
    ) -> Result<(), Self::Err> {
        let mut scaled = state::values(self, values)?;
        scaled.iter_mut().for_each(|value| *value *= factor);
        *values = storage(self, scaled)?;
        Ok(())
    }
}

/// Shows all trainable parameters of a network, until the first error.
fn for_each_parameter<M: TensorCollection<f32, D>, D: TrainDevice>(
    network: &mut M,
    mut f: impl FnMut(&str, &mut dyn AnyTensorMut<D>) -> Result<(), D::Err>,
) -> Result<(), D::Err> {
    let mut done = Ok(());
    for_each_tensor_mut(network, &mut |name, tensor, is_trained| {
        if is_trained && done.is_ok() {
            done = f(name, tensor);
        }
    });
    done
}

impl TrainDevice for Cpu {
    fn explain(error: CpuError) -> TrainError {
        error.into()
    }

    /// In place, on all cores.
    fn step<M: TensorCollection<f32, Self>>(
        step: Step,
        network: &mut M,
        gradients: &mut Gradients<f32, Self>,
        moments: &mut BTreeMap<String, Moments<Self>>,
    ) -> Result<(), CpuError> {
        cpu::step(step, network, gradients, moments)
    }

    fn scale(&self, values: &mut <Self as Storage<f32>>::Vec, factor: f32) -> Result<(), CpuError> {
        values.iter_mut().for_each(|value| *value *= factor);
        Ok(())
    }
}

#[cfg(feature = "cuda")]
impl TrainDevice for Cuda {
    fn explain(error: CudaError) -> TrainError {
        match crate::nn::last_error() {
            Some(error) => error.into(),
            None => TrainError::Device(error.into()),
        }
    }
}

/// Moves each tensor that it is shown by dfdx's own optimizers, one tensor after the other.
struct Update<'a, D: Storage<f32>> {
    step: Step,
    gradients: &'a mut Gradients<f32, D>,
    moments: &'a mut BTreeMap<String, Moments<D>>,
}

impl<D: TrainDevice> TensorVisitor<f32, D> for Update<'_, D> {
    type Viewer = (ViewTensorMut, ViewTensorName);
    type Err = D::Err;
    type E2 = f32;
    type D2 = D;

    fn visit<S: Shape>(
        &mut self,
        options: TensorOptions<S, f32, D>,
        (tensor, name): (&mut Tensor<S, f32, D>, String),
    ) -> Result<Option<Tensor<S, f32, D>>, D::Err> {
        if !options.do_gradient_update {
            return Ok(None);
        }
        let dev = tensor.device().clone();
        let gradient = self.gradients.get_or_alloc_mut(tensor)?;
        let moments = Moments::of(&self.step, self.moments, name, &dev, gradient)?;
        match self.step.for_axes(S::NUM_DIMS) {
            Step::Adam(step) => AdamConfig {
                lr: step.learning_rate.into(),
                betas: [step.betas.0.into(), step.betas.1.into()],
                eps: step.epsilon.into(),
                weight_decay: Some(WeightDecay::Decoupled(step.weight_decay.into())),
            }
            .try_update(
                step.step,
                tensor,
                &mut moments.first,
                &mut moments.second,
                gradient,
            )?,
            Step::Sgd(step) => SgdConfig {
                lr: step.learning_rate.into(),
                momentum: Some(if step.nesterov {
                    Momentum::Nesterov(step.momentum.into())
                } else {
                    Momentum::Classic(step.momentum.into())
                }),
                weight_decay: Some(WeightDecay::Decoupled(step.weight_decay.into())),
            }
            .try_update(tensor, &mut moments.first, gradient)?,
        }
        dev.try_fill_with_zeros(gradient)?;
        Ok(None)
    }
}

/// Makes the gradients of all trainable parameters smaller by one factor, so that their norm together is at most `norm`;
/// returns what it was. PyTorch: `torch.nn.utils.clip_grad_norm_`. Pascanu et al., *On the difficulty of training recurrent
/// neural networks*, 2012.
///
/// # Errors
/// Those of the device.
///
/// ```
/// use dldna_nn::{prelude::*, train::clip_gradients};
///
/// let dev = Cpu::seed_from_u64(0);
/// let mut model = dev.build_module::<Linear<2, 1>, f32>();
/// let x = dev.tensor([[300.0, 400.0]]);
/// let mut gradients = model.forward(x.leaky_trace()).sum().backward(); // by the weights x, by the bias 1
/// let norm = clip_gradients(&mut model, &mut gradients, 5.0)?;
/// assert!((norm - 500.0).abs() < 0.01);
/// let clipped = gradients.get(&model.weight).array();
/// assert!((clipped[0][0] - 3.0).abs() < 1e-3 && (clipped[0][1] - 4.0).abs() < 1e-3);
/// # Ok::<(), CpuError>(())
/// ```
pub fn clip_gradients<M: TensorCollection<f32, D>, D: TrainDevice>(
    network: &mut M,
    gradients: &mut Gradients<f32, D>,
    norm: f32,
) -> Result<f32, D::Err> {
    let mut squared = 0.0;
    for_each_parameter(network, |_, tensor| {
        let gradient = tensor.gradient(gradients);
        squared += gradient.iter().map(|&g| f64::from(g).powi(2)).sum::<f64>();
        Ok(())
    })?;
    let found = squared.sqrt() as f32;
    if found > norm {
        let factor = norm / found;
        for_each_parameter(network, |_, tensor| {
            let gradient = tensor.gradient_mut(gradients)?;
            tensor.device().scale(gradient, factor)
        })?;
    }
    Ok(found)
}

/// The optimizer of a training.
#[derive(Debug, Clone)]
pub(super) enum Updates<D: Storage<f32>> {
    Adam(Adam<D>),
    Sgd(Sgd<D>),
}

impl<D: TrainDevice> Updates<D> {
    pub fn new(optimizer: UpdateRule, weight_decay: f32) -> Self {
        match optimizer {
            UpdateRule::Adam => Updates::Adam(Adam {
                weight_decay,
                ..Adam::new(0.0)
            }),
            UpdateRule::Sgd { momentum, nesterov } => Updates::Sgd(Sgd {
                weight_decay,
                nesterov,
                ..Sgd::new(0.0, momentum)
            }),
        }
    }

    pub fn update<M: TensorCollection<f32, D>>(
        &mut self,
        learning_rate: f32,
        network: &mut M,
        gradients: &mut Gradients<f32, D>,
    ) -> Result<(), D::Err> {
        match self {
            Updates::Adam(adam) => {
                adam.learning_rate = learning_rate;
                adam.update(network, gradients)
            }
            Updates::Sgd(sgd) => {
                sgd.learning_rate = learning_rate;
                sgd.update(network, gradients)
            }
        }
    }

    /// The number of steps taken, and the moments under `first/name` and `second/name`.
    pub fn state(&self, dev: &D) -> Result<(i32, BTreeMap<String, Values>), D::Err> {
        let (step, moments) = match self {
            Updates::Adam(adam) => (adam.step, &adam.moments),
            Updates::Sgd(sgd) => (0, &sgd.moments),
        };
        Ok((step, state::save(dev, moments)?))
    }

    /// The inverse of [`Updates::state`]. Returns whether the moments are those of such an optimizer.
    pub fn set_state(
        &mut self,
        dev: &D,
        steps: i32,
        tensors: BTreeMap<String, Values>,
    ) -> Result<bool, D::Err> {
        let second = matches!(self, Updates::Adam(_));
        let Some(loaded) = state::load(dev, tensors, second)? else {
            return Ok(false);
        };
        match self {
            Updates::Adam(adam) => (adam.step, adam.moments) = (steps, loaded),
            Updates::Sgd(sgd) => sgd.moments = loaded,
        }
        Ok(true)
    }
}
