//! A thin convenience over a transport: bodies from anything that serialises, answers as objects or typed views.

use std::sync::Arc;

use bytes::Bytes;
use machinery::{Object, Status};
use serde::Serialize;

use crate::transport::{Call, Delete, ListAnswer, Resource, SharedTransport, Write};
use crate::{Key, Typed};

/// Who asks the API, and the calls everybody needs.
#[derive(Clone, Debug)]
pub struct Client {
    transport: SharedTransport,
}

/// JSON of anything that serialises.
pub fn json(body: &impl Serialize) -> Result<Bytes, Status> {
    serde_json::to_vec(body)
        .map(Bytes::from)
        .map_err(|error| Status::internal(format!("a request body cannot be written: {error}")))
}

impl Client {
    /// Calls go through `transport`, as whoever it is.
    pub fn new(transport: SharedTransport) -> Client {
        Client { transport }
    }

    /// What calls go through.
    pub fn transport(&self) -> &SharedTransport {
        &self.transport
    }

    /// An object, typed. `namespace` is empty for kinds of the cluster.
    pub async fn get<T: Typed>(&self, namespace: &str, name: &str) -> Result<Arc<T>, Status> {
        self.object(T::RESOURCE, &Key::new(namespace, name)).await?.view()
    }

    /// An object as it is shared.
    pub async fn object(&self, resource: Resource, key: &Key) -> Result<Object, Status> {
        self.transport.get(resource, Call::object(&key.namespace, &key.name)).await
    }

    /// An object, or `None` if there is none of the name.
    pub async fn find(&self, resource: Resource, key: &Key) -> Result<Option<Object>, Status> {
        match self.object(resource, key).await {
            Ok(object) => Ok(Some(object)),
            Err(status) if status.code == 404 => Ok(None),
            Err(status) => Err(status),
        }
    }

    /// All objects that match, typed.
    pub async fn list<T: Typed>(&self, call: Call) -> Result<Vec<Arc<T>>, Status> {
        self.objects(T::RESOURCE, call).await?.items.iter().map(Object::view).collect()
    }

    /// All objects that match, as they are shared.
    pub async fn objects(&self, resource: Resource, call: Call) -> Result<ListAnswer, Status> {
        self.transport.list(resource, call).await
    }

    /// Makes a typed object.
    pub async fn create<T: Typed>(&self, namespace: &str, object: &T) -> Result<Object, Status> {
        self.write(T::RESOURCE, Call::all(namespace), Write::Create(json(object)?)).await
    }

    /// Replaces a typed object. Prefer a patch: fields the type does not know are lost.
    pub async fn update<T: Typed>(&self, namespace: &str, name: &str, object: &T) -> Result<Object, Status> {
        self.write(T::RESOURCE, Call::object(namespace, name), Write::Update(json(object)?)).await
    }

    /// Replaces the status of a typed object.
    pub async fn update_status<T: Typed>(
        &self,
        namespace: &str,
        name: &str,
        object: &T,
    ) -> Result<Object, Status> {
        let call = Call::object(namespace, name).subresource("status");
        self.write(T::RESOURCE, call, Write::Update(json(object)?)).await
    }

    /// Changes what a merge patch names.
    pub async fn patch(
        &self,
        resource: Resource,
        key: &Key,
        patch: &impl Serialize,
    ) -> Result<Object, Status> {
        let call = Call::object(&key.namespace, &key.name);
        self.write(resource, call, Write::MergePatch(json(patch)?)).await
    }

    /// Changes what a merge patch names, through the status subresource.
    pub async fn patch_status(
        &self,
        resource: Resource,
        key: &Key,
        patch: &impl Serialize,
    ) -> Result<Object, Status> {
        let call = Call::object(&key.namespace, &key.name).subresource("status");
        self.write(resource, call, Write::MergePatch(json(patch)?)).await
    }

    /// Removes an object.
    pub async fn delete(&self, resource: Resource, key: &Key, how: Delete) -> Result<Object, Status> {
        self.write(resource, Call::object(&key.namespace, &key.name), Write::Delete(how)).await
    }

    /// Any write.
    pub async fn write(&self, resource: Resource, call: Call, write: Write) -> Result<Object, Status> {
        self.transport.write(resource, call, write).await
    }
}
