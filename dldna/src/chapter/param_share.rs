//! What sharing one filter over all positions saves.
//!
//! A convolution uses the same weights at every position, so its parameter count does not depend on the image's
//! size. A fully connected layer has a weight for every pair of input and output pixel, so its count grows with the
//! fourth power of the image's side.

use std::fmt;

use crate::table::{Table, with_thousands};

/// Side of the square filter that is compared.
const KERNEL_SIZE: u128 = 3;

/// Parameters of a convolution with one `3 x 3` filter from one channel to one channel:
/// `k * k * in_channels * out_channels + out_channels` = 3 * 3 * 1 * 1 + 1 = 10.
pub const CONVOLUTION_PARAMETERS: u128 = KERNEL_SIZE * KERNEL_SIZE + 1;

/// Parameters of a fully connected layer from all pixels of a `size x size` image to as many outputs:
/// `size^2 * size^2` weights and `size^2` biases.
///
/// `None` if the count does not fit `u128`, which happens for sides of 2^32 and more.
///
/// ```
/// use dldna::param_share::fully_connected_parameters;
///
/// assert_eq!(fully_connected_parameters(32), Some(1_049_600));
/// assert_eq!(fully_connected_parameters(usize::MAX), None);
/// ```
pub fn fully_connected_parameters(size: usize) -> Option<u128> {
    let pixels = (size as u128).checked_mul(size as u128)?;
    pixels.checked_mul(pixels)?.checked_add(pixels)
}

/// The two counts for one image size.
#[derive(Debug, Clone, PartialEq)]
pub struct ParameterRow {
    /// Side of the square image, in pixels.
    pub size: usize,
    /// Parameters of the convolution: the same for every size.
    pub convolution: u128,
    /// Parameters of the fully connected layer; `None` if they do not fit `u128`.
    pub fully_connected: Option<u128>,
    /// `fully_connected / convolution`.
    pub ratio: f64,
}

impl ParameterRow {
    fn new(size: usize) -> Self {
        let pixels = (size as f64).powi(2);
        let fully_connected = fully_connected_parameters(size);
        Self {
            size,
            convolution: CONVOLUTION_PARAMETERS,
            fully_connected,
            ratio: fully_connected.map_or(pixels * pixels + pixels, |count| count as f64)
                / CONVOLUTION_PARAMETERS as f64,
        }
    }

    fn fully_connected_text(&self, exact: impl Fn(u128) -> String) -> String {
        let approximate = || format!("{:.3e}", self.ratio * self.convolution as f64);
        self.fully_connected.map_or_else(approximate, exact)
    }
}

/// Parameters of a convolution and of a fully connected layer, one row for each image size.
#[derive(Debug, Clone, PartialEq)]
pub struct ParameterTable {
    /// One row for each size, in the order given.
    pub rows: Vec<ParameterRow>,
}

impl ParameterTable {
    fn table(&self) -> Table {
        let mut table = Table::new(
            &[
                "",
                "Input Size",
                "Conv Params",
                "FC Params",
                "Ratio (FC/Conv)",
            ],
            1,
        );
        for (index, row) in self.rows.iter().enumerate() {
            table.push(vec![
                index.to_string(),
                format!("{0}x{0}", row.size),
                row.convolution.to_string(),
                row.fully_connected_text(|count| count.to_string()),
                if row.fully_connected.is_some() {
                    format!("{:.1}", row.ratio)
                } else {
                    format!("{:.3e}", row.ratio)
                },
            ]);
        }
        table
    }

    /// Shows the table in the notebook.
    pub fn evcxr_display(&self) {
        self.table().show("");
    }
}

impl fmt::Display for ParameterTable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.table().fmt(f)
    }
}

/// Compares, for square one-channel images of the given sizes, a `3 x 3` convolution with a fully connected layer
/// that gives as many outputs.
///
/// ```
/// use dldna::param_share::compare_parameter_counts;
///
/// let table = compare_parameter_counts(&[8, 16]);
/// assert_eq!(table.rows[0].fully_connected, Some(4160));
/// assert_eq!(table.rows[1].ratio, 6579.2);
/// println!("{table}");
/// ```
pub fn compare_parameter_counts(sizes: &[usize]) -> ParameterTable {
    ParameterTable {
        rows: sizes.iter().map(|&size| ParameterRow::new(size)).collect(),
    }
}

/// What [`show_example`] prints.
///
/// ```
/// assert!(dldna::param_share::example_text(32).contains("Parameter reduction: 99.9990%"));
/// ```
pub fn example_text(size: usize) -> String {
    let row = ParameterRow::new(size);
    // A 0x0 or 1x1 image needs fewer connections than the filter has weights: the "reduction" is then negative.
    let reduction = 100.0 * (1.0 - 1.0 / row.ratio);
    format!(
        "Example with {size}x{size} input:\nCNN parameters: {} (fixed)\nFC parameters: {}\nParameter reduction: {reduction:.4}%\n",
        row.convolution,
        row.fully_connected_text(with_thousands),
    )
}

/// Prints both counts for one image size and how much the convolution saves.
///
/// ```
/// dldna::param_share::show_example(32);
/// ```
pub fn show_example(size: usize) {
    print!("{}", example_text(size));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_size_is_counted() {
        for size in [
            0,
            1,
            2,
            1 << 16,
            1 << 31,
            (1 << 32) - 1,
            1 << 32,
            1 << 63,
            usize::MAX,
        ] {
            let pixels = (size as u128).pow(2);
            let fits = size < 1 << 32;
            let exact = fits.then(|| pixels * pixels + pixels);
            assert_eq!(fully_connected_parameters(size), exact);
            let row = ParameterRow::new(size);
            assert!(row.ratio >= 0.0 && row.ratio.is_finite());
            assert!(
                compare_parameter_counts(&[size])
                    .to_string()
                    .contains(&size.to_string())
            );
            assert!(example_text(size).contains(&size.to_string()));
        }
    }
}
