//! Who belongs to whom: an owner takes in orphans its selector finds and lets go of what it finds no more.

use client::plan::{Op, Plan};
use client::{Key, Resource};
use machinery::Object;
use machinery::selector::LabelSelector;
use serde_json::json;

/// An object that owns others.
pub struct Owner<'a> {
    /// What it is.
    pub resource: Resource,
    /// The object.
    pub object: &'a Object,
    /// What it selects.
    pub selector: &'a LabelSelector,
}

/// What to do with an object that an owner might own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Claim {
    /// It is ours and stays so.
    Keep,
    /// It is nobody's and becomes ours.
    Adopt,
    /// It was ours and is let go.
    Release,
    /// It is no concern of ours.
    Ignore,
}

impl Owner<'_> {
    /// What to do with `object`, which must fit and be selected.
    pub fn claim(&self, object: &Object, fits: impl Fn(&Object) -> bool) -> Claim {
        let (us, header) = (self.object.header(), object.header());
        let is_selected = client::selector::selects(self.selector, header) && fits(object);
        match header.controller() {
            Some(controller) if controller.uid != us.uid => Claim::Ignore,
            Some(_) if is_selected => Claim::Keep,
            Some(_) if us.deleting => Claim::Ignore,
            Some(_) => Claim::Release,
            None if us.deleting || header.deleting || !is_selected => Claim::Ignore,
            None => Claim::Adopt,
        }
    }

    /// The reference that makes us the controller of an object.
    pub fn reference(&self) -> serde_json::Value {
        let header = self.object.header();
        json!({
            "apiVersion": self.resource.api_version(),
            "kind": self.resource.kind,
            "name": header.name.as_str(),
            "uid": header.uid.as_str(),
            "controller": true,
            "blockOwnerDeletion": true,
        })
    }

    /// Sorts out `objects` of `resource`: plans adoptions and releases, and answers with those that are ours then.
    pub fn claim_all<T>(
        &self,
        plan: &mut Plan,
        resource: Resource,
        objects: Vec<T>,
        object_of: impl Fn(&T) -> &Object,
    ) -> Vec<T> {
        self.claim_those(plan, resource, objects, object_of, |_| true)
    }

    /// The same, of objects that must fit in yet another way.
    pub fn claim_those<T>(
        &self,
        plan: &mut Plan,
        resource: Resource,
        objects: Vec<T>,
        object_of: impl Fn(&T) -> &Object,
        fits: impl Fn(&Object) -> bool,
    ) -> Vec<T> {
        let mut ours = Vec::new();
        let (mut adoptions, mut releases) = (Vec::new(), Vec::new());
        for item in objects {
            let object = object_of(&item);
            match self.claim(object, &fits) {
                Claim::Ignore => {}
                Claim::Keep => ours.push(item),
                Claim::Adopt => {
                    adoptions.push(self.adopt(resource, object));
                    ours.push(item);
                }
                Claim::Release => releases.push(self.release(resource, object)),
            }
        }
        if !adoptions.is_empty() {
            plan.because(format!("takes in {} {} that nobody owns", adoptions.len(), resource.plural));
            plan.confirm(self.resource, self.object);
            plan.push_together(adoptions);
        }
        if !releases.is_empty() {
            plan.because(format!(
                "lets go of {} {} it does not select any more",
                releases.len(),
                resource.plural
            ));
            plan.push_together(releases);
        }
        ours
    }

    fn adopt(&self, resource: Resource, object: &Object) -> Op {
        let patch = json!({
            "metadata": { "uid": object.header().uid.as_str(), "ownerReferences": [self.reference()] },
        });
        Op::strategic_patch(resource, &Key::of(object), &patch)
    }

    fn release(&self, resource: Resource, object: &Object) -> Op {
        let reference = json!({ "$patch": "delete", "uid": self.object.header().uid.as_str() });
        let patch = json!({
            "metadata": { "uid": object.header().uid.as_str(), "ownerReferences": [reference] },
        });
        // Gone (404) or replaced by another of its name (422): either way it is not ours.
        Op::strategic_patch(resource, &Key::of(object), &patch).tolerating(&[404, 422])
    }
}
