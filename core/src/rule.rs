//! What is known about validators and about which scopes they judge.

use crate::{Digest, NameError, ScopePattern, Seq};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::fmt;
use std::str::FromStr;

/// Name of a validator: 1 to 64 bytes of lower-case letters, digits and `-`, as in `auction`.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ValidatorName(String);

impl ValidatorName {
    /// Checks a text and makes it a name.
    ///
    /// # Errors
    /// [`NameError`] says which rule the text breaks.
    pub fn new(text: &str) -> Result<Self, NameError> {
        if text.is_empty() {
            return Err(NameError::Empty);
        }
        if text.len() > 64 {
            return Err(NameError::TooLong(text.len()));
        }
        match text.chars().find(|c| !(c.is_ascii_lowercase() || c.is_ascii_digit() || *c == '-')) {
            Some(c) => Err(NameError::Character(c)),
            None => Ok(ValidatorName(text.to_owned())),
        }
    }

    /// The name as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// How a person names a validator: `auction` (the newest version), `auction@1` (the newest 1.x.y),
/// `auction@1.2.0`, or at least 12 digits of its digest.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum ValidatorRef {
    /// By name, and a version or the beginning of one.
    Named {
        /// The name.
        name: ValidatorName,
        /// `1`, `1.2` or `1.2.0`; nothing means the newest.
        version: Option<String>,
    },
    /// By the first digits of the digest.
    Digest(String),
}

impl FromStr for ValidatorRef {
    type Err = NameError;

    fn from_str(text: &str) -> Result<Self, NameError> {
        if text.len() >= 12 && text.len() <= 64 && text.bytes().all(|b| b.is_ascii_hexdigit()) {
            return Ok(ValidatorRef::Digest(text.to_ascii_lowercase()));
        }
        let (name, version) = match text.split_once('@') {
            Some((name, version)) => (name, Some(version.to_owned())),
            None => (text, None),
        };
        Ok(ValidatorRef::Named { name: ValidatorName::new(name)?, version })
    }
}

impl fmt::Display for ValidatorRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ValidatorRef::Named { name, version: Some(version) } => write!(f, "{name}@{version}"),
            ValidatorRef::Named { name, version: None } => name.fmt(f),
            ValidatorRef::Digest(digits) => f.write_str(digits),
        }
    }
}

/// What a component says about itself.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Description {
    /// Its name.
    pub name: ValidatorName,
    /// Its semantic version, `1.2.3`.
    pub version: String,
    /// The kinds of event it knows, each with a JSON schema of the payload where it has one.
    pub kinds: Vec<(String, Option<String>)>,
}

/// A loaded validator.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RuleInfo {
    /// Its identity.
    pub digest: Digest,
    /// What it says about itself.
    pub description: Description,
    /// Bytes of the component; 0 for a built-in.
    pub bytes: u64,
    /// True if it comes with the store.
    pub built_in: bool,
}

/// Which validator judges which scopes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Binding {
    /// The scopes.
    pub pattern: ScopePattern,
    /// The validator.
    pub validator: Digest,
    /// What its `init` gets.
    #[serde(with = "serde_bytes")]
    pub config: Option<Vec<u8>>,
    /// The event of `$system` that made this binding.
    pub seq: Seq,
}

impl fmt::Display for ValidatorName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

impl fmt::Debug for ValidatorName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, f)
    }
}

impl FromStr for ValidatorName {
    type Err = NameError;

    fn from_str(text: &str) -> Result<Self, NameError> {
        ValidatorName::new(text)
    }
}

impl Serialize for ValidatorName {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for ValidatorName {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        ValidatorName::new(&String::deserialize(deserializer)?).map_err(serde::de::Error::custom)
    }
}
