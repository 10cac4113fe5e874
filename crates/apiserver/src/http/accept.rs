//! What form the client wants the answer in.

use http::HeaderMap;
use http::header::ACCEPT;
use machinery::{Reason, Status};

use crate::query::Query;

/// An encoding of documents.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Media {
    /// `application/json`
    #[default]
    Json,
    /// `application/yaml`
    Yaml,
    /// `application/vnd.kubernetes.protobuf`
    Protobuf,
}

/// What is shown instead of the object.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Shape {
    /// The object itself.
    #[default]
    Whole,
    /// `as=Table`
    Table(MetaVersion),
    /// `as=PartialObjectMetadata`
    Metadata(MetaVersion),
    /// `as=PartialObjectMetadataList`
    MetadataList(MetaVersion),
}

/// The version of `meta.k8s.io` that was asked for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum MetaVersion {
    /// `v1`
    #[default]
    V1,
    /// `v1beta1`
    V1Beta1,
}

impl MetaVersion {
    /// `meta.k8s.io/v1`
    pub fn api_version(self) -> &'static str {
        match self {
            MetaVersion::V1 => "meta.k8s.io/v1",
            MetaVersion::V1Beta1 => "meta.k8s.io/v1beta1",
        }
    }
}

/// The form of an answer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Form {
    /// The encoding.
    pub media: Media,
    /// What is shown.
    pub shape: Shape,
    /// Whether JSON is indented.
    pub pretty: bool,
    /// Whether `stream=watch` was asked for.
    pub stream: bool,
}

/// All encodings, in the order in which a wildcard picks.
pub const ALL: &[Media] = &[Media::Json, Media::Yaml, Media::Protobuf];

impl Media {
    /// The media type.
    pub fn name(self) -> &'static str {
        match self {
            Media::Json => "application/json",
            Media::Yaml => "application/yaml",
            Media::Protobuf => "application/vnd.kubernetes.protobuf",
        }
    }
}

/// What a resource can be shown as.
#[derive(Clone, Copy, Debug)]
pub struct Offer<'a> {
    /// The encodings.
    pub media: &'a [Media],
    /// Whether tables and bare metadata are to be had.
    pub shapes: bool,
}

/// Everything there is for objects.
pub const OBJECTS: Offer<'static> = Offer { media: ALL, shapes: true };
/// Everything there is for documents that are no objects (discovery, reviews).
pub const DOCUMENTS: Offer<'static> = Offer { media: ALL, shapes: false };

/// One alternative of an `Accept` header.
#[derive(Debug)]
struct Clause<'a> {
    kind: &'a str,
    subtype: &'a str,
    quality: f32,
    parameters: Vec<(&'a str, &'a str)>,
}

/// Picks the form that the client likes best of those on offer.
pub fn negotiate(headers: &HeaderMap, query: &Query, offer: Offer<'_>) -> Result<Form, Status> {
    let accept: Vec<&str> = headers.get_all(ACCEPT).iter().filter_map(|value| value.to_str().ok()).collect();
    let accept = accept.join(",");
    let pretty = wants_pretty(headers, query);
    if accept.trim().is_empty() {
        return Ok(Form { media: offer.media[0], pretty, ..Form::default() });
    }
    let mut clauses: Vec<Clause<'_>> = accept.split(',').filter_map(read_clause).collect();
    // Best quality first, then the more specific; otherwise as the client ordered them.
    clauses.sort_by(|a, b| {
        let specific =
            |clause: &Clause<'_>| (clause.kind != "*", clause.subtype != "*", clause.parameters.len());
        b.quality.total_cmp(&a.quality).then_with(|| {
            let (a, b) = (specific(a), specific(b));
            (b.0, b.1).cmp(&(a.0, a.1))
        })
    });
    for clause in &clauses {
        for media in offer.media {
            if clause.fits(*media)
                && let Some(form) = clause.form(*media, offer, pretty)
            {
                return Ok(form);
            }
        }
    }
    Err(not_acceptable(offer.media))
}

/// Picks the form of custom resources: their objects have no protobuf, their metadata do.
pub fn negotiate_custom(headers: &HeaderMap, query: &Query, streams: bool) -> Result<Form, Status> {
    const WHOLE: Offer<'static> = Offer { media: &[Media::Json, Media::Yaml], shapes: true };
    let form = negotiate(headers, query, OBJECTS);
    match form {
        Ok(form) if form.media == Media::Protobuf && matches!(form.shape, Shape::Whole | Shape::Table(_)) => {
            negotiate(headers, query, WHOLE)
        }
        Err(_) => negotiate(headers, query, WHOLE),
        other => other,
    }
    .map_err(|status| if streams { with_streams(&status) } else { status })
}

/// Where there is a stream, it is among the forms there are.
fn with_streams(status: &Status) -> Status {
    let message = format!("{}, application/json;stream=watch", status.message);
    Status::new(status.code, Reason::NotAcceptable, message)
}

/// 406 with the encodings there are.
pub fn not_acceptable(media: &[Media]) -> Status {
    let names: Vec<&str> = media.iter().map(|media| media.name()).collect();
    let message = format!("only the following media types are accepted: {}", names.join(", "));
    Status::new(406, Reason::NotAcceptable, message)
}

/// 406 as the router answers it: for those who want nothing of what there is, in whatever shape.
pub fn check_route(headers: &HeaderMap, streams: bool) -> Result<(), Status> {
    let accept: Vec<&str> = headers.get_all(ACCEPT).iter().filter_map(|value| value.to_str().ok()).collect();
    let accept = accept.join(",");
    let mut clauses = accept.split(',').filter_map(read_clause);
    if accept.trim().is_empty() || clauses.any(|clause| ALL.iter().any(|media| clause.fits(*media))) {
        return Ok(());
    }
    let mut names: Vec<String> = ALL.iter().map(|media| media.name().to_owned()).collect();
    if streams {
        names.extend([Media::Json, Media::Protobuf].map(|media| format!("{};stream=watch", media.name())));
    }
    let message = format!("406: Not Acceptable\n\nAvailable representations: {}", names.join(", "));
    let mut status = Status::new(406, Reason::NotAcceptable, message);
    status.details = Some(Box::default());
    Err(status)
}

fn read_clause(text: &str) -> Option<Clause<'_>> {
    let mut parts = text.split(';').map(str::trim);
    let (kind, subtype) = parts.next()?.split_once('/')?;
    let mut clause = Clause { kind, subtype, quality: 1.0, parameters: Vec::new() };
    for part in parts {
        let Some((name, value)) = part.split_once('=') else { continue };
        if name == "q" {
            clause.quality = value.parse().unwrap_or(1.0);
        } else {
            clause.parameters.push((name, value));
        }
    }
    Some(clause)
}

impl Clause<'_> {
    fn fits(&self, media: Media) -> bool {
        let (kind, subtype) = media.name().split_once('/').unwrap_or_default();
        (self.kind == "*" || self.kind == kind) && (self.subtype == "*" || self.subtype == subtype)
    }

    fn parameter(&self, name: &str) -> &str {
        self.parameters.iter().find(|(key, _)| *key == name).map_or("", |(_, value)| value)
    }

    fn form(&self, media: Media, offer: Offer<'_>, pretty: bool) -> Option<Form> {
        let shape = match self.parameter("as") {
            "" => Shape::Whole,
            wanted => {
                let version = match (self.parameter("g"), self.parameter("v")) {
                    ("meta.k8s.io", "v1") => MetaVersion::V1,
                    ("meta.k8s.io", "v1beta1") => MetaVersion::V1Beta1,
                    _ => return None,
                };
                match wanted {
                    _ if !offer.shapes => return None,
                    "Table" if media != Media::Protobuf => Shape::Table(version),
                    "PartialObjectMetadata" => Shape::Metadata(version),
                    "PartialObjectMetadataList" => Shape::MetadataList(version),
                    _ => return None,
                }
            }
        };
        let pretty = match self.parameter("pretty") {
            "" => pretty,
            value => value != "0" && value != "false",
        };
        Some(Form { media, shape, pretty, stream: self.parameter("stream") == "watch" })
    }
}

/// `?pretty=…` decides; without it, people with a terminal or a browser get indented JSON.
fn wants_pretty(headers: &HeaderMap, query: &Query) -> bool {
    if let Some(pretty) = query.option_flag("pretty") {
        return pretty;
    }
    let agent = headers.get(http::header::USER_AGENT).and_then(|value| value.to_str().ok()).unwrap_or("");
    ["curl", "Wget", "Mozilla/5.0"].iter().any(|known| agent.starts_with(known))
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    fn pick(accept: &str, offer: Offer<'_>) -> Result<Form, Status> {
        let mut headers = HeaderMap::new();
        headers.insert(ACCEPT, HeaderValue::from_str(accept).unwrap());
        negotiate(&headers, &Query::default(), offer)
    }

    fn form(media: Media, shape: Shape) -> Form {
        Form { media, shape, ..Form::default() }
    }

    #[test]
    fn the_best_fitting_alternative_wins() {
        let table = "application/json;as=Table;v=v1;g=meta.k8s.io,application/json";
        assert_eq!(pick(table, OBJECTS), Ok(form(Media::Json, Shape::Table(MetaVersion::V1))));
        assert_eq!(pick(table, DOCUMENTS), Ok(form(Media::Json, Shape::Whole)));
        assert_eq!(pick("*/*", OBJECTS), Ok(form(Media::Json, Shape::Whole)));
        assert_eq!(
            pick("application/*;q=0.1, application/yaml", OBJECTS),
            Ok(form(Media::Yaml, Shape::Whole))
        );
        let protobuf = "application/vnd.kubernetes.protobuf,application/json";
        assert_eq!(pick(protobuf, OBJECTS), Ok(form(Media::Protobuf, Shape::Whole)));
        let beta = "application/json;as=PartialObjectMetadata;v=v1beta1;g=meta.k8s.io";
        assert_eq!(pick(beta, OBJECTS), Ok(form(Media::Json, Shape::Metadata(MetaVersion::V1Beta1))));
        assert!(pick("application/json;stream=watch", OBJECTS).is_ok_and(|form| form.stream));
    }

    #[test]
    fn what_is_not_on_offer_is_refused_with_what_is() {
        let expected = "only the following media types are accepted: application/json, application/yaml, \
                        application/vnd.kubernetes.protobuf";
        for accept in [
            "text/plain",
            "application/vnd.kubernetes.protobuf;as=Table;v=v1;g=meta.k8s.io",
            "application/json;as=Table;v=v9;g=meta.k8s.io",
            "application/json;as=Chair;v=v1;g=meta.k8s.io",
        ] {
            let status = pick(accept, OBJECTS).unwrap_err();
            assert_eq!((status.code, status.message.as_str()), (406, expected), "{accept}");
        }
    }
}
