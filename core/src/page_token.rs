//! Where to go on with a read, as a text that says nothing to people: the place, and a hash of what
//! was asked, so that nobody goes on with another question by mistake.

use crate::codec::{self, CodecError};
use crate::protocol::Replay;
use crate::{Digest, Filter, ScopeName};
use serde::{Deserialize, Serialize};
use std::fmt;
use std::str::FromStr;

const VERSION: u8 = 1;
/// Bytes of the hash. Tokens protect from mistakes, not from people: whoever can send one can read
/// everything anyway.
const HASH_BYTES: usize = 16;
/// No token is longer, in bytes.
const BYTES_MAX: usize = 64;

/// The place of the next page of a read.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct PageToken(Sealed);

/// Bounds of what is left of a read: numbers of a scope, or positions in the order over all scopes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct PagePlace {
    /// Only events after this one.
    pub after: u64,
    /// Only events up to this one, included.
    pub through: u64,
    /// Within a replay, only what comes after this event; else 0.
    pub past: u64,
}

impl PagePlace {
    /// The last event that is done with; on the way backwards, the first one.
    #[must_use]
    pub fn mark(&self, backwards: bool) -> u64 {
        if backwards { self.through.saturating_add(1) } else { self.after.max(self.past) }
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
struct Sealed {
    place: PagePlace,
    question: [u8; HASH_BYTES],
}

/// Why a page token is not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PageTokenError {
    /// No token at all.
    #[error("not a page token; give the one that the page before came with, whole")]
    Malformed,
    /// Another scope, direction, filter or replay than that of the page before.
    #[error(
        "the page token belongs to another question; ask for the same scope, direction, filter and \
         replay as for the page before, or start anew without a token"
    )]
    Other,
}

impl PageToken {
    /// The token for a place in the answer to this question; no scope stands for all of them.
    #[must_use]
    pub fn new(
        place: PagePlace,
        scope: Option<&ScopeName>,
        backwards: bool,
        filter: &Filter,
        replay: Replay,
    ) -> Self {
        PageToken(Sealed { place, question: question(scope, backwards, filter, replay) })
    }

    /// The place, if it belongs to this question.
    ///
    /// # Errors
    /// [`PageTokenError::Other`].
    pub fn place(
        &self,
        scope: Option<&ScopeName>,
        backwards: bool,
        filter: &Filter,
        replay: Replay,
    ) -> Result<PagePlace, PageTokenError> {
        if self.0.question != question(scope, backwards, filter, replay) {
            return Err(PageTokenError::Other);
        }
        Ok(self.0.place)
    }
}

fn question(
    scope: Option<&ScopeName>,
    backwards: bool,
    filter: &Filter,
    replay: Replay,
) -> [u8; HASH_BYTES] {
    let asked = (scope, backwards, filter, replay);
    let bytes = codec::encode(&asked).expect("texts and numbers can always be encoded");
    let mut hash = [0; HASH_BYTES];
    hash.copy_from_slice(&Digest::of(&bytes).0[..HASH_BYTES]);
    hash
}

impl fmt::Display for PageToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let bytes =
            codec::encode_versioned(VERSION, &self.0).map_err(|_: CodecError| fmt::Error)?;
        bytes.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl FromStr for PageToken {
    type Err = PageTokenError;

    fn from_str(text: &str) -> Result<Self, PageTokenError> {
        let digits = text.as_bytes();
        if digits.len() > 2 * BYTES_MAX || !digits.len().is_multiple_of(2) {
            return Err(PageTokenError::Malformed);
        }
        let digit = |c: u8| match c {
            b'0'..=b'9' => Ok(c - b'0'),
            b'a'..=b'f' => Ok(c - b'a' + 10),
            _ => Err(PageTokenError::Malformed),
        };
        let bytes: Result<Vec<u8>, _> =
            digits.chunks_exact(2).map(|pair| Ok(digit(pair[0])? << 4 | digit(pair[1])?)).collect();
        codec::decode_versioned(VERSION, &bytes?)
            .map(PageToken)
            .map_err(|_| PageTokenError::Malformed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Key;

    #[test]
    fn a_token_comes_back_and_belongs_to_its_question_only() {
        let scope = ScopeName::new("a").unwrap();
        let other = ScopeName::new("b").unwrap();
        let filter = Filter { keys: vec![Key::new("book", "Emma")], ..Filter::default() };
        let place = PagePlace { after: 7, through: u64::MAX, past: 3 };
        let token = PageToken::new(place, Some(&scope), false, &filter, Replay::Off);
        let text = token.to_string();
        let back: PageToken = text.parse().unwrap();
        assert_eq!(back.place(Some(&scope), false, &filter, Replay::Off), Ok(place));
        let no = Err(PageTokenError::Other);
        assert_eq!(back.place(Some(&other), false, &filter, Replay::Off), no);
        assert_eq!(back.place(None, false, &filter, Replay::Off), no);
        assert_eq!(back.place(Some(&scope), true, &filter, Replay::Off), no);
        assert_eq!(back.place(Some(&scope), false, &Filter::default(), Replay::Off), no);
        assert_eq!(back.place(Some(&scope), false, &filter, Replay::Touched), no);
    }

    #[test]
    fn what_is_no_token_is_refused() {
        let token =
            PageToken::new(PagePlace::default(), None, false, &Filter::default(), Replay::Off);
        let text = token.to_string();
        let long = "00".repeat(65);
        for wrong in ["", "0", "zz", "\u{e9}\u{e9}", &text[2..], &text[..text.len() - 2], &long] {
            assert_eq!(wrong.parse::<PageToken>(), Err(PageTokenError::Malformed), "{wrong:?}");
        }
        assert_eq!(format!("{text}00").parse::<PageToken>(), Err(PageTokenError::Malformed));
    }
}
