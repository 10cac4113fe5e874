//! Selectors of typed kinds, as the machinery matches them.

use k8s_openapi::apimachinery::pkg::apis::meta::v1 as meta;
use machinery::object::Header;
use machinery::selector::{LabelSelector, Operator, Requirement};
use smol_str::SmolStr;

/// From a typed selector. One that is missing selects nothing, an empty one everything.
pub fn of(selector: Option<&meta::LabelSelector>) -> Result<LabelSelector, String> {
    let Some(selector) = selector else { return Ok(LabelSelector::nothing()) };
    let mut requirements = Vec::new();
    for (key, value) in selector.match_labels.iter().flatten() {
        requirements.push(requirement(key, Operator::In, vec![SmolStr::new(value)])?);
    }
    for expression in selector.match_expressions.iter().flatten() {
        let operator = match expression.operator.as_str() {
            "In" => Operator::In,
            "NotIn" => Operator::NotIn,
            "Exists" => Operator::Exists,
            "DoesNotExist" => Operator::DoesNotExist,
            other => return Err(format!("{other:?} is not a valid label selector operator")),
        };
        let values = expression.values.iter().flatten().map(SmolStr::new).collect();
        requirements.push(requirement(&expression.key, operator, values)?);
    }
    Ok(LabelSelector::from_requirements(requirements))
}

/// From labels that must all be there. None select nothing.
pub fn of_labels<'a>(
    labels: impl IntoIterator<Item = (&'a String, &'a String)>,
) -> Result<LabelSelector, String> {
    let requirements = labels
        .into_iter()
        .map(|(key, value)| requirement(key, Operator::In, vec![SmolStr::new(value)]))
        .collect::<Result<Vec<_>, _>>()?;
    Ok(if requirements.is_empty() {
        LabelSelector::nothing()
    } else {
        LabelSelector::from_requirements(requirements)
    })
}

/// Whether an object's labels fit.
pub fn selects(selector: &LabelSelector, header: &Header) -> bool {
    selector.matches(|key| header.label(key))
}

/// A requirement as it is written; also for node selectors, which know `Gt` and `Lt`.
pub fn requirement(key: &str, operator: Operator, values: Vec<SmolStr>) -> Result<Requirement, String> {
    Requirement::new(key, operator, values)
        .map_err(|errors| errors.iter().map(ToString::to_string).collect::<Vec<_>>().join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn header(labels: &[(&str, &str)]) -> Header {
        let labels = labels.iter().map(|(key, value)| (SmolStr::new(key), SmolStr::new(value))).collect();
        Header { labels, ..Header::default() }
    }

    #[test]
    fn typed_selectors_select() {
        let labels = |pairs: &[(&str, &str)]| {
            Some(pairs.iter().map(|(k, v)| (k.to_string(), v.to_string())).collect())
        };
        let expression = meta::LabelSelectorRequirement {
            key: "tier".into(),
            operator: "NotIn".into(),
            values: Some(vec!["db".into()]),
        };
        let typed = meta::LabelSelector {
            match_labels: labels(&[("app", "web")]),
            match_expressions: Some(vec![expression]),
        };
        let selector = of(Some(&typed)).unwrap();
        assert!(selects(&selector, &header(&[("app", "web"), ("tier", "front")])));
        assert!(selects(&selector, &header(&[("app", "web")])));
        assert!(!selects(&selector, &header(&[("app", "web"), ("tier", "db")])));
        assert!(!selects(&of(None).unwrap(), &header(&[("app", "web")])));
        assert!(selects(&of(Some(&meta::LabelSelector::default())).unwrap(), &header(&[])));
    }
}
