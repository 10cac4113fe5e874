//! From a manifest to a pod: who it is, and where it runs.

use machinery::{Object, Value};

use crate::pod::{CONFIG_HASH, CONFIG_SOURCE};

/// The pod of a manifest, in YAML or JSON, for the node of that name. The error is for the log.
pub(super) fn pod(text: &[u8], node: &str) -> Result<Object, String> {
    let mut document = machinery::yaml::decode(text).map_err(|error| error.to_string())?;
    if document.get("kind").as_str() != Some("Pod") || document.get("apiVersion").as_str() != Some("v1") {
        return Err("its kind is not Pod, of version v1".to_owned());
    }
    let name = document.at(&["metadata", "name"]).str_or_empty().to_owned();
    if name.is_empty() {
        return Err("it has no name".to_owned());
    }
    if document.at(&["spec", "containers"]).items().is_empty() {
        return Err("it has no containers".to_owned());
    }
    let uid = identity(text, node);
    let namespace = match document.at(&["metadata", "namespace"]).str_or_empty() {
        "" => "default".to_owned(),
        given => given.to_owned(),
    };
    let metadata = document.entry("metadata").make_object();
    // Two nodes may have the same manifest.
    metadata.insert("name", format!("{name}-{node}").as_str());
    metadata.insert("namespace", namespace.as_str());
    metadata.insert("uid", uid.as_str());
    metadata.insert("resourceVersion", "0");
    let annotations = metadata.entry("annotations").make_object();
    annotations.insert(CONFIG_HASH, uid.as_str());
    annotations.insert(CONFIG_SOURCE, "file");
    let spec = document.entry("spec").make_object();
    spec.insert("nodeName", node);
    // Nobody could send it away.
    let expelling = [("operator", Value::from("Exists")), ("effect", Value::from("NoExecute"))];
    spec.entry("tolerations").make_array().push(Value::from(expelling));
    Object::from_value(&document).map_err(|status| status.message)
}

/// The same for the same manifest on the same node; another for another. FNV-1a twice, as its value never changes.
fn identity(text: &[u8], node: &str) -> String {
    let hash = |seed: u64| {
        let bytes = node.bytes().chain([0]).chain(text.iter().copied());
        bytes.fold(seed, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3))
    };
    format!("{:016x}{:016x}", hash(0xcbf2_9ce4_8422_2325), hash(0x8422_2325_cbf2_9ce4))
}
