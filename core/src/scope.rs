//! Names of scopes, and patterns over them.
//!
//! Names come from outside, so they are checked on every way in: construction and decoding.
//! They never become a path.

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

/// The scope that records what the store itself did: loads, bindings, seals. Only the host
/// appends to it.
pub const SYSTEM_SCOPE: &str = "$system";

/// Longest name of a scope, in bytes.
const NAME_BYTES_MAX: usize = crate::Limits::SCOPE_NAME_BYTES_MAX;

/// Name of a scope: 1 to 200 bytes of ASCII letters, digits and `. _ : / @ + ~ -`.
///
/// A leading `$` is reserved for the store's own scopes; reading them is allowed, appending is
/// not.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ScopeName(Arc<str>);

/// Which scopes a validator judges: one name (`ledger`), or a prefix ending in one `*`
/// (`auction/*`). `*` alone matches every scope but the store's own.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ScopePattern(Arc<str>);

/// Why a text is not a name or a pattern.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum NameError {
    /// Nothing was given.
    #[error("a name must not be empty")]
    Empty,
    /// More bytes than this sort of name may have.
    #[error("at most {max} bytes are allowed here; these are {found}")]
    TooLong {
        /// How many it has.
        found: usize,
        /// How many it may have.
        max: usize,
    },
    /// A character outside the allowed set of scopes and patterns.
    #[error("{0:?} is not allowed in a name; use ASCII letters, digits and . _ : / @ + ~ -")]
    Character(char),
    /// A character outside the allowed set of validators' names.
    #[error("{0:?} is not allowed in a validator's name; use a to z, 0 to 9 and -")]
    ValidatorCharacter(char),
    /// Neither a version nor the beginning of one.
    #[error(
        "a version is written as in 1, 1.2 or 1.2.0, in at most {} bytes",
        crate::rule::TEXT_BYTES_MAX
    )]
    Version,
    /// Not the beginning of a digest.
    #[error("a digest is given by 12 to 64 lower-case hexadecimal digits")]
    Digest,
    /// A `*` anywhere but at the end of a pattern.
    #[error("a pattern has at most one *, and it stands at the end")]
    Star,
}

fn check(text: &str) -> Result<(), NameError> {
    if text.is_empty() {
        return Err(NameError::Empty);
    }
    if text.len() > NAME_BYTES_MAX {
        return Err(NameError::TooLong { found: text.len(), max: NAME_BYTES_MAX });
    }
    let rest = text.strip_prefix('$').unwrap_or(text);
    if rest.is_empty() {
        return Err(NameError::Empty);
    }
    match rest.chars().find(|c| !(c.is_ascii_alphanumeric() || "._:/@+~-".contains(*c))) {
        Some(c) => Err(NameError::Character(c)),
        None => Ok(()),
    }
}

impl ScopeName {
    /// Checks a text and makes it a name.
    ///
    /// # Errors
    /// [`NameError`] says which rule the text breaks.
    pub fn new(text: &str) -> Result<Self, NameError> {
        check(text)?;
        Ok(ScopeName(Arc::from(text)))
    }

    /// The store's own scope, `$system`.
    #[must_use]
    pub fn system() -> Self {
        ScopeName(Arc::from(SYSTEM_SCOPE))
    }

    /// True for names that only the store appends to.
    #[must_use]
    pub fn is_reserved(&self) -> bool {
        self.0.starts_with('$')
    }

    /// The name as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl ScopePattern {
    /// Checks a text and makes it a pattern.
    ///
    /// # Errors
    /// [`NameError`] says which rule the text breaks.
    pub fn new(text: &str) -> Result<Self, NameError> {
        let stem = text.strip_suffix('*').unwrap_or(text);
        if stem.contains('*') {
            return Err(NameError::Star);
        }
        if !(stem.is_empty() && text == "*") {
            check(stem)?;
        }
        Ok(ScopePattern(Arc::from(text)))
    }

    /// True if this pattern covers the name. Reserved names are covered by exact patterns only.
    #[must_use]
    pub fn matches(&self, name: &ScopeName) -> bool {
        match self.0.strip_suffix('*') {
            Some(stem) => !name.is_reserved() && name.as_str().starts_with(stem),
            None => &*self.0 == name.as_str(),
        }
    }

    /// Orders patterns that match one name: the greatest is the most specific. An exact name beats
    /// every prefix, a longer prefix beats a shorter one.
    #[must_use]
    pub fn specificity(&self) -> (bool, usize) {
        match self.0.strip_suffix('*') {
            Some(stem) => (false, stem.len()),
            None => (true, self.0.len()),
        }
    }

    /// The pattern as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

macro_rules! checked_text {
    ($name:ident) => {
        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.pad(&self.0)
            }
        }
        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Debug::fmt(&*self.0, f)
            }
        }
        impl FromStr for $name {
            type Err = NameError;
            fn from_str(text: &str) -> Result<Self, NameError> {
                $name::new(text)
            }
        }
        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.serialize_str(&self.0)
            }
        }
        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                struct Text;
                impl serde::de::Visitor<'_> for Text {
                    type Value = $name;
                    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                        f.write_str("a name")
                    }
                    fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<$name, E> {
                        $name::new(text).map_err(E::custom)
                    }
                }
                deserializer.deserialize_str(Text)
            }
        }
    };
}

checked_text!(ScopeName);
checked_text!(ScopePattern);
