//! The kinds by which the API itself grows: `apiregistration.k8s.io` and `apiextensions.k8s.io`.

pub mod api_service;
pub mod approval;
pub mod custom_resource_definition;
mod schema;
