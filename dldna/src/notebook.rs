//! The first line of every notebook: does it belong to this crate?

use crate::nn::last_error;
use std::sync::Once;
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

/// Checks that a notebook written for `version` runs with the crate of that version, and says which it is. From here on a
/// panic in a layer says which one and why: dldna's own words follow those of dfdx, which name neither layer nor number.
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
    explain_panics();
    println!("dldna {VERSION} is ready");
    Ok(())
}

/// Makes a panic by dfdx's word for any error of a layer tell the error itself.
fn explain_panics() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let others = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |panic| {
            others(panic);
            let said = panic.payload_as_str().unwrap_or_default();
            if said.contains("WrongNumElements")
                && let Some(reason) = last_error()
            {
                eprintln!("{reason}");
            }
        }));
    });
}
