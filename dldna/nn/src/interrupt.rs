//! A reader who stops a cell of a notebook keeps its variables, if what runs looks here now and then.

/// The environment variable with the path of a file. The kernel of the notebooks sets it.
const FILE: &str = "DLDNA_INTERRUPT";

/// Whether the work that runs is to stop: whether the file exists that the environment variable `DLDNA_INTERRUPT` names.
///
/// [`train`](crate::train::train) stops before its next batch, as at the end of its time. Who starts kernels makes the file when
/// the reader stops a cell, waits a moment, removes it, and ends the process only if the cell still runs.
///
/// ```
/// for step in 0..1000 {
///     if dldna_nn::interrupt::is_requested() {
///         break; // with what was done so far
///     }
/// }
/// ```
pub fn is_requested() -> bool {
    std::env::var_os(FILE).is_some_and(|file| std::path::Path::new(&file).exists())
}
