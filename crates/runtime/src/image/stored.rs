//! An image that is here, as containers are made of it and as the port shows it.

use super::document::ImageConfig;
use super::reference::Reference;

/// An image, ready to be used.
#[derive(Clone, Debug, Default)]
pub(crate) struct StoredImage {
    pub id: String,
    pub config: ImageConfig,
    /// The topmost first, relative to the runtime's directory.
    pub layers: Vec<String>,
    pub tags: Vec<String>,
    pub digests: Vec<String>,
    pub size: u64,
    pub pinned: bool,
}

impl StoredImage {
    /// As the port shows it.
    pub fn describe(&self) -> cri::Image {
        let user = self.config.user.split(':').next().unwrap_or_default();
        let uid = if user.is_empty() { Some(0) } else { user.parse().ok() };
        cri::Image {
            id: self.id.clone(),
            tags: self.tags.clone(),
            digests: self.digests.clone(),
            size: self.size,
            uid,
            username: if uid.is_none() { user.to_owned() } else { String::new() },
            pinned: self.pinned,
        }
    }

    /// The image by digest, of the repository that was asked for if it has several.
    pub fn reference(&self, asked: &str) -> String {
        let repository =
            Reference::parse(asked).map(|asked| format!("{}@", asked.name())).unwrap_or_default();
        let best =
            self.digests.iter().find(|digest| digest.starts_with(&repository)).or(self.digests.first());
        best.unwrap_or(&self.id).clone()
    }
}
