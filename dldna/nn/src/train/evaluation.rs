//! How good a network is: loss, accuracy, and which classes it takes for which.

use super::{Classifier, Logits, TrainDevice, TrainError, check_data, device_of, to_device};
use crate::data::{Dataset, Normalisation};
use crate::table::Table;
use dfdx::prelude::*;
use std::fmt;

/// What [`evaluate`] has measured.
#[derive(Debug, Clone, PartialEq)]
pub struct Evaluation {
    /// Mean cross entropy.
    pub loss: f32,
    /// Which classes were taken for which.
    pub confusion: ConfusionMatrix,
}

impl Evaluation {
    /// Share of the images whose class was recognised, between 0 and 1.
    pub fn accuracy(&self) -> f32 {
        self.confusion.accuracy()
    }
}

/// How often each class was taken for each other.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConfusionMatrix {
    /// Names of the classes.
    pub class_names: Vec<String>,
    /// `counts[true class][predicted class]`.
    pub counts: Vec<Vec<usize>>,
}

impl ConfusionMatrix {
    fn new(class_names: &[String]) -> Self {
        Self {
            class_names: class_names.to_vec(),
            counts: vec![vec![0; class_names.len()]; class_names.len()],
        }
    }

    /// Share of the images on the diagonal, between 0 and 1.
    pub fn accuracy(&self) -> f32 {
        let right: usize = (0..self.counts.len())
            .map(|class| self.counts[class][class])
            .sum();
        let all: usize = self.counts.iter().flatten().sum();
        right as f32 / all.max(1) as f32
    }

    /// For each class, the share of its images that were recognised, between 0 and 1.
    pub fn class_accuracies(&self) -> Vec<f32> {
        let rows = self.counts.iter().enumerate();
        rows.map(|(class, row)| row[class] as f32 / row.iter().sum::<usize>().max(1) as f32)
            .collect()
    }

    fn table(&self) -> Table {
        let mut table = Table::new(
            &["Class", "Images", "Recognised", "Most often taken for"],
            1,
        );
        for (class, row) in self.counts.iter().enumerate() {
            let all: usize = row.iter().sum();
            let others = (0..row.len()).filter(|&other| other != class && row[other] > 0);
            let taken = match others.max_by_key(|&other| (row[other], std::cmp::Reverse(other))) {
                Some(other) => format!("{} ({})", self.class_names[other], row[other]),
                None => "-".to_owned(),
            };
            table.push(vec![
                self.class_names[class].clone(),
                all.to_string(),
                format!("{:.1}%", 100.0 * row[class] as f32 / all.max(1) as f32),
                taken,
            ]);
        }
        table
    }

    /// Shows the accuracy of each class in the notebook.
    pub fn evcxr_display(&self) {
        self.table().show("");
    }
}

impl fmt::Display for ConfusionMatrix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.table().fmt(f)
    }
}

/// Applies `network` to all images of `data`, resized to `image_size`, and compares with their labels. The pixels go from -1
/// to 1, as in a training without other settings; [`Trained::evaluate`](super::Trained::evaluate) knows how it was.
///
/// # Errors
/// [`TrainError`] where there is no image, where the classes are not those of the network, or where a layer cannot take
/// images of that size.
///
/// # Example
/// ```
/// use dldna_nn::{data::stripes, prelude::*, resnet::ResNet20, train::evaluate};
///
/// let network = Cpu::seed_from_u64(0).build_module::<ResNet20<1, 2>, f32>();
/// let evaluation = evaluate(&network, &stripes(0, 20, 14).test, 14)?;
/// assert!(evaluation.accuracy() < 0.9); // not trained yet
/// # Ok::<(), dldna_nn::train::TrainError>(())
/// ```
pub fn evaluate<
    const CHANNELS: usize,
    const CLASSES: usize,
    D: TrainDevice,
    N: Classifier<CHANNELS, CLASSES, D>,
>(
    network: &N,
    data: &Dataset<CHANNELS>,
    image_size: usize,
) -> Result<Evaluation, TrainError> {
    evaluate_with(network, data, image_size, Normalisation::BOOK)
}

/// [`evaluate`] with any normalisation.
pub(super) fn evaluate_with<
    const CHANNELS: usize,
    const CLASSES: usize,
    D: TrainDevice,
    N: Classifier<CHANNELS, CLASSES, D>,
>(
    network: &N,
    data: &Dataset<CHANNELS>,
    image_size: usize,
    normalisation: Normalisation,
) -> Result<Evaluation, TrainError> {
    check_data::<CHANNELS, CLASSES>("test", data, 1)?;
    let dev = device_of(network);
    let mut loss = 0.0;
    let mut confusion = ConfusionMatrix::new(data.class_names());
    for batch in data.batches(EVALUATION_BATCH, normalisation) {
        let images = to_device(&batch.resized(image_size), &dev)?;
        let logits = network.try_forward(images).map_err(D::explain)?;
        let (sum, predictions) = judge(&logits, &batch.labels);
        loss += sum;
        for (&label, prediction) in batch.labels.iter().zip(predictions) {
            confusion.counts[label][prediction] += 1;
        }
    }
    Ok(Evaluation {
        loss: (loss / data.len() as f64) as f32,
        confusion,
    })
}

/// Images at a time: large enough for both cores, small enough for any memory.
const EVALUATION_BATCH: usize = 128;

/// The summed cross entropy, and the class with the largest logit for each image.
pub(super) fn judge<const CLASSES: usize, D: TrainDevice>(
    logits: &Logits<CLASSES, NoneTape, D>,
    labels: &[usize],
) -> (f64, Vec<usize>) {
    let logits = logits.as_vec();
    let mut loss = 0.0;
    let mut predictions = Vec::with_capacity(labels.len());
    for (row, &label) in logits.chunks_exact(CLASSES).zip(labels) {
        // -log softmax(row)[label]; the largest is subtracted so that `exp` stays finite.
        let (best, largest) =
            row.iter()
                .enumerate()
                .fold((0, f32::NEG_INFINITY), |best, (i, &v)| {
                    if v > best.1 { (i, v) } else { best }
                });
        let sum: f64 = row.iter().map(|&v| f64::from(v - largest).exp()).sum();
        loss += sum.ln() - f64::from(row[label] - largest);
        predictions.push(best);
    }
    (loss, predictions)
}
