//! Why weights could not be loaded or saved.

use super::foreign::Foreign;
use std::path::PathBuf;
use thiserror::Error;

/// Why weights could not be loaded or saved. After a failed load the network is as it was, after a failed save the file.
///
/// Where the weights came as bytes, `path` is `weights in memory`.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum WeightsError {
    /// The file cannot be read.
    #[error("cannot read {}: {source}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system says.
        source: std::io::Error,
    },
    /// The file cannot be written.
    #[error("cannot write {}: {source}", path.display())]
    Write {
        /// The file.
        path: PathBuf,
        /// What the system says.
        source: std::io::Error,
    },
    /// The file is in another format, which is known.
    #[error("{} {found}", path.display())]
    Foreign {
        /// The file.
        path: PathBuf,
        /// What it is, and what to do.
        found: Foreign,
    },
    /// The file is not in safetensors format, or cut short.
    #[error("{}: not a complete safetensors file: {reason}", path.display())]
    Format {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// A tensor of the file holds something else than real numbers.
    #[error("{}: {name} holds {found}, expected F64, F32, F16 or BF16", path.display())]
    Type {
        /// The file.
        path: PathBuf,
        /// The tensor.
        name: String,
        /// The type of its elements.
        found: String,
    },
    /// Names or shapes in the file are not those of the network.
    #[error("{}: the weights are not those of this network{}", path.display(), list(missing, extra, misshaped))]
    Mismatch {
        /// The file.
        path: PathBuf,
        /// Names that the network has and the file lacks.
        missing: Vec<String>,
        /// Names that the file has and the network lacks.
        extra: Vec<String>,
        /// Name, shape in the network, and shape in the file.
        misshaped: Vec<String>,
    },
}

/// The names of each kind that an error has room for.
const LISTED: usize = 10;

/// The three lists of a mismatch, each on lines of its own.
fn list(missing: &[String], extra: &[String], misshaped: &[String]) -> String {
    let mut text = String::new();
    for (title, names) in [
        ("missing in the file", missing),
        ("unknown to the network", extra),
        ("of another shape", misshaped),
    ] {
        if names.is_empty() {
            continue;
        }
        let shown = &names[..names.len().min(LISTED)];
        text += &format!("\n{title}:\n  {}", shown.join("\n  "));
        if names.len() > LISTED {
            text += &format!("\n  and {} more", names.len() - LISTED);
        }
    }
    text
}
