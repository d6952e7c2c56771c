//! What a token of Rust is: shared by all that read cells without understanding them.
use proc_macro2::{Delimiter, TokenTree};

/// Whether it is this word.
pub fn is_word<'a>(token: impl Into<Option<&'a TokenTree>>, word: &str) -> bool {
    matches!(token.into(), Some(TokenTree::Ident(ident)) if ident == word)
}

/// Whether it is one of these signs.
pub fn is_sign<'a>(token: impl Into<Option<&'a TokenTree>>, signs: &str) -> bool {
    matches!(token.into(), Some(TokenTree::Punct(sign)) if signs.contains(sign.as_char()))
}

/// Whether it is something in braces.
pub fn is_braces(token: &TokenTree) -> bool {
    matches!(token, TokenTree::Group(group) if group.delimiter() == Delimiter::Brace)
}

/// Whether it ends a value: a sign behind it is an operator, and brackets are an index or arguments.
pub fn is_value(token: &TokenTree) -> bool {
    const BEFORE_A_VALUE: [&str; 6] = ["else", "if", "in", "match", "move", "return"];
    !matches!(token, TokenTree::Punct(_)) && !BEFORE_A_VALUE.iter().any(|it| is_word(token, it))
}

/// The first of these tokens, up to one at which it `ends`.
pub fn until(tokens: &[TokenTree], ends: impl Fn(&TokenTree) -> bool) -> &[TokenTree] {
    let end = tokens.iter().position(ends).unwrap_or(tokens.len());
    &tokens[..end]
}

#[cfg(test)]
mod tests {
    use super::*;
    use proc_macro2::TokenStream;

    #[test]
    fn tokens_are_told_apart() {
        let tokens: Vec<TokenTree> = "for x in a.b {}"
            .parse::<TokenStream>()
            .unwrap()
            .into_iter()
            .collect();
        let [word, _, _, _, sign, _, braces] = &tokens[..] else {
            panic!("{tokens:?}");
        };
        assert!(
            is_word(word, "for")
                && !is_word(word, "x")
                && !is_word(sign, ".")
                && !is_word(None, "for")
        );
        assert!(is_sign(sign, ".,") && !is_sign(sign, ",") && !is_sign(Some(word), "for"));
        assert!(is_braces(braces) && !is_braces(word));
        assert!(is_value(word) && is_value(braces) && !is_value(sign) && !is_value(&tokens[2]));
        assert_eq!(until(&tokens, |token| is_sign(token, ".")).len(), 4);
        assert_eq!(until(&tokens, |_| false).len(), tokens.len());
    }
}
