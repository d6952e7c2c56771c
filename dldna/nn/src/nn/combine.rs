//! Layers made of layers: sequences, layers that may be missing, and the layers of dfdx in a network.

use super::device::LayerDevice;
use super::forward::{Flowing, Forward, Images, Layer, Vectors, eval_layer, train_layer};
use super::run::run_time_sizes;
use dfdx::nn::modules::{Bias2D, Dropout, DropoutOneIn, UnbiasedLinear};
use dfdx::prelude::*;

macro_rules! sequence {
    ($First:ident $first:tt $(, $Next:ident $index:tt after $Before:ident)*) => {
        impl<$First: Layer $(, $Next: Layer)*> Layer for ($First, $($Next,)*) {
            type On<E: Dtype, D: Storage<E>> = ($First::On<E, D>, $($Next::On<E, D>,)*);
        }

        /// One after the other.
        impl<X: Flowing, $First: Forward<X, Output: Flowing<Device = X::Device>> $(, $Next: Forward<$Before::Output, Output: Flowing<Device = X::Device>>)*> Forward<X> for ($First, $($Next,)*) {
            type Output = sequence!(@last $First $($Next)*);

            fn eval(&self, x: X) -> Self::Output {
                x.group("Sequence", |x| {
                    let x = eval_layer(&self.$first, stringify!($first), x);
                    $(let x = eval_layer(&self.$index, stringify!($index), x);)*
                    x
                })
            }

            fn train(&mut self, x: X) -> Self::Output {
                let x = train_layer(&mut self.$first, stringify!($first), x);
                $(let x = train_layer(&mut self.$index, stringify!($index), x);)*
                x
            }
        }
    };
    (@last $Last:ident) => { $Last::Output };
    (@last $First:ident $($Rest:ident)+) => { sequence!(@last $($Rest)+) };
}

sequence!(L0 0);
sequence!(L0 0, L1 1 after L0);
sequence!(L0 0, L1 1 after L0, L2 2 after L1);
sequence!(L0 0, L1 1 after L0, L2 2 after L1, L3 3 after L2);
sequence!(L0 0, L1 1 after L0, L2 2 after L1, L3 3 after L2, L4 4 after L3);
sequence!(L0 0, L1 1 after L0, L2 2 after L1, L3 3 after L2, L4 4 after L3, L5 5 after L4);

/// A layer that is left out where it would change neither channels nor size.
impl<const IN: usize, const OUT: usize, L, D: LayerDevice> Forward<Images<IN, D>> for Option<L>
where
    L: Forward<Images<IN, D>, Output = Images<OUT, D>>,
{
    type Output = Images<OUT, D>;

    fn eval(&self, x: Images<IN, D>) -> Images<OUT, D> {
        match self {
            Some(layer) => layer.eval(x),
            None => left_out(x),
        }
    }

    fn train(&mut self, x: Images<IN, D>) -> Images<OUT, D> {
        match self {
            Some(layer) => layer.train(x),
            None => left_out(x),
        }
    }
}

fn left_out<const IN: usize, const OUT: usize, D: LayerDevice>(x: Images<IN, D>) -> Images<OUT, D> {
    x.group("Identity", |x| x.unchanged())
}

macro_rules! layers_of_dfdx {
    ($($Type:ident $(<const $N:ident>)?),+ $(,)?) => {$(
        impl$(<const $N: usize>)? Layer for $Type$(<$N>)? {
            type On<E: Dtype, D: Storage<E>> = Self;
        }
    )+};
}

layers_of_dfdx!(Dropout, DropoutOneIn<const N>);

impl Layer for () {
    type On<E: Dtype, D: Storage<E>> = ();
}

impl<X: Flowing> Forward<X> for () {
    type Output = X;

    fn eval(&self, x: X) -> X {
        x.group("Identity", |x| x)
    }

    fn train(&mut self, x: X) -> X {
        x
    }
}

macro_rules! dropout {
    ($Type:ident $(<const $N:ident>)?, |$layer:ident| $probability:expr) => {
        impl<$(const $N: usize,)? X: Flowing> Forward<X> for $Type$(<$N>)? {
            type Output = X;

            fn eval(&self, x: X) -> X {
                x.layer(self, |flow| flow)
            }

            fn train(&mut self, x: X) -> X {
                let $layer = &*self;
                let probability = $probability;
                x.layer($layer, |flow| flow.dropout(probability))
            }
        }
    };
}

dropout!(Dropout, |layer| f64::from(layer.p));
dropout!(DropoutOneIn<const N>, |_layer| 1.0 / N as f64);

impl<const C: usize> Layer for dfdx::nn::builders::Bias2D<C> {
    type On<E: Dtype, D: Storage<E>> = Bias2D<C, E, D>;
}

impl<const C: usize, D: LayerDevice> Forward<Images<C, D>> for Bias2D<C, f32, D> {
    type Output = Images<C, D>;

    fn eval(&self, x: Images<C, D>) -> Images<C, D> {
        x.layer(self, |flow| {
            let bias = run_time_sizes(self.bias.clone());
            flow.apply(|x| D::affine(x, None, Some(bias)))
        })
    }

    fn train(&mut self, x: Images<C, D>) -> Images<C, D> {
        self.eval(x)
    }
}

impl<const I: usize, const O: usize> Layer for dfdx::nn::builders::UnbiasedLinear<I, O> {
    type On<E: Dtype, D: Storage<E>> = UnbiasedLinear<I, O, E, D>;
}

impl<const I: usize, const O: usize, D: LayerDevice> Forward<Vectors<I, D>>
    for UnbiasedLinear<I, O, f32, D>
{
    type Output = Vectors<O, D>;

    fn eval(&self, x: Vectors<I, D>) -> Vectors<O, D> {
        x.layer(self, |flow| {
            let weight = run_time_sizes(self.weight.clone());
            flow.apply(|x| D::linear(x, weight, None))
        })
    }

    fn train(&mut self, x: Vectors<I, D>) -> Vectors<O, D> {
        self.eval(x)
    }
}
