//! Grouped convolution: the channels are divided into groups, each with a convolution of its own.
//!
//! Krizhevsky et al., *ImageNet Classification with Deep Convolutional Neural Networks*, 2012, section 3.5; Xie et al.,
//! *Aggregated Residual Transformations for Deep Neural Networks*, 2017, section 3.3.

use super::conv2d::Conv2d;
use super::elementwise::add;
use super::epilogue::Epilogue;
use super::planes::planes;
use super::scratch::Scratch;
use super::window::Window;

/// A convolution in groups on images of one size.
///
/// ```
/// use dldna_nn::kernels::{epilogue::Epilogue, grouped::GroupedConv2d};
/// use dldna_nn::kernels::window::Window;
/// let conv = GroupedConv2d::new((2, 2), 2, Window::square(1, 1, 0, 1), (1, 2)).unwrap();
/// let mut output = [0.0; 4];
/// conv.forward(&[1., 2., 3., 4.], &[10., 100.], &Epilogue::default(), &mut output);
/// assert_eq!(output, [10., 20., 300., 400.]);
/// ```
#[derive(Debug, Clone)]
pub struct GroupedConv2d {
    /// Of one group.
    conv: Conv2d,
    groups: usize,
    /// Numbers of one group in an image, in a result, in the weight, and its channels.
    image: usize,
    result: usize,
    weight: usize,
    outputs: usize,
}

impl GroupedConv2d {
    /// A convolution of `channels` = (in, out) on images of size `input` = (height, width), or `None` where the window does
    /// not fit, or the groups not into the channels.
    pub fn new(
        channels: (usize, usize),
        groups: usize,
        window: Window,
        input: (usize, usize),
    ) -> Option<Self> {
        let of_group = |channels: usize| {
            let count = channels.checked_div(groups)?;
            (count * groups == channels).then_some(count)
        };
        let (inputs, outputs) = (of_group(channels.0)?, of_group(channels.1)?);
        let conv = Conv2d::new(inputs, outputs, window, input)?;
        let (height, width) = conv.output_size();
        Some(Self {
            conv,
            groups,
            image: inputs * input.0 * input.1,
            result: outputs * height * width,
            weight: outputs * inputs * window.kernel.0 * window.kernel.1,
            outputs,
        })
    }

    /// Height and width of the result.
    pub fn output_size(&self) -> (usize, usize) {
        self.conv.output_size()
    }

    /// [`Conv2d::forward`] for each group, with `weight (out_channels, in_channels / groups, kernel, kernel)`.
    pub fn forward(&self, input: &[f32], weight: &[f32], epilogue: &Epilogue, output: &mut [f32]) {
        for group in 0..self.groups {
            let mut result = Scratch::any(output.len() / self.groups);
            let input = self.part(input, self.image, group);
            let weight = &weight[group * self.weight..][..self.weight];
            self.conv
                .forward(&input, weight, &Epilogue::default(), &mut result);
            let parts = self.parts_mut(output, self.result, group);
            for (to, from) in parts.zip(result.chunks_exact(self.result)) {
                to.copy_from_slice(from);
            }
        }
        epilogue.apply_to_all(self.result / self.outputs, output);
    }

    /// `d_input += ` the gradient of the loss by `input`.
    pub fn backward_input(&self, weight: &[f32], d_output: &[f32], d_input: &mut [f32]) {
        for group in 0..self.groups {
            let mut sum = Scratch::zeros(d_input.len() / self.groups);
            let d_output = self.part(d_output, self.result, group);
            let weight = &weight[group * self.weight..][..self.weight];
            self.conv.backward_input(weight, &d_output, &mut sum);
            let parts = self.parts_mut(d_input, self.image, group);
            for (to, from) in parts.zip(sum.chunks_exact(self.image)) {
                add(to, from);
            }
        }
    }

    /// `d_weight += ` the gradient of the loss by `weight`.
    pub fn backward_weight(&self, input: &[f32], d_output: &[f32], d_weight: &mut [f32]) {
        for (group, d_weight) in d_weight.chunks_exact_mut(self.weight).enumerate() {
            let input = self.part(input, self.image, group);
            let d_output = self.part(d_output, self.result, group);
            self.conv.backward_weight(&input, &d_output, d_weight);
        }
    }

    /// The channels of one group of all images, where each image has `size` elements of it.
    fn part(&self, images: &[f32], size: usize, group: usize) -> Scratch {
        let mut part = Scratch::any(images.len() / self.groups);
        let parts = planes(images, self.groups, size, group);
        for (to, from) in part.chunks_exact_mut(size).zip(parts) {
            to.copy_from_slice(from);
        }
        part
    }

    /// The same to be changed, image by image.
    fn parts_mut<'a>(
        &self,
        images: &'a mut [f32],
        size: usize,
        group: usize,
    ) -> impl Iterator<Item = &'a mut [f32]> + use<'a> {
        images
            .chunks_exact_mut(self.groups * size)
            .map(move |image| &mut image[group * size..][..size])
    }
}
