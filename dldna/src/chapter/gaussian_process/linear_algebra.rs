//! The factorisation of a covariance, and the two solves that it makes cheap.

use super::GaussianProcessError;
use crate::kernel_methods::finite;
use ndarray::{Array1, Array2, s};

/// The lower triangular `L` with `matrix = L L^T` and a positive diagonal. Only the lower triangle of `matrix` is read.
///
/// ```text
/// L_ij = (A_ij - sum over k < j of L_ik L_jk) / L_jj        L_jj = sqrt(A_jj - sum over k < j of L_jk^2)
/// ```
///
/// # Errors
/// The matrix is not square, not finite, or not positive definite.
///
/// ```
/// use dldna::gaussian_process::cholesky;
/// use ndarray::array;
/// assert_eq!(cholesky(&array![[4.0, 2.0], [2.0, 5.0]])?, array![[2.0, 0.0], [1.0, 2.0]]);
/// assert!(cholesky(&array![[1.0, 2.0], [2.0, 1.0]]).is_err());
/// # Ok::<(), dldna::gaussian_process::GaussianProcessError>(())
/// ```
pub fn cholesky(matrix: &Array2<f64>) -> Result<Array2<f64>, GaussianProcessError> {
    let (rows, columns) = matrix.dim();
    if rows != columns {
        return Err(GaussianProcessError::NotSquare { rows, columns });
    }
    let mut factor = Array2::<f64>::zeros((rows, rows));
    for i in 0..rows {
        for j in 0..=i {
            let done = factor.slice(s![i, ..j]).dot(&factor.slice(s![j, ..j]));
            let left = matrix[[i, j]] - done;
            if i != j {
                factor[[i, j]] = left / factor[[j, j]];
            } else if left > 0.0 && left.is_finite() {
                factor[[i, i]] = left.sqrt();
            } else {
                // What is no number in the matrix is no fault of its noise.
                let lower = matrix
                    .indexed_iter()
                    .filter(|((row, column), _)| column <= row);
                finite("matrix element", lower.map(|(_, element)| element))?;
                return Err(GaussianProcessError::NotPositiveDefinite {
                    index: i,
                    pivot: left,
                });
            }
        }
    }
    Ok(factor)
}

/// The `x` with `L x = b`, from the first row to the last.
///
/// # Errors
/// `factor` is not square, or `b` has another length.
///
/// ```
/// use dldna::gaussian_process::solve_lower;
/// use ndarray::array;
/// assert_eq!(solve_lower(&array![[2.0, 0.0], [1.0, 2.0]], &array![2.0, 5.0])?, array![1.0, 2.0]);
/// # Ok::<(), dldna::gaussian_process::GaussianProcessError>(())
/// ```
pub fn solve_lower(
    factor: &Array2<f64>,
    b: &Array1<f64>,
) -> Result<Array1<f64>, GaussianProcessError> {
    check(factor, b)?;
    let mut x = b.clone();
    for i in 0..x.len() {
        let done = factor.slice(s![i, ..i]).dot(&x.slice(s![..i]));
        x[i] = (x[i] - done) / factor[[i, i]];
    }
    Ok(x)
}

/// The `x` with `L^T x = b`, from the last row to the first. It takes `L` itself, not its transpose.
///
/// # Errors
/// `factor` is not square, or `b` has another length.
///
/// ```
/// use dldna::gaussian_process::solve_upper;
/// use ndarray::array;
/// assert_eq!(solve_upper(&array![[2.0, 0.0], [1.0, 2.0]], &array![4.0, 4.0])?, array![1.0, 2.0]);
/// # Ok::<(), dldna::gaussian_process::GaussianProcessError>(())
/// ```
pub fn solve_upper(
    factor: &Array2<f64>,
    b: &Array1<f64>,
) -> Result<Array1<f64>, GaussianProcessError> {
    check(factor, b)?;
    let mut x = b.clone();
    for i in (0..x.len()).rev() {
        let done = factor.slice(s![i + 1.., i]).dot(&x.slice(s![i + 1..]));
        x[i] = (x[i] - done) / factor[[i, i]];
    }
    Ok(x)
}

fn check(factor: &Array2<f64>, b: &Array1<f64>) -> Result<(), GaussianProcessError> {
    let (rows, columns) = factor.dim();
    if rows != columns {
        return Err(GaussianProcessError::NotSquare { rows, columns });
    }
    if b.len() != rows {
        return Err(GaussianProcessError::Size {
            what: "numbers, one for each row",
            expected: rows,
            got: b.len(),
        });
    }
    Ok(())
}
