//! Finds out which names a file has for the tensors of a network.

use super::file::{TensorFile, sizes_by_name};
use super::namings::{EPSILON, NAMINGS, Naming};
use super::{WeightsError, for_each_tensor};
use dfdx::prelude::{Device, tensor_collection::TensorCollection};
use std::collections::BTreeSet;
use std::path::Path;

/// Puts a file into a network, by those of the known names and of the file's prefixes that leave the fewest differences:
/// none, if it fits.
pub(super) fn load<M: TensorCollection<f32, D>, D: Device<f32>>(
    network: &mut M,
    mut file: TensorFile,
    path: &Path,
) -> Result<(), WeightsError> {
    let biases = conv_biases(network);
    let sizes = sizes_by_name(network);
    let prefixes = prefixes(&file);
    let readings = prefixes.iter().flat_map(|prefix| {
        let namings = NAMINGS.iter();
        namings.map(|naming| Reading::new(prefix, naming, &biases, &file))
    });
    let reading = readings.min_by_key(|reading| {
        let (name_of, may_lack) = reading.functions();
        file.differences(&sizes, &name_of, &may_lack).count()
    });
    let Some(reading) = reading else {
        unreachable!("a file can be read by its own names");
    };
    // Our batch norms add less: the variance makes up for it. A setting of the layers would not be in a file of ours.
    add_to_variances(&mut file, reading.naming.epsilon - EPSILON);
    let (name_of, may_lack) = reading.functions();
    file.put_into(network, path, &name_of, &may_lack)
}

/// A way to understand the names of a file.
struct Reading<'a> {
    prefix: &'a str,
    naming: &'a Naming,
    /// Names that the file may lack: the biases of the convolutions, if it has none of them.
    lacking: BTreeSet<String>,
}

impl<'a> Reading<'a> {
    fn new(prefix: &'a str, naming: &'a Naming, biases: &[String], file: &TensorFile) -> Self {
        let name_of = |name: &String| format!("{prefix}{}", naming.name_of(name));
        let mut lacking: BTreeSet<String> = biases.iter().map(name_of).collect();
        if lacking.iter().any(|name| file.tensors.contains_key(name)) {
            lacking.clear();
        }
        Self {
            prefix,
            naming,
            lacking,
        }
    }

    /// The file's name for one of the network's, and whether the file may lack a name.
    fn functions(&self) -> (impl Fn(&str) -> String, impl Fn(&str) -> bool) {
        (
            |name: &str| format!("{}{}", self.prefix, self.naming.name_of(name)),
            |name: &str| self.lacking.contains(name),
        )
    }
}

/// What can be taken from all names of a file: nothing, `module.`, `module.model.`, ..
fn prefixes(file: &TensorFile) -> Vec<String> {
    let mut prefixes = vec![String::new()];
    let Some(name) = file.tensors.keys().next() else {
        return prefixes;
    };
    for (dot, _) in name.match_indices('.') {
        let prefix = &name[..=dot];
        if !file.tensors.keys().all(|name| name.starts_with(prefix)) {
            break;
        }
        prefixes.push(prefix.to_owned());
    }
    prefixes
}

fn add_to_variances(file: &mut TensorFile, difference: f32) {
    for (name, values) in &mut file.tensors {
        if name.ends_with("running_var") {
            values.data.iter_mut().for_each(|v| *v += difference);
        }
    }
}

/// The names of the biases of all convolutions: those beside a weight of four axes.
fn conv_biases<M: TensorCollection<f32, D>, D: Device<f32>>(network: &M) -> Vec<String> {
    let (mut kernels, mut biases) = (BTreeSet::new(), Vec::new());
    for_each_tensor(network, |name, tensor| {
        match name.strip_suffix("weight").map(|layer| layer.to_owned()) {
            Some(layer) if tensor.sizes().len() == 4 => drop(kernels.insert(layer)),
            _ => biases.extend(name.strip_suffix("bias").map(str::to_owned)),
        }
    });
    biases.retain(|layer| kernels.contains(layer));
    biases.iter().map(|layer| format!("{layer}bias")).collect()
}
