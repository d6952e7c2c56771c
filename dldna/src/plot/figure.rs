//! A finished figure.

use super::canvas::check_size;
use crate::atomic_file;
use crate::display::{Content, emit};
use crate::plot::PlotError;
use crate::table::escape;
use base64::{Engine, engine::general_purpose::STANDARD};
use std::fmt;
use std::path::Path;
use std::sync::OnceLock;

/// A finished figure: an opaque picture that a notebook shows when it is the last value of a cell.
///
/// # Example
/// ```
/// use dldna::plot::Chart;
///
/// let figure = Chart::new("Squares").line("x²", &[0, 1, 2, 3], &[0, 1, 4, 9]).draw()?;
/// assert_eq!(&figure.png()[1..4], b"PNG");
/// # Ok::<(), dldna::plot::PlotError>(())
/// ```
#[derive(Clone)]
pub struct Figure {
    width: usize,
    height: usize,
    /// RGB, row by row.
    pixels: Vec<u8>,
    png: OnceLock<Vec<u8>>,
    /// What the picture shows, for those who do not see it.
    alternative: Option<String>,
}

/// The size alone: the pixels would fill the screen.
impl fmt::Debug for Figure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Figure {{ {} x {} }}", self.width, self.height)
    }
}

impl Figure {
    /// `pixels` are RGB, row by row; both sides are at least 1.
    pub(crate) fn new(width: usize, height: usize, pixels: Vec<u8>) -> Self {
        assert!(width > 0 && height > 0 && pixels.len() == 3 * width * height);
        Figure {
            width,
            height,
            pixels,
            png: OnceLock::new(),
            alternative: None,
        }
    }

    /// The figure with its alternative text: what a reader who does not see the figure should know of it, in a
    /// sentence or two. Screen readers read it aloud, and browsers show it where the picture is missing.
    ///
    /// # Example
    /// ```
    /// use dldna::plot::Chart;
    ///
    /// let chart = Chart::new("Squares").line("x²", &[0, 1, 2, 3], &[0, 1, 4, 9]);
    /// let figure = chart.draw()?.with_alt("A curve that rises ever more steeply, from 0 to 9.");
    /// assert!(figure.html().unwrap().contains("alt=\"A curve that rises"));
    /// # Ok::<(), dldna::plot::PlotError>(())
    /// ```
    pub fn with_alt(mut self, text: impl Into<String>) -> Self {
        self.alternative = Some(text.into());
        self
    }

    /// The figure as an HTML image that holds its alternative text; `None` if [`Figure::with_alt`] gave none.
    pub fn html(&self) -> Option<String> {
        let text = escape(self.alternative.as_ref()?).replace('"', "&quot;");
        let png = STANDARD.encode(self.png());
        Some(format!(
            "<img style=\"max-width:100%\" alt=\"{text}\" src=\"data:image/png;base64,{png}\">"
        ))
    }

    /// Width in pixels.
    pub fn width(&self) -> usize {
        self.width
    }

    /// Height in pixels.
    pub fn height(&self) -> usize {
        self.height
    }

    /// RGB bytes, row by row.
    pub fn pixels(&self) -> &[u8] {
        &self.pixels
    }

    /// The figure as a PNG file. The same figure always gives the same bytes.
    pub fn png(&self) -> &[u8] {
        self.png
            .get_or_init(|| encode_png(self).expect("encoding to memory does not fail"))
    }

    /// Writes the PNG to `path`. The file appears whole or not at all.
    ///
    /// # Errors
    /// [`PlotError::Save`] names the path, when its folder is missing or cannot be written.
    ///
    /// # Example
    /// ```
    /// use dldna::plot::Chart;
    ///
    /// let folder = tempfile::tempdir()?;
    /// let path = folder.path().join("line.png");
    /// Chart::new("Line").line("y", &[0, 1], &[0, 1]).draw()?.save(&path)?;
    /// assert!(path.exists());
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn save(&self, path: impl AsRef<Path>) -> Result<(), PlotError> {
        let path = path.as_ref();
        atomic_file::write(path, self.png()).map_err(|source| PlotError::Save {
            path: path.to_owned(),
            source,
        })
    }

    /// `figures` side by side, from the left, aligned at the top.
    ///
    /// # Errors
    /// [`PlotError::Empty`] without figures, [`PlotError::TooLarge`] with too many.
    ///
    /// # Example
    /// ```
    /// use dldna::plot::{Figure, HeatMap};
    ///
    /// let a = HeatMap::new("a", 2, 2, &[1.0, 2.0, 3.0, 4.0]).draw()?;
    /// let b = HeatMap::new("b", 2, 2, &[4.0, 3.0, 2.0, 1.0]).draw()?;
    /// let both = Figure::row(&[a.clone(), b])?;
    /// assert!(both.width() > 2 * a.width() - 1);
    /// # Ok::<(), dldna::plot::PlotError>(())
    /// ```
    pub fn row(figures: &[Figure]) -> Result<Figure, PlotError> {
        let width = figures.iter().map(|f| f.width).sum();
        let height = figures.iter().map(|f| f.height).max();
        let height = height.ok_or(PlotError::Empty {
            what: "a row of figures",
        })?;
        let mut sheet = Sheet::new(width, height)?;
        let mut x = 0;
        for figure in figures {
            sheet.paste(figure, x, 0);
            x += figure.width;
        }
        Ok(Figure::new(width, height, sheet.pixels))
    }

    /// `figures` one below the other, aligned at the left.
    ///
    /// # Errors
    /// [`PlotError::Empty`] without figures, [`PlotError::TooLarge`] with too many.
    ///
    /// # Example
    /// ```
    /// use dldna::plot::{Chart, Figure};
    ///
    /// let chart = Chart::new("Line").line("y", &[0, 1], &[0, 1]).draw()?;
    /// let both = Figure::column(&[chart.clone(), chart.clone()])?;
    /// assert_eq!(both.height(), 2 * chart.height());
    /// # Ok::<(), dldna::plot::PlotError>(())
    /// ```
    pub fn column(figures: &[Figure]) -> Result<Figure, PlotError> {
        let width = figures.iter().map(|f| f.width).max();
        let width = width.ok_or(PlotError::Empty {
            what: "a column of figures",
        })?;
        let height = figures.iter().map(|f| f.height).sum();
        let mut sheet = Sheet::new(width, height)?;
        let mut y = 0;
        for figure in figures {
            sheet.paste(figure, 0, y);
            y += figure.height;
        }
        Ok(Figure::new(width, height, sheet.pixels))
    }

    /// Shows the figure as the result of a notebook cell.
    ///
    /// With an alternative text it is shown as HTML, because JupyterLab gives an image of the type `image/png` none.
    pub fn evcxr_display(&self) {
        match (self.html(), &self.alternative) {
            (Some(html), Some(text)) => emit(&[
                Content::Text("text/html", &html),
                Content::Text("text/plain", text),
            ]),
            _ => emit(&[Content::Bytes("image/png", self.png())]),
        }
    }
}

/// White paper to paste figures on.
struct Sheet {
    width: usize,
    pixels: Vec<u8>,
}

impl Sheet {
    fn new(width: usize, height: usize) -> Result<Self, PlotError> {
        check_size(width as f32, height as f32)?;
        Ok(Sheet {
            width,
            pixels: vec![255; 3 * width * height],
        })
    }

    fn paste(&mut self, figure: &Figure, left: usize, top: usize) {
        for (y, row) in figure.pixels.chunks_exact(3 * figure.width).enumerate() {
            let start = 3 * ((top + y) * self.width + left);
            self.pixels[start..start + row.len()].copy_from_slice(row);
        }
    }
}

/// With at most 256 colours a pixel needs one byte instead of three.
fn encode_png(figure: &Figure) -> Result<Vec<u8>, png::EncodingError> {
    let mut bytes = Vec::new();
    let mut encoder = png::Encoder::new(&mut bytes, figure.width as u32, figure.height as u32);
    encoder.set_depth(png::BitDepth::Eight);
    encoder.set_compression(png::Compression::High);
    match indexed(&figure.pixels) {
        Some((palette, indices)) => {
            encoder.set_color(png::ColorType::Indexed);
            encoder.set_palette(palette);
            encoder.write_header()?.write_image_data(&indices)?;
        }
        None => {
            encoder.set_color(png::ColorType::Rgb);
            encoder.write_header()?.write_image_data(&figure.pixels)?;
        }
    }
    Ok(bytes)
}

/// The sorted colours of RGB `pixels` and each pixel's place among them, unless there are more than 256 colours.
fn indexed(pixels: &[u8]) -> Option<(Vec<u8>, Vec<u8>)> {
    let mut colors = std::collections::BTreeSet::new();
    for pixel in pixels.chunks_exact(3) {
        colors.insert([pixel[0], pixel[1], pixel[2]]);
        if colors.len() > 256 {
            return None;
        }
    }
    let colors: Vec<[u8; 3]> = colors.into_iter().collect();
    let place = |p: &[u8]| colors.partition_point(|c| c.as_slice() < p) as u8;
    let indices = pixels.chunks_exact(3).map(place).collect();
    Some((colors.concat(), indices))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn decode(bytes: &[u8]) -> Vec<u8> {
        let mut decoder = png::Decoder::new(std::io::Cursor::new(bytes));
        decoder.set_transformations(png::Transformations::EXPAND);
        let mut reader = decoder.read_info().unwrap();
        let mut pixels = vec![0; reader.output_buffer_size().unwrap()];
        reader.next_frame(&mut pixels).unwrap();
        pixels
    }

    #[test]
    fn the_file_holds_the_same_pixels_with_few_and_with_many_colours() {
        let few: Vec<u8> = (0..3 * 64)
            .map(|i| if i % 3 == 0 { 200 } else { (i / 3 % 5) as u8 })
            .collect();
        let many: Vec<u8> = (0..3 * 1024u32)
            .map(|i| (i * i % 251 + i / 512) as u8)
            .collect();
        assert!(indexed(&few).is_some() && indexed(&many).is_none());
        assert_eq!(decode(Figure::new(8, 8, few.clone()).png()), few);
        assert_eq!(decode(Figure::new(32, 32, many.clone()).png()), many);
    }

    #[test]
    fn a_row_keeps_every_pixel_and_fills_with_white() {
        let black = Figure::new(1, 1, vec![0; 3]);
        let gray = Figure::new(1, 2, vec![9; 6]);
        let row = Figure::row(&[black, gray]).unwrap();
        assert_eq!(row.pixels(), [0, 0, 0, 9, 9, 9, 255, 255, 255, 9, 9, 9]);
        assert!(matches!(Figure::row(&[]), Err(PlotError::Empty { .. })));
        assert!(matches!(Figure::column(&[]), Err(PlotError::Empty { .. })));
    }

    #[test]
    fn the_alternative_text_is_escaped_and_the_image_whole() {
        let figure = Figure::new(1, 1, vec![7; 3]);
        assert_eq!(figure.html(), None);
        let html = figure.with_alt("\"a\" < b & c").html().unwrap();
        assert!(
            html.contains("alt=\"&quot;a&quot; &lt; b &amp; c\" src="),
            "{html}"
        );
        let (_, image) = html.split_once("base64,").unwrap();
        let png = STANDARD.decode(image.trim_end_matches("\">")).unwrap();
        assert_eq!(decode(&png), [7; 3]);
    }

    #[test]
    fn saving_into_a_missing_folder_names_the_path() {
        let error = Figure::new(1, 1, vec![0; 3])
            .save("/no/such/folder/a.png")
            .unwrap_err();
        assert!(
            error.to_string().contains("/no/such/folder/a.png"),
            "{error}"
        );
    }
}
