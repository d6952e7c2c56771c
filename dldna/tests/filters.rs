//! The classic filters against OpenCV, and against a plain loop on shapes that no fixture has.

use dldna::filter_utils::{
    Filter, GrayImage, add_noise, apply_filter, apply_filter_f32, apply_multiple_filters,
    create_convolution_animation, flip_kernel, root_mean_square_error, show_kernels,
    visualize_convolution_step,
};
use dldna_nn_tests::{matrix, read};
use ndarray::Array2;
use proptest::prelude::*;
use safetensors::SafeTensors;

fn kernel_names(file: &SafeTensors) -> Vec<String> {
    let names: Vec<String> = file
        .names()
        .iter()
        .filter_map(|n| n.strip_prefix("kernel/"))
        .map(str::to_owned)
        .collect();
    assert!(!names.is_empty());
    names
}

#[test]
fn bytes_equal_opencv_bit_for_bit() {
    let bytes = read("filters.safetensors");
    let file = SafeTensors::deserialize(&bytes).unwrap();
    let pixels = matrix(&file, "image");
    let (height, width) = pixels.dim();
    let pixels = pixels.iter().map(|&v| v as u8).collect();
    let image = GrayImage::new(height, width, pixels).unwrap();
    for name in kernel_names(&file) {
        let got = apply_filter(&image, &matrix(&file, &format!("kernel/{name}")));
        let want = matrix(&file, &format!("filtered/{name}"));
        assert_eq!((got.height(), got.width()), want.dim());
        let wrong = got
            .pixels()
            .iter()
            .zip(&want)
            .filter(|&(&g, &w)| f32::from(g) != w)
            .count();
        assert_eq!(wrong, 0, "{name}: {wrong} of {} pixels differ", want.len());
    }
}

#[test]
fn floats_equal_opencv_within_tolerance() {
    let bytes = read("filters.safetensors");
    let file = SafeTensors::deserialize(&bytes).unwrap();
    let image = matrix(&file, "image");
    for name in kernel_names(&file) {
        let got = apply_filter_f32(&image, &matrix(&file, &format!("kernel/{name}")));
        let want = matrix(&file, &format!("filtered_float/{name}"));
        for ((place, got), want) in got.indexed_iter().zip(&want) {
            assert!(
                (got - want).abs() <= 1e-4 * want.abs().max(1.0),
                "{name} at {place:?}: {got}, expected {want}"
            );
        }
    }
}

#[test]
fn our_kernels_are_those_of_opencv_and_the_chapter() {
    let bytes = read("filters.safetensors");
    let file = SafeTensors::deserialize(&bytes).unwrap();
    let mut filters = Filter::classics();
    assert_eq!(filters.len(), 5);
    filters.push(Filter::sobel_y());
    for filter in filters {
        let name = filter.name.to_lowercase().replace(' ', "_");
        assert_eq!(
            filter.kernel,
            matrix(&file, &format!("kernel/{name}")),
            "{name}"
        );
    }
}

/// OpenCV's "reflect 101", step by step: bounce between the ends until inside.
fn bounced(mut index: i64, length: i64) -> i64 {
    if length == 1 {
        return 0;
    }
    while index < 0 || index >= length {
        index = if index < 0 {
            -index
        } else {
            2 * length - 2 - index
        };
    }
    index
}

/// The sum at one place, in f64.
fn sum_at(image: &Array2<f64>, kernel: &Array2<f32>, row: usize, column: usize) -> f64 {
    let (height, width) = image.dim();
    let mut sum = 0.0;
    for i in 0..kernel.nrows() as i64 {
        for j in 0..kernel.ncols() as i64 {
            let y = bounced(row as i64 + i - kernel.nrows() as i64 / 2, height as i64);
            let x = bounced(column as i64 + j - kernel.ncols() as i64 / 2, width as i64);
            sum += image[[y as usize, x as usize]] * f64::from(kernel[[i as usize, j as usize]]);
        }
    }
    sum
}

fn image_and_kernel() -> impl Strategy<Value = (GrayImage, Array2<f32>)> {
    ((1usize..9, 1usize..9), (1usize..8, 1usize..8)).prop_flat_map(
        |((height, width), (rows, columns))| {
            let pixels = prop::collection::vec(any::<u8>(), height * width);
            let weights = prop::collection::vec(-2.0f32..2.0, rows * columns);
            (pixels, weights).prop_map(move |(pixels, weights)| {
                let kernel = Array2::from_shape_vec((rows, columns), weights).unwrap();
                (GrayImage::new(height, width, pixels).unwrap(), kernel)
            })
        },
    )
}

proptest! {
    #[test]
    fn any_shape_equals_the_plain_loop((image, kernel) in image_and_kernel()) {
        let values = image.to_array().mapv(f64::from);
        let bytes = apply_filter(&image, &kernel);
        let floats = apply_filter_f32(&values.mapv(|v| v as f32), &kernel);
        for ((row, column), float) in floats.indexed_iter() {
            let want = sum_at(&values, &kernel, row, column);
            prop_assert!((f64::from(*float) - want).abs() <= 1e-4 * want.abs().max(255.0));
            // Half a step for rounding, and a little for sums that come close to a tie.
            let byte = f64::from(bytes.pixels()[row * image.width() + column]);
            prop_assert!((byte - want.clamp(0.0, 255.0)).abs() <= 0.5 + 1e-2);
        }
    }

    #[test]
    fn a_shifted_image_gives_a_shifted_result(pixels in prop::collection::vec(any::<u8>(), 144), shift in 1usize..4) {
        let moved = (0..144).map(|i| pixels[i / 12 * 12 + (i % 12 + shift) % 12]).collect();
        let moved = GrayImage::new(12, 12, moved).unwrap();
        let image = GrayImage::new(12, 12, pixels).unwrap();
        let kernel = Filter::emboss().kernel;
        let (a, b) = (apply_filter(&image, &kernel), apply_filter(&moved, &kernel));
        // Away from the border, where neither the mirror nor the seam is seen.
        for row in 0..12 {
            for column in 1..11 - shift {
                prop_assert_eq!(b.pixels()[row * 12 + column], a.pixels()[row * 12 + column + shift]);
            }
        }
    }
}

/// The promise of equal bits ends where OpenCV begins to use a Fourier transform: the sums are right all the same.
#[test]
fn large_kernels_give_the_rounded_sums() {
    let (height, width) = (40, 56);
    let pixel = |i: usize| ((i * i * 31 + i * 7) % 256) as u8;
    let image = GrayImage::new(height, width, (0..height * width).map(pixel).collect()).unwrap();
    let values = image.to_array().mapv(f64::from);
    for side in [11, 12, 16, 25] {
        let weight = |(i, j): (usize, usize)| (((i * 13 + j * 29) % 17) as f32 - 7.5) / 512.0;
        let kernel = Array2::from_shape_fn((side, side), weight);
        let got = apply_filter(&image, &kernel);
        for row in 0..height {
            for column in 0..width {
                let want = sum_at(&values, &kernel, row, column).clamp(0.0, 255.0);
                let got = f64::from(got.pixels()[row * width + column]);
                assert!(
                    (got - want).abs() <= 0.5 + 1e-3,
                    "{side}: {got}, expected {want}"
                );
            }
        }
    }
}

/// 0, 1, huge, tiny, not a number, infinite, negative, and any other.
fn number() -> impl Strategy<Value = f32> {
    let special = vec![
        0.0,
        -0.0,
        1.0,
        -1.0,
        1e-45,
        -1e-45,
        1e30,
        f32::MAX,
        f32::MIN,
        f32::NAN,
        f32::INFINITY,
        f32::NEG_INFINITY,
    ];
    prop_oneof![prop::sample::select(special), any::<f32>()]
}

fn size() -> impl Strategy<Value = usize> {
    let special = vec![
        0,
        1,
        2,
        1001,
        1003,
        1 << 32,
        usize::MAX / 2 + 1,
        usize::MAX - 1,
        usize::MAX,
    ];
    prop_oneof![prop::sample::select(special), 0_usize..9]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 16, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn filters_of_any_numbers_end(
        (image, kernel) in image_and_kernel(), weights in prop::collection::vec(number(), 49),
        deviation in number(), size in size(), place in (size(), size()), seed in any::<u64>()
    ) {
        if let Ok(filter) = Filter::gaussian(size, deviation) {
            let sum: f64 = filter.kernel.iter().map(|&weight| f64::from(weight)).sum();
            prop_assert!((sum - 1.0).abs() < 1e-6, "{size} {deviation}: {sum}");
        }
        let noisy = add_noise(&image, deviation, seed);
        prop_assert!(root_mean_square_error(&image, &noisy).unwrap() >= 0.0);
        let strange = Array2::from_shape_vec((7, 7), weights).unwrap();
        for kernel in [&kernel, &strange, &flip_kernel(&strange), &Array2::zeros((0, 0))] {
            prop_assert_eq!(apply_filter(&image, kernel).width(), image.width());
            let _ = apply_filter_f32(&strange, kernel);
            let _ = visualize_convolution_step(&image, kernel, place.0, place.1);
            let _ = visualize_convolution_step(&image, kernel, 0, 0);
            let _ = create_convolution_animation(&image, kernel);
            let filter = Filter::new("f", kernel.clone());
            let _ = show_kernels(std::slice::from_ref(&filter));
            prop_assert_eq!(apply_multiple_filters(&image, &[filter]).len(), 1);
        }
    }
}
