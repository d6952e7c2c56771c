//! Drawings of what a convolution does to channels and where its windows stand.

use crate::plot::{Canvas, FAINT, Figure, LABEL, MUTED, PALETTE, draw_arrow, draw_line};
use plotters::style::RGBColor;

/// Width of the drawings.
const WIDTH: f32 = 640.0;
/// Space at the edges.
const EDGE: f32 = 16.0;
/// Light blue, for what a filter has in common with its channel.
const WINDOW: RGBColor = RGBColor(196, 222, 240);
/// Light gray, for the zeros of the padding.
const PADDING: RGBColor = RGBColor(238, 238, 238);

/// How `inputs` channels become `outputs` channels: each filter has a 3x3 kernel for every input channel, and gives one output channel.
///
/// At most four of each are drawn, at least one.
///
/// # Example
/// ```
/// use dldna::conv_visual::draw_channels;
///
/// let figure = draw_channels(2, 3);
/// assert_eq!(figure.width(), 640);
/// assert!(draw_channels(2, 4).height() > figure.height());
/// ```
pub fn draw_channels(inputs: usize, outputs: usize) -> Figure {
    let (inputs, outputs) = (inputs.clamp(1, 4), outputs.clamp(1, 4));
    let (big, small) = (15.0, 15.0);
    let row = 5.0 * big + 22.0;
    let height = 56.0 + row * inputs.max(outputs) as f32 + 34.0;
    let mut canvas = Canvas::new(WIDTH, height);
    let (input_x, filter_x, output_x) = (EDGE, 205.0, WIDTH - EDGE - 5.0 * big);
    let filter_width = inputs as f32 * (3.0 * small + 12.0) - 12.0;
    canvas.text("input channels", input_x, 22.0, LABEL.bold());
    canvas.text("filters", filter_x, 22.0, LABEL.bold());
    canvas.text("output channels", WIDTH - EDGE, 22.0, LABEL.bold().right());
    let middle = |index: usize, count: usize| {
        let first = 48.0 + 0.5 * row * (inputs.max(outputs) - count) as f32;
        first + row * index as f32 + 2.5 * big
    };
    for (output, &color) in PALETTE.iter().enumerate().take(outputs) {
        let y = middle(output, outputs);
        for input in 0..inputs {
            let from = (input_x + 5.0 * big + 6.0, middle(input, inputs));
            draw_line(&mut canvas, from, (filter_x - 8.0, y), 1.5, FAINT);
        }
        for input in 0..inputs {
            let x = filter_x + input as f32 * (3.0 * small + 12.0);
            draw_cells(&mut canvas, (x, y - 1.5 * small), (3, 3), small, |_, _| {
                Some(color)
            });
            if input > 0 {
                canvas.text("+", x - 6.0, y, LABEL.bold().centered());
            }
        }
        let end = filter_x + filter_width;
        canvas.text("+ bias", end + 10.0, y, LABEL.color(MUTED));
        draw_arrow(
            &mut canvas,
            (end + 66.0, y),
            (output_x - 8.0, y),
            1.5,
            color,
        );
        draw_cells(
            &mut canvas,
            (output_x, y - 2.5 * big),
            (5, 5),
            big,
            |i, j| ((i, j) == (2, 2)).then_some(color),
        );
    }
    for input in 0..inputs {
        let y = middle(input, inputs) - 2.5 * big;
        draw_cells(&mut canvas, (input_x, y), (5, 5), big, |i, j| {
            (i.abs_diff(2) < 2 && j.abs_diff(2) < 2).then_some(WINDOW)
        });
    }
    let plural = |count: usize| if count == 1 { "" } else { "s" };
    let note = format!(
        "{outputs} filter{} of 3x3x{inputs} weights: {outputs} · (9 · {inputs} + 1) = {} parameters",
        plural(outputs),
        outputs * (9 * inputs + 1),
    );
    canvas.text(&note, EDGE, height - 16.0, LABEL.color(MUTED));
    canvas.finish()
}

/// Where the windows of a convolution stand on a row of pixels and its padding: one drawing for each of `settings`, which are a kernel
/// size, a stride, a padding and a dilation, on an image of `size` x `size` pixels. The first window is blue, the second orange.
///
/// Settings whose window does not fit are left out.
///
/// # Example
/// ```
/// use dldna::conv_visual::draw_windows;
///
/// let figure = draw_windows(5, &[(3, 1, 0, 1), (3, 1, 1, 1), (3, 2, 1, 1), (3, 1, 1, 2)]);
/// assert_eq!(figure.width(), 640);
/// ```
pub fn draw_windows(size: usize, settings: &[(usize, usize, usize, usize)]) -> Figure {
    let size = size.clamp(1, 9);
    let fits = |&&(kernel, stride, padding, dilation): &&(usize, usize, usize, usize)| {
        kernel > 0
            && stride > 0
            && dilation > 0
            && padding < 4
            && span(kernel, dilation) <= size + 2 * padding
    };
    let settings: Vec<_> = settings.iter().filter(fits).collect();
    let widest = settings
        .iter()
        .map(|s| size + 2 * s.2)
        .max()
        .unwrap_or(size);
    let cell = (0.5 * (WIDTH - 3.0 * EDGE) / (widest + 1) as f32).min(26.0);
    let (room, row) = (0.5 * (WIDTH - EDGE), cell * widest as f32 + 86.0);
    let mut canvas = Canvas::new(WIDTH, row * settings.len().div_ceil(2) as f32 + 4.0);
    for (index, &&(kernel, stride, padding, dilation)) in settings.iter().enumerate() {
        let x = EDGE + room * (index % 2) as f32;
        let y = row * (index / 2) as f32 + 62.0;
        let side = size + 2 * padding;
        let output = (side - span(kernel, dilation)) / stride + 1;
        let names = format!("stride {stride}, padding {padding}, dilation {dilation}");
        canvas.text(&names, x, y - 42.0, LABEL.bold());
        let sum = format!("{size}x{size} pixels → {output}x{output} values");
        canvas.text(&sum, x, y - 18.0, LABEL.color(MUTED));
        let pad = |i: usize| i < padding || i >= padding + size;
        let first = |i: usize| i.is_multiple_of(dilation) && i / dilation < kernel;
        draw_cells(&mut canvas, (x, y), (side, side), cell, |i, j| {
            if first(i) && first(j) {
                Some(PALETTE[4])
            } else {
                (pad(i) || pad(j)).then_some(PADDING)
            }
        });
        let length = cell * span(kernel, dilation) as f32;
        canvas.frame(
            x + 2.0,
            y + 2.0,
            length - 4.0,
            length - 4.0,
            2.0,
            PALETTE[0],
        );
        if output > 1 {
            let left = x + cell * stride as f32;
            canvas.frame(
                left + 3.0,
                y + 3.0,
                length - 6.0,
                length - 6.0,
                3.0,
                PALETTE[1],
            );
        }
    }
    canvas.finish()
}

/// Pixels from the first to the last that a kernel touches.
fn span(kernel: usize, dilation: usize) -> usize {
    dilation * (kernel - 1) + 1
}

/// A grid of cells, some of them filled.
fn draw_cells(
    canvas: &mut Canvas,
    (left, top): (f32, f32),
    (rows, columns): (usize, usize),
    cell: f32,
    color: impl Fn(usize, usize) -> Option<RGBColor>,
) {
    for i in 0..rows {
        for j in 0..columns {
            let (x, y) = (left + cell * j as f32, top + cell * i as f32);
            if let Some(color) = color(i, j) {
                canvas.fill(x, y, cell, cell, color);
            }
            canvas.frame(
                x + 1.0,
                y + 1.0,
                cell - 1.0,
                cell - 1.0,
                1.0,
                RGBColor(190, 190, 190),
            );
        }
    }
}
