//! Typed views that were decoded a moment ago.
//!
//! A new object is looked at several times within a few milliseconds, by its own controller and by its owner's, and
//! decoding it is the dearest part of a look. So the last few views are held on to; [`Object::view`] shares them as long
//! as anybody does. Their number and size are bounded, so that a quiet cluster does not hold its objects twice.

use std::any::Any;
use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};

use machinery::{Object, Status};
use serde::de::DeserializeOwned;

/// How many views are held.
const VIEWS: usize = 128;
/// The longest object whose view is held, in bytes of its text.
const LONGEST: usize = 16 << 10;

/// The views.
#[derive(Debug, Default)]
pub struct Recent {
    views: Mutex<VecDeque<Arc<dyn Any + Send + Sync>>>,
}

impl Recent {
    /// The object's view, which is held for a while.
    pub fn view<T>(&self, object: &Object) -> Result<Arc<T>, Status>
    where
        T: DeserializeOwned + Send + Sync + 'static,
    {
        let view = object.view::<T>()?;
        // If others hold it, it was not decoded just now.
        if Arc::strong_count(&view) == 1 && object.body().len() <= LONGEST {
            self.hold(view.clone());
        }
        Ok(view)
    }

    fn hold(&self, view: Arc<dyn Any + Send + Sync>) {
        let mut views = self.views.lock().unwrap_or_else(PoisonError::into_inner);
        let oldest = if views.len() == VIEWS { views.pop_front() } else { None };
        views.push_back(view);
        drop(views);
        // Outside the lock: it may be large.
        drop(oldest);
    }
}

#[cfg(test)]
mod tests {
    use k8s_openapi::api::core::v1::ConfigMap;
    use serde_json::json;

    use super::*;

    fn object(number: usize, text: &str) -> Object {
        let document = json!({
            "apiVersion": "v1",
            "kind": "ConfigMap",
            "metadata": { "name": format!("m{number}"), "resourceVersion": "1" },
            "data": { "text": text },
        });
        Object::from_json(document.to_string().as_bytes()).unwrap()
    }

    fn address(recent: &Recent, object: &Object) -> *const ConfigMap {
        Arc::as_ptr(&recent.view::<ConfigMap>(object).unwrap())
    }

    #[test]
    fn the_last_views_are_shared_and_older_ones_let_go() {
        let recent = Recent::default();
        let first = object(0, "");
        let seen = address(&recent, &first);
        for number in 1..VIEWS {
            address(&recent, &object(number, ""));
            assert_eq!(address(&recent, &first), seen);
        }
        let held = recent.views.lock().unwrap().front().cloned().unwrap();
        assert_eq!(Arc::strong_count(&held), 2);
        address(&recent, &object(VIEWS, ""));
        assert_eq!(Arc::strong_count(&held), 1);
        assert_eq!(recent.views.lock().unwrap().len(), VIEWS);
    }

    #[test]
    fn large_ones_are_not_held() {
        let recent = Recent::default();
        address(&recent, &object(0, &"x".repeat(LONGEST)));
        assert!(recent.views.lock().unwrap().is_empty());
    }
}
