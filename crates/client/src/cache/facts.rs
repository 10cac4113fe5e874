//! What is worked out of each object once per revision, and how it is read.

use machinery::{Object, Status};
use serde::de::DeserializeOwned;
use serde_json::Value;

/// What is worked out of each object once per revision.
pub trait Facts: Sized + Send + Sync + 'static {
    /// From the object.
    fn of(object: &Object) -> Result<Self, Status>;
}

impl Facts for () {
    fn of(_object: &Object) -> Result<(), Status> {
        Ok(())
    }
}

/// The few members of an object that somebody asks for.
///
/// A member may be `null` wherever it may be missing: lists without members are shown so that have to be shown.
pub fn read<T: DeserializeOwned>(object: &Object) -> Result<T, Status> {
    serde_json::from_slice(object.body())
        .or_else(|_| {
            let mut tree: Value = serde_json::from_slice(object.body())?;
            drop_nulls(&mut tree);
            serde_json::from_value(tree)
        })
        .map_err(|error| Status::internal(format!("it cannot be read: {error}")))
}

fn drop_nulls(value: &mut Value) {
    match value {
        Value::Object(members) => {
            members.retain(|_, member| !member.is_null());
            members.values_mut().for_each(drop_nulls);
        }
        Value::Array(items) => items.iter_mut().for_each(drop_nulls),
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use serde::Deserialize;

    use super::*;

    #[derive(Debug, Default, Deserialize, PartialEq)]
    #[serde(default)]
    struct Image {
        names: Vec<String>,
    }

    #[derive(Debug, Default, Deserialize, PartialEq)]
    #[serde(default)]
    struct Slim {
        images: Vec<Image>,
    }

    fn object(body: &str) -> Object {
        let head = r#""apiVersion":"v1","kind":"Node","metadata":{"name":"n"}"#;
        Object::from_json(format!("{{{head},{body}}}").as_bytes()).unwrap()
    }

    #[test]
    fn a_member_that_is_null_is_as_good_as_missing() {
        let expected = Slim { images: vec![Image::default(), Image { names: vec!["a".to_owned()] }] };
        assert_eq!(read::<Slim>(&object(r#""images":[{"names":null},{"names":["a"]}]"#)), Ok(expected));
        assert_eq!(read::<Slim>(&object(r#""images":null"#)), Ok(Slim::default()));
        assert!(read::<Slim>(&object(r#""images":7"#)).unwrap_err().message.contains("it cannot be read"));
    }
}
