//! Payloads in and out: JSON, postcard or plain bytes.
//!
//! Invariant: payloads are untrusted. Decoding never panics, takes the whole payload or nothing,
//! and its error is a rejection by `?`.

use crate::{Event, KindInfo, NewEvent, Proposal, Rejection, reject};
use serde::{Deserialize, Serialize};
use std::fmt;

/// A payload that is not what the rules expect. By `?` it becomes a rejection with the code
/// `malformed`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Malformed {
    kind: String,
    why: String,
}

/// A value that has no JSON or postcard form, such as a map whose keys are not strings.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EncodeError {
    why: String,
}

/// A value as JSON, for answers to queries, `meta` and `data`.
///
/// ```
/// # use atomic_store_guest::to_json;
/// fn query(moves: &u32) -> Result<Vec<u8>, String> {
///     Ok(to_json(moves)?)
/// }
/// assert_eq!(query(&3).unwrap(), b"3");
/// ```
///
/// # Errors
/// [`EncodeError`] if JSON cannot express it.
pub fn to_json<T: Serialize + ?Sized>(value: &T) -> Result<Vec<u8>, EncodeError> {
    serde_json::to_vec(value).map_err(|error| EncodeError { why: error.to_string() })
}

macro_rules! decoding {
    ($($type:ty),*) => {$(
        impl $type {
            /// The payload as JSON. Types may borrow from it.
            ///
            /// # Errors
            /// [`Malformed`] if it is anything else, or has anything after it.
            pub fn json<'a, T: Deserialize<'a>>(&'a self) -> Result<T, Malformed> {
                serde_json::from_slice(&self.payload)
                    .map_err(|error| Malformed::new(&self.kind, error))
            }

            /// The payload as postcard. Types may borrow from it.
            ///
            /// # Errors
            /// [`Malformed`] if it is anything else, or has anything after it.
            pub fn postcard<'a, T: Deserialize<'a>>(&'a self) -> Result<T, Malformed> {
                match postcard::take_from_bytes(&self.payload) {
                    Ok((value, [])) => Ok(value),
                    Ok((_, rest)) => {
                        Err(Malformed::new(&self.kind, format!("{} bytes too many", rest.len())))
                    }
                    Err(error) => Err(Malformed::new(&self.kind, error)),
                }
            }

            /// The payload as it is.
            #[must_use]
            pub fn bytes(&self) -> &[u8] {
                &self.payload
            }

            /// The value of the first metadata pair of that name.
            #[must_use]
            pub fn metadata(&self, name: &str) -> Option<&str> {
                self.metadata.iter().find(|pair| pair.name == name).map(|pair| pair.value.as_str())
            }
        }
    )*};
}

decoding!(Event, Proposal);

impl Proposal {
    /// A rejection with the code `unknown-kind`, for the last arm of a `match` on the kind.
    #[must_use]
    pub fn unknown_kind(&self) -> Rejection {
        reject("unknown-kind", format!("these rules know no event of kind \"{}\"", self.kind))
    }
}

impl NewEvent {
    /// An event with a JSON payload.
    ///
    /// # Errors
    /// [`EncodeError`] if JSON cannot express the value.
    pub fn json<T: Serialize + ?Sized>(
        kind: impl Into<String>,
        value: &T,
    ) -> Result<NewEvent, EncodeError> {
        Ok(NewEvent::bytes(kind, "application/json", to_json(value)?))
    }

    /// An event with a postcard payload, media type `application/vnd.postcard`.
    ///
    /// # Errors
    /// [`EncodeError`] if postcard cannot express the value.
    pub fn postcard<T: Serialize + ?Sized>(
        kind: impl Into<String>,
        value: &T,
    ) -> Result<NewEvent, EncodeError> {
        let payload =
            postcard::to_stdvec(value).map_err(|error| EncodeError { why: error.to_string() })?;
        Ok(NewEvent::bytes(kind, "application/vnd.postcard", payload))
    }

    /// An event with any payload.
    pub fn bytes(
        kind: impl Into<String>,
        content_type: impl Into<String>,
        payload: impl Into<Vec<u8>>,
    ) -> NewEvent {
        NewEvent {
            kind: kind.into(),
            content_type: content_type.into(),
            payload: payload.into(),
            keys: Vec::new(),
            metadata: Vec::new(),
        }
    }
}

impl KindInfo {
    /// A kind without a schema.
    pub fn new(name: impl Into<String>) -> KindInfo {
        KindInfo { name: name.into(), schema: None }
    }

    /// Adds the JSON schema of its payload.
    #[must_use]
    pub fn schema(mut self, schema: impl Into<String>) -> KindInfo {
        self.schema = Some(schema.into());
        self
    }
}

impl Malformed {
    fn new(kind: &str, why: impl fmt::Display) -> Malformed {
        Malformed { kind: kind.to_owned(), why: why.to_string() }
    }
}

impl fmt::Display for Malformed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the payload of {:?} is malformed: {}", self.kind, self.why)
    }
}

impl fmt::Display for EncodeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "cannot be encoded: {}", self.why)
    }
}

impl std::error::Error for Malformed {}
impl std::error::Error for EncodeError {}

impl From<Malformed> for Rejection {
    fn from(error: Malformed) -> Rejection {
        reject("malformed", error.to_string())
    }
}

impl From<EncodeError> for Rejection {
    fn from(error: EncodeError) -> Rejection {
        reject("not-encodable", error.to_string())
    }
}

impl From<EncodeError> for String {
    fn from(error: EncodeError) -> String {
        error.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing;

    #[test]
    fn a_payload_decodes_whole_or_not_at_all() {
        let json = |bytes: &[u8]| testing::proposal("n", bytes).json::<u32>();
        assert_eq!(json(b" 7 "), Ok(7));
        for bad in [&b"7 8"[..], b"-7", b"", b"\xff", b"{"] {
            let no = Rejection::from(json(bad).expect_err("malformed"));
            assert_eq!(no.reasons()[0].code, "malformed", "{bad:?}");
        }

        let postcard = |bytes: &[u8]| testing::proposal("n", bytes).postcard::<(u8, u8)>();
        assert_eq!(postcard(&[1, 2]), Ok((1, 2)));
        assert!(postcard(&[1]).is_err());
        assert!(postcard(&[1, 2, 3]).is_err());
    }

    #[test]
    fn a_huge_payload_quoted_in_the_error_keeps_the_cap() {
        #[derive(Debug, Deserialize)]
        enum Only {
            One,
        }
        let payload = format!("{:?}", "x".repeat(1 << 20));
        let proposal = testing::proposal("n", payload.as_bytes());
        let no = Rejection::from(proposal.json::<Only>().expect_err("malformed"));
        assert!(no.reasons()[0].message.len() <= 1024, "{} bytes", no.reasons()[0].message.len());
        assert!(matches!(testing::proposal("n", b"\"One\"").json(), Ok(Only::One)));
    }

    #[test]
    fn events_can_be_made_in_each_form() {
        let json = NewEvent::json("n", &[1]).expect("it encodes");
        assert_eq!(
            (&json.payload[..], json.content_type.as_str()),
            (&b"[1]"[..], "application/json")
        );
        assert_eq!(NewEvent::postcard("n", &(1u8, 2u8)).expect("it encodes").payload, [1, 2]);
        let odd = std::collections::BTreeMap::from([((1, 2), 3)]);
        assert!(NewEvent::json("n", &odd).is_err());
    }
}
