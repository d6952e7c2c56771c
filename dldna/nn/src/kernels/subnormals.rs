//! Numbers too small to matter: `f32` below 1.2e-38 in size, which the processor handles many times more slowly.

use std::cell::Cell;
use std::hint::black_box;

thread_local! {
    /// How many [`flushed`] run on this thread, or on the pool that it belongs to.
    static RUNNING: Cell<usize> = const { Cell::new(0) };
    /// Whether subnormal numbers counted as zero before the first of them.
    static BEFORE: Cell<bool> = const { Cell::new(false) };
}

/// Runs `work` while subnormal results count as zero, on this thread and on those of rayon's pool. Afterwards, also after
/// a panic, each thread is as it was.
///
/// ```
/// use dldna_nn::kernels::subnormals::{are_flushed, flushed};
///
/// if cfg!(target_arch = "x86_64") {
///     assert!(flushed(are_flushed));
/// }
/// assert!(!are_flushed());
/// ```
pub fn flushed<T>(work: impl FnOnce() -> T) -> T {
    struct Guard;
    impl Drop for Guard {
        fn drop(&mut self) {
            rayon::broadcast(|_| leave());
            leave();
        }
    }
    enter();
    rayon::broadcast(|_| enter());
    let _guard = Guard;
    work()
}

/// Whether half of the least normal number is zero on this thread.
pub fn are_flushed() -> bool {
    // The outer box keeps the product from being computed later, when the answer may be another one.
    black_box(black_box(f32::MIN_POSITIVE) * black_box(0.5)) == 0.0
}

fn enter() {
    if RUNNING.get() == 0 {
        BEFORE.set(are_flushed());
        dfdx::flush_denormals_to_zero();
    }
    RUNNING.set(RUNNING.get() + 1);
}

fn leave() {
    RUNNING.set(RUNNING.get() - 1);
    if RUNNING.get() == 0 && !BEFORE.get() {
        dfdx::keep_denormals();
    }
}

#[cfg(all(test, target_arch = "x86_64"))]
mod tests {
    use super::*;

    /// On this thread and on all of a pool.
    fn everywhere() -> Vec<bool> {
        let mut all = rayon::broadcast(|_| are_flushed());
        all.push(are_flushed());
        all
    }

    /// The tests share rayon's pool, and each wants to know its state.
    fn in_a_pool(test: impl FnOnce() + Send) {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(3).build();
        pool.unwrap().install(test);
    }

    #[test]
    fn subnormal_numbers_are_zero_inside_and_nowhere_else() {
        in_a_pool(|| {
            assert_eq!(everywhere(), [false; 4]);
            assert_eq!(flushed(everywhere), [true; 4]);
            assert_eq!(everywhere(), [false; 4]);
        });
    }

    #[test]
    fn the_outermost_of_several_sets_back() {
        in_a_pool(|| {
            flushed(|| {
                flushed(|| ());
                assert_eq!(everywhere(), [true; 4]);
            });
            assert_eq!(everywhere(), [false; 4]);
        });
    }

    #[test]
    fn a_panic_sets_back() {
        in_a_pool(|| {
            std::panic::catch_unwind(|| flushed(|| panic!("on purpose"))).unwrap_err();
            assert_eq!(everywhere(), [false; 4]);
        });
    }

    #[test]
    fn a_thread_that_flushed_goes_on_doing_so() {
        in_a_pool(|| {
            rayon::broadcast(|_| dfdx::flush_denormals_to_zero());
            flushed(|| ());
            assert_eq!(everywhere(), [true; 4]);
        });
    }

    #[test]
    fn two_at_once_do_not_end_each_other() {
        in_a_pool(|| {
            rayon::scope(|scope| {
                for _ in 0..8 {
                    scope.spawn(|_| {
                        for _ in 0..50 {
                            assert!(flushed(are_flushed));
                        }
                    });
                }
            });
            assert_eq!(everywhere(), [false; 4]);
        });
    }
}
