//! Normalised images that are computed twice rather than kept.
//!
//! The gradient of a batch norm needs the values that it normalised, and the operation behind it needs the results for its
//! own. Both take as much memory, and the results follow from the values by a multiplication and an addition for each
//! element. So only the values are kept: the operation behind computes the results for itself, forward and once more
//! backward. Chen et al., *Training Deep Nets with Sublinear Memory Cost*, 2016, section 4.

use super::{Pixels, Result, on_host, on_pool, shared};
use crate::kernels::activation::{Activation, Slopes};
use crate::kernels::batch_norm::{BatchNorm, Statistics};
use crate::kernels::elementwise::add;
use crate::kernels::epilogue::Epilogue;
use crate::kernels::pool2d::Pool2d;
use crate::kernels::scratch::Scratch;
use crate::nn::{Batch, BatchStatistics, NormParameters};
use dfdx::prelude::*;
use std::mem::take;
use std::ops::Deref;

/// From the gradient with respect to a result to those with respect to what it was computed from.
pub(super) type ResultBackward = Box<dyn FnOnce(Scratch, &mut Gradients<f32, Cpu>) -> Result<()>>;

/// The values that a batch norm normalises: its input, or what the convolution in front of it gives, which nobody else
/// needs and whose memory is used again.
pub enum Values {
    /// Of a batch norm by itself.
    Input(Batch<Cpu>),
    /// Of one behind a convolution.
    Convolved(Convolved),
}

/// The result of a convolution without its bias.
pub struct Convolved {
    pub(super) result: Scratch,
    pub(super) backward: ResultBackward,
}

/// The elements of [`Values`].
enum Elements {
    Input(Pixels),
    Convolved(Scratch),
}

impl Deref for Elements {
    type Target = [f32];

    fn deref(&self) -> &[f32] {
        match self {
            Elements::Input(pixels) => pixels,
            Elements::Convolved(scratch) => scratch,
        }
    }
}

impl From<Elements> for Scratch {
    fn from(elements: Elements) -> Self {
        match elements {
            Elements::Input(pixels) => {
                let mut copy = Scratch::any(pixels.len());
                copy.copy_from_slice(&pixels);
                copy
            }
            Elements::Convolved(scratch) => scratch,
        }
    }
}

/// Normalised images, for an operation that computes them itself.
pub struct Normalised {
    pub(super) normalisation: Normalisation,
    pub(super) shape: (usize, usize, usize, usize),
    /// From the gradient with respect to the values.
    pub(super) to_operands: ResultBackward,
}

impl Normalised {
    pub(super) fn new(
        of: BatchStatistics<Cpu, Values>,
        norm: NormParameters<Cpu>,
        activation: Activation,
    ) -> Result<Self> {
        let (values, to_operands) = match of.values {
            Values::Input(x) => {
                let (values, d_x) = (shared(&x)?, x.ghost());
                let to_input: ResultBackward = Box::new(move |d_values, gradients| {
                    add(gradients.get_or_alloc_mut(&d_x)?, &d_values);
                    Ok(())
                });
                (Elements::Input(values), to_input)
            }
            Values::Convolved(Convolved { result, backward }) => {
                (Elements::Convolved(result), backward)
            }
        };
        Ok(Self {
            normalisation: Normalisation {
                values,
                kernel: super::normalizer(&of.shape, norm.epsilon),
                statistics: on_host(&of.statistics)?,
                norm,
                activation,
            },
            shape: of.shape,
            to_operands,
        })
    }

    pub(super) fn device(&self) -> Cpu {
        self.normalisation.norm.scale.device().clone()
    }

    /// The largest result in each window, from the values at once, and the backward pass.
    pub(super) fn max_pool2d(self, pool: Pool2d, output: &mut [f32]) -> Result<ResultBackward> {
        let Self {
            normalisation,
            to_operands,
            ..
        } = self;
        let winners = {
            let epilogue = normalisation.epilogue(None)?;
            let values = &*normalisation.values;
            let compute = |index: usize, plane: &mut [f32]| {
                let pixels = plane.len();
                let values = &values[index * pixels..][..pixels];
                epilogue.write_planes(index, pixels, values, plane);
            };
            on_pool(|| pool.max_of_computed(compute, output))
        };
        Ok(Box::new(move |d_output, gradients| {
            let d_values = normalisation.backward_of_max(pool, &winners, d_output, gradients)?;
            to_operands(d_values, gradients)
        }))
    }
}

/// What a batch norm has normalised, and how.
pub(super) struct Normalisation {
    values: Elements,
    kernel: BatchNorm,
    statistics: Statistics,
    norm: NormParameters<Cpu>,
    activation: Activation,
}

impl Normalisation {
    /// The results, with `shortcut` added in front of the activation.
    pub(super) fn results(&self, shortcut: Option<&[f32]>) -> Result<(Scratch, Slopes)> {
        let (kernel, values, epilogue) = (self.kernel, &*self.values, self.epilogue(shortcut)?);
        // With a shortcut others read them, and they become a tensor.
        let mut results = match shortcut {
            Some(_) => Scratch::of_tensor(values.len()),
            None => Scratch::any(values.len()),
        };
        let output = &mut results[..];
        let slopes = on_pool(|| kernel.normalize(values, &epilogue, output));
        Ok((results, slopes))
    }

    fn epilogue<'a>(&self, shortcut: Option<&'a [f32]>) -> Result<Epilogue<'a>> {
        Ok(Epilogue {
            lines: self.lines()?,
            shortcut,
            activation: self.activation,
        })
    }

    /// From the gradient with respect to the results, without a shortcut, to the one with respect to the values.
    pub(super) fn backward(
        &self,
        mut d_results: Scratch,
        gradients: &mut Gradients<f32, Cpu>,
    ) -> Result<Scratch> {
        let (lines, slopes) = (self.lines()?, self.slopes());
        let (kernel, values) = (self.kernel, &*self.values);
        on_pool(|| kernel.backward_activation(&slopes, &lines, values, &mut d_results));
        self.backward_normalized(d_results, gradients)
    }

    /// From the gradient with respect to what the activation is given to the one with respect to the values.
    pub(super) fn backward_normalized(
        &self,
        mut gradient: Scratch,
        gradients: &mut Gradients<f32, Cpu>,
    ) -> Result<Scratch> {
        let (kernel, values, statistics) = (self.kernel, &*self.values, &self.statistics);
        with_parameters(&self.norm, gradients, |scale, d_scale, d_bias| {
            kernel.backward(values, statistics, scale, &mut gradient, d_scale, d_bias);
        })?;
        Ok(gradient)
    }

    /// From the gradient with respect to the largest results to the one with respect to the values, in the memory of those.
    fn backward_of_max(
        self,
        pool: Pool2d,
        winners: &[u32],
        d_largest: Scratch,
        gradients: &mut Gradients<f32, Cpu>,
    ) -> Result<Scratch> {
        let (lines, slopes) = (self.lines()?, self.slopes());
        let Self {
            values,
            kernel,
            statistics,
            norm,
            ..
        } = self;
        let mut values = Scratch::from(values);
        let d_results = |index: usize, values: &[f32], gradient: &mut [f32]| {
            gradient.fill(0.0);
            pool.max_backward_plane(index, winners, &d_largest, gradient);
            kernel.backward_activation_plane(&slopes, &lines, index, values, gradient);
        };
        with_parameters(&norm, gradients, |scale, d_scale, d_bias| {
            let values = &mut values[..];
            kernel.backward_of_planes(values, &statistics, scale, d_results, d_scale, d_bias);
        })?;
        Ok(values)
    }

    fn lines(&self) -> Result<Vec<(f32, f32)>> {
        let (scale, bias) = (shared(&self.norm.scale)?, shared(&self.norm.bias)?);
        Ok(self.kernel.lines(&self.statistics, &scale, &bias))
    }

    /// Of an activation whose results tell them.
    fn slopes(&self) -> Slopes {
        self.activation.slopes_of_results().unwrap_or(Slopes::One)
    }
}

/// Runs `work(scale, d_scale, d_bias)` with the gradients with respect to the parameters, to which it adds.
fn with_parameters(
    norm: &NormParameters<Cpu>,
    gradients: &mut Gradients<f32, Cpu>,
    work: impl FnOnce(&[f32], &mut [f32], &mut [f32]) + Send,
) -> Result<()> {
    let scale = shared(&norm.scale)?;
    // The tape lends one gradient at a time: they are taken out and put back.
    let mut d_scale = take(&mut **gradients.get_or_alloc_mut(&norm.scale)?);
    let mut d_bias = take(&mut **gradients.get_or_alloc_mut(&norm.bias)?);
    on_pool(|| work(&scale, &mut d_scale, &mut d_bias));
    **gradients.get_or_alloc_mut(&norm.scale)? = d_scale;
    **gradients.get_or_alloc_mut(&norm.bias)? = d_bias;
    Ok(())
}
