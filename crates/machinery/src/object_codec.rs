//! Reading and writing [`Object`](crate::Object)s.

use crate::{Object, Status, Value};

pub(crate) fn from_value(_document: &Value) -> Result<Object, Status> {
    Err(Status::internal("under construction"))
}

pub(crate) fn from_json(_bytes: &[u8]) -> Result<Object, Status> {
    Err(Status::internal("under construction"))
}

pub(crate) fn to_value(_object: &Object) -> Result<Value, Status> {
    Err(Status::internal("under construction"))
}
