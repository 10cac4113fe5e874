//! Selectors: which labels or fields an object must have. Read from query strings and from documents.

use std::fmt;

use smol_str::SmolStr;

use crate::Value;
use crate::field::{Error, Path};
use crate::names;

mod parse;

/// How the value of a label is compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Operator {
    /// It is one of several.
    In,
    /// It is none of several, or there is none.
    NotIn,
    /// It is this.
    Equals,
    /// It is not this, or there is none.
    NotEquals,
    /// There is one.
    Exists,
    /// There is none.
    DoesNotExist,
    /// It is a larger number.
    GreaterThan,
    /// It is a smaller number.
    LessThan,
}

/// What is asked of one label.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Requirement {
    key: SmolStr,
    operator: Operator,
    values: Vec<SmolStr>,
}

/// What is asked of the labels of an object: all requirements together.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LabelSelector {
    requirements: Vec<Requirement>,
    matches_nothing: bool,
}

impl Requirement {
    /// A requirement, checked. The errors carry paths relative to the requirement.
    pub fn new(key: &str, operator: Operator, mut values: Vec<SmolStr>) -> Result<Requirement, Vec<Error>> {
        let mut errors = key_errors(key, &Path::new("key"));
        let at = Path::new("values");
        let shown = || Value::Array(values.iter().map(|value| Value::String(value.clone())).collect());
        let complaint = match operator {
            Operator::In | Operator::NotIn if values.is_empty() => {
                Some("for 'in', 'notin' operators, values set can't be empty")
            }
            Operator::Equals | Operator::NotEquals if values.len() != 1 => {
                Some("exact-match compatibility requires one single value")
            }
            Operator::Exists | Operator::DoesNotExist if !values.is_empty() => {
                Some("values set must be empty for exists and does not exist")
            }
            Operator::GreaterThan | Operator::LessThan if values.len() != 1 => {
                Some("for 'Gt', 'Lt' operators, exactly one value is required")
            }
            _ => None,
        };
        errors.extend(complaint.map(|complaint| Error::invalid(&at, &shown(), complaint)));
        if matches!(operator, Operator::GreaterThan | Operator::LessThan) {
            for (index, value) in values.iter().enumerate().filter(|(_, value)| value.parse::<i64>().is_err())
            {
                let complaint = "for 'Gt', 'Lt' operators, the value must be an integer";
                errors.push(Error::invalid(&at.index(index), value, complaint));
            }
        }
        for (index, value) in values.iter().enumerate() {
            let faults = names::label_value(value);
            if !faults.is_empty() {
                errors.push(Error::invalid(&at.index(index).key(key), value, faults.join("; ")));
            }
        }
        if !errors.is_empty() {
            return Err(errors);
        }
        values.sort_unstable();
        Ok(Requirement { key: SmolStr::new(key), operator, values })
    }

    /// The label's key.
    pub fn key(&self) -> &str {
        &self.key
    }

    /// How its value is compared.
    pub fn operator(&self) -> Operator {
        self.operator
    }

    /// What it is compared with, sorted.
    pub fn values(&self) -> &[SmolStr] {
        &self.values
    }

    /// Whether the label's value (or its absence) fits.
    pub fn matches(&self, value: Option<&str>) -> bool {
        let among = |value: &str| self.values.iter().any(|wanted| wanted == value);
        match self.operator {
            Operator::In | Operator::Equals => value.is_some_and(among),
            Operator::NotIn | Operator::NotEquals => !value.is_some_and(among),
            Operator::Exists => value.is_some(),
            Operator::DoesNotExist => value.is_none(),
            Operator::GreaterThan | Operator::LessThan => {
                let number = value.and_then(|value| value.parse::<i64>().ok());
                let bound = self.values.first().and_then(|bound| bound.parse::<i64>().ok());
                match (number, bound) {
                    (Some(number), Some(bound)) if self.operator == Operator::GreaterThan => number > bound,
                    (Some(number), Some(bound)) => number < bound,
                    _ => false,
                }
            }
        }
    }
}

fn key_errors(key: &str, path: &Path) -> Vec<Error> {
    let faults = names::qualified_name(key);
    if faults.is_empty() { Vec::new() } else { vec![Error::invalid(path, key, faults.join("; "))] }
}

impl LabelSelector {
    /// Selects every object.
    pub fn everything() -> LabelSelector {
        LabelSelector::default()
    }

    /// Selects no object.
    pub fn nothing() -> LabelSelector {
        LabelSelector { requirements: Vec::new(), matches_nothing: true }
    }

    /// All of these together.
    pub fn from_requirements(mut requirements: Vec<Requirement>) -> LabelSelector {
        requirements.sort_by(|a, b| a.key.cmp(&b.key));
        LabelSelector { requirements, matches_nothing: false }
    }

    /// Reads a query string such as `app=web,tier in (a,b),!legacy`.
    pub fn parse(text: &str) -> Result<LabelSelector, String> {
        parse::requirements(text).map(LabelSelector::from_requirements)
    }

    /// From a map of labels that must all be there (`spec.selector` of a Service, say).
    pub fn from_map(labels: &Value) -> LabelSelector {
        let requirement = |(key, value): (&crate::value::Name, &Value)| Requirement {
            key: key.into(),
            operator: Operator::Equals,
            values: vec![SmolStr::new(value.str_or_empty())],
        };
        LabelSelector::from_requirements(labels.members().map(requirement).collect())
    }

    /// From a `LabelSelector` document. One that is missing selects nothing, an empty one everything.
    pub fn from_document(document: &Value) -> Result<LabelSelector, String> {
        if document.is_null() {
            return Ok(LabelSelector::nothing());
        }
        let mut requirements = LabelSelector::from_map(document.get("matchLabels")).requirements;
        for expression in document.get("matchExpressions").items() {
            let operator = match expression.get("operator").str_or_empty() {
                "In" => Operator::In,
                "NotIn" => Operator::NotIn,
                "Exists" => Operator::Exists,
                "DoesNotExist" => Operator::DoesNotExist,
                other => {
                    return Err(format!(
                        "{} is not a valid label selector operator",
                        crate::field::go_quote(other)
                    ));
                }
            };
            let values = expression.get("values").items();
            let values = values.iter().map(|value| SmolStr::new(value.str_or_empty())).collect();
            let requirement = Requirement::new(expression.get("key").str_or_empty(), operator, values);
            requirements.push(requirement.map_err(|errors| joined(&errors))?);
        }
        Ok(LabelSelector::from_requirements(requirements))
    }

    /// Whether it selects every object.
    pub fn is_everything(&self) -> bool {
        self.requirements.is_empty() && !self.matches_nothing
    }

    /// The requirements, by key.
    pub fn requirements(&self) -> &[Requirement] {
        &self.requirements
    }

    /// Whether the labels, asked for by key, fit.
    pub fn matches<'a>(&self, label: impl Fn(&str) -> Option<&'a str>) -> bool {
        !self.matches_nothing
            && self.requirements.iter().all(|requirement| requirement.matches(label(&requirement.key)))
    }

    /// Whether a map of labels fits.
    pub fn matches_map(&self, labels: &Value) -> bool {
        self.matches(|key| labels.get(key).as_str())
    }
}

fn joined(errors: &[Error]) -> String {
    match errors {
        [one] => one.to_string(),
        many => {
            let texts: Vec<String> = many.iter().map(Error::to_string).collect();
            format!("[{}]", texts.join(", "))
        }
    }
}

/// As a query string.
impl fmt::Display for LabelSelector {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (position, requirement) in self.requirements.iter().enumerate() {
            let comma = if position == 0 { "" } else { "," };
            write!(out, "{comma}{requirement}")?;
        }
        Ok(())
    }
}

impl fmt::Display for Requirement {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let key = &self.key;
        let values = self.values.join(",");
        match self.operator {
            Operator::Equals => write!(out, "{key}={values}"),
            Operator::NotEquals => write!(out, "{key}!={values}"),
            Operator::In => write!(out, "{key} in ({values})"),
            Operator::NotIn => write!(out, "{key} notin ({values})"),
            Operator::Exists => write!(out, "{key}"),
            Operator::DoesNotExist => write!(out, "!{key}"),
            Operator::GreaterThan => write!(out, "{key}>{values}"),
            Operator::LessThan => write!(out, "{key}<{values}"),
        }
    }
}

/// What is asked of one field.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FieldRequirement {
    /// The field's name, such as `metadata.name`.
    pub field: SmolStr,
    /// The value it is compared with.
    pub value: SmolStr,
    /// Whether it must be equal, else it must differ.
    pub equal: bool,
}

/// What is asked of the fields of an object: all requirements together.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FieldSelector {
    requirements: Vec<FieldRequirement>,
}

impl FieldSelector {
    /// Reads a query string such as `metadata.name=a,status.phase!=Running`.
    pub fn parse(text: &str) -> Result<FieldSelector, String> {
        parse::fields(text).map(|requirements| FieldSelector { requirements })
    }

    /// Whether it selects every object.
    pub fn is_everything(&self) -> bool {
        self.requirements.is_empty()
    }

    /// The requirements.
    pub fn requirements(&self) -> &[FieldRequirement] {
        &self.requirements
    }

    /// The one value that a field must have, if there is such.
    pub fn exact(&self, field: &str) -> Option<&str> {
        let wanted = |requirement: &&FieldRequirement| requirement.equal && requirement.field == field;
        self.requirements.iter().find(wanted).map(|requirement| requirement.value.as_str())
    }

    /// Whether the fields, asked for by name, fit. A field that is not there is empty.
    pub fn matches<'a>(&self, field: impl Fn(&str) -> &'a str) -> bool {
        self.requirements
            .iter()
            .all(|requirement| (field(&requirement.field) == requirement.value) == requirement.equal)
    }
}

#[cfg(test)]
mod tests;
