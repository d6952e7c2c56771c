//! The other kernels: what the word means outside of convolutions.
//!
//! | field | a kernel is | here |
//! |---|---|---|
//! | machine learning | a similarity of two points, an inner product in another space | [`Kernel`], [`SupportVectorMachine`] |
//! | statistics | a small density that is laid on every sample | [`DensityKernel`], [`kernel_density`] |
//! | linear algebra | the vectors that a matrix maps to zero | [`null_space`] |
//! | operating systems | the program that runs the machine | [`operating_system_kernel`] |
//!
//! The kernel of a convolution is a [`Filter`](crate::filter_utils::Filter).

use crate::plot::{
    Canvas, ColorMap, FAINT, Figure, LABEL, PALETTE, PlotError, Raster, TITLE, draw_title,
};
use ndarray::{Array1, Array2, ArrayView1, Axis};
use plotters::style::WHITE;
use rand::{Rng, SeedableRng, rngs::StdRng};
use rand_distr::{Distribution, Normal};
use std::f64::consts::TAU;
use std::io;
use std::process::Command;

/// What can be wrong with a kernel or its use.
#[derive(Debug, thiserror::Error)]
pub enum KernelMethodError {
    /// Two points that lie in different spaces.
    #[error("expected points with as many coordinates on both sides, got {0} and {1}")]
    Coordinates(usize, usize),
    /// Points that are not all labelled.
    #[error("{0} points need {0} labels, got {1}")]
    Labels(usize, usize),
    /// Nothing to work on.
    #[error("expected at least one {0}, got none")]
    Empty(&'static str),
    /// An infinite number or none: what it was given as, its place (from 0, row by row), and the number.
    #[error("expected finite numbers, but {0} {1} is {2}")]
    NotFinite(&'static str, usize, f64),
    /// A setting that has to be above zero, and what came.
    #[error("the {0} must be positive and finite, got {1}")]
    NotPositive(&'static str, f64),
    /// A similarity with which a machine cannot be trained.
    #[error(
        "{kernel:?} gives points {row} and {column} the similarity {value}: expected a finite one, and above -1 of a point with itself"
    )]
    Similarity {
        /// The kernel.
        kernel: Kernel,
        /// Place of the first point.
        row: usize,
        /// Place of the second point.
        column: usize,
        /// Their similarity.
        value: f64,
    },
    /// Points that cannot be drawn on paper.
    #[error("only points with 2 coordinates can be drawn, got {0}")]
    Plane(usize),
    /// Points that no picture holds: the largest coordinate.
    #[error("only points with coordinates up to 1e300 can be drawn, got {0}")]
    TooFar(f64),
    /// The operating system did not answer.
    #[error("cannot ask {asked} for the operating system's kernel: {source}")]
    OperatingSystem {
        /// The file or command that was asked.
        asked: String,
        /// Why it failed.
        source: io::Error,
    },
    /// The figure could not be drawn.
    #[error(transparent)]
    Plot(#[from] PlotError),
}

/// The similarity of two points: their inner product `φ(u) · φ(v)`, after some map `φ` that is never computed.
///
/// B. E. Boser, I. M. Guyon, V. N. Vapnik, "A training algorithm for optimal margin classifiers", COLT 1992.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Kernel {
    /// `u · v`: no map at all.
    Linear,
    /// `(u · v + offset)^degree`: all products of up to `degree` coordinates.
    Polynomial {
        /// How many coordinates are multiplied.
        degree: u32,
        /// Above zero, the lower degrees count too.
        offset: f64,
    },
    /// `exp(−gamma |u − v|²)`, the radial basis function: 1 for equal points, nearly 0 for distant ones.
    Rbf {
        /// How fast the similarity falls.
        gamma: f64,
    },
    /// `tanh(scale · u · v + offset)`. For many settings it is no inner product of any space.
    Sigmoid {
        /// Factor of the inner product.
        scale: f64,
        /// Added before the hyperbolic tangent.
        offset: f64,
    },
}

impl Kernel {
    /// The similarity of two points.
    ///
    /// # Errors
    /// [`KernelMethodError::Coordinates`] when one has more coordinates than the other.
    ///
    /// # Example
    /// ```
    /// use dldna::kernel_methods::Kernel;
    ///
    /// let square = Kernel::Polynomial { degree: 2, offset: 1.0 };
    /// assert_eq!(square.value(&[1.0, 2.0], &[3.0, 1.0])?, 36.0); // (3 + 2 + 1)²
    /// # Ok::<(), dldna::kernel_methods::KernelMethodError>(())
    /// ```
    pub fn value(&self, u: &[f64], v: &[f64]) -> Result<f64, KernelMethodError> {
        same_coordinates(u.len(), v.len())?;
        Ok(self.similarity(u.into(), v.into()))
    }

    /// The similarities of all rows of `u` (`m × d`) with all rows of `v` (`n × d`): `m × n`, the Gram matrix when both are the same.
    ///
    /// # Errors
    /// [`KernelMethodError::Coordinates`] when the rows have different lengths.
    ///
    /// # Example
    /// ```
    /// use dldna::kernel_methods::Kernel;
    /// use ndarray::arr2;
    ///
    /// let points = arr2(&[[0.0, 0.0], [3.0, 4.0]]);
    /// let gram = Kernel::Linear.matrix(&points, &points)?;
    /// assert_eq!(gram, arr2(&[[0.0, 0.0], [0.0, 25.0]]));
    /// # Ok::<(), dldna::kernel_methods::KernelMethodError>(())
    /// ```
    pub fn matrix(
        &self,
        u: &Array2<f64>,
        v: &Array2<f64>,
    ) -> Result<Array2<f64>, KernelMethodError> {
        same_coordinates(u.ncols(), v.ncols())?;
        let size = (u.nrows(), v.nrows());
        Ok(Array2::from_shape_fn(size, |(i, j)| {
            self.similarity(u.row(i), v.row(j))
        }))
    }

    fn similarity(&self, u: ArrayView1<f64>, v: ArrayView1<f64>) -> f64 {
        match *self {
            Kernel::Linear => u.dot(&v),
            Kernel::Polynomial { degree, offset } => (u.dot(&v) + offset).powf(degree.into()),
            Kernel::Rbf { gamma } => {
                let squared: f64 = u.iter().zip(v).map(|(a, b)| (a - b) * (a - b)).sum();
                (-gamma * squared).exp()
            }
            Kernel::Sigmoid { scale, offset } => (scale * u.dot(&v) + offset).tanh(),
        }
    }
}

/// Points of two classes.
#[derive(Clone, Debug, PartialEq)]
pub struct LabelledPoints {
    /// One point a row.
    pub points: Array2<f64>,
    /// The class of each point.
    pub labels: Vec<bool>,
}

impl LabelledPoints {
    fn check(&self) -> Result<(), KernelMethodError> {
        let (points, labels) = (self.points.nrows(), self.labels.len());
        if points != labels {
            return Err(KernelMethodError::Labels(points, labels));
        }
        if points == 0 {
            return Err(KernelMethodError::Empty("labelled point"));
        }
        finite("coordinate", &self.points)
    }
}

/// A blob in the middle of a ring: `count` points of the plane, by turns of the blob (`false`) and of the ring (`true`).
///
/// In the blob both coordinates have mean 0 and standard deviation 0.35. In the ring the distance from the centre has mean 2 and
/// standard deviation 0.2. The same seed gives the same points. A `count` above a million counts as a million.
///
/// # Example
/// ```
/// let data = dldna::kernel_methods::rings(100, 7);
/// assert_eq!(data.points.dim(), (100, 2));
/// assert_eq!(data.labels[..2], [false, true]);
/// ```
pub fn rings(count: usize, seed: u64) -> LabelledPoints {
    let count = count.min(1_000_000);
    let mut rng = StdRng::seed_from_u64(seed);
    let blob = Normal::new(0.0, 0.35).expect("the spread is positive");
    let distance = Normal::new(2.0, 0.2).expect("the spread is positive");
    let labels: Vec<bool> = (0..count).map(|i| i % 2 == 1).collect();
    let mut points = Array2::zeros((count, 2));
    for (mut point, &outer) in points.rows_mut().into_iter().zip(&labels) {
        let place = if outer {
            let (r, angle) = (distance.sample(&mut rng), rng.gen_range(0.0..TAU));
            [r * f64::cos(angle), r * f64::sin(angle)]
        } else {
            [blob.sample(&mut rng), blob.sample(&mut rng)]
        };
        point.assign(&ArrayView1::from(&place));
    }
    LabelledPoints { points, labels }
}

/// A support vector machine: the boundary with the widest margin between two classes, in the space of a [`Kernel`].
///
/// With `y = ±1` for the classes `true` and `false`, the decision for a point `x` is
///
/// ```text
/// f(x) = Σᵢ αᵢ yᵢ (k(xᵢ, x) + 1)
/// ```
///
/// and its sign is the class. Training maximizes `Σᵢ αᵢ − ½ Σᵢⱼ αᵢ αⱼ yᵢ yⱼ (k(xᵢ, xⱼ) + 1)` with `0 ≤ αᵢ ≤ cost`, one `αᵢ` at a time:
/// the best value for one while the others stay is
///
/// ```text
/// αᵢ ← αᵢ + (1 − yᵢ f(xᵢ)) / (k(xᵢ, xᵢ) + 1), cut to 0 ..= cost
/// ```
///
/// Most `αᵢ` end as 0; the points of the others are the support vectors. The `+ 1` stands for a bias.
///
/// Sources: T.-T. Frieß, N. Cristianini, C. Campbell, "The Kernel-Adatron algorithm", ICML 1998; with the upper bound and the best
/// step: C.-J. Hsieh et al., "A dual coordinate descent method for large-scale linear SVM", ICML 2008, algorithm 1.
///
/// # Example
/// ```
/// use dldna::kernel_methods::{Kernel, LabelledPoints, SupportVectorMachine};
///
/// let data = LabelledPoints { points: ndarray::arr2(&[[0.0], [2.0], [9.0]]), labels: vec![false, true, true] };
/// let machine = SupportVectorMachine::fit(Kernel::Linear, &data, 100.0)?;
/// assert!((machine.decision(&[1.0])?).abs() < 1e-4); // in the middle between 0 and 2
/// assert_eq!(machine.support_vectors().nrows(), 2); // 9 is far from the boundary
/// # Ok::<(), dldna::kernel_methods::KernelMethodError>(())
/// ```
#[derive(Clone, Debug)]
pub struct SupportVectorMachine {
    kernel: Kernel,
    support_vectors: Array2<f64>,
    coefficients: Vec<f64>,
}

/// Training stops when no decision changes by more than this in a pass over all points, or after that number of passes.
const SMALLEST_STEP: f64 = 1e-6;
const PASSES: usize = 2000;

impl SupportVectorMachine {
    /// Trains a machine. A higher `cost` allows fewer points on the wrong side, for a narrower margin.
    ///
    /// After 2000 passes over the data the machine is taken as it is; data that no boundary separates may need that many.
    ///
    /// # Errors
    /// Without points, with a missing label, with a number that is not finite, with a `cost` that is not positive, and when the kernel
    /// gives similarities that are not finite, or −1 or less for a point with itself.
    pub fn fit(
        kernel: Kernel,
        data: &LabelledPoints,
        cost: f64,
    ) -> Result<Self, KernelMethodError> {
        data.check()?;
        positive("cost", cost)?;
        let similarity = kernel.matrix(&data.points, &data.points)?;
        for ((row, column), &value) in similarity.indexed_iter() {
            if !value.is_finite() || (row == column && value <= -1.0) {
                return Err(KernelMethodError::Similarity {
                    kernel,
                    row,
                    column,
                    value,
                });
            }
        }
        let signs: Vec<f64> = data.labels.iter().map(|&label| sign(label)).collect();
        let coefficients = train(&(similarity + 1.0), &signs, cost);
        let support: Vec<usize> = (0..signs.len())
            .filter(|&i| coefficients[i] != 0.0)
            .collect();
        Ok(SupportVectorMachine {
            kernel,
            support_vectors: data.points.select(Axis(0), &support),
            coefficients: support.iter().map(|&i| coefficients[i]).collect(),
        })
    }

    /// The points that hold the boundary, one a row.
    pub fn support_vectors(&self) -> &Array2<f64> {
        &self.support_vectors
    }

    /// `αᵢ yᵢ` of each support vector: its weight, with the sign of its class.
    pub fn coefficients(&self) -> &[f64] {
        &self.coefficients
    }

    /// `f(x)`: above zero for class `true`, below for `false`. The margin lies between −1 and 1.
    ///
    /// # Errors
    /// [`KernelMethodError::Coordinates`] when the point has not as many coordinates as the training points.
    pub fn decision(&self, point: &[f64]) -> Result<f64, KernelMethodError> {
        same_coordinates(self.support_vectors.ncols(), point.len())?;
        Ok(self.decide(point.into()))
    }

    fn decide(&self, point: ArrayView1<f64>) -> f64 {
        let support = self.support_vectors.rows().into_iter();
        support
            .zip(&self.coefficients)
            .map(|(x, c)| c * (self.kernel.similarity(x, point) + 1.0))
            .sum()
    }

    /// The share of points, from 0 to 1, whose class the machine finds.
    ///
    /// # Errors
    /// Without points, with a missing label or a number that is not finite, and when the points have not as many coordinates as those
    /// of the training.
    ///
    /// # Example
    /// ```
    /// use dldna::kernel_methods::{Kernel, SupportVectorMachine, rings};
    ///
    /// let machine = SupportVectorMachine::fit(Kernel::Rbf { gamma: 1.0 }, &rings(100, 1), 10.0)?;
    /// assert!(machine.accuracy(&rings(100, 2))? > 0.95);
    /// # Ok::<(), dldna::kernel_methods::KernelMethodError>(())
    /// ```
    pub fn accuracy(&self, data: &LabelledPoints) -> Result<f64, KernelMethodError> {
        data.check()?;
        same_coordinates(self.support_vectors.ncols(), data.points.ncols())?;
        let points = data.points.rows().into_iter().zip(&data.labels);
        let right = points.filter(|(point, label)| (self.decide(*point) > 0.0) == **label);
        Ok(right.count() as f64 / data.labels.len() as f64)
    }

    /// The plane, coloured by the decision: red for `true`, blue for `false`, with a dark line where the decision is 0 and gray ones
    /// where it is ±1, the edges of the margin. The points of `data` lie on it, and the support vectors have a dark rim.
    ///
    /// # Errors
    /// As [`accuracy`](Self::accuracy), [`KernelMethodError::Plane`] when the points have not two coordinates, and
    /// [`KernelMethodError::TooFar`] when one is beyond 1e300.
    ///
    /// # Example
    /// ```
    /// use dldna::kernel_methods::{Kernel, SupportVectorMachine, rings};
    ///
    /// let data = rings(60, 1);
    /// let machine = SupportVectorMachine::fit(Kernel::Rbf { gamma: 1.0 }, &data, 10.0)?;
    /// machine.draw("RBF", &data)?;
    /// # Ok::<(), dldna::kernel_methods::KernelMethodError>(())
    /// ```
    pub fn draw(&self, title: &str, data: &LabelledPoints) -> Result<Figure, KernelMethodError> {
        data.check()?;
        let coordinates = data.points.ncols();
        same_coordinates(self.support_vectors.ncols(), coordinates)?;
        if coordinates != 2 {
            return Err(KernelMethodError::Plane(coordinates));
        }
        let view = View::around(&[&data.points, &self.support_vectors])?;
        let width = (SIDE as f32).max(TITLE.width(title)) + 2.0 * EDGE;
        let mut canvas = Canvas::checked(width, TOP + SIDE as f32 + EDGE)?;
        draw_title(&mut canvas, title, EDGE);
        canvas.image(&self.map(&view), EDGE, TOP, SIDE as f32, SIDE as f32);
        canvas.frame(EDGE, TOP, SIDE as f32, SIDE as f32, 1.0, FAINT);
        for (point, &label) in data.points.rows().into_iter().zip(&data.labels) {
            let (x, y) = view.place(point);
            canvas.circle(x, y, 4.0, WHITE);
            canvas.circle(x, y, 3.0, PALETTE[usize::from(label)]);
        }
        for (point, &c) in self
            .support_vectors
            .rows()
            .into_iter()
            .zip(&self.coefficients)
        {
            let (x, y) = view.place(point);
            canvas.circle(x, y, 5.0, LABEL.color);
            canvas.circle(x, y, 3.0, PALETTE[usize::from(c > 0.0)]);
        }
        Ok(canvas.finish())
    }

    /// The colours of the plane, with the lines on them.
    fn map(&self, view: &View) -> Raster {
        let decisions: Vec<f32> = (0..SIDE * SIDE)
            .map(|i| self.decide(view.point(i % SIDE, i / SIDE).view()) as f32)
            .collect();
        let mut raster = Raster::from_values(SIDE, &decisions, -4.0, 4.0, ColorMap::Diverging);
        for (level, color) in [(-1.0, [150; 3]), (1.0, [150; 3]), (0.0, [34; 3])] {
            for i in 0..SIDE * (SIDE - 1) {
                let above = |i: usize| decisions[i] > level;
                let right = i + usize::from(i % SIDE + 1 < SIDE);
                if above(i) != above(right) || above(i) != above(i + SIDE) {
                    raster.pixels[i] = color;
                }
            }
        }
        raster
    }
}

/// The coefficients `αᵢ yᵢ` for the similarities of all points, each 1 larger than the kernel's.
fn train(similarity: &Array2<f64>, signs: &[f64], cost: f64) -> Vec<f64> {
    let mut coefficients = vec![0.0; signs.len()];
    let mut decisions = Array1::<f64>::zeros(signs.len());
    for _ in 0..PASSES {
        let mut largest_step = 0.0f64;
        for (i, &y) in signs.iter().enumerate() {
            let own = similarity[[i, i]];
            let alpha = y * coefficients[i] + (1.0 - y * decisions[i]) / own;
            let change = y * alpha.clamp(0.0, cost) - coefficients[i];
            if change != 0.0 {
                coefficients[i] = y * alpha.clamp(0.0, cost);
                decisions.scaled_add(change, &similarity.row(i));
                largest_step = largest_step.max((change * own).abs());
            }
        }
        if largest_step < SMALLEST_STEP {
            break;
        }
    }
    coefficients
}

fn sign(label: bool) -> f64 {
    if label { 1.0 } else { -1.0 }
}

/// Side of a map of the plane, in pixels.
const SIDE: usize = 300;
const EDGE: f32 = 14.0;
const TOP: f32 = 44.0;

/// The part of the plane that is drawn, a square.
struct View {
    centre: [f64; 2],
    half: f64,
}

impl View {
    /// The square around all points, with some air. Points closer than 1e-300 are one.
    fn around(points: &[&Array2<f64>]) -> Result<View, KernelMethodError> {
        let sizes = points.iter().flat_map(|p| p.iter()).map(|v| v.abs());
        let largest = sizes.fold(0.0, f64::max);
        if largest > 1e300 {
            return Err(KernelMethodError::TooFar(largest));
        }
        let ends = [0, 1].map(|axis| {
            let values = points.iter().flat_map(|p| p.column(axis));
            values.fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), &v| {
                (low.min(v), high.max(v))
            })
        });
        let half = ends
            .iter()
            .map(|(low, high)| 0.6 * (high - low))
            .fold(0.0, f64::max);
        Ok(View {
            centre: ends.map(|(low, high)| 0.5 * (low + high)),
            half: if half > 1e-300 { half } else { 1.0 },
        })
    }

    /// The point of the plane under the middle of a pixel.
    fn point(&self, column: usize, row: usize) -> Array1<f64> {
        let step = 2.0 * self.half / SIDE as f64;
        let x = self.centre[0] - self.half + (column as f64 + 0.5) * step;
        let y = self.centre[1] + self.half - (row as f64 + 0.5) * step;
        Array1::from(vec![x, y])
    }

    /// Where a point lies on the canvas.
    fn place(&self, point: ArrayView1<f64>) -> (f32, f32) {
        let scale = SIDE as f64 / (2.0 * self.half);
        let x = (point[0] - self.centre[0] + self.half) * scale;
        let y = (self.centre[1] + self.half - point[1]) * scale;
        (EDGE + x as f32, TOP + y as f32)
    }
}

/// The shape of the hill that [`kernel_density`] lays on every sample: never negative, symmetric, with an area of 1.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum DensityKernel {
    /// `exp(−t²/2) / √(2π)`: smooth, and nowhere quite 0.
    Gaussian,
    /// `¾ (1 − t²)` for `|t| ≤ 1`, else 0. V. A. Epanechnikov, "Non-parametric estimation of a multivariate probability density", 1969.
    Epanechnikov,
    /// `½` for `|t| ≤ 1`, else 0.
    Box,
}

impl DensityKernel {
    /// The height of the hill at distance `t` from its centre, in bandwidths.
    ///
    /// # Example
    /// ```
    /// use dldna::kernel_methods::DensityKernel;
    ///
    /// assert_eq!(DensityKernel::Epanechnikov.value(0.0), 0.75);
    /// assert_eq!(DensityKernel::Box.value(1.5), 0.0);
    /// ```
    pub fn value(self, t: f64) -> f64 {
        match self {
            DensityKernel::Gaussian => (-0.5 * t * t).exp() / TAU.sqrt(),
            DensityKernel::Epanechnikov => 0.75 * (1.0 - t * t).max(0.0),
            DensityKernel::Box => 0.5 * f64::from(t.abs() <= 1.0),
        }
    }
}

/// The density from which `samples` may come, estimated at each place of `grid`:
///
/// ```text
/// p(x) = 1 / (n h) · Σᵢ K((x − xᵢ) / h)
/// ```
///
/// with the bandwidth `h` in the units of the samples. For the Gaussian it is the standard deviation of a hill, for the others half
/// its width. M. Rosenblatt 1956; E. Parzen, "On estimation of a probability density function and mode", 1962.
///
/// # Errors
/// Without samples, with a number that is not finite, and with a bandwidth that is not positive.
///
/// # Example
/// ```
/// use dldna::kernel_methods::{DensityKernel, kernel_density};
///
/// let density = kernel_density(&[1.0, 1.5], &[0.0, 1.2], DensityKernel::Box, 0.5)?;
/// assert_eq!(density, [0.0, 1.0]); // both hills, each ½ · 1/h high, hold 1.2
/// # Ok::<(), dldna::kernel_methods::KernelMethodError>(())
/// ```
pub fn kernel_density(
    samples: &[f64],
    grid: &[f64],
    kernel: DensityKernel,
    bandwidth: f64,
) -> Result<Vec<f64>, KernelMethodError> {
    if samples.is_empty() {
        return Err(KernelMethodError::Empty("sample"));
    }
    finite("sample", samples)?;
    finite("grid place", grid)?;
    positive("bandwidth", bandwidth)?;
    let hills = |x: f64| {
        samples
            .iter()
            .map(move |s| kernel.value((x - s) / bandwidth))
    };
    let area = samples.len() as f64 * bandwidth;
    Ok(grid.iter().map(|&x| hills(x).sum::<f64>() / area).collect())
}

/// The kernel of a matrix `A` (`m × n`): all vectors `x` with `A x = 0`.
///
/// The columns of the result (`n × (n − rank)`) are an orthonormal basis of them. `A x = 0` says that `x` is at a right angle to every
/// row. So the rows are made orthonormal first, always the one that is left longest next (Gram and Schmidt, with pivoting), and then the
/// basis is filled up to the whole space: what is added is the kernel. A row counts as a combination of others when no more than
/// `tolerance` times the length of the longest row is left of it; rounding errors are never counted as more.
///
/// G. H. Golub, C. F. Van Loan, *Matrix Computations*, on the modified Gram-Schmidt method and on pivoting.
///
/// # Errors
/// With a number that is not finite, and with a `tolerance` that is not positive.
///
/// # Example
/// ```
/// use dldna::kernel_methods::null_space;
/// use ndarray::arr2;
///
/// let matrix = arr2(&[[1.0, 2.0, 3.0], [2.0, 4.0, 6.0]]); // the second row says nothing new
/// let basis = null_space(&matrix, 1e-9)?;
/// assert_eq!(basis.dim(), (3, 2));
/// assert!(matrix.dot(&basis).iter().all(|v| v.abs() < 1e-12));
/// # Ok::<(), dldna::kernel_methods::KernelMethodError>(())
/// ```
pub fn null_space(matrix: &Array2<f64>, tolerance: f64) -> Result<Array2<f64>, KernelMethodError> {
    finite("matrix element", matrix)?;
    positive("tolerance", tolerance)?;
    let columns = matrix.ncols();
    // A factor does not change the kernel, and this one keeps the squares below within range.
    let largest = matrix.iter().fold(f64::MIN_POSITIVE, |m, v| m.max(v.abs()));
    let mut rows: Vec<Array1<f64>> = matrix.rows().into_iter().map(|r| &r / largest).collect();
    let longest = rows.iter().map(length).fold(0.0, f64::max);
    let rounding = f64::EPSILON * matrix.nrows().max(columns) as f64;
    let mut basis = Vec::new();
    while basis.len() < columns
        && move_longest(&mut rows, &mut basis, longest * tolerance.max(rounding))
    {}
    let rank = basis.len();
    let mut axes: Vec<Array1<f64>> = Array2::eye(columns)
        .rows()
        .into_iter()
        .map(|r| r.to_owned())
        .collect();
    for axis in &mut axes {
        make_orthogonal(axis, &basis);
    }
    while basis.len() < columns && move_longest(&mut axes, &mut basis, 0.0) {}
    let size = (columns, basis.len() - rank);
    Ok(Array2::from_shape_fn(size, |(i, j)| basis[rank + j][i]))
}

/// Moves the longest of `vectors`, if longer than `shortest`, into the orthonormal `basis`, and its direction out of the others.
fn move_longest(
    vectors: &mut Vec<Array1<f64>>,
    basis: &mut Vec<Array1<f64>>,
    shortest: f64,
) -> bool {
    let by_length = |&a: &usize, &b: &usize| length(&vectors[a]).total_cmp(&length(&vectors[b]));
    let Some(pivot) = (0..vectors.len()).max_by(by_length) else {
        return false;
    };
    let mut direction = vectors.swap_remove(pivot);
    if length(&direction) <= shortest {
        return false;
    }
    make_orthogonal(&mut direction, basis);
    let direction = &direction / length(&direction);
    for vector in vectors {
        let share = direction.dot(&*vector);
        vector.scaled_add(-share, &direction);
    }
    basis.push(direction);
    true
}

/// Takes out of `vector` what lies in the directions of the orthonormal `basis`; the second time takes what rounding left.
fn make_orthogonal(vector: &mut Array1<f64>, basis: &[Array1<f64>]) {
    for direction in basis.iter().chain(basis) {
        let share = direction.dot(&*vector);
        vector.scaled_add(-share, direction);
    }
}

fn length(vector: &Array1<f64>) -> f64 {
    vector.dot(vector).sqrt()
}

/// Name and version of the kernel of the operating system on which this runs, as the system tells them.
///
/// Linux is asked through two files in `/proc/sys/kernel`, Windows with `ver`, other systems with `uname -sr`.
///
/// # Errors
/// [`KernelMethodError::OperatingSystem`] names the file or command that gave no answer.
///
/// # Example
/// ```
/// println!("{}", dldna::kernel_methods::operating_system_kernel()?);
/// # Ok::<(), dldna::kernel_methods::KernelMethodError>(())
/// ```
pub fn operating_system_kernel() -> Result<String, KernelMethodError> {
    if cfg!(target_os = "linux") {
        let name = read("/proc/sys/kernel/ostype")?;
        Ok(format!("{name} {}", read("/proc/sys/kernel/osrelease")?))
    } else if cfg!(windows) {
        ask("cmd", &["/c", "ver"])
    } else {
        ask("uname", &["-sr"])
    }
}

fn read(file: &str) -> Result<String, KernelMethodError> {
    let text = std::fs::read_to_string(file).map_err(|source| no_answer(file, source))?;
    Ok(text.trim().to_owned())
}

fn ask(program: &str, arguments: &[&str]) -> Result<String, KernelMethodError> {
    let output = Command::new(program)
        .args(arguments)
        .output()
        .map_err(|source| no_answer(program, source))?;
    if !output.status.success() {
        let source = io::Error::other(format!("it ended with {}", output.status));
        return Err(no_answer(program, source));
    }
    Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
}

fn no_answer(asked: &str, source: io::Error) -> KernelMethodError {
    let asked = asked.to_owned();
    KernelMethodError::OperatingSystem { asked, source }
}

fn same_coordinates(left: usize, right: usize) -> Result<(), KernelMethodError> {
    if left == right {
        Ok(())
    } else {
        Err(KernelMethodError::Coordinates(left, right))
    }
}

fn positive(what: &'static str, got: f64) -> Result<(), KernelMethodError> {
    if got > 0.0 && got.is_finite() {
        Ok(())
    } else {
        Err(KernelMethodError::NotPositive(what, got))
    }
}

pub(super) fn finite<'a>(
    what: &'static str,
    numbers: impl IntoIterator<Item = &'a f64>,
) -> Result<(), KernelMethodError> {
    match numbers
        .into_iter()
        .enumerate()
        .find(|(_, v)| !v.is_finite())
    {
        Some((index, &value)) => Err(KernelMethodError::NotFinite(what, index, value)),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_map_shows_the_boundary_between_two_points() {
        let data = LabelledPoints {
            points: ndarray::arr2(&[[-2.0, 0.0], [2.0, 0.0]]),
            labels: vec![false, true],
        };
        let machine = SupportVectorMachine::fit(Kernel::Linear, &data, 10.0).unwrap();
        let figure = machine.draw("two", &data).unwrap();
        let pixel = |x: usize, y: usize| {
            let start = 3 * (y * figure.width() + x);
            <[u8; 3]>::try_from(&figure.pixels()[start..start + 3]).unwrap()
        };
        let (left, top) = (EDGE as usize, TOP as usize + 40);
        let [red, _, blue] = pixel(left + 5, top);
        assert!(blue > red, "left of the boundary is class false");
        let [red, _, blue] = pixel(left + SIDE - 5, top);
        assert!(red > blue, "right of it is class true");
        let dark = (0..SIDE).filter(|x| pixel(left + x, top)[1] < 60);
        let places: Vec<usize> = dark.collect();
        assert!(!places.is_empty() && places.iter().all(|x| x.abs_diff(SIDE / 2) <= 1));
    }

    /// Numbers that somebody may type.
    const NUMBERS: [f64; 12] = [
        0.0,
        1.0,
        -1.0,
        5e-324,
        1e-320,
        1e-160,
        1e160,
        1e301,
        f64::MAX,
        f64::INFINITY,
        f64::NEG_INFINITY,
        f64::NAN,
    ];

    #[test]
    fn any_number_is_a_result_or_an_error() {
        for a in NUMBERS {
            for b in NUMBERS {
                let kernels = [
                    Kernel::Linear,
                    Kernel::Polynomial {
                        degree: u32::MAX,
                        offset: a,
                    },
                    Kernel::Rbf { gamma: a },
                    Kernel::Sigmoid {
                        scale: a,
                        offset: b,
                    },
                ];
                let data = LabelledPoints {
                    points: ndarray::arr2(&[[0.0, b], [b, a], [1.0, 0.5]]),
                    labels: vec![false, true, true],
                };
                for kernel in kernels {
                    assert!(kernel.value(&[a], &[b, b]).is_err());
                    kernel.value(&[a], &[b]).unwrap();
                    for cost in [a, 1.0] {
                        if let Ok(machine) = SupportVectorMachine::fit(kernel, &data, cost) {
                            machine.decision(&[a, b]).unwrap();
                            machine.accuracy(&data).unwrap();
                        }
                    }
                }
                for kernel in [
                    DensityKernel::Gaussian,
                    DensityKernel::Epanechnikov,
                    DensityKernel::Box,
                ] {
                    assert!(kernel.value(a) >= 0.0 || a.is_nan());
                    for (samples, grid, bandwidth) in [([a], [b], 1.0), ([1.0], [a], b)] {
                        let density = kernel_density(&samples, &grid, kernel, bandwidth);
                        assert!(density.is_err() || density.unwrap().len() == 1);
                    }
                }
                let basis = null_space(&ndarray::arr2(&[[a, 1.0], [b, a]]), b);
                assert!(basis.is_err() || basis.unwrap().nrows() == 2);
            }
        }
        assert!(kernel_density(&[], &[0.0], DensityKernel::Box, 1.0).is_err());
        for count in [0, 1] {
            assert_eq!(rings(count, u64::MAX).labels.len(), count);
        }
        assert_eq!(rings(usize::MAX, 0).labels.len(), 1_000_000);
    }

    #[test]
    fn points_of_any_size_are_drawn_or_refused() {
        let near = LabelledPoints {
            points: ndarray::arr2(&[[-2.0, 0.0], [2.0, 0.0]]),
            labels: vec![false, true],
        };
        let machine = SupportVectorMachine::fit(Kernel::Rbf { gamma: 1.0 }, &near, 10.0).unwrap();
        for a in NUMBERS {
            let points = ndarray::arr2(&[[0.0, 0.0], [a, -a]]);
            let data = LabelledPoints {
                points,
                labels: vec![false, true],
            };
            let figure = machine.draw("points", &data);
            assert_eq!(figure.is_ok(), a.abs() <= 1e300, "{a}");
            let kernel = Kernel::Rbf { gamma: 1.0 };
            if let Ok(machine) = SupportVectorMachine::fit(kernel, &data, 10.0) {
                assert_eq!(
                    machine.draw("its own", &data).is_ok(),
                    a.abs() <= 1e300,
                    "{a}"
                );
            }
        }
    }

    #[test]
    fn a_command_that_fails_is_named() {
        let error = ask("no-such-program-at-all", &[]).unwrap_err().to_string();
        assert!(error.contains("no-such-program-at-all"), "{error}");
        let error = read("/no/such/file").unwrap_err().to_string();
        assert!(error.contains("/no/such/file"), "{error}");
    }
}
