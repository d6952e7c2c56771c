//! Linear maps of rows and columns, as products with the matrices and all their zeros.

use super::super::device::*;
use super::{Fallback, Leaf, Recomputed, Recorded, Rows, leaves, part};
use crate::kernels::separable::{LinearMap, SeparableMap};
use dfdx::prelude::*;

impl Fallback {
    /// A linear map of each plane, as [`LayerDevice::separable_map`].
    ///
    /// # Errors
    /// Those of the device.
    ///
    /// # Example
    /// ```
    /// use dldna_nn::kernels::separable::{LinearMap, SeparableMap};
    /// use dldna_nn::{nn::fallback::Fallback, prelude::*};
    ///
    /// let image = Cpu::default().tensor_from_vec(vec![1.0, 2.0], (1, 1, 1, 2));
    /// let rows = LinearMap::zero_padding(1, 1).unwrap();
    /// let columns = LinearMap::adaptive_mean(2, 1).unwrap();
    /// let mapped = Fallback::default().separable_map(image, SeparableMap { rows, columns })?;
    /// assert_eq!(mapped.output.as_vec(), [0.0, 1.5, 0.0]);
    /// # Ok::<(), CpuError>(())
    /// ```
    pub fn separable_map<D: ReportError>(
        &self,
        x: Batch<D>,
        map: SeparableMap,
    ) -> Result<Operation<D>, D::Err> {
        let &(batch, channels, height, width) = x.shape();
        let (out_height, out_width) = map.output_size();
        let (rows, columns) = (dense(&x, &map.rows)?, dense(&x, &map.columns)?);
        let largest = height.max(out_height) * width.max(out_width);
        Recomputed {
            dev: x.device().clone(),
            leaves: leaves([&x as &dyn Leaf<D>]),
            chunks: self.chunks(batch, 4 * channels * largest),
            shape: (batch, channels, out_height, out_width),
            operation: Box::new(move |chunk| {
                let planes = chunk.len() * channels;
                let x = part(&x, chunk.clone())?.try_reshape_like(&(planes, height, width))?;
                let x = turned(map_lines(x, &columns)?)?; // (planes, out_width, height)
                let y = turned(map_lines(x, &rows)?)?;
                y.try_reshape_like(&(chunk.len(), channels, out_height * out_width))
            }),
        }
        .run()
    }
}

/// The transposed matrix, `(inputs, outputs)`.
fn dense<D: ReportError>(
    like: &Batch<D>,
    map: &LinearMap,
) -> Result<Tensor<(usize, usize), f32, D>, D::Err> {
    let shape = (map.inputs(), map.outputs());
    like.device()
        .try_tensor_from_vec(map.dense_transposed(), shape)
}

/// Each line of each plane times the matrix.
fn map_lines<D: ReportError>(
    x: Rows<D, Recorded<D>>,
    matrix: &Tensor<(usize, usize), f32, D>,
) -> Result<Rows<D, Recorded<D>>, D::Err> {
    let &(planes, lines, inputs) = x.shape();
    let outputs = matrix.shape().1;
    x.try_reshape_like(&(planes * lines, inputs))?
        .try_matmul(matrix.clone())?
        .try_reshape_like(&(planes, lines, outputs))
}

/// The transposed planes.
fn turned<D: ReportError>(planes: Rows<D, Recorded<D>>) -> Result<Rows<D, Recorded<D>>, D::Err> {
    planes
        .try_permute::<(usize, usize, usize), Axes3<0, 2, 1>>()?
        .try_contiguous()
}
