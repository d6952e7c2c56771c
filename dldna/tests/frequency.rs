//! Fourier transforms against NumPy and against their own laws.

use dldna::frequency::{
    Complex, convolve_direct, convolve_fft, dft, fft, fft_shift, fft2, frequency_response,
    inverse_fft, inverse_fft2, radial_response,
};
use dldna_nn_tests::{matrix, read};
use ndarray::Array2;
use proptest::prelude::*;
use safetensors::SafeTensors;
use std::f64::consts::PI;

#[test]
fn responses_equal_numpy() {
    let bytes = read("filters.safetensors");
    let file = SafeTensors::deserialize(&bytes).unwrap();
    let kernels: Vec<&str> = file
        .names()
        .iter()
        .filter_map(|n| n.strip_prefix("kernel/"))
        .collect();
    assert!(!kernels.is_empty());
    for name in kernels {
        let want_magnitude = matrix(&file, &format!("magnitude/{name}"));
        let want_phase = matrix(&file, &format!("phase/{name}"));
        let size = want_magnitude.nrows();
        let (magnitude, phase) =
            frequency_response(&matrix(&file, &format!("kernel/{name}")), size);
        assert_eq!(magnitude.dim(), (size, size));
        for (place, &want) in want_magnitude.indexed_iter() {
            let got = magnitude[place];
            assert!(
                (got - want).abs() <= 1e-4 * want.max(1.0),
                "{name} magnitude at {place:?}: {got}, expected {want}"
            );
            // At zero magnitude the angle is noise; π and −π are the same angle.
            if want > 1e-3 {
                let turn = f64::from(phase[place] - want_phase[place]);
                let difference = turn.sin().atan2(turn.cos()).abs();
                assert!(
                    difference <= 3e-4,
                    "{name} phase at {place:?}: {}, expected {}",
                    phase[place],
                    want_phase[place]
                );
            }
        }
    }
}

fn signal() -> impl Strategy<Value = Vec<f64>> {
    prop::collection::vec(-10.0f64..10.0, 1..40)
}

fn array() -> impl Strategy<Value = Array2<f64>> {
    (1usize..9, 1usize..9).prop_flat_map(|size| {
        prop::collection::vec(-10.0f64..10.0, size.0 * size.1)
            .prop_map(move |values| Array2::from_shape_vec(size, values).unwrap())
    })
}

fn close(a: f64, b: f64) -> bool {
    (a - b).abs() <= 1e-9 * a.abs().max(b.abs()).max(1.0)
}

proptest! {
    #[test]
    fn fast_equals_definition(x in signal()) {
        for (a, b) in fft(&x).iter().zip(dft(&x)) {
            prop_assert!((a - b).norm() < 1e-9 * x.len() as f64);
        }
    }

    #[test]
    fn energy_is_kept(x in signal(), image in array()) {
        // Parseval: Σ |x|² = 1/N · Σ |X|².
        let energy = |spectrum: &[Complex<f64>]| spectrum.iter().map(|v| v.norm_sqr()).sum::<f64>() / spectrum.len() as f64;
        prop_assert!(close(energy(&fft(&x)), x.iter().map(|v| v * v).sum()));
        let spectrum: Vec<_> = fft2(&image).into_iter().collect();
        prop_assert!(close(energy(&spectrum), image.iter().map(|v| v * v).sum()));
    }

    #[test]
    fn the_inverse_gives_the_signal_back(x in signal(), image in array()) {
        prop_assert!(inverse_fft(&fft(&x)).iter().zip(&x).all(|(a, b)| (a - b).abs() < 1e-9));
        let back = inverse_fft2(&fft2(&image));
        prop_assert!(back.iter().zip(&image).all(|(a, b)| (a - b).abs() < 1e-9));
    }

    #[test]
    fn a_shift_in_time_is_a_turn_in_phase(x in signal(), shift in 0usize..40) {
        let n = x.len();
        let moved: Vec<f64> = (0..n).map(|i| x[(i + n - shift % n) % n]).collect();
        for (k, (a, b)) in fft(&moved).iter().zip(fft(&x)).enumerate() {
            let turn = Complex::from_polar(1.0, -2.0 * PI * (k * shift) as f64 / n as f64);
            prop_assert!((a - b * turn).norm() < 1e-8);
        }
    }

    #[test]
    fn the_convolution_theorem_holds(image in array(), kernel in array()) {
        let direct = convolve_direct(&image, &kernel).unwrap();
        let fast = convolve_fft(&image, &kernel).unwrap();
        prop_assert_eq!(direct.dim(), (image.nrows() + kernel.nrows() - 1, image.ncols() + kernel.ncols() - 1));
        prop_assert!(direct.iter().zip(&fast).all(|(a, b)| (a - b).abs() < 1e-8));
        // Convolution, unlike correlation, does not care which of the two is called the kernel.
        let swapped = convolve_direct(&kernel, &image).unwrap();
        prop_assert!(direct.iter().zip(&swapped).all(|(a, b)| (a - b).abs() < 1e-8));
    }

    #[test]
    fn the_zero_frequency_moves_to_the_centre(image in array()) {
        let (height, width) = image.dim();
        let shifted = fft_shift(&fft2(&image));
        prop_assert!(close(shifted[[height / 2, width / 2]].re, image.sum()));
    }
}

/// Neighbours subtracted: `|H|² = 4 sin²(π f cos θ)`, whose mean over all directions is `2 - 2 J₀(2π f)` with the Bessel
/// function `J₀(π) = -0.304242178`, `J₀(π / 2) = 0.472001216` (Abramowitz and Stegun, table 9.1).
#[test]
fn the_radial_response_of_a_difference_is_a_bessel_function() {
    let difference = Array2::from_shape_vec((1, 2), vec![1.0, -1.0]).unwrap();
    let (frequencies, magnitudes) = radial_response(&[difference], 3);
    assert_eq!(frequencies, [0.0, 0.25, 0.5]);
    let bessel = [1.0, 0.472_001_2, -0.304_242_2f32];
    for (got, bessel) in magnitudes.iter().zip(bessel) {
        let want = (2.0 - 2.0 * bessel).sqrt();
        assert!((got - want).abs() < 1e-5, "{got}, expected {want}");
    }
}

/// One weight passes every frequency alike, and of several kernels the mean square counts.
#[test]
fn the_radial_response_of_single_weights_is_flat() {
    let [one, seven] = [1.0, 7.0].map(|weight| Array2::from_elem((1, 1), weight));
    let (_, magnitudes) = radial_response(&[one, seven], 9);
    assert!(magnitudes.iter().all(|m| (m - 5.0).abs() < 1e-6)); // (1 + 49) / 2 = 25
    assert!(radial_response(&[], 2).1.iter().all(|&m| m == 0.0));
}
