//! Questions about images.

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use cri::wire::Message;
use cri::{RuntimeError, v1};

use super::sandboxes::PIECE;
use super::{Endpoint, Known, Refusal, decode, one};

/// Answers what is about images; `None` if it is not.
pub(super) async fn call(endpoint: &Endpoint, method: &str, body: &[u8]) -> Known {
    match method {
        "ListImages" => one(&v1::ListImagesResponse { images: list(endpoint, body).await? }),
        "StreamImages" => {
            let all = list(endpoint, body).await?;
            let pieces = all.chunks(PIECE).map(|part| v1::ListImagesResponse { images: part.to_vec() });
            Ok(Some(pieces.map(|piece| piece.encode()).collect()))
        }
        "ImageStatus" => {
            let asked: v1::ImageRequest = decode(body)?;
            let found = endpoint.runtime.image(reference(asked.image)?).await?;
            let image = found.as_ref().map(v1::image);
            one(&v1::ImageStatusResponse { image, info: Default::default() })
        }
        "PullImage" => {
            let asked: v1::PullImageRequest = decode(body)?;
            let credentials = v1::credentials(asked.auth.map(opened).transpose()?);
            let image_ref = endpoint.runtime.pull_image(reference(asked.image)?, credentials).await?;
            one(&v1::PullImageResponse { image_ref })
        }
        "RemoveImage" => {
            let asked: v1::ImageRequest = decode(body)?;
            match endpoint.runtime.remove_image(reference(asked.image)?).await {
                Ok(()) | Err(RuntimeError::NotFound { .. }) => one(&v1::Nothing {}),
                Err(error) => Err(error.into()),
            }
        }
        "ImageFsInfo" => {
            let used = endpoint.runtime.image_usage().await?;
            let mountpoint = endpoint.config.store.to_string_lossy().into_owned();
            let usage = v1::FilesystemUsage {
                timestamp: endpoint.env.clock.now().0,
                fs_id: Some(v1::FilesystemIdentifier { mountpoint }),
                used_bytes: Some(v1::UInt64Value { value: used }),
                inodes_used: None,
            };
            one(&v1::ImageFsInfoResponse {
                image_filesystems: vec![usage],
                container_filesystems: Vec::new(),
            })
        }
        _ => Ok(None),
    }
}

fn reference(image: Option<v1::ImageSpec>) -> cri::Result<String> {
    let reference = image.map(|image| image.image).unwrap_or_default();
    if reference.is_empty() {
        return Err(RuntimeError::Invalid("the image is not named".to_owned()));
    }
    Ok(reference)
}

async fn list(endpoint: &Endpoint, body: &[u8]) -> Result<Vec<v1::Image>, Refusal> {
    let filter = decode::<v1::ListImagesRequest>(body)?.filter.and_then(|filter| filter.image);
    let wanted = filter.map(|image| image.image).filter(|image| !image.is_empty());
    let found = match wanted {
        Some(reference) => endpoint.runtime.image(reference).await?.into_iter().collect(),
        None => endpoint.runtime.list_images().await?,
    };
    Ok(found.iter().map(v1::image).collect())
}

/// A user's name and password may come as one text, as they stand in Docker's configuration.
fn opened(mut auth: v1::AuthConfig) -> cri::Result<v1::AuthConfig> {
    if !auth.registry_token.is_empty() {
        return Err(RuntimeError::Invalid("tokens of registries cannot be used as they are".to_owned()));
    }
    if auth.username.is_empty() && !auth.auth.is_empty() {
        let bad = || RuntimeError::Invalid("the text that opens the registry makes no sense".to_owned());
        let text = BASE64_STANDARD.decode(auth.auth.trim()).map_err(|_| bad())?;
        let text = String::from_utf8(text).map_err(|_| bad())?;
        let (user, password) = text.split_once(':').ok_or_else(bad)?;
        // Docker pads it.
        (auth.username, auth.password) = (user.to_owned(), password.trim_end_matches('\0').to_owned());
    }
    Ok(auth)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_passwords_may_come_as_one_text() {
        let auth = |text: &str| v1::AuthConfig { auth: text.to_owned(), ..v1::AuthConfig::default() };
        let read = opened(auth("dXNlcjpwYTpzcw==")).unwrap();
        assert_eq!((read.username.as_str(), read.password.as_str()), ("user", "pa:ss"));
        for bad in ["%", "dXNlcg==", "/w=="] {
            assert!(opened(auth(bad)).is_err(), "{bad}");
        }
        let token = v1::AuthConfig { registry_token: "t".to_owned(), ..v1::AuthConfig::default() };
        assert!(opened(token).is_err());
        assert_eq!(v1::credentials(None).len() + v1::credentials(Some(auth(""))).len(), 0);
        assert_eq!(v1::credentials(Some(read))[0].password, "pa:ss");
    }
}
