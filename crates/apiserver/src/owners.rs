//! Owner references: each owner once.

use machinery::Value;

/// Removes references that stand there twice; what the writer is told about it.
pub fn dedup(object: &mut Value) -> Option<String> {
    let references = object.at(&["metadata", "ownerReferences"]).items();
    let mut kept: Vec<Value> = Vec::with_capacity(references.len());
    let mut twice: Vec<String> = Vec::new();
    for reference in references {
        if kept.contains(reference) {
            twice.push(reference.get("uid").str_or_empty().to_owned());
        } else {
            kept.push(reference.clone());
        }
    }
    if twice.is_empty() {
        return None;
    }
    object.entry("metadata").set("ownerReferences", kept);
    Some(format!(
        ".metadata.ownerReferences contains duplicate entries; API server dedups owner references in 1.20+, and may \
         reject such requests as early as 1.24; please fix your requests; duplicate UID(s) observed: {}",
        twice.join(", ")
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_owner_is_kept_once() {
        let owner = |uid: &str| Value::from([("kind", Value::from("Pod")), ("uid", Value::from(uid))]);
        let references = vec![owner("a"), owner("b"), owner("a")];
        let mut object = Value::object();
        object.entry("metadata").set("ownerReferences", references);
        let warning = dedup(&mut object).unwrap();
        assert!(warning.ends_with("observed: a"), "{warning}");
        assert_eq!(object.at(&["metadata", "ownerReferences"]).items().len(), 2);
        assert_eq!(dedup(&mut object), None);
    }
}
