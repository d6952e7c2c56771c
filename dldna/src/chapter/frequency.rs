//! Signals, images and filters seen as sums of waves: section 7.1's deep dive on the frequency domain.
//!
//! All transforms follow NumPy's convention, without a factor in the forward direction:
//!
//! ```text
//! X[k] = Σₙ x[n] · exp(−2πi · k n / N),        x[n] = 1/N · Σₖ X[k] · exp(+2πi · k n / N)
//! ```
//!
//! In two dimensions the sum runs over rows and columns. Centred spectra have their zero frequency at `[height / 2, width / 2]`.

use crate::image::GrayImage;
use crate::plot::{ColorMap, Figure, HeatMap, PlotError};
use ndarray::{Array2, Axis};
use rustfft::{FftDirection, FftPlanner};
use std::f64::consts::PI;

pub use rustfft::num_complex::Complex;

/// What can be wrong with the input of this module.
#[derive(Debug, thiserror::Error)]
pub enum FrequencyError {
    /// An image or kernel without pixels.
    #[error("{what} of shape {height}x{width} has no values")]
    Empty {
        /// What was empty.
        what: &'static str,
        /// Its rows.
        height: usize,
        /// Its columns.
        width: usize,
    },
    /// A band whose ends are not in order.
    #[error("the band from {low} to {high} is empty: expected 0 ≤ low < high")]
    Band {
        /// Lower end.
        low: f32,
        /// Upper end.
        high: f32,
    },
}

// ---- one dimension ---------------------------------------------------------------------------------------------------

/// The discrete Fourier transform by its definition, `X[k] = Σₙ x[n] · exp(−2πi k n / N)`: N² steps.
///
/// # Example
/// ```
/// use dldna::frequency::dft;
///
/// // A constant signal holds only the zero frequency.
/// let spectrum = dft(&[1.0, 1.0, 1.0, 1.0]);
/// assert!((spectrum[0].re - 4.0).abs() < 1e-12 && spectrum[1].norm() < 1e-12);
/// ```
pub fn dft(signal: &[f64]) -> Vec<Complex<f64>> {
    let n = signal.len();
    let wave =
        |k: usize, i: usize| Complex::from_polar(1.0, -2.0 * PI * (k * i % n) as f64 / n as f64);
    (0..n)
        .map(|k| {
            signal
                .iter()
                .enumerate()
                .map(|(i, &x)| x * wave(k, i))
                .sum()
        })
        .collect()
}

/// The same values as [`dft`] by the fast Fourier transform: N log N steps.
///
/// # Example
/// ```
/// use dldna::frequency::{dft, fft};
///
/// let signal = [0.0, 1.0, 3.0, -2.0, 5.0];
/// for (fast, slow) in fft(&signal).iter().zip(dft(&signal)) {
///     assert!((fast - slow).norm() < 1e-12);
/// }
/// ```
pub fn fft(signal: &[f64]) -> Vec<Complex<f64>> {
    let mut values: Vec<_> = signal.iter().map(|&x| Complex::new(x, 0.0)).collect();
    transform(&mut values, FftDirection::Forward);
    values
}

/// The signal whose [`fft`] is `spectrum`. Imaginary parts are dropped: they are rounding errors if the spectrum came from a real signal.
///
/// # Example
/// ```
/// use dldna::frequency::{fft, inverse_fft};
///
/// let back = inverse_fft(&fft(&[2.0, 7.0, 1.0]));
/// assert!((back[1] - 7.0).abs() < 1e-12);
/// ```
pub fn inverse_fft(spectrum: &[Complex<f64>]) -> Vec<f64> {
    let mut values = spectrum.to_vec();
    transform(&mut values, FftDirection::Inverse);
    let n = values.len() as f64;
    values.iter().map(|v| v.re / n).collect()
}

fn transform(values: &mut [Complex<f64>], direction: FftDirection) {
    FftPlanner::new()
        .plan_fft(values.len(), direction)
        .process(values);
}

/// The amplitude of each frequency in a real signal, from 0 to half the sampling rate.
///
/// A wave `a · sin(2πft + φ)` with a whole number of periods in the signal shows as a single amplitude `a` at frequency `f`.
/// Returns the frequencies (in units of `sampling_rate`) and the amplitudes.
///
/// # Example
/// ```
/// use dldna::frequency::amplitude_spectrum;
/// use std::f64::consts::PI;
///
/// // One second of a tone of 5 Hz and amplitude 2, sampled 100 times a second.
/// let tone: Vec<f64> = (0..100).map(|n| 2.0 * (2.0 * PI * 5.0 * n as f64 / 100.0).sin()).collect();
/// let (frequencies, amplitudes) = amplitude_spectrum(&tone, 100.0);
/// assert_eq!(frequencies[5], 5.0);
/// assert!((amplitudes[5] - 2.0).abs() < 1e-9 && amplitudes[6] < 1e-9);
/// ```
pub fn amplitude_spectrum(signal: &[f64], sampling_rate: f64) -> (Vec<f64>, Vec<f64>) {
    let n = signal.len();
    let spectrum = fft(signal);
    (0..n / 2 + usize::from(n > 0))
        .map(|k| {
            // A wave is split between +f and −f, except at 0 and at half the sampling rate, which are their own mirror images.
            let share = if k == 0 || 2 * k == n { 1.0 } else { 2.0 };
            (
                k as f64 * sampling_rate / n as f64,
                share * spectrum[k].norm() / n as f64,
            )
        })
        .unzip()
}

/// The first `terms` terms of the Fourier series of a square wave that jumps between −1 and 1 and has period 1, at each of `times`:
/// `4/π · Σ sin(2π m t) / m` over the odd numbers m = 1, 3, 5, .. More than a million terms count as a million.
///
/// # Example
/// ```
/// use dldna::frequency::square_wave_series;
///
/// let at_quarter = |terms| square_wave_series(&[0.25], terms)[0];
/// // The more terms, the closer to 1.
/// assert!((at_quarter(1) - 1.0).abs() > 0.2 && (at_quarter(100) - 1.0).abs() < 0.01);
/// ```
pub fn square_wave_series(times: &[f64], terms: usize) -> Vec<f64> {
    let terms = terms.min(1_000_000);
    let wave = |m: f64, t: f64| (2.0 * PI * m * t).sin() / m;
    let series = |&t: &f64| 4.0 / PI * (0..terms).map(|i| wave((2 * i + 1) as f64, t)).sum::<f64>();
    times.iter().map(series).collect()
}

// ---- two dimensions --------------------------------------------------------------------------------------------------

/// The two-dimensional Fourier transform of `values`, zero frequency at `[0, 0]`.
///
/// # Example
/// ```
/// use dldna::frequency::{fft2, inverse_fft2};
///
/// let image = ndarray::arr2(&[[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]]);
/// let spectrum = fft2(&image);
/// assert!((spectrum[[0, 0]].re - 21.0).abs() < 1e-12); // the sum of all values
/// assert!((inverse_fft2(&spectrum)[[1, 2]] - 6.0).abs() < 1e-12);
/// ```
pub fn fft2(values: &Array2<f64>) -> Array2<Complex<f64>> {
    transform2(values.mapv(|x| Complex::new(x, 0.0)), FftDirection::Forward)
}

/// The real part of the array whose [`fft2`] is `spectrum`.
///
/// # Example
/// See [`fft2`].
pub fn inverse_fft2(spectrum: &Array2<Complex<f64>>) -> Array2<f64> {
    let n = spectrum.len() as f64;
    transform2(spectrum.clone(), FftDirection::Inverse).mapv(|v| v.re / n)
}

/// A two-dimensional transform is one along all rows, then one along all columns.
fn transform2(mut values: Array2<Complex<f64>>, direction: FftDirection) -> Array2<Complex<f64>> {
    for axis in [Axis(1), Axis(0)] {
        let fft = FftPlanner::new().plan_fft(values.len_of(axis), direction);
        for mut lane in values.lanes_mut(axis) {
            let mut copy = lane.to_vec();
            fft.process(&mut copy);
            lane.iter_mut()
                .zip(copy)
                .for_each(|(place, value)| *place = value);
        }
    }
    values
}

/// Moves the zero frequency from `[0, 0]` to `[height / 2, width / 2]`.
///
/// # Example
/// ```
/// use dldna::frequency::fft_shift;
///
/// let shifted = fft_shift(&ndarray::arr2(&[[0, 1, 2, 3]]));
/// assert_eq!(shifted, ndarray::arr2(&[[2, 3, 0, 1]]));
/// ```
pub fn fft_shift<T: Clone>(spectrum: &Array2<T>) -> Array2<T> {
    let (height, width) = spectrum.dim();
    let source = |i: usize, n: usize| (i + n - n / 2) % n;
    Array2::from_shape_fn((height, width), |(row, column)| {
        spectrum[[source(row, height), source(column, width)]].clone()
    })
}

/// Magnitude and phase of a kernel's Fourier transform on a grid of `size` × `size` frequencies, zero frequency in the centre.
///
/// The kernel stands in the top left corner of an array of zeros; what of it does not fit is cut off. Equals NumPy's
/// `fftshift(fft2(kernel, s=(size, size)))`. The magnitude says how strongly the filter passes a frequency, the phase (in −π..π) how it
/// shifts it; where the magnitude is zero the phase means nothing. A `size` above 2,048 counts as 2,048.
///
/// # Example
/// ```
/// use dldna::frequency::frequency_response;
///
/// // An averaging kernel passes a constant image (frequency zero) unchanged and damps all else.
/// let average = ndarray::Array2::from_elem((3, 3), 1.0 / 9.0);
/// let (magnitude, _phase) = frequency_response(&average, 64);
/// assert!((magnitude[[32, 32]] - 1.0).abs() < 1e-6);
/// assert!(magnitude[[0, 0]] < 0.2);
/// ```
pub fn frequency_response(kernel: &Array2<f32>, size: usize) -> (Array2<f32>, Array2<f32>) {
    let size = size.min(2_048);
    let padded = Array2::from_shape_fn((size, size), |place| {
        kernel.get(place).map_or(0.0, |&w| f64::from(w))
    });
    let spectrum = fft_shift(&fft2(&padded));
    (
        spectrum.mapv(|v| v.norm() as f32),
        spectrum.mapv(|v| v.arg() as f32),
    )
}

/// Frequencies along each side of [`plot_frequency_response`].
const PLOTTED: usize = 256;
/// Magnitudes below this share of the largest are rounding errors of zeros: their phase would be drawn as noise.
const NOTHING: f32 = 1e-6;

/// A picture of a kernel's frequency response: log(1 + magnitude) in gray beside the phase in a circle of colours, 256 × 256 frequencies,
/// zero frequency in the centre. Where the magnitude is zero there is no phase, and the picture is light gray.
///
/// # Errors
/// [`PlotError::Empty`] when the kernel has no finite weight.
///
/// # Example
/// ```
/// use dldna::frequency::plot_frequency_response;
///
/// let sobel = ndarray::arr2(&[[-1.0, 0.0, 1.0], [-2.0, 0.0, 2.0], [-1.0, 0.0, 1.0]]);
/// let figure = plot_frequency_response(&sobel, "Sobel X")?;
/// assert!(figure.height() > 700);
/// # Ok::<(), dldna::plot::PlotError>(())
/// ```
pub fn plot_frequency_response(kernel: &Array2<f32>, title: &str) -> Result<Figure, PlotError> {
    if kernel.is_empty() || kernel.iter().any(|w| !w.is_finite()) {
        return Err(PlotError::Empty {
            what: "a frequency response",
        });
    }
    let (magnitude, mut phase) = frequency_response(kernel, PLOTTED);
    let largest = magnitude.iter().copied().fold(0.0, f32::max);
    phase.zip_mut_with(&magnitude, |angle, &size| {
        if size <= NOTHING * largest {
            *angle = f32::NAN;
        }
    });
    let logarithm = magnitude.mapv(f32::ln_1p);
    let magnitude = HeatMap::from_array(&format!("{title}: log(1 + magnitude)"), &logarithm)
        .color_map(ColorMap::Gray)
        .range(0.0, largest.ln_1p());
    let phase = HeatMap::from_array(&format!("{title}: phase"), &phase).color_map(ColorMap::Cyclic);
    let both = Figure::column(&[magnitude.draw()?, phase.draw()?])?;
    Ok(both.with_alt(format!(
        "Frequency response of {title}, zero frequency in the centre: above, how strongly each frequency passes; \
         below, by which angle it is turned."
    )))
}

/// How strongly a set of kernels passes each frequency, whatever its direction: the root of the mean of the squared
/// [`frequency_response`] magnitudes over all kernels and all directions, for `steps` frequencies from 0 to 0.5 cycles per pixel.
///
/// Returns the frequencies and the magnitudes. A kernel of one weight passes all frequencies alike; so do, on average, kernels of
/// independent random weights of any size. More than 10,000 steps count as 10,000.
///
/// # Example
/// ```
/// use dldna::frequency::radial_response;
/// let average = ndarray::Array2::from_elem((3, 3), 1.0 / 9.0);
/// let (frequencies, magnitudes) = radial_response(&[average], 11);
/// assert_eq!((frequencies[0], frequencies[10]), (0.0, 0.5));
/// assert!((magnitudes[0] - 1.0).abs() < 1e-6); // a constant image stays as it is
/// assert!(magnitudes[10] < 0.4);
/// ```
pub fn radial_response(kernels: &[Array2<f32>], steps: usize) -> (Vec<f32>, Vec<f32>) {
    const DIRECTIONS: usize = 36;
    let steps = steps.min(10_000);
    let highest = steps.saturating_sub(1).max(1) as f64;
    let frequencies: Vec<f64> = (0..steps).map(|i| 0.5 * i as f64 / highest).collect();
    let magnitude = |&frequency: &f64| {
        // Opposite directions have the same magnitude: half a circle is enough.
        let angles = (0..DIRECTIONS).map(|i| PI * i as f64 / DIRECTIONS as f64);
        let squares = angles.flat_map(|angle| {
            let (down, across) = (frequency * angle.sin(), frequency * angle.cos());
            kernels
                .iter()
                .map(move |kernel| response_at(kernel, down, across).norm_sqr())
        });
        let count = (DIRECTIONS * kernels.len()).max(1) as f64;
        (squares.sum::<f64>() / count).sqrt() as f32
    };
    let magnitudes = frequencies.iter().map(magnitude).collect();
    (frequencies.iter().map(|&f| f as f32).collect(), magnitudes)
}

/// `Σ kernel[m, n] · exp(−2πi (down m + across n))`: the response at one frequency, in cycles per pixel.
fn response_at(kernel: &Array2<f32>, down: f64, across: f64) -> Complex<f64> {
    let terms = kernel.indexed_iter().map(|((m, n), &weight)| {
        Complex::from_polar(
            f64::from(weight),
            -2.0 * PI * (down * m as f64 + across * n as f64),
        )
    });
    terms.sum()
}

/// Two-dimensional convolution by its definition, where every part of the kernel meets every part of the image:
/// `out[i, j] = Σₘ Σₙ image[i − m, j − n] · kernel[m, n]`, of shape `(H + h − 1) × (W + w − 1)`.
///
/// # Errors
/// [`FrequencyError::Empty`] without an image or kernel.
///
/// # Example
/// ```
/// use dldna::frequency::{convolve_direct, convolve_fft};
///
/// let image = ndarray::arr2(&[[1.0, 2.0], [3.0, 4.0]]);
/// let kernel = ndarray::arr2(&[[1.0, -1.0]]);
/// let direct = convolve_direct(&image, &kernel)?;
/// assert_eq!(direct, ndarray::arr2(&[[1.0, 1.0, -2.0], [3.0, 1.0, -4.0]]));
/// // The convolution theorem: the same values by a product of spectra.
/// let fast = convolve_fft(&image, &kernel)?;
/// assert!(direct.iter().zip(&fast).all(|(a, b): (&f64, &f64)| (a - b).abs() < 1e-12));
/// # Ok::<(), dldna::frequency::FrequencyError>(())
/// ```
pub fn convolve_direct(
    image: &Array2<f64>,
    kernel: &Array2<f64>,
) -> Result<Array2<f64>, FrequencyError> {
    let mut out = Array2::zeros(full_size(image, kernel)?);
    for ((m, n), &weight) in kernel.indexed_iter() {
        for (row, values) in image.rows().into_iter().enumerate() {
            let mut target = out.row_mut(row + m);
            for (column, &value) in values.iter().enumerate() {
                target[column + n] += value * weight;
            }
        }
    }
    Ok(out)
}

/// The same as [`convolve_direct`] by the convolution theorem, `F{image * kernel} = F{image} · F{kernel}`: its cost hardly depends on
/// the size of the kernel.
///
/// Both are padded with zeros to the size of the result, or else its far ends would wrap around and add to the near ones.
///
/// # Errors
/// [`FrequencyError::Empty`] without an image or kernel.
///
/// # Example
/// See [`convolve_direct`].
pub fn convolve_fft(
    image: &Array2<f64>,
    kernel: &Array2<f64>,
) -> Result<Array2<f64>, FrequencyError> {
    let size = full_size(image, kernel)?;
    let padded = |values: &Array2<f64>| {
        Array2::from_shape_fn(size, |place| values.get(place).copied().unwrap_or(0.0))
    };
    Ok(inverse_fft2(
        &(fft2(&padded(image)) * fft2(&padded(kernel))),
    ))
}

fn full_size(image: &Array2<f64>, kernel: &Array2<f64>) -> Result<(usize, usize), FrequencyError> {
    for (what, array) in [("image", image), ("kernel", kernel)] {
        if array.is_empty() {
            let (height, width) = array.dim();
            return Err(FrequencyError::Empty {
                what,
                height,
                width,
            });
        }
    }
    Ok((
        image.nrows() + kernel.nrows() - 1,
        image.ncols() + kernel.ncols() - 1,
    ))
}

// ---- filters drawn in the frequency domain ---------------------------------------------------------------------------

/// Which frequencies a filter lets through. Frequencies are distances from the centre of the spectrum in cycles per pixel: 0 is the mean
/// brightness, 0.5 along an axis is a change from pixel to pixel, about 0.71 on the diagonal the highest there is.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Pass {
    /// Frequencies up to this one: a blur.
    Low(f32),
    /// Frequencies above this one: edges and texture.
    High(f32),
    /// Frequencies above the first and up to the second.
    Band(f32, f32),
}

impl Pass {
    fn holds(self, frequency: f32) -> bool {
        match self {
            Pass::Low(limit) => frequency <= limit,
            Pass::High(limit) => frequency > limit,
            Pass::Band(low, high) => low < frequency && frequency <= high,
        }
    }

    fn check(self) -> Result<(), FrequencyError> {
        let (low, high) = match self {
            Pass::Low(limit) => (0.0, limit),
            Pass::High(limit) => (limit, f32::INFINITY),
            Pass::Band(low, high) => (low, high),
        };
        if low >= 0.0 && low < high {
            Ok(())
        } else {
            Err(FrequencyError::Band { low, high })
        }
    }
}

/// Keeps the frequencies that `pass` lets through: transform, multiply by a mask of zeros and ones, transform back.
///
/// Without the zero frequency the mean brightness is gone; what is left has both signs, and is returned as it is.
///
/// # Errors
/// [`FrequencyError::Band`] for an empty band, [`FrequencyError::Empty`] for an empty image.
///
/// # Example
/// ```
/// use dldna::frequency::{Pass, keep_frequencies};
/// use dldna::filter_utils::GrayImage;
///
/// // Stripes of one pixel hold the mean and the highest horizontal frequency.
/// let stripes = GrayImage::new(2, 4, vec![0, 200, 0, 200, 0, 200, 0, 200])?;
/// let smooth = keep_frequencies(&stripes, Pass::Low(0.25))?;
/// assert!(smooth.iter().all(|v| (v - 100.0).abs() < 1e-3));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn keep_frequencies(image: &GrayImage, pass: Pass) -> Result<Array2<f32>, FrequencyError> {
    pass.check()?;
    let mut spectrum = spectrum_of(image)?;
    let (height, width) = spectrum.dim();
    for ((row, column), value) in spectrum.indexed_iter_mut() {
        if !pass.holds(signed_frequency(row, height).hypot(signed_frequency(column, width))) {
            *value = Complex::ZERO;
        }
    }
    Ok(inverse_fft2(&spectrum).mapv(|v| v as f32))
}

/// Frequency number `k` of `n` in cycles per pixel; the upper half of the numbers are the negative frequencies.
fn signed_frequency(k: usize, n: usize) -> f32 {
    if 2 * k < n {
        k as f32 / n as f32
    } else {
        k as f32 / n as f32 - 1.0
    }
}

/// A picture of a single wave: `size` × `size` pixels with `down` periods from top to bottom and `across` from left to right, mean 128 and
/// amplitude 100. A `size` above 4,096 counts as 4,096.
///
/// # Example
/// ```
/// use dldna::frequency::wave_image;
///
/// // Two pixels a period is the finest wave that pixels can hold: stripes.
/// assert_eq!(wave_image(4, 0.0, 2.0).pixels()[..4], [228, 28, 228, 28]);
/// ```
pub fn wave_image(size: usize, down: f64, across: f64) -> GrayImage {
    let size = size.min(4_096);
    let angle = |row: usize, column: usize| {
        2.0 * PI * (down * row as f64 + across * column as f64) / size as f64
    };
    GrayImage::from_fn(size, size, |row, column| {
        (128.0 + 100.0 * angle(row, column).cos()).round() as u8
    })
}

/// log(1 + magnitude) of an image's spectrum, zero frequency in the centre.
///
/// # Errors
/// [`FrequencyError::Empty`] for an empty image.
///
/// # Example
/// ```
/// use dldna::frequency::log_spectrum;
/// use dldna::filter_utils::GrayImage;
///
/// let flat = GrayImage::new(3, 3, vec![10; 9])?;
/// let spectrum = log_spectrum(&flat)?;
/// assert!((spectrum[[1, 1]] - 91.0f32.ln()).abs() < 1e-4 && spectrum[[0, 0]] < 1e-4);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn log_spectrum(image: &GrayImage) -> Result<Array2<f32>, FrequencyError> {
    Ok(fft_shift(&spectrum_of(image)?).mapv(|v| v.norm().ln_1p() as f32))
}

fn spectrum_of(image: &GrayImage) -> Result<Array2<Complex<f64>>, FrequencyError> {
    let (height, width) = (image.height(), image.width());
    if height == 0 || width == 0 {
        return Err(FrequencyError::Empty {
            what: "image",
            height,
            width,
        });
    }
    Ok(fft2(&image.to_array().mapv(f64::from)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_mixed_tones_come_apart() {
        let tone = |f: f64, n: usize| (2.0 * PI * f * n as f64 / 200.0).sin();
        let mixed: Vec<f64> = (0..200)
            .map(|n| 1.5 * tone(8.0, n) + 0.5 * tone(31.0, n))
            .collect();
        let (frequencies, amplitudes) = amplitude_spectrum(&mixed, 200.0);
        assert_eq!(frequencies.len(), 101);
        for (f, a) in frequencies.iter().zip(amplitudes) {
            let want = if *f == 8.0 {
                1.5
            } else if *f == 31.0 {
                0.5
            } else {
                0.0
            };
            assert!((a - want).abs() < 1e-9, "{f} Hz: {a}");
        }
    }

    #[test]
    fn the_highest_frequency_is_counted_once() {
        let (_, amplitudes) = amplitude_spectrum(&[3.0, -3.0, 3.0, -3.0], 4.0);
        assert!((amplitudes[2] - 3.0).abs() < 1e-12);
        assert!(amplitude_spectrum(&[], 1.0).0.is_empty());
    }

    #[test]
    fn the_square_wave_overshoots_as_gibbs_found() {
        // The overshoot tends to 2/π · Si(π) = 1.17898 however many terms are taken.
        let times: Vec<f64> = (1..2000).map(|i| i as f64 / 8000.0).collect();
        let peak = square_wave_series(&times, 100)
            .into_iter()
            .fold(0.0, f64::max);
        assert!((peak - 1.17898).abs() < 1e-3, "{peak}");
    }

    #[test]
    fn a_wave_is_two_points_in_the_spectrum() {
        let wave = wave_image(32, 3.0, 5.0);
        let spectrum = log_spectrum(&wave).unwrap();
        let mut order: Vec<_> = spectrum.indexed_iter().collect();
        order.sort_by(|a, b| b.1.total_cmp(a.1));
        let places: std::collections::BTreeSet<_> = order[..3].iter().map(|p| p.0).collect();
        assert_eq!(places, [(13, 11), (16, 16), (19, 21)].into());
    }

    #[test]
    fn the_bands_share_the_image_among_them() {
        let image = GrayImage::from_fn(5, 6, |y, x| ((6 * y + x) * 37 % 256) as u8);
        let low = keep_frequencies(&image, Pass::Low(0.2)).unwrap();
        let band = keep_frequencies(&image, Pass::Band(0.2, 0.4)).unwrap();
        let high = keep_frequencies(&image, Pass::High(0.4)).unwrap();
        let sum = &low + &band + &high;
        for (got, &want) in sum.iter().zip(image.pixels()) {
            assert!((got - f32::from(want)).abs() < 1e-3);
        }
        assert!(band.iter().any(|v| v.abs() > 1.0) && high.iter().any(|v| v.abs() > 1.0));
    }

    #[test]
    fn bad_input_is_named() {
        let message = |e: FrequencyError| e.to_string();
        let image = GrayImage::from_fn(2, 2, |_, _| 0);
        let empty = GrayImage::from_fn(0, 2, |_, _| 0);
        assert!(message(log_spectrum(&empty).unwrap_err()).contains("0x2"));
        assert!(message(keep_frequencies(&empty, Pass::Low(0.1)).unwrap_err()).contains("0x2"));
        assert!(
            message(keep_frequencies(&image, Pass::Band(0.3, 0.1)).unwrap_err()).contains("0.3")
        );
        let none = Array2::zeros((0, 3));
        assert!(convolve_direct(&Array2::zeros((2, 2)), &none).is_err());
        assert!(convolve_fft(&none, &Array2::zeros((2, 2))).is_err());
        assert!(plot_frequency_response(&Array2::zeros((0, 0)), "nothing").is_err());
        let (magnitude, _) = frequency_response(&Array2::ones((3, 3)), 0);
        assert!(magnitude.is_empty());
    }

    #[test]
    fn any_number_is_a_result_or_an_error() {
        let image = GrayImage::from_fn(4, 6, |y, x| (10 * y + x) as u8);
        for a in [
            0.0,
            1.0,
            -1.0,
            1e-320,
            1e300,
            f64::INFINITY,
            f64::NEG_INFINITY,
            f64::NAN,
        ] {
            let signal = [a, 1.0, a];
            assert_eq!(dft(&signal).len(), 3);
            assert_eq!(inverse_fft(&fft(&signal)).len(), 3);
            assert_eq!(amplitude_spectrum(&signal, a).0.len(), 2);
            assert_eq!(square_wave_series(&[a], 3).len(), 1);
            assert_eq!(wave_image(3, a, -a).pixels().len(), 9);
            let array = Array2::from_elem((2, 3), a);
            assert_eq!(inverse_fft2(&fft2(&array)).dim(), (2, 3));
            assert_eq!(convolve_direct(&array, &array).unwrap().dim(), (3, 5));
            assert_eq!(convolve_fft(&array, &array).unwrap().dim(), (3, 5));
            let kernel = Array2::from_elem((2, 3), a as f32);
            assert_eq!(frequency_response(&kernel, 5).0.dim(), (5, 5));
            assert_eq!(radial_response(std::slice::from_ref(&kernel), 4).1.len(), 4);
            let finite = kernel.iter().all(|w| w.is_finite());
            let figure = plot_frequency_response(&kernel, "any");
            assert!(finite || figure.is_err(), "{a}");
            for b in [0.0, 0.3, f32::INFINITY, f32::NAN] {
                for pass in [
                    Pass::Low(a as f32),
                    Pass::High(a as f32),
                    Pass::Band(a as f32, b),
                ] {
                    let kept = keep_frequencies(&image, pass);
                    assert!(kept.is_err() || kept.unwrap().dim() == (4, 6));
                }
            }
        }
        let large = Array2::from_elem((3, 3), f32::MAX);
        assert!(plot_frequency_response(&large, "large").is_err());
        assert!((square_wave_series(&[0.25], usize::MAX)[0] - 1.0).abs() < 1e-6);
        assert_eq!(
            frequency_response(&large, usize::MAX).0.dim(),
            (2_048, 2_048)
        );
        assert_eq!(radial_response(&[], usize::MAX).0.len(), 10_000);
        assert_eq!(wave_image(usize::MAX, 1.0, 1.0).width(), 4_096);
        assert!(wave_image(0, 1.0, 1.0).pixels().is_empty());
    }

    #[test]
    fn a_kernel_larger_than_the_grid_is_cut() {
        let (magnitude, _) = frequency_response(&Array2::ones((5, 5)), 2);
        assert!((magnitude[[1, 1]] - 4.0).abs() < 1e-6);
    }
}
