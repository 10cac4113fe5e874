//! The name of an object within its resource.

use std::fmt;

use machinery::Object;
use smol_str::SmolStr;

/// Namespace and name. Sorts by namespace first, as lists do.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Key {
    /// The namespace; empty for what belongs to the cluster.
    pub namespace: SmolStr,
    /// The name.
    pub name: SmolStr,
}

impl Key {
    /// From its parts.
    pub fn new(namespace: &str, name: &str) -> Key {
        Key { namespace: SmolStr::new(namespace), name: SmolStr::new(name) }
    }

    /// Of an object.
    pub fn of(object: &Object) -> Key {
        let header = object.header();
        Key { namespace: header.namespace.clone(), name: header.name.clone() }
    }
}

impl fmt::Display for Key {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.namespace.is_empty() {
            out.write_str(&self.name)
        } else {
            write!(out, "{}/{}", self.namespace, self.name)
        }
    }
}
