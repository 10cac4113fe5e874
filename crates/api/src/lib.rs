//! The table of kinds: groups, versions, kinds, their types, resources and subresources. Facts only; [`Table::load`]
//! reads them from `table.txt`, which `cargo xtask extract` writes.
//!
//! ```
//! let table = api::Table::load();
//! let pod = table.kind("", "v1", "Pod").expect("pods exist");
//! assert!(table.type_of(pod).field("spec").is_some());
//! assert_eq!(table.resource("apps", "v1", "deployments").map(|resource| resource.kind), Some("Deployment"));
//! ```

pub mod discovery;
pub mod openapi;
mod reader;
pub mod table;

pub use table::{GroupVersion, Kind, Resource, Subresource, Table, Verb};
