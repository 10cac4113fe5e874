//! The rules of each kind: defaults, what a write must look like, what an update may change, what a table shows.
//!
//! One file per kind, one line in [`rules`]. Rules see documents that were already decoded and checked against the
//! kind's schema (names, types), in canonical order. They do no I/O and know no time but what they are handed.

use machinery::Value;
use machinery::field::Errors;

/// Through which door a write comes in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Door<'a> {
    /// The object itself.
    Main,
    /// A subresource that writes a part of the object: `status`, `resize`, `approval`, …
    Sub(&'a str),
}

/// Everything that is particular about a kind. The defaults of the methods fit a kind without particulars.
pub trait Kind: Sync {
    /// Fills in what was left out. Runs on every document of the kind that comes in.
    fn default(&self, _object: &mut Value) {}

    /// Before a create is checked: removes what a client may not set (`status`), sets `metadata.generation` where the
    /// kind counts generations.
    fn prepare_create(&self, _object: &mut Value) {}

    /// What is wrong with a new object, beyond its metadata.
    fn validate_create(&self, _object: &Value, _errors: &mut Errors) {}

    /// Before an update through `door` is checked: takes over from `old` what this door may not change, counts
    /// `metadata.generation` up if what it counts changed.
    fn prepare_update(&self, _object: &mut Value, _old: &Value, _door: Door<'_>) {}

    /// What is wrong with an update, beyond its metadata.
    fn validate_update(&self, _object: &Value, _old: &Value, _door: Door<'_>, _errors: &mut Errors) {}

    /// What the writer should be told although the write is right.
    fn warnings(&self, _object: &Value, _old: Option<&Value>) -> Vec<String> {
        Vec::new()
    }

    /// Fields that may be selected on beside `metadata.name` and `metadata.namespace`: names and their values here.
    fn selectable(&self, _object: &Value) -> Vec<(&'static str, String)> {
        Vec::new()
    }

    /// The names that [`Kind::selectable`] answers for any object of the kind.
    fn selectable_names(&self) -> &'static [&'static str] {
        &[]
    }

    /// The columns of its table, between `Name` and nothing: the first cell is always the name.
    fn columns(&self) -> &'static [Column] {
        &[]
    }

    /// The cells of its row, one for each column.
    fn row(&self, _object: &Value, _now_secs: i64) -> Vec<Value> {
        Vec::new()
    }
}

/// A column of a kind's table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Column {
    /// The heading.
    pub name: &'static str,
    /// `string`, `integer`, `boolean`, `date`.
    pub kind: &'static str,
    /// OpenAPI format: `name` for names, else mostly empty.
    pub format: &'static str,
    /// What it shows.
    pub description: &'static str,
    /// 0 is always shown, 1 only in wide output.
    pub priority: i32,
}
