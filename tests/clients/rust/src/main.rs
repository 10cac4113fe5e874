//! What programs do with `kube`: typed and dynamic objects, server-side apply, a watcher, and a controller that keeps what
//! it owns. `KUBECONFIG` says where the server is.

use std::collections::BTreeMap;
use std::error::Error;
use std::sync::Arc;
use std::time::Duration;

use futures::{StreamExt, TryStreamExt};
use k8s_openapi::api::core::v1::{ConfigMap, Namespace, Secret};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::api::{
    Api, DeleteParams, DynamicObject, ListParams, Patch, PatchParams, PostParams, WatchEvent, WatchParams,
};
use kube::core::Resource;
use kube::discovery::Discovery;
use kube::runtime::controller::{Action, Controller};
use kube::runtime::{WatchStreamExt, watcher};
use kube::{Client, ResourceExt};
use serde_json::json;

const NAMESPACE: &str = "rust-client";
const PATIENCE: Duration = Duration::from_secs(120);

type Done<T = ()> = Result<T, Box<dyn Error>>;

fn config_map(name: &str, entries: &[(&str, &str)]) -> ConfigMap {
    let data = entries.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned()));
    ConfigMap {
        metadata: ObjectMeta { name: Some(name.to_owned()), ..ObjectMeta::default() },
        data: Some(data.collect::<BTreeMap<_, _>>()),
        ..ConfigMap::default()
    }
}

async fn typed(client: &Client) -> Done {
    let maps: Api<ConfigMap> = Api::namespaced(client.clone(), NAMESPACE);
    let made = maps.create(&PostParams::default(), &config_map("typed", &[("a", "1")])).await?;
    let merge = Patch::Merge(json!({ "data": { "b": "2" } }));
    let patched = maps.patch("typed", &PatchParams::default(), &merge).await?;
    assert_eq!(patched.data.map(|data| data.len()), Some(2));
    match maps.replace("typed", &PostParams::default(), &made).await {
        Err(kube::Error::Api(status)) => assert_eq!(status.code, 409, "{status:?}"),
        other => panic!("an old object replaces nothing: {other:?}"),
    }
    let metadata = json!({ "name": "typed" });
    let apply = Patch::Apply(
        json!({ "apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": { "a": "3" } }),
    );
    let refused = maps.patch("typed", &PatchParams::apply("rust"), &apply).await;
    assert!(matches!(refused, Err(kube::Error::Api(status)) if status.code == 409), "others own that field");
    let applied = maps.patch("typed", &PatchParams::apply("rust").force(), &apply).await?;
    assert!(applied.managed_fields().iter().any(|entry| entry.manager.as_deref() == Some("rust")));
    assert!(maps.get_opt("nothing").await?.is_none());
    Ok(())
}

async fn dynamic(client: &Client) -> Done {
    let found = Discovery::new(client.clone()).run_aggregated().await?;
    let group = found.groups().find(|group| group.name() == "apps").ok_or("apps is discovered")?;
    let (deployment, _) = group.recommended_kind("Deployment").ok_or("deployments are discovered")?;
    let deployments: Api<DynamicObject> = Api::namespaced_with(client.clone(), NAMESPACE, &deployment);
    let pod = json!({ "metadata": { "labels": { "app": "a" } }, "spec": { "containers": [{ "name": "c", "image": "i" }] } });
    let object = DynamicObject::new("dynamic", &deployment).data(json!({
        "spec": { "selector": { "matchLabels": { "app": "a" } }, "template": pod },
    }));
    let made = deployments.create(&PostParams::default(), &object).await?;
    assert_eq!(made.data["spec"]["replicas"], json!(1), "defaults are filled in");
    let scale = Patch::Merge(json!({ "spec": { "replicas": 4 } }));
    let scaled = deployments.patch_scale("dynamic", &PatchParams::default(), &scale).await?;
    assert_eq!(scaled.spec.and_then(|spec| spec.replicas), Some(4));
    deployments.delete("dynamic", &DeleteParams::default()).await?;
    Ok(())
}

async fn watches(client: &Client) -> Done {
    let maps: Api<ConfigMap> = Api::namespaced(client.clone(), NAMESPACE);
    let revision = maps.list(&ListParams::default()).await?.metadata.resource_version.unwrap_or_default();
    maps.create(&PostParams::default(), &config_map("watched", &[])).await?;
    maps.delete("watched", &DeleteParams::default()).await?;
    let params = WatchParams::default().fields("metadata.name=watched").timeout(100);
    let mut events = maps.watch(&params, &revision).await?.boxed();
    let first = events.try_next().await?;
    assert!(matches!(first, Some(WatchEvent::Added(_))), "{first:?}");
    let second = events.try_next().await?;
    assert!(matches!(second, Some(WatchEvent::Deleted(_))), "{second:?}");

    // The runtime's watcher, by list and watch and by a streamed list.
    for config in [watcher::Config::default(), watcher::Config::default().streaming_lists()] {
        let mut all = watcher(maps.clone(), config).default_backoff().boxed();
        let mut known = Vec::new();
        while let Some(event) = all.try_next().await? {
            match event {
                watcher::Event::InitApply(object) => known.push(object.name_any()),
                watcher::Event::InitDone => break,
                _ => {}
            }
        }
        assert!(known.contains(&"typed".to_owned()), "{known:?}");
    }
    Ok(())
}

/// Every config map with the label gets a secret of its own.
async fn reconcile(owner: Arc<ConfigMap>, client: Arc<Client>) -> Result<Action, kube::Error> {
    let secrets: Api<Secret> = Api::namespaced(Client::clone(&client), NAMESPACE);
    let reference = owner.controller_owner_ref(&()).map(|reference| vec![reference]);
    let secret = json!({
        "apiVersion": "v1", "kind": "Secret", "stringData": { "of": owner.name_any() },
        "metadata": { "name": owner.name_any(), "ownerReferences": reference },
    });
    let params = PatchParams::apply("controller").force();
    secrets.patch(&owner.name_any(), &params, &Patch::Apply(secret)).await?;
    Ok(Action::await_change())
}

async fn controller(client: &Client) -> Done {
    let maps: Api<ConfigMap> = Api::namespaced(client.clone(), NAMESPACE);
    let secrets: Api<Secret> = Api::namespaced(client.clone(), NAMESPACE);
    let labelled = watcher::Config::default().labels("kept=yes");
    let running = Controller::new(maps.clone(), labelled)
        .owns(secrets.clone(), watcher::Config::default())
        .run(reconcile, |_, _, _| Action::requeue(Duration::from_millis(100)), Arc::new(client.clone()))
        .for_each(|_| async {});
    let driven = async {
        let mut object = config_map("kept", &[]);
        object.metadata.labels = Some(BTreeMap::from([("kept".to_owned(), "yes".to_owned())]));
        maps.create(&PostParams::default(), &object).await?;
        let first = until_made(&secrets, None).await?;
        secrets.delete("kept", &DeleteParams::default()).await?;
        until_made(&secrets, first.uid()).await?;
        Ok(())
    };
    tokio::select! {
        () = running => Err("the controller ended".into()),
        outcome = driven => outcome,
    }
}

/// Waits for the secret, if it is not the one with that identity.
async fn until_made(secrets: &Api<Secret>, not: Option<String>) -> Done<Secret> {
    loop {
        match secrets.get_opt("kept").await? {
            Some(secret) if secret.uid() != not => return Ok(secret),
            _ => tokio::time::sleep(Duration::from_millis(50)).await,
        }
    }
}

async fn run() -> Done {
    let client = Client::try_default().await?;
    assert_eq!(client.apiserver_version().await?.minor, "36");
    let namespaces: Api<Namespace> = Api::all(client.clone());
    let namespace = json!({ "apiVersion": "v1", "kind": "Namespace", "metadata": { "name": NAMESPACE } });
    namespaces.create(&PostParams::default(), &serde_json::from_value(namespace)?).await?;
    typed(&client).await?;
    dynamic(&client).await?;
    watches(&client).await?;
    controller(&client).await?;
    namespaces.delete(NAMESPACE, &DeleteParams::default()).await?;
    Ok(())
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Done {
    tokio::time::timeout(PATIENCE, run()).await??;
    println!("ok");
    Ok(())
}
