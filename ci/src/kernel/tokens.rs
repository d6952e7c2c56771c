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
    }
}
