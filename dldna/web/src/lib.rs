//! What the pages of the book compute in the browser: thin functions over [`dldna_nn`], so that a page shows the numbers of the notebook.
#![warn(missing_docs)]

mod digits;
mod filter;
mod stack;
mod training;

pub use digits::{DigitNet, Digits, NORMALISATION, SIDE, centred};
pub use filter::{Filtered, filter};
pub use stack::{LayerCost, Stack, stack};
pub use training::{Block, SmallCnn, Training};
