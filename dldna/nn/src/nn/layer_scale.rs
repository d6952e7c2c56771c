//! A factor for each channel.

use super::device::LayerDevice;
use super::layer::{image_layer, layer};
use super::run::run_time_sizes;
use crate::summary::layers::image_shape;
use crate::summary::{LayerSummary, Summarize, SummaryError};
use dfdx::prelude::*;

layer! {
    /// Multiplies each of `C` channels by a factor that is learned; all are 1e-6 at first, so that a residual block begins
    /// as if it were not there. `(batch, C, height, width)` to the same shape. Touvron et al., *Going Deeper with Image
    /// Transformers*, 2021, section 2.
    ///
    /// ```
    /// use dldna_nn::{nn::LayerScale, prelude::*};
    /// let dev = Cpu::seed_from_u64(0);
    /// let scale = dev.build_module::<LayerScale<2>, f32>();
    /// let y = scale.forward(dev.ones_like(&(1, Const::<2>, 3, 3)));
    /// assert!(y.as_vec().iter().all(|y| *y == 1e-6));
    /// ```
    pub struct LayerScale<const C> {
        /// One factor for each channel.
        factors: Rank1<C> = TensorOptions::reset_with(|factors| {
            factors.try_fill_with_ones()?;
            *factors = factors.clone().try_mul(E::from_f64(1e-6).unwrap_or_default())?;
            Ok(())
        }),
    }
}

image_layer!(
    <const C> LayerScale<C, f32, D>, C same,
    |layer, flow| {
        let factors = run_time_sizes(layer.factors.clone());
        flow.apply(|x| D::affine(x, Some(factors), None))
    }
);

impl<const C: usize, E: Dtype, D: Storage<E>> Summarize for LayerScale<C, E, D> {
    fn summarize(&self, input: &[usize]) -> Result<LayerSummary, SummaryError> {
        let kind = format!("LayerScale {C}");
        let shape = image_shape(&kind, input, C)?;
        Ok(LayerSummary::leaf(kind, shape, C, 0))
    }
}
