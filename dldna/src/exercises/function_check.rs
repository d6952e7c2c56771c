//! Checking a function on inputs of the check's own.

use super::value::{Value, agree, contrast, from_bytes, to_bytes};
use super::watch::watch;
use super::{Answer, Verdict, Wrong};
use std::sync::Arc;
use std::time::Duration;

/// How long a function may take for all inputs together. A right one takes milliseconds.
const LIMIT: Duration = Duration::from_secs(5);

/// A wrong way to do it, and what to say of it.
pub(super) type Mistake<I, O> = (fn(&I) -> O, &'static str);

/// One part of an exercise: a function from `I` to `O`.
pub(super) struct FunctionCheck<I: 'static, O: 'static> {
    pub(super) exercise: &'static str,
    pub(super) part: &'static str,
    /// Drawn from a seed, the smallest first: the first one that fails is shown.
    pub(super) inputs: Vec<I>,
    /// Shows an input to the learner.
    pub(super) show: fn(&I) -> String,
    pub(super) reference: fn(&I) -> O,
    /// One is named if it explains the results on all inputs.
    pub(super) mistakes: &'static [Mistake<I, O>],
}

impl<I: Send + Sync + 'static, O: Value> FunctionCheck<I, O> {
    /// Runs the learner's function on all inputs.
    pub(super) fn run(self, function: impl Fn(&I) -> O + Send + 'static) -> Answer {
        let inputs = Arc::new(self.inputs);
        let given = Arc::clone(&inputs);
        let (got, failure) = watch(LIMIT, move |report| {
            given
                .iter()
                .for_each(|input| report(&to_bytes(&function(input))));
        });
        let got: Vec<O> = got.iter().map(|bytes| from_bytes(bytes)).collect();
        let want: Vec<O> = inputs.iter().map(self.reference).collect();

        let (exercise, part) = (self.exercise, self.part);
        let wrong = got
            .iter()
            .zip(&want)
            .position(|(got, want)| !agree(got, want));
        if let Some(index) = wrong {
            let (expected, shown) = contrast(&want[index], &got[index]);
            let mistake = self.mistakes.iter().find(|(way, _)| {
                let same = |(input, got): (&I, &O)| agree(got, &way(input));
                inputs.iter().zip(&got).all(same)
            });
            let mistake = mistake.map(|(_, words)| words.to_string());
            let wrong = Wrong {
                input: (self.show)(&inputs[index]),
                expected,
                got: shown,
                mistake: constant(&got, &want).or(mistake),
            };
            return Answer::new(exercise, part, Verdict::Wrong(wrong));
        }
        if let Some(failure) = failure {
            let input = inputs.get(got.len()).map_or_else(String::new, self.show);
            return Answer::failed(exercise, part, input, failure);
        }
        Answer::new(exercise, part, Verdict::Passed)
    }
}

/// What to say of results that do not depend on the input.
fn constant<O: Value>(got: &[O], want: &[O]) -> Option<String> {
    let vary = |values: &[O]| values.windows(2).any(|pair| !agree(&pair[0], &pair[1]));
    if got.len() > 1 && vary(want) && !vary(got) {
        return Some(
            "The result is the same for every input. It has to be computed from it.".into(),
        );
    }
    let uniform = |value: &O| {
        let numbers = value.numbers();
        !value.shape().is_empty() && numbers.iter().all(|x| *x == numbers[0])
    };
    if got.len() > 1 && got.iter().all(uniform) && !want.iter().all(uniform) {
        return Some("All elements of the result are the same. Is it ever filled?".into());
    }
    None
}
