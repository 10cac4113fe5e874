//! TokenReview, TokenRequest and SelfSubjectReview.

use machinery::Value;

use crate::Kind;
use crate::place::Place;
use crate::pod_spec::defaults::or;
use crate::policy::{NameRule, Policy};

/// Whose token is this?
pub struct TokenReview;
/// A token for a service account.
pub struct TokenRequest;
/// Who am I?
pub struct SelfSubjectReview;

const DURATION_MIN: i64 = 600;

impl Kind for TokenReview {
    fn policy(&self) -> Policy {
        Policy::cluster(NameRule::PathSegment)
    }

    fn validate_create(&self, _object: &Value, _errors: &mut machinery::field::Errors) {}
}

impl Kind for SelfSubjectReview {
    fn policy(&self) -> Policy {
        Policy::cluster(NameRule::PathSegment)
    }

    fn validate_create(&self, _object: &Value, _errors: &mut machinery::field::Errors) {}
}

impl Kind for TokenRequest {
    fn policy(&self) -> Policy {
        Policy::namespaced(NameRule::PathSegment)
    }

    fn default(&self, object: &mut Value) {
        or(object.entry("spec"), "expirationSeconds", 3600i64);
    }

    fn validate_create(&self, object: &Value, errors: &mut machinery::field::Errors) {
        crate::place::inspect(object, errors, |root| self.check(root));
    }

    fn check(&self, object: Place<'_>) {
        let spec = object.get("spec");
        let seconds = spec.get("expirationSeconds");
        if seconds.int() < DURATION_MIN {
            seconds.invalid("may not specify a duration less than 10 minutes");
        }
        if seconds.int() > 1 << 32 {
            seconds.invalid("may not specify a duration larger than 2^32 seconds");
        }
    }
}
