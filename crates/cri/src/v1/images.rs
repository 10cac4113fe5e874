//! Images.

use std::collections::BTreeMap;

use super::{Int64Value, UInt64Value};
use crate::wire::messages;

messages! {
    ImageSpec {
        1 image: String,
        2 annotations: BTreeMap<String, String>,
        18 user_specified_image: String,
        19 runtime_handler: String,
        20 image_ref: String,
    }
    /// What most questions about images carry.
    ImageRequest { 1 image: Option<ImageSpec> }
    ListImagesRequest { 1 filter: Option<ImageRequest> }
    Image {
        1 id: String,
        2 repo_tags: Vec<String>,
        3 repo_digests: Vec<String>,
        4 size: u64,
        5 uid: Option<Int64Value>,
        6 username: String,
        7 spec: Option<ImageSpec>,
        8 pinned: bool,
    }
    ListImagesResponse { 1 images: Vec<Image> }
    ImageStatusResponse { 1 image: Option<Image>, 2 info: BTreeMap<String, String> }
    AuthConfig {
        1 username: String,
        2 password: String,
        3 auth: String,
        4 server_address: String,
        5 identity_token: String,
        6 registry_token: String,
    }
    PullImageRequest { 1 image: Option<ImageSpec>, 2 auth: Option<AuthConfig> }
    PullImageResponse { 1 image_ref: String }
    FilesystemIdentifier { 1 mountpoint: String }
    FilesystemUsage {
        1 timestamp: i64,
        2 fs_id: Option<FilesystemIdentifier>,
        3 used_bytes: Option<UInt64Value>,
        4 inodes_used: Option<UInt64Value>,
    }
    ImageFsInfoResponse {
        1 image_filesystems: Vec<FilesystemUsage>,
        2 container_filesystems: Vec<FilesystemUsage>,
    }
}
