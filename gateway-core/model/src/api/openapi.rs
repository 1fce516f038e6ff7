//! The OpenAPI document (OpenAPI 3.1, whose schemas are JSON Schema 2020-12), made from [`Operation`] and from the
//! types of the answers.

use super::{
    ApiError, Doctor, Done, Event, Net, OpenUsage, Operation, PortForward, RankRow, Service,
    Sessions, StartPlan, Status, Top, Trace, Word, WordKind,
};
use schemars::generate::{SchemaGenerator, SchemaSettings};
use schemars::{JsonSchema, Schema};
use serde_json::{Map, Value, json};

/// The document's text, as `openapi.json` has it.
#[must_use]
pub fn text() -> String {
    // Values made of maps and texts: this can not fail.
    let mut text = serde_json::to_string_pretty(&document()).unwrap_or_default();
    text.push('\n');
    text
}

/// The document.
#[must_use]
pub fn document() -> Value {
    let settings = SchemaSettings::draft2020_12()
        .for_serialize()
        .with(|settings| {
            settings.definitions_path = "/components/schemas".into();
            settings.meta_schema = None;
        });
    let mut types = settings.into_generator();
    let mut paths: Map<String, Value> = Map::new();
    let error = content("application/json", &types.subschema_for::<ApiError>());
    for operation in Operation::ALL {
        let (verb, path) = operation.route();
        let row = paths.entry(path).or_insert_with(|| json!({}));
        if let Some(row) = row.as_object_mut() {
            let told = told(operation, &mut types, &error);
            row.insert(verb.name().to_lowercase(), told);
        }
    }
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": "Hearth",
            "version": "1",
            "description": "The API of a Hearth gateway: HTTP/1.1 over the Unix socket /run/hearth/api.sock, \
                roles by the credentials of whoever connects. Everybody who reaches the socket may GET; only the \
                gateway's own root may POST and DELETE. A request has no body. Objects may get more fields.",
            "license": { "name": "MIT", "identifier": "MIT" },
        },
        "servers": [{ "url": "http://gateway", "description": "Through the socket; the name does not matter." }],
        "security": [],
        "paths": paths,
        "components": { "schemas": types.take_definitions(true) },
    })
}

fn told(operation: Operation, types: &mut SchemaGenerator, error: &Value) -> Value {
    let parameters: Vec<Value> = operation
        .path_words()
        .iter()
        .map(|word| parameter("path", word))
        .chain(
            operation
                .options()
                .iter()
                .map(|word| parameter("query", word)),
        )
        .collect();
    let (status, about, content) = answer(operation, types);
    json!({
        "operationId": format!("{operation:?}"),
        "summary": operation.about(),
        "parameters": parameters,
        "responses": {
            status: { "description": about, "content": content },
            "default": {
                "description": "Why not: 4xx where the request is at fault, 5xx where the gateway is.",
                "content": error,
            },
        },
    })
}

fn parameter(place: &str, word: &Word) -> Value {
    let schema = match word.kind {
        WordKind::Text => json!({ "type": "string" }),
        WordKind::Number => json!({ "type": "integer", "minimum": 0 }),
        WordKind::Flag => json!({ "type": "boolean" }),
        WordKind::OneOf(words) => json!({ "type": "string", "enum": words }),
    };
    json!({
        "name": word.name, "in": place, "required": word.required, "description": word.about, "schema": schema,
    })
}

fn content(kind: &str, schema: &Schema) -> Value {
    json!({ kind: { "schema": schema } })
}

/// Status, meaning and content of the answer where all goes well.
fn answer(
    operation: Operation,
    types: &mut SchemaGenerator,
) -> (&'static str, &'static str, Value) {
    let text = || json!({ "text/plain": { "schema": { "type": "string" } } });
    let content = match operation {
        Operation::Status => of::<Status>(types),
        Operation::Services => of::<Vec<Service>>(types),
        Operation::Service => of::<Service>(types),
        Operation::Logs | Operation::Usage | Operation::UsageKey => text(),
        Operation::Act => {
            let (service, plan) = (
                types.subschema_for::<Service>(),
                types.subschema_for::<StartPlan>(),
            );
            json!({ "application/json": { "schema": { "oneOf": [service, plan] } } })
        }
        Operation::Ranking | Operation::Rank => of::<Vec<RankRow>>(types),
        Operation::Top => of::<Top>(types),
        Operation::Doctor => of::<Doctor>(types),
        Operation::Events => {
            let list = types.subschema_for::<Vec<Event>>();
            json!({
                "application/json": { "schema": list },
                "text/event-stream": { "schema": { "type": "string" } },
            })
        }
        Operation::Forwards => of::<Vec<PortForward>>(types),
        Operation::AddForward => of::<PortForward>(types),
        Operation::RemoveForward | Operation::System => {
            return ("202", "It is on its way.", of::<Done>(types));
        }
        Operation::OpenUsage => of::<OpenUsage>(types),
        Operation::Net => of::<Net>(types),
        Operation::Sessions => of::<Sessions>(types),
        Operation::Trace => of::<Trace>(types),
        Operation::OpenApi => json!({ "application/json": { "schema": { "type": "object" } } }),
    };
    ("200", "As asked.", content)
}

fn of<T: JsonSchema>(types: &mut SchemaGenerator) -> Value {
    content("application/json", &types.subschema_for::<T>())
}
