//! The description of it all, in `OpenAPI` 3.1.
//!
//! `reports/pgjam.openapi.json` is written by hand. Where it refers to the schemas beside it,
//! what is served has them inside, so that it stands for itself.

use std::sync::LazyLock;

use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse as _, Response};
use serde_json::Value;

pub use super::routes::paths;

const DESCRIPTION: &str = include_str!("../../../reports/pgjam.openapi.json");

/// The schemas that have files of their own, by the names they go by inside.
const SCHEMAS: [(&str, &str); 2] = [
    (
        "Graph",
        include_str!("../../../reports/pgjam.graph.schema.json"),
    ),
    (
        "Diagnosis",
        include_str!("../../../reports/pgjam.diagnosis.schema.json"),
    ),
];

/// Answers with the description.
pub(super) async fn show() -> Response {
    static WHOLE: LazyLock<String> = LazyLock::new(|| whole().to_string());
    ([(CONTENT_TYPE, "application/json")], WHOLE.as_str()).into_response()
}

/// Gives the description with all schemas in it.
#[must_use]
pub fn whole() -> Value {
    // All of these are part of the program, and tests read them.
    let mut whole: Value = serde_json::from_str(DESCRIPTION).unwrap_or_default();
    for (name, schema) in SCHEMAS {
        let mut schema: Value = serde_json::from_str(schema).unwrap_or_default();
        if let Some(schema) = schema.as_object_mut() {
            schema.remove("$schema");
            schema.remove("$id");
        }
        point_inside(&mut schema, name);
        whole["components"]["schemas"][name] = schema;
    }
    whole["info"]["version"] = env!("CARGO_PKG_VERSION").into();
    whole
}

/// Lets a schema's references to itself begin at the root of the description.
fn point_inside(value: &mut Value, name: &str) {
    match value {
        Value::Object(members) => {
            for (key, member) in members {
                match member {
                    Value::String(to) if key == "$ref" => {
                        *to = to.replacen("#/", &format!("#/components/schemas/{name}/"), 1);
                    }
                    member => point_inside(member, name),
                }
            }
        }
        Value::Array(items) => items.iter_mut().for_each(|item| point_inside(item, name)),
        _ => {}
    }
}
