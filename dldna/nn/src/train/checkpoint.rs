//! What a training has done, in one file: network, optimizer, history, and the settings it was made with.

use super::{Adam, Epoch, History, TrainConfig, TrainDevice, TrainError};
use crate::weights::{TensorFile, Values};
use dfdx::prelude::tensor_collection::TensorCollection;
use std::collections::BTreeMap;
use std::path::Path;

const NETWORK: &str = "network/";
const OPTIMIZER: &str = "optimizer/";
const HISTORY: &str = "history";
const STEP: &str = "step";

/// Writes the checkpoint as a whole: at any moment the file is the last good one.
pub(super) fn save<N: TensorCollection<f32, D>, D: TrainDevice>(
    path: &Path,
    dev: &D,
    network: &N,
    adam: &Adam<D>,
    history: &History,
    config: &TrainConfig,
    data: &str,
) -> Result<(), TrainError> {
    let (step, moments) = adam.state(dev).map_err(D::explain)?;
    let mut file = TensorFile::default();
    let prefixed = |prefix: &str, tensors: BTreeMap<String, Values>| -> Vec<(String, Values)> {
        let named = tensors.into_iter();
        named
            .map(|(name, values)| (format!("{prefix}{name}"), values))
            .collect()
    };
    file.tensors
        .extend(prefixed(NETWORK, TensorFile::of(network).tensors));
    file.tensors.extend(prefixed(OPTIMIZER, moments));
    let numbers = history
        .epochs
        .iter()
        .flat_map(|e| [e.train_loss, e.train_accuracy, e.test_loss, e.test_accuracy]);
    let history = Values {
        shape: vec![history.epochs.len(), 4],
        data: numbers.collect(),
    };
    file.tensors.insert(HISTORY.to_owned(), history);
    file.words.extend(config.identity(data));
    file.words.insert(STEP.to_owned(), step.to_string());
    Ok(file.write(path)?)
}

/// Puts the checkpoint into `network`; returns the optimizer and the history.
pub(super) fn load<N: TensorCollection<f32, D>, D: TrainDevice>(
    path: &Path,
    dev: &D,
    network: &mut N,
    config: &TrainConfig,
    data: &str,
) -> Result<(Adam<D>, History), TrainError> {
    let mut file = TensorFile::read(path)?;
    let refuse = |reason: String| TrainError::Checkpoint {
        path: path.to_owned(),
        reason,
    };
    for (name, expected) in config.identity(data) {
        let found = file.words.get(&name).map_or("nothing", String::as_str);
        if found != expected {
            return Err(refuse(format!("{name} was {found}, now it is {expected}")));
        }
    }
    let history = file
        .tensors
        .remove(HISTORY)
        .ok_or_else(|| refuse("it has no history".to_owned()))?;
    let epochs = history.data.chunks_exact(4).map(|numbers| Epoch {
        train_loss: numbers[0],
        train_accuracy: numbers[1],
        test_loss: numbers[2],
        test_accuracy: numbers[3],
    });
    let history = History {
        epochs: epochs.collect(),
    };
    let step = file.words.get(STEP).and_then(|step| step.parse().ok());
    let step =
        step.ok_or_else(|| refuse("it does not say how many steps were taken".to_owned()))?;

    let mut moments = BTreeMap::new();
    let mut weights = TensorFile::default();
    for (name, values) in file.tensors {
        if let Some(name) = name.strip_prefix(OPTIMIZER) {
            moments.insert(name.to_owned(), values);
        } else {
            let name = name.strip_prefix(NETWORK).unwrap_or(&name).to_owned();
            weights.tensors.insert(name, values);
        }
    }
    let adam = Adam::with_state(dev, config.learning_rate, step, moments)
        .map_err(D::explain)?
        .ok_or_else(|| refuse("the optimizer's moments are incomplete".to_owned()))?;
    weights.put_into(network, path, &str::to_owned, &|_| false)?;
    Ok((adam, history))
}
