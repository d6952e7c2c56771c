//! Memory that is used again and again.
//!
//! A step of training needs the same buffers as the step before. Fresh memory is not free: the system hands it out page by
//! page, at the first touch of each, and that can take longer than the arithmetic. So buffers that are not needed any more
//! are kept for the next one who asks.

use std::ops::{Deref, DerefMut};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// Elements of a cache line.
const CACHE_LINE: usize = 16;
/// The most elements that wait here to be used again: 512 MiB.
const MOST_KEPT: usize = 1 << 27;

/// From this number of elements on, 32 MiB, the system's allocator keeps nothing for the next who asks (glibc's
/// `DEFAULT_MMAP_THRESHOLD_MAX`). A training of EfficientNet's block on tensors of 36 MiB takes 17% longer without ours (`mbconv/train`).
const LARGEST_OF_SYSTEM: usize = 1 << 23;
/// The fewest elements for which others give up their place: 256 KiB.
const LARGE: usize = 1 << 16;

static KEPT: Mutex<Kept> = Mutex::new(Kept {
    buffers: Vec::new(),
    elements: 0,
    given_up: 0,
});

/// The buffers that nobody uses at present, those that have waited for longest first.
struct Kept {
    buffers: Vec<Vec<f32>>,
    elements: usize,
    /// Elements of buffers that were given up and for which no others have come.
    given_up: usize,
}

fn kept() -> MutexGuard<'static, Kept> {
    KEPT.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Kept {
    /// The smallest buffer that is large enough and not more than twice as large; of several the last one that was put
    /// here, which may still lie in a cache.
    fn take(&mut self, length: usize) -> Option<Vec<f32>> {
        let fitting = (0..self.buffers.len())
            .rev()
            .filter(|&i| (length..=2 * length).contains(&self.buffers[i].len()))
            .min_by_key(|&i| self.buffers[i].len())?;
        let buffer = self.buffers.remove(fitting);
        self.elements -= buffer.len();
        Some(buffer)
    }

    /// Gives up as many elements as are asked for anew, so that sizes which are used one after the other do not take room side by
    /// side: in a network the images become smaller from layer to layer.
    fn make_room(&mut self, length: usize) {
        if length < LARGE {
            return;
        }
        let mut count = 0;
        while self.given_up < length && count < self.buffers.len() {
            self.given_up += self.buffers[count].len();
            count += 1;
        }
        self.elements -= self
            .buffers
            .drain(..count)
            .map(|buffer| buffer.len())
            .sum::<usize>();
        self.given_up = self.given_up.saturating_sub(length);
    }

    fn put(&mut self, buffer: Vec<f32>) {
        if self.elements + buffer.len() <= MOST_KEPT {
            self.elements += buffer.len();
            self.buffers.push(buffer);
        }
    }
}

/// A slice of elements whose memory is given on when it is dropped.
///
/// ```
/// use dldna_nn::kernels::scratch::Scratch;
/// let mut scratch = Scratch::zeros(1000);
/// assert_eq!(scratch.len(), 1000);
/// scratch[3] = 1.0;
/// ```
#[derive(Debug)]
pub struct Scratch {
    memory: Vec<f32>,
    start: usize,
    length: usize,
    /// Whether the memory is given on.
    is_ours: bool,
}

impl Scratch {
    /// `length` elements that somebody left there: for those who write before they read.
    pub fn any(length: usize) -> Self {
        let mut kept = kept();
        let memory = kept.take(length).unwrap_or_else(|| {
            kept.make_room(length);
            drop(kept);
            vec![0.0; length]
        });
        Self {
            memory,
            start: 0,
            length,
            is_ours: true,
        }
    }

    /// As [`Scratch::any`], for what becomes a tensor. A tensor gives its memory back to the system's allocator and not to us, so it
    /// gets it from there: otherwise ours would dwindle, and the allocator have holes. Not so where the allocator keeps nothing.
    pub fn of_tensor(length: usize) -> Self {
        if length >= LARGEST_OF_SYSTEM {
            return Self::any(length);
        }
        vec![0.0; length].into()
    }

    /// As [`Scratch::any`], from the start of a cache line on: no vector that is read lies in two of them.
    ///
    /// ```
    /// use dldna_nn::kernels::scratch::Scratch;
    /// assert_eq!(Scratch::aligned(10).as_ptr().align_offset(64), 0);
    /// ```
    pub fn aligned(length: usize) -> Self {
        // Rounded up a little, so that buffers of about one size can stand in for one another.
        let step = (length / 8).next_power_of_two();
        let mut scratch = Self::any(length.next_multiple_of(step) + CACHE_LINE);
        scratch.start = scratch
            .as_ptr()
            .align_offset(CACHE_LINE * size_of::<f32>())
            .min(CACHE_LINE);
        scratch.length = length;
        scratch
    }

    /// `length` zeros.
    pub fn zeros(length: usize) -> Self {
        let mut scratch = Self::any(length);
        scratch.fill(0.0);
        scratch
    }

    /// The elements as a vector, which keeps the memory.
    pub fn into_vec(mut self) -> Vec<f32> {
        let mut memory = std::mem::take(&mut self.memory);
        memory.drain(..self.start);
        memory.truncate(self.length);
        memory
    }
}

impl From<Vec<f32>> for Scratch {
    fn from(memory: Vec<f32>) -> Self {
        let length = memory.len();
        Self {
            memory,
            start: 0,
            length,
            is_ours: length >= LARGEST_OF_SYSTEM,
        }
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let memory = std::mem::take(&mut self.memory);
        if self.is_ours && !memory.is_empty() {
            kept().put(memory);
        }
    }
}

impl Deref for Scratch {
    type Target = [f32];

    fn deref(&self) -> &[f32] {
        &self.memory[self.start..][..self.length]
    }
}

impl DerefMut for Scratch {
    fn deref_mut(&mut self) -> &mut [f32] {
        &mut self.memory[self.start..][..self.length]
    }
}

/// Somebody's slice as it is, or scratch memory with something made from it.
#[derive(Debug)]
pub enum Lent<'a> {
    /// As it is.
    Slice(&'a [f32]),
    /// In another form.
    Scratch(Scratch),
}

impl Deref for Lent<'_> {
    type Target = [f32];

    fn deref(&self) -> &[f32] {
        match self {
            Lent::Slice(slice) => slice,
            Lent::Scratch(scratch) => scratch,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_is_used_again() {
        const LENGTH: usize = 12_345; // no other test asks for about this number
        let mut first = Scratch::any(LENGTH);
        first.fill(7.0);
        let address = first.as_ptr();
        drop(first);
        let mut second = Scratch::any(LENGTH - 10);
        assert_eq!(second.as_ptr(), address);
        assert_eq!(second.len(), LENGTH - 10);
        second[0] = 1.0;
        let vector = second.into_vec();
        assert_eq!(
            (vector.len(), vector[0], vector[1]),
            (LENGTH - 10, 1.0, 7.0)
        );
    }

    #[test]
    fn zeros_are_zeros_on_used_memory() {
        const LENGTH: usize = 54_321;
        Scratch::any(LENGTH).fill(7.0);
        assert!(Scratch::zeros(LENGTH).iter().all(|&x| x == 0.0));
    }

    #[test]
    fn too_large_a_buffer_is_left_for_others() {
        let mut kept = Kept {
            buffers: Vec::new(),
            elements: 0,
            given_up: 0,
        };
        for length in [100, 30, 50] {
            kept.put(vec![0.0; length]);
        }
        assert_eq!(kept.take(28).unwrap().len(), 30);
        assert_eq!(kept.take(28).unwrap().len(), 50);
        assert!(kept.take(28).is_none());
        assert!(kept.take(101).is_none());
        assert_eq!(kept.elements, 100);
    }

    /// Sizes that are used one after the other take as much as the most of it that was in use at a time.
    #[test]
    fn what_waits_gives_up_its_place() {
        let mut kept = Kept {
            buffers: Vec::new(),
            elements: 0,
            given_up: 0,
        };
        (0..4).for_each(|_| kept.put(vec![0.0; LARGE]));
        kept.make_room(3 * LARGE - 1); // three of them
        assert_eq!((kept.buffers.len(), kept.elements), (1, LARGE));
        kept.put(vec![0.0; 3 * LARGE - 1]);
        kept.make_room(LARGE); // the one, which has waited for longest
        assert_eq!(kept.elements, 3 * LARGE - 1);
        kept.make_room(LARGE); // the large one, and two have room for nothing
        assert_eq!(kept.elements, 0);
        kept.put(vec![0.0; 10]);
        kept.make_room(2 * LARGE - 2); // the room that is left
        assert_eq!(kept.elements, 10);
        kept.make_room(LARGE - 1); // too small to make others go
        assert_eq!(kept.elements, 10);
    }

    #[test]
    fn not_all_memory_is_kept() {
        let mut kept = Kept {
            buffers: Vec::new(),
            elements: MOST_KEPT - 5,
            given_up: 0,
        };
        kept.put(vec![0.0; 6]);
        assert!(kept.buffers.is_empty());
        kept.put(vec![0.0; 5]);
        assert_eq!(kept.elements, MOST_KEPT);
    }
}
