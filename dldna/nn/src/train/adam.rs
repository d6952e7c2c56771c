//! Adam, with a state that can be saved.

mod cpu;

use super::TrainError;
use crate::kernels::adam::AdamStep;
use crate::nn::LayerDevice;
use crate::weights::Values;
use dfdx::prelude::{tensor_collection::*, *};
use std::collections::{BTreeMap, btree_map::Entry};

/// A device to train on: it runs the layers, takes Adam's steps, and says in words what went wrong.
pub trait TrainDevice: LayerDevice {
    /// The error of an operation, with the layer's own words where it left some.
    fn explain(error: Self::Err) -> TrainError;

    /// One step: moves all trainable parameters of `network` by their gradients, and sets these to 0 for the next pass.
    /// `moments` has those of each tensor by its name; where there are none yet, they start from 0.
    ///
    /// # Errors
    /// Those of the device.
    fn adam<M: TensorCollection<f32, Self>>(
        step: AdamStep,
        network: &mut M,
        gradients: &mut Gradients<f32, Self>,
        moments: &mut BTreeMap<String, Moments<Self>>,
    ) -> Result<(), Self::Err> {
        adam_of_dfdx(step, network, gradients, moments)
    }
}

/// The step as dfdx has it, for every device: one tensor after the other.
fn adam_of_dfdx<M: TensorCollection<f32, D>, D: TrainDevice>(
    step: AdamStep,
    network: &mut M,
    gradients: &mut Gradients<f32, D>,
    moments: &mut BTreeMap<String, Moments<D>>,
) -> Result<(), D::Err> {
    let (beta1, beta2) = step.betas;
    let mut update = Update {
        config: AdamConfig {
            lr: step.learning_rate.into(),
            betas: [beta1.into(), beta2.into()],
            eps: step.epsilon.into(),
            weight_decay: None,
        },
        step: step.step,
        gradients,
        moments,
    };
    walk(network, &mut update)
}

/// Shows all tensors of a network to a visitor.
fn walk<M: TensorCollection<f32, D>, D: TrainDevice>(
    network: &mut M,
    visitor: &mut impl TensorVisitor<
        f32,
        D,
        Viewer = (ViewTensorMut, ViewTensorName),
        Err = D::Err,
        E2 = f32,
        D2 = D,
    >,
) -> Result<(), D::Err> {
    M::iter_tensors(&mut RecursiveWalker {
        m: (network, String::new()),
        f: visitor,
    })
    .map(drop)
}

impl TrainDevice for Cpu {
    fn explain(error: CpuError) -> TrainError {
        error.into()
    }

    /// In place, on all cores.
    fn adam<M: TensorCollection<f32, Self>>(
        step: AdamStep,
        network: &mut M,
        gradients: &mut Gradients<f32, Self>,
        moments: &mut BTreeMap<String, Moments<Self>>,
    ) -> Result<(), CpuError> {
        cpu::step(step, network, gradients, moments)
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

/// What Adam remembers of one tensor: the mean of its gradients, and of their squares.
#[derive(Debug, Clone)]
pub struct Moments<D: Storage<f32>> {
    first: D::Vec,
    second: D::Vec,
}

impl<D: TrainDevice> Moments<D> {
    /// Before the first step, for a tensor of `count` numbers.
    fn zeros(dev: &D, count: usize) -> Result<Self, D::Err> {
        Ok(Self {
            first: Storage::<f32>::try_alloc_len(dev, count)?,
            second: Storage::<f32>::try_alloc_len(dev, count)?,
        })
    }

    /// Those of the tensor `name`, whose gradient has been computed. New ones are zeros.
    fn of<'a>(
        moments: &'a mut BTreeMap<String, Self>,
        name: String,
        dev: &D,
        gradient: &<D as Storage<f32>>::Vec,
    ) -> Result<&'a mut Self, D::Err> {
        Ok(match moments.entry(name) {
            Entry::Occupied(there) => there.into_mut(),
            Entry::Vacant(place) => {
                place.insert(Self::zeros(dev, Storage::<f32>::len(dev, gradient))?)
            }
        })
    }
}

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
    step: i32,
    /// By the parameter's name.
    moments: BTreeMap<String, Moments<D>>,
}

impl<D: TrainDevice> Adam<D> {
    /// A new optimizer: no step taken.
    pub fn new(learning_rate: f32) -> Self {
        Self {
            learning_rate,
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
            step: self.step,
        };
        D::adam(step, network, gradients, &mut self.moments)
    }

    /// The state: the number of steps, and the moments under `first/name` and `second/name`.
    pub(super) fn state(&self, dev: &D) -> Result<(i32, BTreeMap<String, Values>), D::Err> {
        let mut tensors = BTreeMap::new();
        for (name, moments) in &self.moments {
            for (kind, moment) in [("first", &moments.first), ("second", &moments.second)] {
                let data = numbers(dev, moment)?;
                let values = Values {
                    shape: vec![data.len()],
                    data,
                };
                tensors.insert(format!("{kind}/{name}"), values);
            }
        }
        Ok((self.step, tensors))
    }

    /// The inverse of [`Adam::state`]; `None` if a moment lacks its fellow.
    pub(super) fn with_state(
        dev: &D,
        learning_rate: f32,
        step: i32,
        mut tensors: BTreeMap<String, Values>,
    ) -> Result<Option<Self>, D::Err> {
        let names: Vec<String> = tensors
            .keys()
            .filter_map(|name| name.strip_prefix("first/").map(str::to_owned))
            .collect();
        let mut moments = BTreeMap::new();
        for name in names {
            let first = tensors.remove(&format!("first/{name}"));
            let second = tensors.remove(&format!("second/{name}"));
            let (Some(first), Some(second)) = (first, second) else {
                return Ok(None);
            };
            let both = Moments {
                first: storage(dev, first.data)?,
                second: storage(dev, second.data)?,
            };
            moments.insert(name, both);
        }
        Ok(tensors.is_empty().then_some(Self {
            learning_rate,
            step,
            moments,
        }))
    }
}

/// The numbers in a storage. dfdx shows them of tensors and of gradients: for a moment it is the gradient of a tensor.
fn numbers<D: TrainDevice>(
    dev: &D,
    storage: &<D as Storage<f32>>::Vec,
) -> Result<Vec<f32>, D::Err> {
    let tensor: Tensor<(usize,), f32, D> =
        dev.try_zeros_like(&(Storage::<f32>::len(dev, storage),))?;
    let mut gradients = Gradients::leaky();
    *gradients.get_or_alloc_mut(&tensor)? = storage.clone();
    Ok(gradients.get(&tensor).as_vec())
}

/// The inverse of [`numbers`]: the gradient of `sum(x * numbers)` by `x`.
fn storage<D: TrainDevice>(dev: &D, numbers: Vec<f32>) -> Result<<D as Storage<f32>>::Vec, D::Err> {
    let shape = (numbers.len(),);
    let x: Tensor<(usize,), f32, D> = dev.try_zeros_like(&shape)?;
    let numbers: Tensor<(usize,), f32, D> = dev.try_tensor_from_vec(numbers, shape)?;
    let sum = x.leaky_trace().try_mul(numbers)?.try_sum::<Rank0, _>()?;
    let mut gradients = sum.try_backward()?;
    let empty = Storage::<f32>::try_alloc_len(dev, 1)?;
    Ok(std::mem::replace(gradients.get_or_alloc_mut(&x)?, empty))
}

/// Moves each tensor that it is shown by dfdx's Adam.
struct Update<'a, D: Storage<f32>> {
    config: AdamConfig,
    step: i32,
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
        let Moments { first, second } = Moments::of(self.moments, name, &dev, gradient)?;
        self.config
            .try_update(self.step, tensor, first, second, gradient)?;
        dev.try_fill_with_zeros(gradient)?;
        Ok(None)
    }
}
