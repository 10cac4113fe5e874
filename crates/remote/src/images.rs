//! Images of another's runtime.

use std::time::Duration;

use cri::{Credentials, Image, Result, RuntimeError, v1};
use grpc::Code;

use crate::service::Service;
use crate::{LIMIT, Remote};

/// How long an image may take to be fetched. Whoever waits shorter drops the call.
const FETCHING: Duration = Duration::from_secs(24 * 3_600);

fn request(reference: &str) -> v1::ImageRequest {
    v1::ImageRequest { image: Some(v1::image_spec(reference)) }
}

pub(crate) async fn list(remote: &Remote) -> Result<Vec<Image>> {
    let request = v1::ListImagesRequest::default();
    let answer: v1::ListImagesResponse =
        remote.connection.call(Service::Image, "ListImages", &request, LIMIT).await?;
    Ok(answer.images.into_iter().map(v1::image_answer).collect())
}

pub(crate) async fn find(remote: &Remote, reference: String) -> Result<Option<Image>> {
    let asked = remote.connection.call(Service::Image, "ImageStatus", &request(&reference), LIMIT).await;
    let answer: v1::ImageStatusResponse = match asked {
        Err(failure) if failure.code == Code::NOT_FOUND => return Ok(None),
        asked => asked?,
    };
    Ok(answer.image.map(v1::image_answer))
}

/// Fetches an image with the first of the credentials that opens the registry.
pub(crate) async fn pull(
    remote: &Remote,
    reference: String,
    credentials: Vec<Credentials>,
) -> Result<String> {
    let mut keys: Vec<Option<v1::AuthConfig>> =
        credentials.iter().map(|credentials| Some(v1::auth(credentials))).collect();
    if keys.is_empty() {
        keys.push(None);
    }
    let mut problem = RuntimeError::Image(format!("{reference} cannot be fetched"));
    for auth in keys {
        let request = v1::PullImageRequest { image: Some(v1::image_spec(&reference)), auth };
        let pulled = remote.connection.call(Service::Image, "PullImage", &request, FETCHING).await;
        match pulled {
            Ok(v1::PullImageResponse { image_ref }) => return Ok(image_ref),
            Err(failure) => problem = RuntimeError::Image(failure.message),
        }
    }
    Err(problem)
}

pub(crate) async fn remove(remote: &Remote, reference: String) -> Result<()> {
    let request = request(&reference);
    match remote.connection.call::<v1::Nothing>(Service::Image, "RemoveImage", &request, LIMIT).await {
        Err(failure) if failure.code == Code::NOT_FOUND => Ok(()),
        outcome => Ok(outcome.map(drop)?),
    }
}

pub(crate) async fn usage(remote: &Remote) -> Result<u64> {
    let answer: v1::ImageFsInfoResponse =
        remote.connection.call(Service::Image, "ImageFsInfo", &v1::Nothing {}, LIMIT).await?;
    let used = answer.image_filesystems.into_iter().filter_map(|filesystem| filesystem.used_bytes);
    Ok(used.fold(0, |sum, bytes| sum.saturating_add(bytes.value)))
}
