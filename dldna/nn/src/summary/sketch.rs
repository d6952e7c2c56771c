//! The summary of a forward pass: shapes go through it in place of tensors, and each layer is noted down.

use super::layers::wrong_input;
use super::{LayerSummary, Summarize, SummaryError, SummaryProblem, side_by_side, summarize_named};

/// The layers that a shape has gone through so far.
#[derive(Debug, Default)]
pub(crate) struct Sketch {
    /// The groups that are open, the innermost last, and whether the names in them were given.
    open: Vec<Group>,
    /// The name of the next layer.
    name: Option<String>,
    /// The whole, once its group is closed.
    whole: Option<LayerSummary>,
    failure: Option<SummaryError>,
}

#[derive(Debug)]
struct Group {
    summary: LayerSummary,
    /// Which of its children are functions: those of one name are numbered in the end.
    functions: Vec<bool>,
}

/// A shape with the channels that a network takes.
pub(crate) fn sketched_shape(
    kind: &str,
    input: &[usize],
    channels: usize,
    rank: usize,
) -> Result<Vec<usize>, SummaryError> {
    if input.len() == rank && input[1] == channels {
        return Ok(input.to_vec());
    }
    let rest = if rank == 4 { ", height, width" } else { "" };
    let expected = format!("[batch, {channels}{rest}]");
    Err(wrong_input(kind, expected, input))
}

impl Sketch {
    /// The name of the layer that comes next.
    pub fn name(&mut self, name: &str) {
        self.name = Some(name.to_owned());
    }

    /// A layer; the shape that it gives.
    pub fn layer(&mut self, layer: &dyn Summarize, input: &[usize]) -> Option<Vec<usize>> {
        let name = self.name.take().unwrap_or_default();
        match summarize_named(&name, layer, input) {
            Ok(summary) => self.push(&name, summary, false),
            Err(error) => self.fail(error),
        }
    }

    /// A function without parameters: the shape that it gives is that of its input.
    pub fn function(&mut self, name: &str, kind: &str, shape: &[usize]) -> Option<Vec<usize>> {
        self.name = None;
        self.push(name, LayerSummary::leaf(kind, shape, 0, 0), true)
    }

    /// The sum of two branches.
    pub fn sum(&mut self, first: &[usize], second: &[usize]) -> Option<Vec<usize>> {
        if first != second {
            return self.do_not_fit(first, second);
        }
        self.function("add", "Sum", first)
    }

    /// The channels of all branches side by side.
    pub fn beside(&mut self, shapes: &[Vec<usize>]) -> Option<Vec<usize>> {
        let mut result = shapes.first()?.clone();
        for shape in &shapes[1..] {
            if (shape[0], &shape[2..]) != (result[0], &result[2..]) {
                return self.do_not_fit(&shapes[0], shape);
            }
            match side_by_side(result[1], shape) {
                Ok(channels) => result[1] = channels,
                Err(error) => return self.fail(error),
            }
        }
        Some(result)
    }

    fn do_not_fit(&mut self, first: &[usize], second: &[usize]) -> Option<Vec<usize>> {
        let (first, second) = (first.to_vec(), second.to_vec());
        self.fail(SummaryProblem::Branches { first, second }.into())
    }

    /// A layer that gives other channels than its type says.
    pub fn wrong_channels(
        &mut self,
        layer: &str,
        expected: usize,
        shape: &[usize],
    ) -> Option<Vec<usize>> {
        let expected = format!("[batch, {expected}, height, width]");
        self.fail(wrong_input(layer, expected, shape))
    }

    /// From here on layers go into a group.
    pub fn open(&mut self, kind: &str, input: &[usize]) {
        let name = self.name.take().unwrap_or_default();
        let summary = LayerSummary {
            name,
            ..LayerSummary::group(kind, input)
        };
        self.open.push(Group {
            summary,
            functions: Vec::new(),
        });
    }

    /// Ends the innermost group, which gives this shape.
    pub fn close(&mut self, shape: &[usize]) -> Option<Vec<usize>> {
        let Group {
            mut summary,
            functions,
        } = self.open.pop()?;
        number(&mut summary.children, &functions);
        summary.output_shape = shape.to_vec();
        if self.open.is_empty() {
            self.whole = Some(summary);
            return Some(shape.to_vec());
        }
        let name = summary.name.clone();
        self.push(&name, summary, false)
    }

    fn push(&mut self, name: &str, summary: LayerSummary, function: bool) -> Option<Vec<usize>> {
        let shape = summary.output_shape.clone();
        match self.open.pop() {
            Some(Group {
                summary: group,
                mut functions,
            }) => {
                functions.push(function);
                let summary = group.with_child(name, summary);
                self.open.push(Group { summary, functions });
            }
            None => self.whole = Some(summary),
        }
        Some(shape)
    }

    /// Keeps the first error, with the path to its layer. There is no shape any more.
    fn fail(&mut self, error: SummaryError) -> Option<Vec<usize>> {
        let groups = self.open.iter().skip(1).rev();
        let error = groups.fold(error, |error, group| error.inside(&group.summary.name));
        self.failure.get_or_insert(error);
        None
    }

    /// The whole, or what does not fit.
    pub fn finish(self) -> Result<LayerSummary, SummaryError> {
        match (self.failure, self.whole) {
            (Some(error), _) => Err(error),
            (None, Some(whole)) => Ok(whole),
            (None, None) => unreachable!("a network without an error has been summarised"),
        }
    }
}

/// Functions that occur several times get numbers: `relu1`, `relu2`.
fn number(children: &mut [LayerSummary], functions: &[bool]) {
    let names: Vec<String> = children.iter().map(|child| child.name.clone()).collect();
    for index in 0..children.len() {
        let same = |other: &usize| functions[*other] && names[*other] == names[index];
        let before = (0..index).filter(same).count();
        let all = (0..names.len()).filter(same).count();
        if functions[index] && all > 1 {
            children[index].name = format!("{}{}", names[index], before + 1);
        }
    }
}
