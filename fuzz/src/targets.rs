//! All targets: one file each, one line here.

mod apply;
mod cel;
mod cri;
mod dns;
mod etcd;
mod hpack;
mod http2;
mod image;
mod json;
mod json_patch;
mod kinds;
mod merge_patch;
mod objects;
mod protobuf;
mod request;
mod scalars;
mod sealed;
mod seeds;
mod selectors;
mod spdy;
mod strategic_patch;
mod structural;
mod yaml;

use crate::target::Target;

/// How each target is made.
pub const ALL: &[fn() -> Target] = &[
    json::target,
    yaml::target,
    protobuf::target,
    scalars::target,
    sealed::target,
    selectors::target,
    json_patch::target,
    merge_patch::target,
    strategic_patch::target,
    apply::target,
    objects::target,
    kinds::target,
    structural::target,
    cel::target,
    request::target,
    spdy::target,
    hpack::target,
    http2::target,
    dns::target,
    image::target,
    etcd::target,
    cri::target,
];
