//! ValidatingAdmissionPolicy and MutatingAdmissionPolicy.

use std::collections::BTreeSet;

use machinery::cel::{Environment, Type};
use machinery::{Value, names};
use smol_str::SmolStr;

use super::expressions::{self, Scope};
use super::rules;
use crate::conditions;
use crate::place::Place;
use crate::pod_spec::defaults::or;
use crate::policy::{NameRule, Policy};
use crate::{Column, Door, Kind, columns, table};

/// The kind of policies that refuse.
pub struct ValidatingAdmissionPolicy;
/// The kind of policies that change.
pub struct MutatingAdmissionPolicy;

const BASE: Policy = Policy::cluster(NameRule::Subdomain).generation().conditional_update().any_finalizer();
const EXPRESSION_MAX: usize = 5 * 1024;

fn default(object: &mut Value) {
    let spec = object.entry("spec");
    or(spec, "failurePolicy", "Fail");
    if let Some(constraints) = spec.get_mut("matchConstraints") {
        rules::default(constraints, &["resourceRules", "excludeResourceRules"]);
    }
}

/// What is wrong with what all policies have; also what their expressions can refer to.
fn check_common(spec: Place<'_>, patches: bool) -> Scope {
    let failure = spec.get("failurePolicy");
    if failure.is_set() {
        failure.one_of(&["Fail", "Ignore"]);
    } else {
        failure.required("");
    }
    let kind = spec.get("paramKind");
    if kind.is_set() {
        check_param_kind(kind);
    }
    let constraints = spec.get("matchConstraints");
    if constraints.is_set() {
        rules::check_constraints(constraints, true);
    } else {
        constraints.required("");
    }
    let params = kind.is_set();
    let conditions = Scope { params, authorizer: true, ..Scope::default() };
    rules::check_conditions(spec.get("matchConditions"), &conditions);
    check_variables(spec.get("variables"), Scope { patches, variables: Some(Vec::new()), ..conditions })
}

fn check_param_kind(kind: Place<'_>) {
    let (version, name) = (kind.get("apiVersion"), kind.get("kind"));
    match version.text().split('/').collect::<Vec<_>>().as_slice() {
        [""] => version.required(""),
        [only] => version.faults(names::dns1035_label(only)),
        [_, ""] => version.invalid("version must be specified"),
        [group, label] => {
            let mut faults = names::dns1123_subdomain(group);
            faults.extend(names::dns1035_label(label));
            version.faults(faults);
        }
        _ => version.invalid(format!("unexpected GroupVersion string: {}", version.text())),
    }
    if name.text().is_empty() {
        name.required("");
    } else {
        for fault in names::dns1035_label(&name.text().to_lowercase()) {
            name.invalid(format!("may have mixed case, but should otherwise match: {fault}"));
        }
    }
}

const RESERVED: &[&str] = &[
    "true",
    "false",
    "null",
    "in",
    "as",
    "break",
    "const",
    "continue",
    "else",
    "for",
    "function",
    "if",
    "import",
    "let",
    "loop",
    "package",
    "namespace",
    "return",
    "var",
    "void",
    "while",
];

fn check_variables(variables: Place<'_>, mut scope: Scope) -> Scope {
    for variable in variables.items() {
        let (name, expression) = (variable.get("name"), variable.get("expression"));
        if name.text().is_empty() || name.text().trim().is_empty() {
            name.required("name is not specified");
        } else if !names::c_identifier(name.text()).is_empty() || RESERVED.contains(&name.text()) {
            name.invalid("must be a valid CEL identifier");
        }
        if expression.text().trim().is_empty() {
            expression.required("expression is not specified");
            continue;
        }
        match expressions::compile(&expressions::environment(&scope), expression.text(), &[]) {
            Ok(program) => {
                let known = scope.variables.get_or_insert_default();
                known.push((SmolStr::new(name.text()), program.output().clone()));
            }
            Err(why) => expression.invalid(why),
        }
    }
    scope
}

fn check_validations(spec: Place<'_>, scope: &Scope) {
    let (validations, annotations) = (spec.get("validations"), spec.get("auditAnnotations"));
    if validations.is_empty() && annotations.is_empty() {
        let told = "validations or auditAnnotations must contain at least one item";
        validations.required(told);
        annotations.required(told);
    }
    let environment = expressions::environment(scope);
    // Messages are for everybody, and do not tell what somebody may do.
    let telling = expressions::environment(&Scope { authorizer: false, ..scope.clone() });
    for validation in validations.items() {
        check_expression(validation.get("expression"), &environment, &[Type::Bool]);
        let (message, expression) = (validation.get("message"), validation.get("messageExpression"));
        if message.is_set() && message.text().contains('\n') {
            message.invalid("must not contain line breaks");
        }
        if message.is_set() && message.text().trim().is_empty() && !message.text().is_empty() {
            message.invalid("must be non-empty if specified");
        }
        if validation.get("expression").text().contains('\n')
            && message.text().is_empty()
            && expression.text().is_empty()
        {
            message.required("message must be specified if expression contains line breaks");
        }
        if expression.is_set() && expression.text().trim().is_empty() && !expression.text().is_empty() {
            expression.required("must be non-empty if specified");
        }
        expressions::check(expression, &telling, &[Type::String]);
        let reason = validation.get("reason");
        // The list that is told leaves out one that is allowed, as upstream's does.
        if reason.is_set() && reason.text() != "Unauthorized" {
            reason.one_of(&["Forbidden", "Invalid", "RequestEntityTooLarge"]);
        }
    }
}

fn check_expression(expression: Place<'_>, environment: &Environment, yields: &[Type]) {
    if expression.text().trim().is_empty() {
        expression.required("expression is not specified");
    } else {
        expressions::check(expression, environment, yields);
    }
}

fn check_audit(object: Place<'_>, scope: &Scope) {
    let environment = expressions::environment(scope);
    let spec = object.get("spec");
    let annotations = spec.get("auditAnnotations");
    if annotations.len() > 20 {
        annotations.too_many(annotations.len(), 20);
    }
    let policy = object.value().at(&["metadata", "name"]).str_or_empty();
    let mut seen = BTreeSet::new();
    for annotation in annotations.items() {
        let (key, value) = (annotation.get("key"), annotation.get("valueExpression"));
        let whole = format!("{policy}/{}", key.text());
        for fault in names::qualified_name(&whole) {
            key.invalid_as(&whole, fault);
        }
        if value.text().trim().is_empty() {
            value.required("valueExpression is not specified");
        } else if value.text().trim().len() > EXPRESSION_MAX {
            value.required(&format!("must not exceed {EXPRESSION_MAX} bytes in length"));
        } else {
            expressions::check(value, &environment, &[Type::String, Type::Null]);
        }
        if !seen.insert(key.key()) {
            key.duplicate();
        }
    }
}

fn check_mutations(spec: Place<'_>, scope: &Scope) {
    let environment = expressions::environment(scope);
    let mutations = spec.get("mutations");
    if mutations.is_empty() {
        mutations.required("mutations must contain at least one item");
    }
    for mutation in mutations.items() {
        let (kind, patch, configuration) =
            (mutation.get("patchType"), mutation.get("jsonPatch"), mutation.get("applyConfiguration"));
        let (own, other, own_name, yields) = match kind.text() {
            "JSONPatch" => (patch, configuration, "JSONPatch", Environment::json_patch_type()),
            "ApplyConfiguration" => (configuration, patch, "ApplyConfiguration", Environment::object_type()),
            "" => {
                kind.required("");
                continue;
            }
            _ => {
                kind.unsupported(&["ApplyConfiguration", "JSONPatch"]);
                continue;
            }
        };
        if own.is_set() {
            let expression = own.get("expression");
            if expression.text().trim().is_empty() {
                expression.required("");
            } else {
                expressions::check(expression, &environment, &[yields]);
            }
        } else {
            own.required(&format!("must be specified when patchType is {own_name}"));
        }
        if other.is_set() {
            let shown = if own_name == "JSONPatch" { "{applyConfiguration}" } else { "{jsonPatch}" };
            other.invalid_as(shown, format!("must not be specified when patchType is {own_name}"));
        }
    }
    let again = spec.get("reinvocationPolicy");
    if again.text().is_empty() {
        again.required("");
    } else {
        again.one_of(&["IfNeeded", "Never"]);
    }
}

fn param_kind(object: &Value) -> Value {
    let kind = object.at(&["spec", "paramKind"]);
    if kind.is_null() {
        return Value::from("<unset>");
    }
    let text = |member: &str| kind.get(member).str_or_empty();
    Value::from(format!("{}/{}", text("apiVersion"), text("kind")))
}

fn row(object: &Value, list: &str, now_secs: i64) -> Vec<Value> {
    let count = object.at(&["spec", list]).items().len();
    vec![
        table::name(object),
        Value::from(i64::try_from(count).unwrap_or(i64::MAX)),
        param_kind(object),
        table::age(object, now_secs),
    ]
}

impl Kind for ValidatingAdmissionPolicy {
    fn policy(&self) -> Policy {
        BASE.bare_status()
    }

    fn default(&self, object: &mut Value) {
        default(object);
    }

    fn prepare_create(&self, object: &mut Value) {
        object.set("status", Value::object());
        object.entry("metadata").set("generation", 1i64);
    }

    fn check(&self, object: Place<'_>) {
        let spec = object.get("spec");
        let scope = check_common(spec, false);
        check_validations(spec, &scope);
        check_audit(object, &scope);
    }

    fn check_update(&self, object: Place<'_>, _old: &Value, door: Door<'_>) {
        if door.is_status() {
            return check_status(object.get("status"));
        }
        self.check(object);
    }

    fn columns(&self) -> &'static [Column] {
        columns::access::VALIDATING_ADMISSION_POLICY
    }

    fn row(&self, object: &Value, now_secs: i64) -> Vec<Value> {
        row(object, "validations", now_secs)
    }
}

fn check_status(status: Place<'_>) {
    let checking = status.get("typeChecking");
    for warning in checking.get("expressionWarnings").items() {
        for member in [warning.get("warning"), warning.get("fieldRef")] {
            if member.text().is_empty() {
                member.required("");
            }
        }
    }
    conditions::check(status.get("conditions"));
}

impl Kind for MutatingAdmissionPolicy {
    fn policy(&self) -> Policy {
        BASE
    }

    fn default(&self, object: &mut Value) {
        default(object);
    }

    fn check(&self, object: Place<'_>) {
        let spec = object.get("spec");
        let scope = check_common(spec, true);
        rules::check_changeable(spec.get("matchConstraints"));
        check_mutations(spec, &scope);
    }

    fn check_update(&self, object: Place<'_>, _old: &Value, _door: Door<'_>) {
        self.check(object);
    }

    fn columns(&self) -> &'static [Column] {
        columns::access::MUTATING_ADMISSION_POLICY
    }

    fn row(&self, object: &Value, now_secs: i64) -> Vec<Value> {
        row(object, "mutations", now_secs)
    }
}
