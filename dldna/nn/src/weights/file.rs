//! Tensors in safetensors files.

use super::{Foreign, WeightsError, for_each_tensor, for_each_tensor_mut};
use crate::atomic_file;
use ::safetensors::{
    Dtype as FileDtype, SafeTensorError, SafeTensors, serialize,
    tensor::{Metadata, TensorView},
};
use dfdx::prelude::{Device, tensor_collection::TensorCollection};
use half::{bf16, f16};
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::path::Path;

/// A tensor outside any network: its shape, and its values in row-major order.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Values {
    pub shape: Vec<usize>,
    pub data: Vec<f32>,
}

/// Tensors by name, and words about them.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct TensorFile {
    pub tensors: BTreeMap<String, Values>,
    pub words: HashMap<String, String>,
}

impl TensorFile {
    pub fn read(path: &Path) -> Result<Self, WeightsError> {
        let bytes = std::fs::read(path).map_err(|source| WeightsError::Read {
            path: path.to_owned(),
            source,
        })?;
        Self::parse(&bytes, path)
    }

    /// The file of which these are the bytes. `path` is for errors.
    pub fn parse(bytes: &[u8], path: &Path) -> Result<Self, WeightsError> {
        let refuse = |error: SafeTensorError| match Foreign::recognise(bytes) {
            Some(found) => WeightsError::Foreign {
                path: path.to_owned(),
                found,
            },
            None => WeightsError::Format {
                path: path.to_owned(),
                reason: error.to_string(),
            },
        };
        if !tensors_end_within(bytes) {
            return Err(WeightsError::Format {
                path: path.to_owned(),
                reason: "a tensor ends outside of it".to_owned(),
            });
        }
        let (_, header) = SafeTensors::read_metadata(bytes).map_err(refuse)?;
        let file = SafeTensors::deserialize(bytes).map_err(refuse)?;
        let mut tensors = BTreeMap::new();
        for (name, tensor) in file.tensors() {
            if name.ends_with("num_batches_tracked") {
                continue; // PyTorch's batch norms count their batches, as integers
            }
            let Some(data) = numbers(&tensor) else {
                return Err(WeightsError::Type {
                    path: path.to_owned(),
                    name,
                    found: format!("{:?}", tensor.dtype()),
                });
            };
            let shape = tensor.shape().to_vec();
            tensors.insert(name, Values { shape, data });
        }
        Ok(Self {
            tensors,
            words: header.metadata().clone().unwrap_or_default(),
        })
    }

    /// Writes the file as a whole: whoever reads it at any moment finds the old content or the new one.
    pub fn write(&self, path: &Path) -> Result<(), WeightsError> {
        let failed = |source| WeightsError::Write {
            path: path.to_owned(),
            source,
        };
        let bytes: Vec<(&String, &Values, Vec<u8>)> = self
            .tensors
            .iter()
            .map(|(name, values)| {
                let bytes = values.data.iter().flat_map(|v| v.to_le_bytes()).collect();
                (name, values, bytes)
            })
            .collect();
        let mut views = Vec::new();
        for (name, values, bytes) in &bytes {
            let view = TensorView::new(FileDtype::F32, values.shape.clone(), bytes);
            views.push((name, view.map_err(|e| failed(std::io::Error::other(e)))?));
        }
        let content = serialize(views, &Some(self.words.clone()))
            .map_err(|error| failed(std::io::Error::other(error)))?;

        atomic_file::write(path, &content).map_err(failed)
    }

    /// All tensors of a network, under its own names.
    pub fn of<M: TensorCollection<f32, D>, D: Device<f32>>(network: &M) -> Self {
        let mut tensors = BTreeMap::new();
        for_each_tensor(network, |name, tensor| {
            let (shape, data) = (tensor.sizes(), tensor.values());
            tensors.insert(name.to_owned(), Values { shape, data });
        });
        Self {
            tensors,
            words: HashMap::new(),
        }
    }

    /// Puts the tensors into a network, all or none. `name_of` translates the network's names to the file's;
    /// tensors that `may_lack` names become 0 where the file has none.
    pub fn put_into<M: TensorCollection<f32, D>, D: Device<f32>>(
        &self,
        network: &mut M,
        path: &Path,
        name_of: &dyn Fn(&str) -> String,
        may_lack: &dyn Fn(&str) -> bool,
    ) -> Result<(), WeightsError> {
        self.differences(&sizes_by_name(network), name_of, may_lack)
            .check(path)?;
        for_each_tensor_mut(
            network,
            &mut |name, tensor, _| match self.tensors.get(&name_of(name)) {
                Some(values) => tensor.set(&values.data),
                None => tensor.set(&vec![0.0; tensor.sizes().iter().product()]),
            },
        );
        Ok(())
    }

    /// The names and shapes in which the tensors differ from those of a network; see [`put_into`](Self::put_into).
    pub(super) fn differences(
        &self,
        network: &[(String, Vec<usize>)],
        name_of: &dyn Fn(&str) -> String,
        may_lack: &dyn Fn(&str) -> bool,
    ) -> Differences {
        let mut differences = Differences::default();
        let mut seen = BTreeSet::new();
        for (name, sizes) in network {
            let name = name_of(name);
            match self.tensors.get(&name) {
                None if may_lack(&name) => {}
                None => differences.missing.push(name),
                Some(values) => {
                    if values.shape != *sizes {
                        let found = &values.shape;
                        differences
                            .misshaped
                            .push(format!("{name}: {sizes:?} expected, {found:?} in the file"));
                    }
                    seen.insert(name);
                }
            }
        }
        let extra = self.tensors.keys().filter(|name| !seen.contains(*name));
        differences.extra = extra.cloned().collect();
        differences
    }
}

/// The name and the sizes of each tensor of a network.
pub(super) fn sizes_by_name<M: TensorCollection<f32, D>, D: Device<f32>>(
    network: &M,
) -> Vec<(String, Vec<usize>)> {
    let mut sizes = Vec::new();
    for_each_tensor(network, |name, tensor| {
        sizes.push((name.to_owned(), tensor.sizes()));
    });
    sizes
}

/// Whether the tensors that a header names lie in the file. The library adds up where they end before it compares it with
/// the file, and a hostile header makes the sum overflow.
fn tensors_end_within(bytes: &[u8]) -> bool {
    let header = bytes.split_first_chunk().and_then(|(length, rest)| {
        let length = usize::try_from(u64::from_le_bytes(*length)).ok()?;
        serde_json::from_slice::<Metadata>(rest.get(..length)?).ok()
    });
    let Some(header) = header else {
        return true; // the library says what is wrong with it
    };
    let tensors = header.tensors();
    tensors
        .values()
        .all(|tensor| tensor.data_offsets.1 <= bytes.len())
}

/// The elements of a tensor, in row-major order, if they are real numbers. Those in double precision are rounded.
fn numbers(tensor: &TensorView) -> Option<Vec<f32>> {
    let bytes = tensor.data();
    match tensor.dtype() {
        FileDtype::F64 => Some(each(bytes, |bytes| f64::from_le_bytes(bytes) as f32)),
        FileDtype::F32 => Some(each(bytes, f32::from_le_bytes)),
        FileDtype::F16 => Some(each(bytes, |bytes| f16::from_le_bytes(bytes).to_f32())),
        FileDtype::BF16 => Some(each(bytes, |bytes| bf16::from_le_bytes(bytes).to_f32())),
        _ => None,
    }
}

fn each<const SIZE: usize>(bytes: &[u8], number: impl Fn([u8; SIZE]) -> f32) -> Vec<f32> {
    let (numbers, _) = bytes.as_chunks();
    numbers.iter().map(|&bytes| number(bytes)).collect()
}

/// The names and shapes in which a file and a network differ.
#[derive(Default)]
pub(super) struct Differences {
    missing: Vec<String>,
    extra: Vec<String>,
    misshaped: Vec<String>,
}

impl Differences {
    pub fn count(&self) -> usize {
        self.missing.len() + self.extra.len() + self.misshaped.len()
    }

    /// An error if there are any.
    fn check(self, path: &Path) -> Result<(), WeightsError> {
        if self.count() == 0 {
            return Ok(());
        }
        Err(WeightsError::Mismatch {
            path: path.to_owned(),
            missing: self.missing,
            extra: self.extra,
            misshaped: self.misshaped,
        })
    }
}
