//! All policies of a kind with their bindings, compiled when they change.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use kinds::admission::expressions::{self, Scope};
use machinery::Value;
use machinery::cel::{Environment, Program, Type};
use smol_str::SmolStr;

use super::criteria::Criteria;
use crate::cache::{Caches, Entry};

/// Policies of one kind.
#[derive(Debug)]
pub(super) struct Catalog {
    policies: &'static str,
    bindings: &'static str,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    /// The newest revisions of policies and of bindings that are in here.
    seen: Option<(u64, u64)>,
    policies: BTreeMap<String, (u64, Arc<Policy>)>,
    hooks: Arc<Vec<Hook>>,
}

/// A policy with its bindings, by name.
#[derive(Debug)]
pub(super) struct Hook {
    pub policy: Arc<Policy>,
    pub bindings: Vec<Binding>,
}

/// A policy.
#[derive(Debug)]
pub(super) struct Policy {
    pub name: String,
    /// Its `spec`.
    pub spec: Value,
    pub is_ignoring_failures: bool,
    /// What it is about and what it says, or why nobody can tell.
    pub compiled: Result<Compiled, String>,
}

/// What a policy says.
#[derive(Debug)]
pub(super) struct Compiled {
    pub constraints: Criteria,
    pub conditions: Vec<Expression>,
    pub variables: Vec<(SmolStr, Program)>,
    /// `validations`, or `mutations`.
    pub rules: Vec<Rule>,
    pub annotations: Vec<(String, Expression)>,
}

/// An expression with its text.
#[derive(Debug)]
pub(in super::super) struct Expression {
    pub text: String,
    pub program: Program,
}

/// A validation or a mutation.
#[derive(Debug)]
pub(super) struct Rule {
    pub expression: Expression,
    pub message: Option<Program>,
    /// The rule as it was written.
    pub document: Value,
}

/// A binding of a policy.
#[derive(Debug)]
pub(super) struct Binding {
    pub name: String,
    /// Its `spec`.
    pub spec: Value,
    pub criteria: Result<Criteria, String>,
}

impl Catalog {
    /// Of policies and bindings with these plurals.
    pub fn new(policies: &'static str, bindings: &'static str) -> Catalog {
        Catalog { policies, bindings, state: Mutex::default() }
    }

    /// All policies that have a binding, by name.
    pub fn hooks(&self, caches: &Caches) -> Arc<Vec<Hook>> {
        let collection = |plural: &str| caches.collection(&format!("admissionregistration.k8s.io/{plural}"));
        let (Some(policies), Some(bindings)) = (collection(self.policies), collection(self.bindings)) else {
            return Arc::default();
        };
        if bindings.len() == 0 {
            return Arc::default();
        }
        let newest = (policies.newest(), bindings.newest());
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if state.seen != Some(newest) {
            let policies: Vec<Arc<Entry>> = policies.snapshot().starting_at("").collect();
            let bindings: Vec<Arc<Entry>> = bindings.snapshot().starting_at("").collect();
            state.renew(&policies, &bindings);
            state.seen = Some(newest);
        }
        state.hooks.clone()
    }
}

impl State {
    /// Compiles what is new, and forgets what is gone.
    fn renew(&mut self, policies: &[Arc<Entry>], bindings: &[Arc<Entry>]) {
        let mut known = std::mem::take(&mut self.policies);
        for entry in policies {
            let kept = known.remove(entry.key()).filter(|(revision, _)| *revision == entry.revision());
            let policy = kept.map_or_else(|| Arc::new(Policy::read(entry)), |(_, policy)| policy);
            self.policies.insert(entry.key().to_owned(), (entry.revision(), policy));
        }
        let mut by_policy: BTreeMap<String, Vec<Binding>> = BTreeMap::new();
        for entry in bindings {
            let binding = Binding::read(entry);
            let policy = binding.spec.get("policyName").str_or_empty().to_owned();
            by_policy.entry(policy).or_default().push(binding);
        }
        let hook = |(name, bindings): (String, Vec<Binding>)| {
            let (_, policy) = self.policies.get(&name)?;
            Some(Hook { policy: policy.clone(), bindings })
        };
        self.hooks = Arc::new(by_policy.into_iter().filter_map(hook).collect());
    }
}

fn spec_of(entry: &Entry) -> Value {
    let document = entry.object().to_value();
    document.map(|mut document| document.remove("spec").unwrap_or_default()).unwrap_or_default()
}

impl Binding {
    fn read(entry: &Entry) -> Binding {
        let spec = spec_of(entry);
        let criteria = Criteria::read(spec.get("matchResources"));
        Binding { name: entry.key().to_owned(), spec, criteria }
    }
}

impl Policy {
    fn read(entry: &Entry) -> Policy {
        let spec = spec_of(entry);
        Policy {
            name: entry.key().to_owned(),
            is_ignoring_failures: spec.get("failurePolicy").str_or_empty() == "Ignore",
            compiled: Compiled::read(&spec),
            spec,
        }
    }
}

impl Expression {
    /// Compiles an expression.
    pub fn read(environment: &Environment, text: &str, yields: &[Type]) -> Result<Expression, String> {
        let program = expressions::compile(environment, text, yields)?;
        Ok(Expression { text: text.to_owned(), program })
    }
}

impl Compiled {
    fn read(spec: &Value) -> Result<Compiled, String> {
        let is_mutating = !spec.get("mutations").is_null();
        let plain = Scope { params: !spec.get("paramKind").is_null(), authorizer: true, ..Scope::default() };
        let environment = expressions::environment(&plain);
        let conditions = spec.get("matchConditions").items().iter();
        let conditions = conditions
            .map(|condition| {
                let text = condition.get("expression").str_or_empty();
                Expression::read(&environment, text, &[Type::Bool])
            })
            .collect::<Result<_, _>>()?;
        let mut scope = Scope { patches: is_mutating, variables: Some(Vec::new()), ..plain };
        let variables = read_variables(spec, &mut scope)?;
        let environment = expressions::environment(&scope);
        let rules = if is_mutating {
            let mutations = spec.get("mutations").items().iter();
            mutations.map(|mutation| read_mutation(&environment, mutation)).collect::<Result<_, _>>()?
        } else {
            let telling = expressions::environment(&Scope { authorizer: false, ..scope.clone() });
            let validations = spec.get("validations").items().iter();
            validations
                .map(|validation| read_validation(&environment, &telling, validation))
                .collect::<Result<_, _>>()?
        };
        let annotations = spec.get("auditAnnotations").items().iter();
        let annotations = annotations
            .map(|annotation| {
                let text = annotation.get("valueExpression").str_or_empty();
                let expression = Expression::read(&environment, text, &[Type::String, Type::Null])?;
                Ok((annotation.get("key").str_or_empty().to_owned(), expression))
            })
            .collect::<Result<_, String>>()?;
        let constraints = Criteria::read(spec.get("matchConstraints"))?;
        Ok(Compiled { constraints, conditions, variables, rules, annotations })
    }
}

fn read_variables(spec: &Value, scope: &mut Scope) -> Result<Vec<(SmolStr, Program)>, String> {
    let mut variables = Vec::new();
    for variable in spec.get("variables").items() {
        let name = SmolStr::new(variable.get("name").str_or_empty());
        let text = variable.get("expression").str_or_empty();
        let program = expressions::compile(&expressions::environment(scope), text, &[])?;
        scope.variables.get_or_insert_default().push((name.clone(), program.output().clone()));
        variables.push((name, program));
    }
    Ok(variables)
}

fn read_validation(
    environment: &Environment,
    telling: &Environment,
    validation: &Value,
) -> Result<Rule, String> {
    let text = validation.get("expression").str_or_empty();
    let expression = Expression::read(environment, text, &[Type::Bool])?;
    let message = match validation.get("messageExpression").str_or_empty() {
        "" => None,
        text => Some(expressions::compile(telling, text, &[Type::String])?),
    };
    Ok(Rule { expression, message, document: validation.clone() })
}

fn read_mutation(environment: &Environment, mutation: &Value) -> Result<Rule, String> {
    let (member, yields) = match mutation.get("patchType").str_or_empty() {
        "JSONPatch" => ("jsonPatch", Environment::json_patch_type()),
        _ => ("applyConfiguration", Environment::object_type()),
    };
    let text = mutation.at(&[member, "expression"]).str_or_empty();
    let expression = Expression::read(environment, text, &[yields])?;
    Ok(Rule { expression, message: None, document: mutation.clone() })
}
