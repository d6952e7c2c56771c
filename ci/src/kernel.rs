//! The Rust kernel behind each notebook: the published `evcxr_jupyter`, made quick from the outside.
//!
//! `ci/README.md` draws how these files work together.
mod ahead;
mod answers;
pub mod calls;
#[cfg(test)] // else it is compiled for the cells, and not for this program
mod cell_runtime;
pub mod evcxr;
mod explain;
pub mod features;
#[cfg(unix)]
mod front;
mod lean;
pub mod manifest;
#[cfg(unix)]
mod message;
mod metadata;
mod moves;
mod outline;
#[cfg(unix)]
pub mod proxy;
pub mod replay;
pub mod rust_src;
pub mod shim;
pub mod start;
mod stdin;
pub mod template;
mod tokens;
#[cfg(unix)]
mod waiting;
#[cfg(unix)]
mod wording;
mod work;
