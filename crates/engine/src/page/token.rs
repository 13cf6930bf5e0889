//! What stands between a page and everybody who was not told of it: 100 bits of chance in a path.

use crate::entropy;
use std::fmt;
use std::io;

/// Digits of a token, of five bits each: too many to guess, few enough for a small QR code.
const DIGITS: usize = 20;

/// Digits that are not taken for one another when they are read aloud or typed (Crockford's base 32).
const ALPHABET: &[u8; 32] = b"0123456789abcdefghjkmnpqrstvwxyz";

/// The secret part of a page's address.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct Token([u8; DIGITS]);

impl Token {
    /// A new one.
    pub(super) fn draw() -> io::Result<Token> {
        let chance: [u8; DIGITS] = entropy::bytes()?;
        Ok(Token(chance.map(|byte| ALPHABET[usize::from(byte % 32)])))
    }

    /// What follows the token in this path, if it is there. Takes as long for a wrong one, wherever it is wrong.
    pub(super) fn follow<'a>(&self, path: &'a str) -> Option<&'a str> {
        let (token, rest) = path.strip_prefix('/')?.split_at_checked(DIGITS)?;
        let differs = token.bytes().zip(self.0).fold(0, |differs, (theirs, ours)| differs | (theirs ^ ours));
        (differs == 0).then_some(rest)
    }
}

impl fmt::Display for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|&digit| write!(f, "{}", char::from(digit)))
    }
}

/// Is a secret: shows nothing of itself.
impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Token(..)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_whole_token_opens_the_way() {
        let token = Token::draw().unwrap();
        let good = format!("/{token}/3/a");
        assert_eq!(token.follow(&good), Some("/3/a"));
        assert_eq!(token.follow(&format!("/{token}")), Some(""));
        for bad in [
            "",
            "/",
            "//3/a",
            &good[..DIGITS],
            &good.to_uppercase().replace(char::is_numeric, "x"),
            &good[1..],
        ] {
            assert_eq!(token.follow(bad), None, "{bad}");
        }
        for at in 1..=DIGITS {
            let mut other = good.clone().into_bytes();
            other[at] ^= 1;
            assert_eq!(token.follow(str::from_utf8(&other).unwrap()), None, "{at}");
        }
        assert_ne!(Token::draw().unwrap(), token);
    }
}
