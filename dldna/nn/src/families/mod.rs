//! Networks of the literature.

pub mod convnext;
pub mod efficientnet;
pub mod inception;
pub mod mobilenet;
pub mod resnet;
pub mod vgg;
