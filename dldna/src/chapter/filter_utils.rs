//! The classic, hand-made image filters of section 7.1.2.
//!
//! A filter is a small matrix, the kernel. It slides over the image, and at each place the products of weights and pixels are summed:
//!
//! ```text
//! (I * K)(x, y) = Σᵢ Σⱼ I(x + i, y + j) · K(i, j)
//! ```
//!
//! With `+i, +j` this is a correlation, which neural networks (and OpenCV) call convolution.

use crate::conv_visual::{Player, PlayerError};
use crate::kernels::vector::add_scaled;
use crate::plot::{
    Canvas, ColorMap, FAINT, Figure, HeatMap, ImageGrid, LABEL, MUTED, PALETTE, PlotError, Raster,
    TITLE, draw_matrix, number,
};
use ndarray::{Array2, arr2};
use rand::{SeedableRng, rngs::StdRng};
use rand_distr::{Distribution, Normal};

pub use crate::image::{GrayImage, ImageError, RgbImage};

/// What can be wrong with a filter or its use.
#[derive(Debug, thiserror::Error)]
pub enum FilterError {
    /// A place outside the image.
    #[error(
        "the image has {height} rows and {width} columns, so there is no pixel at row {row}, column {column}"
    )]
    Outside {
        /// Row asked for.
        row: usize,
        /// Column asked for.
        column: usize,
        /// Rows of the image.
        height: usize,
        /// Columns of the image.
        width: usize,
    },
    /// A kernel that is empty or too large to be printed.
    #[error("a kernel of {rows}x{columns} cannot be shown: expected 1 to {most} rows and columns")]
    KernelSize {
        /// Rows of the kernel.
        rows: usize,
        /// Columns of the kernel.
        columns: usize,
        /// The largest side that can be shown.
        most: usize,
    },
    /// Images without pixels.
    #[error("expected images with at least one pixel, got {height}x{width}")]
    Empty {
        /// Rows.
        height: usize,
        /// Columns.
        width: usize,
    },
    /// A spread that is not positive and finite, or a Gaussian kernel without a pixel in its centre, or with more than there is room for.
    #[error(
        "a Gaussian kernel needs an odd size of at most {LARGEST_GAUSSIAN} and a positive standard deviation, got size {size} and standard deviation {standard_deviation}"
    )]
    Gaussian {
        /// Rows and columns asked for.
        size: usize,
        /// Standard deviation asked for, in pixels.
        standard_deviation: f32,
    },
    /// Two images that cannot be compared pixel by pixel.
    #[error("expected two images of the same size, got {0}x{1} and {2}x{3}")]
    Sizes(usize, usize, usize, usize),
    /// The figure could not be drawn.
    #[error(transparent)]
    Plot(#[from] PlotError),
}

/// A kernel with a name.
#[derive(Clone, Debug, PartialEq)]
pub struct Filter {
    /// What the filter is called.
    pub name: String,
    /// Its weights; the first axis runs down.
    pub kernel: Array2<f32>,
}

impl Filter {
    /// A filter of one's own.
    ///
    /// # Example
    /// ```
    /// use dldna::filter_utils::Filter;
    ///
    /// let average = Filter::new("Average", ndarray::Array2::from_elem((3, 3), 1.0 / 9.0));
    /// assert_eq!(average.kernel.dim(), (3, 3));
    /// ```
    pub fn new(name: &str, kernel: Array2<f32>) -> Self {
        Filter {
            name: name.to_owned(),
            kernel,
        }
    }

    /// The five filters of section 7.1.2, in its order.
    ///
    /// # Example
    /// ```
    /// use dldna::filter_utils::Filter;
    ///
    /// let names: Vec<String> = Filter::classics().into_iter().map(|f| f.name).collect();
    /// assert_eq!(names, ["Gaussian Blur", "Sharpen", "Edge Detection", "Emboss", "Sobel X"]);
    /// ```
    pub fn classics() -> Vec<Filter> {
        vec![
            Filter::gaussian_blur(),
            Filter::sharpen(),
            Filter::edge_detection(),
            Filter::emboss(),
            Filter::sobel_x(),
        ]
    }

    /// A weighted mean of 3 × 3 pixels, the weights a Gaussian with a standard deviation of one pixel.
    ///
    /// # Example
    /// ```
    /// let kernel = dldna::filter_utils::Filter::gaussian_blur().kernel;
    /// assert!((kernel.sum() - 1.0).abs() < 1e-6); // brightness is kept
    /// ```
    pub fn gaussian_blur() -> Filter {
        Filter::new("Gaussian Blur", gaussian_kernel(3, 1.0))
    }

    /// A weighted mean of `size` × `size` pixels, the weights a Gaussian with the given standard deviation in pixels.
    ///
    /// The weights fall to a hundredth of the centre's at three standard deviations, so a size of six of them loses little.
    ///
    /// # Errors
    /// [`FilterError::Gaussian`] when the size is even or above 1001, or the standard deviation is not positive and finite.
    ///
    /// # Example
    /// ```
    /// use dldna::filter_utils::Filter;
    ///
    /// let wide = Filter::gaussian(13, 2.0)?;
    /// assert!((wide.kernel.sum() - 1.0).abs() < 1e-6);
    /// assert_eq!(Filter::gaussian(3, 1.0)?.kernel, Filter::gaussian_blur().kernel);
    /// # Ok::<(), dldna::filter_utils::FilterError>(())
    /// ```
    pub fn gaussian(size: usize, standard_deviation: f32) -> Result<Filter, FilterError> {
        if size.is_multiple_of(2)
            || size > LARGEST_GAUSSIAN
            || !(standard_deviation > 0.0 && standard_deviation.is_finite())
        {
            return Err(FilterError::Gaussian {
                size,
                standard_deviation,
            });
        }
        let name = format!("Gaussian {size}x{size}");
        Ok(Filter::new(
            &name,
            gaussian_kernel(size, standard_deviation.into()),
        ))
    }

    /// The pixel plus its difference from its four neighbours: edges gain contrast, flat areas stay.
    ///
    /// # Example
    /// ```
    /// assert_eq!(dldna::filter_utils::Filter::sharpen().kernel.sum(), 1.0);
    /// ```
    pub fn sharpen() -> Filter {
        Filter::new(
            "Sharpen",
            arr2(&[[0.0, -1.0, 0.0], [-1.0, 5.0, -1.0], [0.0, -1.0, 0.0]]),
        )
    }

    /// The difference from all eight neighbours: zero where the image is flat.
    ///
    /// # Example
    /// ```
    /// assert_eq!(dldna::filter_utils::Filter::edge_detection().kernel.sum(), 0.0);
    /// ```
    pub fn edge_detection() -> Filter {
        Filter::new(
            "Edge Detection",
            arr2(&[[-1.0, -1.0, -1.0], [-1.0, 8.0, -1.0], [-1.0, -1.0, -1.0]]),
        )
    }

    /// The pixel plus a difference along the diagonal, which looks like a relief lit from one corner.
    ///
    /// # Example
    /// ```
    /// assert_eq!(dldna::filter_utils::Filter::emboss().kernel.sum(), 1.0);
    /// ```
    pub fn emboss() -> Filter {
        Filter::new(
            "Emboss",
            arr2(&[[-2.0, -1.0, 0.0], [-1.0, 1.0, 1.0], [0.0, 1.0, 2.0]]),
        )
    }

    /// The change of brightness to the right: answers to vertical edges.
    ///
    /// # Example
    /// ```
    /// use dldna::filter_utils::Filter;
    ///
    /// assert_eq!(Filter::sobel_x().kernel.reversed_axes(), Filter::sobel_y().kernel);
    /// ```
    pub fn sobel_x() -> Filter {
        Filter::new(
            "Sobel X",
            arr2(&[[-1.0, 0.0, 1.0], [-2.0, 0.0, 2.0], [-1.0, 0.0, 1.0]]),
        )
    }

    /// The change of brightness downwards: answers to horizontal edges.
    ///
    /// # Example
    /// See [`sobel_x`](Filter::sobel_x).
    pub fn sobel_y() -> Filter {
        Filter::new(
            "Sobel Y",
            arr2(&[[-1.0, -2.0, -1.0], [0.0, 0.0, 0.0], [1.0, 2.0, 1.0]]),
        )
    }
}

/// A million weights; a photograph is hardly wider.
const LARGEST_GAUSSIAN: usize = 1001;

/// exp(−x² / 2σ²) at the distances x from the centre, scaled to a sum of one; the kernel is the outer product with itself.
fn gaussian_kernel(size: usize, standard_deviation: f64) -> Array2<f32> {
    let bell = |i: usize| {
        let distance = i as f64 - (size / 2) as f64;
        (-0.5 * (distance / standard_deviation).powi(2)).exp()
    };
    let sum: f64 = (0..size).map(bell).sum();
    let weight = |i: usize| bell(i) / sum;
    Array2::from_shape_fn((size, size), |(i, j)| (weight(i) * weight(j)) as f32)
}

/// `kernel` turned by half a turn: its first weight becomes the last.
///
/// A correlation with the one is a convolution with the other.
///
/// # Example
/// ```
/// use dldna::filter_utils::flip_kernel;
///
/// assert_eq!(flip_kernel(&ndarray::arr2(&[[1.0, 2.0], [3.0, 4.0]])), ndarray::arr2(&[[4.0, 3.0], [2.0, 1.0]]));
/// ```
pub fn flip_kernel(kernel: &Array2<f32>) -> Array2<f32> {
    let (rows, columns) = kernel.dim();
    Array2::from_shape_fn((rows, columns), |(i, j)| {
        kernel[[rows - 1 - i, columns - 1 - j]]
    })
}

/// `image` with noise: each pixel is moved by a random amount from a normal distribution of the given standard deviation (in grey
/// values), then rounded and clipped to 0..255. The same seed gives the same noise.
///
/// A standard deviation that is not finite or is negative adds no noise.
///
/// # Example
/// ```
/// use dldna::filter_utils::{GrayImage, add_noise, root_mean_square_error};
///
/// let image = GrayImage::new(100, 100, vec![128; 10_000])?;
/// let noisy = add_noise(&image, 20.0, 0);
/// assert!((root_mean_square_error(&image, &noisy)? - 20.0).abs() < 1.0);
/// assert_eq!(noisy, add_noise(&image, 20.0, 0));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn add_noise(image: &GrayImage, standard_deviation: f32, seed: u64) -> GrayImage {
    let mut rng = StdRng::seed_from_u64(seed);
    let mut noisy = image.clone();
    if let (Ok(noise), false) = (
        Normal::new(0.0, standard_deviation),
        standard_deviation < 0.0,
    ) {
        for pixel in noisy.pixels_mut() {
            *pixel = (f32::from(*pixel) + noise.sample(&mut rng)).round() as u8;
        }
    }
    noisy
}

/// How far two images are apart, in grey values: √(mean of the squared differences). 0 if they are equal.
///
/// # Errors
/// [`FilterError::Sizes`] when the images differ in size, [`FilterError::Empty`] when they have no pixels.
///
/// # Example
/// ```
/// use dldna::filter_utils::{GrayImage, root_mean_square_error};
///
/// let a = GrayImage::new(1, 2, vec![10, 20])?;
/// let b = GrayImage::new(1, 2, vec![13, 24])?;
/// assert_eq!(root_mean_square_error(&a, &b)?, 12.5f32.sqrt());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn root_mean_square_error(a: &GrayImage, b: &GrayImage) -> Result<f32, FilterError> {
    let (height, width) = (a.height(), a.width());
    if (height, width) != (b.height(), b.width()) {
        return Err(FilterError::Sizes(height, width, b.height(), b.width()));
    }
    let count = a.pixels().len();
    if count == 0 {
        return Err(FilterError::Empty { height, width });
    }
    let pairs = a.pixels().iter().zip(b.pixels());
    let squares = pairs.map(|(&a, &b)| f64::from(a.abs_diff(b)).powi(2));
    Ok((squares.sum::<f64>() / count as f64).sqrt() as f32)
}

/// The index that stands for `index` in a row of `length` pixels: beyond the border the image goes on as in a mirror that stands on the
/// last pixel (`.. 2 1 | 0 1 2 .. n−1 | n−2 n−3 ..`), OpenCV's "reflect 101".
fn mirrored(index: isize, length: usize) -> usize {
    if length == 1 {
        return 0;
    }
    let last = length as isize - 1;
    let place = index.rem_euclid(2 * last);
    place.min(2 * last - place) as usize
}

/// Sums weights times pixels at every place. `pixel(row, column)` reads the image; the kernel's centre is `(rows / 2, columns / 2)`.
fn correlate(
    (height, width): (usize, usize),
    kernel: &Array2<f32>,
    pixel: impl Fn(usize, usize) -> f32,
) -> Array2<f32> {
    let (center_row, center_column) = (kernel.nrows() / 2, kernel.ncols() / 2);
    let mut sums = Array2::zeros((height, width));
    if sums.is_empty() {
        return sums;
    }
    // One weight after the other, and each product added with one rounding: the order and the arithmetic of OpenCV on today's
    // processors, which decide ties between two grey values.
    for (y, mut row) in sums.rows_mut().into_iter().enumerate() {
        let row = row
            .as_slice_mut()
            .expect("rows of a new array are contiguous");
        for (i, weights) in kernel.rows().into_iter().enumerate() {
            let source = mirrored((y + i) as isize - center_row as isize, height);
            // The row of the image with its mirrored borders: weight j meets a run of it that starts at j.
            let pixels: Vec<f32> = (0..width + weights.len())
                .map(|x| pixel(source, mirrored(x as isize - center_column as isize, width)))
                .collect();
            for (j, &weight) in weights.iter().enumerate() {
                if weight != 0.0 {
                    add_scaled(row, weight, &pixels[j..]);
                }
            }
        }
    }
    sums
}

/// Slides `kernel` over `image`: `cv2.filter2D` on 8-bit images, bit for bit for kernels of fewer than 130 weights (up to 11 × 11).
///
/// From there on OpenCV computes by a Fourier transform, whose rounding moves a pixel by one where the sum comes close to a half; here
/// the products are summed for kernels of every size.
///
/// The result has the image's size. Beyond the border the image is mirrored at its last pixel. Sums are rounded to the nearest whole
/// number (halves to the even one) and clipped to 0..255. The kernel may have any size; its centre is at `(rows / 2, columns / 2)`.
/// An empty kernel sums nothing.
///
/// # Example
/// ```
/// use dldna::filter_utils::{Filter, GrayImage, apply_filter};
///
/// // An edge between dark and bright: only its neighbourhood answers.
/// let image = GrayImage::new(1, 5, vec![0, 0, 0, 50, 50])?;
/// let edges = apply_filter(&image, &Filter::sobel_x().kernel);
/// assert_eq!(edges.pixels(), [0, 0, 200, 200, 0]);
/// # Ok::<(), dldna::image::ImageError>(())
/// ```
pub fn apply_filter(image: &GrayImage, kernel: &Array2<f32>) -> GrayImage {
    let (height, width) = (image.height(), image.width());
    let sums = correlate((height, width), kernel, |row, column| {
        f32::from(image.pixels()[row * width + column])
    });
    // `as` clips to 0..255 and turns what is not a number into 0.
    GrayImage::from_fn(height, width, |row, column| {
        sums[[row, column]].round_ties_even() as u8
    })
}

/// The same as [`apply_filter`] on floating-point values, neither rounded nor clipped: `cv2.filter2D` on 32-bit images.
///
/// # Example
/// ```
/// use dldna::filter_utils::{Filter, apply_filter_f32};
///
/// let ramp = ndarray::arr2(&[[3.0, 2.0, 1.0, 0.0]]);
/// let change = apply_filter_f32(&ramp, &Filter::sobel_x().kernel);
/// assert_eq!(change, ndarray::arr2(&[[0.0, -8.0, -8.0, 0.0]])); // the sign says that it grows darker
/// ```
pub fn apply_filter_f32(image: &Array2<f32>, kernel: &Array2<f32>) -> Array2<f32> {
    correlate(image.dim(), kernel, |row, column| image[[row, column]])
}

/// Loads a PNG or JPEG image from an `http` or `https` address, as brightness.
///
/// # Errors
/// [`ImageError`] says whether the address, the network or the image is at fault, and names the address.
///
/// # Example
/// ```no_run
/// use dldna::filter_utils::{load_image_from_url, show_filter_effects};
///
/// let url = "https://raw.githubusercontent.com/opencv/opencv/4.x/samples/data/building.jpg";
/// show_filter_effects(&load_image_from_url(url)?)?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn load_image_from_url(url: &str) -> Result<GrayImage, ImageError> {
    GrayImage::from_url(url)
}

/// The image after each of `filters`, with the filter's name.
///
/// # Example
/// ```
/// use dldna::filter_utils::{Filter, GrayImage, apply_multiple_filters};
///
/// let image = GrayImage::new(2, 2, vec![10, 20, 30, 40])?;
/// let results = apply_multiple_filters(&image, &Filter::classics());
/// assert_eq!(results[1].0, "Sharpen");
/// assert_eq!(results[1].1.width(), 2);
/// # Ok::<(), dldna::image::ImageError>(())
/// ```
pub fn apply_multiple_filters(image: &GrayImage, filters: &[Filter]) -> Vec<(String, GrayImage)> {
    filters
        .iter()
        .map(|f| (f.name.clone(), apply_filter(image, &f.kernel)))
        .collect()
}

/// The image and the five classic filters of it, in two rows of three.
///
/// # Errors
/// [`PlotError`] when the image is empty.
///
/// # Example
/// ```
/// use dldna::filter_utils::{GrayImage, show_filter_effects};
///
/// let image = GrayImage::new(20, 30, (0..600).map(|i| (i % 251) as u8).collect())?;
/// let figure = show_filter_effects(&image)?;
/// assert!(figure.width() > 500);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn show_filter_effects(image: &GrayImage) -> Result<Figure, PlotError> {
    let mut grid = ImageGrid::new("", 3).gray("Original", image);
    for (name, result) in apply_multiple_filters(image, &Filter::classics()) {
        grid = grid.gray(&name, &result);
    }
    grid.draw()
}

/// The kernels of `filters` side by side, with their weights.
///
/// # Errors
/// [`PlotError::Empty`] without filters or with an empty kernel.
///
/// # Example
/// ```
/// use dldna::filter_utils::{Filter, show_kernels};
///
/// let figure = show_kernels(&Filter::classics())?;
/// assert!(figure.width() > 500);
/// # Ok::<(), dldna::plot::PlotError>(())
/// ```
pub fn show_kernels(filters: &[Filter]) -> Result<Figure, PlotError> {
    let draw = |f: &Filter| {
        HeatMap::from_array(&f.name, &f.kernel)
            .color_map(ColorMap::Diverging)
            .show_values()
            .draw()
    };
    Figure::row(&filters.iter().map(draw).collect::<Result<Vec<_>, _>>()?)
}

/// The largest kernel side whose numbers can be read in a figure.
const LARGEST_SHOWN: usize = 7;

/// One step of a filter in numbers: the window under the kernel (centred at `row`, `column`, mirrored beyond the border), the kernel,
/// the products, and their sum.
///
/// # Errors
/// [`FilterError::Outside`] when there is no such pixel, [`FilterError::KernelSize`] for a kernel that is empty or larger than 7 × 7.
///
/// # Example
/// ```
/// use dldna::filter_utils::{Filter, GrayImage, visualize_convolution_step};
///
/// let image = GrayImage::new(8, 8, (0..64).collect())?;
/// visualize_convolution_step(&image, &Filter::sobel_x().kernel, 3, 4)?;
///
/// let error = visualize_convolution_step(&image, &Filter::sobel_x().kernel, 8, 0).unwrap_err();
/// assert!(error.to_string().contains("no pixel at row 8"));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn visualize_convolution_step(
    image: &GrayImage,
    kernel: &Array2<f32>,
    row: usize,
    column: usize,
) -> Result<Figure, FilterError> {
    let (rows, columns) = kernel.dim();
    if kernel.is_empty() || rows.max(columns) > LARGEST_SHOWN {
        return Err(FilterError::KernelSize {
            rows,
            columns,
            most: LARGEST_SHOWN,
        });
    }
    let (height, width) = (image.height(), image.width());
    if row >= height || column >= width {
        return Err(FilterError::Outside {
            row,
            column,
            height,
            width,
        });
    }
    let top = row as isize - (rows / 2) as isize;
    let left = column as isize - (columns / 2) as isize;
    let window = Array2::from_shape_fn((rows, columns), |(i, j)| {
        let (y, x) = (
            mirrored(top + i as isize, height),
            mirrored(left + j as isize, width),
        );
        f32::from(image.pixels()[y * width + x])
    });
    Ok(draw_step(image, (top, left), &window, kernel))
}

/// Where things stand in the figure of a step.
const STEP_WIDTH: f32 = 640.0;
const PICTURE: f32 = 120.0;
const MATRIX: f32 = 108.0;
const SUM: f32 = 76.0;
const EDGE: f32 = 14.0;
const TOP: f32 = 44.0;

fn draw_step(
    image: &GrayImage,
    (top, left): (isize, isize),
    window: &Array2<f32>,
    kernel: &Array2<f32>,
) -> Figure {
    let products = window * kernel;
    let sum = products.sum();
    let (height, width) = (image.height(), image.width());
    let scale = PICTURE / width.max(height) as f32;
    let (picture_width, picture_height) = (width as f32 * scale, height as f32 * scale);
    let cell = MATRIX / kernel.nrows().max(kernel.ncols()) as f32;
    let (matrix_width, matrix_height) =
        (cell * kernel.ncols() as f32, cell * kernel.nrows() as f32);
    let body = picture_height.max(matrix_height + 10.0);
    let mut canvas = Canvas::new(STEP_WIDTH, TOP + body + 2.0 * EDGE);

    canvas.text("Image", EDGE, 22.0, LABEL.bold());
    canvas.image(
        &Raster::from_gray(image),
        EDGE,
        TOP,
        picture_width,
        picture_height,
    );
    canvas.frame(EDGE, TOP, picture_width, picture_height, 0.5, FAINT);
    mark_window(&mut canvas, image, (top, left), kernel.dim(), scale);

    let middle = TOP + matrix_height / 2.0;
    let gap = (STEP_WIDTH - 3.0 * EDGE - PICTURE - 3.0 * matrix_width - SUM) / 3.0;
    let mut x = EDGE + PICTURE + EDGE;
    let parts = [
        ("Window", window, ColorMap::Gray, Some((0.0, 255.0)), "×"),
        ("Kernel", kernel, ColorMap::Diverging, None, "="),
        ("Products", &products, ColorMap::Diverging, None, "→"),
    ];
    for (name, values, map, range, sign) in parts {
        canvas.text(name, x, 22.0, LABEL.bold());
        draw_matrix(&mut canvas, values, (x, TOP), cell, map, range);
        canvas.text(sign, x + matrix_width + gap / 2.0, middle, TITLE.centered());
        x += matrix_width + gap;
    }
    canvas.text("Sum", x, 22.0, LABEL.bold());
    canvas.text(&number(sum.into()), x, middle, TITLE);
    let shown = sum.round_ties_even() as u8;
    let note = if (f32::from(shown) - sum).abs() < 1e-3 {
        String::new()
    } else {
        format!("as a pixel:\n{shown}")
    };
    canvas.text(&note, x, middle + 26.0, LABEL.color(MUTED));
    canvas.finish()
}

/// Frames the window in the picture; a frame of a few pixels' width is enlarged so that it can be seen.
fn mark_window(
    canvas: &mut Canvas,
    image: &GrayImage,
    (top, left): (isize, isize),
    (rows, columns): (usize, usize),
    scale: f32,
) {
    let x = left.max(0) as f32 * scale;
    let y = top.max(0) as f32 * scale;
    let right = ((left + columns as isize) as f32).min(image.width() as f32) * scale;
    let bottom = ((top + rows as isize) as f32).min(image.height() as f32) * scale;
    let grow = |size: f32| (10.0 - size).max(0.0) / 2.0;
    let (dx, dy) = (grow(right - x), grow(bottom - y));
    let (width, height) = (right - x + 2.0 * dx, bottom - y + 2.0 * dy);
    canvas.frame(EDGE + x - dx, TOP + y - dy, width, height, 2.0, PALETTE[5]);
}

/// A player that slides `kernel` over a small image, step by step, without padding: an output of `(H − h + 1) × (W − w + 1)`.
///
/// # Errors
/// [`PlayerError`] when the image or the kernel is empty or too large to be read, or the kernel does not fit into the image.
///
/// # Example
/// ```
/// use dldna::filter_utils::{Filter, GrayImage, create_convolution_animation};
///
/// let image = GrayImage::new(5, 6, (0..30).collect())?;
/// let player = create_convolution_animation(&image, &Filter::emboss().kernel)?;
/// assert_eq!(player.steps(), 3 * 4);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn create_convolution_animation(
    image: &GrayImage,
    kernel: &Array2<f32>,
) -> Result<Player, PlayerError> {
    Player::new(&image.to_array().mapv(f32::from), kernel)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_mirror_stands_on_the_last_pixel() {
        let indices: Vec<usize> = (-5..9).map(|i| mirrored(i, 4)).collect();
        assert_eq!(indices, [1, 2, 3, 2, 1, 0, 1, 2, 3, 2, 1, 0, 1, 2]);
        assert_eq!(mirrored(-3, 1), 0);
        assert_eq!(
            [-2, -1, 0, 1, 2, 3].map(|i| mirrored(i, 2)),
            [0, 1, 0, 1, 0, 1]
        );
    }

    #[test]
    fn halves_go_to_the_even_neighbour_and_sums_are_clipped() {
        let image = GrayImage::new(1, 4, vec![1, 3, 5, 255]).unwrap();
        assert_eq!(
            apply_filter(&image, &arr2(&[[0.5]])).pixels(),
            [0, 2, 2, 128]
        );
        assert_eq!(
            apply_filter(&image, &arr2(&[[100.0]])).pixels(),
            [100, 255, 255, 255]
        );
        assert_eq!(apply_filter(&image, &arr2(&[[-1.0]])).pixels(), [0; 4]);
        assert_eq!(apply_filter(&image, &arr2(&[[f32::NAN]])).pixels(), [0; 4]);
    }

    #[test]
    fn nothing_in_gives_nothing_out() {
        let none = GrayImage::from_fn(0, 3, |_, _| 0);
        assert_eq!(apply_filter(&none, &Filter::sobel_x().kernel), none);
        let image = GrayImage::new(1, 2, vec![7, 8]).unwrap();
        assert_eq!(
            apply_filter(&image, &Array2::zeros((0, 3))).pixels(),
            [0, 0]
        );
    }

    #[test]
    fn a_gaussian_is_refused_where_it_has_no_meaning() {
        for (size, deviation) in [
            (4, 1.0),
            (0, 1.0),
            (1003, 1.0),
            (usize::MAX, 1.0),
            (3, 0.0),
            (3, -1.0),
            (3, f32::NAN),
        ] {
            let error = Filter::gaussian(size, deviation).unwrap_err().to_string();
            assert!(error.contains(&format!("size {size}")), "{error}");
        }
        // A very narrow one is the pixel itself.
        let narrow = Filter::gaussian(3, 1e-30).unwrap().kernel;
        assert_eq!(
            narrow,
            arr2(&[[0.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 0.0]])
        );
    }

    #[test]
    fn the_variance_of_a_gaussian_is_its_standard_deviation_squared() {
        let kernel = Filter::gaussian(25, 2.0).unwrap().kernel;
        let variance = kernel
            .indexed_iter()
            .map(|((i, _), w)| (i as f32 - 12.0).powi(2) * w);
        assert!((variance.sum::<f32>() - 4.0).abs() < 1e-4);
    }

    #[test]
    fn a_convolution_is_a_correlation_with_the_flipped_kernel() {
        let image = arr2(&[[1.0, 5.0, 2.0], [7.0, 3.0, 8.0], [4.0, 9.0, 6.0]]);
        let kernel = arr2(&[[1.0, 2.0, 3.0], [4.0, 5.0, 6.0], [7.0, 8.0, 10.0]]);
        let ours = apply_filter_f32(&image, &flip_kernel(&kernel))[[1, 1]];
        let wide = image.mapv(f64::from);
        let full = crate::frequency::convolve_direct(&wide, &kernel.mapv(f64::from)).unwrap();
        assert_eq!(f64::from(ours), full[[2, 2]]);
    }

    #[test]
    fn noise_without_a_meaningful_spread_changes_nothing() {
        let image = GrayImage::new(1, 2, vec![7, 8]).unwrap();
        for deviation in [0.0, -3.0, f32::NAN, f32::INFINITY] {
            assert_eq!(add_noise(&image, deviation, 1), image);
        }
        let other = GrayImage::new(2, 1, vec![7, 8]).unwrap();
        assert!(root_mean_square_error(&image, &other).is_err());
        let none = GrayImage::from_fn(0, 0, |_, _| 0);
        let error = root_mean_square_error(&none, &none).unwrap_err();
        assert!(error.to_string().contains("got 0x0"), "{error}");
    }

    #[test]
    fn a_step_that_cannot_be_shown_says_why() {
        let image = GrayImage::new(2, 2, vec![1, 2, 3, 4]).unwrap();
        let message = |k: &Array2<f32>| {
            visualize_convolution_step(&image, k, 0, 0)
                .unwrap_err()
                .to_string()
        };
        assert!(message(&Array2::ones((9, 1))).contains("9x1"));
        assert!(message(&Array2::ones((0, 0))).contains("0x0"));
        let none = GrayImage::from_fn(0, 0, |_, _| 0);
        assert!(show_filter_effects(&none).is_err());
        assert!(visualize_convolution_step(&none, &Array2::ones((1, 1)), 0, 0).is_err());
        assert!(create_convolution_animation(&none, &Array2::ones((1, 1))).is_err());
    }
}
