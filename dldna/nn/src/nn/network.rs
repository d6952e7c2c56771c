//! [`network!`](crate::network): a network out of one list of layers and one forward pass.

/// Bounds of the elements that layers can be built with: `f32` and `f64`.
pub trait Element:
    dfdx::prelude::Dtype + num_traits::Float + rand_distr::uniform::SampleUniform
{
}

impl<E: dfdx::prelude::Dtype + num_traits::Float + rand_distr::uniform::SampleUniform> Element
    for E
{
}

/// What the expansion of [`network!`](crate::network) names.
#[doc(hidden)]
pub mod expansion {
    pub use super::super::forward::{Flowing, Forward, Layer, eval_layer, train_layer};
    pub use super::super::or_panic;
    pub use super::super::{ActivationLayer, Images, LayerDevice, Vectors};
    pub use super::Element;
    pub use crate::summary::{LayerSummary, Summarize, SummaryError};
    pub use dfdx::nn::tensor_collection::{ModuleVisitor, TensorCollection};
    pub use dfdx::prelude::{
        BuildOnDevice, Const, Cpu, Device, Dim, Dtype, Module, ModuleMut, Storage, Tape, Tensor,
    };
}

/// A network, written as a paper writes it: its layers and one forward pass.
///
/// ```
/// use dldna_nn::prelude::*;
///
/// network! {
///     /// He et al. 2015, figure 5, left.
///     pub struct BasicBlock<const IN: usize, const OUT: usize, const STRIDE: usize> {
///         conv1: BiasedConv2D<IN, OUT, 3, STRIDE, 1>,
///         bn1: BatchNorm2D<OUT>,
///         conv2: BiasedConv2D<OUT, OUT, 3, 1, 1>,
///         bn2: BatchNorm2D<OUT>,
///         shortcut: (BiasedConv2D<IN, OUT, 1, STRIDE>, BatchNorm2D<OUT>) where IN != OUT || STRIDE != 1,
///     }
///     forward(x: Images<IN>) -> Images<OUT> {
///         let y = relu(bn1(conv1(x.clone())));
///         relu(bn2(conv2(y)) + shortcut(x))
///     }
/// }
///
/// let dev = Cpu::seed_from_u64(0);
/// let mut block = dev.build_module::<BasicBlock<8, 16, 2>, f32>();
/// let images = dev.sample_normal_like(&(4, Const::<8>, 10, 10));
/// assert_eq!(*block.forward(images.clone()).shape(), (4, Const::<16>, 5, 5));
/// let gradients = block.forward_mut(images.leaky_trace()).square().mean().backward();
/// assert_eq!(gradients.get(&block.conv1.bias).as_vec(), [0.0; 16]); // the batch norm takes it away
/// println!("{}", Summary::of(&block, &[1, 8, 10, 10])?);
/// # Ok::<(), dldna_nn::summary::SummaryError>(())
/// ```
///
/// # The layers
/// Every field is a layer: a type of [`dldna_nn::nn`](crate::nn), dfdx's dropout and `Bias2D`, a tuple of up to six layers
/// that follow one another, or another network. The fields' names are those of the weights in files, so
/// PyTorch's names load PyTorch's weights.
///
/// A layer with a condition behind `where` is there only if it holds; otherwise it hands on what it gets.
///
/// # The forward pass
/// It takes [`Images`](crate::nn::Images) (`(batch, C, height, width)`) or [`Vectors`](crate::nn::Vectors)
/// (`(batch, N)`), and each layer is a function of them. What is needed twice is cloned, at no cost. There are
/// functions too: [`relu`](crate::nn::relu()) and other activations, `+`, [`cat`](crate::nn::cat),
/// [`mean`](crate::nn::mean), [`squeeze`](crate::nn::squeeze), [`scale_channels`](crate::nn::scale_channels).
///
/// A convolution, the batch norm behind it, the sum with a shortcut and the activation run as one operation.
///
/// Without a body, the layers follow one another:
///
/// ```
/// use dldna_nn::prelude::*;
///
/// network! {
///     pub struct Net {
///         conv1: BiasedConv2D<1, 8, 3, 1, 1>, relu1: ReLU, pool1: MaxPool2D<2, 2>,
///         conv2: BiasedConv2D<8, 16, 3, 1, 1>, relu2: ReLU, pool2: MaxPool2D<2, 2>,
///         mean: AvgPoolGlobal, fc: Linear<16, 10>,
///     }
///     forward(Images<1>) -> Vectors<10>;
/// }
///
/// let dev = Cpu::seed_from_u64(0);
/// let net = dev.build_module::<Net, f32>();
/// assert_eq!(*net.forward(dev.zeros_like(&(2, Const::<1>, 28, 28))).shape(), (2, Const::<10>));
/// ```
///
/// Layers that do not fit do not compile:
///
/// ```compile_fail
/// use dldna_nn::prelude::*;
/// network! {
///     pub struct Net {
///         conv1: Conv2D<1, 8, 3>,
///         conv2: Conv2D<16, 10, 3>, // 8 channels come, 16 are expected
///     }
///     forward(x: Images<1>) -> Images<10> { conv2(conv1(x)) }
/// }
/// ```
///
/// # What it makes
/// A struct with a public field for each layer; `dev.build_module::<Block<8>, f32>()` builds it on a device. It is a
/// `Module` and a `ModuleMut` of dfdx, a [`Layer`](crate::nn::Layer) of further networks, and can be
/// [summarised](crate::summary::Summary).
///
/// A parameter `type A = ReLU` behind the constants stands for an activation.
///
/// In a notebook it stands in a module, since the kernel takes a macro by itself for a statement:
/// `mod block { use dldna_nn::prelude::*; network! { .. } } use block::Block;`
#[macro_export]
macro_rules! network {
    // The layers follow one another.
    (
        $(#[$docs:meta])*
        $vis:vis struct $Name:ident $(<
            $(const $N:ident: $kind:ident $(= $default:tt)?),+ $(, type $A:ident = $DefaultA:ty)? $(,)?
        >)? {
            $($(#[$field_docs:meta])* $field:ident: $Layer:ty $(where $condition:expr)?),+ $(,)?
        }
        forward($In:ident<$in:tt>) -> $Out:ident<$out:tt>;
    ) => {
        $crate::network! {
            $(#[$docs])*
            $vis struct $Name $(<$(const $N: $kind $(= $default)?),+ $(, type $A = $DefaultA)?>)? {
                $($(#[$field_docs])* $field: $Layer $(where $condition)?),+
            }
            forward(x: $In<$in>) -> $Out<$out> {
                $(let x = $field(x);)+
                x
            }
        }
    };

    (
        $(#[$docs:meta])*
        $vis:vis struct $Name:ident $(<
            $(const $N:ident: $kind:ident $(= $default:tt)?),+ $(, type $A:ident = $DefaultA:ty)? $(,)?
        >)? {
            $($(#[$field_docs:meta])* $field:ident: $Layer:ty $(where $condition:expr)?),+ $(,)?
        }
        forward($x:ident: $In:ident<$in:tt>) -> $Out:ident<$out:tt> $body:block
    ) => {
        $(#[$docs])*
        $vis struct $Name<
            $($(const $N: $kind $(= $default)?,)+ $($A: $crate::nn::ActivationLayer = $DefaultA,)?)?
            Elem: $crate::nn::network::expansion::Dtype = f32,
            Dev: $crate::nn::network::expansion::Storage<Elem> = $crate::nn::network::expansion::Cpu,
        > {
            $(
                #[doc = concat!("`", stringify!($Layer), "`", $(" where ", stringify!($condition))?)]
                $(#[$field_docs])*
                pub $field: $crate::network!(@built $Layer, $($condition,)? Elem Dev),
            )+
        }

        const _: () = {
            use $crate::nn::network::expansion::*;

            impl<$($(const $N: $kind,)+ $($A: ActivationLayer,)?)? Elem: Dtype, Dev: Storage<Elem>> Clone
                for $Name<$($($N,)+ $($A,)?)? Elem, Dev>
            {
                fn clone(&self) -> Self {
                    Self { $($field: self.$field.clone(),)+ }
                }
            }

            /// The layers, not their millions of weights.
            impl<$($(const $N: $kind,)+ $($A: ActivationLayer,)?)? Elem: Dtype, Dev: Storage<Elem>> std::fmt::Debug
                for $Name<$($($N,)+ $($A,)?)? Elem, Dev>
            {
                fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                    f.debug_struct(stringify!($Name))
                        $(.field(stringify!($field), &format_args!("{}", stringify!($Layer))))+
                        .finish()
                }
            }

            impl<$($(const $N: $kind,)+ $($A: ActivationLayer,)?)?> Layer for $Name<$($($N,)+ $($A,)?)?> {
                type On<Elem: Dtype, Dev: Storage<Elem>> = $Name<$($($N,)+ $($A,)?)? Elem, Dev>;
            }

            impl<$($(const $N: $kind,)+ $($A: ActivationLayer,)?)? Elem: Element, Dev: Device<Elem>>
                BuildOnDevice<Dev, Elem> for $Name<$($($N,)+ $($A,)?)?>
            {
                type Built = $Name<$($($N,)+ $($A,)?)? Elem, Dev>;
            }

            impl<$($(const $N: $kind,)+ $($A: ActivationLayer,)?)? Elem: Element, Dev: Device<Elem>>
                TensorCollection<Elem, Dev> for $Name<$($($N,)+ $($A,)?)? Elem, Dev>
            {
                type To<Elem2: Dtype, Dev2: Device<Elem2>> = $Name<$($($N,)+ $($A,)?)? Elem2, Dev2>;

                fn iter_tensors<Visitor: ModuleVisitor<Self, Elem, Dev>>(
                    visitor: &mut Visitor,
                ) -> Result<Option<Self::To<Visitor::E2, Visitor::D2>>, Visitor::Err> {
                    // Not by `visit_fields`, which takes tuples of at most six: code for each pair of nested ones.
                    $(let $field = $crate::network!(@visit visitor $field $($condition)?);)+
                    let ($(Some($field),)+) = ($($field,)+) else {
                        return Ok(None); // what visits makes no other network
                    };
                    Ok(Some($Name { $($field,)+ }))
                }
            }

            impl<$($(const $N: $kind,)+ $($A: ActivationLayer,)?)? Dev: LayerDevice> Forward<$In<$in, Dev>>
                for $Name<$($($N,)+ $($A,)?)? f32, Dev>
            {
                type Output = $Out<$out, Dev>;

                fn eval(&self, $x: $In<$in, Dev>) -> $Out<$out, Dev> {
                    $x.group(stringify!($Name), |$x| {
                        $(let $field = |x| eval_layer(&self.$field, stringify!($field), x);)+
                        $body
                    })
                }

                fn train(&mut self, $x: $In<$in, Dev>) -> $Out<$out, Dev> {
                    $x.group(stringify!($Name), |$x| {
                        $(let $field = &mut self.$field;)+
                        $(#[allow(unused_mut)] let mut $field = |x| train_layer($field, stringify!($field), x);)+
                        $body
                    })
                }
            }

            impl<$($(const $N: $kind,)+ $($A: ActivationLayer,)?)? Dev: LayerDevice> Summarize
                for $Name<$($($N,)+ $($A,)?)? f32, Dev>
            {
                fn summarize(&self, input: &[usize]) -> Result<LayerSummary, SummaryError> {
                    let network = |x: $In<$in, Dev>| Forward::eval(self, x);
                    $crate::nn::summarize(stringify!($Name), input, network)
                }
            }

            $crate::network!(@modules $In $in, $Out $out,
                [$($(const $N: $kind,)+ $($A: ActivationLayer,)?)?] $Name<$($($N,)+ $($A,)?)? f32, Dev>);
        };
    };

    // `Module` and `ModuleMut` on tensors of dfdx.
    (@modules Images $in:tt, $Out:ident $out:tt, [$($generics:tt)*] $Net:ty) => {
        $crate::network!(@impl_modules [$($generics)* Height: Dim, Width: Dim,]
            (BatchSize, Const<$in>, Height, Width), $Out $out, $Net);
    };
    (@modules Vectors $in:tt, $Out:ident $out:tt, [$($generics:tt)*] $Net:ty) => {
        $crate::network!(@impl_modules [$($generics)*] (BatchSize, Const<$in>), $Out $out, $Net);
    };
    (@impl_modules [$($generics:tt)*] $Shape:ty, $Out:ident $out:tt, $Net:ty) => {
        impl<$($generics)* BatchSize: Dim, Dev: LayerDevice, Recorder: Tape<f32, Dev>>
            Module<Tensor<$Shape, f32, Dev, Recorder>> for $Net
        {
            type Output = Tensor<$crate::network!(@shape $Out $out), f32, Dev, Recorder>;
            type Error = Dev::Err;

            fn try_forward(
                &self,
                x: Tensor<$Shape, f32, Dev, Recorder>,
            ) -> Result<Self::Output, Dev::Err> {
                $crate::nn::run(x, |x| Forward::eval(self, x))
            }

            fn forward(&self, x: Tensor<$Shape, f32, Dev, Recorder>) -> Self::Output {
                or_panic(|| self.try_forward(x))
            }
        }

        impl<$($generics)* BatchSize: Dim, Dev: LayerDevice, Recorder: Tape<f32, Dev>>
            ModuleMut<Tensor<$Shape, f32, Dev, Recorder>> for $Net
        {
            type Output = Tensor<$crate::network!(@shape $Out $out), f32, Dev, Recorder>;
            type Error = Dev::Err;

            fn try_forward_mut(
                &mut self,
                x: Tensor<$Shape, f32, Dev, Recorder>,
            ) -> Result<Self::Output, Dev::Err> {
                $crate::nn::run(x, |x| Forward::train(self, x))
            }

            fn forward_mut(&mut self, x: Tensor<$Shape, f32, Dev, Recorder>) -> Self::Output {
                or_panic(|| self.try_forward_mut(x))
            }
        }
    };
    (@shape Images $out:tt) => { (BatchSize, Const<$out>, usize, usize) };
    (@shape Vectors $out:tt) => { (BatchSize, Const<$out>) };

    // A field of the struct.
    (@built $Layer:ty, $Elem:ident $Dev:ident) => {
        <$Layer as $crate::nn::network::expansion::Layer>::On<$Elem, $Dev>
    };
    (@built $Layer:ty, $condition:expr, $Elem:ident $Dev:ident) => {
        Option<<$Layer as $crate::nn::network::expansion::Layer>::On<$Elem, $Dev>>
    };

    // The layer that a field becomes, if it becomes one.
    (@visit $visitor:ident $field:ident) => {
        $visitor.visit_module(stringify!($field), |net| &net.$field, |net| &mut net.$field)?
    };
    (@visit $visitor:ident $field:ident $condition:expr) => {
        if $condition {
            let layer = $visitor.visit_module(
                stringify!($field),
                |net| net.$field.as_ref().expect("a layer whose condition holds is built"),
                |net| net.$field.as_mut().expect("a layer whose condition holds is built"),
            )?;
            layer.map(Some)
        } else {
            Some(None)
        }
    };
}
