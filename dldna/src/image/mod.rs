//! Eight-bit images: decoding, grey values, crops, and the way to arrays and tensors.
//!
//! PNG and JPEG files become a [`GrayImage`] or an [`RgbImage`]. Row 0 is the top row; pixels are stored row after row.
//!
//! How files are read:
//! - PNG: palettes and 1, 2, 4 bit files are expanded, of 16 bit samples the high byte is kept, and transparent pixels are
//!   laid over white.
//! - JPEG: decoded to RGB. Decoders round differently: on the photograph of the notebooks colours differ from OpenCV's by at most
//!   3 of 255, grey values by at most 1.
//! - Both: turned as the EXIF data say, like OpenCV's `imread`. What follows the end of the picture (phones put a film there) is
//!   left alone. A picture of which a part is missing is refused.
//! - Refused before memory is taken: more than 64 million pixels (2^26), and more than the file's bytes can hold, which is 512
//!   pixels for each byte of a JPEG file and 1,032 bytes of pixels for each byte of a PNG file.
//! - Grey values of a colour file always come from its RGB values by [`RgbImage::to_gray`], for PNG and JPEG alike. OpenCV's
//!   `imread(.., IMREAD_COLOR)` followed by `cvtColor` does the same. Its `IMREAD_GRAYSCALE` takes the luma that a JPEG file
//!   stores, before colours are clipped to 0..255, and differs from this in a few saturated pixels.

mod decode;
mod jpeg;
mod png_file;

use std::fmt;
use std::path::{Path, PathBuf};

use crate::display::{Content, emit};
use dfdx::prelude::{Const, Cpu, HasShape, Tensor, TensorFromVec};
use dldna_nn::data::{Normalisation, Picture, resized_planes};
use ndarray::Array2;
use thiserror::Error;

use crate::download::{DownloadError, fetch};
pub(crate) use decode::describe_start;
use decode::{Orientation, Pixels, decode};

/// More pixels than this are refused before memory is taken for them: a small file can declare a huge picture.
const MAX_PIXELS: usize = 64 << 20;

/// A larger file is not an image of at most [`MAX_PIXELS`] that anybody would load over the network.
const MAX_FILE_BYTES: u64 = 64 << 20;

/// What can go wrong with an image.
#[derive(Debug, Error)]
pub enum ImageError {
    /// A size that would not fit in memory.
    #[error("{height} x {width} pixels are too many: at most {MAX_PIXELS}")]
    Resized {
        /// Rows asked for.
        height: usize,
        /// Columns asked for.
        width: usize,
    },
    /// The file could not be read.
    #[error("cannot read the image {}: {source}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What the operating system said.
        source: std::io::Error,
    },
    /// The image could not be downloaded.
    #[error(transparent)]
    Download(#[from] DownloadError),
    /// The bytes are neither PNG nor JPEG.
    #[error("not an image that can be read: expected PNG or JPEG, found {found}")]
    UnknownFormat {
        /// The format if it is a known one, else the first bytes.
        found: String,
    },
    /// A PNG or JPEG file is damaged, cut short, or of a kind that is not supported.
    #[error("damaged or unsupported {format} image: {reason}")]
    Decode {
        /// `PNG` or `JPEG`.
        format: &'static str,
        /// What the decoder said.
        reason: String,
    },
    /// The image has more pixels than are accepted.
    #[error("image of {width} x {height} pixels: expected at most {} million", MAX_PIXELS >> 20)]
    TooLarge {
        /// Rows.
        height: usize,
        /// Columns.
        width: usize,
    },
    /// The number of values does not belong to the size.
    #[error(
        "an image of height {height}, width {width} and {channels} channel(s) cannot be made of {found} values: \
         expected height x width x channels, and at least one pixel"
    )]
    Size {
        /// Rows.
        height: usize,
        /// Columns.
        width: usize,
        /// Values per pixel.
        channels: usize,
        /// Number of values that came.
        found: usize,
    },
    /// A crop reaches beyond the image, or is empty.
    #[error(
        "crop of height {height} and width {width} at row {top}, column {left}: \
         expected at least one pixel and all of them inside the image of height {image_height} and width {image_width}"
    )]
    Crop {
        /// First row of the crop.
        top: usize,
        /// First column of the crop.
        left: usize,
        /// Rows of the crop.
        height: usize,
        /// Columns of the crop.
        width: usize,
        /// Rows of the image.
        image_height: usize,
        /// Columns of the image.
        image_width: usize,
    },
    /// Another error, with the file or URL it belongs to.
    #[error("{origin}: {source}")]
    In {
        /// File or URL.
        origin: String,
        /// What went wrong there.
        source: Box<ImageError>,
    },
}

impl ImageError {
    fn in_origin(self, origin: impl Into<String>) -> Self {
        ImageError::In {
            origin: origin.into(),
            source: Box::new(self),
        }
    }
}

/// A grey image: rows and columns of grey values.
///
/// ```
/// use dldna::image::GrayImage;
///
/// let ramp = GrayImage::new(2, 3, vec![0, 1, 2, 10, 11, 12])?;
/// assert_eq!(ramp.rotate90().pixels(), [10, 0, 11, 1, 12, 2]);
/// # Ok::<(), dldna::image::ImageError>(())
/// ```
#[derive(Clone, PartialEq, Eq)]
pub struct GrayImage {
    height: usize,
    width: usize,
    /// `height * width` values, row after row.
    pixels: Vec<u8>,
}

impl Picture for GrayImage {
    fn height(&self) -> usize {
        self.height
    }

    fn width(&self) -> usize {
        self.width
    }

    fn channels(&self) -> usize {
        1
    }

    fn values(&self) -> &[u8] {
        &self.pixels
    }
}

/// The size alone: a picture's pixels would fill the screen.
impl fmt::Debug for GrayImage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "GrayImage {{ {} x {} }}", self.width, self.height)
    }
}

impl GrayImage {
    /// An image from its grey values, row after row.
    ///
    /// # Errors
    /// [`ImageError::Size`] if there are not `height * width` values, or none.
    pub fn new(height: usize, width: usize, pixels: Vec<u8>) -> Result<Self, ImageError> {
        check_size(height, width, 1, pixels.len())?;
        Ok(GrayImage {
            height,
            width,
            pixels,
        })
    }

    /// An image whose pixel at each row and column is `pixel(row, column)`; it may have none.
    pub(crate) fn from_fn(height: usize, width: usize, pixel: impl Fn(usize, usize) -> u8) -> Self {
        let pixel = &pixel;
        let row = |row| (0..width).map(move |column| pixel(row, column));
        GrayImage {
            height,
            width,
            pixels: (0..height).flat_map(row).collect(),
        }
    }

    /// Number of rows.
    pub fn height(&self) -> usize {
        self.height
    }

    /// Number of columns.
    pub fn width(&self) -> usize {
        self.width
    }

    /// Grey values, row after row; 0 is black, 255 white. The pixel of row `y` and column `x` is at `y * width + x`.
    ///
    /// ```
    /// use dldna::image::GrayImage;
    ///
    /// let image = GrayImage::new(2, 3, vec![0, 1, 2, 10, 11, 12])?;
    /// assert_eq!(image.pixels()[image.width() + 2], 12);
    /// # Ok::<(), dldna::image::ImageError>(())
    /// ```
    pub fn pixels(&self) -> &[u8] {
        &self.pixels
    }

    /// The values themselves, without the image.
    ///
    /// ```
    /// use dldna::image::GrayImage;
    ///
    /// let image = GrayImage::new(1, 3, vec![7, 8, 9])?;
    /// assert_eq!(image.into_pixels(), vec![7, 8, 9]);
    /// # Ok::<(), dldna::image::ImageError>(())
    /// ```
    pub fn into_pixels(self) -> Vec<u8> {
        self.pixels
    }

    /// The grey values, to change them. Their number stays.
    ///
    /// ```
    /// use dldna::image::GrayImage;
    ///
    /// let mut image = GrayImage::new(1, 2, vec![7, 200])?;
    /// image.pixels_mut()[0] = 255;
    /// assert_eq!(image.pixels(), [255, 200]);
    /// # Ok::<(), dldna::image::ImageError>(())
    /// ```
    pub fn pixels_mut(&mut self) -> &mut [u8] {
        &mut self.pixels
    }

    /// Decodes a PNG or JPEG file; colours become grey as in [`RgbImage::to_gray`].
    ///
    /// # Errors
    /// If the bytes are not a whole, supported PNG or JPEG file.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, ImageError> {
        let picture = decode(bytes)?;
        let (height, width) = (picture.height, picture.width);
        match picture.pixels {
            Pixels::Gray(pixels) => Self::new(height, width, pixels),
            Pixels::Rgb(pixels) => Ok(RgbImage::new(height, width, pixels)?.to_gray()),
        }
    }

    /// Reads and decodes a PNG or JPEG file.
    ///
    /// # Errors
    /// If the file cannot be read or decoded; the error names the file.
    pub fn from_path(path: impl AsRef<Path>) -> Result<Self, ImageError> {
        read_and_decode(path.as_ref(), Self::from_bytes)
    }

    /// Downloads and decodes a PNG or JPEG file.
    ///
    /// # Errors
    /// If the download fails or the file cannot be decoded; the error names the URL.
    pub fn from_url(url: &str) -> Result<Self, ImageError> {
        fetch_and_decode(url, Self::from_bytes)
    }

    /// The part of `height` rows and `width` columns whose upper left pixel is at row `top`, column `left`.
    ///
    /// # Errors
    /// [`ImageError::Crop`] if the part is empty or reaches beyond the image.
    pub fn cropped(
        &self,
        top: usize,
        left: usize,
        height: usize,
        width: usize,
    ) -> Result<Self, ImageError> {
        let pixels = crop(
            &self.pixels,
            [self.height, self.width],
            1,
            [top, left, height, width],
        )?;
        Self::new(height, width, pixels)
    }

    /// The image turned clockwise by a quarter turn.
    pub fn rotate90(&self) -> Self {
        let pixels = Orientation::QUARTER_TURN.apply(&self.pixels, self.height, self.width, 1);
        GrayImage {
            height: self.width,
            width: self.height,
            pixels,
        }
    }

    /// The grey values 0..=255 as a matrix of shape `(height, width)`.
    ///
    /// ```
    /// use dldna::image::GrayImage;
    ///
    /// let image = GrayImage::new(1, 2, vec![7, 200])?;
    /// assert_eq!(GrayImage::from_array(&image.to_array())?, image);
    /// # Ok::<(), dldna::image::ImageError>(())
    /// ```
    pub fn to_array(&self) -> Array2<u8> {
        Array2::from_shape_fn((self.height, self.width), |(y, x)| {
            self.pixels[y * self.width + x]
        })
    }

    /// An image from a matrix of shape `(height, width)`.
    ///
    /// # Errors
    /// [`ImageError::Size`] if the matrix is empty.
    pub fn from_array(array: &Array2<u8>) -> Result<Self, ImageError> {
        Self::new(
            array.nrows(),
            array.ncols(),
            array.iter().copied().collect(),
        )
    }

    /// A batch of one: shape `(1, 1, height, width)`. A network takes it with the normalisation that it was trained with;
    /// [`Normalisation::UNIT`] leaves `pixel / 255`.
    ///
    /// ```
    /// use dfdx::prelude::*;
    /// use dldna::{data::Normalisation, image::GrayImage};
    ///
    /// let image = GrayImage::new(1, 2, vec![0, 255])?;
    /// assert_eq!(image.to_tensor(&Cpu::default(), Normalisation::UNIT).as_vec(), [0.0, 1.0]);
    /// assert_eq!(image.to_tensor(&Cpu::default(), Normalisation::BOOK).as_vec(), [-1.0, 1.0]);
    /// # Ok::<(), dldna::image::ImageError>(())
    /// ```
    pub fn to_tensor<D: TensorFromVec<f32>>(
        &self,
        device: &D,
        normalisation: Normalisation,
    ) -> Tensor<(usize, Const<1>, usize, usize), f32, D> {
        let values = self.pixels.iter().map(|&pixel| normalisation.apply(pixel));
        let values = values.collect();
        device.tensor_from_vec(values, (1, Const, self.height, self.width))
    }

    /// The image at another size: each axis by area where it shrinks, by linear interpolation where it grows, as OpenCV's
    /// `resize` with `INTER_AREA` and `INTER_LINEAR` ([`resize`](crate::data::resize)).
    ///
    /// ```
    /// use dldna::image::GrayImage;
    /// let image = GrayImage::new(2, 2, vec![0, 100, 100, 200])?;
    /// assert_eq!(image.resized(1, 1)?.pixels(), [100]);
    /// # Ok::<(), dldna::image::ImageError>(())
    /// ```
    ///
    /// # Errors
    /// [`ImageError::Size`] if there would be no pixels, or too many.
    pub fn resized(&self, height: usize, width: usize) -> Result<Self, ImageError> {
        let pixels = resized_values(self, height, width)?;
        Self::new(height, width, pixels)
    }

    /// The image as a PNG file.
    ///
    /// # Errors
    /// [`ImageError::Size`] if there are no pixels, or more in a row or column than the format allows.
    pub fn to_png(&self) -> Result<Vec<u8>, ImageError> {
        encode_png(&self.pixels, self.height, self.width, 1)
    }

    /// Shows the image in a notebook.
    pub fn evcxr_display(&self) {
        display(&self.pixels, self.height, self.width, 1);
    }
}

/// A colour image: rows and columns of pixels of three values each.
///
/// ```
/// use dldna::image::RgbImage;
///
/// let image = RgbImage::new(1, 2, vec![255, 0, 0, 0, 0, 255])?; // red, blue
/// assert_eq!((image.height(), image.width()), (1, 2));
/// # Ok::<(), dldna::image::ImageError>(())
/// ```
#[derive(Clone, PartialEq, Eq)]
pub struct RgbImage {
    height: usize,
    width: usize,
    /// Red, green, blue, red, green, blue, ..: `3 * height * width` values, row after row.
    pixels: Vec<u8>,
}

impl Picture for RgbImage {
    fn height(&self) -> usize {
        self.height
    }

    fn width(&self) -> usize {
        self.width
    }

    fn channels(&self) -> usize {
        3
    }

    fn values(&self) -> &[u8] {
        &self.pixels
    }
}

/// The size alone: a picture's pixels would fill the screen.
impl fmt::Debug for RgbImage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "RgbImage {{ {} x {} }}", self.width, self.height)
    }
}

impl RgbImage {
    /// An image from its interleaved values.
    ///
    /// # Errors
    /// [`ImageError::Size`] if there are not `3 * height * width` values, or none.
    pub fn new(height: usize, width: usize, pixels: Vec<u8>) -> Result<Self, ImageError> {
        check_size(height, width, 3, pixels.len())?;
        Ok(RgbImage {
            height,
            width,
            pixels,
        })
    }

    /// An image whose pixel at each row and column is `pixel(row, column)`, red first; it may have none.
    pub(crate) fn from_fn(
        height: usize,
        width: usize,
        pixel: impl Fn(usize, usize) -> [u8; 3],
    ) -> Self {
        let pixel = &pixel;
        let row = |row| (0..width).flat_map(move |column| pixel(row, column));
        RgbImage {
            height,
            width,
            pixels: (0..height).flat_map(row).collect(),
        }
    }

    /// Number of rows.
    pub fn height(&self) -> usize {
        self.height
    }

    /// Number of columns.
    pub fn width(&self) -> usize {
        self.width
    }

    /// The values, interleaved: red, green and blue of one pixel lie side by side, pixel after pixel, row after row. The red
    /// value of row `y` and column `x` is at `3 * (y * width + x)`.
    ///
    /// ```
    /// use dldna::image::RgbImage;
    ///
    /// let image = RgbImage::new(1, 2, vec![255, 0, 0, 1, 2, 3])?;
    /// assert_eq!(image.pixels()[3..], [1, 2, 3]);
    /// # Ok::<(), dldna::image::ImageError>(())
    /// ```
    pub fn pixels(&self) -> &[u8] {
        &self.pixels
    }

    /// The values themselves, without the image.
    ///
    /// ```
    /// use dldna::image::RgbImage;
    ///
    /// let image = RgbImage::new(1, 1, vec![7, 8, 9])?;
    /// assert_eq!(image.into_pixels(), vec![7, 8, 9]);
    /// # Ok::<(), dldna::image::ImageError>(())
    /// ```
    pub fn into_pixels(self) -> Vec<u8> {
        self.pixels
    }

    /// Decodes a PNG or JPEG file; in a grey file red, green and blue are equal.
    ///
    /// # Errors
    /// If the bytes are not a whole, supported PNG or JPEG file.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, ImageError> {
        let picture = decode(bytes)?;
        let pixels = match picture.pixels {
            Pixels::Gray(pixels) => pixels.into_iter().flat_map(|gray| [gray; 3]).collect(),
            Pixels::Rgb(pixels) => pixels,
        };
        Self::new(picture.height, picture.width, pixels)
    }

    /// Reads and decodes a PNG or JPEG file.
    ///
    /// # Errors
    /// If the file cannot be read or decoded; the error names the file.
    pub fn from_path(path: impl AsRef<Path>) -> Result<Self, ImageError> {
        read_and_decode(path.as_ref(), Self::from_bytes)
    }

    /// Downloads and decodes a PNG or JPEG file.
    ///
    /// # Errors
    /// If the download fails or the file cannot be decoded; the error names the URL.
    pub fn from_url(url: &str) -> Result<Self, ImageError> {
        fetch_and_decode(url, Self::from_bytes)
    }

    /// Grey values `0.299 R + 0.587 G + 0.114 B` (ITU-R BT.601), rounded as OpenCV's `cvtColor(.., COLOR_RGB2GRAY)` rounds them.
    ///
    /// ```
    /// use dldna::image::RgbImage;
    ///
    /// let image = RgbImage::new(1, 2, vec![255, 0, 0, 255, 255, 255])?;
    /// assert_eq!(image.to_gray().pixels(), [76, 255]);
    /// # Ok::<(), dldna::image::ImageError>(())
    /// ```
    pub fn to_gray(&self) -> GrayImage {
        // The three weights times 2^15; they add up to 2^15, so that white stays white.
        let gray = |rgb: &[u8]| {
            let [red, green, blue] = [rgb[0], rgb[1], rgb[2]].map(u32::from);
            ((9798 * red + 19235 * green + 3735 * blue + (1 << 14)) >> 15) as u8
        };
        let pixels = self.pixels.chunks_exact(3).map(gray).collect();
        GrayImage {
            height: self.height,
            width: self.width,
            pixels,
        }
    }

    /// The red, green and blue values as three grey images.
    pub fn channels(&self) -> [GrayImage; 3] {
        [0, 1, 2].map(|channel| GrayImage {
            height: self.height,
            width: self.width,
            pixels: self
                .pixels
                .iter()
                .skip(channel)
                .step_by(3)
                .copied()
                .collect(),
        })
    }

    /// The part of `height` rows and `width` columns whose upper left pixel is at row `top`, column `left`.
    ///
    /// # Errors
    /// [`ImageError::Crop`] if the part is empty or reaches beyond the image.
    pub fn cropped(
        &self,
        top: usize,
        left: usize,
        height: usize,
        width: usize,
    ) -> Result<Self, ImageError> {
        let pixels = crop(
            &self.pixels,
            [self.height, self.width],
            3,
            [top, left, height, width],
        )?;
        Self::new(height, width, pixels)
    }

    /// The image turned clockwise by a quarter turn.
    pub fn rotate90(&self) -> Self {
        let pixels = Orientation::QUARTER_TURN.apply(&self.pixels, self.height, self.width, 3);
        RgbImage {
            height: self.width,
            width: self.height,
            pixels,
        }
    }

    /// A batch of one: shape `(1, 3, height, width)`, red first. A network takes it with the normalisation that it was
    /// trained with; [`Normalisation::UNIT`] leaves `value / 255`.
    ///
    /// ```
    /// use dfdx::prelude::*;
    /// use dldna::{data::Normalisation, image::RgbImage};
    ///
    /// let image = RgbImage::new(1, 2, vec![255, 0, 51, 0, 0, 51])?;
    /// let x = image.to_tensor(&Cpu::default(), Normalisation::UNIT);
    /// assert_eq!(x.as_vec(), [1.0, 0.0, 0.0, 0.0, 0.2, 0.2]);
    /// # Ok::<(), dldna::image::ImageError>(())
    /// ```
    pub fn to_tensor<D: TensorFromVec<f32>>(
        &self,
        device: &D,
        normalisation: Normalisation,
    ) -> Tensor<(usize, Const<3>, usize, usize), f32, D> {
        let plane = |channel: usize| {
            let values = self.pixels.iter().skip(channel).step_by(3);
            values.map(move |&value| normalisation.apply_in(channel, value.into()))
        };
        let values = (0..3).flat_map(plane).collect();
        device.tensor_from_vec(values, (1, Const, self.height, self.width))
    }

    /// The image at another size: each axis by area where it shrinks, by linear interpolation where it grows, as OpenCV's
    /// `resize` with `INTER_AREA` and `INTER_LINEAR` ([`resize`](crate::data::resize)).
    ///
    /// # Errors
    /// [`ImageError::Size`] if there would be no pixels, or too many.
    pub fn resized(&self, height: usize, width: usize) -> Result<Self, ImageError> {
        let pixels = resized_values(self, height, width)?;
        Self::new(height, width, pixels)
    }

    /// The image as a PNG file.
    ///
    /// # Errors
    /// [`ImageError::Size`] if there are no pixels, or more in a row or column than the format allows.
    pub fn to_png(&self) -> Result<Vec<u8>, ImageError> {
        encode_png(&self.pixels, self.height, self.width, 3)
    }

    /// Shows the image in a notebook.
    pub fn evcxr_display(&self) {
        display(&self.pixels, self.height, self.width, 3);
    }
}

/// The values of a picture at another size, the channels running fastest.
fn resized_values(
    picture: &impl Picture,
    height: usize,
    width: usize,
) -> Result<Vec<u8>, ImageError> {
    let channels = picture.channels();
    let pixels = height
        .checked_mul(width)
        .filter(|&pixels| pixels <= MAX_PIXELS);
    let Some(pixels) = pixels else {
        return Err(ImageError::Resized { height, width });
    };
    let planes = resized_planes(picture, channels, (height, width));
    let value = |at: usize, channel: usize| planes[channel * pixels + at].round() as u8;
    let values = (0..pixels).flat_map(|at| (0..channels).map(move |channel| (at, channel)));
    Ok(values.map(|(at, channel)| value(at, channel)).collect())
}

/// How alike the channels of a batch are: Pearson's correlation of each pair over all pixels of all images, shape `(C, C)`.
///
/// 1 means that one channel is the other up to brightness and contrast, 0 that neither tells anything (linear) about the other.
/// A channel without contrast has no correlation: NaN.
///
/// ```
/// use dldna::image::{RgbImage, channel_correlations};
/// use dldna::{data::Normalisation, prelude::*};
///
/// let image = RgbImage::new(1, 2, vec![0, 10, 255, 255, 20, 0])?;
/// let table = channel_correlations(&image.to_tensor(&Cpu::default(), Normalisation::UNIT));
/// assert!((table[[0, 1]] - 1.0).abs() < 1e-6); // red and green rise together
/// assert!((table[[0, 2]] + 1.0).abs() < 1e-6); // blue falls
/// # Ok::<(), dldna::image::ImageError>(())
/// ```
pub fn channel_correlations<const C: usize>(
    batch: &Tensor<(usize, Const<C>, usize, usize), f32, Cpu>,
) -> Array2<f32> {
    let &(images, _, height, width) = batch.shape();
    let values = batch.as_vec();
    let pixels = height * width;
    // Deviations from the mean, channel by channel.
    let centred = |channel: usize| {
        let places = (0..images).flat_map(|n| &values[(n * C + channel) * pixels..][..pixels]);
        let all: Vec<f64> = places.map(|&v| f64::from(v)).collect();
        let mean = all.iter().sum::<f64>() / all.len() as f64;
        all.into_iter().map(|v| v - mean).collect()
    };
    let channels: Vec<Vec<f64>> = (0..C).map(centred).collect();
    let dot = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(a, b)| a * b).sum::<f64>();
    Array2::from_shape_fn((C, C), |(i, j)| {
        let (a, b) = (&channels[i], &channels[j]);
        (dot(a, b) / (dot(a, a) * dot(b, b)).sqrt()) as f32
    })
}

fn check_size(
    height: usize,
    width: usize,
    channels: usize,
    found: usize,
) -> Result<(), ImageError> {
    let expected = height
        .checked_mul(width)
        .and_then(|pixels| pixels.checked_mul(channels));
    if found == 0 || expected != Some(found) {
        return Err(ImageError::Size {
            height,
            width,
            channels,
            found,
        });
    }
    Ok(())
}

fn read_and_decode<T>(
    path: &Path,
    decode: impl FnOnce(&[u8]) -> Result<T, ImageError>,
) -> Result<T, ImageError> {
    let bytes = std::fs::read(path).map_err(|source| ImageError::Read {
        path: path.into(),
        source,
    })?;
    decode(&bytes).map_err(|error| error.in_origin(path.display().to_string()))
}

fn fetch_and_decode<T>(
    url: &str,
    decode: impl FnOnce(&[u8]) -> Result<T, ImageError>,
) -> Result<T, ImageError> {
    let bytes = fetch(url, MAX_FILE_BYTES)?;
    decode(&bytes).map_err(|error| error.in_origin(url))
}

fn crop(
    pixels: &[u8],
    image: [usize; 2],
    channels: usize,
    part: [usize; 4],
) -> Result<Vec<u8>, ImageError> {
    let [image_height, image_width] = image;
    let [top, left, height, width] = part;
    let inside = |start: usize, length: usize, end: usize| {
        length > 0 && start.checked_add(length).is_some_and(|e| e <= end)
    };
    if !inside(top, height, image_height) || !inside(left, width, image_width) {
        return Err(ImageError::Crop {
            top,
            left,
            height,
            width,
            image_height,
            image_width,
        });
    }
    let rows = pixels
        .chunks_exact(image_width * channels)
        .skip(top)
        .take(height);
    Ok(rows
        .flat_map(|row| &row[left * channels..(left + width) * channels])
        .copied()
        .collect())
}

fn encode_png(
    pixels: &[u8],
    height: usize,
    width: usize,
    channels: usize,
) -> Result<Vec<u8>, ImageError> {
    let wrong_size = || ImageError::Size {
        height,
        width,
        channels,
        found: pixels.len(),
    };
    check_size(height, width, channels, pixels.len())?;
    let (png_width, png_height) = u32::try_from(width)
        .ok()
        .zip(u32::try_from(height).ok())
        .ok_or_else(wrong_size)?;
    let mut bytes = Vec::new();
    let mut encoder = png::Encoder::new(&mut bytes, png_width, png_height);
    encoder.set_color(if channels == 1 {
        png::ColorType::Grayscale
    } else {
        png::ColorType::Rgb
    });
    encoder.set_depth(png::BitDepth::Eight);
    // Writing to memory fails for no other reason than the size.
    let written = encoder
        .write_header()
        .and_then(|mut writer| writer.write_image_data(pixels));
    written.map_err(|_| wrong_size())?;
    Ok(bytes)
}

/// Images smaller than this are enlarged for the screen, every pixel to a square of equal pixels.
const SMALLEST_SHOWN: usize = 224;

fn display(pixels: &[u8], height: usize, width: usize, channels: usize) {
    let factor = (SMALLEST_SHOWN / height.max(width).max(1)).max(1);
    let enlarged = enlarge(pixels, width, channels, factor);
    match encode_png(&enlarged, height * factor, width * factor, channels) {
        Ok(png) => emit(&[Content::Bytes("image/png", &png)]),
        Err(error) => println!("{error}"),
    }
}

fn enlarge(pixels: &[u8], width: usize, channels: usize, factor: usize) -> Vec<u8> {
    let mut enlarged = Vec::with_capacity(pixels.len() * factor * factor);
    for row in pixels.chunks((width * channels).max(1)) {
        let start = enlarged.len();
        for pixel in row.chunks(channels) {
            for _ in 0..factor {
                enlarged.extend_from_slice(pixel);
            }
        }
        let end = enlarged.len();
        for _ in 1..factor {
            enlarged.extend_from_within(start..end);
        }
    }
    enlarged
}
