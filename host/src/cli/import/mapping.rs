//! From a row to a scope and a proposal. Numbers stay as they were written.

use super::args::{Format, Import};
use super::source::{self, Row};
use crate::cli::failure::Failure;
use crate::cli::input;
use atomic_store::exchange;
use atomic_store_core::{AppendId, ContentType, Key, Proposal, ScopeName};
use serde_json::value::RawValue;
use std::str::FromStr;

/// Text with the values of columns in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Template(Vec<Part>);

#[derive(Clone, Debug, PartialEq, Eq)]
enum Part {
    Text(String),
    Column(String),
}

impl FromStr for Template {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (mut parts, mut rest) = (Vec::new(), text);
        while let Some((before, after)) = rest.split_once('{') {
            let (name, after) =
                after.split_once('}').ok_or_else(|| format!("{text:?}: a {{ without its }}"))?;
            if name.is_empty() {
                return Err(format!("{text:?}: {{}} names no column"));
            }
            if !before.is_empty() {
                parts.push(Part::Text(before.to_owned()));
            }
            parts.push(Part::Column(name.to_owned()));
            rest = after;
        }
        if !rest.is_empty() {
            parts.push(Part::Text(rest.to_owned()));
        }
        Ok(Template(parts))
    }
}

impl Template {
    fn columns(&self) -> impl Iterator<Item = &str> {
        self.0.iter().filter_map(|part| match part {
            Part::Column(name) => Some(name.as_str()),
            Part::Text(_) => None,
        })
    }

    fn fill(&self, row: &Row) -> Result<String, String> {
        let mut filled = String::new();
        for part in &self.0 {
            match part {
                Part::Text(text) => filled.push_str(text),
                Part::Column(name) => filled.push_str(&row.text(name)?),
            }
        }
        Ok(filled)
    }
}

/// A member of the payload.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Field {
    name: String,
    column: String,
    kind: Kind,
}

/// How a value becomes JSON.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    /// A number if it looks like one, else text.
    Auto,
    Text,
    Number,
    Json,
}

impl FromStr for Field {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (rest, kind) = match text.rsplit_once(':') {
            Some((rest, "text")) => (rest, Kind::Text),
            Some((rest, "number")) => (rest, Kind::Number),
            Some((rest, "json")) => (rest, Kind::Json),
            Some((_, other)) => {
                return Err(format!("{other:?} is no type; there are text, number and json"));
            }
            None => (text, Kind::Auto),
        };
        let (name, column) = rest.split_once('=').unwrap_or((rest, rest));
        if name.is_empty() || column.is_empty() {
            return Err("expected NAME, NAME=COLUMN or NAME=COLUMN:TYPE".to_owned());
        }
        Ok(Field { name: name.to_owned(), column: column.to_owned(), kind })
    }
}

/// A row on its way: where it goes, what it proposes.
pub(super) struct Item {
    pub(super) scope: ScopeName,
    pub(super) id: AppendId,
    pub(super) proposal: Proposal,
    pub(super) row: Row,
}

/// How rows are mapped; checked against the columns that there are.
pub(super) struct Plan {
    scope: Template,
    kind: Template,
    fields: Vec<Field>,
    keys: Vec<Template>,
    meta: Vec<Template>,
    order_by: Option<String>,
    /// Rows are CloudEvents, which say more of themselves than other rows do.
    cloud: bool,
}

impl Plan {
    /// Refuses names of columns that the file does not have. NDJSON rows show theirs only later.
    pub(super) fn new(args: &Import, columns: Option<&[String]>) -> Result<Self, Failure> {
        let cloud = source::format(args)? == Format::CloudEvents;
        let template = |given: &Option<Template>, option: &str, column: &str| match given {
            Some(template) => Ok(template.clone()),
            None if cloud => Ok(Template(vec![Part::Column(column.to_owned())])),
            None => Err(Failure::usage(format!("say which {option} a row has with --{option}"))),
        };
        let plan = Plan {
            scope: template(&args.scope, "scope", "subject")?,
            kind: template(&args.kind, "kind", "type")?,
            cloud,
            fields: args.field.clone(),
            keys: args.key.clone(),
            meta: args.meta.clone(),
            order_by: args.order_by.clone(),
        };
        if let Some(columns) = columns {
            let missing = plan.columns().find(|name| !columns.iter().any(|column| column == name));
            if let Some(name) = missing {
                return Err(Failure::usage(format!(
                    "there is no column {name:?}; the file has {}",
                    columns.join(", ")
                )));
            }
        }
        Ok(plan)
    }

    fn columns(&self) -> impl Iterator<Item = &str> {
        let templates = [&self.scope, &self.kind];
        let templates = templates.into_iter().chain(&self.keys).chain(&self.meta);
        let fields = self.fields.iter().map(|field| field.column.as_str());
        templates.flat_map(Template::columns).chain(fields).chain(self.order_by.as_deref())
    }

    /// The column whose numbers give the order of submission.
    pub(super) fn order_by(&self) -> Option<&str> {
        self.order_by.as_deref()
    }

    /// Maps a row.
    pub(super) fn map(&self, file: &blake3::Hash, row: Row) -> Result<Item, (Row, String)> {
        match self.proposal(&row) {
            Ok((scope, proposal)) => {
                let id = match self.cloud {
                    // Its id and its source, which name it for ever, are part of the proposal.
                    true => id(&blake3::hash(b"cloudevent"), 0, &proposal),
                    false => id(file, row.number, &proposal),
                };
                Ok(Item { scope, id, proposal, row })
            }
            Err(why) => Err((row, why)),
        }
    }

    fn proposal(&self, row: &Row) -> Result<(ScopeName, Proposal), String> {
        let scope = self.scope.fill(row)?;
        let scope = input::scope(&scope).map_err(|why| format!("scope {scope:?}: {why}"))?;
        let keys = self.keys.iter().map(|template| input::key(&template.fill(row)?));
        let meta = self.meta.iter().map(|template| input::pair(&template.fill(row)?));
        if self.cloud {
            return self.cloud_event(row, scope, keys.collect::<Result<_, _>>()?);
        }
        let proposal = Proposal {
            kind: self.kind.fill(row)?,
            content_type: ContentType::Json,
            payload: self.payload(row)?,
            keys: keys.collect::<Result<_, _>>()?,
            metadata: meta.collect::<Result<_, _>>()?,
            ..Proposal::default()
        };
        Ok((scope, proposal))
    }

    fn cloud_event(
        &self,
        row: &Row,
        scope: ScopeName,
        keys: Vec<Key>,
    ) -> Result<(ScopeName, Proposal), String> {
        let event = exchange::foreign(row.line())?;
        let mut metadata = vec![("id".to_owned(), event.id), ("source".to_owned(), event.source)];
        for template in &self.meta {
            metadata.push(input::pair(&template.fill(row)?)?);
        }
        let (content_type, payload) = match self.fields.is_empty() {
            true => (event.content_type, event.payload),
            false => (ContentType::Json, self.payload(row)?),
        };
        let (kind, caller_ms) = (self.kind.fill(row)?, event.time_ms);
        let proposal = Proposal {
            kind,
            content_type,
            payload,
            keys,
            metadata,
            caller_ms,
            ..Proposal::default()
        };
        Ok((scope, proposal))
    }

    fn payload(&self, row: &Row) -> Result<Vec<u8>, String> {
        if self.fields.is_empty() {
            return row.whole();
        }
        let mut object = String::from("{");
        for field in &self.fields {
            if object.len() > 1 {
                object.push(',');
            }
            object.push_str(&quote(&field.name));
            object.push(':');
            object.push_str(&value(field, row)?);
        }
        object.push('}');
        Ok(object.into_bytes())
    }
}

fn value(field: &Field, row: &Row) -> Result<String, String> {
    if field.kind == Kind::Auto {
        return row.json(&field.column);
    }
    let text = row.text(&field.column)?;
    let checked = match field.kind {
        Kind::Number => is_number(&text).then(|| text.clone()),
        Kind::Json => serde_json::from_str::<&RawValue>(&text).is_ok().then(|| text.clone()),
        Kind::Text | Kind::Auto => Some(quote(&text)),
    };
    checked.ok_or_else(|| format!("{} is {text:?}, not {:?}", field.column, field.kind))
}

/// True if the text is a number as JSON writes them.
pub(super) fn is_number(text: &str) -> bool {
    text.starts_with(|c: char| c == '-' || c.is_ascii_digit())
        && text.ends_with(|c: char| c.is_ascii_digit())
        && serde_json::from_str::<&RawValue>(text).is_ok()
}

/// The text as a JSON string.
pub(super) fn quote(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

/// The same row of the same file, mapped in the same way, has the same id. The event is part of it
/// so that a corrected mapping is a new append, not an answer to the old one.
fn id(file: &blake3::Hash, number: u64, proposal: &Proposal) -> AppendId {
    let mut hasher = blake3::Hasher::new_derive_key("atomic-store 1 import append id");
    hasher.update(file.as_bytes()).update(&number.to_le_bytes());
    let texts = [&proposal.kind].into_iter().map(String::as_bytes);
    let keys = proposal.keys.iter().flat_map(|key| [key.kind.as_bytes(), key.id.as_bytes()]);
    let meta = proposal.metadata.iter().flat_map(|(name, text)| [name.as_bytes(), text.as_bytes()]);
    for part in texts.chain([&proposal.payload[..]]).chain(keys).chain(meta) {
        // The length keeps neighbouring parts from running into each other.
        hasher.update(&(part.len() as u64).to_le_bytes()).update(part);
    }
    let mut id = [0; 16];
    hasher.finalize_xof().fill(&mut id);
    AppendId(id)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn templates_and_fields_are_read() {
        let template: Template = "auction/{auction}-{item}".parse().unwrap();
        assert_eq!(template.columns().collect::<Vec<_>>(), ["auction", "item"]);
        assert!("a{b".parse::<Template>().is_err() && "a{}".parse::<Template>().is_err());
        let field: Field = "amount=bid:text".parse().unwrap();
        assert_eq!((field.name.as_str(), field.column.as_str()), ("amount", "bid"));
        assert_eq!(field.kind, Kind::Text);
        assert!("a:float".parse::<Field>().is_err() && "=x".parse::<Field>().is_err());
    }

    #[test]
    fn only_json_numbers_are_numbers() {
        assert!(["0", "-1.50", "218195.15", "1e3"].into_iter().all(is_number));
        let others = ["", "01", "1.", "+1", " 1", "1 ", "NaN", "1_0", "0x1", "-", "1,5"];
        assert!(!others.into_iter().any(is_number));
    }
}
