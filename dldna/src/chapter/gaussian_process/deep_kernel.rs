//! A Gaussian process behind a network.

use super::{Ascent, GaussianProcess, GaussianProcessError, Hyperparameters, Prediction};
use crate::kernel_methods::{KernelMethodError, finite};
use dfdx::optim::{Adam, AdamConfig};
use dfdx::prelude::*;
use ndarray::{Array1, Array2};

/// One coordinate in, two features out.
type Network = ((Linear<1, 16>, Tanh), (Linear<16, 16>, Tanh), Linear<16, 2>);

/// How to train a [`DeepKernel`].
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct DeepKernelConfig {
    /// Steps of Adam, on the network's weights and the hyperparameters together.
    pub steps: usize,
    /// Their learning rate.
    pub learning_rate: f64,
    /// Decides the first weights.
    pub seed: u64,
}

impl Default for DeepKernelConfig {
    fn default() -> Self {
        Self {
            steps: 300,
            learning_rate: 0.02,
            seed: 0,
        }
    }
}

/// A Gaussian process on features that a network makes of the places: `k(g(a), g(b))`. The network may bring places
/// together where the function changes slowly, and take them apart where it changes fast. Wilson et al., *Deep Kernel
/// Learning*, 2016.
///
/// # Example
/// ```
/// use dldna::gaussian_process::{DeepKernel, DeepKernelConfig, step_data};
///
/// let (x, y) = step_data(30, 0.05, 0);
/// let deep = DeepKernel::train(&x, &y, &DeepKernelConfig { steps: 20, ..Default::default() })?;
/// let prediction = deep.predict(&[-1.0, 1.0])?;
/// assert!(prediction.mean[0] < prediction.mean[1]);
/// # Ok::<(), dldna::gaussian_process::GaussianProcessError>(())
/// ```
#[derive(Debug, Clone)]
pub struct DeepKernel {
    network: <Network as BuildOnDevice<Cpu, f64>>::Built,
    /// The process on the features.
    pub process: GaussianProcess,
}

impl DeepKernel {
    /// Trains network and hyperparameters for the largest marginal likelihood of the `targets` at the places `inputs`.
    ///
    /// # Errors
    /// There is no place, and those of [`GaussianProcess::new`].
    pub fn train(
        inputs: &[f64],
        targets: &[f64],
        config: &DeepKernelConfig,
    ) -> Result<Self, GaussianProcessError> {
        if inputs.is_empty() {
            return Err(KernelMethodError::Empty("place").into());
        }
        if targets.len() != inputs.len() {
            return Err(GaussianProcessError::Size {
                what: "targets, one for each input",
                expected: inputs.len(),
                got: targets.len(),
            });
        }
        finite("place", inputs)?;
        let dev = Cpu::seed_from_u64(config.seed);
        let mut network = dev.build_module::<Network, f64>();
        let mut optimizer = Adam::new(
            &network,
            AdamConfig {
                lr: config.learning_rate,
                ..Default::default()
            },
        );
        let start = Hyperparameters {
            length_scale: 1.0,
            signal_deviation: 1.0,
            noise_deviation: 0.2,
        };
        let mut ascent = Ascent::new(start, config.learning_rate);
        let mut hyperparameters = start;
        let targets = Array1::from_vec(targets.to_vec());
        for _ in 0..config.steps {
            let features = network.try_forward(tensor(&dev, inputs)?.leaky_traced())?;
            let process =
                GaussianProcess::new(matrix(&features), targets.clone(), hyperparameters)?;
            let gradient = process.gradient()?;
            // The sum of features times constants has these constants as its gradient with respect to the features. So going back from
            // it through the network gives the gradient of the likelihood by each weight: the chain rule, nothing else.
            // With a minus, for the optimizer goes downhill.
            let slopes = dev.try_tensor_from_vec(
                gradient.inputs.iter().map(|slope| -slope).collect(),
                *features.shape(),
            )?;
            let gradients = features
                .try_mul(slopes)?
                .try_sum::<Rank0, _>()?
                .try_backward()?;
            if let Err(OptimizerUpdateError::DeviceError(error)) =
                optimizer.update(&mut network, &gradients)
            {
                return Err(error.into());
            }
            hyperparameters = ascent.step(gradient.logarithms);
        }
        let features = matrix(&network.try_forward(tensor(&dev, inputs)?)?);
        Ok(Self {
            process: GaussianProcess::new(features, targets, hyperparameters)?,
            network,
        })
    }

    /// What would be measured at `places`.
    ///
    /// # Errors
    /// A place is not finite.
    pub fn predict(&self, places: &[f64]) -> Result<Prediction, GaussianProcessError> {
        self.process.predict(&self.features(places)?)
    }

    /// What the network makes of `places`: (count, 2).
    ///
    /// # Errors
    /// Those of the device.
    pub fn features(&self, places: &[f64]) -> Result<Array2<f64>, GaussianProcessError> {
        if places.is_empty() {
            return Ok(Array2::zeros((0, 2)));
        }
        let dev = Cpu::default();
        Ok(matrix(&self.network.try_forward(tensor(&dev, places)?)?))
    }
}

fn tensor(dev: &Cpu, values: &[f64]) -> Result<Tensor<(usize, Const<1>), f64, Cpu>, CpuError> {
    dev.try_tensor_from_vec(values.to_vec(), (values.len(), Const::<1>))
}

fn matrix<T>(features: &Tensor<(usize, Const<2>), f64, Cpu, T>) -> Array2<f64> {
    let mut values = vec![0.0; 2 * features.shape().0];
    features.copy_into(&mut values);
    Array2::from_shape_fn((features.shape().0, 2), |(i, j)| values[2 * i + j])
}
