//! The layers of dfdx in a summary, and what dfdx makes of layers: tuples, residuals, repetitions.

use super::layers::{batch_norm_2d, elementwise, image_shape, linear, wrong_input};
use super::{LayerSummary, Summarize, SummaryError};
use dfdx::nn::modules::{
    Abs, AccurateGeLU, AvgPoolGlobal, BatchNorm1D, BatchNorm2D, Bias2D, Cos, Dropout, DropoutOneIn,
    Exp, FastGeLU, GeneralizedResidual, LayerNorm1D, LeakyReLU, Linear, Ln, LogSoftmax,
    MaxPoolGlobal, MinPoolGlobal, ReLU, Repeated, Residual, Sigmoid, Sin, Softmax, Sqrt, Square,
    Tanh, UnbiasedLinear,
};
use dfdx::prelude::{Dtype, Storage};

macro_rules! summarize_elementwise {
    ($($layer:ident),+) => {$(
        impl Summarize for $layer {
            fn summarize(&self, input: &[usize]) -> Result<LayerSummary, SummaryError> {
                elementwise(stringify!($layer), input)
            }
        }
    )+};
}

summarize_elementwise!(
    Abs,
    AccurateGeLU,
    Cos,
    Exp,
    FastGeLU,
    Ln,
    LogSoftmax,
    ReLU,
    Sigmoid,
    Sin,
    Softmax,
    Sqrt,
    Square,
    Tanh
);

impl<E: Dtype> Summarize for LeakyReLU<E> {
    fn summarize(&self, input: &[usize]) -> Result<LayerSummary, SummaryError> {
        elementwise(format!("LeakyReLU {:?}", self.0), input)
    }
}

impl Summarize for Dropout {
    fn summarize(&self, input: &[usize]) -> Result<LayerSummary, SummaryError> {
        elementwise(format!("Dropout {}", self.p), input)
    }
}

impl<const N: usize> Summarize for DropoutOneIn<N> {
    fn summarize(&self, input: &[usize]) -> Result<LayerSummary, SummaryError> {
        elementwise(format!("DropoutOneIn {N}"), input)
    }
}

macro_rules! summarize_global_pooling {
    ($($layer:ident),+) => {$(
        impl Summarize for $layer {
            /// `(batch, channel, height, width)` becomes `(batch, channel)`.
            fn summarize(&self, input: &[usize]) -> Result<LayerSummary, SummaryError> {
                let kind = stringify!($layer);
                match input {
                    [batch, channels, _, _] => Ok(LayerSummary::leaf(kind, [*batch, *channels], 0, 0)),
                    _ => Err(wrong_input(kind, "[batch, channel, height, width]".to_string(), input)),
                }
            }
        }
    )+};
}

summarize_global_pooling!(AvgPoolGlobal, MaxPoolGlobal, MinPoolGlobal);

impl<const I: usize, const O: usize, E: Dtype, D: Storage<E>> Summarize for Linear<I, O, E, D> {
    fn summarize(&self, input: &[usize]) -> Result<LayerSummary, SummaryError> {
        linear(format!("Linear {I} -> {O}"), input, [I, O], I * O + O)
    }
}

impl<const I: usize, const O: usize, E: Dtype, D: Storage<E>> Summarize
    for UnbiasedLinear<I, O, E, D>
{
    fn summarize(&self, input: &[usize]) -> Result<LayerSummary, SummaryError> {
        linear(format!("UnbiasedLinear {I} -> {O}"), input, [I, O], I * O)
    }
}

impl<const C: usize, E: Dtype, D: Storage<E>> Summarize for Bias2D<C, E, D> {
    fn summarize(&self, input: &[usize]) -> Result<LayerSummary, SummaryError> {
        let kind = format!("Bias2D {C}");
        let shape = image_shape(&kind, input, C)?;
        Ok(LayerSummary::leaf(kind, shape, C, 0))
    }
}

impl<const C: usize, E: Dtype, D: Storage<E>> Summarize for BatchNorm2D<C, E, D> {
    fn summarize(&self, input: &[usize]) -> Result<LayerSummary, SummaryError> {
        batch_norm_2d(input, C)
    }
}

impl<const C: usize, E: Dtype, D: Storage<E>> Summarize for BatchNorm1D<C, E, D> {
    fn summarize(&self, input: &[usize]) -> Result<LayerSummary, SummaryError> {
        let kind = format!("BatchNorm1D {C}");
        match input {
            [_, channels] | [_, channels, _] if *channels == C => {
                Ok(LayerSummary::leaf(kind, input, 2 * C, 0))
            }
            _ => Err(wrong_input(
                &kind,
                format!("[batch, {C}] or [batch, {C}, length]"),
                input,
            )),
        }
    }
}

impl<const M: usize, E: Dtype, D: Storage<E>> Summarize for LayerNorm1D<M, E, D> {
    fn summarize(&self, input: &[usize]) -> Result<LayerSummary, SummaryError> {
        let kind = format!("LayerNorm1D {M}");
        match input.last() {
            Some(&last) if last == M => Ok(LayerSummary::leaf(kind, input, 2 * M, 0)),
            _ => Err(wrong_input(&kind, format!("[.., {M}]"), input)),
        }
    }
}

impl<F: Summarize> Summarize for Residual<F> {
    fn summarize(&self, input: &[usize]) -> Result<LayerSummary, SummaryError> {
        LayerSummary::group("Residual", input)
            .then("0", &self.0)?
            .plus("skip", &(), input)
    }
}

impl<F: Summarize, R: Summarize> Summarize for GeneralizedResidual<F, R> {
    fn summarize(&self, input: &[usize]) -> Result<LayerSummary, SummaryError> {
        LayerSummary::group("GeneralizedResidual", input)
            .then("f", &self.f)?
            .plus("r", &self.r, input)
    }
}

impl<T: Summarize, const N: usize> Summarize for Repeated<T, N> {
    fn summarize(&self, input: &[usize]) -> Result<LayerSummary, SummaryError> {
        let layers = self.modules.iter().enumerate();
        layers
            .map(|(index, layer)| (index.to_string(), layer))
            .try_fold(
                LayerSummary::group(format!("Repeated {N} times"), input),
                |summary, (name, layer)| summary.then(&name, layer),
            )
    }
}

impl Summarize for () {
    fn summarize(&self, input: &[usize]) -> Result<LayerSummary, SummaryError> {
        Ok(LayerSummary::group("Identity", input))
    }
}

macro_rules! summarize_tuple {
    ($($layer:ident $index:tt),+) => {
        impl<$($layer: Summarize),+> Summarize for ($($layer,)+) {
            fn summarize(&self, input: &[usize]) -> Result<LayerSummary, SummaryError> {
                let summary = LayerSummary::group("Sequence", input);
                $(let summary = summary.then(stringify!($index), &self.$index)?;)+
                Ok(summary)
            }
        }
    };
}

summarize_tuple!(A 0);
summarize_tuple!(A 0, B 1);
summarize_tuple!(A 0, B 1, C 2);
summarize_tuple!(A 0, B 1, C 2, D 3);
summarize_tuple!(A 0, B 1, C 2, D 3, F 4);
summarize_tuple!(A 0, B 1, C 2, D 3, F 4, G 5);
