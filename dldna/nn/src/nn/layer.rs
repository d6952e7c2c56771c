//! What every layer with weights consists of, written once: see `conv2d.rs` for how it reads.

/// A struct of tensors, which is both what networks are written with and what is built: `E` and `D` have defaults.
///
/// Each tensor has its shape and, behind `=`, how it is reset; tensors that are not trained come last.
macro_rules! layer {
    (
        $(#[$docs:meta])*
        pub struct $Name:ident<$(const $N:ident $(= $default:tt)?),+> {
            $($(#[$tensor_docs:meta])* $tensor:ident $(as $name:literal)?: $Shape:ty = $options:expr,)+
            $(;$($(#[$number_docs:meta])* $number:ident = $value:expr,)+)?
        }
    ) => {
        $(#[$docs])*
        #[derive(Debug, Clone)]
        pub struct $Name<
            $(const $N: usize $(= $default)?,)+
            E: Dtype = f32,
            D: Storage<E> = Cpu,
        > {
            $($(#[$tensor_docs])* pub $tensor: Tensor<$Shape, E, D>,)+
            $($($(#[$number_docs])* pub $number: f64,)+)?
        }

        impl<$(const $N: usize),+> crate::nn::Layer for $Name<$($N),+> {
            type On<E: Dtype, D: Storage<E>> = $Name<$($N,)+ E, D>;
        }

        impl<$(const $N: usize,)+ E: crate::nn::Element, D: Device<E>> BuildOnDevice<D, E>
            for $Name<$($N),+>
        {
            type Built = $Name<$($N,)+ E, D>;
        }

        impl<$(const $N: usize,)+ E: crate::nn::Element, D: Device<E>> TensorCollection<E, D>
            for $Name<$($N,)+ E, D>
        {
            type To<E2: Dtype, D2: Device<E2>> = $Name<$($N,)+ E2, D2>;

            fn iter_tensors<V: ModuleVisitor<Self, E, D>>(
                visitor: &mut V,
            ) -> Result<Option<Self::To<V::E2, V::D2>>, V::Err> {
                $(let $tensor = visitor.visit_tensor(
                    layer!(@name $tensor $($name)?),
                    |layer| &layer.$tensor,
                    |layer| &mut layer.$tensor,
                    $options,
                )?;)+
                $($(let $number = visitor.visit_scalar(
                    stringify!($number),
                    |layer| &layer.$number,
                    |layer| &mut layer.$number,
                    ScalarOptions::from_default($value),
                )?;)+)?
                let ($(Some($tensor),)+ $($(Some($number),)+)?) = ($($tensor,)+ $($($number,)+)?) else {
                    return Ok(None);
                };
                Ok(Some($Name { $($tensor,)+ $($($number,)+)? }))
            }
        }
    };
    (@name $tensor:ident) => { stringify!($tensor) };
    (@name $tensor:ident $name:literal) => { $name };
}

/// A layer from images to images that does the same in training and in evaluation: `$flow` is what it gets. Height and
/// width change, or they stay `same`.
macro_rules! image_layer {
    (<$(const $N:ident),+> $Type:ty, $IN:tt -> $OUT:tt, |$layer:ident, $flow:ident| $compute:expr) => {
        image_layer!(@forward <$(const $N),+> $Type, $IN -> $OUT, |$layer, $flow| $compute);
        image_layer!(@module <$(const $N),+> $Type, $IN -> ($OUT, usize, usize));
    };
    (<$(const $N:ident),+> $Type:ty, $IN:tt same, |$layer:ident, $flow:ident| $compute:expr) => {
        image_layer!(@forward <$(const $N),+> $Type, $IN -> $IN, |$layer, $flow| $compute);
        image_layer!(@module <$(const $N),+> $Type, $IN -> ($IN, H, W));
    };
    (@forward <$(const $N:ident),+> $Type:ty, $IN:tt -> $OUT:tt, |$layer:ident, $flow:ident| $compute:expr) => {
        impl<$(const $N: usize,)+ D: LayerDevice> crate::nn::Forward<crate::nn::Images<$IN, D>> for $Type {
            type Output = crate::nn::Images<$OUT, D>;

            fn eval(&self, x: crate::nn::Images<$IN, D>) -> Self::Output {
                let $layer = self;
                crate::nn::Flowing::layer(x, self, |$flow| $compute)
            }

            fn train(&mut self, x: crate::nn::Images<$IN, D>) -> Self::Output {
                self.eval(x)
            }
        }

        crate::nn::layer::same_in_training!([$(const $N: usize,)+ D: Storage<f32>] $Type);
    };
    (@module <$(const $N:ident),+> $Type:ty, $IN:tt -> ($OUT:tt, $H:ident, $W:ident)) => {
        impl<$(const $N: usize,)+ B: Dim, H: Dim, W: Dim, D: LayerDevice, T: Tape<f32, D>>
            Module<Tensor<(B, Const<$IN>, H, W), f32, D, T>> for $Type
        {
            type Output = Tensor<(B, Const<$OUT>, $H, $W), f32, D, T>;
            type Error = D::Err;

            fn try_forward(
                &self,
                x: Tensor<(B, Const<$IN>, H, W), f32, D, T>,
            ) -> Result<Self::Output, D::Err> {
                use crate::nn::{Flowing, Forward, Images};
                crate::nn::run_any(x, |flow| self.eval(Images::from_flow(flow)).into_flow())
            }

            fn forward(&self, x: Tensor<(B, Const<$IN>, H, W), f32, D, T>) -> Self::Output {
                crate::nn::error::or_panic(|| self.try_forward(x))
            }
        }
    };
}

/// A layer that does the same in training and in evaluation. dfdx has `NonMutableModule` for it, but its panics would not
/// have the words of the error.
macro_rules! same_in_training {
    ([$($generics:tt)*] $Type:ty) => {
        impl<Input, $($generics)*> dfdx::prelude::ModuleMut<Input> for $Type
        where
            Self: dfdx::prelude::Module<Input>,
        {
            type Output = <Self as dfdx::prelude::Module<Input>>::Output;
            type Error = <Self as dfdx::prelude::Module<Input>>::Error;

            fn try_forward_mut(&mut self, x: Input) -> Result<Self::Output, Self::Error> {
                dfdx::prelude::Module::try_forward(self, x)
            }

            fn forward_mut(&mut self, x: Input) -> Self::Output {
                dfdx::prelude::Module::forward(self, x)
            }
        }
    };
}

pub(super) use {image_layer, layer, same_in_training};
