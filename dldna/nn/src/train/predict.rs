//! What a trained network says of a picture.

use super::{Classifier, Preprocessing, TrainDevice, TrainError, Trained, device_of, to_device};
use crate::data::{Batch, Picture, resized_planes};
use crate::table::Table;
use std::fmt;

/// A class, and how likely the network takes it to be.
#[derive(Debug, Clone, PartialEq)]
pub struct ClassProbability {
    /// Its number, from 0.
    pub class: usize,
    /// Its name; where the network does not know it, its number.
    pub name: String,
    /// Between 0 and 1.
    pub probability: f32,
}

/// All classes, the likeliest first.
#[derive(Debug, Clone, PartialEq)]
pub struct Prediction {
    /// Their probabilities add up to 1.
    pub classes: Vec<ClassProbability>,
}

impl Prediction {
    /// From logits, by softmax.
    pub(super) fn of(logits: &[f32], class_names: &[String]) -> Self {
        let largest = logits.iter().copied().fold(f32::NEG_INFINITY, f32::max);
        let sum: f32 = logits.iter().map(|logit| (logit - largest).exp()).sum();
        let class = |(class, logit): (usize, &f32)| ClassProbability {
            class,
            name: class_names
                .get(class)
                .cloned()
                .unwrap_or_else(|| class.to_string()),
            probability: (logit - largest).exp() / sum,
        };
        let mut classes: Vec<ClassProbability> = logits.iter().enumerate().map(class).collect();
        classes.sort_by(|a, b| b.probability.total_cmp(&a.probability));
        Self { classes }
    }

    /// The likeliest class.
    pub fn best(&self) -> &ClassProbability {
        &self.classes[0]
    }

    /// The five likeliest.
    fn table(&self) -> Table {
        let mut table = Table::new(&["Class", "Probability"], 1);
        for class in self.classes.iter().take(5) {
            let percent = format!("{:.1}%", 100.0 * class.probability);
            table.push(vec![class.name.clone(), percent]);
        }
        table
    }

    /// Shows the five likeliest classes in the notebook.
    pub fn evcxr_display(&self) {
        self.table().show("");
    }
}

impl fmt::Display for Prediction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.table().fmt(f)
    }
}

/// What a trained network takes a picture for. The picture may have any size, and be grey or in colour: it is brought to
/// what the network was trained on ([`resize`](crate::data::resize), [`Preprocessing`]).
///
/// # Errors
/// [`TrainError::Empty`] for a picture without pixels, [`TrainError::Layer`] where a layer cannot take its size.
///
/// # Example
/// ```
/// use dldna_nn::{data::{Pixels, stripes}, prelude::*, train::{TrainConfig, predict, train}};
///
/// type Small = (BiasedConv2D<1, 8, 3>, BatchNorm2D<8>, ReLU, AvgPoolGlobal, Linear<8, 2>);
/// let network = Cpu::seed_from_u64(0).build_module::<Small, f32>();
/// let config = TrainConfig { epochs: 8, batch_size: 32, learning_rate: 0.03, image_size: 8, progress: false, ..Default::default() };
/// let trained = train(network, &stripes(256, 64, 8), &config)?;
///
/// let zebra: Vec<u8> = (0..16 * 16 * 3).map(|i| if i / 6 % 2 == 0 { 255 } else { 0 }).collect(); // columns of two pixels
/// let picture = Pixels::new(16, 16, 3, &zebra).unwrap();
/// let prediction = predict(&trained, &picture)?;
/// assert_eq!(prediction.best().name, "vertical");
/// # Ok::<(), dldna_nn::train::TrainError>(())
/// ```
pub fn predict<
    const CHANNELS: usize,
    const CLASSES: usize,
    D: TrainDevice,
    N: Classifier<CHANNELS, CLASSES, D>,
    P: Picture,
>(
    trained: &Trained<N>,
    picture: &P,
) -> Result<Prediction, TrainError> {
    let batch = prepared::<CHANNELS>(picture, &trained.preprocessing)?;
    let images = to_device(&batch, &device_of(&trained.model))?;
    let logits = trained.model.try_forward(images).map_err(D::explain)?;
    Ok(Prediction::of(
        &logits.as_vec(),
        &trained.preprocessing.class_names,
    ))
}

/// A batch of one picture, resized and normalised.
fn prepared<const CHANNELS: usize>(
    picture: &impl Picture,
    preprocessing: &Preprocessing,
) -> Result<Batch<CHANNELS>, TrainError> {
    let size = preprocessing.image_size;
    let planes = resized_planes(picture, CHANNELS, (size, size));
    if planes.is_empty() {
        let (set, needed) = ("picture", 1);
        return Err(TrainError::Empty { set, needed });
    }
    let mut images = Vec::with_capacity(planes.len());
    for (channel, values) in planes.chunks_exact(size * size).enumerate() {
        images.extend(
            values
                .iter()
                .map(|&v| preprocessing.normalisation.apply_in(channel, v)),
        );
    }
    Ok(Batch {
        images,
        labels: vec![0],
        height: size,
        width: size,
    })
}
