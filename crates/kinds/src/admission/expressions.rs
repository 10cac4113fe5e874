//! The expressions of policies and of match conditions: what they can refer to, and what they must yield.

use std::sync::LazyLock;

use machinery::Value;
use machinery::cel::{Check, Declaration, Environment, Program, Sameness, Type};
use smol_str::SmolStr;

use crate::place::Place;

/// The variable whose fields are the variables of a policy.
pub const VARIABLES: &str = "variables";

/// What an expression of a policy can refer to beside the object and the request.
#[derive(Clone, Debug, Default)]
pub struct Scope {
    /// `params`
    pub params: bool,
    /// `authorizer`
    pub authorizer: bool,
    /// `Object{…}` and `JSONPatch{…}`
    pub patches: bool,
    /// `variables.…`: those before it, and their types. `None` where there are no such variables at all.
    pub variables: Option<Vec<(SmolStr, Type)>>,
}

/// The environment of expressions with this scope.
pub fn environment(scope: &Scope) -> Environment {
    let mut environment = Environment::kubernetes()
        .with("object", Declaration::dynamic())
        .with("oldObject", Declaration::dynamic())
        .with("namespaceObject", NAMESPACE.clone())
        .with("request", REQUEST.clone());
    if scope.params {
        environment = environment.with("params", Declaration::dynamic());
    }
    if scope.authorizer {
        environment = environment
            .with("authorizer", Declaration::of(Type::Opaque(Check::AUTHORIZER)))
            .with("authorizer.requestResource", Declaration::of(Type::Opaque(Check::RESOURCE)));
    }
    if scope.patches {
        environment = environment.with_patch_types();
    }
    if let Some(variables) = &scope.variables {
        let fields = variables.iter().map(|(name, ty)| (name.clone(), Declaration::of(ty.clone())));
        let fields = fields.collect();
        environment = environment.with(VARIABLES, Declaration::plain_object("kubernetes.variables", fields));
    }
    environment
}

fn text() -> Declaration {
    Declaration::of(Type::String)
}

fn texts() -> Declaration {
    Declaration::list(text(), Sameness::Ordered)
}

fn structure(name: &'static str, fields: Vec<(&'static str, Declaration)>) -> Declaration {
    let fields = fields.into_iter().map(|(name, field)| (SmolStr::new_static(name), field));
    Declaration::plain_object(name, fields.collect())
}

/// What `request` looks like.
pub static REQUEST: LazyLock<Declaration> = LazyLock::new(request);
/// What `namespaceObject` looks like.
pub static NAMESPACE: LazyLock<Declaration> = LazyLock::new(namespace);

fn request() -> Declaration {
    let kind = || {
        let fields = vec![("group", text()), ("version", text()), ("kind", text())];
        structure("kubernetes.GroupVersionKind", fields)
    };
    let resource = || {
        let fields = vec![("group", text()), ("version", text()), ("resource", text())];
        structure("kubernetes.GroupVersionResource", fields)
    };
    let user = structure(
        "kubernetes.UserInfo",
        vec![
            ("username", text()),
            ("uid", text()),
            ("groups", texts()),
            ("extra", Declaration::map(texts())),
        ],
    );
    structure(
        "kubernetes.AdmissionRequest",
        vec![
            ("kind", kind()),
            ("resource", resource()),
            ("subResource", text()),
            ("requestKind", kind()),
            ("requestResource", resource()),
            ("requestSubResource", text()),
            ("name", text()),
            ("namespace", text()),
            ("operation", text()),
            ("userInfo", user),
            ("dryRun", Declaration::of(Type::Bool)),
            ("options", Declaration::dynamic()),
        ],
    )
}

fn namespace() -> Declaration {
    let time = || Declaration::of(Type::Timestamp);
    let number = || Declaration::of(Type::Int);
    let metadata = structure(
        "kubernetes.NamespaceMetadata",
        vec![
            ("name", text()),
            ("generateName", text()),
            ("namespace", text()),
            ("labels", Declaration::map(text())),
            ("annotations", Declaration::map(text())),
            ("UID", text()),
            ("creationTimestamp", time()),
            ("deletionGracePeriodSeconds", number()),
            ("deletionTimestamp", time()),
            ("generation", number()),
            ("resourceVersion", text()),
            ("finalizers", texts()),
        ],
    );
    let condition = structure(
        "kubernetes.NamespaceCondition",
        vec![
            ("status", text()),
            ("type", text()),
            ("lastTransitionTime", time()),
            ("message", text()),
            ("reason", text()),
        ],
    );
    let status = structure(
        "kubernetes.NamespaceStatus",
        vec![("conditions", Declaration::list(condition, Sameness::Ordered)), ("phase", text())],
    );
    structure(
        "kubernetes.Namespace",
        vec![
            ("metadata", metadata),
            ("spec", structure("kubernetes.NamespaceSpec", vec![("finalizers", texts())])),
            ("status", status),
        ],
    )
}

/// Compiles an expression that must yield one of these types (any, if there are none). What is wrong is told as
/// upstream tells it.
pub fn compile(environment: &Environment, expression: &str, yields: &[Type]) -> Result<Program, String> {
    let program =
        environment.compile(expression).map_err(|issues| format!("compilation failed: {issues}"))?;
    let output = program.output();
    match yields {
        [] => Ok(program),
        _ if yields.contains(output) => Ok(program),
        [only] => Err(format!("must evaluate to {only} but got {output}")),
        several => {
            let names: Vec<String> = several.iter().map(Type::to_string).collect();
            Err(format!("must evaluate to one of [{}] but got {output}", names.join(" ")))
        }
    }
}

/// Adds what is wrong with an expression.
pub(super) fn check(place: Place<'_>, environment: &Environment, yields: &[Type]) {
    if !place.text().trim().is_empty()
        && let Err(why) = compile(environment, place.text(), yields)
    {
        place.invalid(why);
    }
}

/// The scope of expressions of a policy that come after its variables. Those that cannot be compiled are left out, and
/// told of in their own places.
pub fn scope_of(spec: &Value, patches: bool) -> Scope {
    let mut scope = Scope {
        params: !spec.get("paramKind").is_null(),
        authorizer: true,
        patches,
        variables: Some(Vec::new()),
    };
    for variable in spec.get("variables").items() {
        let (name, expression) =
            (variable.get("name").str_or_empty(), variable.get("expression").str_or_empty());
        let Ok(program) = compile(&environment(&scope), expression, &[]) else { continue };
        let known = scope.variables.get_or_insert_default();
        known.push((SmolStr::new(name), program.output().clone()));
    }
    scope
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn expressions_refer_to_what_their_scope_has() {
        let plain = Scope::default();
        let whole = Scope {
            params: true,
            authorizer: true,
            patches: true,
            variables: Some(vec![("x".into(), Type::Int)]),
        };
        let bool = [Type::Bool];
        let undeclared = |name: &str, source: &str| {
            format!(
                "compilation failed: ERROR: <input>:1:1: undeclared reference to '{name}' (in container '')\n | {source}\n | ^"
            )
        };
        for (scope, source, expected) in [
            (&plain, "object.spec.x > 1", Ok(())),
            (&plain, "request.userInfo.username == 'a' && !('g' in request.userInfo.groups)", Ok(())),
            (&plain, "namespaceObject.metadata.labels.env == 'x'", Ok(())),
            (&plain, "request.namespace == namespaceObject.metadata.name", Ok(())),
            (&plain, "params.x == 1", Err(undeclared("params", "params.x == 1"))),
            (&plain, "'abc'", Err("must evaluate to bool but got string".to_owned())),
            (&plain, "variables.x > 0", Err(undeclared("variables", "variables.x > 0"))),
            (&whole, "params.x == 1 && variables.x > 0", Ok(())),
            (&whole, "authorizer.group('').resource('pods').check('get').allowed()", Ok(())),
            (&whole, "authorizer.requestResource.check('custom').allowed()", Ok(())),
        ] {
            let found = compile(&environment(scope), source, &bool).map(|_| ());
            assert_eq!(found, expected, "{source}");
        }
        let found = compile(&environment(&whole), "1", &[Type::String, Type::Null]).unwrap_err();
        assert_eq!(found, "must evaluate to one of [string null_type] but got int");
        let found = compile(&environment(&whole), "1", &[Environment::object_type()]).unwrap_err();
        assert_eq!(found, "must evaluate to Object but got int");
    }

    #[test]
    fn variables_refer_to_those_before_them() {
        let spec = machinery::json::parse(
            br#"{"variables":[{"name":"a","expression":"1"},{"name":"b","expression":"variables.a + 1"},
                {"name":"broken","expression":"variables.c"}]}"#,
        )
        .unwrap();
        let scope = scope_of(&spec, false);
        let known: Vec<String> =
            scope.variables.unwrap().iter().map(|(name, ty)| format!("{name}: {ty}")).collect();
        assert_eq!(known, ["a: int", "b: int"]);
    }
}
