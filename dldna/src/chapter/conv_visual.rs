//! Convolution as a film: a player for the notebook that shows every step in numbers.

use crate::display::{Content, emit};
use crate::plot::{Canvas, ColorMap, Figure, LABEL, LINE_SPACING, PALETTE, draw_matrix, number};
use base64::{Engine, engine::general_purpose::STANDARD};
use ndarray::{Array2, arr2, s};

/// The largest input side whose numbers can be read.
const LARGEST_INPUT: usize = 12;
/// The largest kernel side whose products fit on a line or two.
const LARGEST_KERNEL: usize = 5;

/// Height of a line of text.
const LINE: f32 = LINE_SPACING * LABEL.size;

/// What can be wrong with the input of a [`Player`].
#[derive(Debug, thiserror::Error)]
pub enum PlayerError {
    /// An input that is empty, too large to be read, or contradicts its size.
    #[error(
        "an input of {rows}x{columns} cannot be shown: expected 1 to {LARGEST_INPUT} rows and columns, all filled"
    )]
    InputSize {
        /// Rows of the input.
        rows: usize,
        /// Columns of the input.
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
        /// Rows of the input.
        input_rows: usize,
        /// Columns of the input.
        input_columns: usize,
    },
    /// A value that is not finite.
    #[error("the input and the kernel must hold finite numbers, found {0}")]
    NotFinite(f32),
}

/// A kernel on its way over an input, one output value after the other.
///
/// In a notebook it is a player with buttons and a slider that works without a kernel process; where scripts are not run (on GitHub, in
/// an untrusted notebook), the picture of one step stands in its place.
#[derive(Clone, Debug)]
pub struct Player {
    input: Array2<f32>,
    kernel: Array2<f32>,
    output: Array2<f32>,
}

/// The player of section 7.1.2: a bright square in a dark 6 × 6 image, the Sobel kernel for vertical edges, a 4 × 4 output, 16 steps.
///
/// # Example
/// ```
/// let player = dldna::conv_visual::create_conv_animation();
/// assert_eq!(player.steps(), 16);
/// assert_eq!(player.output().dim(), (4, 4));
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
    Player::of(&input, &sobel)
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
    /// assert_eq!(*player.output(), ndarray::arr2(&[[-1.0, -1.0], [-1.0, -1.0]]));
    /// # Ok::<(), dldna::conv_visual::PlayerError>(())
    /// ```
    pub fn new(input: &Array2<f32>, kernel: &Array2<f32>) -> Result<Player, PlayerError> {
        let (input_rows, input_columns) = input.dim();
        let (rows, columns) = kernel.dim();
        if input.is_empty() || input_rows.max(input_columns) > LARGEST_INPUT {
            return Err(PlayerError::InputSize {
                rows: input_rows,
                columns: input_columns,
            });
        }
        if kernel.is_empty()
            || rows.max(columns) > LARGEST_KERNEL
            || rows > input_rows
            || columns > input_columns
        {
            return Err(PlayerError::KernelSize {
                rows,
                columns,
                input_rows,
                input_columns,
            });
        }
        if let Some(&value) = input.iter().chain(kernel).find(|v| !v.is_finite()) {
            return Err(PlayerError::NotFinite(value));
        }
        Ok(Player::of(input, kernel))
    }

    /// The kernel fits into the input.
    fn of(input: &Array2<f32>, kernel: &Array2<f32>) -> Player {
        let size = (
            input.nrows() - kernel.nrows() + 1,
            input.ncols() - kernel.ncols() + 1,
        );
        let output = Array2::from_shape_fn(size, |place| products(input, kernel, place).sum());
        Player {
            input: input.clone(),
            kernel: kernel.clone(),
            output,
        }
    }

    /// Number of steps: one for each value of the output.
    pub fn steps(&self) -> usize {
        self.output.len()
    }

    /// The finished output, `out[i, j] = Σₘ Σₙ in[i + m, j + n] · kernel[m, n]`.
    pub fn output(&self) -> &Array2<f32> {
        &self.output
    }

    /// A picture of step `step` (counted from 0, at most the last): input with the window marked, kernel, the output so far, and the
    /// products with their sum.
    ///
    /// # Example
    /// ```
    /// let player = dldna::conv_visual::create_conv_animation();
    /// assert_eq!(player.frame(15).width(), 900);
    /// ```
    pub fn frame(&self, step: usize) -> Figure {
        let step = step.min(self.steps() - 1);
        let place = (step / self.output.ncols(), step % self.output.ncols());
        let so_far = Array2::from_shape_fn(self.output.dim(), |(i, j)| {
            if i * self.output.ncols() + j <= step {
                self.output[[i, j]]
            } else {
                f32::NAN
            }
        });
        self.draw(&so_far, place)
    }

    /// The finished output, and the step with the strongest answer.
    fn still(&self) -> Figure {
        let strongest = |a: &(_, &f32), b: &(_, &f32)| a.1.abs().total_cmp(&b.1.abs()).reverse();
        let place = self
            .output
            .indexed_iter()
            .min_by(strongest)
            .map_or((0, 0), |(place, _)| place);
        self.draw(&self.output, place)
    }

    fn draw(&self, output: &Array2<f32>, (row, column): (usize, usize)) -> Figure {
        let side = self.input.nrows().max(self.input.ncols()) as f32;
        let cell = (280.0 / side).min(46.0);
        let (top, accent) = (52.0, PALETTE[5]);
        let width_of = |m: &Array2<f32>| cell * m.ncols() as f32;
        let parts = [
            ("Input", &self.input),
            ("Kernel", &self.kernel),
            ("Output", output),
        ];
        let gap = (900.0 - 28.0 - parts.iter().map(|(_, m)| width_of(m)).sum::<f32>()) / 2.0;
        let terms = self.terms((row, column));
        let lines = wrap_terms(&terms);
        let bottom = top + cell * self.input.nrows() as f32;
        let mut canvas = Canvas::new(900.0, bottom + 28.0 + LINE * lines.len() as f32);
        let mut x = 14.0;
        for (i, (name, values)) in parts.into_iter().enumerate() {
            canvas.text(name, x, 26.0, LABEL.bold());
            let map = if i == 0 {
                ColorMap::Gray
            } else {
                ColorMap::Diverging
            };
            // The colours of the output do not change from step to step.
            let range = (i == 2).then(|| symmetric_range(&self.output));
            draw_matrix(&mut canvas, values, (x, top), cell, map, range);
            let (left, upper) = (x + cell * column as f32, top + cell * row as f32);
            match i {
                0 => canvas.frame(
                    left,
                    upper,
                    width_of(&self.kernel),
                    cell * self.kernel.nrows() as f32,
                    3.0,
                    accent,
                ),
                2 => canvas.frame(left, upper, cell, cell, 3.0, accent),
                _ => {}
            }
            x += width_of(values) + gap;
        }
        canvas.text(
            &lines.join(
                "
",
            ),
            14.0,
            bottom + 28.0,
            LABEL,
        );
        canvas.finish()
    }

    /// The products as text, and their sum.
    fn terms(&self, (row, column): (usize, usize)) -> (Vec<String>, String) {
        let (rows, columns) = self.kernel.dim();
        let window = self
            .input
            .slice(s![row..row + rows, column..column + columns]);
        let term = |(&x, &w): (&f32, &f32)| {
            let weight = number(w.into());
            if w < 0.0 {
                format!("{}·({weight})", number(x.into()))
            } else {
                format!("{}·{weight}", number(x.into()))
            }
        };
        (
            window.iter().zip(&self.kernel).map(term).collect(),
            number(self.output[[row, column]].into()),
        )
    }

    /// The player as one piece of HTML: no network, no names that could clash with another player on the page.
    ///
    /// # Example
    /// ```
    /// let html = dldna::conv_visual::create_conv_animation().html();
    /// assert!(html.contains("<script>") && html.contains("data:image/png;base64,"));
    /// ```
    pub fn html(&self) -> String {
        let rows = |m: &Array2<f32>| {
            let row = |r: ndarray::ArrayView1<f32>| {
                let numbers: Vec<String> = r
                    .iter()
                    .map(|v| format!("\"{}\"", number((*v).into())))
                    .collect();
                format!("[{}]", numbers.join(","))
            };
            format!(
                "[{}]",
                m.rows().into_iter().map(row).collect::<Vec<_>>().join(",")
            )
        };
        let colors = |m: &Array2<f32>, map: ColorMap, (low, high): (f32, f32)| {
            let span = if high > low { high - low } else { 1.0 };
            let color = |&v: &f32| {
                let [r, g, b] = map.color((v - low) / span);
                format!("\"#{r:02x}{g:02x}{b:02x}\"")
            };
            format!("[{}]", m.iter().map(color).collect::<Vec<_>>().join(","))
        };
        let matrix = |m: &Array2<f32>, map: ColorMap, range| {
            format!(
                "{{\"rows\":{},\"colors\":{}}}",
                rows(m),
                colors(m, map, range)
            )
        };
        let (low, high) = self
            .input
            .iter()
            .fold((f32::MAX, f32::MIN), |(a, b), &v| (a.min(v), b.max(v)));
        let data = format!(
            "{{\"input\":{},\"kernel\":{},\"output\":{}}}",
            matrix(&self.input, ColorMap::Gray, (low, high)),
            matrix(
                &self.kernel,
                ColorMap::Diverging,
                symmetric_range(&self.kernel)
            ),
            matrix(
                &self.output,
                ColorMap::Diverging,
                symmetric_range(&self.output)
            ),
        );
        let (rows, columns) = self.input.dim();
        let (kernel_rows, kernel_columns) = self.kernel.dim();
        format!(
            "<div class=\"dldna-player\" data-steps='{data}'>\n\
             <img src=\"data:image/png;base64,{}\" width=\"900\" alt=\"A {kernel_rows} by {kernel_columns} kernel on a \
             {rows} by {columns} input: {} steps, one for each output value\">\n\
             </div>\n<script>\n{}</script>",
            STANDARD.encode(self.still().png()),
            self.steps(),
            include_str!("../../assets/player.js"),
        )
    }

    /// Shows the player as the result of a notebook cell.
    pub fn evcxr_display(&self) {
        let text = format!("convolution in {} steps", self.steps());
        emit(&[
            Content::Bytes("image/png", self.still().png()),
            Content::Text("text/html", &self.html()),
            Content::Text("text/plain", &text),
        ]);
    }
}

/// Window times kernel at an output place.
fn products(
    input: &Array2<f32>,
    kernel: &Array2<f32>,
    (row, column): (usize, usize),
) -> Array2<f32> {
    let (rows, columns) = kernel.dim();
    &input.slice(s![row..row + rows, column..column + columns]) * kernel
}

/// Zero in the middle.
fn symmetric_range(values: &Array2<f32>) -> (f32, f32) {
    let most = values.iter().fold(0.0, |most: f32, v| most.max(v.abs()));
    let most = if most > 0.0 { most } else { 1.0 };
    (-most, most)
}

/// The sum of products, and its result, in lines that fit the figure.
fn wrap_terms((terms, sum): &(Vec<String>, String)) -> Vec<String> {
    let first = terms.iter().take(1).cloned();
    let others = terms.iter().skip(1).map(|term| format!("+ {term}"));
    let mut lines: Vec<String> = Vec::new();
    for part in first.chain(others).chain([format!("= {sum}")]) {
        match lines.last_mut() {
            Some(line) if LABEL.width(&format!("{line} {part}")) <= 860.0 => {
                *line += &format!(" {part}")
            }
            _ => lines.push(part),
        }
    }
    lines
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
        assert_eq!(*player.output(), want);
    }

    #[test]
    fn a_step_lists_its_products() {
        let player = create_conv_animation();
        let (terms, sum) = player.terms((0, 0));
        assert_eq!(
            terms,
            [
                "0·(−1)",
                "0·0",
                "0·1",
                "0·(−2)",
                "0·0",
                "9·2",
                "0·(−1)",
                "0·0",
                "9·1"
            ]
        );
        assert_eq!(sum, "27");
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
        assert!(data.ends_with("]}}") && !data.contains('\''));
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
        assert!(
            Player::new(&arr2(&[[f32::NAN]]), &arr2(&[[1.0]]))
                .unwrap_err()
                .to_string()
                .contains("NaN")
        );
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
            assert_eq!(player.frame(usize::MAX).width(), 900);
            assert_eq!(player.still().width(), 900);
        }
    }
}
