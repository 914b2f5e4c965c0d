//! Whose components are let in: options of a server, and the same from the environment for commands that
//! open a store themselves.

use super::failure::Failure;
use atomic_store::signing::{PublicKey, Trust};
use clap::Args;

const KEYS: &str = "ATOMIC_STORE_TRUSTED_KEYS";
const REQUIRED: &str = "ATOMIC_STORE_REQUIRE_SIGNATURES";

/// The options.
#[derive(Clone, Debug, Args)]
pub(crate) struct TrustArgs {
    /// A key whose signatures of components count; may be repeated
    #[arg(long = "trusted-key", value_name = "ed25519:HEX", env = KEYS, value_delimiter = ',')]
    keys: Vec<PublicKey>,
    /// Refuse components that no trusted key signed
    #[arg(long = "require-signatures", env = REQUIRED)]
    required: bool,
}

impl TrustArgs {
    /// What they mean.
    pub(crate) fn trust(&self) -> Trust {
        Trust { keys: self.keys.clone(), required: self.required }
    }
}

/// The same from the environment alone.
pub(crate) fn of_environment() -> Result<Trust, Failure> {
    read(|name| std::env::var(name).ok().filter(|value| !value.is_empty()))
}

fn read(env: impl Fn(&str) -> Option<String>) -> Result<Trust, Failure> {
    let keys = env(KEYS).unwrap_or_default();
    let keys = keys.split(',').filter(|key| !key.is_empty()).map(str::parse);
    let keys: Result<Vec<PublicKey>, _> = keys.collect();
    let keys = keys.map_err(|error| Failure::usage(format!("{KEYS}: {error}")))?;
    let required = match env(REQUIRED).as_deref() {
        None | Some("false") => false,
        Some("true") => true,
        Some(other) => {
            return Err(Failure::usage(format!("{REQUIRED} is {other:?}; give true or false")));
        }
    };
    Ok(Trust { keys, required })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_environment_means_what_the_options_mean() {
        let key = "ed25519:3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c";
        let both = |name: &str| match name {
            KEYS => Some(format!("{key},{key}")),
            _ => Some("true".to_owned()),
        };
        let trust = read(both).unwrap();
        assert_eq!((trust.keys.len(), trust.required), (2, true));
        assert_eq!(read(|_| None).unwrap(), Trust::default());
        let wrong = read(|_| Some("perhaps".to_owned())).unwrap_err();
        assert!(wrong.message.contains(KEYS), "{}", wrong.message);
    }
}
