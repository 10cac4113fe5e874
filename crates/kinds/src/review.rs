//! The kinds that ask the server something and are not kept: `authentication.k8s.io` and `authorization.k8s.io`.

pub mod access;
pub mod token;
