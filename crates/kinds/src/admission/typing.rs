//! Type checking of policies: what is wrong with their expressions for the kinds they are about. It refuses nothing;
//! whoever wrote the policy finds it in the status.

use machinery::Value;
use machinery::cel::Declaration;
use smol_str::SmolStr;

use super::expressions::{self, Scope, VARIABLES};

/// How many kinds of a policy are checked at most: upstream's limit.
const TYPES_MAX: usize = 10;

/// A resource that a policy is about: group, version and plural.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Wanted {
    /// The API group.
    pub group: String,
    /// The version.
    pub version: String,
    /// As it stands in paths.
    pub plural: String,
}

/// A kind, and what its objects look like.
#[derive(Clone, Debug)]
pub struct Typed {
    /// The API group.
    pub group: String,
    /// The version.
    pub version: String,
    /// The kind.
    pub kind: String,
    /// What its objects look like.
    pub declaration: Declaration,
}

/// What is wrong with an expression, and where it stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Warning {
    /// `spec.validations[0].expression`
    pub field: String,
    /// What is wrong, for each kind.
    pub text: String,
}

/// The resources that a policy (its `spec`) names: those it means by wildcards are not checked.
pub fn wanted(spec: &Value) -> Vec<Wanted> {
    let mut found = Vec::new();
    for rule in spec.at(&["matchConstraints", "resourceRules"]).items() {
        let texts = |name: &str| -> Vec<&str> {
            let mut texts: Vec<&str> = rule.get(name).items().iter().map(Value::str_or_empty).collect();
            texts.sort_unstable();
            texts
        };
        let (groups, versions) = (texts("apiGroups"), texts("apiVersions"));
        if groups.iter().chain(&versions).any(|text| text.contains('*')) {
            continue;
        }
        for group in &groups {
            for version in &versions {
                for plural in texts("resources").into_iter().filter(|plural| !plural.contains(['*', '/'])) {
                    let (group, version) = ((*group).to_owned(), (*version).to_owned());
                    found.push(Wanted { group, version, plural: plural.to_owned() });
                }
            }
        }
    }
    found.sort();
    found.dedup();
    found.truncate(TYPES_MAX);
    found
}

/// What is wrong with the expressions of a policy (its `spec`) for these kinds. Nothing is known of its parameters.
pub fn warnings(spec: &Value, types: &[Typed]) -> Vec<Warning> {
    let mut warnings = Vec::new();
    for (position, validation) in spec.get("validations").items().iter().enumerate() {
        for member in ["expression", "messageExpression"] {
            let text = validation.get(member).str_or_empty();
            let problems: Vec<String> = types.iter().filter_map(|typed| problem(spec, text, typed)).collect();
            if !text.is_empty() && !problems.is_empty() {
                let field = format!("spec.validations[{position}].{member}");
                warnings.push(Warning { field, text: problems.join("\n") });
            }
        }
    }
    warnings
}

/// What is wrong with an expression for one kind.
fn problem(spec: &Value, expression: &str, typed: &Typed) -> Option<String> {
    let scope =
        Scope { params: !spec.get("paramKind").is_null(), authorizer: true, patches: false, variables: None };
    let base = expressions::environment(&scope)
        .with("object", typed.declaration.clone())
        .with("oldObject", typed.declaration.clone());
    let mut known: Vec<(SmolStr, Declaration)> = Vec::new();
    let with_variables = |known: &[(SmolStr, Declaration)]| {
        base.clone().with(VARIABLES, Declaration::plain_object("kubernetes.variables", known.to_vec()))
    };
    for variable in spec.get("variables").items() {
        let text = variable.get("expression").str_or_empty();
        // A variable that is wrong for the kind may be anything: only what uses it is told of.
        let ty = with_variables(&known).compile(text).map(|program| program.output().clone());
        let declaration = ty.map_or_else(|_| Declaration::dynamic(), Declaration::of);
        known.push((SmolStr::new(variable.get("name").str_or_empty()), declaration));
    }
    let issues = with_variables(&known).compile(expression).err()?;
    let Typed { group, version, kind, .. } = typed;
    Some(format!("{group}/{version}, Kind={kind}: {issues}\n"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use machinery::cel::Type;

    fn spec(json: &str) -> Value {
        machinery::json::parse(json.as_bytes()).unwrap()
    }

    #[test]
    fn only_what_is_named_is_checked() {
        let spec = spec(
            r#"{"matchConstraints":{"resourceRules":[
                {"apiGroups":["apps",""],"apiVersions":["v1"],"resources":["pods","deployments/status","*"]},
                {"apiGroups":["*"],"apiVersions":["v1"],"resources":["services"]}]}}"#,
        );
        let found: Vec<String> =
            wanted(&spec).into_iter().map(|wanted| format!("{}/{}", wanted.group, wanted.plural)).collect();
        assert_eq!(found, ["/pods", "apps/pods"]);
    }

    #[test]
    fn what_is_wrong_for_a_kind_is_told() {
        let replicas = Declaration::object("Spec", vec![("replicas".into(), Declaration::of(Type::Int))]);
        let declaration = Declaration::object("Deployment", vec![("spec".into(), replicas)]);
        let typed =
            Typed { group: "apps".into(), version: "v1".into(), kind: "Deployment".into(), declaration };
        let spec = spec(
            r#"{"variables":[{"name":"n","expression":"object.spec.replicas"}],"validations":[
                {"expression":"object.spec.replicas > 1"},
                {"expression":"object.spec.replicas > '1'"},
                {"expression":"variables.n > 1","messageExpression":"'x' + object.spec.nothing"}]}"#,
        );
        let found = warnings(&spec, &[typed]);
        let fields: Vec<&str> = found.iter().map(|warning| warning.field.as_str()).collect();
        assert_eq!(fields, ["spec.validations[1].expression", "spec.validations[2].messageExpression"]);
        assert_eq!(
            found[0].text,
            "apps/v1, Kind=Deployment: ERROR: <input>:1:22: found no matching overload for '_>_' applied to '(int, string)'\n \
             | object.spec.replicas > '1'\n | .....................^\n"
        );
        assert!(found[1].text.contains("undefined field 'nothing'"));
    }
}
