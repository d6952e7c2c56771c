//! Inception-ResNet: an Inception module that adds to its input.

use crate::network;
use crate::nn::{BiasedConv2D, ConvNorm, Flowing, Forward, Images, Layer, LayerDevice, cat, relu};
use crate::summary::{LayerSummary, Summarize, SummaryError};
use dfdx::prelude::*;

network! {
    /// The block of Inception-ResNet-v1's first stage, with `M` channels a branch: 1x1, 3x3, and two 3x3; a 1x1
    /// convolution without activation that brings them to the `C` channels of the input, and the sum with it:
    /// `relu(x + scale * expand(branches(x)))`. The paper has `C = 256` and `M = 32`. `MID` has to be `3 M`, or it does not
    /// compile.
    ///
    /// `(batch, C, height, width)` to the same. Szegedy et al. 2016, *Inception-v4, Inception-ResNet and the Impact of
    /// Residual Connections on Learning*, section 3.3 and figure 10.
    ///
    /// ```
    /// use dldna_nn::{inception::InceptionResNetA, prelude::*};
    /// let dev = Cpu::seed_from_u64(0);
    /// let mut block = dev.build_module::<InceptionResNetA<16, 4, 12>, f32>();
    /// let x = dev.sample_normal_like(&(1, Const::<16>, 7, 7)).relu();
    /// block.scale.factor = 0.0; // nothing is added
    /// assert_eq!(block.forward(x.clone()).as_vec(), x.as_vec());
    /// ```
    pub struct InceptionResNetA<const C: usize, const M: usize, const MID: usize> {
        branch0: ConvNorm<C, M, 1>,
        branch1: (ConvNorm<C, M, 1>, ConvNorm<M, M, 3, 1, 1>),
        branch2: (ConvNorm<C, M, 1>, ConvNorm<M, M, 3, 1, 1>, ConvNorm<M, M, 3, 1, 1>),
        expand: BiasedConv2D<MID, C, 1>,
        scale: ResidualScale,
    }
    forward(x: Images<C>) -> Images<C> {
        let branches = cat::<MID, _>((branch0(x.clone()), branch1(x.clone()), branch2(x.clone())));
        relu(x + scale(expand(branches)))
    }
}

/// The share of the branches in the sum, 0.2 at first: the paper found wide networks to "die" in training without a scale
/// between 0.1 and 0.3.
#[derive(Debug, Clone)]
pub struct ResidualScale {
    /// What each element is multiplied with.
    pub factor: f64,
}

impl Layer for ResidualScale {
    type On<E: Dtype, D: Storage<E>> = Self;
}

impl<E: Dtype, D: Device<E>> BuildOnDevice<D, E> for ResidualScale {
    type Built = Self;
}

impl<E: Dtype, D: Device<E>> TensorCollection<E, D> for ResidualScale {
    type To<E2: Dtype, D2: Device<E2>> = Self;

    fn iter_tensors<V: ModuleVisitor<Self, E, D>>(
        visitor: &mut V,
    ) -> Result<Option<Self::To<V::E2, V::D2>>, V::Err> {
        let factor = <Self as TensorCollection<E, D>>::scalar(
            "factor",
            |scale| &scale.factor,
            |scale| &mut scale.factor,
            ScalarOptions::from_default(0.2),
        );
        visitor.visit_fields(factor, |factor| Self { factor })
    }
}

impl<const C: usize, D: LayerDevice> Forward<Images<C, D>> for ResidualScale {
    type Output = Images<C, D>;

    fn eval(&self, x: Images<C, D>) -> Images<C, D> {
        x.layer(self, |flow| flow.scale(self.factor as f32))
    }

    fn train(&mut self, x: Images<C, D>) -> Images<C, D> {
        self.eval(x)
    }
}

impl Summarize for ResidualScale {
    fn summarize(&self, input: &[usize]) -> Result<LayerSummary, SummaryError> {
        Ok(LayerSummary::leaf(
            format!("Scale {}", self.factor),
            input,
            0,
            0,
        ))
    }
}
