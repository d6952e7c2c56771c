//! Where a sliding window lands: output sizes, and which inputs a kernel tap meets.

use std::ops::Range;

/// A window that slides over an image, with zeros (or whatever the operation needs) around the image.
///
/// ```
/// use dldna_nn::kernels::window::Window;
/// let window = Window::square(3, 2, 1, 1); // 3x3, stride 2, padding 1, dilation 1
/// assert_eq!(window.output_size(28, 28), Some((14, 14)));
/// assert_eq!(Window::square(7, 1, 0, 1).output_size(5, 5), None); // larger than the image
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Window {
    /// Height and width of the kernel.
    pub kernel: (usize, usize),
    /// Pixels from one position of the window to the next.
    pub stride: usize,
    /// Rows above and below, columns left and right, that are added around the image.
    pub padding: (usize, usize),
    /// Pixels from one kernel tap to the next.
    pub dilation: usize,
}

impl Window {
    /// A window with the same kernel size and padding in both directions.
    pub const fn square(kernel: usize, stride: usize, padding: usize, dilation: usize) -> Self {
        Self {
            kernel: (kernel, kernel),
            stride,
            padding: (padding, padding),
            dilation,
        }
    }

    /// Number of positions of the window on an image of `height` x `width`, or `None` where the window
    /// does not fit (or the kernel, the stride or the dilation is zero, or a size is too large to count).
    ///
    /// `out = floor((in + 2 padding - dilation (kernel - 1) - 1) / stride) + 1`
    pub fn output_size(&self, height: usize, width: usize) -> Option<(usize, usize)> {
        Some((
            self.positions(height, self.kernel.0, self.padding.0)?,
            self.positions(width, self.kernel.1, self.padding.1)?,
        ))
    }

    fn positions(&self, input: usize, kernel: usize, padding: usize) -> Option<usize> {
        if self.stride == 0 || self.dilation == 0 {
            return None;
        }
        let reach = self.dilation.checked_mul(kernel.checked_sub(1)?)?;
        let padded = padding.checked_mul(2)?.checked_add(input)?;
        // One less than the pixels that the window leaves free; and there are no more positions than pixels.
        let room = padded.checked_sub(1)?.checked_sub(reach)?;
        let positions = (room / self.stride).checked_add(1)?;
        (input > 0).then_some(positions)
    }
}

/// A window together with the image it slides over: what every kernel needs to know about geometry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sliding {
    /// The window.
    pub window: Window,
    /// Height and width of the image.
    pub input: (usize, usize),
    /// Height and width of the result.
    pub output: (usize, usize),
}

impl Sliding {
    /// `window` over an image of `input` = (height, width); `None` where it does not fit, or there are too many pixels to
    /// count.
    pub fn new(window: Window, input: (usize, usize)) -> Option<Self> {
        let output = window.output_size(input.0, input.1)?;
        // Neither the image nor the result has more pixels than the image with its padding.
        let padded = |size: usize, padding: usize| size + 2 * padding;
        padded(input.0, window.padding.0).checked_mul(padded(input.1, window.padding.1))?;
        Some(Self {
            window,
            input,
            output,
        })
    }

    /// Pixels of the image.
    pub fn input_pixels(&self) -> usize {
        self.input.0 * self.input.1
    }

    /// Pixels of the result.
    pub fn output_pixels(&self) -> usize {
        self.output.0 * self.output.1
    }

    /// The input row that kernel row `tap` meets at output row `output_row`, if it is not padding.
    pub fn input_row(&self, output_row: usize, tap: usize) -> Option<usize> {
        (output_row * self.window.stride + tap * self.window.dilation)
            .checked_sub(self.window.padding.0)
            .filter(|&row| row < self.input.0)
    }

    /// The output columns at which kernel column `tap` meets the image and not its padding,
    /// and the input column that belongs to the first of them.
    pub fn columns(&self, tap: usize) -> (Range<usize>, usize) {
        let (first, start) = reach(
            tap * self.window.dilation,
            self.window.padding.1,
            self.window.stride,
        );
        let end = if start < self.input.1 {
            (first + (self.input.1 - 1 - start) / self.window.stride + 1).min(self.output.1)
        } else {
            first
        };
        (first..end.max(first), start)
    }

    /// The kernel taps (row, column) that meet the image at least once. On a 1x1 image with padding,
    /// eight of the nine taps of a 3x3 kernel only ever meet padding, and need no work.
    pub fn useful_taps(&self) -> Vec<(usize, usize)> {
        let rows = (0..self.window.kernel.0)
            .filter(|&tap| (0..self.output.0).any(|row| self.input_row(row, tap).is_some()));
        rows.flat_map(|row| (0..self.window.kernel.1).map(move |column| (row, column)))
            .filter(|&(_, column)| !self.columns(column).0.is_empty())
            .collect()
    }
}

/// The first output position at which a tap `offset` pixels into the window is past the padding,
/// and the input position that it meets there.
pub(super) fn reach(offset: usize, padding: usize, stride: usize) -> (usize, usize) {
    let first = padding.saturating_sub(offset).div_ceil(stride);
    (first, first * stride + offset - padding)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn windows() -> impl Strategy<Value = (Window, usize, usize)> {
        (
            (1..5usize, 1..5usize),
            1..4usize,
            (0..3usize, 0..3usize),
            1..3usize,
            1..9usize,
            1..9usize,
        )
            .prop_map(|(kernel, stride, padding, dilation, height, width)| {
                let window = Window {
                    kernel,
                    stride,
                    padding,
                    dilation,
                };
                (window, height, width)
            })
    }

    proptest! {
        /// Counts the positions one by one.
        #[test]
        fn output_size_counts_positions((window, height, width) in windows()) {
            let count = |input: usize, kernel: usize, padding: usize| {
                (0..).map(|i| i * window.stride)
                    .take_while(|start| start + (kernel - 1) * window.dilation < input + 2 * padding)
                    .count()
            };
            let expected = (
                count(height, window.kernel.0, window.padding.0),
                count(width, window.kernel.1, window.padding.1),
            );
            match window.output_size(height, width) {
                Some(size) => prop_assert_eq!(size, expected),
                None => prop_assert!(expected.0 == 0 || expected.1 == 0),
            }
        }

        /// Tries every output column against the definition of the window.
        #[test]
        fn columns_are_those_inside_the_image((window, height, width) in windows()) {
            let Some(sliding) = Sliding::new(window, (height, width)) else { return Ok(()) };
            for tap in 0..window.kernel.1 {
                let inside: Vec<usize> = (0..sliding.output.1)
                    .filter(|x| {
                        let column = (x * window.stride + tap * window.dilation) as isize - window.padding.1 as isize;
                        (0..width as isize).contains(&column)
                    })
                    .collect();
                let (range, start) = sliding.columns(tap);
                prop_assert_eq!(range.clone().collect::<Vec<_>>(), inside);
                if !range.is_empty() {
                    prop_assert_eq!(start + window.padding.1, range.start * window.stride + tap * window.dilation);
                }
            }
        }
    }

    #[test]
    fn a_one_pixel_image_needs_one_tap() {
        let sliding = Sliding::new(Window::square(3, 1, 1, 1), (1, 1)).unwrap();
        assert_eq!(sliding.useful_taps(), [(1, 1)]);
    }

    #[test]
    fn sizes_beyond_counting_have_no_output() {
        const HUGE: usize = usize::MAX;
        for size in [0, 1, 2, 1 << 32, 1 << 63, HUGE - 1, HUGE] {
            for window in [
                Window::square(size, 1, 0, 1),
                Window::square(3, size, 1, 1),
                Window::square(3, 1, size, 1),
                Window::square(3, 1, 0, size),
                Window::square(size, size, size, size),
            ] {
                for image in [(0, 1), (1, 8), (8, size), (size, size)] {
                    if let Some(sliding) = Sliding::new(window, image) {
                        assert!(sliding.output.0 >= 1 && sliding.output_pixels() >= 1);
                        assert!(sliding.input_pixels() >= 1);
                    }
                }
            }
        }
        assert_eq!(Window::square(3, 1, 1 << 63, 1).output_size(8, 8), None);
        assert_eq!(
            Window::square(1, 1, 0, 1).output_size(HUGE, 1),
            Some((HUGE, 1))
        );
        assert_eq!(
            Sliding::new(Window::square(1, 1, 0, 1), (1 << 32, 1 << 32)),
            None
        );
    }

    #[test]
    fn impossible_windows_have_no_output() {
        assert_eq!(Window::square(0, 1, 0, 1).output_size(4, 4), None);
        assert_eq!(Window::square(1, 0, 0, 1).output_size(4, 4), None);
        assert_eq!(Window::square(3, 1, 0, 2).output_size(4, 4), None);
        assert_eq!(Window::square(1, 1, 1, 1).output_size(0, 4), None);
    }
}
