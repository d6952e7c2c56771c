//! What layers take and give, and where two of them do not fit.
use super::types::Type;

/// What goes from one layer to the next, as far as it is known. Counts are numbers, or the names of a
/// network's constants.
#[derive(Clone, Debug, PartialEq)]
pub enum Shape {
    /// `(batch, channels, height, width)`
    Maps(Option<String>),
    /// `(batch, features)`
    Vectors(Option<String>),
    Unknown,
}

impl Shape {
    /// The shape of a tensor's type, or of the types that `network!` uses.
    pub fn of(tensor: &Type) -> Self {
        let count = || tensor.constant(0);
        match (tensor.name.as_str(), tensor.arguments.first()) {
            ("Images", _) => Shape::Maps(count()),
            ("Vectors", _) => Shape::Vectors(count()),
            ("Tensor", Some(shape)) if shape.is_tuple() => {
                let second = shape.arguments.get(1).and_then(|length| length.constant(0));
                match shape.arguments.len() {
                    4 => Shape::Maps(second),
                    2 => Shape::Vectors(second),
                    _ => Shape::Unknown,
                }
            }
            _ => Shape::Unknown,
        }
    }

    pub fn count(&self) -> Option<&str> {
        match self {
            Shape::Maps(count) | Shape::Vectors(count) => count.as_deref(),
            Shape::Unknown => None,
        }
    }

    /// Whether something of this shape can be given where `other` is taken.
    pub fn fits(&self, other: &Shape) -> bool {
        let fit = |a: &Option<String>, b: &Option<String>| a.is_none() || b.is_none() || a == b;
        match (self, other) {
            (Shape::Maps(a), Shape::Maps(b)) | (Shape::Vectors(a), Shape::Vectors(b)) => fit(a, b),
            (Shape::Unknown, _) | (_, Shape::Unknown) => true,
            _ => false,
        }
    }

    pub fn is_known(&self) -> bool {
        *self != Shape::Unknown
    }

    pub fn is_same_kind(&self, other: &Shape) -> bool {
        std::mem::discriminant(self) == std::mem::discriminant(other)
    }

    /// This kind of shape with another count.
    pub fn with_count(&self, count: Option<&str>) -> Self {
        let count = count.map(str::to_owned);
        match self {
            Shape::Maps(_) => Shape::Maps(count),
            Shape::Vectors(_) => Shape::Vectors(count),
            Shape::Unknown => Shape::Unknown,
        }
    }

    /// "8 channels"
    pub fn in_words(&self) -> String {
        let word = match self {
            Shape::Maps(Some(_)) => "channel",
            Shape::Vectors(Some(_)) => "feature",
            _ => return self.whole(),
        };
        match self.count().unwrap_or_default() {
            "1" => format!("1 {word}"),
            count => format!("{count} {word}s"),
        }
    }

    /// "feature maps `(batch, 8, height, width)`"
    pub fn whole(&self) -> String {
        let or = |name| self.count().unwrap_or(name);
        match self {
            Shape::Maps(_) => format!("feature maps `(batch, {}, height, width)`", or("channels")),
            Shape::Vectors(_) => format!("vectors `(batch, {})`", or("features")),
            Shape::Unknown => "another shape".to_owned(),
        }
    }
}

/// "takes 16 channels and is given 8"
pub fn takes_and_is_given(takes: &Shape, given: &Shape) -> String {
    match (takes.count(), given.count()) {
        (Some(_), Some(given_count)) if takes.is_same_kind(given) => {
            format!("takes {} and is given {given_count}", takes.in_words())
        }
        _ => format!("takes {} and is given {}", takes.whole(), given.whole()),
    }
}

/// "expected 16 channels, found 8"
pub fn expected_and_found(expected: &Shape, found: &Shape) -> String {
    match (expected.count(), found.count()) {
        (Some(_), Some(count)) if expected.is_same_kind(found) => {
            format!("expected {}, found {count}", expected.in_words())
        }
        _ => format!("expected {}, found {}", expected.whole(), found.whole()),
    }
}

/// How a layer with constant arguments treats its input. The numbers are the arguments' places.
enum Rule {
    Maps {
        takes: usize,
        gives: usize,
    },
    Vectors {
        takes: usize,
        gives: usize,
    },
    /// Makes vectors out of feature maps; `None`: as long as there are channels.
    Flatten(Option<usize>),
    /// Takes feature maps and keeps their channels.
    Pool,
    /// Takes everything and keeps it.
    Keep,
}

fn rule(layer: &str) -> Option<Rule> {
    let maps = |takes, gives| Rule::Maps { takes, gives };
    let vectors = |takes, gives| Rule::Vectors { takes, gives };
    Some(match layer {
        "Conv2D" | "BiasedConv2D" | "RectangularConv2D" | "BasicBlock" | "ConvNorm" => maps(0, 1),
        "BottleneckBlock" => maps(0, 2),
        "MBConv" => maps(0, 3),
        "Inception" | "BatchNormInception" | "FactorizedInception" | "AsymmetricInception" => {
            maps(0, 7)
        }
        "DepthwiseConv2D" | "BatchNorm2D" | "Bias2D" | "LayerNorm2D" | "LayerScale"
        | "SqueezeExcitation" | "InceptionResNetA" | "ConvNeXtBlock" => maps(0, 0),
        "Linear" | "UnbiasedLinear" => vectors(0, 1),
        "Bias1D" | "BatchNorm1D" | "LayerNorm1D" => vectors(0, 0),
        "Flatten" => Rule::Flatten(Some(0)),
        "AvgPoolGlobal" | "MaxPoolGlobal" | "MinPoolGlobal" => Rule::Flatten(None),
        "MaxPool2D" | "AvgPool2D" => Rule::Pool,
        "ReLU" | "ReLU6" | "LeakyReLU" | "SiLU" | "GELU" | "GeLU" | "FastGeLU" | "AccurateGeLU"
        | "Sigmoid" | "Tanh" | "Softmax" | "LogSoftmax" | "Abs" | "Square" | "Sqrt" | "Exp"
        | "Ln" | "Sin" | "Cos" | "Dropout" | "DropoutOneIn" => Rule::Keep,
        _ => return None,
    })
}

/// Which layer does not fit, and why.
#[derive(Clone, Debug, PartialEq)]
pub struct Misfit {
    pub layer: Type,
    pub message: String,
    /// Where the number comes from that does not fit.
    pub origin: String,
}

/// The input of a layer, and in words who gives it.
#[derive(Clone)]
struct Flow {
    shape: Shape,
    origin: String,
}

impl Flow {
    fn from_layer(shape: Shape, layer: &Type, place: &[usize]) -> Self {
        let who = naming(layer, place);
        let origin = format!("{} from {}", shape.in_words(), who.trim_end_matches(','));
        Flow { shape, origin }
    }

    fn unknown() -> Self {
        Flow {
            shape: Shape::Unknown,
            origin: "the layers do not fit together".to_owned(),
        }
    }
}

/// What a network gives for an input, or the first layer that does not fit.
pub fn check(network: &Type, input: &Shape) -> Result<Shape, Misfit> {
    let origin = match input.is_known() {
        true => format!("the input has {}", input.in_words()),
        false => "the layers do not fit together".to_owned(),
    };
    let shape = input.clone();
    Ok(walk(network, &Flow { shape, origin }, &[])?.shape)
}

fn walk(layer: &Type, input: &Flow, place: &[usize]) -> Result<Flow, Misfit> {
    let inside = |index: usize| {
        let inner = layer.arguments.get(index)?;
        Some((inner, inner_place(layer, index, place)))
    };
    match layer.name.as_str() {
        "" => {
            let mut flow = input.clone();
            for (index, inner) in layer.arguments.iter().enumerate() {
                flow = walk(inner, &flow, &inner_place(layer, index, place))?;
            }
            Ok(flow)
        }
        "Residual" => {
            let Some((inner, inner_place)) = inside(0) else {
                return Ok(Flow::unknown());
            };
            let output = walk(inner, input, &inner_place)?;
            let shortcut = match &input.shape {
                Shape::Unknown => first_takes(inner),
                known => known.clone(),
            };
            match output.shape.fits(&shortcut) {
                true => Ok(output),
                false => Err(sum(layer, place, "shortcut", &shortcut, &output.shape)),
            }
        }
        "GeneralizedResidual" => {
            let (Some(main), Some(shortcut)) = (inside(0), inside(1)) else {
                return Ok(Flow::unknown());
            };
            let main = walk(main.0, input, &main.1)?;
            let shortcut = walk(shortcut.0, input, &shortcut.1)?;
            match main.shape.fits(&shortcut.shape) {
                true => Ok(main),
                false => Err(sum(
                    layer,
                    place,
                    "second branch",
                    &shortcut.shape,
                    &main.shape,
                )),
            }
        }
        "SplitInto" => {
            let branches = layer.arguments.first().map_or(&[][..], |it| &it.arguments);
            for (index, branch) in branches.iter().enumerate() {
                let place = [place, &[index + 1]].concat();
                walk(branch, input, &place)?;
            }
            Ok(Flow::unknown())
        }
        _ => apply(layer, input, place),
    }
}

/// The place of what is inside a layer. A tuple in a `Residual` counts as one with it.
fn inner_place(layer: &Type, index: usize, place: &[usize]) -> Vec<usize> {
    let alone = layer.arguments.len() == 1 && !layer.is_tuple();
    match alone && layer.arguments[0].is_tuple() {
        true => place.to_vec(),
        false => [place, &[index + 1]].concat(),
    }
}

fn apply(layer: &Type, input: &Flow, place: &[usize]) -> Result<Flow, Misfit> {
    let Some(takes) = takes(layer) else {
        return Ok(Flow::unknown());
    };
    if !input.shape.fits(&takes) {
        return Err(Misfit {
            layer: layer.clone(),
            message: format!(
                "{} {}",
                naming(layer, place),
                takes_and_is_given(&takes, &input.shape)
            ),
            origin: input.origin.clone(),
        });
    }
    let gives = |shape| Flow::from_layer(shape, layer, place);
    Ok(match rule(&layer.name) {
        Some(Rule::Maps { gives: place, .. }) => gives(Shape::Maps(layer.constant(place))),
        Some(Rule::Vectors { gives: place, .. }) => gives(Shape::Vectors(layer.constant(place))),
        Some(Rule::Flatten(Some(place))) => gives(Shape::Vectors(layer.constant(place))),
        Some(Rule::Flatten(None)) => Flow {
            shape: Shape::Vectors(input.shape.count().map(str::to_owned)),
            origin: input.origin.replace(" channel", " feature"),
        },
        Some(Rule::Pool | Rule::Keep) => input.clone(),
        None => Flow::unknown(),
    })
}

/// What a layer takes; `None` for a layer that is not in the table.
pub fn takes(layer: &Type) -> Option<Shape> {
    Some(match rule(&layer.name)? {
        Rule::Maps { takes, .. } => Shape::Maps(layer.constant(takes)),
        Rule::Vectors { takes, .. } => Shape::Vectors(layer.constant(takes)),
        Rule::Flatten(_) | Rule::Pool => Shape::Maps(None),
        Rule::Keep => Shape::Unknown,
    })
}

/// What the first layer takes that does not take everything.
fn first_takes(network: &Type) -> Shape {
    let layers = network.all().into_iter();
    let mut shapes = layers.filter_map(takes);
    shapes
        .find(|shape| shape.is_known())
        .unwrap_or(Shape::Unknown)
}

/// "layer 3, `Conv2D<16, 10, 3>`," or only the layer, if it is the whole network.
fn naming(layer: &Type, place: &[usize]) -> String {
    if place.is_empty() {
        return format!("`{}`", layer.short());
    }
    let place: Vec<String> = place.iter().map(usize::to_string).collect();
    format!("layer {}, `{}`,", place.join("."), layer.short())
}

fn sum(layer: &Type, place: &[usize], other: &str, shortcut: &Shape, inner: &Shape) -> Misfit {
    let name = naming(layer, place);
    let gives = match (inner.count(), inner.is_same_kind(shortcut)) {
        (Some(count), true) => count.to_string(),
        _ => inner.in_words(),
    };
    let verbs = match other {
        "shortcut" => ("has", "the layers inside give"),
        _ => ("gives", "the first"),
    };
    Misfit {
        layer: layer.clone(),
        message: format!(
            "{}: the {other} {} {}, {} {gives}",
            name.trim_end_matches(','),
            verbs.0,
            shortcut.in_words(),
            verbs.1,
        ),
        origin: "a sum needs equal shapes".to_owned(),
    }
}

/// The message about a layer of which is only known that it does not take `given`.
pub fn refused(network: &Type, layer: &Type, takes: Option<&Shape>, given: &Shape) -> Misfit {
    let place = find(network, layer, &[]).unwrap_or_default();
    let reason = match takes {
        Some(takes) => takes_and_is_given(takes, given),
        None => format!("does not take {}", given.in_words()),
    };
    Misfit {
        layer: layer.clone(),
        message: format!("{} {reason}", naming(layer, &place)),
        origin: format!("{} are given here", given.in_words()),
    }
}

/// The place of the first such layer.
fn find(network: &Type, layer: &Type, place: &[usize]) -> Option<Vec<usize>> {
    if network == layer {
        return Some(place.to_vec());
    }
    let inner = network.arguments.iter().enumerate();
    inner
        .filter(|(_, inner)| inner.contains(layer))
        .find_map(|(index, inner)| find(inner, layer, &inner_place(network, index, place)))
}
