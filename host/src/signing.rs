//! Detached ed25519 signatures of components (RFC 8032, over the bytes of the file as it is), so that a
//! store can insist on components of people it trusts.

use atomic_store_core::counted;
use ed25519_dalek::{Signature, Signer as _, SigningKey, VerifyingKey};
use std::fmt;
use std::fs::File;
use std::io::{self, Read as _};
use std::str::FromStr;

/// What the text of a public key begins with.
const ALGORITHM: &str = "ed25519:";

/// A text or file that is no key or signature.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum KeyError {
    /// A public key.
    #[error("a public key is ed25519: and 64 hexadecimal digits, as `validator keygen` prints it")]
    Public,
    /// A secret key.
    #[error("a secret key is 64 hexadecimal digits on one line, as `validator keygen` writes it")]
    Secret,
    /// A signature.
    #[error("a signature is 64 bytes, or 128 hexadecimal digits, as `validator sign` writes it")]
    Signature,
}

/// A public key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PublicKey(VerifyingKey);

impl FromStr for PublicKey {
    type Err = KeyError;

    fn from_str(text: &str) -> Result<Self, KeyError> {
        let digits = text.trim().strip_prefix(ALGORITHM).ok_or(KeyError::Public)?;
        let bytes = from_hex::<32>(digits).ok_or(KeyError::Public)?;
        VerifyingKey::from_bytes(&bytes).map(PublicKey).map_err(|_| KeyError::Public)
    }
}

impl fmt::Display for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(ALGORITHM)?;
        f.write_str(&to_hex(self.0.as_bytes()))
    }
}

/// A secret key. Its text is never shown by accident: there is no `Display` and no `Debug`.
pub struct SecretKey(SigningKey);

impl SecretKey {
    /// A new one, from the machine's random numbers.
    ///
    /// # Errors
    /// The machine gives none.
    pub fn generate() -> io::Result<Self> {
        let mut seed = [0; 32];
        File::open("/dev/urandom")?.read_exact(&mut seed)?;
        Ok(SecretKey(SigningKey::from_bytes(&seed)))
    }

    /// Reads one that was written as text.
    ///
    /// # Errors
    /// [`KeyError::Secret`].
    pub fn from_text(text: &str) -> Result<Self, KeyError> {
        let seed = from_hex::<32>(text.trim()).ok_or(KeyError::Secret)?;
        Ok(SecretKey(SigningKey::from_bytes(&seed)))
    }

    /// As text, to be kept in a file that nobody else can read.
    #[must_use]
    pub fn to_text(&self) -> String {
        to_hex(&self.0.to_bytes())
    }

    /// The key to hand out.
    #[must_use]
    pub fn public(&self) -> PublicKey {
        PublicKey(self.0.verifying_key())
    }

    /// Signs a component.
    #[must_use]
    pub fn sign(&self, component: &[u8]) -> [u8; 64] {
        self.0.sign(component).to_bytes()
    }
}

/// Reads a signature: 64 bytes as they are, or as hexadecimal digits.
///
/// # Errors
/// [`KeyError::Signature`].
pub fn signature(content: &[u8]) -> Result<[u8; 64], KeyError> {
    if let Ok(bytes) = content.try_into() {
        return Ok(bytes);
    }
    let text = std::str::from_utf8(content).map_err(|_| KeyError::Signature)?;
    from_hex(text.trim()).ok_or(KeyError::Signature)
}

/// Whose components are let in.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Trust {
    /// Keys whose signatures count.
    pub keys: Vec<PublicKey>,
    /// Refuse components that are not signed by one of them.
    pub required: bool,
}

impl Trust {
    /// Tells which key signed a component; nothing if it need not be signed and is not.
    ///
    /// # Errors
    /// Why it is not let in, for whoever loads it.
    pub fn check(
        &self,
        component: &[u8],
        signature: Option<&[u8]>,
    ) -> Result<Option<&PublicKey>, String> {
        let Some(signature) = signature else {
            return match self.required {
                false => Ok(None),
                true => Err("this store takes signed components only; give the signature of one \
                             of its trusted keys with --signature"
                    .to_owned()),
            };
        };
        let signature =
            Signature::from_slice(signature).map_err(|_| KeyError::Signature.to_string())?;
        // Strict: one signature of one text by one key, whoever verifies it.
        let signed = |key: &&PublicKey| key.0.verify_strict(component, &signature).is_ok();
        match self.keys.iter().find(signed) {
            Some(key) => Ok(Some(key)),
            None if self.keys.is_empty() => {
                Err("it comes with a signature, and this store trusts no key; name one with \
                     --trusted-key when the store is started"
                    .to_owned())
            }
            None => Err(format!(
                "its signature is of none of {}, or of another file",
                counted(self.keys.len() as u64, "trusted key")
            )),
        }
    }
}

fn to_hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn from_hex<const N: usize>(digits: &str) -> Option<[u8; N]> {
    if digits.len() != 2 * N || !digits.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return None;
    }
    let mut bytes = [0; N];
    for (n, byte) in bytes.iter_mut().enumerate() {
        *byte = u8::from_str_radix(&digits[2 * n..2 * n + 2], 16).ok()?;
    }
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// RFC 8032, section 7.1, test 2: whoever else signs, signs the same.
    const SECRET: &str = "4ccd089b28ff96da9db6c346ec114e0f5b8a319f35aba624da8cf6ed4fb8a6fb";
    const PUBLIC: &str = "ed25519:3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c";
    const SIGNED: &str = "92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da\
                          085ac1e43e15996e458f3613d0f11d8c387b2eaeb4302aeeb00d291612bb0c00";

    #[test]
    fn signatures_are_those_of_the_standard() {
        let secret = SecretKey::from_text(SECRET).unwrap();
        assert_eq!(secret.public().to_string(), PUBLIC);
        assert_eq!(to_hex(&secret.sign(&[0x72])), SIGNED);
        let keys = vec![PUBLIC.parse().unwrap()];
        let trust = Trust { keys, required: true };
        let signature = signature(SIGNED.as_bytes()).unwrap();
        assert_eq!(trust.check(&[0x72], Some(&signature)).unwrap().unwrap().to_string(), PUBLIC);
        assert!(
            trust.check(&[0x73], Some(&signature)).unwrap_err().contains("none of 1 trusted key,")
        );
        assert!(trust.check(&[0x72], None).unwrap_err().contains("signed components only"));
        let open = Trust::default();
        assert_eq!(open.check(&[0x72], None), Ok(None));
        assert!(open.check(&[0x72], Some(&signature)).unwrap_err().contains("trusts no key"));
    }

    #[test]
    fn what_is_no_key_and_no_signature_is_told() {
        for text in ["", "ed25519:", "ed25519:12", &PUBLIC[8..], &format!("{PUBLIC}0")] {
            assert_eq!(text.parse::<PublicKey>(), Err(KeyError::Public), "{text}");
        }
        assert!(SecretKey::from_text(&SECRET[1..]).is_err());
        assert_eq!(signature(&[1; 63]), Err(KeyError::Signature));
        assert_eq!(
            signature(format!("{SIGNED}\n").as_bytes()).map(|s| to_hex(&s)),
            Ok(SIGNED.into())
        );
        let new = SecretKey::generate().unwrap();
        let again = SecretKey::from_text(&new.to_text()).unwrap();
        assert_eq!(again.public(), new.public());
        assert_ne!(SecretKey::generate().unwrap().public(), new.public());
    }
}
