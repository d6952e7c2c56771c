//! How strong signals and gradients are in a deep stack that has learned nothing.
//!
//! A stack of layers with random weights either keeps the strength of what goes through it, or loses or multiplies it
//! exponentially. [`measure`] runs a batch forward and a gradient backward through four kinds of stacks.

use ndarray::{Array1, Array2, Axis};
use rand::{Rng, SeedableRng, rngs::StdRng};
use rand_distr::StandardNormal;

/// What a layer does with its input `x`, for a random matrix `W` and batch norm `BN`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Layer {
    /// `relu(W x)`
    Plain,
    /// `relu(BN(W x))`
    Normalised,
    /// `x + relu(W x)`
    Residual,
    /// `x + relu(BN(W x))`
    NormalisedResidual,
}

impl Layer {
    /// All four.
    pub const ALL: [Layer; 4] = [
        Layer::Plain,
        Layer::Normalised,
        Layer::Residual,
        Layer::NormalisedResidual,
    ];

    /// What it does, in a few characters.
    ///
    /// ```
    /// use dldna::signal_propagation::Layer;
    /// assert_eq!(Layer::Residual.formula(), "x + relu(W x)");
    /// ```
    pub fn formula(self) -> &'static str {
        match self {
            Layer::Plain => "relu(W x)",
            Layer::Normalised => "relu(BN(W x))",
            Layer::Residual => "x + relu(W x)",
            Layer::NormalisedResidual => "x + relu(BN(W x))",
        }
    }

    fn has_norm(self) -> bool {
        matches!(self, Layer::Normalised | Layer::NormalisedResidual)
    }

    fn has_skip(self) -> bool {
        matches!(self, Layer::Residual | Layer::NormalisedResidual)
    }
}

/// Root mean squares, from the input of the first layer to the output of the last: one more than there are layers.
#[derive(Debug, Clone, PartialEq)]
pub struct Strengths {
    /// Of the signal.
    pub signal: Vec<f64>,
    /// Of the gradient with respect to the signal at the same place. At the last place it is 1.
    pub gradient: Vec<f64>,
}

/// Numbers in a signal.
const WIDTH: usize = 128;
/// Signals in the batch.
const BATCH: usize = 64;

/// Strengths in a stack of `depth` layers of 128 features each, for a batch of 64 random inputs and a random gradient at
/// the end. The weights are normal with a deviation of `gain` times Kaiming's, `sqrt(2 / 128)`. He et al., *Delving Deep
/// into Rectifiers*, 2015, section 2.2. A stack deeper than 1,000 layers ends there.
///
/// ```
/// use dldna::signal_propagation::{Layer, measure};
/// let strengths = measure(Layer::Plain, 0.5, 20, 0);
/// assert!(strengths.signal[20] < 1e-5 && strengths.gradient[0] < 1e-5); // half of the deviation: half a layer
/// ```
pub fn measure(layer: Layer, gain: f64, depth: usize, seed: u64) -> Strengths {
    let weights = random_weights(gain, depth, WIDTH, seed);
    let mut random = StdRng::seed_from_u64(seed ^ 1);
    let (input, gradient) = (
        normal(&mut random, (WIDTH, BATCH)),
        normal(&mut random, (WIDTH, BATCH)),
    );
    let gradient = &gradient / root_mean_square(&gradient);
    propagate(layer, &weights, input, gradient).1
}

/// The weights of `depth` layers of `width` features each: normal, with a deviation of `gain` times Kaiming's,
/// `sqrt(2 / width)`. More than 1,000 layers count as 1,000, and wider ones than 1,024 as so wide.
///
/// ```
/// use dldna::signal_propagation::random_weights;
/// let weights = random_weights(1.0, 3, 64, 0);
/// assert_eq!((weights.len(), weights[0].dim()), (3, (64, 64)));
/// ```
pub fn random_weights(gain: f64, depth: usize, width: usize, seed: u64) -> Vec<Array2<f64>> {
    let (depth, width) = (depth.min(1_000), width.min(1_024));
    let mut random = StdRng::seed_from_u64(seed);
    let deviation = gain * (2.0 / width as f64).sqrt();
    (0..depth)
        .map(|_| normal(&mut random, (width, width)) * deviation)
        .collect()
}

fn normal(random: &mut StdRng, size: (usize, usize)) -> Array2<f64> {
    Array2::from_shape_simple_fn(size, || random.sample::<f64, _>(StandardNormal))
}

/// The output, and the strengths on the way there and back; `gradient` is the one by the output.
fn propagate(
    layer: Layer,
    weights: &[Array2<f64>],
    input: Array2<f64>,
    gradient: Array2<f64>,
) -> (Array2<f64>, Strengths, Array2<f64>) {
    let mut signal = vec![root_mean_square(&input)];
    let mut x = input;
    // What the way back needs of each layer: the sign and the norm.
    let mut seen = Vec::new();
    for weights in weights {
        let mut z = weights.dot(&x);
        let deviations = layer.has_norm().then(|| normalise(&mut z));
        let y = z.mapv(|z| z.max(0.0));
        x = if layer.has_skip() { x + y } else { y };
        signal.push(root_mean_square(&x));
        seen.push((z, deviations));
    }
    let mut d_x = gradient;
    let mut gradient = vec![root_mean_square(&d_x)];
    for (weights, (z, deviations)) in weights.iter().zip(seen).rev() {
        let mut d_z = &d_x * &z.mapv(|z| f64::from(z > 0.0));
        if let Some(deviations) = deviations {
            normalise_backward(&z, &deviations, &mut d_z);
        }
        let d_before = weights.t().dot(&d_z);
        d_x = if layer.has_skip() {
            d_x + d_before
        } else {
            d_before
        };
        gradient.push(root_mean_square(&d_x));
    }
    gradient.reverse();
    (x, Strengths { signal, gradient }, d_x)
}

/// Batch norm without scale and bias: each row gets mean 0 and variance 1. Returns the deviations.
fn normalise(z: &mut Array2<f64>) -> Array1<f64> {
    z.axis_iter_mut(Axis(0))
        .map(|mut row| {
            let mean = row.sum() / row.len() as f64;
            row -= mean;
            let deviation = (row.dot(&row) / row.len() as f64 + 1e-5).sqrt();
            row /= deviation;
            deviation
        })
        .collect()
}

/// From the gradient with respect to the normalised rows to that with respect to the rows before. Ioffe and Szegedy 2015, section 3.
fn normalise_backward(z: &Array2<f64>, deviations: &Array1<f64>, d_z: &mut Array2<f64>) {
    for ((mut d, z), deviation) in d_z.rows_mut().into_iter().zip(z.rows()).zip(deviations) {
        let count = z.len() as f64;
        let (mean, slope) = (d.sum() / count, d.dot(&z) / count);
        d.zip_mut_with(&z, |d, z| *d = (*d - mean - z * slope) / deviation);
    }
}

fn root_mean_square(x: &Array2<f64>) -> f64 {
    (x.iter().map(|x| x * x).sum::<f64>() / x.len() as f64).sqrt()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_number_gives_as_many_strengths_as_layers() {
        for gain in [0.0, -1.0, 1e-320, 1e308, f64::INFINITY, f64::NAN] {
            for layer in Layer::ALL {
                for depth in [0, 1, 3] {
                    let strengths = measure(layer, gain, depth, u64::MAX);
                    assert_eq!(strengths.signal.len(), depth + 1);
                    assert_eq!(strengths.gradient.len(), depth + 1);
                }
            }
        }
        assert!(random_weights(1.0, usize::MAX, 0, 0).len() == 1_000);
        assert_eq!(
            random_weights(1.0, 1, usize::MAX, 0)[0].dim(),
            (1_024, 1_024)
        );
    }

    /// The gradient with respect to the input against difference quotients.
    #[test]
    fn the_way_back_is_the_derivative() {
        let mut random = StdRng::seed_from_u64(5);
        let mut normal = |rows, columns| super::normal(&mut random, (rows, columns));
        let weights = [normal(6, 6) * 0.5, normal(6, 6) * 0.5, normal(6, 6) * 0.5];
        let (input, gradient) = (normal(6, 5), normal(6, 5));
        for layer in Layer::ALL {
            let run =
                |input: &Array2<f64>| propagate(layer, &weights, input.clone(), gradient.clone());
            let (_, strengths, d_input) = run(&input);
            assert_eq!(strengths.signal.len(), 4);
            let step = 1e-6;
            for place in [[0, 0], [3, 2], [5, 4]] {
                let (mut above, mut below) = (input.clone(), input.clone());
                above[place] += step;
                below[place] -= step;
                let loss = |input| (run(input).0 * &gradient).sum();
                let quotient = (loss(&above) - loss(&below)) / (2.0 * step);
                assert!(
                    (d_input[place] - quotient).abs() < 1e-6 * quotient.abs().max(1.0),
                    "{layer:?}: {} {quotient}",
                    d_input[place]
                );
            }
        }
    }

    /// He et al. 2015: with their deviation neither signal nor gradient grows or shrinks, on average.
    #[test]
    fn kaiming_keeps_the_strength() {
        let ratio = |gain| {
            let logs = (0..20).map(|seed| {
                let strengths = measure(Layer::Plain, gain, 20, seed);
                (strengths.signal[20] / strengths.signal[0]).ln()
            });
            logs.sum::<f64>() / 20.0
        };
        // 1.2^20 = 38, 20 ln 1.2 = 3.6
        assert!(ratio(1.0).abs() < 0.5, "{}", ratio(1.0));
        assert!((ratio(1.2) - ratio(1.0) - 20.0 * 1.2f64.ln()).abs() < 1e-6);
    }
}
