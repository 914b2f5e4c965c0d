//! New names for restored scopes (Eventsrc S29).

use crate::cli::failure::Failure;
use crate::cli::input;
use atomic_store_core::{ScopeName, ScopePattern};
use std::path::Path;
use std::str::FromStr;

/// `OLD=NEW`, or `OLD*=NEW*` for all names that begin so.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Rename {
    old: ScopePattern,
    new: String,
}

impl FromStr for Rename {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (old, new) = text.split_once('=').ok_or("expected OLD=NEW or OLD*=NEW*")?;
        if old.ends_with('*') != new.ends_with('*') {
            return Err("a * stands on both sides, or on none".to_owned());
        }
        let old = ScopePattern::new(old).map_err(|why| format!("{old:?}: {why}"))?;
        ScopePattern::new(new).map_err(|why| format!("{new:?}: {why}"))?;
        Ok(Rename { old, new: new.trim_end_matches('*').to_owned() })
    }
}

/// All of them.
#[derive(Debug)]
pub(super) struct Renames(Vec<Rename>);

impl Renames {
    /// Those of the command line and those of a file, one a line.
    pub(super) fn new(mut given: Vec<Rename>, file: Option<&Path>) -> Result<Self, Failure> {
        if let Some(path) = file {
            let bytes = input::file(path)?;
            let text = String::from_utf8(bytes);
            let text = text.map_err(|why| Failure::usage(format!("{}: {why}", path.display())))?;
            for (number, line) in
                (1..).zip(text.lines()).filter(|(_, line)| !line.trim().is_empty())
            {
                let rename = line.trim().parse();
                given.push(rename.map_err(|why: String| {
                    Failure::usage(format!("{}, line {number}: {why}", path.display()))
                })?);
            }
        }
        Ok(Renames(given))
    }

    /// The name that a scope gets: by the most specific of the patterns that cover it.
    pub(super) fn of(&self, scope: &ScopeName) -> Result<ScopeName, Failure> {
        let covering = self.0.iter().filter(|rename| rename.old.matches(scope));
        let Some(rename) = covering.max_by_key(|rename| rename.old.specificity()) else {
            return Ok(scope.clone());
        };
        let rest = match rename.old.as_str().strip_suffix('*') {
            Some(stem) => scope.as_str().strip_prefix(stem).unwrap_or_default(),
            None => "",
        };
        let new = format!("{}{rest}", rename.new);
        ScopeName::new(&new).map_err(|why| Failure::usage(format!("{scope} as {new:?}: {why}")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_most_specific_name_wins_and_prefixes_keep_the_rest() {
        let rename = |text: &str| text.parse::<Rename>().unwrap();
        let renames = Renames(vec![
            rename("*=all/*"),
            rename("auction/*=archive/auction/*"),
            rename("auction/7=seven"),
        ]);
        let of = |name: &str| renames.of(&ScopeName::new(name).unwrap()).unwrap().to_string();
        assert_eq!(of("auction/7"), "seven");
        assert_eq!(of("auction/70"), "archive/auction/70");
        assert_eq!(of("door"), "all/door");
        assert_eq!(Renames(Vec::new()).of(&ScopeName::new("x").unwrap()).unwrap().as_str(), "x");
        for wrong in ["a", "a*=b", "a=b*", "=b", "a=", "a b=c", "a*b*=c*"] {
            assert!(wrong.parse::<Rename>().is_err(), "{wrong}");
        }
    }
}
