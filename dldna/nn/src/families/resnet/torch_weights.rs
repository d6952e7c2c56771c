//! PyTorch's names for the tensors of residual networks.

use crate::weights::{Naming, renamed};

/// Those of torchvision and timm, which differ from the book's in the way around a block.
pub(in crate::families) const TORCHVISION: Naming =
    Naming::new(|name| renamed(name, &[("shortcut.", "downsample.")]));
