//! How EfficientNet grows: compound scaling, the family B0 to B7, and what each member costs.
//!
//! A network can be made deeper (more layers), wider (more channels), or given larger images. Tan and Le 2019, section
//! 3.3, do all three at once by one number phi:
//!
//! ```text
//! depth = alpha^phi, width = beta^phi, resolution = gamma^phi,   alpha beta^2 gamma^2 about 2
//! ```
//!
//! The multiply-adds of a convolution go with depth, with the square of the width (channels in and channels out) and
//! with the square of the resolution (height and width). So they double with each step of phi, roughly.

use super::blocks::quarter;
use super::published::{Published, TABLE_2};
use crate::table::{Table, with_thousands};
use std::fmt;

/// Depth for each step of phi: the paper's choice.
pub const ALPHA: f64 = 1.2;
/// Width for each step of phi.
pub const BETA: f64 = 1.1;
/// Resolution for each step of phi.
pub const GAMMA: f64 = 1.15;

/// Factors on the depth, the width and the resolution of a network.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Scaling {
    /// Factor on the number of layers.
    pub depth: f64,
    /// Factor on the number of channels.
    pub width: f64,
    /// Factor on height and width of the image.
    pub resolution: f64,
}

impl Scaling {
    /// Factor on the multiply-adds: `depth width^2 resolution^2`.
    ///
    /// ```
    /// use dldna_nn::efficientnet::scaling::Scaling;
    /// let twice_as_wide = Scaling { depth: 1.0, width: 2.0, resolution: 1.0 };
    /// assert_eq!(twice_as_wide.flops(), 4.0);
    /// ```
    pub fn flops(&self) -> f64 {
        self.depth * self.width.powi(2) * self.resolution.powi(2)
    }

    /// The factors to the power of `phi`: one step of scaling, done `phi` times.
    ///
    /// ```
    /// use dldna_nn::efficientnet::scaling::Scaling;
    /// let step = Scaling { depth: 2.0, width: 1.0, resolution: 1.0 };
    /// assert_eq!(step.power(3.0).depth, 8.0);
    /// ```
    pub fn power(&self, phi: f64) -> Self {
        Self {
            depth: self.depth.powf(phi),
            width: self.width.powf(phi),
            resolution: self.resolution.powf(phi),
        }
    }
}

/// The paper's compound scaling (its equation 3): the factors on B0 for a coefficient `phi`.
///
/// ```
/// use dldna_nn::efficientnet::compound_scaling;
/// let once = compound_scaling(1);
/// assert_eq!((once.depth, once.width, once.resolution), (1.2, 1.1, 1.15));
/// assert!((once.flops() - 1.92).abs() < 0.001);
/// assert_eq!(compound_scaling(0).flops(), 1.0);
/// ```
pub fn compound_scaling(phi: impl Into<f64>) -> Scaling {
    let step = Scaling {
        depth: ALPHA,
        width: BETA,
        resolution: GAMMA,
    };
    step.power(phi.into())
}

/// All scalings on a grid, `step` apart and none below 1, whose multiply-adds are within `tolerance` of twice as many:
/// the candidates of the paper's search, with phi fixed to 1. The paper then trained networks to choose among such.
///
/// A `step` below a hundredth counts as one, a `tolerance` above 1 as 1.
///
/// ```
/// use dldna_nn::efficientnet::scaling::grid_search;
/// let candidates = grid_search(0.05, 0.1);
/// let of_the_paper = candidates.iter().filter(|candidate| {
///     let pairs = [(candidate.depth, 1.2), (candidate.width, 1.1), (candidate.resolution, 1.15)];
///     pairs.iter().all(|(found, wanted)| (found - wanted).abs() < 1e-9)
/// });
/// assert_eq!(of_the_paper.count(), 1);
/// ```
pub fn grid_search(step: f64, tolerance: f64) -> Vec<Scaling> {
    let (step, tolerance) = (step.max(0.01), tolerance.min(1.0));
    // No factor can exceed what the others, at least 1 each, leave it.
    let grid = |largest: f64| {
        let count = ((largest - 1.0) / step + 1e-9).floor();
        (0..=count as usize).map(move |i| 1.0 + i as f64 * step)
    };
    let mut found = Vec::new();
    let largest = 2.0 + tolerance;
    for depth in grid(largest) {
        for width in grid((largest / depth).sqrt()) {
            for resolution in grid((largest / depth).sqrt() / width) {
                let scaling = Scaling {
                    depth,
                    width,
                    resolution,
                };
                if (scaling.flops() - 2.0).abs() <= tolerance + 1e-9 {
                    found.push(scaling);
                }
            }
        }
    }
    found
}

/// `channels` times `width`, rounded as the authors' code does: to the nearest multiple of 8, but up where that would
/// lose more than a tenth.
///
/// ```
/// use dldna_nn::efficientnet::scaling::round_channels;
/// assert_eq!(round_channels(32, 1.1), 32); // 35.2
/// assert_eq!(round_channels(40, 1.1), 48); // 44
/// assert_eq!(round_channels(16, 1.2), 24); // 19.2: 16 would be too few
/// ```
pub fn round_channels(channels: usize, width: f64) -> usize {
    const DIVISOR: usize = 8;
    let exact = channels as f64 * width;
    let nearest = ((exact + DIVISOR as f64 / 2.0) as usize / DIVISOR * DIVISOR).max(DIVISOR);
    if (nearest as f64) < 0.9 * exact {
        nearest.saturating_add(DIVISOR)
    } else {
        nearest
    }
}

/// `blocks` times `depth`, rounded up.
///
/// ```
/// assert_eq!(dldna_nn::efficientnet::scaling::round_blocks(4, 1.1), 5);
/// ```
pub fn round_blocks(blocks: usize, depth: f64) -> usize {
    (blocks as f64 * depth).ceil() as usize
}

/// A stage of blocks in table 1 of the paper.
struct Plan {
    expand: usize,
    kernel: usize,
    stride: usize,
    channels: usize,
    layers: usize,
}

const fn plan(expand: usize, kernel: usize, stride: usize, channels: usize, layers: usize) -> Plan {
    Plan {
        expand,
        kernel,
        stride,
        channels,
        layers,
    }
}

/// Stages 2 to 8 of table 1.
const PLANS: [Plan; 7] = [
    plan(1, 3, 1, 16, 1),
    plan(6, 3, 2, 24, 2),
    plan(6, 5, 2, 40, 2),
    plan(6, 3, 2, 80, 3),
    plan(6, 5, 1, 112, 3),
    plan(6, 5, 2, 192, 4),
    plan(6, 3, 1, 320, 1),
];
/// Channels of the image, of stage 1 and of stage 9, and classes.
const IMAGE: usize = 3;
const STEM: usize = 32;
const HEAD: usize = 1280;
const CLASSES: usize = 1000;

/// A member of the family. Its numbers are those of the authors' program; the paper does not state them.
///
/// A count of a variant that is too large for its type is the largest number of the type.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Variant {
    /// Its name, such as `B0`.
    pub name: &'static str,
    /// Factor on the channels.
    pub width: f64,
    /// Factor on the layers.
    pub depth: f64,
    /// Height and width of the image.
    pub image_size: usize,
}

/// B0 to B7.
pub const FAMILY: [Variant; 8] = [
    Variant::new("B0", 1.0, 1.0, 224),
    Variant::new("B1", 1.0, 1.1, 240),
    Variant::new("B2", 1.1, 1.2, 260),
    Variant::new("B3", 1.2, 1.4, 300),
    Variant::new("B4", 1.4, 1.8, 380),
    Variant::new("B5", 1.6, 2.2, 456),
    Variant::new("B6", 1.8, 2.6, 528),
    Variant::new("B7", 2.0, 3.1, 600),
];

/// A line of table 1 for some variant, and its cost, at 1,000 classes and for one image.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stage {
    /// What it is made of.
    pub operator: String,
    /// Height and width of its input.
    pub image_size: usize,
    /// Channels of its output.
    pub channels: usize,
    /// How often the operator is applied.
    pub layers: usize,
    /// Numbers that training changes.
    pub parameters: u128,
    /// Multiply-adds of convolutions, squeeze-and-excitation and the linear layer.
    pub multiply_adds: u128,
}

/// Walks through a network and adds up what it costs.
struct Counter {
    channels: usize,
    image_size: usize,
    parameters: u128,
    multiply_adds: u128,
}

impl Counter {
    /// Products of numbers of the network. The largest that fits stands for any that does not.
    fn product(factors: &[usize]) -> u128 {
        factors
            .iter()
            .fold(1, |product: u128, &f| product.saturating_mul(f as u128))
    }

    fn add(&mut self, parameters: u128, multiply_adds: u128) {
        self.parameters = self.parameters.saturating_add(parameters);
        self.multiply_adds = self.multiply_adds.saturating_add(multiply_adds);
    }

    /// What `count` adds, repeated: layers that keep channels and image all cost the same, however many there are.
    fn repeat(&mut self, times: usize, count: impl FnOnce(&mut Self)) {
        let (parameters, multiply_adds) = (self.parameters, self.multiply_adds);
        count(self);
        let all = |before: u128, after: u128| {
            before.saturating_add((after - before).saturating_mul(times as u128))
        };
        self.parameters = all(parameters, self.parameters);
        self.multiply_adds = all(multiply_adds, self.multiply_adds);
    }

    /// A convolution with `inputs` channels in each sum, and the scale and bias of the batch norm behind it.
    fn conv(&mut self, inputs: usize, outputs: usize, kernel: usize, stride: usize) {
        self.image_size = self.image_size.div_ceil(stride);
        let weights = Self::product(&[inputs, outputs, kernel, kernel]);
        let positions = Self::product(&[self.image_size, self.image_size]);
        let parameters = weights.saturating_add(Self::product(&[2, outputs]));
        self.add(parameters, weights.saturating_mul(positions));
        self.channels = outputs;
    }

    /// Two 1x1 convolutions with biases, on an image of one pixel.
    fn squeeze_excitation(&mut self, squeezed: usize) {
        let weights = Self::product(&[2, self.channels, squeezed]);
        let biases = (self.channels as u128).saturating_add(squeezed as u128);
        self.add(weights.saturating_add(biases), weights);
    }

    fn mbconv(&mut self, plan: &Plan, outputs: usize, stride: usize) {
        let inputs = self.channels;
        let hidden = inputs.saturating_mul(plan.expand);
        if plan.expand != 1 {
            self.conv(inputs, hidden, 1, 1);
        }
        self.conv(1, hidden, plan.kernel, stride);
        self.squeeze_excitation(quarter(inputs));
        self.conv(hidden, outputs, 1, 1);
    }

    fn linear(&mut self, outputs: usize) {
        let weights = Self::product(&[self.channels, outputs]);
        self.add(weights.saturating_add(outputs as u128), weights);
    }

    /// What `count` adds, as a stage.
    fn stage(
        &mut self,
        operator: String,
        layers: usize,
        channels: usize,
        count: impl FnOnce(&mut Self),
    ) -> Stage {
        let (image_size, parameters, multiply_adds) =
            (self.image_size, self.parameters, self.multiply_adds);
        count(self);
        Stage {
            operator,
            image_size,
            channels,
            layers,
            parameters: self.parameters - parameters,
            multiply_adds: self.multiply_adds - multiply_adds,
        }
    }
}

impl Variant {
    /// A member of the family with any numbers.
    pub const fn new(name: &'static str, width: f64, depth: f64, image_size: usize) -> Self {
        Self {
            name,
            width,
            depth,
            image_size,
        }
    }

    /// B0 scaled, with an image of 224 pixels times the resolution, rounded to the nearest whole number.
    ///
    /// ```
    /// use dldna_nn::efficientnet::{compound_scaling, scaling::Variant};
    /// assert_eq!(Variant::scaled("once", &compound_scaling(1)).image_size, 258); // 257.6
    /// ```
    pub fn scaled(name: &'static str, scaling: &Scaling) -> Self {
        let image_size = (FAMILY[0].image_size as f64 * scaling.resolution).round() as usize;
        Self::new(name, scaling.width, scaling.depth, image_size)
    }

    /// Its lines in the paper's table 1, counted.
    ///
    /// ```
    /// use dldna_nn::efficientnet::scaling::FAMILY;
    /// let stages = FAMILY[0].stages();
    /// assert_eq!(stages[2].operator, "MBConv6, 3x3");
    /// assert_eq!((stages[2].image_size, stages[2].channels, stages[2].layers), (112, 24, 2));
    /// ```
    pub fn stages(&self) -> Vec<Stage> {
        let mut counter = Counter {
            channels: IMAGE,
            image_size: self.image_size,
            parameters: 0,
            multiply_adds: 0,
        };
        let stem = round_channels(STEM, self.width);
        let mut stages = vec![counter.stage("Conv, 3x3".to_owned(), 1, stem, |counter| {
            counter.conv(IMAGE, stem, 3, 2);
        })];
        for plan in &PLANS {
            let operator = format!("MBConv{}, {1}x{1}", plan.expand, plan.kernel);
            let channels = round_channels(plan.channels, self.width);
            let layers = round_blocks(plan.layers, self.depth);
            stages.push(counter.stage(operator, layers, channels, |counter| {
                if layers > 0 {
                    counter.mbconv(plan, channels, plan.stride);
                    counter.repeat(layers - 1, |counter| counter.mbconv(plan, channels, 1));
                }
            }));
        }
        let head = round_channels(HEAD, self.width);
        let operator = "Conv, 1x1, mean, linear".to_owned();
        stages.push(counter.stage(operator, 1, head, |counter| {
            counter.conv(counter.channels, head, 1, 1);
            counter.linear(CLASSES);
        }));
        stages
    }

    /// Numbers that training changes, at 1,000 classes.
    ///
    /// ```
    /// use dldna_nn::efficientnet::scaling::FAMILY;
    /// assert_eq!(FAMILY[0].parameters(), 5_288_548);
    /// ```
    pub fn parameters(&self) -> u128 {
        self.stages().iter().map(|stage| stage.parameters).sum()
    }

    /// Multiply-adds for one image, at 1,000 classes.
    pub fn multiply_adds(&self) -> u128 {
        self.stages().iter().map(|stage| stage.multiply_adds).sum()
    }

    /// Its line in table 2 of the paper.
    ///
    /// ```
    /// use dldna_nn::efficientnet::scaling::FAMILY;
    /// assert_eq!(FAMILY[7].published().unwrap().top1, 84.3);
    /// ```
    pub fn published(&self) -> Option<&'static Published> {
        TABLE_2
            .iter()
            .find(|row| row.name.strip_prefix("EfficientNet-") == Some(self.name))
    }

    fn table(&self) -> Table {
        let headers = [
            "Stage",
            "Operator",
            "Input",
            "Channels",
            "Layers",
            "Parameters",
            "Multiply-adds",
        ];
        let mut table = Table::new(&headers, 2);
        for (index, stage) in self.stages().into_iter().enumerate() {
            table.push(vec![
                (index + 1).to_string(),
                stage.operator,
                format!("{0}x{0}", stage.image_size),
                stage.channels.to_string(),
                stage.layers.to_string(),
                with_thousands(stage.parameters),
                with_thousands(stage.multiply_adds),
            ]);
        }
        table
    }

    fn totals(&self) -> String {
        format!(
            "EfficientNet-{}: {} parameters, {} multiply-adds\n",
            self.name,
            with_thousands(self.parameters()),
            with_thousands(self.multiply_adds())
        )
    }

    /// Shows its stages in the notebook.
    pub fn evcxr_display(&self) {
        self.table().show(&self.totals());
    }
}

impl fmt::Display for Variant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}", self.table(), self.totals())
    }
}

/// What phi from 0 to 7 makes of B0, by [`compound_scaling`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ScalingTable;

impl ScalingTable {
    fn table(&self) -> Table {
        let headers = ["phi", "Depth", "Width", "Resolution", "FLOPs", "Image"];
        let mut table = Table::new(&headers, 0);
        for phi in 0..8 {
            let scaling = compound_scaling(phi);
            let image_size = Variant::scaled("", &scaling).image_size;
            let factors = [
                scaling.depth,
                scaling.width,
                scaling.resolution,
                scaling.flops(),
            ];
            let mut row = vec![phi.to_string()];
            row.extend(factors.map(|factor| format!("{factor:.2}")));
            row.push(image_size.to_string());
            table.push(row);
        }
        table
    }

    /// Shows the table in the notebook.
    pub fn evcxr_display(&self) {
        self.table().show("");
    }
}

impl fmt::Display for ScalingTable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.table().fmt(f)
    }
}

/// [`FAMILY`], counted, beside what the paper's table 2 states.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FamilyTable;

impl FamilyTable {
    fn table(&self) -> Table {
        let headers = [
            "",
            "Width",
            "Depth",
            "Image",
            "Parameters",
            "Multiply-adds",
            "in the paper",
            "Difference",
        ];
        let mut table = Table::new(&headers, 1);
        for variant in FAMILY {
            let counted = variant.multiply_adds() as f64 / 1e9;
            let stated = variant.published().and_then(|row| row.multiply_adds);
            table.push(vec![
                variant.name.to_owned(),
                format!("{:.1}", variant.width),
                format!("{:.1}", variant.depth),
                variant.image_size.to_string(),
                with_thousands(variant.parameters()),
                format!("{counted:.2} billion"),
                stated.map_or(String::new(), |stated| format!("{stated}")),
                stated.map_or(String::new(), |stated| {
                    format!("{:+.1}%", 100.0 * (counted / stated - 1.0))
                }),
            ]);
        }
        table
    }

    /// Shows the table in the notebook.
    pub fn evcxr_display(&self) {
        self.table().show("");
    }
}

impl fmt::Display for FamilyTable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.table().fmt(f)
    }
}
