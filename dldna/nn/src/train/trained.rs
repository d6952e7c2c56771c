//! A trained network, with all that is needed to use it.

use super::evaluation::evaluate_with;
use super::{Classifier, Evaluation, FashionResNet18, History, TrainDevice, TrainError};
use crate::data::{Dataset, Normalisation};
use crate::weights::{TensorFile, WeightsError};
use dfdx::prelude::*;
use std::path::Path;

/// What happens to a picture before the network sees it, and what its outputs are called.
#[derive(Debug, Clone, PartialEq)]
pub struct Preprocessing {
    /// Height and width that pictures are resized to.
    pub image_size: usize,
    /// How pixels become inputs.
    pub normalisation: Normalisation,
    /// The names of the classes, in the order of the logits; empty where they are not known.
    pub class_names: Vec<String>,
}

/// A trained network, and how it got there.
#[derive(Debug, Clone)]
pub struct Trained<N = FashionResNet18> {
    /// The network.
    pub model: N,
    /// Loss and accuracy after each epoch.
    pub history: History,
    /// Whether there is nothing more to do; if not, the time limit, the stop file or an [interrupt](crate::interrupt) came first.
    pub finished: bool,
    /// How pictures came to the network: [`predict`](super::predict) and [`Trained::evaluate`] do the same.
    pub preprocessing: Preprocessing,
    /// In words, where the loss has grown out of bounds.
    pub warning: Option<String>,
}

const IMAGE_SIZE: &str = "image_size";
const NORMALISATION: &str = "normalisation";
const CLASS_NAMES: &str = "class_names";

impl<N> Trained<N> {
    /// A network that was trained elsewhere, with the preprocessing that its authors state.
    ///
    /// # Example
    /// ```no_run
    /// use dldna_nn::{data::Normalisation, prelude::*, resnet::ResNet18, train::{Preprocessing, Trained}, weights::load_torch_weights};
    ///
    /// let mut network = Cpu::default().build_module::<ResNet18<3, 1000>, f32>();
    /// load_torch_weights(&mut network, "resnet18.safetensors")?; // torchvision's
    /// let preprocessing = Preprocessing { image_size: 224, normalisation: Normalisation::IMAGENET, class_names: vec![] };
    /// let trained = Trained::new(network, preprocessing);
    /// # Ok::<(), dldna_nn::weights::WeightsError>(())
    /// ```
    pub fn new(model: N, preprocessing: Preprocessing) -> Self {
        Self {
            model,
            history: History::default(),
            finished: true,
            preprocessing,
            warning: None,
        }
    }

    /// The same with another network in place of this one, such as a part of it, or itself on another device.
    pub fn map<M>(self, f: impl FnOnce(N) -> M) -> Trained<M> {
        Trained {
            model: f(self.model),
            history: self.history,
            finished: self.finished,
            preprocessing: self.preprocessing,
            warning: self.warning,
        }
    }

    /// Compares the network's answers for all images of `data` with their labels.
    ///
    /// # Errors
    /// As those of [`evaluate`](super::evaluate).
    pub fn evaluate<const CHANNELS: usize, const CLASSES: usize, D: TrainDevice>(
        &self,
        data: &Dataset<CHANNELS>,
    ) -> Result<Evaluation, TrainError>
    where
        N: Classifier<CHANNELS, CLASSES, D>,
    {
        let Preprocessing {
            image_size,
            normalisation,
            ..
        } = self.preprocessing;
        evaluate_with(&self.model, data, image_size, normalisation)
    }

    /// Writes the weights, the preprocessing and the names of the classes to a safetensors file, which
    /// [`load_model`](super::load_model) reads too (and takes the weights of).
    ///
    /// # Errors
    /// [`WeightsError::Write`].
    pub fn save<D: TrainDevice>(&self, path: impl AsRef<Path>) -> Result<(), WeightsError>
    where
        N: TensorCollection<f32, D>,
    {
        let mut file = TensorFile::of(&self.model);
        let Preprocessing {
            image_size,
            normalisation,
            class_names,
        } = &self.preprocessing;
        file.words = [
            (IMAGE_SIZE, image_size.to_string()),
            (NORMALISATION, normalisation.to_string()),
            (CLASS_NAMES, class_names.join("\n")),
        ]
        .map(|(name, value)| (name.to_owned(), value))
        .into();
        file.write(path.as_ref())
    }

    /// What [`Trained::save`] has written, in a `network` of the same layers. The history is not in the file.
    ///
    /// ```
    /// use dldna_nn::{data::stripes, prelude::*, train::{TrainConfig, Trained, train}};
    ///
    /// type Small = (BiasedConv2D<1, 4, 3>, ReLU, AvgPoolGlobal, Linear<4, 2>);
    /// let dev = Cpu::seed_from_u64(0);
    /// let config = TrainConfig { epochs: 1, batch_size: 16, image_size: 8, progress: false, ..Default::default() };
    /// let data = stripes(32, 16, 8);
    /// let trained = train(dev.build_module::<Small, f32>(), &data, &config)?;
    /// trained.save("stripes.safetensors")?;
    ///
    /// let loaded = Trained::load(dev.build_module::<Small, f32>(), "stripes.safetensors")?;
    /// assert_eq!(loaded.preprocessing, trained.preprocessing);
    /// assert_eq!(loaded.evaluate(&data.test)?, trained.evaluate(&data.test)?);
    /// # std::fs::remove_file("stripes.safetensors").unwrap();
    /// # Ok::<(), dldna_nn::train::TrainError>(())
    /// ```
    ///
    /// # Errors
    /// [`WeightsError`] where the file cannot be read, holds the weights of another network, or has no preprocessing.
    pub fn load<D: TrainDevice>(
        mut network: N,
        path: impl AsRef<Path>,
    ) -> Result<Self, WeightsError>
    where
        N: TensorCollection<f32, D>,
    {
        let path = path.as_ref();
        let file = TensorFile::read(path)?;
        let word = |name: &str| {
            let word = file.words.get(name);
            word.ok_or_else(|| WeightsError::Format {
                path: path.to_owned(),
                reason: format!("it has no {name}: it was not written by `Trained::save`"),
            })
        };
        let unreadable = |name: &str, found: &str| WeightsError::Format {
            path: path.to_owned(),
            reason: format!("{name} cannot be read: {found}"),
        };
        let image_size = word(IMAGE_SIZE)?;
        let normalisation = word(NORMALISATION)?;
        let preprocessing = Preprocessing {
            image_size: image_size
                .parse()
                .map_err(|_| unreadable(IMAGE_SIZE, image_size))?,
            normalisation: normalisation
                .parse()
                .map_err(|_| unreadable(NORMALISATION, normalisation))?,
            class_names: word(CLASS_NAMES)?
                .split('\n')
                .filter(|name| !name.is_empty())
                .map(str::to_owned)
                .collect(),
        };
        file.put_into(&mut network, path, &str::to_owned, &|_| false)?;
        Ok(Self {
            model: network,
            history: History::default(),
            finished: true,
            preprocessing,
            warning: None,
        })
    }
}
