//! The test suite of JSON Schema.

use super::Schema;
use serde_json::Value;

const DATA: &str = include_str!("../../../../tests/conformance/json-schema.json");

/// A schema that is not here, or another dialect, whose own schema is not here.
fn is_elsewhere(detail: &str) -> bool {
    detail.contains("nothing is fetched") || detail.contains("only schemas of 2020-12")
}

/// All that is required, but for what is to be fetched.
#[test]
fn the_suite_of_json_schema_passes() {
    let suite: Value = serde_json::from_str(DATA).unwrap();
    let (mut passed, mut failed, mut fetched) = (0, Vec::new(), 0);
    for group in suite["groups"].as_array().unwrap() {
        let name = format!("{}: {}", group["file"].as_str().unwrap(), group["description"].as_str().unwrap());
        let (schema, tests) = (&group["schema"], group["tests"].as_array().unwrap());
        let schema = match Schema::strict(schema.clone()) {
            Ok(schema) => schema,
            Err(flaws) if flaws.iter().all(|flaw| is_elsewhere(&flaw.detail)) => {
                fetched += tests.len();
                continue;
            }
            Err(flaws) => {
                failed.push(format!("{name}: {flaws:?}"));
                continue;
            }
        };
        for test in tests {
            let fits = schema.check_data(&test["data"]);
            assert_eq!(fits.is_ok(), schema.check(&test["data"]).is_ok());
            if fits.is_ok() == test["valid"].as_bool().unwrap() {
                passed += 1;
            } else {
                failed.push(format!("{name}: {}: {fits:?}", test["description"].as_str().unwrap()));
            }
        }
    }
    assert!(failed.is_empty(), "{passed} passed, {} failed:\n{}", failed.len(), failed.join("\n"));
    assert_eq!((passed, fetched), (1246, 53));
    println!("{passed} passed, {fetched} are about schemas that would have to be fetched");
}
