//! What padding, upsampling and adaptive pooling have in common: each is a linear map of rows and one of columns.

use super::device::{Batch, LayerDevice, Operation};
use super::error::LayerError;
use crate::kernels::separable::{LinearMap, SeparableMap};
use crate::summary::layers::wrong_input;
use crate::summary::{LayerSummary, SummaryError};
use dfdx::prelude::HasShape;

/// A layer without weights that maps the rows and the columns of each plane.
pub(super) struct SeparableLayer {
    /// Its type, without the numbers.
    pub name: &'static str,
    /// The numbers of its type.
    pub numbers: &'static [usize],
    /// The least height and width of an image.
    pub least: usize,
    /// The map of a column of that height, which is at least `least`.
    pub rows: fn(usize) -> Option<LinearMap>,
    /// The map of a row of that width.
    pub columns: fn(usize) -> Option<LinearMap>,
}

impl SeparableLayer {
    fn map(&self, height: usize, width: usize) -> Option<SeparableMap> {
        Some(SeparableMap {
            rows: (self.rows)(height)?,
            columns: (self.columns)(width)?,
        })
    }

    /// The operation.
    pub fn apply<D: LayerDevice>(&self, x: Batch<D>) -> Result<Operation<D>, D::Err> {
        let &(_, _, height, width) = x.shape();
        match self.map(height, width) {
            Some(map) => D::separable_map(x, map),
            None => Err(D::error(LayerError::ImageTooSmall {
                layer: self.name,
                least: self.least,
                height,
                width,
            })),
        }
    }

    /// It works on any number of channels.
    pub fn summarize(&self, input: &[usize]) -> Result<LayerSummary, SummaryError> {
        let numbers = self.numbers.iter().map(usize::to_string);
        let kind = format!("{} {}", self.name, numbers.collect::<Vec<_>>().join("x"));
        let &[batch, channels, height, width] = input else {
            let expected = "[batch, channel, height, width]".to_owned();
            return Err(wrong_input(&kind, expected, input));
        };
        let Some(map) = self.map(height, width) else {
            let least = self.least;
            let expected =
                format!("[batch, channel, height, width] of at least {least}x{least} pixels");
            return Err(wrong_input(&kind, expected, input));
        };
        let (height, width) = map.output_size();
        let shape = [batch, channels, height, width];
        Ok(LayerSummary::leaf(kind, shape, 0, 0))
    }
}

/// A layer of this kind: the maps of its rows and columns, the least height and width, and what its numbers have to be.
macro_rules! separable_layer {
    (
        $(#[$docs:meta])*
        pub struct $Name:ident<$(const $N:ident),+>;
        rows: $rows:expr,
        columns: $columns:expr,
        least: $least:expr
        $(, where $condition:expr)? $(,)?
    ) => {
        $(#[$docs])*
        #[derive(Debug, Clone, Copy, Default)]
        pub struct $Name<$(const $N: usize),+>;

        impl<$(const $N: usize),+> $Name<$($N),+> {
            const LAYER: crate::nn::separable::SeparableLayer = {
                $(assert!($condition, concat!(stringify!($Name), ": ", stringify!($condition), " does not hold"));)?
                crate::nn::separable::SeparableLayer {
                    name: stringify!($Name),
                    numbers: &[$($N),+],
                    least: $least,
                    rows: $rows,
                    columns: $columns,
                }
            };
        }

        impl<$(const $N: usize),+> dfdx::prelude::ZeroSizedModule for $Name<$($N),+> {}
        crate::nn::layer::same_in_training!([$(const $N: usize),+] $Name<$($N),+>);

        impl<$(const $N: usize),+> crate::nn::Layer for $Name<$($N),+> {
            type On<Elem: dfdx::prelude::Dtype, Dev: dfdx::prelude::Storage<Elem>> = Self;
        }

        impl<$(const $N: usize,)+ const CHANNELS: usize, Dev: crate::nn::LayerDevice>
            crate::nn::Forward<crate::nn::Images<CHANNELS, Dev>> for $Name<$($N),+>
        {
            type Output = crate::nn::Images<CHANNELS, Dev>;

            fn eval(&self, x: crate::nn::Images<CHANNELS, Dev>) -> Self::Output {
                crate::nn::Flowing::layer(x, self, |flow| flow.apply(|x| Self::LAYER.apply(x)))
            }

            fn train(&mut self, x: crate::nn::Images<CHANNELS, Dev>) -> Self::Output {
                self.eval(x)
            }
        }

        impl<
            $(const $N: usize,)+
            BatchSize: dfdx::prelude::Dim,
            Channels: dfdx::prelude::Dim,
            Height: dfdx::prelude::Dim,
            Width: dfdx::prelude::Dim,
            Dev: crate::nn::LayerDevice,
            Recorder: dfdx::prelude::Tape<f32, Dev>,
        > dfdx::prelude::Module<dfdx::prelude::Tensor<(BatchSize, Channels, Height, Width), f32, Dev, Recorder>>
            for $Name<$($N),+>
        {
            type Output = dfdx::prelude::Tensor<(BatchSize, Channels, usize, usize), f32, Dev, Recorder>;
            type Error = Dev::Err;

            fn try_forward(
                &self,
                x: dfdx::prelude::Tensor<(BatchSize, Channels, Height, Width), f32, Dev, Recorder>,
            ) -> Result<Self::Output, Dev::Err> {
                crate::nn::run_any(x, |flow| flow.apply(|x| Self::LAYER.apply(x)))
            }

            fn forward(
                &self,
                x: dfdx::prelude::Tensor<(BatchSize, Channels, Height, Width), f32, Dev, Recorder>,
            ) -> Self::Output {
                crate::nn::error::or_panic(|| self.try_forward(x))
            }
        }

        impl<$(const $N: usize),+> crate::summary::Summarize for $Name<$($N),+> {
            fn summarize(
                &self,
                input: &[usize],
            ) -> Result<crate::summary::LayerSummary, crate::summary::SummaryError> {
                Self::LAYER.summarize(input)
            }
        }
    };
}

pub(super) use separable_layer;
