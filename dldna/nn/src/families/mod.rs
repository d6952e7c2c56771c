//! Networks of the literature.

pub mod convnext;
pub mod efficientnet;
pub mod inception;
pub mod mobilenet;
pub mod resnet;
pub mod vgg;

use crate::weights::Naming;

/// The names that files from elsewhere have for the tensors of these networks. Networks of one's own have those of their
/// fields, which come first.
pub(crate) static NAMINGS: [Naming; 7] = [
    Naming::new(str::to_owned),
    resnet::torch_weights::TORCHVISION,
    efficientnet::torch_weights::TORCHVISION,
    efficientnet::torch_weights::TIMM,
    efficientnet::torch_weights::EFFICIENTNET_PYTORCH,
    efficientnet::torch_weights::BLOCK,
    mobilenet::TORCHVISION,
];
