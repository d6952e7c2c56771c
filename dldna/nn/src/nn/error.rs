//! What can go wrong in a layer at run time.

use crate::kernels::pool2d::Pool2d;
use crate::kernels::window::Window;
use std::cell::RefCell;
use thiserror::Error;

/// Why a layer could not be applied.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum LayerError {
    /// The window does not fit on the image.
    #[error(
        "{layer}: a window of {}x{} pixels (dilation {}) does not fit on an image of {height}x{width} pixels with padding {}x{}",
        window.kernel.0, window.kernel.1, window.dilation, window.padding.0, window.padding.1
    )]
    WindowTooLarge {
        /// Name of the layer's type.
        layer: &'static str,
        /// Its window.
        window: Window,
        /// Height of the image that came.
        height: usize,
        /// Width of the image that came.
        width: usize,
    },
    /// The image has too few pixels for a padding, or none at all.
    #[error(
        "{layer}: expected images of at least {least}x{least} pixels, these are {height}x{width}"
    )]
    ImageTooSmall {
        /// Name of the layer's type.
        layer: &'static str,
        /// The least height and width.
        least: usize,
        /// Height of the image that came.
        height: usize,
        /// Width of the image that came.
        width: usize,
    },
    /// A group of a single value has no variance.
    #[error(
        "GroupNorm: expected images with more than one value in each of {groups} groups, these are {}",
        by(images)
    )]
    GroupsTooSmall {
        /// Groups of channels.
        groups: usize,
        /// Shape of the images that came.
        images: [usize; 4],
    },
    /// A dropout with a probability that is none.
    #[error("Dropout2D: a probability is a number from 0 to 1, this is {probability}")]
    Probability {
        /// As a text, since numbers that are none have no equals.
        probability: String,
    },
    /// More padding than half a pooling's kernel: some windows would hold no pixel.
    #[error(
        "{layer}: the padding must not be more than half the kernel, {}x{} for a kernel of {}x{} pixels, but is {}x{}",
        window.kernel.0 / 2, window.kernel.1 / 2, window.kernel.0, window.kernel.1, window.padding.0, window.padding.1
    )]
    PoolPadding {
        /// Name of the layer's type.
        layer: &'static str,
        /// Its window.
        window: Window,
    },
    /// Batch statistics of a single value have no variance.
    #[error(
        "BatchNorm2D: training needs more than one value per channel, this batch has {count}; use more images or larger ones"
    )]
    TooFewValues {
        /// Values per channel that came.
        count: usize,
    },
    /// An image has another number of values than the linear layer behind it takes.
    #[error(
        "Flatten: expected images of {expected} values, these have {}x{}x{} = {}",
        image[0], image[1], image[2], image.iter().product::<usize>()
    )]
    Features {
        /// Values that the layer gives on.
        expected: usize,
        /// Channels, height and width of the image that came.
        image: [usize; 3],
    },
    /// Two batches that are added differ in shape.
    #[error(
        "the sum of two batches needs one shape, these are {} and {}",
        by(left),
        by(right)
    )]
    Sum {
        /// Shape of the one.
        left: [usize; 4],
        /// Shape of the other.
        right: [usize; 4],
    },
    /// Batches that are put side by side differ in more than channels.
    #[error("channels side by side need one batch size, height and width, these are {}", shapes.iter().map(by).collect::<Vec<_>>().join(" and "))]
    Concat {
        /// Shape of each.
        shapes: Vec<[usize; 4]>,
    },
    /// A layer gets other channels (or features) than its type says: `OUT` of a network is not what its layers give.
    #[error("{layer}: expected {expected} channels, these are {found}")]
    Channels {
        /// The layer.
        layer: String,
        /// What its type says.
        expected: usize,
        /// What came.
        found: usize,
    },
    /// There is not one factor for each channel of each image.
    #[error(
        "scale_channels: expected a factor for each channel of each image, {images}x{channels}x1x1, these are {}x{}x{}x{}",
        factors[0], factors[1], factors[2], factors[3]
    )]
    Factors {
        /// Images that are scaled.
        images: usize,
        /// Channels of each.
        channels: usize,
        /// Shape of the factors that came.
        factors: [usize; 4],
    },
}

impl LayerError {
    /// Why there is no [`Pool2d`] for these.
    pub(super) fn of_pool(
        layer: &'static str,
        window: Window,
        (height, width): (usize, usize),
    ) -> Self {
        if !Pool2d::allows_padding(window) {
            return Self::PoolPadding { layer, window };
        }
        Self::WindowTooLarge {
            layer,
            window,
            height,
            width,
        }
    }
}

/// A shape as it is spoken.
fn by(shape: &[usize; 4]) -> String {
    shape.map(|size| size.to_string()).join("x")
}

thread_local! {
    static LAST_ERROR: RefCell<Option<LayerError>> = const { RefCell::new(None) };
}

/// The last error of a layer on this thread, in words, and forgets it.
///
/// ```
/// use dldna_nn::prelude::*;
/// let dev = Cpu::seed_from_u64(0);
/// let conv = dev.build_module::<Conv2D<1, 1, 7>, f32>();
/// let small = dev.zeros_like(&(1, Const::<1>, 5, 5));
/// assert!(conv.try_forward(small).is_err());
/// let error = dldna_nn::nn::last_error().unwrap();
/// assert!(error.to_string().contains("7x7 pixels"));
/// ```
pub fn last_error() -> Option<LayerError> {
    LAST_ERROR.take()
}

/// The result of a layer, or a panic with the words of its error. dfdx's `forward` would show no more than the type of the
/// device's error.
#[track_caller]
#[doc(hidden)] // for `network!`
pub fn or_panic<T, E: std::fmt::Debug>(run: impl FnOnce() -> Result<T, E>) -> T {
    last_error(); // forgets one that somebody has put up with
    run().unwrap_or_else(|error| match last_error() {
        Some(words) => {
            remember(words.clone());
            panic!("{words}")
        }
        None => panic!("{error:?}"),
    })
}

/// Keeps `error` for [`last_error`].
pub(super) fn remember(error: LayerError) {
    LAST_ERROR.set(Some(error));
}
