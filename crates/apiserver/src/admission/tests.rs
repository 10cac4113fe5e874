//! Reviews for the tests of plugins.

use api::Table;

use super::*;
use crate::authz::tests::World;

/// A write as a test tells it.
pub(crate) struct Reviewed {
    served: Arc<Served>,
    operation: Operation,
    subresource: String,
    namespace: String,
    name: String,
    object: Value,
    old: Value,
}

impl Reviewed {
    /// `create pods/binding p` of the core group, or `update apps/deployments d`, in a namespace; the documents are JSON.
    pub(crate) fn new(world: &World, what: &str, namespace: &str, (object, old): (&str, &str)) -> Reviewed {
        let words: Vec<&str> = what.split(' ').collect();
        let (plural, subresource) = words[1].split_once('/').unwrap_or((words[1], ""));
        let operation = match words[0] {
            "create" => Operation::Create,
            "update" => Operation::Update,
            _ => Operation::Delete,
        };
        let registry = Registry::built_in(Table::load(), &world.caches);
        let parse =
            |json: &str| machinery::json::parse(json.as_bytes()).expect("the test's JSON is well-formed");
        Reviewed {
            served: registry.find("", "v1", plural).expect("the test's resource exists").clone(),
            operation,
            subresource: subresource.to_owned(),
            namespace: namespace.to_owned(),
            name: words[2].to_owned(),
            object: parse(object),
            old: parse(old),
        }
    }

    /// The write, by somebody.
    pub(crate) fn review<'a>(&'a self, identity: &'a Identity) -> Review<'a> {
        Review {
            operation: self.operation,
            identity,
            served: &self.served,
            subresource: &self.subresource,
            namespace: &self.namespace,
            name: &self.name,
            object: self.object.clone(),
            old: &self.old,
            is_dry_run: false,
            warnings: Vec::new(),
            annotations: BTreeMap::new(),
        }
    }
}

/// Why a plugin refuses a write; empty if it does not.
pub(crate) async fn refusal(
    plugin: &dyn Plugin,
    reviewed: &Reviewed,
    identity: &Identity,
    world: &World,
) -> String {
    let mut review = reviewed.review(identity);
    let registry = ArcSwap::from_pointee(Registry::built_in(Table::load(), &world.caches));
    let around = Surroundings {
        caches: &world.caches,
        registry: &registry,
        entropy: &world.env.entropy,
        env: &world.env,
        system_roots: &[],
    };
    if !plugin.wants(&review) {
        return String::new();
    }
    if let Some(step) = plugin.mutate(&mut review, around)
        && let Err(status) = step.await
    {
        return status.message;
    }
    match plugin.validate(&mut review, around) {
        Some(step) => step.await.err().map(|status| status.message).unwrap_or_default(),
        None => String::new(),
    }
}
