//! What layers of one kind have in common in a summary.

use super::{LayerSummary, SummaryError, SummaryProblem, conv_output_size, elements};
use crate::kernels::window::Window;

/// An input of shape `(batch, channels, height, width)`, with the expected channels.
pub(crate) fn image_shape(
    kind: &str,
    input: &[usize],
    channels: usize,
) -> Result<[usize; 4], SummaryError> {
    match *input {
        [batch, found, height, width] if found == channels => Ok([batch, channels, height, width]),
        _ => Err(wrong_input(
            kind,
            format!("[batch, {channels}, height, width]"),
            input,
        )),
    }
}

pub(crate) fn wrong_input(kind: &str, expected: String, actual: &[usize]) -> SummaryError {
    SummaryProblem::InputShape {
        kind: kind.to_string(),
        expected,
        actual: actual.to_vec(),
    }
    .into()
}

/// A layer that gives what it gets, element by element, on inputs of any shape.
pub(crate) fn elementwise(
    kind: impl Into<String>,
    input: &[usize],
) -> Result<LayerSummary, SummaryError> {
    Ok(LayerSummary::leaf(kind, input, 0, 0))
}

/// `in_features` multiply-adds for each output element; any leading dimensions.
pub(crate) fn linear(
    kind: String,
    input: &[usize],
    [in_features, out_features]: [usize; 2],
    parameters: usize,
) -> Result<LayerSummary, SummaryError> {
    let Some((_, leading)) = input.split_last().filter(|(last, _)| **last == in_features) else {
        return Err(wrong_input(&kind, format!("[.., {in_features}]"), input));
    };
    let output = [leading, &[out_features]].concat();
    let multiply_adds = elements(&output).saturating_mul(in_features as u128);
    Ok(LayerSummary::leaf(kind, output, parameters, multiply_adds))
}

/// Scale and bias for each channel are trained; the running mean and variance are not.
pub(crate) fn batch_norm_2d(
    input: &[usize],
    channels: usize,
) -> Result<LayerSummary, SummaryError> {
    let kind = format!("BatchNorm2D {channels}");
    let shape = image_shape(&kind, input, channels)?;
    Ok(LayerSummary::leaf(kind, shape, 2 * channels, 0))
}

/// A layer that slides a window over the image.
pub(crate) struct WindowLayer {
    pub name: &'static str,
    pub in_channels: usize,
    pub out_channels: usize,
    pub window: Window,
}

impl WindowLayer {
    /// `parameters` in all, and for each output element as many multiply-adds as there are products in its sum.
    pub fn summarize(
        &self,
        input: &[usize],
        parameters: usize,
        products: usize,
    ) -> Result<LayerSummary, SummaryError> {
        let kind = self.kind();
        let [batch, _, height, width] = image_shape(&kind, input, self.in_channels)?;
        let size = |size, kernel, padding| {
            let Window {
                stride, dilation, ..
            } = self.window;
            conv_output_size(size, kernel, stride, padding, dilation).map_err(|source| {
                SummaryProblem::OutputSize {
                    kind: kind.clone(),
                    input: input.to_vec(),
                    source,
                }
            })
        };
        let Window {
            kernel, padding, ..
        } = self.window;
        let output = [
            batch,
            self.out_channels,
            size(height, kernel.0, padding.0)?,
            size(width, kernel.1, padding.1)?,
        ];
        let multiply_adds = elements(&output).saturating_mul(products as u128);
        Ok(LayerSummary::leaf(kind, output, parameters, multiply_adds))
    }

    /// Name, channels and window; what has its usual value is left out.
    fn kind(&self) -> String {
        let channels = if self.in_channels == self.out_channels {
            format!("{}", self.in_channels)
        } else {
            format!("{} -> {}", self.in_channels, self.out_channels)
        };
        let Window {
            kernel,
            stride,
            padding,
            dilation,
        } = self.window;
        let mut kind = format!("{} {channels}, {}x{}", self.name, kernel.0, kernel.1);
        if stride != 1 {
            kind += &format!(", stride {stride}");
        }
        if padding != (0, 0) {
            kind += &match padding {
                (height, width) if height == width => format!(", padding {height}"),
                (height, width) => format!(", padding {height}x{width}"),
            };
        }
        if dilation != 1 {
            kind += &format!(", dilation {dilation}");
        }
        kind
    }
}
