//! How a training went, as figures.

use super::{ConfusionMatrix, Epoch, History};
use crate::cnn::{FeatureMap, FeatureMaps};
use crate::plot::{Chart, ColorMap, Draw, Figure, HeatMap, ImageGrid, PlotError};

impl Draw for History {
    /// Loss and accuracy over the epochs, one below the other.
    ///
    /// # Errors
    /// [`PlotError`] when there is no epoch.
    ///
    /// # Example
    /// ```
    /// use dldna::{prelude::*, train::{Epoch, History}};
    ///
    /// let epoch = |train_loss, test_loss| Epoch { train_loss, train_accuracy: 0.8, test_loss, test_accuracy: 0.7 };
    /// let figure = History { epochs: vec![epoch(1.0, 1.1), epoch(0.6, 0.9)] }.draw()?;
    /// assert!(figure.height() > 700);
    /// # Ok::<(), dldna::plot::PlotError>(())
    /// ```
    fn draw(&self) -> Result<Figure, PlotError> {
        let epochs: Vec<f32> = (1..=self.epochs.len()).map(|epoch| epoch as f32).collect();
        let series =
            |value: fn(&Epoch) -> f32| -> Vec<f32> { self.epochs.iter().map(value).collect() };
        let loss = Chart::new("Loss")
            .line("training", &epochs, &series(|e| e.train_loss))
            .line("test", &epochs, &series(|e| e.test_loss))
            .x_label("epoch")
            .draw()?;
        let accuracy = Chart::new("Accuracy (%)")
            .line("training", &epochs, &series(|e| 100.0 * e.train_accuracy))
            .line("test", &epochs, &series(|e| 100.0 * e.test_accuracy))
            .x_label("epoch")
            .draw()?;
        Figure::column(&[loss, accuracy])
    }
}

impl Draw for ConfusionMatrix {
    /// The matrix as a heat map: a row for each true class, in percent of its images.
    ///
    /// # Errors
    /// [`PlotError`] when there is no class.
    fn draw(&self) -> Result<Figure, PlotError> {
        let percent: Vec<f32> = self
            .counts
            .iter()
            .flat_map(|row| {
                let all = row.iter().sum::<usize>().max(1) as f32;
                row.iter()
                    .map(move |&count| (100.0 * count as f32 / all).round())
            })
            .collect();
        let names: Vec<&str> = self.class_names.iter().map(String::as_str).collect();
        HeatMap::new("Percent of each class", names.len(), names.len(), &percent)
            .color_map(ColorMap::Viridis)
            .range(0.0, 100.0)
            .show_values()
            .row_labels(&names)
            .column_labels(&names)
            .x_label("predicted class")
            .y_label("true class")
            .draw()
    }
}

/// One channel of each of the [`feature_maps`](super::feature_maps) of the first image, with its size: the channel of the
/// largest contrast away from the border. The second block of a stage shows the channel of the first, so that the two can
/// be compared.
///
/// # Errors
/// [`PlotError`] when there is no feature map.
///
/// # Example
/// ```
/// use dldna::{prelude::*, resnet::ResNet18, train::{draw_feature_maps, feature_maps}};
///
/// let dev = Cpu::seed_from_u64(0);
/// let network = dev.build_module::<ResNet18<1, 10>, f32>();
/// let maps = feature_maps(&network, &dev.sample_normal_like(&(1, Const::<1>, 28, 28)))?;
/// assert!(draw_feature_maps("Noise", &maps)?.width() > 400);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn draw_feature_maps(title: &str, maps: &FeatureMaps) -> Result<Figure, PlotError> {
    let mut grid = ImageGrid::new(title, 5);
    let mut channel = 0;
    for map in &maps.maps {
        if !map.layer.ends_with("_1") {
            channel = channel_of_most_contrast(map);
        }
        let picture = map.channel(0, channel).unwrap_or_default();
        let name = format!("{}: {}x{}", map.layer, picture.nrows(), picture.ncols());
        grid = grid.array(&name, &picture, ColorMap::Viridis);
    }
    grid.draw()
}

fn channel_of_most_contrast(map: &FeatureMap) -> usize {
    let channels = 0..map.shape()[1];
    let most = channels.max_by(|&a, &b| contrast(map, a).total_cmp(&contrast(map, b)));
    most.unwrap_or_default()
}

/// The largest value less the smallest one, without an eighth of the picture at each border, where the padding shows.
fn contrast(map: &FeatureMap, channel: usize) -> f32 {
    let picture = map.channel(0, channel).unwrap_or_default();
    let (height, width) = picture.dim();
    let inside = |place: usize, size: usize| (size / 8..size - size / 8).contains(&place);
    let values = picture.indexed_iter();
    let values = values.filter(|((row, column), _)| inside(*row, height) && inside(*column, width));
    let (low, high) = values.fold((f32::MAX, f32::MIN), |(low, high), (_, &value)| {
        (low.min(value), high.max(value))
    });
    high - low
}
