//! The advanced exercises answer: right solutions pass, and plausible wrong ones are told what is wrong with them.

#[path = "common/answers.rs"]
mod answers;

use answers::{accepted, rejected};
use dldna::efficientnet::prediction::predicted_top1;
use dldna::efficientnet::scaling::{Scaling, Variant};
use dldna::exercises::check;
use dldna::prelude::*;
use ndarray::Axis;

mod gradients {
    use super::*;

    fn relu(z: Array1<f64>) -> Array1<f64> {
        z.mapv(|z| z.max(0.0))
    }

    fn mask(z: &Array1<f64>) -> Array2<f64> {
        Array2::from_diag(&z.mapv(|z| if z > 0.0 { 1.0 } else { 0.0 }))
    }

    fn jacobian(weights: &[Array2<f64>], x: &Array1<f64>) -> Array2<f64> {
        let mut signal = x.clone();
        let mut result = Array2::eye(x.len());
        for w in weights {
            let z = w.dot(&signal);
            result = mask(&z).dot(w).dot(&result);
            signal = relu(z);
        }
        result
    }

    #[test]
    fn right_solutions_pass() {
        accepted(|| check::jacobian(jacobian));
        // Backward, as training does it: row by row from the last layer.
        accepted(|| {
            check::jacobian(|weights, x| {
                let mut signals = vec![x.clone()];
                for w in weights {
                    signals.push(relu(w.dot(&signals[signals.len() - 1])));
                }
                let outputs = signals[signals.len() - 1].len();
                let mut result = Array2::eye(outputs);
                for (w, y) in weights.iter().zip(&signals[1..]).rev() {
                    result = result.dot(&mask(y)).dot(w);
                }
                result
            })
        });
        accepted(|| check::variance_factor(|n, s| 0.5 * n as f64 * s.powi(2)));
        accepted(|| check::kaiming_deviation(|c, k| (2.0 / (c * k * k) as f64).sqrt()));
    }

    #[test]
    fn wrong_jacobians_are_named() {
        rejected("product of the weights", || {
            check::jacobian(|weights, x| {
                let start = Array2::eye(x.len());
                weights.iter().fold(start, |result, w| w.dot(&result))
            })
        });
        rejected("wrong order", || {
            check::jacobian(|weights, x| {
                let mut signal = x.clone();
                let mut result: Array2<f64> = Array2::eye(x.len());
                for w in weights {
                    let z = w.dot(&signal);
                    result = result.dot(&mask(&z).dot(w));
                    signal = relu(z);
                }
                result
            })
        });
        rejected("does not go through ReLU", || {
            check::jacobian(|weights, x| {
                let mut signal = x.clone();
                let mut result = Array2::eye(x.len());
                for w in weights {
                    signal = w.dot(&signal);
                    result = mask(&signal).dot(w).dot(&result);
                }
                result
            })
        });
        rejected("zeroes columns", || {
            check::jacobian(|weights, x| {
                let mut signal = x.clone();
                let mut result = Array2::eye(x.len());
                for w in weights {
                    result = w.dot(&mask(&signal)).dot(&result);
                    signal = relu(w.dot(&signal));
                }
                result
            })
        });
        rejected("ReLU of the last layer", || {
            check::jacobian(|weights, x| {
                let last = weights.len() - 1;
                weights[last].dot(&jacobian(&weights[..last], x))
            })
        });
        rejected("last layer is missing", || {
            check::jacobian(|weights, x| jacobian(&weights[..weights.len() - 1], x))
        });
        rejected("Rows and columns are swapped", || {
            check::jacobian(|weights, x| jacobian(weights, x).reversed_axes())
        });
        rejected("not compatible for matrix multiplication", || {
            check::jacobian(|weights, x| {
                jacobian(&weights[weights.len() - 1..], x)
                    .dot(&weights[0])
                    .dot(&Array2::<f64>::eye(99))
            })
        });
    }

    #[test]
    fn wrong_factors_are_named() {
        rejected("What does ReLU take away", || {
            check::variance_factor(|n, s| n as f64 * s * s)
        });
        rejected("no root", || {
            check::variance_factor(|n, s| (n as f64 / 2.0).sqrt() * s)
        });
        rejected("with its square", || {
            check::variance_factor(|n, s| n as f64 * s / 2.0)
        });
        rejected("fan_in terms", || {
            check::variance_factor(|_, s| s * s / 2.0)
        });
        rejected("same for every input", || {
            check::variance_factor(|_, _| 1.0)
        });
        rejected("takes half", || {
            check::kaiming_deviation(|c, k| 1.0 / ((c * k * k) as f64).sqrt())
        });
        rejected("This is the variance", || {
            check::kaiming_deviation(|c, k| 2.0 / (c * k * k) as f64)
        });
        rejected("kernel is missing", || {
            check::kaiming_deviation(|c, _| (2.0 / c as f64).sqrt())
        });
        rejected("two sides", || {
            check::kaiming_deviation(|c, k| (2.0 / (c * k) as f64).sqrt())
        });
        rejected("PyTorch does by default", || {
            check::kaiming_deviation(|c, k| 1.0 / ((3 * c * k * k) as f64).sqrt())
        });
    }
}

mod architectures {
    use super::*;

    /// Weights, biases, multiply-adds.
    fn conv(input: usize, output: usize, kernel: usize, size: usize) -> (usize, usize, usize) {
        let weights = input * output * kernel * kernel;
        (weights, output, weights * size * size)
    }

    fn bottleneck(mid: usize, size: usize) -> (usize, usize) {
        let convs = [
            conv(4 * mid, mid, 1, size),
            conv(mid, mid, 3, size),
            conv(mid, 4 * mid, 1, size),
        ];
        (
            convs.iter().map(|c| c.0 + 3 * c.1).sum(),
            convs.iter().map(|c| c.2).sum(),
        )
    }

    fn inception([input, c1, r3, c3, r5, c5, cp]: [usize; 7], size: usize) -> (usize, usize) {
        let convs = [
            conv(input, c1, 1, size),
            conv(input, r3, 1, size),
            conv(r3, c3, 3, size),
            conv(input, r5, 1, size),
            conv(r5, c5, 5, size),
            conv(input, cp, 1, size),
        ];
        (
            convs.iter().map(|c| c.0 + c.1).sum(),
            convs.iter().map(|c| c.2).sum(),
        )
    }

    fn mbconv(channels: usize, expand: usize, kernel: usize, size: usize) -> (usize, usize) {
        let middle = channels * expand;
        let convs = [
            conv(channels, middle, 1, size),
            conv(1, middle, kernel, size),
            conv(middle, channels, 1, size),
        ];
        let gate = [
            conv(middle, channels / 4, 1, 1),
            conv(channels / 4, middle, 1, 1),
        ];
        (
            convs.iter().map(|c| c.0 + 2 * c.1).sum::<usize>()
                + gate.iter().map(|c| c.0 + c.1).sum::<usize>(),
            convs.iter().chain(&gate).map(|c| c.2).sum(),
        )
    }

    #[test]
    fn right_solutions_pass() {
        accepted(|| check::residual_bottleneck(bottleneck));
        accepted(|| check::inception_module(inception));
        accepted(|| check::mbconv(mbconv));
    }

    /// The nine modules of table 1 in Szegedy et al. 2014, and the layers around them: 6,998,552 parameters, as Caffe's
    /// and Keras's models of it have.
    #[test]
    fn the_modules_add_up_to_googlenet() {
        let modules = [
            ([192, 64, 96, 128, 16, 32, 32], 28),
            ([256, 128, 128, 192, 32, 96, 64], 28),
            ([480, 192, 96, 208, 16, 48, 64], 14),
            ([512, 160, 112, 224, 24, 64, 64], 14),
            ([512, 128, 128, 256, 24, 64, 64], 14),
            ([512, 112, 144, 288, 32, 64, 64], 14),
            ([528, 256, 160, 320, 32, 128, 128], 14),
            ([832, 256, 160, 320, 32, 128, 128], 7),
            ([832, 384, 192, 384, 48, 128, 128], 7),
        ];
        let parameters: usize = modules
            .map(|(channels, size)| inception(channels, size).0)
            .iter()
            .sum();
        let around = [
            conv(3, 64, 7, 112),
            conv(64, 64, 1, 56),
            conv(64, 192, 3, 56),
            conv(1024, 1000, 1, 1),
        ];
        let around: usize = around.iter().map(|c| c.0 + c.1).sum();
        assert_eq!(parameters + around, 6_998_552);
    }

    #[test]
    fn wrong_costs_are_named() {
        rejected("biases are missing", || {
            check::residual_bottleneck(|mid, size| (17 * mid * mid, 17 * mid * mid * size * size))
        });
        rejected("batch norms are missing", || {
            check::residual_bottleneck(|mid, size| {
                let (parameters, work) = bottleneck(mid, size);
                (parameters - 12 * mid, work)
            })
        });
        rejected("4 mid channels at both ends", || {
            check::residual_bottleneck(|mid, size| {
                let weights = 11 * mid * mid;
                (weights + 9 * mid, weights * size * size)
            })
        });
        rejected("count biases and batch norms", || {
            check::residual_bottleneck(|mid, size| {
                let (parameters, _) = bottleneck(mid, size);
                (parameters, parameters * size * size)
            })
        });
        rejected("naive one", || {
            check::inception_module(|[i, c1, _, c3, _, c5, cp], size| {
                let convs = [
                    conv(i, c1, 1, size),
                    conv(i, c3, 3, size),
                    conv(i, c5, 5, size),
                    conv(i, cp, 1, size),
                ];
                (
                    convs.iter().map(|c| c.0 + c.1).sum(),
                    convs.iter().map(|c| c.2).sum(),
                )
            })
        });
        rejected("branch with the pooling is missing", || {
            check::inception_module(|channels, size| {
                let pool = conv(channels[0], channels[6], 1, size);
                let (parameters, work) = inception(channels, size);
                (parameters - pool.0 - pool.1, work - pool.2)
            })
        });
        rejected("biases are missing", || {
            check::inception_module(|channels, size| {
                let (_, work) = inception(channels, size);
                (work / (size * size), work)
            })
        });
        rejected("Squeeze-and-excitation is missing", || {
            check::mbconv(|channels, expand, kernel, size| {
                let (parameters, work) = mbconv(channels, expand, kernel, size);
                let (middle, squeezed) = (channels * expand, channels / 4);
                let gate = 2 * middle * squeezed;
                (parameters - gate - middle - squeezed, work - gate)
            })
        });
        rejected("depthwise", || {
            check::mbconv(|channels, expand, kernel, size| {
                let middle = channels * expand;
                let (parameters, work) = mbconv(channels, expand, kernel, size);
                let (one, all) = (
                    conv(1, middle, kernel, size),
                    conv(middle, middle, kernel, size),
                );
                (parameters - one.0 + all.0, work - one.2 + all.2)
            })
        });
        rejected("on one pixel", || {
            check::mbconv(|channels, expand, kernel, size| {
                let gate = 2 * channels * expand * (channels / 4);
                let (parameters, work) = mbconv(channels, expand, kernel, size);
                (parameters, work + gate * (size * size - 1))
            })
        });
        rejected("quarter of the block's channels", || {
            check::mbconv(|channels, expand, kernel, size| {
                let middle = channels * expand;
                let (parameters, work) = mbconv(channels, expand, kernel, size);
                let (squeezed, wide) = (channels / 4, middle / 4);
                let gate = 2 * middle * (wide - squeezed);
                (parameters + gate + wide - squeezed, work + gate)
            })
        });
    }
}

mod scaling {
    use super::*;

    fn step(p: f64, q: f64, s: f64) -> (f64, f64, f64) {
        let m = 2f64.powf(1.0 / (1.0 / p + 2.0 / q + 2.0 / s));
        (m.powf(1.0 / p), m.powf(1.0 / q), m.powf(1.0 / s))
    }

    fn work(s: &Scaling) -> u128 {
        Variant::scaled("", s).multiply_adds()
    }

    /// The one with the largest value among those that fit.
    fn search(
        factors: &[f64],
        fits: impl Fn(&Scaling) -> bool,
        value: impl Fn(&Scaling) -> f64,
    ) -> Scaling {
        let mut best = Scaling {
            depth: 1.0,
            width: 1.0,
            resolution: 1.0,
        };
        let mut highest = f64::NEG_INFINITY;
        for &depth in factors {
            for &width in factors {
                for &resolution in factors {
                    let scaling = Scaling {
                        depth,
                        width,
                        resolution,
                    };
                    if fits(&scaling) && value(&scaling) > highest {
                        (best, highest) = (scaling, value(&scaling));
                    }
                }
            }
        }
        best
    }

    #[test]
    fn right_solutions_pass() {
        accepted(|| check::scaling_step(step));
        accepted(|| {
            check::best_scaling(|budget, factors| {
                search(factors, |s| work(s) <= budget, predicted_top1)
            })
        });
    }

    #[test]
    fn wrong_steps_are_named() {
        rejected("count twice", || {
            check::scaling_step(|p, q, s| {
                let m = 2f64.powf(1.0 / (1.0 / p + 1.0 / q + 1.0 / s));
                (m.powf(1.0 / p), m.powf(1.0 / q), m.powf(1.0 / s))
            })
        });
        rejected("upside down", || {
            check::scaling_step(|p, q, s| {
                let m = 2f64.powf(1.0 / (p + 2.0 * q + 2.0 * s));
                (m.powf(p), m.powf(q), m.powf(s))
            })
        });
        rejected("same for every input", || {
            check::scaling_step(|_, _, _| [2f64.powf(0.2); 3].into())
        });
        rejected("Width and resolution are swapped", || {
            check::scaling_step(|p, q, s| {
                let (depth, width, resolution) = step(p, q, s);
                (depth, resolution, width)
            })
        });
        rejected("it cancels", || {
            check::scaling_step(|p, q, s| {
                let m = 2f64.powf(1.0 / (1.0 / p + 4.0 / q + 4.0 / s));
                (m.powf(1.0 / p), m.powf(2.0 / q), m.powf(2.0 / s))
            })
        });
    }

    #[test]
    fn wrong_searches_are_named() {
        rejected("more than the budget", || {
            check::best_scaling(|_, factors| search(factors, |_| true, predicted_top1))
        });
        rejected("<=, not <", || {
            check::best_scaling(|budget, factors| {
                search(factors, |s| work(s) < budget, predicted_top1)
            })
        });
        rejected("rounded", || {
            check::best_scaling(|budget, factors| {
                let b0 = Variant::scaled("", &dldna::efficientnet::compound_scaling(0));
                let limit = budget as f64 / b0.multiply_adds() as f64;
                search(factors, |s| s.flops() <= limit, predicted_top1)
            })
        });
        rejected("spends most", || {
            check::best_scaling(|budget, factors| {
                search(factors, |s| work(s) <= budget, |s| work(s) as f64)
            })
        });
        rejected("same for every input", || {
            check::best_scaling(|budget, factors| {
                search(factors, |s| work(s) <= budget, |s| -predicted_top1(s))
            })
        });
        rejected("same factor for all three", || {
            check::best_scaling(|budget, factors| {
                let alike = |s: &Scaling| s.depth == s.width && s.depth == s.resolution;
                search(factors, |s| alike(s) && work(s) <= budget, predicted_top1)
            })
        });
        rejected("one factor after the other", || {
            check::best_scaling(|budget, factors| {
                let fits = |s: &Scaling| work(s) <= budget;
                let depth = search(
                    factors,
                    |s| fits(s) && s.width == 1.0 && s.resolution == 1.0,
                    predicted_top1,
                )
                .depth;
                let width = search(
                    factors,
                    |s| fits(s) && s.depth == depth && s.resolution == 1.0,
                    predicted_top1,
                )
                .width;
                search(
                    factors,
                    |s| fits(s) && s.depth == depth && s.width == width,
                    predicted_top1,
                )
            })
        });
    }
}

mod gaussian_process {
    use super::*;
    use dldna::gaussian_process::{solve_lower, solve_upper};
    use std::f64::consts::TAU;

    fn cholesky(a: &Array2<f64>) -> Array2<f64> {
        let mut l = Array2::zeros(a.dim());
        for i in 0..a.nrows() {
            for j in 0..=i {
                let mut left = a[[i, j]];
                for k in 0..j {
                    left -= l[[i, k]] * l[[j, k]];
                }
                l[[i, j]] = if i == j {
                    f64::sqrt(left)
                } else {
                    left / l[[j, j]]
                };
            }
        }
        l
    }

    fn noisy(k: &Array2<f64>, variance: f64) -> Array2<f64> {
        k + &(Array2::<f64>::eye(k.nrows()) * variance)
    }

    /// Mean and variance of the value.
    fn value(
        k: &Array2<f64>,
        k_star: &Array1<f64>,
        prior: f64,
        variance: f64,
        y: &Array1<f64>,
    ) -> (f64, f64) {
        let l = cholesky(&noisy(k, variance));
        let weights = solve_upper(&l, &solve_lower(&l, y).unwrap()).unwrap();
        let v = solve_lower(&l, k_star).unwrap();
        (k_star.dot(&weights), prior - v.dot(&v))
    }

    /// Squares, half of the determinant's logarithm, constant.
    fn terms(k: &Array2<f64>, variance: f64, y: &Array1<f64>) -> [f64; 3] {
        let l = cholesky(&noisy(k, variance));
        let weights = solve_upper(&l, &solve_lower(&l, y).unwrap()).unwrap();
        [
            y.dot(&weights),
            l.diag().mapv(f64::ln).sum(),
            y.len() as f64 * TAU.ln(),
        ]
    }

    #[test]
    fn right_solutions_pass() {
        accepted(|| check::cholesky(cholesky));
        accepted(|| {
            check::posterior(|k, k_star, prior, noise, y| {
                let (mean, variance) = value(k, k_star, prior, noise * noise, y);
                (mean, (variance + noise * noise).sqrt())
            })
        });
        accepted(|| {
            check::log_marginal_likelihood(|k, noise, y| {
                let [squares, half, constant] = terms(k, noise * noise, y);
                -0.5 * squares - half - 0.5 * constant
            })
        });
    }

    #[test]
    fn wrong_factors_are_named() {
        rejected("transpose of L", || {
            check::cholesky(|a| cholesky(a).reversed_axes())
        });
        rejected("There is still the matrix", || {
            check::cholesky(|a| {
                let l = cholesky(a);
                Array2::from_shape_fn(a.dim(), |(i, j)| if j > i { a[[i, j]] } else { l[[i, j]] })
            })
        });
        rejected("A = L D L^T", || {
            check::cholesky(|a| {
                let l = cholesky(a);
                &l / &l.diag().insert_axis(Axis(0))
            })
        });
        rejected("sums over k < j are missing", || {
            check::cholesky(|a| {
                Array2::from_shape_fn(a.dim(), |(i, j)| match i.cmp(&j) {
                    std::cmp::Ordering::Less => 0.0,
                    std::cmp::Ordering::Equal => a[[i, i]].sqrt(),
                    std::cmp::Ordering::Greater => a[[i, j]] / a[[j, j]].sqrt(),
                })
            })
        });
        rejected("same for every input", || {
            check::cholesky(|_| ndarray::array![[1.0, 0.0], [1.0, 2.0]])
        });
    }

    #[test]
    fn wrong_predictions_are_named() {
        rejected("missing on the diagonal of k", || {
            check::posterior(|k, k_star, prior, noise, y| {
                let (mean, variance) = value(k, k_star, prior, 0.0, y);
                (mean, (variance + noise * noise).sqrt())
            })
        });
        rejected("the square of its deviation", || {
            check::posterior(|k, k_star, prior, noise, y| {
                let (mean, variance) = value(k, k_star, prior, noise, y);
                (mean, (variance + noise * noise).sqrt())
            })
        });
        rejected("deviation of the value", || {
            check::posterior(|k, k_star, prior, noise, y| {
                let (mean, variance) = value(k, k_star, prior, noise * noise, y);
                (mean, variance.sqrt())
            })
        });
        rejected("This is the variance", || {
            check::posterior(|k, k_star, prior, noise, y| {
                let (mean, variance) = value(k, k_star, prior, noise * noise, y);
                (mean, variance + noise * noise)
            })
        });
        rejected("v.v is subtracted", || {
            check::posterior(|k, k_star, prior, noise, y| {
                let (mean, variance) = value(k, k_star, prior, noise * noise, y);
                (mean, (2.0 * prior - variance + noise * noise).sqrt())
            })
        });
        rejected("weights are not y", || {
            check::posterior(|k, k_star, prior, noise, y| {
                let (_, variance) = value(k, k_star, prior, noise * noise, y);
                (k_star.dot(y), (variance + noise * noise).sqrt())
            })
        });
        rejected("You solve with L only", || {
            check::posterior(|k, k_star, prior, noise, y| {
                let once = solve_lower(&cholesky(&noisy(k, noise * noise)), y).unwrap();
                let (_, variance) = value(k, k_star, prior, noise * noise, y);
                (k_star.dot(&once), (variance + noise * noise).sqrt())
            })
        });
        rejected("You solve with L twice", || {
            check::posterior(|k, k_star, prior, noise, y| {
                let l = cholesky(&noisy(k, noise * noise));
                let twice = solve_lower(&l, &solve_lower(&l, y).unwrap()).unwrap();
                let (_, variance) = value(k, k_star, prior, noise * noise, y);
                (k_star.dot(&twice), (variance + noise * noise).sqrt())
            })
        });
    }

    #[test]
    fn wrong_likelihoods_are_named() {
        type Wrong = fn([f64; 3], f64) -> f64;
        let cases: [(&str, Wrong); 9] = [
            ("the loss", |[a, b, c], _| 0.5 * a + b + 0.5 * c),
            ("determinant has the wrong sign", |[a, b, c], _| {
                -0.5 * a + b - 0.5 * c
            }),
            ("determinant counts twice", |[a, b, c], _| {
                -0.5 * a - 2.0 * b - 0.5 * c
            }),
            ("Do not halve it again", |[a, b, c], _| {
                -0.5 * a - 0.5 * b - 0.5 * c
            }),
            ("determinant is missing", |[a, _, c], _| -0.5 * a - 0.5 * c),
            ("1/2 before the product", |[a, b, c], _| -a - b - 0.5 * c),
            ("constant is missing", |[a, b, _], _| -0.5 * a - b),
            ("1/2 before n ln(2 pi)", |[a, b, c], _| -0.5 * a - b - c),
            ("mean over the measurements", |[a, b, c], n| {
                (-0.5 * a - b - 0.5 * c) / n
            }),
        ];
        for (words, wrong) in cases {
            rejected(words, || {
                check::log_marginal_likelihood(move |k, noise, y| {
                    wrong(terms(k, noise * noise, y), y.len() as f64)
                })
            });
        }
        rejected("noise is missing", || {
            check::log_marginal_likelihood(|k, _, y| {
                let [a, b, c] = terms(k, 0.0, y);
                -0.5 * a - b - 0.5 * c
            })
        });
        rejected("the square of its deviation", || {
            check::log_marginal_likelihood(|k, noise, y| {
                let [a, b, c] = terms(k, noise, y);
                -0.5 * a - b - 0.5 * c
            })
        });
    }
}

mod convnext {
    use super::*;
    use dldna::convnext::modules::ConvNeXtBlock;

    type Block = ConvNeXtBlock<4, 16, f32, Cpu>;
    type Images = Tensor<(usize, Const<4>, usize, usize), f32, Cpu>;

    fn norm(
        image: &Array2<f64>,
        scale: &Array1<f64>,
        bias: &Array1<f64>,
        divisor: fn(f64, f64) -> f64,
    ) -> Array2<f64> {
        let mut result = image.clone();
        for mut pixel in result.columns_mut() {
            let count = pixel.len() as f64;
            let mean = pixel.sum() / count;
            let squares = pixel.iter().map(|x| (x - mean).powi(2)).sum::<f64>();
            for (c, x) in pixel.iter_mut().enumerate() {
                *x = scale[c] * (*x - mean) / divisor(squares, count) + bias[c];
            }
        }
        result
    }

    fn right(squares: f64, count: f64) -> f64 {
        (squares / count + 1e-6).sqrt()
    }

    /// With the factors on the result, where the crate has them on the weights.
    fn block(block: &Block, x: Images) -> Images {
        let y = block
            .depthwise_bias
            .forward(block.depthwise.forward(x.clone()));
        let y = block.expand.forward(block.norm.forward(y));
        let y = block.project.forward(GELU.forward(y));
        let factors = block.layer_scale.factors.clone().broadcast_like(&y);
        x + y * factors
    }

    fn cost(c: usize, size: usize) -> (usize, usize) {
        let weights = 49 * c + 8 * c * c;
        (weights + 9 * c, weights * size * size)
    }

    #[test]
    fn right_solutions_pass() {
        accepted(|| check::channel_norm(|image, scale, bias| norm(image, scale, bias, right)));
        accepted(|| check::convnext_block(block));
        accepted(|| check::convnext_cost(cost));
    }

    #[test]
    fn wrong_norms_are_named() {
        rejected("row by row", || {
            check::channel_norm(|image, scale, bias| {
                let turned = image.t().to_owned();
                let (ones, zeros) = (Array1::ones(image.ncols()), Array1::zeros(image.ncols()));
                let rows = norm(&turned, &ones, &zeros, right).reversed_axes();
                &rows * &scale.clone().insert_axis(Axis(1)) + bias.clone().insert_axis(Axis(1))
            })
        });
        type Divisor = fn(f64, f64) -> f64;
        let cases: [(&str, Divisor); 5] = [
            ("1e-6 is missing", |squares, count| (squares / count).sqrt()),
            ("before the root", |squares, count| {
                (squares / count).sqrt() + 1e-6
            }),
            ("root is missing", |squares, count| squares / count + 1e-6),
            ("nothing is divided", |_, _| 1.0),
            ("less one", |squares, count| {
                (squares / (count - 1.0) + 1e-6).sqrt()
            }),
        ];
        for (words, divisor) in cases {
            rejected(words, || {
                check::channel_norm(move |image, scale, bias| norm(image, scale, bias, divisor))
            });
        }
        rejected("swapped", || {
            check::channel_norm(|image, scale, bias| norm(image, bias, scale, right))
        });
        rejected("bias is missing", || {
            check::channel_norm(|image, scale, bias| norm(image, scale, &(bias * 0.0), right))
        });
    }

    #[test]
    fn wrong_blocks_are_named() {
        rejected("no skip", || {
            check::convnext_block(|b, x| block(b, x.clone()) - x)
        });
        rejected("layer_scale is missing", || {
            check::convnext_block(|b, x| {
                let mut same = b.clone();
                same.layer_scale.factors.fill_with_ones();
                block(&same, x)
            })
        });
        rejected("ConvNeXt has a GELU", || {
            check::convnext_block(|b, x| {
                let y = b.depthwise_bias.forward(b.depthwise.forward(x.clone()));
                let y = b
                    .project
                    .forward(b.expand.forward(b.norm.forward(y)).relu());
                let factors = b.layer_scale.factors.clone().broadcast_like(&y);
                x + y * factors
            })
        });
        rejected("between the two 1x1 convolutions is missing", || {
            check::convnext_block(|b, x| {
                let y = b.depthwise_bias.forward(b.depthwise.forward(x.clone()));
                let y = b.project.forward(b.expand.forward(b.norm.forward(y)));
                let factors = b.layer_scale.factors.clone().broadcast_like(&y);
                x + y * factors
            })
        });
        rejected("comes after the depthwise", || {
            check::convnext_block(|b, x| {
                let y = b.depthwise.forward(b.norm.forward(x.clone()));
                let y = b.expand.forward(b.depthwise_bias.forward(y));
                let y = b.project.forward(GELU.forward(y));
                let factors = b.layer_scale.factors.clone().broadcast_like(&y);
                x + y * factors
            })
        });
        rejected("depthwise_bias is missing", || {
            check::convnext_block(|b, x| {
                let mut without = b.clone();
                without.depthwise_bias.bias.fill_with_zeros();
                block(&without, x)
            })
        });
        rejected("This is the input", || check::convnext_block(|_, x| x));
    }

    #[test]
    fn wrong_costs_are_named() {
        rejected("is depthwise", || {
            check::convnext_cost(|c, size| {
                let weights = 49 * c * c + 8 * c * c;
                (weights + 9 * c, weights * size * size)
            })
        });
        rejected("A number for each channel is missing", || {
            check::convnext_cost(|c, size| (cost(c, size).0 - c, cost(c, size).1))
        });
        rejected("Two numbers for each channel", || {
            check::convnext_cost(|c, size| (cost(c, size).0 - 2 * c, cost(c, size).1))
        });
        rejected("biases of the three convolutions", || {
            check::convnext_cost(|c, size| (cost(c, size).0 - 6 * c, cost(c, size).1))
        });
        rejected("count biases and norms", || {
            check::convnext_cost(|c, size| (cost(c, size).0, cost(c, size).0 * size * size))
        });
    }
}
