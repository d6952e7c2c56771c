//! Inception: Szegedy et al., *Going Deeper with Convolutions*, 2014, and what came of it.
//!
//! The modules themselves; a picture of their branches; a small GoogLeNet, trained.

mod diagram;
mod small_google_net;

pub use diagram::BranchDiagram;
pub use dldna_nn::inception::*;
pub use small_google_net::{FashionGoogLeNet, train_small_google_net};
