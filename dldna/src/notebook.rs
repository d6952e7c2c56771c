//! The first line of every notebook: does it belong to this crate?

use thiserror::Error;

/// The version of this crate.
pub const VERSION: &str = env!("CARGO_PKG_VERSION");

/// A notebook and the crate come from different versions of the repository.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error(
    "this notebook was written for dldna {notebook}, but the crate is {VERSION}: \
     take notebooks and crate from the same commit (`git status` shows what differs)"
)]
pub struct VersionMismatch {
    /// The version that the notebook names.
    pub notebook: String,
}

/// Checks that a notebook written for `version` runs with the crate of that version, and says which it is.
///
/// ```
/// dldna::check_notebook(dldna::VERSION)?;
/// assert!(dldna::check_notebook("0.0.1").is_err());
/// # Ok::<(), dldna::VersionMismatch>(())
/// ```
pub fn check_notebook(version: &str) -> Result<(), VersionMismatch> {
    if version != VERSION {
        return Err(VersionMismatch {
            notebook: version.to_owned(),
        });
    }
    println!("dldna {VERSION} is ready");
    Ok(())
}
