//! What an optimizer remembers, and how it is saved.

use super::{Step, TrainDevice};
use crate::weights::Values;
use dfdx::prelude::*;
use std::collections::{BTreeMap, btree_map::Entry};

/// What an optimizer remembers of one tensor.
#[derive(Debug, Clone)]
pub struct Moments<D: Storage<f32>> {
    /// The mean (or the decaying sum) of its gradients.
    pub(super) first: D::Vec,
    /// The mean of their squares; empty where the optimizer has none.
    pub(super) second: D::Vec,
}

impl<D: TrainDevice> Moments<D> {
    /// Before the first step of `step`'s kind, for a tensor of `count` elements.
    fn zeros(step: &Step, dev: &D, count: usize) -> Result<Self, D::Err> {
        let squares = match step {
            Step::Adam(_) => count,
            Step::Sgd(_) => 0,
        };
        Ok(Self {
            first: Storage::<f32>::try_alloc_len(dev, count)?,
            second: Storage::<f32>::try_alloc_len(dev, squares)?,
        })
    }

    /// Those of the tensor `name`, whose gradient has been computed. New ones are zeros.
    pub(super) fn of<'a>(
        step: &Step,
        moments: &'a mut BTreeMap<String, Self>,
        name: String,
        dev: &D,
        gradient: &<D as Storage<f32>>::Vec,
    ) -> Result<&'a mut Self, D::Err> {
        Ok(match moments.entry(name) {
            Entry::Occupied(there) => there.into_mut(),
            Entry::Vacant(place) => {
                place.insert(Self::zeros(step, dev, Storage::<f32>::len(dev, gradient))?)
            }
        })
    }
}

/// The moments under `first/name` and `second/name`. Without those that are empty.
pub(super) fn save<D: TrainDevice>(
    dev: &D,
    moments: &BTreeMap<String, Moments<D>>,
) -> Result<BTreeMap<String, Values>, D::Err> {
    let mut tensors = BTreeMap::new();
    for (name, moments) in moments {
        for (kind, moment) in [("first", &moments.first), ("second", &moments.second)] {
            if Storage::<f32>::len(dev, moment) > 0 {
                let data = values(dev, moment)?;
                let shape = vec![data.len()];
                tensors.insert(format!("{kind}/{name}"), Values { shape, data });
            }
        }
    }
    Ok(tensors)
}

/// The inverse of [`save`]; `None` if `second` moments are expected and not there, or the other way around.
pub(super) fn load<D: TrainDevice>(
    dev: &D,
    mut tensors: BTreeMap<String, Values>,
    second: bool,
) -> Result<Option<BTreeMap<String, Moments<D>>>, D::Err> {
    let names: Vec<String> = tensors
        .keys()
        .filter_map(|name| name.strip_prefix("first/").map(str::to_owned))
        .collect();
    let mut moments = BTreeMap::new();
    for name in names {
        let squares = tensors.remove(&format!("second/{name}"));
        let sums = tensors.remove(&format!("first/{name}"));
        if squares.is_some() != second {
            return Ok(None);
        }
        let loaded = |values: Option<Values>| match values {
            Some(values) => storage(dev, values.data),
            None => Storage::<f32>::try_alloc_len(dev, 0),
        };
        let both = Moments {
            first: loaded(sums)?,
            second: loaded(squares)?,
        };
        moments.insert(name, both);
    }
    Ok(tensors.is_empty().then_some(moments))
}

/// The elements of a storage. dfdx shows them of tensors and of gradients: for a moment it is the gradient of a tensor.
pub(super) fn values<D: TrainDevice>(
    dev: &D,
    storage: &<D as Storage<f32>>::Vec,
) -> Result<Vec<f32>, D::Err> {
    let tensor: Tensor<(usize,), f32, D> =
        dev.try_zeros_like(&(Storage::<f32>::len(dev, storage),))?;
    let mut gradients = Gradients::leaky();
    *gradients.get_or_alloc_mut(&tensor)? = storage.clone();
    Ok(gradients.get(&tensor).as_vec())
}

/// The inverse of [`values`]: the gradient of `sum(x * values)` with respect to `x`.
pub(super) fn storage<D: TrainDevice>(
    dev: &D,
    values: Vec<f32>,
) -> Result<<D as Storage<f32>>::Vec, D::Err> {
    let shape = (values.len(),);
    let x: Tensor<(usize,), f32, D> = dev.try_zeros_like(&shape)?;
    let values: Tensor<(usize,), f32, D> = dev.try_tensor_from_vec(values, shape)?;
    let sum = x.leaky_trace().try_mul(values)?.try_sum::<Rank0, _>()?;
    let mut gradients = sum.try_backward()?;
    let empty = Storage::<f32>::try_alloc_len(dev, 1)?;
    Ok(std::mem::replace(gradients.get_or_alloc_mut(&x)?, empty))
}
