//! Types as the compiler writes them, read back.

/// A type without its path: `dfdx::nn::Conv2D<1, 8, 3>` is `Conv2D` with three arguments. A tuple has
/// no name, a reference is called `&`; numbers and `_` are types without arguments here.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Type {
    pub name: String,
    pub arguments: Vec<Type>,
}

const REFERENCE: &str = "&";

/// Default arguments: a layer's name, how many arguments have none, and what the others are.
const DEFAULTS: [(&str, usize, &[&str]); 8] = [
    ("Conv2D", 3, &["1", "0", "1"]),
    ("BiasedConv2D", 3, &["1", "0", "1"]),
    ("RectangularConv2D", 4, &["1", "0", "0"]),
    ("DepthwiseConv2D", 2, &["1", "0"]),
    ("MaxPool2D", 2, &["0"]),
    ("AvgPool2D", 2, &["0"]),
    ("BasicBlock", 3, &["true"]),
    ("Bottleneck", 3, &["true"]),
];

/// A layer that takes more characters than this is written without its arguments.
const LONGEST: usize = 48;

impl Type {
    /// Reads all of `text`.
    pub fn parse(text: &str) -> Option<Self> {
        let mut parser = Parser { rest: text.trim() };
        let parsed = parser.parse()?;
        parser.rest.trim().is_empty().then_some(parsed)
    }

    /// Reads the type at the beginning of `text`.
    pub fn parse_start(text: &str) -> Option<Self> {
        Parser { rest: text }.parse()
    }

    pub fn is_tuple(&self) -> bool {
        self.name.is_empty()
    }

    pub fn is_reference(&self) -> bool {
        self.name == REFERENCE
    }

    /// A constant argument: a number, or the name of one.
    pub fn constant(&self, index: usize) -> Option<String> {
        let name = &self.arguments.get(index)?.name;
        let is_constant = |letter: char| letter.is_ascii_digit() || letter.is_ascii_uppercase();
        let is_named = name.chars().any(is_constant);
        let is_constant = |letter: char| letter == '_' || is_constant(letter);
        (is_named && name.chars().all(is_constant)).then(|| name.clone())
    }

    /// The number of types that this one is made of.
    pub fn size(&self) -> usize {
        1 + self.arguments.iter().map(Type::size).sum::<usize>()
    }

    /// This type and all inside it.
    pub fn all(&self) -> Vec<&Type> {
        let inside = self.arguments.iter().flat_map(Type::all);
        std::iter::once(self).chain(inside).collect()
    }

    pub fn contains(&self, other: &Type) -> bool {
        self.all().contains(&other)
    }

    /// A layer as its author wrote it: without default arguments and what building it has added.
    pub fn as_written(&self) -> String {
        let mut arguments = &self.arguments[..];
        while let [before @ .., last] = arguments
            && is_added(last)
            && !self.is_tuple()
        {
            arguments = before;
        }
        if let Some((_, required, defaults)) = DEFAULTS.iter().find(|it| it.0 == self.name) {
            while let [before @ .., last] = arguments
                && before.len() >= *required
                && defaults.get(before.len() - required) == Some(&last.name.as_str())
            {
                arguments = before;
            }
        }
        let inside: Vec<String> = arguments.iter().map(Type::as_written).collect();
        let inside = inside.join(", ");
        if self.is_reference() {
            return format!("&{inside}");
        }
        match (self.is_tuple(), inside.is_empty()) {
            (true, _) => format!("({inside})"),
            (false, true) => self.name.clone(),
            (false, false) => format!("{}<{inside}>", self.name),
        }
    }

    /// [`Self::as_written`] in one line of a message.
    pub fn short(&self) -> String {
        match self.as_written() {
            long if long.len() > LONGEST && self.is_tuple() => "(...)".to_owned(),
            long if long.len() > LONGEST => format!("{}<...>", self.name),
            short => short,
        }
    }
}

/// Kinds of numbers and devices, or what stands for them.
fn is_added(argument: &Type) -> bool {
    let names = [
        "f16",
        "f32",
        "f64",
        "E",
        "Elem",
        "Cpu",
        "Cuda",
        "AutoDevice",
        "D",
        "Dev",
        "_",
    ];
    argument.arguments.is_empty() && names.contains(&argument.name.as_str())
}

struct Parser<'a> {
    rest: &'a str,
}

impl Parser<'_> {
    fn take(&mut self, token: &str) -> bool {
        self.rest = self.rest.trim_start();
        match self.rest.strip_prefix(token) {
            Some(rest) => {
                self.rest = rest;
                true
            }
            None => false,
        }
    }

    fn parse(&mut self) -> Option<Type> {
        if self.take("&") {
            self.take("mut ");
            let name = REFERENCE.to_owned();
            let arguments = vec![self.parse()?];
            return Some(Type { name, arguments });
        }
        if self.take("(") {
            let arguments = self.arguments(")")?;
            let name = String::new();
            return Some(Type { name, arguments });
        }
        let mut name = self.word()?;
        while self.take("::") {
            name = self.word()?;
        }
        let arguments = match self.take("<") {
            true => self.arguments(">")?,
            false => Vec::new(),
        };
        Some(Type { name, arguments })
    }

    fn arguments(&mut self, end: &str) -> Option<Vec<Type>> {
        let mut arguments = Vec::new();
        while !self.take(end) {
            let mut argument = self.parse()?;
            // The name of an associated type stands before it.
            if self.take("=") {
                argument = self.parse()?;
            }
            arguments.push(argument);
            if !self.take(",") && !self.rest.trim_start().starts_with(end) {
                return None;
            }
        }
        Some(arguments)
    }

    fn word(&mut self) -> Option<String> {
        self.rest = self.rest.trim_start();
        let is_part = |letter: char| letter.is_alphanumeric() || letter == '_';
        let end = self.rest.find(|letter| !is_part(letter));
        let (word, rest) = self.rest.split_at(end.unwrap_or(self.rest.len()));
        self.rest = rest;
        (!word.is_empty()).then(|| word.to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn written(text: &str) -> String {
        Type::parse(text).expect(text).as_written()
    }

    #[test]
    fn layers_are_written_as_in_the_cell() {
        for (built, expected) in [
            (
                "dldna::nn::modules::Conv2D<16, 10, 3, 1, 0, 1, f32, dldna::prelude::Cpu>",
                "Conv2D<16, 10, 3>",
            ),
            (
                "Conv2D<8, 16, 3, 1, 1, 1, f32, Cpu>",
                "Conv2D<8, 16, 3, 1, 1>",
            ),
            ("Conv2D<8, 16, 3, 2, 0, 1, f32, Cpu>", "Conv2D<8, 16, 3, 2>"),
            ("modules::Linear<392, 10, f64, Cuda>", "Linear<392, 10>"),
            ("dldna::nn::Flatten<784>", "Flatten<784>"),
            ("ReLU", "ReLU"),
            ("MaxPool2D<2, 2, 0>", "MaxPool2D<2, 2>"),
            (
                "BasicBlock<16, 32, 2, true, f32, Cpu>",
                "BasicBlock<16, 32, 2>",
            ),
            (
                "Residual<(ReLU, DepthwiseConv2D<8, 3, 1, 1, f32, Cpu>)>",
                "Residual<(ReLU, DepthwiseConv2D<8, 3, 1, 1>)>",
            ),
            ("(ReLU,)", "(ReLU)"),
            ("&mut Linear<8, 10, f32, Cpu>", "&Linear<8, 10>"),
        ] {
            assert_eq!(written(built), expected);
        }
    }

    #[test]
    fn long_layers_are_shortened() {
        let layer = Type::parse("Residual<(Conv2D<8, 8, 3, 1, 1>, ReLU, Conv2D<8, 16, 3, 1, 1>)>");
        assert_eq!(layer.unwrap().short(), "Residual<...>");
    }

    #[test]
    fn other_things_than_types_are_no_types() {
        for text in ["", "(Conv2D<1, ", "a b", "<A as B>::C", "Vec<i32> x"] {
            assert_eq!(Type::parse(text), None, "{text}");
        }
    }
}
