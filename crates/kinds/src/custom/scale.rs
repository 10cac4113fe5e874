//! Where the scale of a custom resource stands: how many there are to be, how many there are, and which.

use machinery::Value;
use machinery::field::{Error, Path};
use machinery::structural::FieldPath;

use crate::place::Place;

/// The places of a scale.
#[derive(Clone, Debug)]
pub struct Scale {
    /// As the definition writes it: `.spec.replicas`.
    pub spec_path: String,
    /// How many there are to be.
    pub spec: FieldPath,
    /// As the definition writes it: `.status.replicas`.
    pub status_path: String,
    /// How many there are.
    pub status: FieldPath,
    /// Which they are, as text, and how the definition writes its place.
    pub selector: Option<(String, FieldPath)>,
}

impl Scale {
    /// From the `scale` of a definition's `subresources`.
    pub fn read(scale: &Value) -> Option<Scale> {
        let text = |name: &str| scale.get(name).as_str().filter(|text| !text.is_empty()).map(str::to_owned);
        let (spec_path, status_path) = (text("specReplicasPath")?, text("statusReplicasPath")?);
        Some(Scale {
            spec: FieldPath::plain(&spec_path),
            status: FieldPath::plain(&status_path),
            selector: text("labelSelectorPath").map(|path| {
                let place = FieldPath::plain(&path);
                (path, place)
            }),
            spec_path,
            status_path,
        })
    }

    /// What is wrong with the numbers of an object.
    pub(super) fn check(&self, root: Place<'_>, with_spec: bool) {
        if with_spec {
            check_count(root, &self.spec, &self.spec_path);
        }
        check_count(root, &self.status, &self.status_path);
        if let Some((written, place)) = &self.selector {
            let found = place.find(root.value());
            if !found.is_null() && found.as_str().is_none() {
                let why = format!(
                    ".{} accessor error: {} is of the type {}, expected string",
                    place.names().collect::<Vec<_>>().join("."),
                    machinery::patch::go_format(found),
                    go_type(found)
                );
                root.report(Error::invalid(&Path::new(written), "", why));
            }
        }
    }
}

fn check_count(root: Place<'_>, place: &FieldPath, written: &str) {
    let path = Path::new(written);
    match place.find(root.value()) {
        Value::Null => {}
        Value::Int(count) if *count < 0 => {
            root.report(Error::invalid(&path, *count, "should be a non-negative integer"));
        }
        Value::Int(count) if *count > i64::from(i32::MAX) => {
            let why = format!("should be less than or equal to {}", i32::MAX);
            root.report(Error::invalid(&path, *count, why));
        }
        Value::Int(_) => {}
        other => {
            let why = format!(
                ".{} accessor error: {} is of the type {}, expected int64",
                place.names().collect::<Vec<_>>().join("."),
                machinery::patch::go_format(other),
                go_type(other)
            );
            root.report(Error::invalid(&path, 0i64, why));
        }
    }
}

fn go_type(value: &Value) -> &'static str {
    match value {
        Value::Null => "<nil>",
        Value::Bool(_) => "bool",
        Value::Int(_) => "int64",
        Value::Float(_) => "float64",
        Value::String(_) => "string",
        Value::Array(_) => "[]interface {}",
        Value::Object(_) => "map[string]interface {}",
    }
}
