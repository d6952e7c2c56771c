//! Convolution in pictures: a player for the notebook that shows every step in numbers, and drawings of channels and windows.

use crate::display::{Content, emit};
use crate::plot::{
    Canvas, ColorMap, Figure, LABEL, LINE_SPACING, PALETTE, draw_matrix, number, wrapped,
};
use base64::{Engine, engine::general_purpose::STANDARD};
use ndarray::{Array2, Array3, ArrayView2, Axis, arr2, s};

mod drawings;

pub use drawings::{draw_channels, draw_windows};

/// The largest input side whose numbers can be read, padding included.
const LARGEST_INPUT: usize = 12;
/// The largest kernel side whose products fit on a line or two.
const LARGEST_KERNEL: usize = 5;
/// As many channels or filters fit below each other.
const MOST_CHANNELS: usize = 4;

/// Width of the picture.
const WIDTH: f32 = 640.0;
/// Space at the edges.
const EDGE: f32 = 14.0;
/// Height of the title above each matrix.
const HEADING: f32 = 34.0;
/// Height of a line of text.
const LINE: f32 = LINE_SPACING * LABEL.size;

/// What can be wrong with the input of a [`Player`].
#[derive(Debug, thiserror::Error)]
pub enum PlayerError {
    /// An input that is empty, too large to be read, or contradicts its size.
    #[error(
        "an input of {rows}x{columns} cannot be shown: expected 1 to {LARGEST_INPUT} rows and columns with the padding, all filled"
    )]
    InputSize {
        /// Rows of the input, padding included.
        rows: usize,
        /// Columns of the input, padding included.
        columns: usize,
    },
    /// A kernel that is empty, too large to be read, or larger than the input.
    #[error(
        "a kernel of {rows}x{columns} cannot be shown: expected 1 to {LARGEST_KERNEL} rows and columns, within the input of {input_rows}x{input_columns}"
    )]
    KernelSize {
        /// Rows of the kernel.
        rows: usize,
        /// Columns of the kernel.
        columns: usize,
        /// Rows of the input, padding included.
        input_rows: usize,
        /// Columns of the input, padding included.
        input_columns: usize,
    },
    /// Too many channels or filters, none, or filters for another number of channels.
    #[error(
        "{filters} filters of {filter_channels} channels cannot be shown on an input of {channels} channels: expected 1 to {MOST_CHANNELS} filters and channels, as many channels in a filter as in the input"
    )]
    Channels {
        /// Channels of the input.
        channels: usize,
        /// Number of filters.
        filters: usize,
        /// Channels of each filter.
        filter_channels: usize,
    },
    /// A stride that goes nowhere.
    #[error("the stride must be at least 1")]
    Stride,
    /// A value that is not finite.
    #[error("the input and the kernel must hold finite numbers, found {0}")]
    NotFinite(f32),
}

/// Filters on their way over an input, one output value after the other.
///
/// In a notebook it is a player with buttons and a slider that works without a kernel process; where scripts are not run (on GitHub, in
/// an untrusted notebook), the picture of one step stands in its place.
#[derive(Clone, Debug)]
pub struct Player {
    /// (channel, row, column), with the padding.
    input: Array3<f32>,
    /// For each filter (channel, row, column).
    filters: Vec<Array3<f32>>,
    stride: usize,
    /// One map for each filter.
    output: Array3<f32>,
}

/// The first player of the book: a bright square in a dark 6 × 6 image, the Sobel kernel for vertical edges, a 4 × 4 output, 16 steps.
///
/// # Example
/// ```
/// let player = dldna::conv_visual::create_conv_animation();
/// assert_eq!(player.steps(), 16);
/// assert_eq!(player.output().dim(), (1, 4, 4));
/// ```
pub fn create_conv_animation() -> Player {
    let input = arr2(&[
        [0.0, 0.0, 0.0, 0.0, 0.0, 0.0],
        [0.0, 0.0, 9.0, 9.0, 9.0, 0.0],
        [0.0, 0.0, 9.0, 9.0, 9.0, 0.0],
        [0.0, 0.0, 9.0, 9.0, 9.0, 0.0],
        [0.0, 0.0, 0.0, 0.0, 0.0, 0.0],
        [0.0, 0.0, 0.0, 0.0, 0.0, 0.0],
    ]);
    let sobel = arr2(&[[-1.0, 0.0, 1.0], [-2.0, 0.0, 2.0], [-1.0, 0.0, 1.0]]);
    Player::of(
        input.insert_axis(Axis(0)),
        vec![sobel.insert_axis(Axis(0))],
        1,
    )
}

impl Player {
    /// A player for `input` (at most 12 × 12) and `kernel` (at most 5 × 5), without padding and with stride 1.
    ///
    /// # Errors
    /// [`PlayerError`] names the size that is not accepted, or the value that is not finite.
    ///
    /// # Example
    /// ```
    /// use dldna::conv_visual::Player;
    ///
    /// let input = ndarray::arr2(&[[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]]);
    /// let player = Player::new(&input, &ndarray::arr2(&[[1.0, -1.0]]))?;
    /// assert_eq!(*player.output(), ndarray::arr3(&[[[-1.0, -1.0], [-1.0, -1.0]]]));
    /// # Ok::<(), dldna::conv_visual::PlayerError>(())
    /// ```
    pub fn new(input: &Array2<f32>, kernel: &Array2<f32>) -> Result<Player, PlayerError> {
        let filter = kernel.clone().insert_axis(Axis(0));
        Player::layer(&input.clone().insert_axis(Axis(0)), &[filter], 1, 0)
    }

    /// A player for a layer: an `input` of up to four channels, up to four `filters` with a kernel for each channel, a `stride`, and
    /// `padding` zeros on every side. There is no bias.
    ///
    /// # Errors
    /// [`PlayerError`] names the size or the count that is not accepted, or the value that is not finite.
    ///
    /// # Example
    /// ```
    /// use dldna::conv_visual::Player;
    /// use ndarray::Array3;
    ///
    /// let input = Array3::ones((2, 5, 5)); // two channels
    /// let filters = [Array3::ones((2, 3, 3)), Array3::zeros((2, 3, 3)), Array3::ones((2, 3, 3))];
    /// let player = Player::layer(&input, &filters, 2, 1)?;
    /// assert_eq!(player.output().dim(), (3, 3, 3)); // (5 + 2 - 3) / 2 + 1 = 3
    /// assert_eq!(player.output()[[0, 1, 1]], 18.0); // 3 · 3 · 2 ones
    /// assert_eq!(player.output()[[0, 0, 0]], 8.0); // the rest of the window is padding
    /// # Ok::<(), dldna::conv_visual::PlayerError>(())
    /// ```
    pub fn layer(
        input: &Array3<f32>,
        filters: &[Array3<f32>],
        stride: usize,
        padding: usize,
    ) -> Result<Player, PlayerError> {
        let (channels, height, width) = input.dim();
        let around = padding.saturating_mul(2);
        let (input_rows, input_columns) =
            (height.saturating_add(around), width.saturating_add(around));
        if input.is_empty() || input_rows.max(input_columns) > LARGEST_INPUT {
            return Err(PlayerError::InputSize {
                rows: input_rows,
                columns: input_columns,
            });
        }
        let (filter_channels, rows, columns) = filters.first().map_or((0, 0, 0), Array3::dim);
        if channels > MOST_CHANNELS
            || !(1..=MOST_CHANNELS).contains(&filters.len())
            || filters.iter().any(|filter| filter.dim().0 != channels)
        {
            return Err(PlayerError::Channels {
                channels,
                filters: filters.len(),
                filter_channels,
            });
        }
        if rows.min(columns) == 0
            || rows.max(columns) > LARGEST_KERNEL
            || rows > input_rows
            || columns > input_columns
            || filters.iter().any(|f| f.dim() != (channels, rows, columns))
        {
            return Err(PlayerError::KernelSize {
                rows,
                columns,
                input_rows,
                input_columns,
            });
        }
        if stride == 0 {
            return Err(PlayerError::Stride);
        }
        let mut values = input.iter().chain(filters.iter().flatten());
        if let Some(&value) = values.find(|v| !v.is_finite()) {
            return Err(PlayerError::NotFinite(value));
        }
        let mut padded = Array3::zeros((channels, input_rows, input_columns));
        let inside = s![.., padding..padding + height, padding..padding + width];
        padded.slice_mut(inside).assign(input);
        Ok(Player::of(padded, filters.to_vec(), stride))
    }

    /// All sizes fit.
    fn of(input: Array3<f32>, filters: Vec<Array3<f32>>, stride: usize) -> Player {
        let (_, height, width) = input.dim();
        let (_, rows, columns) = filters[0].dim();
        let size = (
            filters.len(),
            (height - rows) / stride + 1,
            (width - columns) / stride + 1,
        );
        let output = Array3::from_shape_fn(size, |(filter, row, column)| {
            let (top, left) = (row * stride, column * stride);
            let window = input.slice(s![.., top..top + rows, left..left + columns]);
            (&window * &filters[filter]).sum()
        });
        Player {
            input,
            filters,
            stride,
            output,
        }
    }

    /// Number of steps: one for each value of the output.
    pub fn steps(&self) -> usize {
        self.output.len()
    }

    /// The finished output (filter, row, column), `out[f, i, j] = Σ꜀ Σₘ Σₙ in[c, i · stride + m, j · stride + n] · filter[f, c, m, n]`.
    pub fn output(&self) -> &Array3<f32> {
        &self.output
    }

    /// A picture of step `step` (counted from 0, at most the last): input with the window marked, the filter at work, the output so
    /// far, and the products with their sum.
    ///
    /// # Example
    /// ```
    /// let player = dldna::conv_visual::create_conv_animation();
    /// assert_eq!(player.frame(15).width(), 640);
    /// ```
    pub fn frame(&self, step: usize) -> Figure {
        let step = step.min(self.steps() - 1);
        let mut so_far = self.output.clone();
        for value in so_far.iter_mut().skip(step + 1) {
            *value = f32::NAN;
        }
        self.draw(&so_far, self.place(step))
    }

    /// Filter, row and column of the output value of a step.
    fn place(&self, step: usize) -> (usize, usize, usize) {
        let (_, rows, columns) = self.output.dim();
        let within = step % (rows * columns);
        (step / (rows * columns), within / columns, within % columns)
    }

    /// The finished output, and the step with the strongest answer.
    fn still(&self) -> Figure {
        let strongest = |a: &(_, &f32), b: &(_, &f32)| a.1.abs().total_cmp(&b.1.abs()).reverse();
        let place = self
            .output
            .indexed_iter()
            .min_by(strongest)
            .map_or((0, 0, 0), |(place, _)| place);
        self.draw(&self.output, place)
    }

    /// Side of a cell: all matrices of a row share the width.
    fn cell(&self) -> f32 {
        let columns = [&self.input, &self.filters[0], &self.output].map(|m| m.dim().2);
        let sum: usize = columns.into_iter().sum();
        ((WIDTH - 2.0 * EDGE - 70.0) / sum as f32).min(42.0)
    }

    fn draw(&self, output: &Array3<f32>, place: (usize, usize, usize)) -> Figure {
        let (filter, row, column) = place;
        let cell = self.cell();
        let parts = [&self.input, &self.filters[filter], output];
        let widths = parts.map(|m| cell * m.dim().2 as f32);
        let gap = (WIDTH - 2.0 * EDGE - widths.iter().sum::<f32>()) / 2.0;
        let lefts = [
            EDGE,
            EDGE + widths[0] + gap,
            EDGE + widths[0] + widths[1] + 2.0 * gap,
        ];
        // Channel by channel, a filter's kernels stand beside the input's channels.
        let step = HEADING + cell * self.input.dim().1 as f32;
        let step_out = HEADING + cell * output.dim().1 as f32;
        let bottom =
            12.0 + (step * self.input.dim().0 as f32).max(step_out * output.dim().0 as f32);
        let lines = self.lines(place);
        let height = bottom + 18.0 + LINE * lines.len() as f32;
        let mut canvas = Canvas::new(WIDTH, height);
        let range = symmetric_range(self.output.iter());
        let input_range = range_of(self.input.iter());
        let weights = symmetric_range(self.filters.iter().flatten());
        let (_, rows, columns) = self.filters[0].dim();
        let at = |index: usize, step: f32| 12.0 + HEADING + index as f32 * step;
        let name = |word: &str, index: usize, count: usize| match count {
            1 => word.to_owned(),
            _ => format!("{word} {}", index + 1),
        };
        let channels = self.input.dim().0;
        for (index, values) in self.input.outer_iter().enumerate() {
            let (x, y) = (lefts[0], at(index, step));
            let title = match channels {
                1 => "Input".to_owned(),
                _ => format!("Channel {}", index + 1),
            };
            draw_titled(
                &mut canvas,
                &title,
                values,
                (x, y),
                cell,
                (ColorMap::Gray, input_range),
            );
            let (left, top) = (column * self.stride, row * self.stride);
            let (left, top) = (x + cell * left as f32, y + cell * top as f32);
            let size = (cell * columns as f32, cell * rows as f32);
            canvas.frame(left, top, size.0, size.1, 3.0, PALETTE[5]);
        }
        for (index, values) in self.filters[filter].outer_iter().enumerate() {
            let (x, y) = (lefts[1], at(index, step));
            let title = match (self.filters.len(), index) {
                (1, 0) => "Kernel".to_owned(),
                (_, 0) => name("Filter", filter, self.filters.len()),
                _ => String::new(),
            };
            draw_titled(
                &mut canvas,
                &title,
                values,
                (x, y),
                cell,
                (ColorMap::Diverging, weights),
            );
        }
        for (index, values) in output.outer_iter().enumerate() {
            let (x, y) = (lefts[2], at(index, step_out));
            let title = name("Output", index, output.dim().0);
            draw_titled(
                &mut canvas,
                &title,
                values,
                (x, y),
                cell,
                (ColorMap::Diverging, range),
            );
            if index == filter {
                let (left, top) = (x + cell * column as f32, y + cell * row as f32);
                canvas.frame(left, top, cell, cell, 3.0, PALETTE[5]);
            }
        }
        canvas.text(&lines.join("\n"), EDGE, bottom + 18.0, LABEL);
        canvas.finish()
    }

    /// The products of a step and their sum, in lines that fit the picture; with several channels one piece for each.
    fn lines(&self, (filter, row, column): (usize, usize, usize)) -> Vec<String> {
        let (channels, rows, columns) = self.filters[filter].dim();
        let (top, left) = (row * self.stride, column * self.stride);
        let mut lines = Vec::new();
        let mut sums = Vec::new();
        for channel in 0..channels {
            let window = s![channel, top..top + rows, left..left + columns];
            let window = self.input.slice(window);
            let kernel = self.filters[filter].index_axis(Axis(0), channel);
            let start = match channels {
                1 => String::new(),
                _ => format!("Channel {}: ", channel + 1),
            };
            let sum = (&window * &kernel).sum();
            let text = format!("{start}{} = {}", terms(window, kernel), number(sum.into()));
            lines.extend(wrapped(&text, WIDTH - 2.0 * EDGE, LABEL.size));
            sums.push(number(sum.into()));
        }
        if channels > 1 {
            let total = number(self.output[[filter, row, column]].into());
            lines.push(format!(
                "Together: {} = {total}",
                sums.join(" + ").replace("+ −", "− ")
            ));
        }
        lines
    }

    /// The player as one piece of HTML: no network, no names that could clash with another player on the page.
    ///
    /// # Example
    /// ```
    /// let html = dldna::conv_visual::create_conv_animation().html();
    /// assert!(html.contains("<script>") && html.contains("data:image/png;base64,"));
    /// ```
    pub fn html(&self) -> String {
        let weights = symmetric_range(self.filters.iter().flatten());
        let filters: Vec<String> = self
            .filters
            .iter()
            .map(|filter| matrices(filter, ColorMap::Diverging, weights))
            .collect();
        let data = format!(
            "{{\"input\":{},\"filters\":[{}],\"output\":{},\"stride\":{}}}",
            matrices(&self.input, ColorMap::Gray, range_of(self.input.iter())),
            filters.join(","),
            matrices(
                &self.output,
                ColorMap::Diverging,
                symmetric_range(self.output.iter())
            ),
            self.stride,
        );
        format!(
            "<div class=\"dldna-player\" data-steps='{data}'>\n\
             <img src=\"data:image/png;base64,{}\" width=\"{WIDTH}\" alt=\"{}\">\n\
             </div>\n<script>\n{}</script>",
            STANDARD.encode(self.still().png()),
            self.description(),
            include_str!("../../assets/player.js"),
        )
    }

    /// What there is to see, for those who cannot see it.
    fn description(&self) -> String {
        let (channels, rows, columns) = self.input.dim();
        let (_, kernel_rows, kernel_columns) = self.filters[0].dim();
        let (filters, out_rows, out_columns) = self.output.dim();
        let plural = |count: usize| if count == 1 { "" } else { "s" };
        format!(
            "{filters} filter{} of {kernel_rows} by {kernel_columns} on an input of {rows} by {columns} with {channels} channel{}, \
             stride {}: {} steps, one for each value of the output of {out_rows} by {out_columns}",
            plural(filters),
            plural(channels),
            self.stride,
            self.steps(),
        )
    }

    /// Shows the player as the result of a notebook cell.
    pub fn evcxr_display(&self) {
        emit(&[
            Content::Bytes("image/png", self.still().png()),
            Content::Text("text/html", &self.html()),
            Content::Text("text/plain", &self.description()),
        ]);
    }
}

/// The matrices of a stack as JSON.
fn matrices(stack: &Array3<f32>, map: ColorMap, range: (f32, f32)) -> String {
    let all: Vec<String> = stack.outer_iter().map(|m| matrix(m, map, range)).collect();
    format!("[{}]", all.join(","))
}

/// Numbers and colours of a matrix as JSON.
fn matrix(m: ArrayView2<f32>, map: ColorMap, (low, high): (f32, f32)) -> String {
    let row = |row: ndarray::ArrayView1<f32>| {
        let numbers: Vec<String> = row
            .iter()
            .map(|v| format!("\"{}\"", number((*v).into())))
            .collect();
        format!("[{}]", numbers.join(","))
    };
    let span = if high > low { high - low } else { 1.0 };
    let color = |&v: &f32| {
        let [r, g, b] = map.color((v - low) / span);
        format!("\"#{r:02x}{g:02x}{b:02x}\"")
    };
    let rows: Vec<String> = m.rows().into_iter().map(row).collect();
    let colors: Vec<String> = m.iter().map(color).collect();
    format!(
        "{{\"rows\":[{}],\"colors\":[{}]}}",
        rows.join(","),
        colors.join(",")
    )
}

/// The products of a window and a kernel, as text.
fn terms(window: ArrayView2<f32>, kernel: ArrayView2<f32>) -> String {
    let term = |(&x, &w): (&f32, &f32)| {
        let weight = number(w.into());
        if w < 0.0 {
            format!("{}·({weight})", number(x.into()))
        } else {
            format!("{}·{weight}", number(x.into()))
        }
    };
    let terms: Vec<String> = window.iter().zip(kernel).map(term).collect();
    terms.join(" + ")
}

/// A matrix at `(x, y)` with its title above, in the colours of a map over a range of values.
fn draw_titled(
    canvas: &mut Canvas,
    title: &str,
    values: ArrayView2<f32>,
    (x, y): (f32, f32),
    cell: f32,
    (map, range): (ColorMap, (f32, f32)),
) {
    canvas.text(title, x, y - 16.0, LABEL.bold());
    draw_matrix(canvas, &values.to_owned(), (x, y), cell, map, Some(range));
}

/// Smallest and largest value.
fn range_of<'a>(values: impl Iterator<Item = &'a f32>) -> (f32, f32) {
    values.fold((f32::MAX, f32::MIN), |(a, b), &v| (a.min(v), b.max(v)))
}

/// Zero in the middle.
fn symmetric_range<'a>(values: impl Iterator<Item = &'a f32>) -> (f32, f32) {
    let most = values.fold(0.0, |most: f32, v| most.max(v.abs()));
    let most = if most > 0.0 { most } else { 1.0 };
    (-most, most)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_sobel_kernel_answers_at_the_two_vertical_edges() {
        let player = create_conv_animation();
        let want = arr2(&[
            [27.0, 27.0, 0.0, -27.0],
            [36.0, 36.0, 0.0, -36.0],
            [27.0, 27.0, 0.0, -27.0],
            [9.0, 9.0, 0.0, -9.0],
        ]);
        assert_eq!(*player.output(), want.insert_axis(Axis(0)));
    }

    #[test]
    fn a_step_lists_its_products() {
        let player = create_conv_animation();
        assert_eq!(
            player.lines((0, 0, 0)).join(" "),
            "0·(−1) + 0·0 + 0·1 + 0·(−2) + 0·0 + 9·2 + 0·(−1) + 0·0 + 9·1 = 27"
        );
    }

    #[test]
    fn two_players_share_a_page_without_common_names() {
        let html = create_conv_animation().html();
        assert!(!html.contains(" id="), "an id would occur twice");
        // The only address is the name of the SVG language, which browsers do not look up.
        assert_eq!(html.matches("://").count(), 1);
        assert!(html.contains("http://www.w3.org/2000/svg"));
        // A quote would end the attribute that holds the steps.
        let data = html
            .split("data-steps='")
            .nth(1)
            .unwrap()
            .split("'>")
            .next()
            .unwrap();
        assert!(data.ends_with("\"stride\":1}") && !data.contains('\''));
    }

    #[test]
    fn what_cannot_be_shown_is_an_error() {
        let message = |i: (usize, usize), k: (usize, usize)| {
            Player::new(&Array2::ones(i), &Array2::ones(k))
                .unwrap_err()
                .to_string()
        };
        assert!(message((13, 2), (1, 1)).contains("13x2"));
        assert!(message((0, 2), (1, 1)).contains("0x2"));
        assert!(message((3, 3), (4, 1)).contains("4x1"));
        assert!(message((9, 9), (6, 6)).contains("6x6"));
        assert!(message((3, 3), (0, 0)).contains("0x0"));
        let layer = |channels: usize, filter: (usize, usize, usize), stride, padding| {
            let input = Array3::ones((channels, 3, 3));
            Player::layer(&input, &[Array3::ones(filter)], stride, padding)
                .unwrap_err()
                .to_string()
        };
        assert!(layer(2, (1, 3, 3), 1, 0).contains("of 1 channels"));
        assert!(layer(5, (5, 3, 3), 1, 0).contains("5 channels"));
        assert!(layer(1, (1, 3, 3), 0, 0).contains("stride"));
        assert!(layer(1, (1, 3, 3), 1, 5).contains("13x13"));
        assert!(layer(1, (1, 3, 3), 1, usize::MAX).contains("18446744073709551615"));
        assert!(Player::layer(&Array3::ones((1, 3, 3)), &[], 1, 0).is_err());
        assert!(
            Player::new(&arr2(&[[f32::NAN]]), &arr2(&[[1.0]]))
                .unwrap_err()
                .to_string()
                .contains("NaN")
        );
    }

    #[test]
    fn a_layer_gives_what_the_seven_loops_give() {
        use crate::prelude::*;
        let dev = Cpu::seed_from_u64(7);
        let layer = crate::simple_conv::SimpleConv2d::new(2, 3, 3, 2, 1, 7);
        let x = dev.sample_normal_like(&(1usize, 2usize, 6usize, 7usize));
        let want = layer.forward(&x).unwrap().as_vec();
        let input = Array3::from_shape_vec((2, 6, 7), x.as_vec()).unwrap();
        let filters: Vec<_> = layer
            .weight
            .as_vec()
            .chunks(18)
            .map(|w| Array3::from_shape_vec((2, 3, 3), w.to_vec()).unwrap())
            .collect();
        let player = Player::layer(&input, &filters, 2, 1).unwrap();
        let bias = layer.bias.as_vec();
        let size = want.len() / 3;
        for (index, (got, want)) in player.output().iter().zip(&want).enumerate() {
            assert!((got + bias[index / size] - want).abs() < 1e-5);
        }
        let lines = player.lines((0, 0, 0)).join(" ");
        assert!(lines.contains("Channel 2: ") && lines.contains("Together: "));
        assert_eq!(player.frame(0).width(), 640);
    }

    #[test]
    fn every_size_that_is_accepted_can_be_drawn() {
        for (i, k) in [
            ((1, 1), (1, 1)),
            ((12, 12), (5, 5)),
            ((1, 12), (1, 3)),
            ((12, 2), (5, 2)),
        ] {
            let player =
                Player::new(&Array2::from_elem(i, 123.45), &Array2::from_elem(k, -0.125)).unwrap();
            assert_eq!(player.frame(usize::MAX).width(), 640);
            assert_eq!(player.still().width(), 640);
        }
    }
}
