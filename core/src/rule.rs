//! What is known about validators and about which scopes they judge.

use crate::{Digest, NameError, ScopePattern, Seq};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::fmt;
use std::str::FromStr;

/// Longest name and longest version of a validator, in bytes.
pub(crate) const TEXT_BYTES_MAX: usize = 64;

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
        if text.len() > TEXT_BYTES_MAX {
            return Err(NameError::TooLong { found: text.len(), max: TEXT_BYTES_MAX });
        }
        match text.chars().find(|c| !(c.is_ascii_lowercase() || c.is_ascii_digit() || *c == '-')) {
            Some(c) => Err(NameError::ValidatorCharacter(c)),
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
/// `auction@1.2.0`, or at least 12 digits of its digest. If two components call themselves the same, only
/// the digest names one. Checked as it is parsed and as it is
/// decoded: a run of digits that is too short would mean validators that nobody named.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "Unchecked")]
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

/// A reference as it comes over the wire.
#[derive(Deserialize)]
enum Unchecked {
    Named { name: ValidatorName, version: Option<String> },
    Digest(String),
}

impl TryFrom<Unchecked> for ValidatorRef {
    type Error = NameError;

    fn try_from(unchecked: Unchecked) -> Result<Self, NameError> {
        match unchecked {
            Unchecked::Named { name, version } => {
                version.as_deref().map_or(Ok(()), check_version)?;
                Ok(ValidatorRef::Named { name, version })
            }
            Unchecked::Digest(digits) => {
                let lower =
                    digits.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b));
                if !lower || !(12..=64).contains(&digits.len()) {
                    return Err(NameError::Digest);
                }
                Ok(ValidatorRef::Digest(digits))
            }
        }
    }
}

/// Checks the characters only: whether it is a version is known when it is looked for.
fn check_version(text: &str) -> Result<(), NameError> {
    let allowed = |b: u8| b.is_ascii_alphanumeric() || b".-+".contains(&b);
    if text.is_empty() || text.len() > TEXT_BYTES_MAX || !text.bytes().all(allowed) {
        return Err(NameError::Version);
    }
    Ok(())
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
        let name = ValidatorName::new(name)?;
        ValidatorRef::try_from(Unchecked::Named { name, version })
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
