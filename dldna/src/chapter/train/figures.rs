//! How a training went, as figures.

use super::{ConfusionMatrix, Epoch, History};
use crate::plot::{Chart, ColorMap, Draw, Figure, HeatMap, PlotError};

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
