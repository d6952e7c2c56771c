//! A plane laid out so that each tap of a sliding window reads it in one contiguous run.
//!
//! ```text
//! padded plane, stride 1          its four phases, stride 2
//! . . . .                         . .   . .     phase (a, b) holds the pixels at rows a, a + 2, ..
//! . 1 2 3                         . 5   4 6     and columns b, b + 2, ..: what the tap in row a, column b
//! . 4 5 6                         . .   . .     of the kernel meets as the window moves on
//! . 7 8 9                         . 2   1 3
//! . . . . .                       . 8   7 9
//! ```
//!
//! The padding in front of a line is the padding behind the line above, too.
//!
//! A result then depends, tap by tap, on the element at a fixed distance: long runs without an end of line, which the
//! compiler turns into vector instructions. They also make a few results that lie behind the end of each line and that
//! nobody reads.

use super::vector::{WIDTH, vectorized};
use super::window::{Sliding, Window, reach};

/// Results that are computed at a time, in registers. (`depthwise/fwd/b64/c144/32/k5`: 9.2 ms, with 32 of them 10.3, with 16
/// 13.0.)
pub const LANES: usize = 64;

/// The phases of the planes that a window slides over.
///
/// ```
/// use dldna_nn::kernels::phases::Phases;
/// use dldna_nn::kernels::window::{Sliding, Window};
/// // Every second of four pixels.
/// let phases = Phases::new(Sliding::new(Window::square(1, 2, 0, 1), (1, 4)).unwrap());
/// let mut elements = phases.room(0.0);
/// phases.split(&[5.0, 6.0, 7.0, 8.0], &mut elements);
/// assert_eq!(elements[phases.start(phases.taps()[0])..][..2], [5.0, 7.0]);
/// ```
#[derive(Debug, Clone)]
pub struct Phases {
    sliding: Sliding,
    taps: Vec<Tap>,
    /// Rows of a phase, and elements from one row to the next.
    size: (usize, usize),
    /// The largest [`Tap::distance`].
    reach: usize,
}

/// Where a tap of the kernel reads: the result at position `p` meets element `p + distance` of a phase.
#[derive(Debug, Clone, Copy)]
pub struct Tap {
    /// Of `stride * stride`, row by row.
    pub phase: usize,
    /// Elements from a result's position to what it meets.
    pub distance: usize,
}

impl Phases {
    /// The phases for a window on images of one size.
    pub fn new(sliding: Sliding) -> Self {
        let Window {
            kernel,
            stride,
            dilation,
            ..
        } = sliding.window;
        let size = (
            sliding.output.0 + (kernel.0 - 1) * dilation / stride,
            line(&sliding),
        );
        let tap = |i: usize, j: usize| Tap {
            phase: i * dilation % stride * stride + j * dilation % stride,
            distance: i * dilation / stride * size.1 + j * dilation / stride,
        };
        let taps: Vec<Tap> = (0..kernel.0)
            .flat_map(|i| (0..kernel.1).map(move |j| tap(i, j)))
            .collect();
        Self {
            sliding,
            reach: taps.iter().map(|tap| tap.distance).max().unwrap_or(0),
            taps,
            size,
        }
    }

    /// The window and the images.
    pub fn sliding(&self) -> &Sliding {
        &self.sliding
    }

    /// The taps of the kernel, row by row.
    pub fn taps(&self) -> &[Tap] {
        &self.taps
    }

    /// Positions from one line of results to the next.
    pub fn line(&self) -> usize {
        self.size.1
    }

    /// Positions of the results of a plane, from the first to the last: those behind the ends of the lines between them are included.
    pub fn positions(&self) -> usize {
        let (height, width) = self.sliding.output;
        (height - 1) * self.size.1 + width
    }

    /// [`positions`](Self::positions), rounded up to a multiple of [`LANES`].
    pub fn run(&self) -> usize {
        self.positions().next_multiple_of(LANES)
    }

    /// Elements of a phase, rounded up to a multiple of [`LANES`].
    pub fn phase_run(&self) -> usize {
        (self.size.0 * self.size.1).next_multiple_of(LANES)
    }

    /// The largest distance of a tap.
    pub fn reach(&self) -> usize {
        self.reach
    }

    /// Room for all phases of a plane, each followed by what a run may read behind it, filled with what stands for padding.
    pub fn room(&self, padding: f32) -> Vec<f32> {
        vec![padding; self.room_size()]
    }

    /// Elements of the [`room`](Self::room) for a plane.
    pub fn room_size(&self) -> usize {
        self.sliding.window.stride.pow(2) * self.room_of_one()
    }

    /// Elements of a phase and of what a run may read behind it.
    fn room_of_one(&self) -> usize {
        self.run() + self.reach
    }

    /// Where in the phases the run of a tap starts.
    pub fn start(&self, tap: Tap) -> usize {
        tap.phase * self.room_of_one() + tap.distance
    }

    /// Copies a plane into its phases, where the padding is already.
    pub fn split(&self, plane: &[f32], phases: &mut [f32]) {
        let stride = self.sliding.window.stride;
        vectorized(
            #[inline(always)]
            || {
                for (phase, elements) in phases.chunks_exact_mut(self.room_of_one()).enumerate() {
                    self.for_each_line(
                        phase,
                        #[inline(always)]
                        |position, pixel, length| {
                            let line = &mut elements[position..position + length];
                            copy_every(stride, &plane[pixel..], line);
                        },
                    );
                }
            },
        );
    }

    /// Copies a plane of results to the positions of a run.
    pub fn spread<T: Copy>(&self, results: &[T], run: &mut [T]) {
        let lines = results.chunks_exact(self.sliding.output.1);
        for (from, to) in lines.zip(run.chunks_mut(self.size.1)) {
            to[..from.len()].copy_from_slice(from);
        }
    }

    /// Copies a run's results to their plane, without those behind the ends of the lines.
    pub fn gather<T: Copy>(&self, run: &[T], results: &mut [T]) {
        let lines = results.chunks_exact_mut(self.sliding.output.1);
        for (to, from) in lines.zip(run.chunks(self.size.1)) {
            to.copy_from_slice(&from[..to.len()]);
        }
    }

    /// Calls `visit(position, pixel, length)` for each line of a phase, without its padding: position `position + i`
    /// holds pixel `pixel + i * stride`.
    #[inline(always)]
    pub fn for_each_line(&self, phase: usize, mut visit: impl FnMut(usize, usize, usize)) {
        let Sliding { window, input, .. } = self.sliding;
        let (a, b) = (phase / window.stride, phase % window.stride);
        let (top, first_row, height) =
            overlap(a, window.padding.0, window.stride, self.size.0, input.0);
        let (left, first_column, width) =
            overlap(b, window.padding.1, window.stride, self.size.1, input.1);
        if width == 0 {
            return;
        }
        for row in 0..height {
            visit(
                (top + row) * self.size.1 + left,
                (first_row + row * window.stride) * input.1 + first_column,
                width,
            );
        }
    }
}

/// Elements from one line of a phase to the next. A line has room for its pixels, and what a tap meets behind its end is padding in
/// front of the next line.
fn line(sliding: &Sliding) -> usize {
    let Window {
        kernel,
        stride,
        padding,
        dilation,
    } = sliding.window;
    let lengths = (0..kernel.1).map(|j| {
        let met = sliding.output.1 + j * dilation / stride;
        let phase = j * dilation % stride;
        let (left, _, pixels) = overlap(phase, padding.1, stride, met, sliding.input.1);
        (left + pixels).max(met.saturating_sub(left))
    });
    lengths.fold(sliding.output.1, usize::max)
}

/// The lines of a phase that lie on the image: the first of them, the image's line there, and how many there are.
/// Line `i` of phase `offset` is line `i * stride + offset - padding` of the image.
fn overlap(
    offset: usize,
    padding: usize,
    stride: usize,
    lines: usize,
    size: usize,
) -> (usize, usize, usize) {
    let (first, start) = reach(offset, padding, stride);
    let count = size.saturating_sub(start).div_ceil(stride);
    (first, start, count.min(lines.saturating_sub(first)))
}

/// `to[i] = from[i * stride]`, in vector instructions for the strides that networks have.
#[inline(always)]
pub fn copy_every(stride: usize, from: &[f32], to: &mut [f32]) {
    match stride {
        1 => to.copy_from_slice(&from[..to.len()]),
        2 => copy_every_second(from, to),
        _ => {
            for (to, from) in to.iter_mut().zip(from.iter().step_by(stride)) {
                *to = *from;
            }
        }
    }
}

#[inline(always)]
fn copy_every_second(from: &[f32], to: &mut [f32]) {
    let (blocks, _) = from.as_chunks::<{ 2 * WIDTH }>();
    let done = blocks.len().min(to.len() / WIDTH) * WIDTH;
    for (to, from) in to.as_chunks_mut::<WIDTH>().0.iter_mut().zip(blocks) {
        *to = std::array::from_fn(|i| from[2 * i]);
    }
    // The very last may have no neighbour.
    for (to, from) in to[done..]
        .iter_mut()
        .zip(from[2 * done..].iter().step_by(2))
    {
        *to = *from;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_copied_ends_with_the_last_that_is_wanted() {
        for stride in 1..4usize {
            for length in 0..70usize {
                let from: Vec<f32> = (0..(length * stride).saturating_sub(stride - 1))
                    .map(|i| i as f32)
                    .collect();
                let mut to = vec![-1.0; length];
                copy_every(stride, &from, &mut to);
                assert!(
                    to.iter()
                        .enumerate()
                        .all(|(i, to)| *to == (i * stride) as f32)
                );
            }
        }
    }
}
