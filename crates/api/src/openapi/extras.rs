//! Paths that belong to no group: the server's version, and how its service-account tokens are checked.

use super::paths::{Answer, Body, Media, Operation};

/// The type of what the server tells about its own version.
pub(super) const VERSION_INFO: &str = "io.k8s.apimachinery.pkg.version.Info";

/// A path that only answers.
pub(super) struct Extra {
    pub path: &'static str,
    pub tag: &'static str,
    id: &'static str,
    description: &'static str,
    media: Media,
    /// The type of the answer; empty for text.
    answer: &'static str,
    /// Whether the operation says what it reads, though it reads nothing.
    pub reads: bool,
}

/// All of them.
pub(super) const EXTRAS: [Extra; 3] = [
    Extra {
        path: "/.well-known/openid-configuration/",
        tag: "WellKnown",
        id: "getServiceAccountIssuerOpenIDConfiguration",
        description: "get service account issuer OpenID configuration, also known as the 'OIDC discovery doc'",
        media: Media::Json,
        answer: "",
        reads: false,
    },
    Extra {
        path: "/openid/v1/jwks/",
        tag: "openid",
        id: "getServiceAccountIssuerOpenIDKeyset",
        description: "get service account issuer OpenID JSON Web Key Set (contains public token verification keys)",
        media: Media::Keys,
        answer: "",
        reads: false,
    },
    Extra {
        path: "/version/",
        tag: "version",
        id: "getCodeVersion",
        description: "get the version information for this server",
        media: Media::Json,
        answer: VERSION_INFO,
        reads: true,
    },
];

impl Extra {
    /// What can be done there.
    pub(super) fn operation(&self) -> Operation<'static> {
        let answer = match self.answer {
            "" => Answer::Text,
            name => Answer::Document(name.to_owned()),
        };
        Operation {
            method: "get",
            action: "",
            id: self.id.to_owned(),
            description: self.description.to_owned(),
            kind: None,
            parameters: Vec::new(),
            body: Body::None,
            answers: vec![(200, answer)],
            media: self.media,
        }
    }
}
