//! The exercises answer: right solutions pass, and plausible wrong ones are told what is wrong with them.

#[path = "common/answers.rs"]
mod answers;

use answers::{accepted, rejected, set_up};
use dldna::exercises::{self, Answer, Verdict, check};
use dldna::prelude::*;

mod convolution {
    use super::*;

    fn by_loops(image: &Array2<f32>, kernel: &Array2<f32>) -> Array2<f32> {
        let (rows, columns) = kernel.dim();
        let mut result = Array2::zeros((image.nrows() - rows + 1, image.ncols() - columns + 1));
        for y in 0..result.nrows() {
            for x in 0..result.ncols() {
                for i in 0..rows {
                    for j in 0..columns {
                        result[[y, x]] += image[[y + i, x + j]] * kernel[[i, j]];
                    }
                }
            }
        }
        result
    }

    fn gradient(image: &Array2<f32>, middle: f32) -> [Array2<f32>; 2] {
        let right = Array2::from_shape_vec(
            (3, 3),
            vec![-1.0, 0.0, 1.0, -middle, 0.0, middle, -1.0, 0.0, 1.0],
        )
        .unwrap();
        let down = right.t().to_owned();
        [by_loops(image, &right), by_loops(image, &down)]
    }

    fn length(right: &Array2<f32>, down: &Array2<f32>) -> Array2<f32> {
        (right * right + down * down).mapv(f32::sqrt)
    }

    #[test]
    fn right_solutions_pass() {
        accepted(|| check::correlate(by_loops));
        accepted(|| {
            check::sobel(|image| {
                let [right, down] = gradient(image, 2.0);
                length(&right, &down)
            })
        });
        // A kernel that is turned changes both signs, and not the length.
        accepted(|| {
            check::sobel(|image| {
                let [right, down] = gradient(image, 2.0);
                length(&-right, &-down)
            })
        });
    }

    #[test]
    fn convolution_is_not_correlation() {
        rejected("turned by 180 degrees", || {
            check::correlate(|image, kernel| {
                let (rows, columns) = kernel.dim();
                let turned = Array2::from_shape_fn((rows, columns), |(i, j)| {
                    kernel[[rows - 1 - i, columns - 1 - j]]
                });
                by_loops(image, &turned)
            })
        });
    }

    #[test]
    fn transposed_kernels_are_seen() {
        rejected("Rows and columns of the kernel are swapped", || {
            check::correlate(|image, kernel| by_loops(image, &kernel.t().to_owned()))
        });
        // This one also fails on kernels that are not square.
        rejected("Rows and columns of the kernel are swapped", || {
            check::correlate(|image, kernel| {
                let (rows, columns) = kernel.dim();
                let size = (image.nrows() - rows + 1, image.ncols() - columns + 1);
                Array2::from_shape_fn(size, |(y, x)| {
                    let mut sum = 0.0;
                    for i in 0..rows {
                        for j in 0..columns {
                            sum += image[[y + i, x + j]] * kernel[[j, i]];
                        }
                    }
                    sum
                })
            })
        });
    }

    #[test]
    fn padding_and_wrong_sizes_are_seen() {
        rejected("you padded it", || {
            check::correlate(|image, kernel| {
                let (rows, columns) = kernel.dim();
                let (top, left) = ((rows - 1) / 2, (columns - 1) / 2);
                Array2::from_shape_fn(image.dim(), |(y, x)| {
                    let mut sum = 0.0;
                    for i in 0..rows {
                        for j in 0..columns {
                            let place = ((y + i).wrapping_sub(top), (x + j).wrapping_sub(left));
                            sum += image.get(place).unwrap_or(&0.0) * kernel[[i, j]];
                        }
                    }
                    sum
                })
            })
        });
        rejected("off by one", || {
            check::correlate(|image, kernel| {
                let all = by_loops(image, kernel);
                let size = (all.nrows() - 1, all.ncols() - 1);
                Array2::from_shape_fn(size, |place| all[place])
            })
        });
        rejected("2 x 2", || check::correlate(|_, _| Array2::zeros((1, 7))));
    }

    #[test]
    fn going_over_the_edge_is_answered() {
        rejected("behind the last element", || {
            check::correlate(|image, kernel| {
                let size = image.dim();
                Array2::from_shape_fn(size, |(y, x)| {
                    let mut sum = 0.0;
                    for i in 0..kernel.nrows() {
                        for j in 0..kernel.ncols() {
                            sum += image[[y + i, x + j]] * kernel[[i, j]];
                        }
                    }
                    sum
                })
            })
        });
    }

    #[test]
    fn incomplete_sums_are_seen() {
        rejected("by +=", || {
            check::correlate(|image, kernel| {
                let (rows, columns) = kernel.dim();
                let size = (image.nrows() - rows + 1, image.ncols() - columns + 1);
                Array2::from_shape_fn(size, |(y, x)| {
                    image[[y + rows - 1, x + columns - 1]] * kernel[[rows - 1, columns - 1]]
                })
            })
        });
        rejected("without the kernel", || {
            check::correlate(|image, kernel| by_loops(image, &Array2::ones(kernel.dim())))
        });
        rejected("the mean", || {
            check::correlate(|image, kernel| by_loops(image, kernel) / kernel.len() as f32)
        });
    }

    #[test]
    fn constants_are_seen() {
        rejected("Is it ever filled?", || {
            check::correlate(|image, kernel| {
                let (rows, columns) = kernel.dim();
                Array2::zeros((image.nrows() - rows + 1, image.ncols() - columns + 1))
            })
        });
        rejected("same for every input", || {
            let fixed = |_: &Array2<f32>, _: &Array2<f32>| {
                Array2::from_shape_vec((2, 2), vec![1.0, 2.0, 3.0, 4.0]).unwrap()
            };
            check::correlate(fixed)
        });
    }

    #[test]
    fn what_is_not_sobel_is_named() {
        rejected("to the right alone", || {
            check::sobel(|image| gradient(image, 2.0)[0].clone())
        });
        rejected("down alone", || {
            check::sobel(|image| gradient(image, 2.0)[1].clone())
        });
        rejected("sizes of both slopes", || {
            check::sobel(|image| {
                let [right, down] = gradient(image, 2.0);
                right.abs() + down.abs()
            })
        });
        rejected("cancel each other", || {
            check::sobel(|image| {
                let [right, down] = gradient(image, 2.0);
                right + down
            })
        });
        rejected("root is missing", || {
            check::sobel(|image| {
                let [right, down] = gradient(image, 2.0);
                &right * &right + &down * &down
            })
        });
        rejected("Prewitt", || {
            check::sobel(|image| {
                let [right, down] = gradient(image, 1.0);
                length(&right, &down)
            })
        });
    }
}

mod pooling {
    use super::*;

    fn pool(
        image: &Array2<f32>,
        size: usize,
        stride: usize,
        first: f32,
        step: impl Fn(f32, f32) -> f32,
    ) -> Array2<f32> {
        let rows = (image.nrows() - size) / stride + 1;
        let columns = (image.ncols() - size) / stride + 1;
        let mut result = Array2::from_elem((rows, columns), first);
        for y in 0..rows {
            for x in 0..columns {
                for i in 0..size {
                    for j in 0..size {
                        let pixel = image[[y * stride + i, x * stride + j]];
                        result[[y, x]] = step(result[[y, x]], pixel);
                    }
                }
            }
        }
        result
    }

    fn max(image: &Array2<f32>, size: usize, stride: usize) -> Array2<f32> {
        pool(image, size, stride, f32::MIN, f32::max)
    }

    fn average(image: &Array2<f32>, size: usize, stride: usize) -> Array2<f32> {
        pool(image, size, stride, 0.0, |a, b| a + b) / (size * size) as f32
    }

    #[test]
    fn right_solutions_pass() {
        accepted(|| check::max_pool(max));
        accepted(|| check::average_pool(average));
    }

    #[test]
    fn wrong_maxima_are_named() {
        rejected("begin with 0", || {
            check::max_pool(|image, size, stride| pool(image, size, stride, 0.0, f32::max))
        });
        rejected("average of each window", || check::max_pool(average));
        rejected("smallest", || {
            check::max_pool(|image, size, stride| pool(image, size, stride, f32::MAX, f32::min))
        });
        rejected("Rows and columns are swapped", || {
            check::max_pool(|image, size, stride| max(&image.t().to_owned(), size, stride))
        });
        rejected("Is it ever filled?", || {
            check::max_pool(|image, size, stride| max(image, size, stride) * 0.0)
        });
    }

    #[test]
    fn wrong_averages_are_named() {
        rejected("largest", || check::average_pool(max));
        rejected("not divided yet", || {
            check::average_pool(|image, size, stride| pool(image, size, stride, 0.0, |a, b| a + b))
        });
        rejected("How many pixels", || {
            check::average_pool(|image, size, stride| average(image, size, stride) * size as f32)
        });
    }

    #[test]
    fn wrong_windows_are_named() {
        type Pool = fn(&Array2<f32>, usize, usize) -> Array2<f32>;
        type Check = fn(Pool) -> Answer;
        rejected("side by side", || {
            check::max_pool(|image, size, _| max(image, size, size))
        });
        rejected("side by side", || {
            check::average_pool(|image, size, _| average(image, size, size))
        });
        rejected("one pixel apart", || {
            check::max_pool(|image, size, _| max(image, size, 1))
        });
        let checks: [(Check, Pool); 2] = [
            (
                |pool| check::max_pool(pool),
                |image, size, stride| {
                    windows(image, size, stride, |pixels| {
                        pixels.iter().copied().fold(f32::MIN, f32::max)
                    })
                },
            ),
            (
                |pool| check::average_pool(pool),
                |image, size, stride| {
                    windows(image, size, stride, |pixels| {
                        pixels.iter().sum::<f32>() / pixels.len() as f32
                    })
                },
            ),
        ];
        for (check, over_the_edge) in checks {
            rejected("reach over the edge", || check(over_the_edge));
        }
        rejected("off by one", || {
            check::max_pool(|image, size, stride| {
                let short = max(image, size - 1, stride);
                let right = max(image, size, stride);
                Array2::from_shape_fn(right.dim(), |place| short[place])
            })
        });
    }

    /// With the windows that reach over the edge.
    fn windows(
        image: &Array2<f32>,
        size: usize,
        stride: usize,
        number: impl Fn(&[f32]) -> f32,
    ) -> Array2<f32> {
        let places = |length: usize| (length - size).div_ceil(stride) + 1;
        let shape = (places(image.nrows()), places(image.ncols()));
        Array2::from_shape_fn(shape, |(y, x)| {
            let mut pixels = Vec::new();
            for i in 0..size {
                for j in 0..size {
                    pixels.extend(image.get((y * stride + i, x * stride + j)));
                }
            }
            number(&pixels)
        })
    }
}

mod residual {
    use super::*;

    fn stack(x: f64, weights: &[f64], skip: f64) -> f64 {
        let (mut signal, mut derivative) = (x, 1.0);
        for w in weights {
            let y = (w * signal).tanh();
            derivative *= skip + w * (1.0 - y * y);
            signal = skip * signal + y;
        }
        derivative
    }

    fn plain(x: f64, weights: &[f64]) -> f64 {
        stack(x, weights, 0.0)
    }

    fn residual(x: f64, weights: &[f64]) -> f64 {
        stack(x, weights, 1.0)
    }

    fn slope(x: f64, w: f64) -> f64 {
        w * (1.0 - (w * x).tanh().powi(2))
    }

    #[test]
    fn right_solutions_pass() {
        accepted(|| check::plain_derivative(plain));
        accepted(|| check::residual_derivative(residual));
    }

    #[test]
    fn wrong_plain_derivatives_are_named() {
        rejected("factor w is missing", || {
            check::plain_derivative(|x, weights| {
                plain(x, weights) / weights.iter().product::<f64>()
            })
        });
        rejected("1 - tanh(w x)^2 is missing", || {
            check::plain_derivative(|_, weights| weights.iter().product())
        });
        rejected("taken at the first x", || {
            check::plain_derivative(|x, weights| weights.iter().map(|&w| slope(x, w)).product())
        });
        rejected("with skips", || check::plain_derivative(residual));
        rejected("chain rule multiplies", || {
            check::plain_derivative(|mut x, weights| {
                let mut sum = 0.0;
                for &w in weights {
                    sum += slope(x, w);
                    x = (w * x).tanh();
                }
                sum
            })
        });
        rejected("off by one", || {
            check::plain_derivative(|x, weights| {
                plain(x, &weights[..weights.len().saturating_sub(1)])
            })
        });
        rejected("same for every input", || {
            check::plain_derivative(|_, _| 1.0)
        });
    }

    #[test]
    fn wrong_residual_derivatives_are_named() {
        rejected("What does the skip add?", || {
            check::residual_derivative(plain)
        });
        rejected("skip around the whole stack", || {
            check::residual_derivative(|x, weights| 1.0 + plain(x, weights))
        });
        rejected("The 1 is missing", || {
            check::residual_derivative(|mut x, weights| {
                let mut derivative = 1.0;
                for &w in weights {
                    derivative *= slope(x, w);
                    x += (w * x).tanh();
                }
                derivative
            })
        });
        rejected("The signal is that of the plain stack", || {
            check::residual_derivative(|mut x, weights| {
                let mut derivative = 1.0;
                for &w in weights {
                    derivative *= 1.0 + slope(x, w);
                    x = (w * x).tanh();
                }
                derivative
            })
        });
    }
}

mod inception {
    use super::*;

    fn cost(input: usize, output: usize, kernel: usize, size: usize) -> (usize, usize) {
        let weights = input * output * kernel * kernel;
        (weights + output, weights * size * size)
    }

    #[test]
    fn right_solutions_pass() {
        accepted(|| {
            check::output_size(|input, kernel, stride, padding| {
                (input + 2 * padding - kernel) / stride + 1
            })
        });
        accepted(|| check::conv_cost(cost));
        accepted(|| {
            check::bottleneck_cost(|input, reduced, output, kernel, size| {
                let (first, second) = (
                    cost(input, reduced, 1, size),
                    cost(reduced, output, kernel, size),
                );
                (first.0 + second.0, first.1 + second.1)
            })
        });
    }

    #[test]
    fn wrong_sizes_are_named() {
        rejected("without padding", || {
            check::output_size(|input, kernel, stride, _| (input - kernel) / stride + 1)
        });
        rejected("counts twice", || {
            check::output_size(|input, kernel, stride, padding| {
                (input + padding - kernel) / stride + 1
            })
        });
        rejected("off by one", || {
            check::output_size(|input, kernel, stride, padding| {
                (input + 2 * padding - kernel) / stride
            })
        });
        rejected("rounds down", || {
            check::output_size(|input, kernel, stride, padding| {
                (input + 2 * padding - kernel).div_ceil(stride) + 1
            })
        });
        rejected("stride 1", || {
            check::output_size(|input, kernel, _, padding| input + 2 * padding - kernel + 1)
        });
        rejected("same for every input", || {
            check::output_size(|_, _, _, _| 28)
        });
        rejected("below zero", || {
            check::output_size(|input, kernel, stride, _| (kernel - input) / stride + 1)
        });
    }

    #[test]
    fn wrong_costs_are_named() {
        rejected("biases are missing", || {
            check::conv_cost(|input, output, kernel, size| {
                let (parameters, work) = cost(input, output, kernel, size);
                (parameters - output, work)
            })
        });
        rejected("for each input channel", || {
            check::conv_cost(|input, output, kernel, size| {
                let (parameters, work) = cost(input, output, kernel, size);
                (parameters - output + input, work)
            })
        });
        rejected("one row of the output", || {
            check::conv_cost(|input, output, kernel, size| {
                let (parameters, work) = cost(input, output, kernel, size);
                (parameters, work / size)
            })
        });
        rejected("along one side only", || {
            check::conv_cost(|input, output, kernel, size| {
                let weights = input * output * kernel;
                (weights + output, weights * size * size)
            })
        });
        rejected("same for every input", || {
            check::conv_cost(|_, _, _, _| (1_792, 1_769_472))
        });
    }

    #[test]
    fn wrong_branches_are_named() {
        rejected("costs something, too", || {
            check::bottleneck_cost(|_, reduced, output, kernel, size| {
                cost(reduced, output, kernel, size)
            })
        });
        rejected("without the 1x1", || {
            check::bottleneck_cost(|input, _, output, kernel, size| {
                cost(input, output, kernel, size)
            })
        });
        rejected("does not get in_channels", || {
            check::bottleneck_cost(|input, reduced, output, kernel, size| {
                let (first, second) = (
                    cost(input, reduced, 1, size),
                    cost(input, output, kernel, size),
                );
                (first.0 + second.0, first.1 + second.1)
            })
        });
    }
}

mod scaling {
    use super::*;

    fn compound(phi: f64) -> (f64, f64, f64) {
        (1.2_f64.powf(phi), 1.1_f64.powf(phi), 1.15_f64.powf(phi))
    }

    #[test]
    fn right_solutions_pass() {
        accepted(|| check::cost_factor(|d, w, r| d * w.powi(2) * r.powi(2)));
        accepted(|| check::one_dimension(|budget| (budget, budget.sqrt(), budget.sqrt())));
        accepted(|| check::compound_scaling(compound));
        accepted(|| {
            check::phi_for(|budget| {
                let step: f64 = 1.2 * 1.1 * 1.1 * 1.15 * 1.15;
                budget.ln() / step.ln()
            })
        });
    }

    #[test]
    fn wrong_factors_are_named() {
        rejected("And an image has two sides", || {
            check::cost_factor(|d, w, r| d * w * r)
        });
        rejected("channels on both sides", || {
            check::cost_factor(|d, w, r| d * w * r * r)
        });
        rejected("Twice the depth is twice the layers", || {
            check::cost_factor(|d, w, r| (d * w * r) * (d * w * r))
        });
        rejected("computes more than the budget", || {
            check::one_dimension(|budget| (budget, budget, budget))
        });
        rejected("shares the budget", || {
            check::one_dimension(|budget| {
                (
                    budget.powf(1.0 / 3.0),
                    budget.powf(1.0 / 3.0),
                    budget.powf(1.0 / 3.0),
                )
            })
        });
    }

    #[test]
    fn wrong_powers_are_named() {
        rejected("multiply by phi", || {
            check::compound_scaling(|phi| (1.2 * phi, 1.1 * phi, 1.15 * phi))
        });
        rejected("Width and resolution are swapped", || {
            check::compound_scaling(|phi| {
                let (depth, width, resolution) = compound(phi);
                (depth, resolution, width)
            })
        });
        rejected("same for every input", || {
            check::compound_scaling(|_| (1.2, 1.1, 1.15))
        });
        rejected("only about 2", || check::phi_for(f64::log2));
        rejected("not be a whole number", || {
            check::phi_for(|budget| (budget.ln() / 1.920_27_f64.ln()).floor())
        });
    }
}

mod accidents {
    use super::*;
    use std::time::{Duration, Instant};

    #[test]
    fn an_unwritten_function_is_told_so() {
        rejected("not written yet", || check::correlate(|_, _| todo!()));
        rejected("not written yet", || {
            check::max_pool(|_, _, _| unimplemented!())
        });
    }

    #[test]
    fn a_panic_is_answered_with_its_message_and_input() {
        rejected("what is a kernel?", || {
            check::correlate(|_, _| panic!("what is a kernel?"))
        });
        rejected("budget 4", || check::phi_for(|budget| panic!("{budget}")));
    }

    #[test]
    fn a_panic_after_some_right_results_names_its_own_input() {
        rejected("phi 0", || {
            check::compound_scaling(|phi| {
                assert!(phi > 0.0, "phi must be positive");
                (1.2_f64.powf(phi), 1.1_f64.powf(phi), 1.15_f64.powf(phi))
            })
        });
    }

    #[test]
    fn an_endless_loop_is_left() {
        let start = Instant::now();
        rejected("does not come to an end", || {
            check::cost_factor(|_, _, _| {
                loop {
                    std::thread::sleep(Duration::from_millis(20));
                }
            })
        });
        assert!(start.elapsed() < Duration::from_secs(20));
    }

    /// `loop {}` uses a processor as long as it runs, and no thread can be stopped.
    #[cfg(target_os = "linux")]
    #[test]
    fn of_an_endless_loop_nothing_is_left() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("process");
        let written = file.clone();
        rejected("does not come to an end", || {
            check::cost_factor(move |_, _, _| {
                std::fs::write(&written, std::process::id().to_string()).unwrap();
                loop {
                    std::hint::spin_loop();
                }
            })
        });
        let process = std::fs::read_to_string(file).unwrap();
        assert_ne!(process, std::process::id().to_string());
        assert!(!std::path::Path::new("/proc").join(process).exists());
    }

    #[cfg(unix)]
    #[test]
    fn an_endless_recursion_is_answered() {
        #[allow(unconditional_recursion)]
        fn deeper(phi: f64) -> (f64, f64, f64) {
            let (depth, width, resolution) = deeper(phi + 1.0);
            (depth + phi, width, resolution)
        }
        rejected("calls itself", || check::compound_scaling(deeper));
        assert_eq!(exercises::attempt(|| deeper(1.0)), None);
        // Nothing is broken.
        assert_eq!(exercises::attempt(|| 1 + 1), Some(2));
    }

    #[cfg(unix)]
    #[test]
    fn the_end_of_the_program_is_answered() {
        rejected("exit code 7", || check::phi_for(|_| std::process::exit(7)));
        rejected("memory allocation", || {
            check::phi_for(|_| {
                let layout = std::alloc::Layout::from_size_align(1 << 60, 1).unwrap();
                std::alloc::handle_alloc_error(layout)
            })
        });
        assert_eq!(exercises::attempt(|| -> u8 { std::process::abort() }), None);
    }

    #[test]
    fn a_named_mistake_is_not_followed_by_a_hint_about_something_else() {
        set_up();
        let first = exercises::hint("basic-1", 1).to_string();
        let first = first
            .lines()
            .next()
            .unwrap()
            .trim_start_matches("correlate: ");
        let named = check::correlate(|_, _| Array2::zeros((1, 7))).to_string();
        assert!(
            named.contains("mistake") && !named.contains(first),
            "{named}"
        );
        assert!(named.contains("exercises::hint(\"basic-1\", 1)"), "{named}");
        let unnamed = check::correlate(|image, _| image.clone()).to_string();
        let todo = check::correlate(|_, _| todo!()).to_string();
        assert!(
            unnamed.contains(first) && todo.contains(first),
            "{unnamed}\n{todo}"
        );
    }

    /// A front end cuts off the right of a wide table.
    #[test]
    fn the_table_says_first_what_passed() {
        set_up();
        let table = exercises::progress().to_string();
        for line in table.lines().skip(1).take(15) {
            let words: Vec<&str> = line.split_whitespace().collect();
            assert_eq!(words[2], "of", "{line}");
        }
    }

    #[test]
    fn no_number_is_not_a_right_number() {
        rejected("NaN", || check::phi_for(|_| f64::NAN));
    }

    #[test]
    fn the_verdict_can_be_read_by_a_program() {
        set_up();
        let answer = check::phi_for(|budget| 2.0 * budget);
        let Verdict::Wrong(wrong) = answer.verdict() else {
            panic!("{answer}");
        };
        assert_eq!((&wrong.input[..], &wrong.got[..]), ("budget 4", "8"));
        assert_eq!(wrong.mistake, None);
    }

    #[test]
    fn no_answer_tells_the_solution() {
        let ids = (1..).map(|exercise| format!("basic-{exercise}"));
        let exists = |id: &String| !exercises::hint(id, 1).to_string().contains("no exercise");
        for id in ids.take_while(exists) {
            for number in 1..=4 {
                let hint = exercises::hint(&id, number).to_string();
                for solution in [
                    "(input + 2 * padding - kernel) / stride + 1",
                    "depth * width * width",
                ] {
                    assert!(!hint.contains(solution), "{hint}");
                }
            }
        }
    }

    #[test]
    fn what_does_not_exist_is_answered() {
        set_up();
        let answer = exercises::done("basic-0");
        assert!(!answer.passed());
        assert!(answer.to_string().contains("no exercise \"basic-0\""));
        assert!(exercises::done("basic-2").passed());
    }
}

mod progress {
    use super::*;
    use std::path::Path;
    use std::process::{Command, Stdio};
    use std::time::Duration;

    const CHILD: &str = "DLDNA_TEST_CHILD";

    /// Not a test of its own: the process that the next test kills. It notes a part again and again.
    #[test]
    fn child_that_never_ends() {
        if std::env::var_os(CHILD).is_none() {
            return;
        }
        loop {
            exercises::done("basic-1");
            exercises::reset();
            exercises::done("basic-2");
        }
    }

    #[test]
    fn a_kill_leaves_a_whole_file() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("progress.txt");
        let mut written = 0;
        for round in 0..20 {
            let mut child = Command::new(std::env::current_exe().unwrap())
                .args(["--exact", "progress::child_that_never_ends"])
                .env(CHILD, "yes")
                .env(exercises::PROGRESS_VARIABLE, &file)
                .stdout(Stdio::null())
                .spawn()
                .unwrap();
            std::thread::sleep(Duration::from_millis(40 + 3 * round));
            child.kill().unwrap();
            child.wait().unwrap();
            written += usize::from(is_whole(&file));
        }
        assert!(written > 0, "no child came to write");
        let kept_aside = std::fs::read_dir(folder.path()).unwrap().any(|entry| {
            let name = entry.unwrap().file_name();
            name.to_string_lossy().contains("damaged")
        });
        assert!(!kept_aside);
    }

    /// Whether the file is there; then it has to be complete.
    fn is_whole(file: &Path) -> bool {
        let Ok(text) = std::fs::read_to_string(file) else {
            return false;
        };
        let (header, parts) = text.split_once('\n').unwrap();
        assert!(
            header.starts_with("# ") && header.ends_with("dldna."),
            "{text}"
        );
        let states = [
            "",
            "basic-1 written\n",
            "basic-2 written\n",
            "basic-1 written\nbasic-2 written\n",
        ];
        assert!(states.contains(&parts), "{text}");
        true
    }
}
