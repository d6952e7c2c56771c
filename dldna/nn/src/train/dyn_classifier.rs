//! A classifier whose type is hidden.

use super::{Adam, Classifier, Images, Logits, TrainError};
use crate::nn::or_panic;
use dfdx::prelude::*;
use std::fmt;

/// A network that tells `CLASSES` kinds of grey images apart, whatever its layers are.
///
/// The type of a network lists all of its layers, and a function that takes any network is compiled for each of them
/// anew. A function that takes this one is compiled once, and has a signature that can be read.
///
/// ```
/// use dldna_nn::{prelude::*, train::{Adam, BoxedClassifier, Images, smoothed_targets}};
///
/// let dev = Cpu::seed_from_u64(0);
/// let mut network = BoxedClassifier::<10>::new(dev.build_module::<(Flatten<784>, Linear<784, 10>), f32>());
/// let mut adam = Adam::new(1e-3);
/// let images: Images = dev.sample_normal_like(&(4, Const, 28, 28));
/// for _ in 0..3 {
///     let gradients = network.try_alloc_grads()?;
///     let logits = network.forward_mut(images.clone().traced(gradients));
///     let loss = cross_entropy_with_logits_loss(logits, smoothed_targets(&[3, 1, 4, 1], 0.0)?);
///     network.update(&mut adam, &mut loss.backward())?;
/// }
/// assert_eq!(*network.forward(images).shape(), (4, Const::<10>));
/// # Ok::<(), dldna_nn::train::TrainError>(())
/// ```
pub struct BoxedClassifier<const CLASSES: usize>(Box<dyn Object<CLASSES>>);

impl<const CLASSES: usize> BoxedClassifier<CLASSES> {
    /// Hides the type of `network`.
    pub fn new<N>(network: N) -> Self
    where
        N: Classifier<1, CLASSES>
            + ModuleMut<Images<OwnedTape<f32, Cpu>>, Output = Logits<CLASSES, OwnedTape<f32, Cpu>>>
            + Send
            + 'static,
    {
        Self(Box::new(network))
    }

    /// Gradients of all parameters, all 0.
    ///
    /// # Errors
    /// [`TrainError::Dfdx`] when there is no memory for them.
    pub fn try_alloc_grads(&self) -> Result<Gradients<f32, Cpu>, TrainError> {
        Ok(self.0.gradients()?)
    }

    /// One step of Adam: moves all parameters by their gradients, and sets these to 0.
    ///
    /// # Errors
    /// [`TrainError::Dfdx`].
    pub fn update(
        &mut self,
        adam: &mut Adam,
        gradients: &mut Gradients<f32, Cpu>,
    ) -> Result<(), TrainError> {
        Ok(self.0.step(adam, gradients)?)
    }
}

/// What can be done with a network of a hidden type.
trait Object<const CLASSES: usize>: Send {
    fn evaluate(&self, images: Images) -> Result<Logits<CLASSES>, CpuError>;
    fn learn(
        &mut self,
        images: Images<OwnedTape<f32, Cpu>>,
    ) -> Result<Logits<CLASSES, OwnedTape<f32, Cpu>>, CpuError>;
    fn gradients(&self) -> Result<Gradients<f32, Cpu>, CpuError>;
    fn step(
        &mut self,
        adam: &mut Adam,
        gradients: &mut Gradients<f32, Cpu>,
    ) -> Result<(), CpuError>;
}

impl<const CLASSES: usize, N> Object<CLASSES> for N
where
    N: Classifier<1, CLASSES>
        + ModuleMut<Images<OwnedTape<f32, Cpu>>, Output = Logits<CLASSES, OwnedTape<f32, Cpu>>>
        + Send,
{
    fn evaluate(&self, images: Images) -> Result<Logits<CLASSES>, CpuError> {
        self.try_forward(images)
    }

    fn learn(
        &mut self,
        images: Images<OwnedTape<f32, Cpu>>,
    ) -> Result<Logits<CLASSES, OwnedTape<f32, Cpu>>, CpuError> {
        self.try_forward_mut(images)
    }

    fn gradients(&self) -> Result<Gradients<f32, Cpu>, CpuError> {
        self.try_alloc_grads()
    }

    fn step(
        &mut self,
        adam: &mut Adam,
        gradients: &mut Gradients<f32, Cpu>,
    ) -> Result<(), CpuError> {
        adam.update(self, gradients)
    }
}

impl<const CLASSES: usize> Module<Images> for BoxedClassifier<CLASSES> {
    type Output = Logits<CLASSES>;
    type Error = CpuError;

    fn try_forward(&self, images: Images) -> Result<Self::Output, CpuError> {
        self.0.evaluate(images)
    }

    fn forward(&self, images: Images) -> Self::Output {
        or_panic(|| self.try_forward(images))
    }
}

impl<const CLASSES: usize> ModuleMut<Images<OwnedTape<f32, Cpu>>> for BoxedClassifier<CLASSES> {
    type Output = Logits<CLASSES, OwnedTape<f32, Cpu>>;
    type Error = CpuError;

    fn try_forward_mut(
        &mut self,
        images: Images<OwnedTape<f32, Cpu>>,
    ) -> Result<Self::Output, CpuError> {
        self.0.learn(images)
    }

    fn forward_mut(&mut self, images: Images<OwnedTape<f32, Cpu>>) -> Self::Output {
        or_panic(|| self.try_forward_mut(images))
    }
}

impl<const CLASSES: usize> fmt::Debug for BoxedClassifier<CLASSES> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "a network for {CLASSES} classes")
    }
}
