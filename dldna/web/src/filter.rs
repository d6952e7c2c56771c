//! One filter over a grey picture.

use dldna_nn::kernels::conv2d::Conv2d;
use dldna_nn::kernels::epilogue::Epilogue;
use dldna_nn::kernels::window::Window;
use wasm_bindgen::prelude::wasm_bindgen;

/// A grey picture that a filter made of another one.
#[wasm_bindgen(getter_with_clone)]
#[derive(Debug, Clone, PartialEq)]
pub struct Filtered {
    /// Rows.
    pub height: usize,
    /// Columns.
    pub width: usize,
    /// The values, row by row.
    pub pixels: Vec<f32>,
}

/// The convolution of a grey picture of `width` columns with a square kernel, as [`Conv2d`] computes it. `None` where the
/// window does not fit, or the numbers do not belong together.
///
/// ```
/// let ramp = [1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0, 9.0];
/// let sum = dldna_web::filter(&ramp, 3, &[1.0; 9], 1, 0, 1).unwrap();
/// assert_eq!((sum.height, sum.width, sum.pixels), (1, 1, vec![45.0]));
/// assert_eq!(dldna_web::filter(&ramp, 3, &[1.0; 16], 1, 0, 1), None); // no place for a window of 4x4
/// ```
#[wasm_bindgen]
pub fn filter(
    picture: &[f32],
    width: usize,
    kernel: &[f32],
    stride: usize,
    padding: usize,
    dilation: usize,
) -> Option<Filtered> {
    let side = kernel.len().isqrt();
    let height = picture.len().checked_div(width)?;
    let fits = side * side == kernel.len() && height * width == picture.len();
    if !fits || side == 0 || stride == 0 || dilation == 0 {
        return None;
    }
    let window = Window::square(side, stride, padding, dilation);
    let conv = Conv2d::new(1, 1, window, (height, width))?;
    let (height, width) = conv.output_size();
    let mut pixels = vec![0.0; height * width];
    conv.forward(picture, kernel, &Epilogue::default(), &mut pixels);
    Some(Filtered {
        height,
        width,
        pixels,
    })
}
