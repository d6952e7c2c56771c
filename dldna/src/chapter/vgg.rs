//! VGG networks: Simonyan and Zisserman, *Very Deep Convolutional Networks for Large-Scale Image Recognition*, 2014.
//!
//! Section 7.1.5 takes them as the plainest picture of how a network trades size for channels: five stages of 3x3
//! convolutions, each ended by a pooling that halves height and width, and three linear layers.
//!
//! A [`Configuration`] is one column of the paper's table 1. It counts and draws without building anything. The types
//! [`Vgg11`] to [`Vgg19`] are the same networks, to be built and run on images of 224x224 pixels.

mod windows;

pub use dldna_nn::vgg::*;
pub use windows::draw_windows;

use crate::plot::{
    Canvas, FAINT, Figure, LABEL, LINE_SPACING, MUTED, PALETTE, PlotError, draw_title,
};
use crate::summary::conv_parameters;
use crate::table::{Table, with_thousands};
use plotters::style::RGBColor;
use std::fmt;

/// Channels of the five stages.
const CHANNELS: [usize; 5] = [64, 128, 256, 512, 512];
/// Side of the image, and its channels.
const IMAGE: (usize, usize) = (224, 3);
/// Inputs of the first linear layer, and outputs of all three.
const FEATURES: usize = 512 * 7 * 7;
const LINEAR: [usize; 3] = [4096, 4096, 1000];

/// One column of the paper's table 1: colour images of 224x224 pixels, 1,000 classes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Configuration {
    /// Usual name: VGG and the number of layers with weights.
    pub name: &'static str,
    /// 3x3 convolutions in each stage.
    pub convolutions: [usize; 5],
}

/// One convolution of a configuration.
struct Convolution {
    in_channels: usize,
    out_channels: usize,
    /// Side of its input and output.
    size: usize,
}

impl Configuration {
    /// Configuration A.
    pub const VGG11: Self = Self::new("VGG-11", [1, 1, 2, 2, 2]);
    /// Configuration B.
    pub const VGG13: Self = Self::new("VGG-13", [2, 2, 2, 2, 2]);
    /// Configuration D.
    pub const VGG16: Self = Self::new("VGG-16", [2, 2, 3, 3, 3]);
    /// Configuration E.
    pub const VGG19: Self = Self::new("VGG-19", [2, 2, 4, 4, 4]);
    /// All four.
    pub const ALL: [Self; 4] = [Self::VGG11, Self::VGG13, Self::VGG16, Self::VGG19];

    const fn new(name: &'static str, convolutions: [usize; 5]) -> Self {
        Self { name, convolutions }
    }

    /// Layers with weights: all convolutions and the three linear layers.
    ///
    /// ```
    /// use dldna::vgg::Configuration;
    /// assert_eq!(Configuration::VGG16.layers(), 16);
    /// ```
    pub fn layers(&self) -> usize {
        self.convolutions.iter().sum::<usize>() + LINEAR.len()
    }

    /// Each convolution, in order. The size halves from stage to stage.
    fn each_convolution(&self) -> impl Iterator<Item = Convolution> {
        let stages = self.convolutions.into_iter().zip(CHANNELS).enumerate();
        stages.flat_map(|(stage, (count, channels))| {
            let before = if stage == 0 {
                IMAGE.1
            } else {
                CHANNELS[stage - 1]
            };
            (0..count).map(move |index| Convolution {
                in_channels: if index == 0 { before } else { channels },
                out_channels: channels,
                size: IMAGE.0 >> stage,
            })
        })
    }

    /// Parameters of all convolutions.
    pub fn convolution_parameters(&self) -> usize {
        self.each_convolution()
            .map(|conv| conv_parameters(conv.in_channels, conv.out_channels, 3))
            .sum()
    }

    /// Parameters of the three linear layers: most of the network.
    pub fn linear_parameters(&self) -> usize {
        linear_layers()
            .map(|(inputs, outputs)| (inputs + 1) * outputs)
            .sum()
    }

    /// All parameters.
    ///
    /// ```
    /// use dldna::vgg::Configuration;
    /// assert_eq!(Configuration::VGG16.parameters(), 138_357_544);
    /// ```
    pub fn parameters(&self) -> usize {
        self.convolution_parameters() + self.linear_parameters()
    }

    /// Multiply-adds for one image: nearly all of them in the convolutions.
    pub fn multiply_adds(&self) -> usize {
        let convolutions = self
            .each_convolution()
            .map(|conv| conv.size.pow(2) * conv.out_channels * 9 * conv.in_channels);
        let linear = linear_layers().map(|(inputs, outputs)| inputs * outputs);
        convolutions.chain(linear).sum()
    }

    /// The outputs of all layers to one scale: a box is as high as the feature map and as wide as it has channels.
    ///
    /// # Errors
    /// [`PlotError::TooLarge`] for hundreds of layers.
    ///
    /// ```
    /// let figure = dldna::vgg::Configuration::VGG16.draw()?;
    /// assert!(figure.width() > 600);
    /// # Ok::<(), dldna::plot::PlotError>(())
    /// ```
    pub fn draw(&self) -> Result<Figure, PlotError> {
        let groups = self.groups();
        let width = groups.iter().map(Group::width).sum::<f32>() + 2.0 * MARGIN - GROUP_GAP;
        let floor = TOP + IMAGE.0 as f32 * PIXEL;
        let mut canvas = Canvas::checked(width, floor + 4.0 * LINE)?;
        let title = format!("{}: the output of every layer, to scale", self.name);
        draw_title(&mut canvas, &title, MARGIN);
        let mut left = MARGIN;
        for group in &groups {
            group.draw(&mut canvas, left, floor);
            left += group.width();
        }
        let [a, b, c, d, e] = self.convolutions;
        Ok(canvas.finish().with_alt(format!(
            "{}, layer by layer: an image of 3 channels and 224x224 pixels, then {a}, {b}, {c}, {d} and {e} \
             convolutions, whose boxes sink from 224 to 14 pixels and widen from 64 to 512 channels, then three flat \
             boxes of 4096, 4096 and 1000 numbers.",
            self.name
        )))
    }

    /// The image, the five stages, and the linear layers, in the order of the computation.
    fn groups(&self) -> Vec<Group> {
        let mut groups = vec![Group::new(1, IMAGE.1, IMAGE.0, MUTED, "image")];
        for (stage, (&count, channels)) in self.convolutions.iter().zip(CHANNELS).enumerate() {
            let what = format!("{count} conv");
            let size = IMAGE.0 >> stage;
            groups.push(Group::new(count, channels, size, PALETTE[0], &what));
        }
        groups.extend(LINEAR.map(|outputs| Group::new(1, outputs, 1, PALETTE[1], "linear")));
        groups
    }
}

/// Inputs and outputs of the linear layers.
fn linear_layers() -> impl Iterator<Item = (usize, usize)> {
    std::iter::once(FEATURES).chain(LINEAR).zip(LINEAR)
}

/// Figure pixels for one pixel of a feature map, and for one channel.
const PIXEL: f32 = 0.9;
const CHANNEL: f32 = 0.03;
const MARGIN: f32 = 16.0;
const TOP: f32 = 44.0;
const BOX_GAP: f32 = 4.0;
const GROUP_GAP: f32 = 12.0;
const LINE: f32 = LINE_SPACING * LABEL.size;
/// A feature map of one pixel would be too thin to be seen.
const THINNEST: f32 = 3.0;

/// Layers with outputs of one shape, side by side over one label.
struct Group {
    count: usize,
    /// Width and height of each box.
    size: (f32, f32),
    color: RGBColor,
    label: [String; 3],
}

impl Group {
    fn new(count: usize, channels: usize, side: usize, color: RGBColor, what: &str) -> Self {
        let label = [
            what.to_owned(),
            channels.to_string(),
            format!("{side}x{side}"),
        ];
        let size = (
            (channels as f32 * CHANNEL).max(THINNEST),
            (side as f32 * PIXEL).max(THINNEST),
        );
        Self {
            count,
            size,
            color,
            label,
        }
    }

    fn boxes_width(&self) -> f32 {
        self.count as f32 * (self.size.0 + BOX_GAP) - BOX_GAP
    }

    /// With the gap to the next group.
    fn width(&self) -> f32 {
        let labels = self.label.iter().map(|line| LABEL.width(line));
        labels.fold(self.boxes_width(), f32::max) + GROUP_GAP
    }

    fn draw(&self, canvas: &mut Canvas, left: f32, floor: f32) {
        let middle = left + (self.width() - GROUP_GAP) / 2.0;
        let (width, height) = self.size;
        for index in 0..self.count {
            let x = middle - self.boxes_width() / 2.0 + index as f32 * (width + BOX_GAP);
            canvas.fill(x, floor - height, width, height, self.color);
        }
        canvas.rule(left, floor + 4.0, self.width() - GROUP_GAP, 1.0, FAINT);
        for (index, line) in self.label.iter().enumerate() {
            let style = LABEL.centered().color(MUTED);
            canvas.text(line, middle, floor + (index as f32 + 0.8) * LINE, style);
        }
    }
}

/// Layers, parameters and work of the four configurations, counted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VggTable;

impl VggTable {
    fn table(&self) -> Table {
        let mut table = Table::new(
            &[
                "",
                "Layers with weights",
                "Conv parameters",
                "Linear parameters",
                "Parameters",
                "Multiply-adds",
            ],
            1,
        );
        for network in Configuration::ALL {
            let counts = [
                network.layers(),
                network.convolution_parameters(),
                network.linear_parameters(),
                network.parameters(),
                network.multiply_adds(),
            ];
            let counts = counts.map(|count| with_thousands(count as u128));
            table.push(
                std::iter::once(network.name.to_owned())
                    .chain(counts)
                    .collect(),
            );
        }
        table
    }

    /// Shows the table in the notebook.
    pub fn evcxr_display(&self) {
        self.table().show("");
    }
}

impl fmt::Display for VggTable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.table().fmt(f)
    }
}
