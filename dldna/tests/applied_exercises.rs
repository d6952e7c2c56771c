//! The applied exercises answer: right solutions pass, and plausible wrong ones are told what is wrong with them.

#[path = "common/answers.rs"]
mod answers;

use answers::{accepted, rejected, set_up};
use dldna::data::{Normalisation, mnist_sample};
use dldna::exercises::{Verdict, check};
use dldna::prelude::*;
use dldna::train::{Adam, BoxedClassifier, Images, Logits, TrainError};

mod convolution {
    use super::*;

    type Images = Array4<f32>;

    /// Where a way to convolve differs from the right one.
    #[derive(Clone, Copy)]
    struct Way {
        turned: bool,
        transposed: bool,
        channels_swapped: bool,
        padded: bool,
        strided: bool,
        adds_channels: bool,
        bias: f32,
    }

    const RIGHT: Way = Way {
        turned: false,
        transposed: false,
        channels_swapped: false,
        padded: true,
        strided: true,
        adds_channels: true,
        bias: 1.0,
    };

    fn conv(
        way: Way,
        images: &Images,
        weight: &Images,
        bias: &[f32],
        stride: usize,
        padding: usize,
    ) -> Images {
        let padding = if way.padded { padding } else { 0 };
        let stride = if way.strided { stride } else { 1 };
        let (batch, channels, height, width) = images.dim();
        let (outputs, _, kernel, _) = weight.dim();
        let rows = (height + 2 * padding - kernel) / stride + 1;
        let columns = (width + 2 * padding - kernel) / stride + 1;
        Array4::from_shape_fn((batch, outputs, rows, columns), |(n, o, y, x)| {
            let mut sum = 0.0;
            for c in 0..channels {
                if !way.adds_channels {
                    sum = 0.0;
                }
                for i in 0..kernel {
                    for j in 0..kernel {
                        let row = (y * stride + i).wrapping_sub(padding);
                        let column = (x * stride + j).wrapping_sub(padding);
                        let pixel = images.get((n, c, row, column)).unwrap_or(&0.0);
                        let (mut a, mut b) = (i, j);
                        if way.turned {
                            (a, b) = (kernel - 1 - i, kernel - 1 - j);
                        }
                        if way.transposed {
                            (a, b) = (b, a);
                        }
                        let (to, from) = if way.channels_swapped { (c, o) } else { (o, c) };
                        sum += pixel * weight[[to, from, a, b]];
                    }
                }
            }
            sum + way.bias * bias[o]
        })
    }

    fn im2col(image: &Array3<f32>, kernel: usize, stride: usize, padding: usize) -> Array2<f32> {
        let (channels, height, width) = image.dim();
        let rows = (height + 2 * padding - kernel) / stride + 1;
        let columns = (width + 2 * padding - kernel) / stride + 1;
        let mut result = Array2::zeros((channels * kernel * kernel, rows * columns));
        for ((row, column), number) in result.indexed_iter_mut() {
            let (c, i, j) = (row / (kernel * kernel), row / kernel % kernel, row % kernel);
            let y = (column / columns * stride + i).wrapping_sub(padding);
            let x = (column % columns * stride + j).wrapping_sub(padding);
            *number = *image.get((c, y, x)).unwrap_or(&0.0);
        }
        result
    }

    #[test]
    fn right_solutions_pass() {
        accepted(|| check::conv2d(|i, w, b, s, p| conv(RIGHT, i, w, b, s, p)));
        accepted(|| check::im2col(im2col));
        accepted(|| {
            check::conv2d_im2col(|images, weight, bias, stride, padding| {
                let (outputs, channels, kernel, _) = weight.dim();
                let filters = weight
                    .to_shape((outputs, channels * kernel * kernel))
                    .unwrap();
                let size = |size: usize| (size + 2 * padding - kernel) / stride + 1;
                let (batch, _, height, width) = images.dim();
                let mut result = Array4::zeros((batch, outputs, size(height), size(width)));
                for (image, mut output) in images.outer_iter().zip(result.outer_iter_mut()) {
                    let product = filters.dot(&im2col(&image.to_owned(), kernel, stride, padding));
                    for (o, mut channel) in output.outer_iter_mut().enumerate() {
                        let row = product.row(o).to_owned() + bias[o];
                        channel.assign(&row.to_shape((size(height), size(width))).unwrap());
                    }
                }
                result
            })
        });
    }

    /// The crate's own layer, which is compared with PyTorch elsewhere, agrees with the check.
    #[test]
    fn the_layer_of_the_crate_passes() {
        accepted(|| {
            check::conv2d(|images, weight, bias, stride, padding| {
                let dev = Cpu::default();
                let tensor = |values: &Images| {
                    dev.tensor_from_vec(values.iter().copied().collect(), values.dim())
                };
                let (outputs, channels, kernel, _) = weight.dim();
                let mut layer = SimpleConv2d::new(channels, outputs, kernel, stride, padding, 0);
                layer.weight = tensor(weight);
                layer.bias = dev.tensor_from_vec(bias.to_vec(), (outputs,));
                let output = layer.forward(&tensor(images)).unwrap();
                Array4::from_shape_vec(*output.shape(), output.as_vec()).unwrap()
            })
        });
    }

    #[test]
    fn wrong_convolutions_are_named() {
        let ways = [
            ("bias is missing", Way { bias: 0.0, ..RIGHT }),
            (
                "turned by 180 degrees",
                Way {
                    turned: true,
                    ..RIGHT
                },
            ),
            (
                "Rows and columns of the kernels",
                Way {
                    transposed: true,
                    ..RIGHT
                },
            ),
            (
                "Input and output channels",
                Way {
                    channels_swapped: true,
                    ..RIGHT
                },
            ),
            (
                "padding is forgotten",
                Way {
                    padded: false,
                    ..RIGHT
                },
            ),
            (
                "stride is forgotten",
                Way {
                    strided: false,
                    ..RIGHT
                },
            ),
            (
                "Only the last input channel",
                Way {
                    adds_channels: false,
                    ..RIGHT
                },
            ),
        ];
        for (words, way) in ways {
            rejected(words, || {
                check::conv2d(move |i, w, b, s, p| conv(way, i, w, b, s, p))
            });
            rejected(words, || {
                check::conv2d_im2col(move |i, w, b, s, p| conv(way, i, w, b, s, p))
            });
        }
    }

    #[test]
    fn wrong_sizes_and_constants_are_named() {
        rejected("off by one", || {
            check::conv2d(|i, w, b, s, p| {
                let all = conv(RIGHT, i, w, b, s, p);
                let (batch, outputs, rows, columns) = all.dim();
                Array4::from_shape_fn((batch, outputs, rows - 1, columns - 1), |at| all[at])
            })
        });
        rejected("one pixel apart", || {
            check::conv2d(|i, w, b, s, p| {
                let shape = conv(RIGHT, i, w, b, s, p).dim();
                let dense = conv(
                    Way {
                        strided: false,
                        ..RIGHT
                    },
                    i,
                    w,
                    b,
                    s,
                    p,
                );
                Array4::from_shape_fn(shape, |at| dense[at])
            })
        });
        rejected("above and to the left only", || {
            check::conv2d(|images, w, b, s, p| {
                let (batch, channels, height, width) = images.dim();
                let larger = (batch, channels, height + p, width + p);
                let images = Array4::from_shape_fn(larger, |(n, c, y, x)| {
                    let at = (n, c, y.wrapping_sub(p), x.wrapping_sub(p));
                    *images.get(at).unwrap_or(&0.0)
                });
                conv(RIGHT, &images, w, b, s, 0)
            })
        });
        rejected("once for each input channel", || {
            check::conv2d(|i, w, b, s, p| {
                conv(
                    Way {
                        bias: i.dim().1 as f32,
                        ..RIGHT
                    },
                    i,
                    w,
                    b,
                    s,
                    p,
                )
            })
        });
        rejected("Only the first image", || {
            check::conv2d(|i, w, b, s, p| {
                let all = conv(RIGHT, i, w, b, s, p);
                Array4::from_shape_fn(all.dim(), |at| if at.0 == 0 { all[at] } else { 0.0 })
            })
        });
        rejected("Is it ever filled?", || {
            check::conv2d(|i, w, b, s, p| conv(RIGHT, i, w, b, s, p) * 0.0)
        });
        rejected("same for every input", || {
            check::conv2d(|_, _, _, _, _| {
                Array4::from_shape_vec((1, 1, 2, 1), vec![1.0, 2.0]).unwrap()
            })
        });
        rejected("below zero", || {
            check::conv2d(|images, _, _, _, padding| {
                let rows = images.dim().2 - 4 - padding;
                Array4::zeros((1, 1, rows, 1))
            })
        });
    }

    #[test]
    fn wrong_columns_are_named() {
        rejected("windows are the rows", || {
            check::im2col(|image, k, s, p| im2col(image, k, s, p).reversed_axes())
        });
        rejected("channels run fastest", || {
            check::im2col(|image, k, s, p| {
                let right = im2col(image, k, s, p);
                let channels = image.dim().0;
                Array2::from_shape_fn(right.dim(), |(row, column)| {
                    right[[row % channels * k * k + row / channels, column]]
                })
            })
        });
        rejected("inside of the window are swapped", || {
            check::im2col(|image, k, s, p| {
                let right = im2col(image, k, s, p);
                Array2::from_shape_fn(right.dim(), |(row, column)| {
                    let (c, i, j) = (row / (k * k), row / k % k, row % k);
                    right[[(c * k + j) * k + i, column]]
                })
            })
        });
        rejected("padding is forgotten", || {
            check::im2col(|image, k, s, _| im2col(image, k, s, 0))
        });
        rejected("stride is forgotten", || {
            check::im2col(|image, k, _, p| im2col(image, k, 1, p))
        });
        rejected("turned by 180", || {
            check::im2col(|image, k, s, p| {
                let right = im2col(image, k, s, p);
                Array2::from_shape_fn(right.dim(), |(row, column)| {
                    let (c, inside) = (row / (k * k), row % (k * k));
                    right[[c * k * k + k * k - 1 - inside, column]]
                })
            })
        });
    }
}

mod filters {
    use super::*;

    fn sums_of_columns(kernel: &Array2<f32>) -> Vec<f32> {
        kernel
            .columns()
            .into_iter()
            .map(|column| column.sum())
            .collect()
    }

    /// The kernel crosses the edge column by column: responses are partial sums, from the right.
    fn crossing(kernel: &Array2<f32>) -> Vec<f32> {
        let mut responses = vec![0.0];
        for sum in sums_of_columns(kernel).iter().rev() {
            responses.push(responses[responses.len() - 1] + sum);
        }
        responses
    }

    fn most(values: &[f32]) -> f32 {
        values.iter().copied().fold(f32::MIN, f32::max)
    }

    fn range(values: &[f32]) -> f32 {
        most(values) - values.iter().copied().fold(f32::MAX, f32::min)
    }

    fn flipped(kernel: &Array2<f32>) -> Array2<f32> {
        kernel.t().to_owned()
    }

    #[test]
    fn right_solutions_pass() {
        accepted(|| check::flat_response(|kernel| kernel.sum()));
        accepted(|| {
            check::edge_response(|kernel| {
                (range(&crossing(kernel)), range(&crossing(&flipped(kernel))))
            })
        });
        accepted(|| {
            check::noise_response(|kernel| kernel.iter().map(|w| w * w).sum::<f32>().sqrt())
        });
    }

    #[test]
    fn wrong_responses_are_named() {
        rejected("mean of the weights", || {
            check::flat_response(|kernel| kernel.mean().unwrap())
        });
        rejected("signs are lost", || {
            check::flat_response(|kernel| kernel.mapv(f32::abs).sum())
        });
        rejected("same for every input", || check::flat_response(|_| 1.0));
        rejected("two edges are swapped", || {
            check::edge_response(|kernel| {
                (range(&crossing(&flipped(kernel))), range(&crossing(kernel)))
            })
        });
        rejected("largest response alone", || {
            check::edge_response(|kernel| {
                (most(&crossing(kernel)), most(&crossing(&flipped(kernel))))
            })
        });
        rejected("two flat areas", || {
            check::edge_response(|kernel| (kernel.sum().abs(), kernel.sum().abs()))
        });
        rejected("This is the variance", || {
            check::noise_response(|kernel| kernel.iter().map(|w| w * w).sum())
        });
        rejected("add standard deviations", || {
            check::noise_response(|kernel| kernel.mapv(f32::abs).sum())
        });
        rejected("partly cancels itself", || {
            check::noise_response(|kernel| kernel.sum().abs())
        });
        rejected("mean of the squares", || {
            check::noise_response(|kernel| kernel.mapv(|w| w * w).mean().unwrap().sqrt())
        });
    }
}

mod digits {
    use super::*;

    fn normalised(pixels: &[u8], number: fn(f32) -> f32) -> Vec<f32> {
        pixels
            .iter()
            .map(|&pixel| number(f32::from(pixel)))
            .collect()
    }

    fn right_of(logits: &Array2<f32>, labels: &[usize]) -> usize {
        let rows = logits.rows().into_iter().zip(labels);
        let best = |row: &[f32]| {
            (0..row.len())
                .max_by(|&a, &b| row[a].total_cmp(&row[b]))
                .unwrap()
        };
        rows.filter(|(row, label)| best(row.to_slice().unwrap()) == **label)
            .count()
    }

    fn step(
        network: &mut BoxedClassifier<10>,
        adam: &mut Adam,
        images: Images,
        targets: Logits<10>,
    ) -> Result<f32, TrainError> {
        let gradients = network.try_alloc_grads()?;
        let logits = network.forward_mut(images.traced(gradients));
        let loss = cross_entropy_with_logits_loss(logits, targets);
        let value = loss.array();
        network.update(adam, &mut loss.backward())?;
        Ok(value)
    }

    fn loss_of(network: &BoxedClassifier<10>, images: &Images, targets: &Logits<10>) -> f32 {
        cross_entropy_with_logits_loss(network.forward(images.clone()), targets.clone()).array()
    }

    #[test]
    fn right_solutions_pass() {
        accepted(|| check::normalise(|p| normalised(p, |p| (p / 255.0 - 0.1307) / 0.3081)));
        accepted(|| {
            check::accuracy(|logits, labels| right_of(logits, labels) as f64 / labels.len() as f64)
        });
        accepted(|| check::train_step(step));
    }

    #[test]
    fn wrong_normalisations_are_named() {
        rejected("mean is still to be subtracted", || {
            check::normalise(|p| normalised(p, |p| p / 255.0))
        });
        rejected("still between 0 and 255", || {
            check::normalise(|p| normalised(p, |p| (p - 0.1307) / 0.3081))
        });
        rejected("standard deviation is missing", || {
            check::normalise(|p| normalised(p, |p| p / 255.0 - 0.1307))
        });
        rejected("needs its brackets", || {
            check::normalise(|p| normalised(p, |p| p / 255.0 - 0.1307 / 0.3081))
        });
        rejected("same for every input", || {
            check::normalise(|_| vec![0.0, 1.0])
        });
    }

    #[test]
    fn wrong_accuracies_are_named() {
        rejected("in percent", || {
            check::accuracy(|logits, labels| {
                100.0 * right_of(logits, labels) as f64 / labels.len() as f64
            })
        });
        rejected("how many were right", || {
            check::accuracy(|logits, labels| right_of(logits, labels) as f64)
        });
        rejected("number of logits", || {
            check::accuracy(|logits, labels| right_of(logits, labels) as f64 / logits.len() as f64)
        });
        rejected("whole numbers rounds down", || {
            check::accuracy(|logits, labels| (right_of(logits, labels) / labels.len()) as f64)
        });
        rejected("share of errors", || {
            check::accuracy(|logits, labels| {
                1.0 - right_of(logits, labels) as f64 / labels.len() as f64
            })
        });
        rejected("smallest logit", || {
            check::accuracy(|logits, labels| {
                right_of(&-logits, labels) as f64 / labels.len() as f64
            })
        });
        rejected("may be negative", || {
            check::accuracy(|logits, labels| {
                let cut = logits.mapv(|logit| logit.max(0.0));
                // The first of equal ones: class 0 where all are negative.
                let right = cut.rows().into_iter().zip(labels).filter(|(row, label)| {
                    let mut best = 0;
                    for class in 0..row.len() {
                        if row[class] > row[best] {
                            best = class;
                        }
                    }
                    best == **label
                });
                right.count() as f64 / labels.len() as f64
            })
        });
    }

    #[test]
    fn wrong_steps_are_named() {
        rejected("nothing was updated", || {
            check::train_step(|network, _, images, targets| Ok(loss_of(network, &images, &targets)))
        });
        rejected("taken after the update", || {
            check::train_step(|network, adam, images, targets| {
                step(network, adam, images.clone(), targets.clone())?;
                Ok(loss_of(network, &images, &targets))
            })
        });
        rejected("updates the network twice", || {
            check::train_step(|network, adam, images, targets| {
                let loss = step(network, adam, images.clone(), targets.clone());
                step(network, adam, images, targets)?;
                loss
            })
        });
        rejected("there is no such layer", || {
            check::train_step(|_, _, _, _| {
                let error = std::io::Error::other("there is no such layer");
                Err(dldna::data::DataError::Read {
                    path: "x".into(),
                    source: error,
                }
                .into())
            })
        });
        rejected("sum of the losses", || {
            check::train_step(|network, adam, images, targets| {
                let batch = images.shape().0 as f32;
                Ok(batch * step(network, adam, images, targets)?)
            })
        });
    }

    #[test]
    fn untrained_networks_are_told_so() {
        rejected("not much better than guessing", || {
            let dev = Cpu::seed_from_u64(0);
            let network = dev.build_module::<(Flatten<784>, Linear<784, 10>), f32>();
            check::digits(&Some(BoxedClassifier::new(network)))
        });
        rejected("same class for every image", || {
            let dev = Cpu::seed_from_u64(0);
            let mut network = dev.build_module::<(Flatten<784>, Linear<784, 10>), f32>();
            network.1.weight = dev.zeros();
            check::digits(&Some(BoxedClassifier::new(network)))
        });
        rejected("not written yet", || check::digits(&None));
        // A layer that cannot take the images is an answer in words.
        rejected("1x28x28 = 784", || {
            let dev = Cpu::seed_from_u64(0);
            let network = dev.build_module::<(Flatten<100>, Linear<100, 10>), f32>();
            check::digits(&Some(BoxedClassifier::new(network)))
        });
    }

    /// A linear layer learns the training images, and 94% of the validation images are out of its reach.
    #[test]
    fn a_linear_network_learns_and_is_not_enough() {
        set_up();
        let dev = Cpu::seed_from_u64(0);
        let network = dev.build_module::<(Flatten<784>, Linear<784, 10>), f32>();
        let mut network = BoxedClassifier::new(network);
        let mut adam = Adam::new(1e-3);
        let train = mnist_sample().unwrap().train.split(0.2, 0).train;
        for epoch in 0..5 {
            for batch in train.shuffled(epoch).batches(50, Normalisation::MNIST) {
                let targets = dldna::train::smoothed_targets(&batch.labels, 0.0).unwrap();
                step(&mut network, &mut adam, batch.to_tensor(&dev), targets).unwrap();
            }
        }
        let answer = check::digits(&Some(network));
        let Verdict::Wrong(wrong) = answer.verdict() else {
            panic!("{answer}");
        };
        let right: usize = wrong.got.split_once(" of 200").unwrap().0.parse().unwrap();
        assert!((150..188).contains(&right), "{answer}");
        assert_eq!(wrong.mistake, None);
    }
}

mod skips {
    use super::*;
    use dldna::data::Split;
    use dldna::residual_learning::SmallNetwork;
    use dldna::train::{Epoch, TrainConfig};

    fn relu(values: &Array2<f32>) -> Array2<f32> {
        values.mapv(|value| value.max(0.0))
    }

    fn losses(
        seed: u64,
        images: &Split,
        config: &TrainConfig,
        figure: fn(&Epoch) -> f32,
    ) -> (f32, f32) {
        let config = TrainConfig {
            seed,
            ..config.clone()
        };
        let last = |network: SmallNetwork| {
            let history = network.train(images, &config).unwrap();
            figure(history.last().unwrap())
        };
        (last(SmallNetwork::Plain20), last(SmallNetwork::Residual20))
    }

    fn mean(values: &[f64]) -> f64 {
        values.iter().sum::<f64>() / values.len() as f64
    }

    fn squares(values: &[f64]) -> f64 {
        values
            .iter()
            .map(|value| (value - mean(values)).powi(2))
            .sum()
    }

    #[test]
    fn right_solutions_pass() {
        accepted(|| {
            check::block_end(|branch, input, skip| {
                relu(&if skip { branch + input } else { branch.clone() })
            })
        });
        accepted(|| {
            check::final_losses(|seed, images, config| {
                losses(seed, images, config, |e| e.train_loss)
            })
        });
        accepted(|| {
            check::mean_and_spread(|values| {
                (
                    mean(values),
                    (squares(values) / (values.len() - 1) as f64).sqrt(),
                )
            })
        });
    }

    #[test]
    fn wrong_blocks_are_named() {
        rejected("ReLU at the end is missing", || {
            check::block_end(
                |branch, input, skip| if skip { branch + input } else { branch.clone() },
            )
        });
        rejected("before the addition", || {
            check::block_end(|branch, input, skip| {
                if skip {
                    relu(branch) + input
                } else {
                    relu(branch)
                }
            })
        });
        rejected("even where skip is false", || {
            check::block_end(|branch, input, _| relu(&(branch + input)))
        });
        rejected("never there", || {
            check::block_end(|branch, _, _| relu(branch))
        });
        rejected("other way round", || {
            check::block_end(|branch, input, skip| {
                relu(&if skip { branch.clone() } else { branch + input })
            })
        });
        rejected("branch is lost", || {
            check::block_end(|branch, input, skip| relu(if skip { input } else { branch }))
        });
    }

    #[test]
    fn wrong_losses_are_named() {
        rejected("swapped", || {
            check::final_losses(|seed, images, config| {
                let (plain, residual) = losses(seed, images, config, |e| e.train_loss);
                (residual, plain)
            })
        });
        rejected("on the test images", || {
            check::final_losses(|seed, images, config| {
                losses(seed, images, config, |e| e.test_loss)
            })
        });
        rejected("accuracies", || {
            check::final_losses(|seed, images, config| {
                losses(seed, images, config, |e| e.train_accuracy)
            })
        });
        rejected("first epoch", || {
            check::final_losses(|seed, images, config| {
                let one = TrainConfig {
                    epochs: 1,
                    ..config.clone()
                };
                losses(seed, images, &one, |e| e.train_loss)
            })
        });
        rejected("seed is not used", || {
            check::final_losses(|_, images, config| {
                losses(config.seed, images, config, |e| e.train_loss)
            })
        });
        rejected("same for every input", || {
            check::final_losses(|_, _, _| (1.5, 0.5))
        });
    }

    #[test]
    fn wrong_spreads_are_named() {
        rejected("divide by n.", || {
            check::mean_and_spread(|values| {
                (mean(values), (squares(values) / values.len() as f64).sqrt())
            })
        });
        rejected("This is the variance", || {
            check::mean_and_spread(|values| {
                (mean(values), squares(values) / (values.len() - 1) as f64)
            })
        });
        rejected("not divided yet", || {
            check::mean_and_spread(|values| (mean(values), squares(values).sqrt()))
        });
    }
}

mod transfer {
    use super::*;
    use dldna::transfer::{ColorResNet18, Features, Head};

    fn fresh(seed: u64) -> Head {
        BuildModule::build(&Cpu::seed_from_u64(seed))
    }

    /// A step whose gradient is multiplied by `weights` and `biases`.
    fn step(head: &mut Head, features: &Features, targets: &Logits<10>, weights: f32, biases: f32) {
        let logits = head.forward(features.leaky_trace());
        let gradients = cross_entropy_with_logits_loss(logits, targets.clone()).backward();
        head.weight = head.weight.clone() - gradients.get(&head.weight) * weights;
        head.bias = head.bias.clone() - gradients.get(&head.bias) * biases;
    }

    #[test]
    fn right_solutions_pass() {
        accepted(|| {
            check::new_head(|mut network, seed| {
                network.fc = fresh(seed);
                network
            })
        });
        accepted(|| {
            check::head_step(|head, features, targets, rate| {
                step(head, features, targets, rate, rate)
            })
        });
    }

    #[test]
    fn wrong_heads_are_named() {
        rejected("old head", || check::new_head(|network, _| network));
        rejected("what it has learned is lost", || {
            check::new_head(|_, seed| -> ColorResNet18 {
                BuildModule::build(&Cpu::seed_from_u64(seed))
            })
        });
        rejected("do not come from the seed", || {
            check::new_head(|mut network, _| {
                network.fc = fresh(0);
                network
            })
        });
        rejected("not written yet", || check::new_head(|_, _| todo!()));
    }

    #[test]
    fn wrong_steps_are_named() {
        rejected("as it was", || check::head_step(|_, _, _, _| {}));
        rejected("uphill", || {
            check::head_step(|head, features, targets, rate| {
                step(head, features, targets, -rate, -rate)
            })
        });
        rejected("biases are as they were", || {
            check::head_step(|head, features, targets, rate| {
                step(head, features, targets, rate, 0.0)
            })
        });
        rejected("weights are as they were", || {
            check::head_step(|head, features, targets, rate| {
                step(head, features, targets, 0.0, rate)
            })
        });
        rejected("learning rate is not used", || {
            check::head_step(|head, features, targets, _| step(head, features, targets, 1.0, 1.0))
        });
        rejected("sum of all losses", || {
            check::head_step(|head, features, targets, rate| {
                let images = features.shape().0 as f32;
                step(head, features, targets, rate * images, rate * images)
            })
        });
        rejected("same for every input", || {
            check::head_step(|head, _, _, _| {
                *head = fresh(0);
            })
        });
    }

    /// The features and the last layer together are the network.
    #[test]
    fn a_head_makes_logits_of_the_features() {
        use dldna::data::{Dataset, photograph};
        use dldna::mobilenet::MobileNetV2;
        use dldna::transfer::{features, imagenet_features, on_photograph};
        use dldna::weights::save_model;

        let digits = mnist_sample().unwrap().test.take(2);
        let data: Dataset<3> = on_photograph(&digits, &photograph().unwrap(), 5).unwrap();
        let images = |normalisation, size| {
            let batch = data.batches(2, normalisation).next().unwrap();
            batch.resized(size).to_tensor(&Cpu::default())
        };
        let equal = |got: Vec<f32>, want: Vec<f32>| {
            let differences = got.iter().zip(&want).map(|(got, want)| (got - want).abs());
            assert!(differences.fold(0.0, f32::max) < 1e-5);
            assert_eq!(got.len(), want.len());
        };

        let network: ColorResNet18 = BuildModule::build(&Cpu::seed_from_u64(0));
        let got = features(&network, &data, Normalisation::BOOK).unwrap();
        let logits = network.forward(images(Normalisation::BOOK, 28));
        equal(network.fc.forward(got).as_vec(), logits.as_vec());

        let network = Cpu::seed_from_u64(0).build_module::<MobileNetV2<3, 1000>, f32>();
        let folder = tempfile::tempdir().unwrap();
        let weights = folder.path().join("mobilenet_v2.safetensors");
        save_model(&network, &weights).unwrap();
        let got = imagenet_features(&weights, &data).unwrap();
        let logits = network.forward(images(Normalisation::IMAGENET, 224));
        equal(network.classifier.forward(got).as_vec(), logits.as_vec());
    }
}
