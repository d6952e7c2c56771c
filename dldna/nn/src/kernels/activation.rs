//! The functions between the layers, and their slopes.

use super::elementwise::{CHUNK, each_pair};
use super::scratch::Scratch;
use super::vector::vectorized;
use rayon::prelude::*;

/// What is done to each value behind a layer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Activation {
    /// `x`.
    #[default]
    Identity,
    /// `max(x, 0)`.
    Relu,
    /// `min(max(x, 0), 6)`.
    Relu6,
    /// `x sigmoid(x)`, also known as swish. Ramachandran et al., *Searching for Activation Functions*, 2017.
    Silu,
    /// `x Phi(x)`, with `Phi(x)` the share of a normal distribution that is below `x`. Hendrycks and Gimpel, *Gaussian
    /// Error Linear Units*, 2016.
    Gelu,
    /// `1 / (1 + e^-x)`.
    Sigmoid,
}

impl Activation {
    /// Replaces each value by the function of it, on the calling thread.
    ///
    /// ```
    /// use dldna_nn::kernels::activation::Activation;
    /// let mut values = [-1.0, 5.0, 7.0];
    /// Activation::Relu6.apply(&mut values);
    /// assert_eq!(values, [0.0, 5.0, 6.0]);
    /// ```
    pub fn apply(self, values: &mut [f32]) {
        match self {
            Activation::Identity => {}
            Activation::Relu | Activation::Relu6 => limit(values, self.limits()),
            Activation::Silu => vectorized(
                #[inline(always)]
                || {
                    for x in values {
                        *x *= sigmoid(*x);
                    }
                },
            ),
            Activation::Gelu => vectorized(
                #[inline(always)]
                || {
                    for x in values {
                        *x *= normal_below(*x).0;
                    }
                },
            ),
            Activation::Sigmoid => vectorized(
                #[inline(always)]
                || {
                    for x in values {
                        *x = sigmoid(*x);
                    }
                },
            ),
        }
    }

    /// [`apply`](Self::apply) on all cores; what the gradient needs is kept.
    ///
    /// ```
    /// use dldna_nn::kernels::activation::Activation;
    /// let mut values = [-1.0, 5.0, 7.0];
    /// let slopes = Activation::Relu6.apply_keeping_slopes(&mut values);
    /// let mut gradient = [2.0, 2.0, 2.0];
    /// slopes.multiply(&mut gradient, &values);
    /// assert_eq!(gradient, [0.0, 2.0, 0.0]);
    /// ```
    pub fn apply_keeping_slopes(self, values: &mut [f32]) -> Slopes {
        self.apply_to_pieces(values, CHUNK, |_, _| {})
    }

    /// The slopes, if the results alone tell them.
    pub fn slopes_of_results(self) -> Option<Slopes> {
        match self {
            Activation::Identity | Activation::Relu | Activation::Relu6 => {
                Some(self.slopes_of_limits())
            }
            Activation::Silu | Activation::Gelu | Activation::Sigmoid => None,
        }
    }

    /// [`apply_keeping_slopes`](Self::apply_keeping_slopes) to what `prepare(index, piece)` makes of each piece of
    /// `length` values: the piece is still in the cache then.
    pub(super) fn apply_to_pieces(
        self,
        values: &mut [f32],
        length: usize,
        prepare: impl Fn(usize, &mut [f32]) + Sync,
    ) -> Slopes {
        let count = values.len();
        let keeping = |values: &mut [f32], prepare, keeping_slopes: fn(&mut [f32], &mut [f32])| {
            let mut slopes = Scratch::any(count);
            each_piece(values, &mut slopes, length, prepare, keeping_slopes);
            Slopes::Values(slopes)
        };
        match self {
            Activation::Identity | Activation::Relu | Activation::Relu6 => {
                let mut nothing = vec![(); count];
                each_piece(values, &mut nothing, length, prepare, |values, _| {
                    self.apply(values)
                });
                self.slopes_of_limits()
            }
            Activation::Silu => keeping(values, prepare, silu_keeping_slopes),
            Activation::Gelu => keeping(values, prepare, gelu_keeping_slopes),
            Activation::Sigmoid => keeping(values, prepare, sigmoid_keeping_slopes),
        }
    }

    /// The least and the largest result of an activation that does no more than limit the values: with them one loop serves for all
    /// of these. For others there are none.
    pub(super) fn limits(self) -> (f32, f32) {
        match self {
            Activation::Relu => (0.0, f32::INFINITY),
            Activation::Relu6 => (0.0, 6.0),
            _ => (f32::NEG_INFINITY, f32::INFINITY),
        }
    }

    fn slopes_of_limits(self) -> Slopes {
        match self.limits() {
            (f32::NEG_INFINITY, _) => Slopes::One,
            (_, ceiling) => Slopes::Between0And(ceiling),
        }
    }
}

/// The derivative of an activation at each value: what the gradient is multiplied by.
#[derive(Debug)]
pub enum Slopes {
    /// 1 everywhere.
    One,
    /// 1 where the result lies between 0 and this number, else 0. The results need no room beside themselves.
    Between0And(f32),
    /// Any number.
    Values(Scratch),
}

impl Slopes {
    /// Turns the gradient with respect to the function's `result` into the one with respect to its argument.
    pub fn multiply(&self, gradient: &mut [f32], result: &[f32]) {
        match self {
            Slopes::One => {}
            &Slopes::Between0And(ceiling) => each_pair(gradient, result, |d, y| {
                if is_between(y, ceiling) { d } else { 0.0 }
            }),
            Slopes::Values(slopes) => each_pair(gradient, slopes, |d, slope| d * slope),
        }
    }
}

/// Whether `y = limited(x, (0.0, ceiling))` is `x` itself.
#[inline(always)]
pub(super) fn is_between(y: f32, ceiling: f32) -> bool {
    (y > 0.0) & (y < ceiling)
}

/// `min(max(x, floor), ceiling)`. Not by `max`, which would turn a value that is not a number into the floor.
#[inline(always)]
pub(super) fn limited(x: f32, (floor, ceiling): (f32, f32)) -> f32 {
    if x < floor {
        floor
    } else if x > ceiling {
        ceiling
    } else {
        x
    }
}

fn limit(values: &mut [f32], limits: (f32, f32)) {
    vectorized(
        #[inline(always)]
        || {
            for x in values {
                *x = limited(*x, limits);
            }
        },
    );
}

/// Prepares each piece and applies `activate` to it and to the room for its slopes, on all cores.
fn each_piece<S: Send>(
    values: &mut [f32],
    slopes: &mut [S],
    length: usize,
    prepare: impl Fn(usize, &mut [f32]) + Sync,
    activate: impl Fn(&mut [f32], &mut [S]) + Sync,
) {
    values
        .par_chunks_mut(length)
        .zip(slopes.par_chunks_mut(length))
        .enumerate()
        .with_min_len(CHUNK.div_ceil(length))
        .for_each(|(index, (values, slopes))| {
            prepare(index, values);
            activate(values, slopes);
        });
}

/// `d/dx x sigmoid(x) = sigmoid(x) (1 + x (1 - sigmoid(x)))`
fn silu_keeping_slopes(values: &mut [f32], slopes: &mut [f32]) {
    vectorized(
        #[inline(always)]
        || {
            for (slope, x) in slopes.iter_mut().zip(values) {
                let sigmoid = sigmoid(*x);
                *slope = sigmoid * (1.0 + *x * (1.0 - sigmoid));
                *x *= sigmoid;
            }
        },
    );
}

/// `d/dx x Phi(x) = Phi(x) + x phi(x)`
fn gelu_keeping_slopes(values: &mut [f32], slopes: &mut [f32]) {
    vectorized(
        #[inline(always)]
        || {
            for (slope, x) in slopes.iter_mut().zip(values) {
                let (below, density) = normal_below(*x);
                *slope = below + *x * density;
                *x *= below;
            }
        },
    );
}

/// `d/dx sigmoid(x) = sigmoid(x) (1 - sigmoid(x))`
fn sigmoid_keeping_slopes(values: &mut [f32], slopes: &mut [f32]) {
    vectorized(
        #[inline(always)]
        || {
            for (slope, x) in slopes.iter_mut().zip(values) {
                *x = sigmoid(*x);
                *slope = *x * (1.0 - *x);
            }
        },
    );
}

/// The share of the standard normal distribution that is below `x`, and its density there. Abramowitz and Stegun,
/// *Handbook of Mathematical Functions*, 1964, formula 26.2.17, within 1e-7 before rounding.
#[inline(always)]
fn normal_below(x: f32) -> (f32, f32) {
    const FACTORS: [f32; 5] = [
        1.330_274_4,
        -1.821_255_9,
        1.781_477_9,
        -0.356_563_78,
        0.319_381_54,
    ];
    let density = exp(-0.5 * x * x) * 0.398_942_3; // 1 / sqrt(2 pi)
    let t = 1.0 / (1.0 + 0.231_641_9 * x.abs());
    let above = density * t * FACTORS.iter().fold(0.0, |sum, factor| sum * t + factor);
    (if x < 0.0 { above } else { 1.0 - above }, density)
}

#[inline(always)]
fn sigmoid(x: f32) -> f32 {
    1.0 / (1.0 + exp(-x))
}

/// `e^x`, as `2^n e^r` with a whole `n` and a small `r`. The standard library's takes one element at a time; this one the
/// compiler turns into vector instructions. Its result is within 3e-7 of the exact one, relatively.
#[inline(always)]
fn exp(x: f32) -> f32 {
    /// Added to a number it leaves the nearest whole one in the lowest bits.
    const ROUND: f32 = 12_582_912.0; // 1.5 * 2^23
    /// ln 2 in two parts, so that `n ln 2` loses no digits.
    const LN_2: [f32; 2] = [0.693_359_4, -2.121_944_4e-4];
    const ONE: u32 = 1.0f32.to_bits();
    let x = x.clamp(-87.0, 88.0); // beyond, 2^n is no ordinary number
    let shifted = x * std::f32::consts::LOG2_E + ROUND;
    let n = shifted - ROUND;
    let r = x - n * LN_2[0] - n * LN_2[1];
    let power = f32::from_bits((shifted.to_bits() << 23).wrapping_add(ONE));
    // 1 + r + r^2 / 2! + .. + r^7 / 7!
    let series = [
        1.0 / 720.0,
        1.0 / 120.0,
        1.0 / 24.0,
        1.0 / 6.0,
        0.5,
        1.0,
        1.0,
    ];
    power
        * series
            .iter()
            .fold(1.0 / 5040.0, |sum, factor| sum * r + factor)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn exp_is_exact_to_seven_digits(x in -87.0f32..88.0) {
            let want = f64::from(x).exp();
            prop_assert!((f64::from(exp(x)) - want).abs() < 3e-7 * want);
        }

        /// The definition, and the slope against a difference quotient in f64.
        #[test]
        fn silu_and_its_slope(x in -30.0f32..30.0) {
            let silu = |x: f64| x / (1.0 + (-x).exp());
            let mut value = [x];
            let Slopes::Values(slope) = Activation::Silu.apply_keeping_slopes(&mut value) else { unreachable!() };
            prop_assert!((f64::from(value[0]) - silu(x.into())).abs() < 1e-5);
            let step = 1e-4;
            let quotient = (silu(f64::from(x) + step) - silu(f64::from(x) - step)) / (2.0 * step);
            prop_assert!((f64::from(slope[0]) - quotient).abs() < 1e-5);
        }

        /// The definition, and the slope against a difference quotient in f64.
        #[test]
        fn sigmoid_and_its_slope(x in -30.0f32..30.0) {
            let sigmoid = |x: f64| 1.0 / (1.0 + (-x).exp());
            let mut value = [x];
            let Slopes::Values(slope) = Activation::Sigmoid.apply_keeping_slopes(&mut value) else { unreachable!() };
            prop_assert!((f64::from(value[0]) - sigmoid(x.into())).abs() < 1e-6);
            let step = 1e-4;
            let quotient = (sigmoid(f64::from(x) + step) - sigmoid(f64::from(x) - step)) / (2.0 * step);
            prop_assert!((f64::from(slope[0]) - quotient).abs() < 1e-6);
        }

        /// The share below `x` by summing the density up, and the slope against a difference quotient in f64.
        #[test]
        fn gelu_and_its_slope(x in -9.0f32..9.0) {
            let gelu = |x: f64| {
                let steps = 2_000;
                let width = x / f64::from(steps);
                let middles = (0..steps).map(|i| (f64::from(i) + 0.5) * width);
                let density = |t: f64| (-0.5 * t * t).exp() / std::f64::consts::TAU.sqrt();
                x * (0.5 + middles.map(density).sum::<f64>() * width)
            };
            let mut value = [x];
            let Slopes::Values(slope) = Activation::Gelu.apply_keeping_slopes(&mut value) else { unreachable!() };
            prop_assert!((f64::from(value[0]) - gelu(x.into())).abs() < 1e-5);
            let step = 1e-4;
            let quotient = (gelu(f64::from(x) + step) - gelu(f64::from(x) - step)) / (2.0 * step);
            prop_assert!((f64::from(slope[0]) - quotient).abs() < 1e-5);
        }

        /// Both ways to apply give the same.
        #[test]
        fn training_and_evaluation_agree(values in prop::collection::vec(-9.0f32..9.0, 0..70)) {
            for activation in [Activation::Identity, Activation::Relu, Activation::Relu6, Activation::Silu, Activation::Gelu, Activation::Sigmoid] {
                let (mut one, mut two) = (values.clone(), values.clone());
                activation.apply(&mut one);
                let slopes = activation.apply_keeping_slopes(&mut two);
                prop_assert_eq!(&one, &two);
                let mut gradient = vec![1.0; values.len()];
                slopes.multiply(&mut gradient, &two);
                for (x, slope) in values.iter().zip(gradient) {
                    let want = match activation {
                        Activation::Identity => 1.0,
                        Activation::Relu => f32::from(*x > 0.0),
                        Activation::Relu6 => f32::from(*x > 0.0 && *x < 6.0),
                        Activation::Silu | Activation::Gelu | Activation::Sigmoid => continue,
                    };
                    prop_assert_eq!(slope, want);
                }
            }
        }
    }

    #[test]
    fn what_is_not_a_number_stays_so() {
        for activation in [
            Activation::Relu,
            Activation::Relu6,
            Activation::Silu,
            Activation::Gelu,
            Activation::Sigmoid,
        ] {
            let mut values = [f32::NAN];
            activation.apply(&mut values);
            assert!(values[0].is_nan(), "{activation:?}");
        }
    }
}
