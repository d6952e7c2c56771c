//! What a stack of convolutions and poolings costs, and how much of the image a unit behind it sees.

use dldna_nn::summary::{
    OutputSizeError, conv_multiply_adds, conv_output_size, conv_parameters, receptive_field_behind,
};
use wasm_bindgen::prelude::wasm_bindgen;

/// What one layer of a stack gives and costs.
#[wasm_bindgen]
#[derive(Debug, Clone, PartialEq)]
pub struct LayerCost {
    /// Channels of the output.
    pub channels: usize,
    /// Height and width of the output.
    pub side: usize,
    /// Side of the square of input pixels that one unit sees.
    pub receptive_field: usize,
    /// Input pixels from one unit to the next.
    pub jump: usize,
    /// The first input row that the first unit sees. Padding has negative numbers.
    pub start: f64,
    /// Weights and biases.
    pub parameters: usize,
    /// Multiplications, each with its addition, for one image.
    pub multiply_adds: f64,
}

/// The layers of a stack, up to the first that does not fit.
#[wasm_bindgen(getter_with_clone)]
#[derive(Debug, Clone, PartialEq)]
pub struct Stack {
    /// One for each layer that fits.
    pub layers: Vec<LayerCost>,
    /// Why the next layer does not fit.
    pub problem: Option<String>,
}

/// Sizes, receptive fields and costs of layers on square images of `channels` channels. Each layer is five numbers: channels
/// (0 for a pooling, which keeps them), kernel, stride, padding, dilation.
///
/// ```
/// let stack = dldna_web::stack(224, 3, &[64, 7, 2, 3, 1, 0, 3, 2, 1, 1]); // how ResNet begins
/// let pooled = &stack.layers[1];
/// assert_eq!((pooled.channels, pooled.side, pooled.receptive_field, pooled.jump), (64, 56, 11, 4));
/// assert_eq!(pooled.start, -5.0); // 3 rows of padding, and then 1 of 2 pixels each
///
/// let stack = dldna_web::stack(4, 1, &[8, 5, 1, 0, 1]);
/// assert_eq!(stack.problem.unwrap(), "the kernel spans 5 pixels, but the padded input has only 4");
/// ```
#[wasm_bindgen]
pub fn stack(side: usize, channels: usize, layers: &[usize]) -> Stack {
    let mut last = LayerCost {
        channels,
        side,
        receptive_field: 1,
        jump: 1,
        start: 0.0,
        parameters: 0,
        multiply_adds: 0.0,
    };
    let (mut costs, mut problem) = (Vec::new(), None);
    for layer in layers.as_chunks().0 {
        match last.behind(layer) {
            Ok(cost) => last = cost,
            Err(error) => {
                problem = Some(error.to_string());
                break;
            }
        }
        costs.push(last.clone());
    }
    Stack {
        layers: costs,
        problem,
    }
}

impl LayerCost {
    /// The same for a layer behind this one.
    fn behind(
        &self,
        &[channels, kernel, stride, padding, dilation]: &[usize; 5],
    ) -> Result<Self, OutputSizeError> {
        let is_pooling = channels == 0;
        if is_pooling && padding > kernel / 2 {
            return Err(OutputSizeError::PoolPadding { kernel, padding });
        }
        let side = conv_output_size(self.side, kernel, stride, padding, dilation)?;
        let before = (self.receptive_field, self.jump);
        let (receptive_field, jump) = receptive_field_behind(before, kernel, stride, dilation)
            .ok_or(OutputSizeError::Overflow)?;
        let start = self.start - padding as f64 * self.jump as f64;
        let (parameters, multiply_adds) = if is_pooling {
            (0, 0)
        } else {
            (
                conv_parameters(self.channels, channels, kernel),
                conv_multiply_adds(self.channels, channels, kernel, side),
            )
        };
        Ok(LayerCost {
            channels: if is_pooling { self.channels } else { channels },
            side,
            receptive_field,
            jump,
            start,
            parameters,
            multiply_adds: multiply_adds as f64,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use dldna_nn::prelude::*;

    /// The same layers as a network, summarised by the engine.
    #[test]
    fn sizes_and_costs_are_those_of_a_summary() {
        type Network = (
            BiasedConv2D<3, 64, 7, 2, 3>,
            MaxPool2D<3, 2, 1>,
            BiasedConv2D<64, 32, 3, 1, 2, 2>,
        );
        let network = Cpu::default().build_module::<Network, f32>();
        let summary = Summary::of(&network, &[1, 3, 65, 65]).unwrap();
        let stack = stack(65, 3, &[64, 7, 2, 3, 1, 0, 3, 2, 1, 1, 32, 3, 1, 2, 2]);
        assert_eq!(stack.layers.len(), 3);
        for (layer, expected) in stack.layers.iter().zip(&summary.network.children) {
            let shape = vec![1, layer.channels, layer.side, layer.side];
            assert_eq!(shape, expected.output_shape);
            assert_eq!(layer.parameters, expected.parameters);
            assert_eq!(layer.multiply_adds as u128, expected.multiply_adds);
        }
    }

    /// An impulse in the input changes a unit exactly where `start` and `receptive_field` say.
    #[test]
    fn a_unit_sees_its_receptive_field_and_nothing_else() {
        let [first, second] = [[1, 3, 2, 1, 1], [1, 3, 1, 2, 2]];
        let (side, unit) = (21, 5);
        let cost = stack(side, 1, &[first, second].concat()).layers.remove(1);
        let passed =
            |picture: &[f32], width, [_, kernel, stride, padding, dilation]: [usize; 5]| {
                crate::filter(
                    picture,
                    width,
                    &vec![1.0; kernel * kernel],
                    stride,
                    padding,
                    dilation,
                )
                .unwrap()
            };
        let seen: Vec<usize> = (0..side)
            .filter(|row| {
                let mut picture = vec![0.0; side * side];
                picture[row * side..][..side].fill(1.0);
                let inner = passed(&picture, side, first);
                let outer = passed(&inner.pixels, inner.width, second);
                outer.pixels[unit * outer.width + unit] > 0.0
            })
            .collect();
        let start = cost.start as isize + (unit * cost.jump) as isize;
        assert_eq!(seen.first().copied(), Some(start as usize));
        assert_eq!(
            seen.last().copied(),
            Some(start as usize + cost.receptive_field - 1)
        );
    }
}
