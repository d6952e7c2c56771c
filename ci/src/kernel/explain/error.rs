//! What an error of the compiler says about a network.
use regex::Regex;
use serde_json::Value;
use std::sync::LazyLock;

use super::network::{self, Shape};
use super::types::Type;

const FORWARD: [&str; 4] = ["forward", "try_forward", "forward_mut", "try_forward_mut"];
const MOST_LAYERS: usize = 6;

/// A message, and the label at the place in the cell.
pub type Words = (String, String);

/// A trait that a type does not implement, or would if another did.
struct Bound {
    subject: Type,
    wanted: Type,
}

impl Bound {
    /// The type that is given, if the bound is that of a layer.
    fn input(&self) -> Option<&Type> {
        let is_layer = ["Module", "ModuleMut", "Forward"].contains(&self.wanted.name.as_str());
        is_layer.then(|| self.wanted.arguments.first())?
    }
}

/// An error of the compiler.
pub struct Error<'a> {
    pub diagnostic: &'a Value,
    /// The cell as the compiler gets it.
    pub source: &'a str,
}

impl Error<'_> {
    /// What is wrong with a network, if that is what the error is about.
    pub fn cause(&self) -> Option<Words> {
        match self.code() {
            "E0308" => self.mismatch(),
            "E0369" => self.sum(),
            "E0277" | "E0599" | "E0271" => self
                .sum()
                .or_else(|| self.too_many_layers())
                .or_else(|| self.misfit()),
            _ => None,
        }
    }

    fn code(&self) -> &str {
        self.diagnostic["code"]["code"].as_str().unwrap_or_default()
    }

    fn message(&self) -> &str {
        self.diagnostic["message"].as_str().unwrap_or_default()
    }

    fn spans(&self) -> impl Iterator<Item = &Value> {
        self.diagnostic["spans"].as_array().into_iter().flatten()
    }

    pub fn primary(&self) -> Option<&Value> {
        self.spans().find(|span| span["is_primary"] == true)
    }

    /// The message, what is written at the place, and the notes.
    fn texts(&self) -> Vec<&str> {
        let label = self.primary().and_then(|span| span["label"].as_str());
        let children = self.diagnostic["children"].as_array();
        let notes = children.into_iter().flatten();
        let notes = notes.filter_map(|child| child["message"].as_str());
        [self.message()]
            .into_iter()
            .chain(label)
            .chain(notes)
            .collect()
    }

    /// All types that the compiler names.
    fn types(&self) -> Vec<Type> {
        let quoted = self.texts().into_iter().flat_map(quoted);
        quoted
            .filter_map(|text| Type::parse(text.split(": ").next()?))
            .collect()
    }

    fn bounds(&self) -> Vec<Bound> {
        static REQUIRED: LazyLock<Regex> =
            LazyLock::new(|| Regex::new("required for `([^`]+)` to implement `([^`]+)`").unwrap());
        static MISSING: LazyLock<Regex> = LazyLock::new(|| {
            Regex::new("the trait `([^`]+)` is not implemented for `([^`]+)`").unwrap()
        });
        let mut bounds = Vec::new();
        let mut add = |subject: &str, wanted: &str| {
            if let (Some(subject), Some(wanted)) = (Type::parse(subject), Type::parse(wanted)) {
                bounds.push(Bound { subject, wanted });
            }
        };
        for text in self.texts() {
            for words in quoted(text) {
                if let Some((subject, wanted)) = words.split_once(": ") {
                    add(subject, wanted);
                }
            }
            for found in REQUIRED.captures_iter(text) {
                add(&found[1], &found[2]);
            }
            for found in MISSING.captures_iter(text) {
                add(&found[2], &found[1]);
            }
        }
        if !bounds.iter().any(|bound| bound.input().is_some()) {
            bounds.extend(self.output_of());
        }
        bounds
    }

    /// `X: Module<In>` where the message speaks of `<X as Module<In>>::Output`.
    fn output_of(&self) -> Option<Bound> {
        let (_, projection) = self.message().split_once("resolving `<")?;
        let (subject, wanted) = projection.split_once(" as ")?;
        Some(Bound {
            subject: Type::parse(subject)?,
            wanted: Type::parse_start(wanted)?,
        })
    }

    /// A method of networks that the network does not have.
    fn is_forward(&self) -> bool {
        quoted(self.message()).any(|word| FORWARD.contains(&word))
    }

    /// The whole network: the largest type that should be a layer.
    fn network(&self, bounds: &[Bound]) -> Option<Type> {
        let layers = bounds
            .iter()
            .filter(|bound| bound.input().is_some() || bound.wanted.name == "Classifier");
        let layers = layers.map(|bound| bound.subject.clone());
        let receivers = match self.code() == "E0599" && self.is_forward() {
            true => self.types(),
            false => Vec::new(),
        };
        let receivers = receivers.into_iter().filter(is_built);
        layers.chain(receivers).max_by_key(Type::size)
    }

    fn misfit(&self) -> Option<Words> {
        let bounds = self.bounds();
        let network = self.network(&bounds)?;
        let input = bounds.iter().find(|bound| bound.subject == network);
        let input = input
            .and_then(Bound::input)
            .map_or(Shape::Unknown, Shape::of);
        let inner: Vec<&Bound> = bounds
            .iter()
            .filter(|bound| bound.input().is_some() && bound.subject != network)
            .collect();
        match network::check(&network, &input) {
            // The compiler has to agree, as far as it names layers.
            Err(misfit)
                if inner.is_empty()
                    || inner.iter().any(|it| it.subject.contains(&misfit.layer)) =>
            {
                Some((misfit.message, misfit.origin))
            }
            checked => match inner.iter().min_by_key(|bound| bound.subject.size()) {
                Some(refused) => self.refused(&network, refused),
                None => not_a_classifier(&network, &checked.ok()?, &bounds),
            },
        }
    }

    /// A layer is only known by what the compiler says about it.
    fn refused(&self, network: &Type, refused: &Bound) -> Option<Words> {
        let given = refused.input()?;
        if let Some(words) = other_numbers(&refused.subject, given) {
            return Some(words);
        }
        let given = Shape::of(given);
        let takes = network::takes(&refused.subject).or_else(|| self.implemented());
        if !given.is_known() || takes.as_ref().is_some_and(|takes| given.fits(takes)) {
            return None;
        }
        let misfit = network::refused(network, &refused.subject, takes.as_ref(), &given);
        Some((misfit.message, misfit.origin))
    }

    /// The input for which the compiler says that the layer takes it.
    fn implemented(&self) -> Option<Shape> {
        let help = self
            .texts()
            .into_iter()
            .find(|text| text.contains("is implemented for it"))?;
        let (_, implemented) = help.rsplit_once("but trait `")?;
        Some(Shape::of(
            Type::parse_start(implemented)?.arguments.first()?,
        ))
    }

    fn too_many_layers(&self) -> Option<Words> {
        let types = self.types();
        let tuple = types.iter().flat_map(Type::all).find(|inner| {
            let layers = &inner.arguments;
            let is_network = layers.iter().any(|layer| network::takes(layer).is_some());
            inner.is_tuple() && layers.len() > MOST_LAYERS && is_network
        })?;
        let count = match tuple.arguments.len() {
            7 => "seven".to_owned(),
            8 => "eight".to_owned(),
            more => more.to_string(),
        };
        let message = format!(
            "a tuple holds at most six layers, and this one has {count}: nest tuples, or write the network with `network!`"
        );
        Some((message, format!("{count} layers in one tuple")))
    }

    /// Two tensors of different sizes are added.
    fn sum(&self) -> Option<Words> {
        static ADD: LazyLock<Regex> =
            LazyLock::new(|| Regex::new("^cannot add `([^`]+)` to `([^`]+)`").unwrap());
        let (left, right) = match ADD.captures(self.message()) {
            Some(found) => (Type::parse(&found[2])?, Type::parse(&found[1])?),
            None => {
                let bounds = self.bounds();
                let sum = bounds
                    .into_iter()
                    .find(|bound| bound.wanted.name == "TryAdd")?;
                (sum.subject, sum.wanted.arguments.into_iter().next()?)
            }
        };
        sum_of(&Shape::of(&left), &Shape::of(&right))
    }

    /// An argument of another type: images with another number of channels?
    fn mismatch(&self) -> Option<Words> {
        let (expected, found) = self.expected_and_found()?;
        let (takes, given) = (Shape::of(&expected), Shape::of(&found));
        if expected.name == "Tensor" {
            let is_network = self
                .callers()
                .first()
                .is_some_and(|name| FORWARD.contains(name));
            return if is_network {
                network_takes(&takes, &found)
            } else {
                None
            };
        }
        if given.fits(&takes) {
            return None;
        }
        if self.before().trim_end().ends_with('+') {
            return sum_of(&takes, &given);
        }
        if let Some(words) = self.first_misfit_in_order() {
            return Some(words);
        }
        let message = match self.layer_that_takes(&takes) {
            Some((name, layer, its)) => {
                // A layer in between may make vectors of the maps.
                let reason = match its.is_same_kind(&takes) {
                    true => network::takes_and_is_given(&its, &given),
                    false => network::takes_and_is_given(&its, &its.with_count(given.count())),
                };
                format!("layer `{name}`, `{}`, {reason}", layer.short())
            }
            None if self.is_result() => {
                let (given, takes) = (given.in_words(), takes.in_words());
                format!("the forward pass gives {given}, and {takes} are declared")
            }
            None => network::expected_and_found(&takes, &given),
        };
        Some((message, format!("this has {}", given.in_words())))
    }

    /// The layer that wants so many channels: the function that is called here, or the next one
    /// around it, as long as they take any number.
    fn layer_that_takes(&self, wanted: &Shape) -> Option<(&str, Type, Shape)> {
        for name in self.callers() {
            let Some(layer) = self.declared(name) else {
                continue;
            };
            match network::takes(&layer) {
                // A layer that we do not know; the compiler does.
                None => return Some((name, layer, wanted.clone())),
                Some(takes) if takes.count().is_some() => {
                    let is_it = takes.count() == wanted.count();
                    return is_it.then_some((name, layer, takes));
                }
                Some(_) => {}
            }
        }
        None
    }

    /// In a network without a body, whose layers follow one another, the error is at the whole: the first layer that does
    /// not fit what comes before it.
    fn first_misfit_in_order(&self) -> Option<Words> {
        static FORWARD: LazyLock<Regex> =
            LazyLock::new(|| Regex::new(r"forward\(\s*(\w+<\w+>)\s*\)").unwrap());
        static FIELD: LazyLock<Regex> = LazyLock::new(|| Regex::new(r"(\w+)\s*:\s*").unwrap());
        let written = outermost(self.primary()?);
        let line = |end: &str| usize::try_from(written[end].as_u64()?).ok();
        let (first, last) = (line("line_start")?, line("line_end")?);
        let lines = self.source.lines().skip(first.checked_sub(1)?);
        let network: Vec<&str> = lines.take(last + 1 - first).collect();
        let network = network.join("\n");
        let mut shape = Shape::of(&Type::parse(&FORWARD.captures(&network)?[1])?);
        let (_, fields) = network.split_once("struct")?.1.split_once('{')?;
        for field in FIELD.captures_iter(fields) {
            let layer = Type::parse_start(&fields[field.get(0)?.end()..])?;
            match network::check(&layer, &shape) {
                Ok(next) => shape = next,
                Err(_) => {
                    let takes = network::takes(&layer)?;
                    let reason = network::takes_and_is_given(&takes, &shape);
                    let message = format!("layer `{}`, `{}`, {reason}", &field[1], layer.short());
                    return Some((message, format!("this has {}", shape.in_words())));
                }
            }
        }
        None
    }

    /// Whether the compiler compares with what a function is to give.
    fn is_result(&self) -> bool {
        let mut labels = self.spans().filter_map(|span| span["label"].as_str());
        labels.any(|label| label.contains("because of return type"))
    }

    fn expected_and_found(&self) -> Option<(Type, Type)> {
        static TYPES: LazyLock<Regex> = LazyLock::new(|| {
            Regex::new(r"expected (?:\w+ )*`([^`]+)`,?\s+found (?:\w+ )*`([^`]+)`").unwrap()
        });
        let mut texts = self.texts().into_iter().rev();
        texts.find_map(|text| {
            let found = TYPES.captures(text)?;
            let types = (Type::parse(&found[1])?, Type::parse(&found[2])?);
            Shape::of(&types.0).is_known().then_some(types)
        })
    }

    /// What stands before the error in its line, if that line is in the cell.
    fn before(&self) -> &str {
        let line = self.primary().and_then(split_line);
        line.map_or("", |(before, _)| before)
    }

    /// The functions whose argument this is, from the inside: `a` and `b` in `b(a(x))`.
    fn callers(&self) -> Vec<&str> {
        static CALL: LazyLock<Regex> = LazyLock::new(|| Regex::new(r"(\w+)\(\s*$").unwrap());
        let mut callers = Vec::new();
        let mut before = self.before();
        if before.trim().is_empty() {
            // The argument has a line of its own.
            let mut spans = self.spans();
            let called = spans.find(|span| {
                let label = span["label"].as_str();
                label.is_some_and(|label| label.starts_with("arguments to this"))
            });
            if let Some((earlier, name)) = called.and_then(split_line) {
                callers.push(name);
                before = earlier;
            }
        }
        while let Some(call) = CALL.captures(before).and_then(|call| call.get(1)) {
            callers.push(call.as_str());
            before = &before[..call.start()];
        }
        callers
    }

    /// The type with which a network's field is declared: the last one above the error.
    fn declared(&self, name: &str) -> Option<Type> {
        let field = Regex::new(&format!(r"\b{}\s*:\s*", regex::escape(name))).ok()?;
        let line = self.primary()?["line_start"].as_u64()?;
        let above = self.source.split_inclusive('\n');
        let above = above.take(usize::try_from(line).ok()?);
        let above = above.map(str::len).sum();
        let declared = field
            .find_iter(&self.source[..above])
            .filter_map(|found| Type::parse_start(&self.source[found.end()..]))
            .filter(|layer| layer.name.starts_with(char::is_uppercase));
        declared.last()
    }

    /// Something is trained that is no classifier, for another reason.
    pub fn not_trainable(&self) -> Option<Words> {
        let bounds = self.bounds();
        let bound = bounds
            .iter()
            .find(|bound| bound.wanted.name == "Classifier")?;
        if bound.subject.is_reference() {
            let message = "training takes the network itself, not a reference: leave out the `&`";
            return Some((message.to_owned(), "a reference".to_owned()));
        }
        let network = bound.subject.short();
        let reason = self.message().split_once("cannot be trained here: ");
        let reason = reason.map_or("it is no classifier of such images", |(_, reason)| reason);
        let reason = reason.replace("(batch, _, height", "(batch, channels, height");
        let reason = reason.replace(", _)`", ", classes)`");
        let label = "not a classifier of such images".to_owned();
        Some((
            format!("`{network}` cannot be trained here: {reason}"),
            label,
        ))
    }
}

/// What stands between backticks.
fn quoted(text: &str) -> impl Iterator<Item = &str> {
    text.split('`').skip(1).step_by(2)
}

/// Where a macro was written whose expansion holds this place.
fn outermost(span: &Value) -> &Value {
    match &span["expansion"]["span"] {
        Value::Null => span,
        outer => outermost(outer),
    }
}

/// What stands before a place in its line, and at the place, if the line is in the cell.
fn split_line(span: &Value) -> Option<(&str, &str)> {
    let is_cell = span["file_name"].as_str()?.ends_with("lib.rs");
    let line = span["text"][0]["text"].as_str().filter(|_| is_cell)?;
    let offset = |column: &str| {
        let column = usize::try_from(span[column].as_u64()?).ok()?;
        let offset = line.char_indices().nth(column.checked_sub(1)?);
        Some(offset.map_or(line.len(), |(offset, _)| offset))
    };
    let start = offset("column_start")?;
    let end = offset("column_end")?.max(start);
    Some((&line[..start], &line[start..end]))
}

/// Layers, and tuples of them; a method's name is none.
fn is_built(receiver: &Type) -> bool {
    receiver.is_tuple() || receiver.name.starts_with(char::is_uppercase)
}

/// A layer and its input have numbers of different kinds.
fn other_numbers(layer: &Type, given: &Type) -> Option<Words> {
    let kind = |of: &Type| {
        let names = of.arguments.iter().map(|argument| argument.name.clone());
        names
            .into_iter()
            .find(|name| ["f16", "f32", "f64"].contains(&name.as_str()))
    };
    let (layer, given) = (kind(layer)?, kind(given)?);
    let message = format!(
        "the network has numbers of type `{layer}` and is given `{given}`: build it with `build_module::<..., {given}>()`"
    );
    (layer != given).then(|| (message, format!("built with `{layer}`")))
}

/// Training has been asked for, and the layers fit, but not what the last one gives.
fn not_a_classifier(network: &Type, output: &Shape, bounds: &[Bound]) -> Option<Words> {
    let trained = |bound: &Bound| bound.wanted.name == "Classifier" && &bound.subject == network;
    if !bounds.iter().any(trained) || !matches!(output, Shape::Maps(_)) {
        return None;
    }
    let message = format!(
        "the network gives {}, and training needs vectors `(batch, classes)`: end it with `AvgPoolGlobal`, or with `Flatten` and `Linear`",
        output.whole()
    );
    Some((message, "not a classifier".to_owned()))
}

fn sum_of(left: &Shape, right: &Shape) -> Option<Words> {
    let message = format!(
        "the left side of the sum has {}, its right side has {}",
        left.in_words(),
        right.in_words()
    );
    (!left.fits(right)).then(|| (message, "a sum needs equal shapes".to_owned()))
}

fn network_takes(takes: &Shape, found: &Type) -> Option<Words> {
    let given = Shape::of(found);
    let lengths = found
        .arguments
        .first()
        .map_or(&[][..], |shape| &shape.arguments);
    if let (Some(count), Shape::Maps(None) | Shape::Vectors(None)) = (takes.count(), &given)
        && lengths.get(1).is_some_and(|length| length.name == "usize")
    {
        let message = format!(
            "the network takes {}; in the input's shape this is a `usize`: write `Const::<{count}>`",
            takes.in_words()
        );
        return Some((message, "a `usize` is known too late".to_owned()));
    }
    if given.fits(takes) {
        return None;
    }
    let message = format!("the network {}", network::takes_and_is_given(takes, &given));
    Some((message, format!("this has {}", given.in_words())))
}
