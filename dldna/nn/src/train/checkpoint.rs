//! What a training has done, in one file: network, optimizer, history, and the settings it was made with.

use super::{Epoch, History, TrainConfig, TrainDevice, TrainError, Training, Updates};
use crate::atomic_file;
use crate::data::Dataset;
use crate::weights::{TensorFile, Values, WeightsError};
use dfdx::prelude::tensor_collection::TensorCollection;
use std::collections::BTreeMap;
use std::path::Path;

const NETWORK: &str = "network/";
const OPTIMIZER: &str = "optimizer/";
const BEST: &str = "best/";
const HISTORY: &str = "history";
const STEP: &str = "step";
/// In front of a tensor's name: its checksum. Alone: that of everything else.
const CHECKSUM: &str = "checksum/";

/// Optimizer, history, and the weights of the best epoch.
type State<D> = (Updates<D>, History, Option<TensorFile>);

/// What the checkpoint calls the data: their number and a checksum of their pixels and labels.
pub(super) fn name_of<const CHANNELS: usize>(data: &Dataset<CHANNELS>) -> String {
    let mut checksum = crc32fast::Hasher::new();
    checksum.update(data.all_pixels());
    for &label in data.labels() {
        checksum.update(&(label as u64).to_le_bytes());
    }
    let (count, classes) = (data.len(), data.class_names().len());
    let sum = checksum.finalize();
    format!(
        "{count} images of {} x {} x {CHANNELS}, {classes} classes, checksum {sum:08x}",
        data.height(),
        data.width()
    )
}

/// Writes the checkpoint as a whole: at any moment the file is the last good one.
pub(super) fn save<N: TensorCollection<f32, D>, D: TrainDevice>(
    path: &Path,
    training: &Training<N, D>,
) -> Result<(), TrainError> {
    let (step, moments) = training.updates.state(&training.dev).map_err(D::explain)?;
    let mut file = TensorFile::default();
    file.tensors
        .extend(prefixed(NETWORK, TensorFile::of(&training.model).tensors));
    file.tensors.extend(prefixed(OPTIMIZER, moments));
    if let Some(best) = &training.best {
        file.tensors.extend(prefixed(BEST, best.tensors.clone()));
    }
    let epochs = &training.history.epochs;
    let values = epochs
        .iter()
        .flat_map(|e| [e.train_loss, e.train_accuracy, e.test_loss, e.test_accuracy]);
    let history = Values {
        shape: vec![epochs.len(), 4],
        data: values.collect(),
    };
    file.tensors.insert(HISTORY.to_owned(), history);
    file.words.extend(training.config.identity(&training.data));
    file.words.insert(STEP.to_owned(), step.to_string());
    file.words.extend(checksums(&file));
    Ok(file.write(path)?)
}

fn prefixed(
    prefix: &str,
    tensors: BTreeMap<String, Values>,
) -> impl Iterator<Item = (String, Values)> {
    tensors
        .into_iter()
        .map(move |(name, values)| (format!("{prefix}{name}"), values))
}

/// The checksum of each tensor, and one of all words.
fn checksums(file: &TensorFile) -> BTreeMap<String, String> {
    let mut sums: BTreeMap<String, String> = file
        .tensors
        .iter()
        .map(|(name, values)| (format!("{CHECKSUM}{name}"), checksum(values)))
        .collect();
    let words: BTreeMap<&String, &String> = file
        .words
        .iter()
        .filter(|(name, _)| !name.starts_with(CHECKSUM))
        .collect();
    let all = format!("{words:?} {sums:?}");
    sums.insert(CHECKSUM.to_owned(), hex(crc32fast::hash(all.as_bytes())));
    sums
}

fn checksum(values: &Values) -> String {
    let mut sum = crc32fast::Hasher::new();
    for &size in &values.shape {
        sum.update(&(size as u64).to_le_bytes());
    }
    for chunk in values.data.chunks(1 << 12) {
        let bytes: Vec<u8> = chunk.iter().flat_map(|v| v.to_le_bytes()).collect();
        sum.update(&bytes);
    }
    hex(sum.finalize())
}

fn hex(sum: u32) -> String {
    format!("{sum:08x}")
}

/// Errors: the part of the file that is not what was written.
fn check(file: &TensorFile) -> Result<(), String> {
    // The tensors first: the checksum of everything else, whose name comes first, is made of theirs too.
    for (name, expected) in checksums(file).into_iter().rev() {
        let part = match name.strip_prefix(CHECKSUM) {
            Some("") | None => "the list of its settings",
            Some(tensor) => tensor,
        };
        match file.words.get(&name) {
            Some(found) if *found == expected => {}
            Some(_) => return Err(format!("{part} is damaged: its checksum differs")),
            None => return Err(format!("{part} has no checksum")),
        }
    }
    Ok(())
}

/// Puts the checkpoint into `network` and returns the rest of it. Where there is none yet, its folder is made and tried:
/// what would fail after the first epoch fails now.
pub(super) fn load_or_prepare<N: TensorCollection<f32, D>, D: TrainDevice>(
    path: &Path,
    dev: &D,
    network: &mut N,
    config: &TrainConfig,
    data: &str,
) -> Result<Option<State<D>>, TrainError> {
    if path.exists() {
        return load(path, dev, network, config, data).map(Some);
    }
    let failed = |source| WeightsError::Write {
        path: path.to_owned(),
        source,
    };
    if let Some(folder) = path.parent() {
        std::fs::create_dir_all(folder).map_err(failed)?;
    }
    atomic_file::probe(path).map_err(failed)?;
    Ok(None)
}

fn load<N: TensorCollection<f32, D>, D: TrainDevice>(
    path: &Path,
    dev: &D,
    network: &mut N,
    config: &TrainConfig,
    data: &str,
) -> Result<State<D>, TrainError> {
    let refuse = |reason: String| TrainError::Checkpoint {
        path: path.to_owned(),
        reason,
    };
    let mut file = TensorFile::read(path)?;
    for (name, expected) in config.identity(data) {
        let found = file.words.get(&name).map_or("nothing", String::as_str);
        if found != expected {
            return Err(refuse(format!("{name} was {found}, now it is {expected}")));
        }
    }
    check(&file).map_err(refuse)?;
    let history = file.tensors.remove(HISTORY);
    let history =
        history_of(history.as_ref()).ok_or_else(|| refuse("it has no history".to_owned()))?;
    let step = file.words.get(STEP).and_then(|step| step.parse().ok());
    let step =
        step.ok_or_else(|| refuse("it does not say how many steps were taken".to_owned()))?;

    let (mut weights, mut moments, mut best) = (
        TensorFile::default(),
        BTreeMap::new(),
        TensorFile::default(),
    );
    for (name, values) in file.tensors {
        if let Some(name) = name.strip_prefix(OPTIMIZER) {
            moments.insert(name.to_owned(), values);
        } else if let Some(name) = name.strip_prefix(BEST) {
            best.tensors.insert(name.to_owned(), values);
        } else {
            let name = name.strip_prefix(NETWORK).unwrap_or(&name).to_owned();
            weights.tensors.insert(name, values);
        }
    }
    let mut updates = Updates::new(config.optimizer, config.weight_decay);
    if !updates.set_state(dev, step, moments).map_err(D::explain)? {
        return Err(refuse("the optimizer's moments are incomplete".to_owned()));
    }
    weights.put_into(network, path, &str::to_owned, &|_| false)?;
    let best = (config.keep_best && !best.tensors.is_empty()).then_some(best);
    Ok((updates, history, best))
}

fn history_of(values: Option<&Values>) -> Option<History> {
    let (epochs, []) = values?.data.as_chunks() else {
        return None;
    };
    let epochs =
        epochs.iter().map(
            |&[train_loss, train_accuracy, test_loss, test_accuracy]| Epoch {
                train_loss,
                train_accuracy,
                test_loss,
                test_accuracy,
            },
        );
    Some(History {
        epochs: epochs.collect(),
    })
}
