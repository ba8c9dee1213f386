//! The description, held against every answer of every test here.

use std::collections::BTreeSet;
use std::sync::LazyLock;

use pgjam::daemon::http::openapi;
use serde_json::{Value, json};

use crate::stage::{Answer, Stage, loopback};

static WHOLE: LazyLock<Value> = LazyLock::new(openapi::whole);

/// Follows a reference inside the description.
fn followed(value: &Value) -> &Value {
    match value["$ref"].as_str() {
        Some(to) => WHOLE.pointer(to.strip_prefix('#').unwrap()).unwrap(),
        None => value,
    }
}

/// Holds an answer against what is described for its path, method, status and kind.
#[track_caller]
pub(crate) fn hold(method: &str, target: &str, answer: &Answer) {
    let path = target.split('?').next().unwrap();
    let kind = answer.field("content-type");
    let kind = kind.split(';').next().unwrap();
    let described = &WHOLE["paths"][path];
    if kind == "application/problem+json" {
        valid(&WHOLE["components"]["schemas"]["Problem"], &answer.body);
    }
    // What every path has, and none where there is no path, is not told path by path.
    let is_general = described.is_null() || answer.status == 405 || method == "OPTIONS";
    if is_general || answer.status == 0 {
        return;
    }
    let method = if method == "HEAD" { "get" } else { method };
    let responses = &described[method.to_lowercase()]["responses"];
    let response = followed(&responses[answer.status.to_string()]);
    assert!(
        !response.is_null(),
        "{method} {target} is not to answer {answer:#?}"
    );
    let content = &response["content"][kind];
    assert!(
        !content.is_null(),
        "{method} {target} is not to answer in {kind}"
    );
    if kind.ends_with("json") && !answer.body.is_empty() {
        valid(&content["schema"], &answer.body);
    }
}

#[track_caller]
fn valid(schema: &Value, body: &str) {
    let body: Value = serde_json::from_str(body).unwrap();
    let mut schema = schema.clone();
    schema["components"] = WHOLE["components"].clone();
    let validator = jsonschema::options()
        .should_validate_formats(true)
        .build(&schema)
        .unwrap();
    let complaints: Vec<String> = validator
        .iter_errors(&body)
        .map(|error| format!("{}: {error}", error.instance_path()))
        .collect();
    assert_eq!(complaints, Vec::<String>::new(), "{body:#}");
}

fn described() -> BTreeSet<(String, String)> {
    let paths = WHOLE["paths"].as_object().unwrap();
    let methods = paths.iter().flat_map(|(path, operations)| {
        let methods = operations.as_object().unwrap().keys();
        methods.map(|method| (path.clone(), method.to_uppercase()))
    });
    methods.collect()
}

#[test]
fn what_is_described_is_there_and_what_is_there_is_described() {
    // Every path with a GET has its HEAD, and every path tells its methods.
    let there: BTreeSet<(String, String)> = openapi::paths()
        .into_iter()
        .flat_map(|(path, methods)| {
            let own = methods
                .into_iter()
                .filter(|m| !["HEAD", "OPTIONS"].contains(m));
            own.map(move |method| (path.to_owned(), method.to_owned()))
        })
        .collect();
    assert_eq!(there, described());
}

#[test]
fn every_path_takes_its_methods_and_refuses_others() {
    let stage = Stage::jammed(&loopback());
    for (path, methods) in openapi::paths() {
        let allow = methods.join(", ");
        let options = stage.ask("OPTIONS", path, &[], "").is(204);
        assert_eq!(options.field("allow"), allow, "{path}");
        assert!(!options.fields.contains_key("access-control-allow-origin"));
        for method in ["POST", "PUT", "PATCH", "DELETE", "TRACE"] {
            if !methods.contains(&method) {
                let answer = stage.ask(method, path, &[], "").refuses(405, "this method");
                assert_eq!(answer.field("allow"), allow, "{method} {path}");
            }
        }
        std::thread::sleep(std::time::Duration::from_millis(300));
    }
}

#[test]
fn every_path_answers_as_it_is_described() {
    let stage = Stage::jammed(&loopback());
    for (path, method) in described() {
        if path == "/api/v1/stream" {
            continue;
        }
        let target = match path.as_str() {
            "/api/v1/diagnosis" => {
                path.clone() + "?from=2025-11-23T12:13:20Z&to=2025-11-23T12:13:40Z"
            }
            _ => path.clone(),
        };
        let answer = if method == "POST" {
            stage
                .post(&target, &json!({ "label": "a" }).to_string())
                .is(201)
        } else {
            let head = stage.ask("HEAD", &target, &[], "").is(200);
            assert_eq!(head.body, "", "{target}");
            stage.get(&target).is(200)
        };
        assert!(!answer.body.is_empty(), "{target}");
        assert_eq!(answer.field("cache-control"), "no-store", "{target}");
        assert_eq!(
            answer.field("x-content-type-options"),
            "nosniff",
            "{target}"
        );
    }
}

/// Finds what a description refers to.
fn references<'a>(value: &'a Value, found: &mut Vec<&'a str>) {
    match value {
        Value::Object(members) => {
            found.extend(value["$ref"].as_str());
            for member in members.values() {
                references(member, found);
            }
        }
        Value::Array(items) => {
            for item in items {
                references(item, found);
            }
        }
        _ => {}
    }
}

#[test]
fn the_description_is_served_whole() {
    let stage = Stage::empty(&loopback());
    let served = stage.get("/api/v1/openapi.json").is(200).json();
    assert_eq!(served, *WHOLE);
    assert_eq!(served["openapi"], "3.1.0");
    // No reference leads out of it, or nowhere.
    let mut found = Vec::new();
    references(&served, &mut found);
    assert!(found.len() > 20);
    for to in found {
        let inside = to.strip_prefix('#');
        assert!(
            inside.is_some_and(|to| served.pointer(to).is_some()),
            "{to}"
        );
    }
}
