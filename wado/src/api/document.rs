//! The OpenAPI document (3.1), from the tables that the routes are made from.

use serde_json::{Map, Value, json};

use crate::error::PROBLEM_JSON;
use crate::operation::{Answer, Kind, Media, Operation, Parameter, Place, Schema, kind_of, variables};

/// The schemas with a name.
const SCHEMAS: &str = include_str!("schemas.json");
const JSON_SCHEMA: &str = "https://spec.openapis.org/oas/3.1/dialect/base";
/// What may hinder any of them; `default` would hide what nobody means.
const REFUSALS: [(&str, &str); 4] = [
    ("4XX", "The request cannot be answered; the problem says why."),
    ("500", "What is asked for is damaged, or the server could not answer; the problem says which."),
    ("502", "A peer did not do what it was asked for."),
    ("503", "Not now; try again later."),
];

/// A resource by the template of its path, and what can be done with it.
pub(crate) struct Described<'a> {
    pub(crate) tag: &'static str,
    pub(crate) path: String,
    pub(crate) operations: Vec<&'a Operation>,
}

/// The document of these resources, as a client sees them below `server`.
pub(crate) fn document(resources: &[Described<'_>], version: &str, server: &str) -> Value {
    let mut paths = Map::new();
    for Described { tag, path, operations } in resources {
        let item = paths.entry(path.clone()).or_insert_with(|| Value::Object(Map::new()));
        let Value::Object(item) = item else { continue };
        let of_path: Vec<Value> = variables(path).map(path_parameter).collect();
        if !of_path.is_empty() {
            item.insert("parameters".to_owned(), Value::Array(of_path));
        }
        for operation in operations {
            item.insert(operation.method.to_ascii_lowercase(), described(operation, tag, path));
        }
    }
    let schemas: Value = serde_json::from_str(SCHEMAS).expect("a test reads it");
    json!({
        "openapi": "3.1.0",
        "jsonSchemaDialect": JSON_SCHEMA,
        "info": {
            "title": "filmless",
            "version": version,
            "description": "The archive's own API, and its DICOMweb service (PS3.18) as far as OpenAPI can tell it.",
            "license": { "name": "Apache-2.0", "identifier": "Apache-2.0" },
        },
        "servers": [{ "url": server }],
        "paths": paths,
        "components": { "schemas": schemas },
    })
}

fn described(operation: &Operation, tag: &str, path: &str) -> Value {
    let mut answers = Map::new();
    for Answer { status, media } in operation.answers {
        let mut answer = Map::from_iter([("description".to_owned(), json!(describe(*status)))]);
        if !media.is_empty() {
            answer.insert("content".to_owned(), content(media));
        }
        answers.insert(status.to_string(), Value::Object(answer));
    }
    let problem = [Media::new(PROBLEM_JSON, Schema::One("Problem"))];
    for (status, about) in REFUSALS {
        answers.insert(status.to_owned(), json!({ "description": about, "content": content(&problem) }));
    }
    let mut described = Map::new();
    let mut put = |name: &str, value| described.insert(name.to_owned(), value);
    put("operationId", json!(operation.name_at(path)));
    put("tags", json!([tag]));
    put("summary", json!(operation.summary));
    if !operation.parameters.is_empty() {
        put("parameters", operation.parameters.iter().map(parameter).collect());
    }
    if !operation.body.is_empty() {
        put("requestBody", json!({ "required": true, "content": content(operation.body) }));
    }
    put("responses", Value::Object(answers));
    Value::Object(described)
}

fn describe(status: u16) -> &'static str {
    match status {
        101 => "It goes on in another protocol.",
        200 => "What was asked for.",
        201 => "It was made; Location says where.",
        202 => "Some of it.",
        204 => "Done, or nothing matches.",
        206 => "A part of it.",
        304 => "It is what the client has.",
        409 => "None of it.",
        _ => "So it is.",
    }
}

fn content(media: &[Media]) -> Value {
    let mut content = Map::new();
    for Media { name, schema } in media {
        let value = match schema {
            Schema::Opaque => json!({}),
            Schema::One(name) => json!({ "schema": reference(name) }),
            Schema::Many(name) => json!({ "schema": { "type": "array", "items": reference(name) } }),
        };
        content.insert((*name).to_owned(), value);
    }
    Value::Object(content)
}

fn reference(name: &str) -> Value {
    json!({ "$ref": format!("#/components/schemas/{name}") })
}

fn parameter(parameter: &Parameter) -> Value {
    let place = if parameter.place == Place::Query { "query" } else { "header" };
    json!({
        "in": place,
        "name": parameter.name,
        "required": parameter.is_required,
        "description": parameter.about,
        "schema": kind(parameter.kind),
    })
}

fn path_parameter(name: &str) -> Value {
    json!({ "in": "path", "name": name, "required": true, "schema": kind(kind_of(name)) })
}

fn kind(kind: Kind) -> Value {
    match kind {
        Kind::Text => json!({ "type": "string" }),
        Kind::Uid => reference("Uid"),
        Kind::Uids => json!({ "type": "array", "items": reference("Uid") }),
        Kind::Number => json!({ "type": "integer", "minimum": 0 }),
        Kind::Flag => json!({ "type": "boolean" }),
        Kind::OneOf(values) => json!({ "enum": values }),
    }
}
