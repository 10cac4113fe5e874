//! Images as the engine's callers see them: fetched, and removed when nothing uses them.

use std::collections::BTreeSet;
use std::sync::Arc;

use cri::Credentials;

use super::Shared;
use crate::plan::MountSource;

impl Shared {
    pub(super) async fn pull_image(
        self: &Arc<Self>,
        reference: &str,
        credentials: &[Credentials],
    ) -> cri::Result<String> {
        crate::image::pull(&self.images, reference, credentials, &self.env).await
    }

    pub(super) async fn remove_image(self: &Arc<Self>, reference: String) -> cri::Result<()> {
        let shared = self.clone();
        self.blocking(move || shared.images.remove(&reference, &shared.used_layers())).await
    }

    /// Layers that containers stand on.
    pub(super) fn used_layers(&self) -> BTreeSet<String> {
        let state = self.state();
        let layers = state.containers.values().flat_map(|container| {
            let plan = &container.record.plan;
            let mounted = plan.mounts.iter().filter_map(|mount| match &mount.source {
                MountSource::Layers(layers, _) => Some(layers),
                MountSource::Path(_) => None,
            });
            mounted.chain([&plan.layers]).flatten().cloned()
        });
        layers.collect()
    }
}
