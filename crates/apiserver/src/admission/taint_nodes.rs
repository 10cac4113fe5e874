//! `TaintNodesByCondition`: nothing is scheduled on a new node before it says that it is ready.

use machinery::Value;

use super::{Operation, Plugin, Review, Step, Surroundings};

const TAINT: &str = "node.kubernetes.io/not-ready";

#[derive(Debug)]
pub(super) struct TaintNodes;

impl Plugin for TaintNodes {
    fn name(&self) -> &'static str {
        "TaintNodesByCondition"
    }

    fn wants(&self, review: &Review<'_>) -> bool {
        review.served.is("", "nodes")
            && review.subresource.is_empty()
            && review.operation == Operation::Create
    }

    fn mutate<'a>(&'a self, review: &'a mut Review<'_>, _: Surroundings<'a>) -> Option<Step<'a>> {
        let taints = review.object.entry("spec").entry("taints");
        let is_there = |taint: &Value| {
            taint.get("key").str_or_empty() == TAINT && taint.get("effect").str_or_empty() == "NoSchedule"
        };
        if !taints.items().iter().any(is_there) {
            let taint = [("key", Value::from(TAINT)), ("effect", Value::from("NoSchedule"))];
            taints.make_array().push(Value::from(taint));
        }
        None
    }
}
