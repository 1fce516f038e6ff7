//! Writes the API's OpenAPI document: `cargo run -p hearth-model --features openapi --example openapi >
//! gateway-core/model/openapi.json`. A test of the manager compares that file with what this prints.

fn main() {
    print!("{}", hearth_model::api::openapi::text());
}
