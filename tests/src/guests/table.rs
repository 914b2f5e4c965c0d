//! The table of cases: a text in which each line is a step, and the lines with `<` are what the rules
//! answered.
//!
//! ```text
//! ## a name, which begins a case with an empty scope
//! scope auction/7                     (auction/1 unless told otherwise)
//! config {"increment":"0.50"}         (none unless told otherwise)
//! > bid {"bidder":"ann","amount":1}   an append of one proposal: its kind, its payload
//! + bid {"bidder":"bob","amount":2}   one more proposal of the same append
//! < {"accepted":[{},{}]}
//! ! bid {"bidder":"ann","amount":1}   an event of the past: folded, not judged
//! ? highest                           a query: its name, its arguments
//! < {"answer":"null"}
//! ```
//!
//! In a payload `{{x*3}}` stands for `xxx`, and `{{hex ff00}}` for these two bytes.

use atomic_store_core::{Key, Proposal};
use serde_json::Value;

/// What is asked of the rules.
#[derive(Clone, Debug)]
pub enum Step {
    /// An append.
    Append(Vec<Proposal>),
    /// An event that is there already.
    Past(Proposal),
    /// A query.
    Query(String, Vec<u8>),
    /// Whether a scope starts at all; the first step of a case.
    Start,
}

/// A step and the answer to it.
#[derive(Clone, Debug)]
pub struct Told {
    /// The line of the step, counted from 1; of an append its last.
    pub line: usize,
    /// The step.
    pub step: Step,
    /// The answer, once there is one.
    pub answer: Option<Value>,
}

/// Steps in one scope.
#[derive(Clone, Debug)]
pub struct Case {
    /// What it shows.
    pub name: String,
    /// The scope.
    pub scope: String,
    /// The binding's configuration.
    pub config: Option<Vec<u8>>,
    /// The steps; the first is [`Step::Start`].
    pub steps: Vec<Told>,
}

/// All cases.
#[derive(Clone, Debug)]
pub struct Table {
    /// Them.
    pub cases: Vec<Case>,
    text: String,
}

impl Table {
    /// Reads it.
    ///
    /// # Panics
    /// If a line is none of the above.
    #[must_use]
    pub fn parse(text: &str) -> Table {
        let mut cases: Vec<Case> = Vec::new();
        for (line, content) in (1..).zip(text.lines()) {
            let (mark, rest) = content.split_once(' ').unwrap_or((content, ""));
            if mark == "##" {
                let start = Told { line, step: Step::Start, answer: None };
                let (name, scope) = (rest.to_owned(), "auction/1".to_owned());
                cases.push(Case { name, scope, config: None, steps: vec![start] });
                continue;
            }
            let Some(case) = cases.last_mut() else { continue };
            case.read(line, mark, rest);
        }
        assert!(!cases.is_empty(), "the table is empty");
        Table { cases, text: text.to_owned() }
    }

    /// The text, with these answers in place of the ones it has.
    #[must_use]
    pub fn with_answers(&self, answers: &[(usize, Value)]) -> String {
        let mut text = String::new();
        for (line, content) in (1..).zip(self.text.lines()) {
            if content.starts_with("< ") {
                continue;
            }
            text.push_str(content);
            text.push('\n');
            for (_, answer) in answers.iter().filter(|(at, _)| *at == line) {
                text.push_str(&format!("< {answer}\n"));
            }
        }
        text
    }
}

impl Case {
    fn read(&mut self, line: usize, mark: &str, rest: &str) {
        let last = self.steps.last_mut().unwrap();
        match mark {
            "scope" => self.scope = rest.to_owned(),
            "config" => {
                self.config = Some(expand(rest));
                last.line = line;
            }
            "<" => last.answer = Some(serde_json::from_str(rest).unwrap()),
            "+" => match &mut last.step {
                Step::Append(proposals) => {
                    proposals.push(proposal(rest));
                    last.line = line;
                }
                _ => panic!("line {line}: there is no append to add to"),
            },
            ">" => self.push(line, Step::Append(vec![proposal(rest)])),
            "!" => self.push(line, Step::Past(proposal(rest))),
            "?" => {
                let (name, args) = rest.split_once(' ').unwrap_or((rest, ""));
                let name = String::from_utf8(expand(name)).unwrap();
                self.push(line, Step::Query(name, expand(args)));
            }
            "" => {}
            other => panic!("line {line}: {other:?} is no step"),
        }
    }

    fn push(&mut self, line: usize, step: Step) {
        self.steps.push(Told { line, step, answer: None });
    }
}

/// A proposal with all that can travel with one, so that each language has to carry it.
fn proposal(text: &str) -> Proposal {
    let (kind, payload) = text.split_once(' ').unwrap_or((text, ""));
    Proposal {
        keys: vec![Key::new("lot", "1"), Key::new("k\u{e4}ufer", "")],
        metadata: vec![("trace".to_owned(), "t-1".to_owned())],
        caller_ms: Some(1_700_000_000_123),
        ..Proposal::json(kind, expand(payload))
    }
}

fn expand(text: &str) -> Vec<u8> {
    let Some((before, rest)) = text.split_once("{{") else { return text.into() };
    let (inside, after) = rest.split_once("}}").expect("a }} for each {{");
    let filled = match inside.strip_prefix("hex ") {
        Some(digits) => (0..digits.len() / 2)
            .map(|at| u8::from_str_radix(&digits[at * 2..at * 2 + 2], 16).unwrap())
            .collect(),
        None => {
            let (part, count) = inside.rsplit_once('*').expect("text*count");
            part.repeat(count.parse().unwrap()).into_bytes()
        }
    };
    [before.as_bytes(), &filled, &expand(after)].concat()
}
