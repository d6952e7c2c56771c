//! A small network that reads digits, and shows what each of its channels gives.

use dldna_nn::data::{Normalisation, resize};
use dldna_nn::nn::{Forward, run};
use dldna_nn::prelude::*;
use dldna_nn::weights::load_model_from_bytes;
use wasm_bindgen::prelude::wasm_bindgen;

network! {
    /// Three convolutions, and for each digit a weighted sum of all that the third gives.
    pub struct DigitNet {
        conv1: BiasedConv2D<1, 8, 5, 1, 2>,
        pool1: MaxPool2D<2, 2>,
        conv2: BiasedConv2D<8, 16, 3, 1, 1>,
        pool2: MaxPool2D<2, 2>,
        conv3: BiasedConv2D<16, 32, 3, 1, 1>,
        flatten: Flatten<1568>, // 32 channels of 7x7
        fc: Linear<1568, 10>,
    }
    forward(x: Images<1>) -> Vectors<10> {
        let x = pool1(relu(conv1(x)));
        let x = pool2(relu(conv2(x)));
        fc(flatten(relu(conv3(x))))
    }
}

/// Rows and columns of the images.
pub const SIDE: usize = 28;
/// How pixels become inputs: as they are, so that black is what the padding is.
pub const NORMALISATION: Normalisation = Normalisation::UNIT;

/// A trained [`DigitNet`].
#[wasm_bindgen]
#[derive(Debug)]
pub struct Digits {
    network: DigitNet,
}

#[wasm_bindgen]
impl Digits {
    /// From the bytes of a safetensors file.
    ///
    /// # Errors
    /// What is wrong with the file.
    #[wasm_bindgen(constructor)]
    pub fn new(weights: &[u8]) -> Result<Digits, String> {
        let mut network = Cpu::default().build_module::<DigitNet, f32>();
        load_model_from_bytes(&mut network, weights).map_err(|error| error.to_string())?;
        Ok(Digits { network })
    }

    /// What the layers give for an image of 28x28 pixels from 0 to 1: 8 channels of 28x28 behind the first ReLU, 16 of 14x14
    /// behind the second, 32 of 7x7 behind the third, and ten logits.
    ///
    /// # Errors
    /// There are not 28x28 pixels.
    pub fn activations(&self, image: &[f32]) -> Result<Vec<f32>, String> {
        if image.len() != SIDE * SIDE {
            return Err(format!("expected 28x28 pixels, got {}", image.len()));
        }
        let image = Cpu::default().tensor_from_vec(image.to_vec(), (1, Const::<1>, SIDE, SIDE));
        self.layers(image).map_err(|error| error.to_string())
    }

    /// The kernels of one channel, one for each channel of the layer before, row by row. `layer` counts from 0.
    pub fn weights(&self, layer: usize, channel: usize) -> Vec<f32> {
        let (weights, size) = match layer {
            0 => (self.network.conv1.weight.as_vec(), 5 * 5),
            1 => (self.network.conv2.weight.as_vec(), 8 * 3 * 3),
            _ => (self.network.conv3.weight.as_vec(), 16 * 3 * 3),
        };
        let kernels = weights.chunks_exact(size).nth(channel);
        kernels.map(<[f32]>::to_vec).unwrap_or_default()
    }
}

impl Digits {
    fn layers(&self, image: ImageOfDigit) -> Result<Vec<f32>, CpuError> {
        let network = &self.network;
        let first = run(image, |x| relu(network.conv1.eval(x)))?;
        let second = run(first.clone(), |x| {
            relu(network.conv2.eval(network.pool1.eval(x)))
        })?;
        let third = run(second.clone(), |x| {
            relu(network.conv3.eval(network.pool2.eval(x)))
        })?;
        let logits = run(third.clone(), |x| network.fc.eval(network.flatten.eval(x)))?;
        Ok([
            first.as_vec(),
            second.as_vec(),
            third.as_vec(),
            logits.as_vec(),
        ]
        .concat())
    }
}

type ImageOfDigit = Tensor<(usize, Const<1>, usize, usize), f32, Cpu>;

/// A square drawing of `side` rows as MNIST shows digits: fitted into 20x20 pixels, and with its centre of mass in the middle of
/// 28x28. A drawing without anything in it stays black.
///
/// ```
/// let mut drawing = vec![0.0; 100 * 100];
/// (10..90).for_each(|row| drawing[row * 100 + 5..][..4].fill(1.0)); // a bar at the left
/// let image = dldna_web::centred(&drawing, 100);
/// let column = |x: usize| (0..28).map(|y| image[y * 28 + x]).sum::<f32>();
/// assert_eq!((column(12), column(15)), (0.0, 0.0));
/// assert!((column(13) + column(14) - 20.0).abs() < 0.5);
/// ```
#[wasm_bindgen]
pub fn centred(drawing: &[f32], side: usize) -> Vec<f32> {
    const BOX: usize = 20;
    let mut image = vec![0.0; SIDE * SIDE];
    let Some((rows, columns)) = bounds(drawing, side) else {
        return image;
    };
    let (height, width) = (rows.len(), columns.len());
    let cut: Vec<f32> = rows
        .flat_map(|row| &drawing[row * side..][columns.clone()])
        .copied()
        .collect();
    let longer = height.max(width);
    let fitted = |side: usize| ((side * BOX + longer / 2) / longer).max(1);
    let size = (fitted(height), fitted(width));
    let small = resize(&cut, (height, width), size);
    let pixels = || (0..small.len()).map(|i| (i / size.1, i % size.1, small[i]));
    let mass: f32 = small.iter().sum();
    let middle = |place: fn((usize, usize, f32)) -> f32| {
        let centre = pixels().map(|pixel| place(pixel) * pixel.2).sum::<f32>() / mass;
        (SIDE as f32 / 2.0 - 0.5 - centre).round() as isize
    };
    let (down, right) = (
        middle(|pixel| pixel.0 as f32),
        middle(|pixel| pixel.1 as f32),
    );
    for (row, column, value) in pixels() {
        let (row, column) = (row as isize + down, column as isize + right);
        if (0..SIDE as isize).contains(&row) && (0..SIDE as isize).contains(&column) {
            image[row as usize * SIDE + column as usize] = value;
        }
    }
    image
}

/// The rows and columns that hold all pixels above 0; `None` where there are none.
fn bounds(
    drawing: &[f32],
    side: usize,
) -> Option<(std::ops::Range<usize>, std::ops::Range<usize>)> {
    let drawn = || (0..drawing.len()).filter(|&i| drawing[i] > 0.0);
    let range = |place: &dyn Fn(usize) -> usize| {
        Some(drawn().map(place).min()?..drawn().map(place).max()? + 1)
    };
    if side == 0 || drawing.len() != side * side {
        return None;
    }
    Some((range(&|i| i / side)?, range(&|i| i % side)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The layers one by one end where the network itself ends.
    #[test]
    fn the_layers_give_the_networks_logits() {
        let network = Cpu::seed_from_u64(1).build_module::<DigitNet, f32>();
        let image: Vec<f32> = (0..SIDE * SIDE).map(|i| (i as f32).sin().abs()).collect();
        let tensor = Cpu::default().tensor_from_vec(image.clone(), (1, Const::<1>, SIDE, SIDE));
        let expected = network.forward(tensor).as_vec();
        let found = Digits { network }.activations(&image).unwrap();
        assert_eq!(found.len(), 8 * 28 * 28 + 16 * 14 * 14 + 32 * 7 * 7 + 10);
        for (found, expected) in found[found.len() - 10..].iter().zip(expected) {
            assert!((found - expected).abs() < 1e-5, "{found} for {expected}");
        }
    }

    #[test]
    fn an_empty_drawing_stays_black() {
        assert_eq!(centred(&[0.0; 64], 8), [0.0; SIDE * SIDE]);
        assert_eq!(centred(&[1.0; 3], 8), [0.0; SIDE * SIDE]);
    }
}
