//! Pictures of blocks and of networks made of them.
//!
//! A [`BlockDiagram`] is one block from top to bottom, each layer as wide as the feature maps that it joins, so that a
//! bottleneck looks like one. [`draw_stages`] is a whole residual network from left to right, to scale.

use crate::plot::{
    Canvas, FAINT, Figure, LABEL, LINE_SPACING, MUTED, PALETTE, PAPER, PlotError, TITLE,
    draw_title, warn_of_letters,
};
use crate::summary::{LayerSummary, Summary};
use plotters::style::RGBColor;

/// Layers that look at one pixel only.
const POINTWISE: RGBColor = PALETTE[4];
/// Layers that look at a window.
const WINDOW: RGBColor = PALETTE[0];
/// The way around, and what weighs channels.
const SHORTCUT: RGBColor = PALETTE[1];

const MARGIN: f32 = 12.0;
const TOP: f32 = 48.0;
const LINE: f32 = LINE_SPACING * LABEL.size;
/// The widest feature map.
const WIDEST: f32 = 96.0;
const LAYER: f32 = 44.0;
const GAP: f32 = 30.0;
const STROKE: f32 = 2.0;
const RADIUS: f32 = 11.0;
/// From the widest layer to the shortcut's line.
const ASIDE: f32 = 18.0;

#[derive(Clone, Copy, Debug, PartialEq)]
enum Kind {
    Pointwise,
    Window,
    Gate,
}

#[derive(Clone, Debug)]
struct Layer {
    kind: Kind,
    label: String,
    outputs: usize,
}

/// One block from top to bottom: its layers, each drawn as wide as the channels that enter and leave it, and the shortcut
/// beside them.
///
/// # Example
/// ```
/// use dldna::block_diagram::BlockDiagram;
///
/// let figure = BlockDiagram::new("Bottleneck", 256)
///     .pointwise("conv 1x1\nnorm, ReLU", 64)
///     .window("conv 3x3\nnorm, ReLU", 64)
///     .pointwise("conv 1x1\nnorm", 256)
///     .shortcut("ReLU")
///     .draw()?;
/// assert!(figure.height() > figure.width());
/// # Ok::<(), dldna::plot::PlotError>(())
/// ```
#[derive(Clone, Debug)]
pub struct BlockDiagram {
    title: String,
    inputs: usize,
    widest: usize,
    layers: Vec<Layer>,
    /// What follows the sum, if there is one.
    after_sum: Option<String>,
}

impl BlockDiagram {
    /// A block of no layers yet that takes so many channels.
    pub fn new(title: &str, channels: usize) -> Self {
        BlockDiagram {
            title: title.to_owned(),
            inputs: channels,
            widest: channels,
            layers: Vec::new(),
            after_sum: None,
        }
    }

    /// Draws so many channels as the full width, which brings two blocks to one scale.
    pub fn widest(mut self, channels: usize) -> Self {
        self.widest = self.widest.max(channels);
        self
    }

    /// Adds a layer that looks at one pixel at a time, a 1x1 convolution. The second line of the label is set lighter.
    pub fn pointwise(self, label: &str, channels: usize) -> Self {
        self.with_layer(Kind::Pointwise, label, channels)
    }

    /// Adds a layer that looks at a window.
    pub fn window(self, label: &str, channels: usize) -> Self {
        self.with_layer(Kind::Window, label, channels)
    }

    /// Adds a step that multiplies each channel by a number.
    pub fn gate(self, label: &str) -> Self {
        let channels = self.outputs();
        self.with_layer(Kind::Gate, label, channels)
    }

    /// Adds the input to what the layers give; `after` is what follows the sum, such as `ReLU`, or empty.
    pub fn shortcut(mut self, after: &str) -> Self {
        self.after_sum = Some(after.to_owned());
        self
    }

    fn with_layer(mut self, kind: Kind, label: &str, outputs: usize) -> Self {
        self.layers.push(Layer {
            kind,
            label: label.to_owned(),
            outputs,
        });
        self.widest(outputs)
    }

    fn outputs(&self) -> usize {
        self.layers.last().map_or(self.inputs, |last| last.outputs)
    }

    /// Draws the block.
    ///
    /// # Errors
    /// [`PlotError::Empty`] without layers, [`PlotError::TooLarge`] with hundreds of them.
    pub fn draw(&self) -> Result<Figure, PlotError> {
        if self.layers.is_empty() {
            return Err(PlotError::Empty {
                what: "a picture of a block",
            });
        }
        let labels = self.layers.iter().map(|layer| &layer.label);
        let texts = labels.chain([&self.title]).chain(&self.after_sum);
        warn_of_letters(texts.map(String::as_str));
        let text = self.text_width();
        let middle = MARGIN + text + 10.0 + WIDEST / 2.0;
        let width =
            (middle + WIDEST / 2.0 + ASIDE + 22.0).max(TITLE.width(&self.title) + MARGIN) + MARGIN;
        let end = self.end();
        let mut canvas = Canvas::checked(width, end + 1.6 * LINE)?;
        draw_title(&mut canvas, &self.title, MARGIN);
        let place = Place {
            middle,
            text: MARGIN + text,
            scale: WIDEST / self.widest as f32,
        };
        self.draw_lines(&mut canvas, middle, end);
        self.draw_layers(&mut canvas, &place);
        self.draw_sum(&mut canvas, middle);
        let channels = LABEL.centered().color(MUTED);
        let name = format!("{} channels", self.inputs);
        canvas.text(&name, middle, TOP, channels);
        let name = format!("{} channels", self.outputs());
        canvas.text(&name, middle, end + 0.6 * LINE, channels);
        Ok(canvas.finish())
    }

    fn text_width(&self) -> f32 {
        let lines = self.layers.iter().flat_map(|layer| layer.label.split('\n'));
        lines.map(|line| LABEL.width(line)).fold(40.0, f32::max)
    }

    /// Upper edge of a layer.
    fn top(index: usize) -> f32 {
        TOP + 0.6 * LINE + GAP + index as f32 * (LAYER + GAP)
    }

    /// The middle of the sum.
    fn sum(&self) -> f32 {
        Self::top(self.layers.len()) + RADIUS - 6.0
    }

    fn end(&self) -> f32 {
        match &self.after_sum {
            None => Self::top(self.layers.len()),
            Some(after) if after.is_empty() => self.sum() + RADIUS + GAP,
            Some(_) => self.sum() + RADIUS + GAP + 0.6 * LAYER + 10.0,
        }
    }

    fn draw_lines(&self, canvas: &mut Canvas, middle: f32, end: f32) {
        let start = TOP + 0.7 * LINE;
        vertical(canvas, middle, start, end, MUTED);
        if self.after_sum.is_none() {
            return;
        }
        let fork = start + 8.0;
        let aside = middle + WIDEST / 2.0 + ASIDE;
        horizontal(canvas, middle, aside, fork, SHORTCUT);
        vertical(canvas, aside, fork, self.sum(), SHORTCUT);
        horizontal(canvas, middle, aside, self.sum(), SHORTCUT);
        let label = LABEL.centered().color(SHORTCUT);
        canvas.text_upwards("shortcut", aside + 16.0, (fork + self.sum()) / 2.0, label);
    }

    fn draw_layers(&self, canvas: &mut Canvas, place: &Place) {
        let mut inputs = self.inputs;
        for (index, layer) in self.layers.iter().enumerate() {
            let top = Self::top(index);
            let ends = [inputs, layer.outputs].map(|channels| channels as f32 * place.scale);
            match layer.kind {
                Kind::Pointwise => trapezoid(canvas, place.middle, top, ends, POINTWISE),
                Kind::Window => trapezoid(canvas, place.middle, top, ends, WINDOW),
                Kind::Gate => draw_gate(canvas, place.middle, top, ends[1]),
            }
            draw_label(canvas, &layer.label, place.text, top + LAYER / 2.0);
            if index + 1 < self.layers.len() {
                let below = top + LAYER + GAP / 2.0;
                let number = layer.outputs.to_string();
                canvas.text(&number, place.middle + 8.0, below, LABEL.color(MUTED));
            }
            inputs = layer.outputs;
        }
    }

    fn draw_sum(&self, canvas: &mut Canvas, middle: f32) {
        let Some(after) = &self.after_sum else {
            return;
        };
        draw_sign(canvas, "+", middle, self.sum(), SHORTCUT);
        if !after.is_empty() {
            let (width, height) = (LABEL.width(after) + 24.0, 0.6 * LAYER);
            let (left, top) = (middle - width / 2.0, self.sum() + RADIUS + 14.0);
            canvas.fill(left, top, width, height, PAPER);
            canvas.frame(left, top, width, height, STROKE, MUTED);
            canvas.text(after, middle, top + height / 2.0, LABEL.centered());
        }
    }
}

/// Where a block's layers stand.
struct Place {
    middle: f32,
    /// Right end of the labels.
    text: f32,
    /// Pixels for a channel.
    scale: f32,
}

/// A layer, wider or narrower at its end.
fn trapezoid(canvas: &mut Canvas, middle: f32, top: f32, [from, to]: [f32; 2], color: RGBColor) {
    // The canvas is finer than the figure: half a pixel is its unit.
    let rows = 2 * LAYER as usize - 1;
    for row in 0..rows {
        let share = row as f32 / rows as f32;
        let width = (from + share * (to - from)).max(STROKE);
        let (left, y) = (middle - width / 2.0, top + row as f32 / 2.0);
        canvas.fill(left, y, width, 1.0, color);
    }
}

fn draw_gate(canvas: &mut Canvas, middle: f32, top: f32, width: f32) {
    let left = middle - width / 2.0;
    canvas.fill(left, top, width, LAYER, PAPER);
    canvas.frame(left, top, width, LAYER, STROKE, SHORTCUT);
    draw_sign(canvas, "×", middle, top + LAYER / 2.0, SHORTCUT);
}

/// A sign in a circle.
pub(super) fn draw_sign(canvas: &mut Canvas, sign: &str, x: f32, y: f32, color: RGBColor) {
    canvas.circle(x, y, RADIUS, color);
    canvas.circle(x, y, RADIUS - STROKE, PAPER);
    canvas.text(sign, x, y, TITLE.centered());
}

/// One or two lines, the second lighter, to the left of `right`.
fn draw_label(canvas: &mut Canvas, label: &str, right: f32, middle: f32) {
    let lines: Vec<&str> = label.split('\n').collect();
    let first = middle - (lines.len() - 1) as f32 * LINE / 2.0;
    for (index, line) in lines.into_iter().enumerate() {
        let style = LABEL.right();
        let style = if index == 0 {
            style
        } else {
            style.color(MUTED)
        };
        canvas.text(line, right, first + index as f32 * LINE, style);
    }
}

pub(super) fn vertical(canvas: &mut Canvas, x: f32, from: f32, to: f32, color: RGBColor) {
    canvas.rule(x - STROKE / 2.0, from, STROKE, to - from, color);
}

pub(super) fn horizontal(canvas: &mut Canvas, from: f32, to: f32, y: f32, color: RGBColor) {
    let left = from.min(to) - STROKE / 2.0;
    canvas.rule(
        left,
        y - STROKE / 2.0,
        (to - from).abs() + STROKE,
        STROKE,
        color,
    );
}

/// Figure pixels for one pixel of a feature map, and for one channel.
const PIXEL: f32 = 0.9;
const CHANNEL: f32 = 0.05;
const THINNEST: f32 = 4.0;
const BOX_GAP: f32 = 7.0;
const GROUP_GAP: f32 = 16.0;
/// Room for the shortcuts' brackets.
const BRACKET: f32 = 10.0;

/// A residual network from left to right, read from its summary: a box for each convolution of the main way, as high as
/// its feature maps and as wide as it has channels, and a bracket for each shortcut, in another colour where it has
/// weights.
///
/// The stages are the parts of the network whose names begin with `layer`, their blocks those parts' parts.
///
/// # Errors
/// [`PlotError::Empty`] for a network without stages, [`PlotError::TooLarge`] for one of thousands of layers.
///
/// # Example
/// ```
/// use dldna::{block_diagram::draw_stages, residual_learning::resnet_summary};
///
/// let summary = resnet_summary(18, &[1, 1, 224, 224]).unwrap()?;
/// let figure = draw_stages("ResNet-18", &summary)?;
/// assert!(figure.width() < 600);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn draw_stages(title: &str, summary: &Summary) -> Result<Figure, PlotError> {
    warn_of_letters([title]);
    let groups = groups(summary);
    if groups.iter().all(|group| group.blocks.is_empty()) {
        return Err(PlotError::Empty {
            what: "a picture of stages",
        });
    }
    let highest = groups.iter().map(|group| group.side).max();
    let floor = TOP + highest.unwrap_or(0) as f32 * PIXEL;
    let width = groups.iter().map(Group::width).sum::<f32>() + 2.0 * MARGIN - GROUP_GAP;
    let mut canvas = Canvas::checked(width, floor + 4.2 * LINE)?;
    draw_title(&mut canvas, title, MARGIN);
    let mut left = MARGIN;
    for group in &groups {
        group.draw(&mut canvas, left, floor);
        left += group.width();
    }
    Ok(canvas.finish())
}

/// The convolutions before, in and behind the stages, in groups of one shape.
fn groups(summary: &Summary) -> Vec<Group> {
    let mut groups = Vec::new();
    for part in &summary.network.children {
        if part.name.starts_with("layer") {
            groups.push(Group::stage(part));
        } else if part.kind.contains("Conv2D") {
            groups.push(Group::single(part));
        }
    }
    groups
}

/// Layers of one shape, side by side over one label.
struct Group {
    name: String,
    channels: usize,
    side: usize,
    /// Convolutions of a layer outside of the stages.
    single: usize,
    blocks: Vec<Block>,
}

#[derive(Clone, Copy)]
struct Block {
    convolutions: usize,
    projection: bool,
}

impl Group {
    fn single(part: &LayerSummary) -> Self {
        let [channels, side] = shape(part);
        Group {
            name: part.name.clone(),
            channels,
            side,
            single: 1,
            blocks: Vec::new(),
        }
    }

    fn stage(part: &LayerSummary) -> Self {
        let [channels, side] = shape(part);
        let blocks = part.children.iter().map(Block::of).collect();
        Group {
            name: part.name.clone(),
            channels,
            side,
            single: 0,
            blocks,
        }
    }

    fn convolutions(&self) -> usize {
        self.single + self.blocks.iter().map(|b| b.convolutions).sum::<usize>()
    }

    fn box_width(&self) -> f32 {
        (self.channels as f32 * CHANNEL).max(THINNEST)
    }

    fn boxes_width(&self) -> f32 {
        self.convolutions() as f32 * (self.box_width() + BOX_GAP) + BOX_GAP
    }

    fn lines(&self) -> [String; 3] {
        let size = format!("{0}x{0}", self.side);
        [self.name.clone(), format!("{} ch.", self.channels), size]
    }

    /// With the gap to the next group.
    fn width(&self) -> f32 {
        let lines = self.lines();
        let labels = lines.iter().map(|line| LABEL.width(line));
        labels.fold(self.boxes_width(), f32::max) + GROUP_GAP
    }

    fn draw(&self, canvas: &mut Canvas, left: f32, floor: f32) {
        let middle = left + (self.width() - GROUP_GAP) / 2.0;
        let height = (self.side as f32 * PIXEL).max(THINNEST);
        let step = self.box_width() + BOX_GAP;
        let start = middle - self.boxes_width() / 2.0;
        for index in 0..self.convolutions() {
            let x = start + BOX_GAP + index as f32 * step;
            canvas.fill(x, floor - height, self.box_width(), height, WINDOW);
        }
        let mut x = start + BOX_GAP / 2.0;
        for block in &self.blocks {
            let end = x + block.convolutions as f32 * step;
            block.draw_shortcut(canvas, x, end, floor - height);
            x = end;
        }
        canvas.rule(left, floor + 4.0, self.width() - GROUP_GAP, 1.0, FAINT);
        for (index, line) in self.lines().iter().enumerate() {
            let style = LABEL.centered().color(MUTED);
            canvas.text(line, middle, floor + (index as f32 + 0.9) * LINE, style);
        }
    }
}

impl Block {
    fn of(part: &LayerSummary) -> Self {
        let ways = part.children.iter();
        let main = ways.clone().filter(|child| child.kind.contains("Conv2D"));
        let shortcut = ways.clone().find(|child| child.name == "shortcut");
        Block {
            convolutions: main.count(),
            projection: shortcut.is_some_and(|way| way.parameters > 0),
        }
    }

    /// A bracket above the block, from the gap before it to the gap behind it.
    fn draw_shortcut(self, canvas: &mut Canvas, from: f32, to: f32, top: f32) {
        let color = if self.projection {
            SHORTCUT
        } else {
            PALETTE[2]
        };
        let (from, to) = (from + 1.5, to - 1.5);
        let above = top - BRACKET;
        horizontal(canvas, from, to, above, color);
        vertical(canvas, from, above, top + 2.0, color);
        vertical(canvas, to, above, top + 2.0, color);
    }
}

/// Channels and side of what a layer gives.
fn shape(part: &LayerSummary) -> [usize; 2] {
    let at = |axis: usize| part.output_shape.get(axis).copied().unwrap_or(1);
    [at(1), at(2)]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::residual_learning::resnet_summary;

    #[test]
    fn the_boxes_are_the_layers_that_give_a_network_its_name() {
        for depth in [18, 34, 50] {
            let summary = resnet_summary(depth, &[1, 1, 224, 224]).unwrap().unwrap();
            let boxes: usize = groups(&summary).iter().map(Group::convolutions).sum();
            assert_eq!(boxes + 1, depth); // the last is the linear layer
        }
    }

    #[test]
    fn only_blocks_that_change_the_shape_have_a_projection() {
        let summary = resnet_summary(18, &[1, 1, 224, 224]).unwrap().unwrap();
        let blocks = groups(&summary).into_iter().flat_map(|group| group.blocks);
        let projections: Vec<bool> = blocks.map(|block| block.projection).collect();
        let expected = [false, false, true, false, true, false, true, false];
        assert_eq!(projections, expected);
    }

    #[test]
    fn a_block_without_layers_and_a_network_without_stages_are_refused() {
        let empty = BlockDiagram::new("", 1).draw();
        assert!(matches!(empty, Err(PlotError::Empty { .. })));
        let mut summary = resnet_summary(18, &[1, 1, 32, 32]).unwrap().unwrap();
        summary.network.children.clear();
        assert!(matches!(
            draw_stages("", &summary),
            Err(PlotError::Empty { .. })
        ));
    }
}
