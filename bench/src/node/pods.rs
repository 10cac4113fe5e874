//! Pods made through the API on a node that is named, and followed until they run or are gone.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use bytes::Bytes;
use client::https::Connection;
use client::{Cache, Call, Client, Delete, Key, Write, resources};
use env::Env;
use http::{HeaderMap, Method};
use machinery::Object;
use serde_json::json;

use super::IMAGE;
use crate::cluster::Cluster;

const NAMESPACE: &str = "default";
/// How long pods may take that come or go together.
const PATIENCE: Duration = Duration::from_secs(240);

/// The pods of the measurement.
#[derive(Debug)]
pub struct Pods {
    client: Client,
    connection: Connection,
    cache: Cache,
    env: Env,
}

impl Pods {
    /// Begins to follow pods.
    pub async fn follow(cluster: &Cluster, env: &Env) -> Result<Pods> {
        let client = cluster.client(env)?;
        let cache: Cache =
            Cache::of(resources::PODS).namespace(NAMESPACE).start(client.transport().clone(), env);
        cache.synced().await;
        Ok(Pods { client, connection: cluster.connection(env)?, cache, env: env.clone() })
    }

    /// Makes one pod; how long from the answer that it exists to the news that it runs.
    pub async fn start(&self, name: &str) -> Result<Duration> {
        self.create(name, "bench").await?;
        let begin = self.env.clock.monotonic();
        self.wait(|cache| cache.get(&Key::new(NAMESPACE, name)).is_some_and(|entry| runs(&entry.object)))
            .await?;
        Ok(self.env.clock.monotonic() - begin)
    }

    /// Makes many; how long from before the first was asked for to the news that the last one runs.
    pub async fn start_all(&self, prefix: &str, count: usize, node: &str) -> Result<Duration> {
        let begin = self.env.clock.monotonic();
        let names: Vec<String> = (0..count).map(|number| format!("{prefix}-{number}")).collect();
        futures_util::future::try_join_all(names.iter().map(|name| self.create(name, node))).await?;
        let all_run = |cache: &Cache| {
            let running = |name: &String| {
                cache.get(&Key::new(NAMESPACE, name)).is_some_and(|entry| runs(&entry.object))
            };
            names.iter().all(running)
        };
        self.wait(all_run).await?;
        Ok(self.env.clock.monotonic() - begin)
    }

    /// Runs `true` in a pod, by way of the API server and the node's own server.
    pub async fn exec(&self, name: &str) -> Result<Duration> {
        let path = format!("/api/v1/nodes/bench/proxy/run/{NAMESPACE}/{name}/main?cmd=true");
        let begin = self.env.clock.monotonic();
        let answer = self.connection.request(Method::POST, &path, HeaderMap::new(), Bytes::new()).await?;
        ensure!(answer.status().is_success(), "the command was not run: {}", answer.status());
        Ok(self.env.clock.monotonic() - begin)
    }

    /// Deletes one pod, and waits until it is gone.
    pub async fn delete(&self, name: &str) -> Result<()> {
        let key = Key::new(NAMESPACE, name);
        // One second, so that it is the node that says when it is gone.
        let how = Delete { grace_secs: Some(1), ..Delete::default() };
        self.client.delete(resources::PODS, &key, how).await?;
        self.wait(|cache| cache.get(&key).is_none()).await
    }

    /// Deletes all pods, and waits until they are gone.
    pub async fn delete_all(&self) -> Result<()> {
        for entry in self.cache.list() {
            let how = Delete { grace_secs: Some(1), ..Delete::default() };
            self.client.delete(resources::PODS, &Key::of(&entry.object), how).await?;
        }
        self.wait(|cache| cache.list().is_empty()).await
    }

    async fn create(&self, name: &str, node: &str) -> Result<()> {
        let document = json!({
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": { "name": name },
            "spec": {
                "nodeName": node,
                "os": { "name": "linux" },
                "containers": [{
                    // As process 1 it is deaf to others, and would only be waited for.
                    "lifecycle": { "stopSignal": "SIGKILL" },
                    "name": "main",
                    "image": IMAGE,
                    "imagePullPolicy": "Never",
                    "command": ["sleep", "1000000"],
                }],
            },
        });
        let write = Write::Create(document.to_string().into_bytes().into());
        self.client.write(resources::PODS, Call::all(NAMESPACE), write).await?;
        Ok(())
    }

    /// Waits for the cache to hold what is wished for.
    async fn wait(&self, holds: impl Fn(&Cache) -> bool) -> Result<()> {
        let mut changes = self.cache.changes();
        let wished = async {
            while !holds(&self.cache) {
                changes.next_all().await;
            }
        };
        self.env.clock.timeout(PATIENCE, wished).await.context("pods do not become what they should")
    }
}

fn runs(pod: &Object) -> bool {
    pod.to_value().is_ok_and(|pod| pod.at(&["status", "phase"]).as_str() == Some("Running"))
}
