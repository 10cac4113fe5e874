//! What clients put around bodies: paths, parameters, `Accept`, tokens of lists and of users.

use apiserver::parsers;

use crate::target::{Target, Verdict, outcome, same};

const WORDS: &[&str] = &[
    "/api/v1/",
    "/apis/",
    "namespaces/",
    "/watch/",
    "pods/",
    "/status",
    "/proxy/",
    "%2F",
    "%00",
    "%zz",
    "+",
    "&",
    "limit=1",
    "continue=",
    "resourceVersion=0",
    "resourceVersionMatch=Exact",
    "watch=1",
    "sendInitialEvents=true",
    "labelSelector=a",
    "fieldSelector=metadata.name=x",
    "timeoutSeconds=-1",
    "application/json;as=Table;v=v1;g=meta.k8s.io,",
    "application/vnd.kubernetes.protobuf",
    ";q=0.5",
    "*/*",
    "application/*",
    "application/com.github.proto-openapi.spec.v2.v1.0+protobuf",
    "eyJ2IjoibWV0YS5rOHMuaW8vdjEiLCJydiI6Nywic3RhcnQiOiJhL2IifQ",
    ".",
    "pretty=true",
];
const TEXTS: &[&str] = &[
    "/api/v1/namespaces/default/pods/web-0/log?follow=true&tailLines=10",
    "/apis/apps/v1/watch/namespaces/d/deployments?labelSelector=app%3Dx&resourceVersion=7&timeoutSeconds=5",
    "/api/v1/pods?limit=500&continue=eyJ2IjoibWV0YS5rOHMuaW8vdjEiLCJydiI6Nywic3RhcnQiOiJhL2IifQ",
    "application/json;as=Table;v=v1;g=meta.k8s.io,application/json;q=0.9,*/*;q=0.1",
    "application/vnd.kubernetes.protobuf;as=PartialObjectMetadata;g=meta.k8s.io;v=v1",
    "application/com.github.proto-openapi.spec.v2.v1.0+protobuf,application/json",
    "eyJ2IjoibWV0YS5rOHMuaW8vdjEiLCJydiI6Nywic3RhcnQiOiJhL2IifQ",
    "eyJhbGciOiJSUzI1NiIsImtpZCI6ImEifQ.eyJzdWIiOiJiIn0.AAAA",
];

pub fn target() -> Target {
    let seeds = TEXTS.iter().map(|text| text.as_bytes().to_vec()).collect();
    Target { name: "request", seeds, words: WORDS, run: Box::new(run) }
}

fn run(input: &[u8]) -> Verdict {
    let text = String::from_utf8_lossy(input);
    let (path, query) = text.split_once('?').unwrap_or((&text, ""));
    let mut taken = Vec::new();
    for method in ["GET", "POST", "PATCH", "DELETE"] {
        let route = parsers::route(method, path, query);
        same("a path is read the same each time", &parsers::route(method, path, query), &route)?;
        taken.push(route.unwrap_or_else(|| "nothing".to_owned()));
    }
    for watch in [false, true] {
        let options = parsers::list_options(query, watch);
        taken.push(options.map_or_else(|status| outcome("", &status.message), |()| "options".to_owned()));
    }
    match parsers::continue_token(&text) {
        Ok(token) => {
            same(
                "a token is read as it was written",
                &parsers::continue_token(&token).ok(),
                &Some(token.clone()),
            )?;
            taken.push("token".to_owned());
        }
        Err(status) => taken.push(outcome("", &status.message)),
    }
    match parsers::form(input, query) {
        Ok(form) => taken.push(form),
        Err(status) => taken.push(outcome("", &status.message)),
    }
    taken.push(parsers::openapi_form(&text).unwrap_or("none").to_owned());
    taken.push(parsers::web_token(&text).to_string());
    Ok(taken.join(" "))
}
