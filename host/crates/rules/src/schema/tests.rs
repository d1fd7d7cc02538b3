use super::{Misfit, Schema};
use serde_json::{Value, json};

fn check(schema: &Value, value: &Value) -> Result<(), Misfit> {
    Schema::new(schema.clone()).unwrap().check(value)
}

/// A keyword, what does not fit it and where, and what does.
#[test]
fn what_does_not_fit_is_refused_where_it_stands() {
    let cases = json!([
        [{ "type": "integer" }, 1.5, "", "must be a whole number, and is `1.5`", 1.0],
        [{ "type": ["string", "null"] }, [], "", "must be a text or nothing, and is a list", null],
        [{ "enum": ["equals", 1] }, "equal", "", "is the text \"equal\" (did you mean `equals`?)", 1.0],
        [{ "const": { "a": [1] } }, { "a": [2] }, "", "must be an object", { "a": [1.0] }],
        [{ "minimum": 3 }, 2, "", "must be at least 3, and is `2`", 3],
        [{ "exclusiveMaximum": 3 }, 3, "", "must be less than 3", 2],
        [{ "multipleOf": 0.5 }, 0.7, "", "must be a multiple of 0.5", 1.5],
        [{ "maxLength": 1 }, "éé", "", "has 2 characters, and may have 1 at most", "é"],
        [{ "pattern": "^\\$" }, "a", "", "must match `^\\$`, which the text \"a\" does not", "$.a"],
        [{ "minItems": 1 }, [], "", "has 0 items, and must have 1 at least", [0]],
        [{ "items": { "type": "string" } }, ["a", 1], "/1", "must be a text, and is `1`", ["a"]],
        [{ "prefixItems": [true, { "type": "string" }], "items": false }, [1, "a", 2], "/2", "not allowed", [1, "a"]],
        [{ "uniqueItems": true }, [1, 2, 1.0], "/2", "is there twice", [1, 2]],
        [{ "contains": { "const": 1 } }, [2], "", "has no item of the form", [2, 1]],
        [{ "required": ["a"] }, { "b": 1 }, "", "`a` is missing", { "a": 1 }],
        [{ "dependentRequired": { "a": ["b"] } }, { "a": 1 }, "", "`b` is missing", {}],
        [{ "properties": { "a/b": { "type": "string" } } }, { "a/b": 1 }, "/a~1b", "must be a text", { "c": 1 }],
        [
            { "properties": { "minimum": true }, "additionalProperties": false }, { "minimun": 1 }, "/minimun",
            "is not known here (did you mean `minimum`?); known: `minimum`", { "minimum": 1 },
        ],
        [{ "additionalProperties": { "type": "string" } }, { "a": 1 }, "/a", "must be a text", { "a": "b" }],
        [
            { "patternProperties": { "^x-": { "type": "string" } }, "additionalProperties": false }, { "x-a": 1 },
            "/x-a", "must be a text", { "x-a": "b" },
        ],
        [{ "propertyNames": { "maxLength": 1 } }, { "ab": 1 }, "/ab", "has 2 characters", { "a": 1 }],
        [{ "maxProperties": 1 }, { "a": 1, "b": 1 }, "", "has 2 members", { "a": 1 }],
        [{ "allOf": [true, { "type": "string" }] }, 1, "", "must be a text", "a"],
        [{ "not": { "type": "string" } }, "a", "", "has a form that is not allowed", 1],
        [{ "oneOf": [{ "minimum": 1 }, { "minimum": 2 }] }, 3, "", "fits several of the forms", 1],
        [{ "if": { "minimum": 5 }, "then": false, "else": { "minimum": 1 } }, 0, "", "at least 1", 2],
        [
            { "anyOf": [{ "type": "string" }, { "type": "null" }] }, 1, "",
            "must be a text, and is `1`, or must be nothing, and is `1`", null,
        ],
        [
            { "oneOf": [
                { "properties": { "all": { "items": { "required": ["path"] } } }, "required": ["all"] },
                { "properties": { "any": true }, "required": ["any"] },
            ] },
            { "all": [{}] }, "/all/0", "`path` is missing", { "any": 1 },
        ],
        [
            { "$ref": "#/$defs/tree", "$defs": { "tree": { "additionalProperties": { "$ref": "#/$defs/tree" } , "type": "object"} } },
            { "a": { "b": 1 } }, "/a/b", "must be an object, and is `1`", { "a": { "b": {} } },
        ],
    ]);
    for case in cases.as_array().unwrap() {
        let [schema, wrong, pointer, detail, right] = case.as_array().unwrap().as_slice() else { panic!("{case}") };
        let misfit = check(schema, wrong).unwrap_err();
        assert_eq!(misfit.pointer, pointer.as_str().unwrap(), "{case}: {misfit:?}");
        assert!(misfit.detail.contains(detail.as_str().unwrap()), "{case}: {misfit:?}");
        assert_eq!(check(schema, right), Ok(()), "{case}");
    }
}

#[test]
fn what_is_no_schema_is_refused() {
    for (schema, problem) in [
        (json!([]), "is no object"),
        (json!("object"), "is no object"),
        (json!({ "items": { "$ref": "#/$defs/none" } }), "refers to `#/$defs/none`"),
        (json!({ "$ref": "https://example.test/schema" }), "refers to `https://example.test/schema`"),
    ] {
        assert!(Schema::new(schema.clone()).unwrap_err().contains(problem), "{schema}");
    }
    assert!(Schema::new(json!({ "enum": [{ "$ref": "#/none" }], "unknown": 1, "type": "tree" })).is_ok());
}

/// Nobody vouches for a schema: whatever it is, a check ends, and soon.
#[test]
fn a_schema_that_means_ill_costs_little() {
    let double = |name: &str, next: &str| json!({ name: { "allOf": [{ "$ref": next }, { "$ref": next }] } });
    let mut defs = serde_json::Map::new();
    for level in 0..40 {
        let doubled = double(&level.to_string(), &format!("#/$defs/{}", level + 1));
        defs.extend(doubled.as_object().unwrap().clone());
    }
    defs.insert("40".to_owned(), json!(true));
    let repetition = json!({ "pattern": "^(a{1,1000}){1,1000}$" });
    let many: serde_json::Map<_, _> = (0..5000).map(|n| (format!("^a{n}.*b$"), json!(false))).collect();
    let list: Vec<u32> = (0..20_000).collect();
    let names: Vec<String> = (0..5000).map(|n| format!("a{n}")).collect();
    let members: serde_json::Map<_, _> = (0..20_000).map(|n| (format!("b{n}"), json!(1))).collect();
    for (schema, value) in [
        (json!({ "$ref": "#" }), json!(1)),
        (json!({ "anyOf": [{ "$ref": "#" }, { "$ref": "#" }] }), json!(1)),
        (json!({ "$ref": "#/$defs/0", "$defs": defs }), json!(1)),
        (json!({ "uniqueItems": true, "items": false }), json!(list)),
        (repetition, json!("a".repeat(10_000))),
        (json!({ "patternProperties": many }), json!({ "a1b": 1, "a2b": 1 })),
        (json!({ "patternProperties": many }), json!(members)),
        (json!({ "items": { "required": names } }), json!(vec![json!({}); 20_000])),
        (json!({ "items": { "enum": names } }), json!(vec!["b"; 20_000])),
        (json!({ "allOf": vec![json!({ "pattern": "^[ab]*$" }); 3000] }), json!("a".repeat(200_000))),
        (json!({ "allOf": vec![json!({ "const": list[..1000] }); 200] }), json!(list[..1000])),
        (json!({ "allOf": vec![json!({ "uniqueItems": true }); 3000] }), json!((0..200).collect::<Vec<_>>())),
    ] {
        let began = std::time::Instant::now();
        let _ = check(&schema, &value);
        assert!(began.elapsed().as_secs() < 2, "{:.100}", schema.to_string());
    }
    let misfit = check(&json!({ "$ref": "#" }), &json!(1)).unwrap_err();
    assert!(misfit.detail.contains("too much work"), "{misfit:?}");
}

/// What others read says where and by which keyword, and nothing of the value.
#[test]
fn of_data_no_value_is_said() {
    let secret = json!("s3cret");
    for (schema, data, keyword) in [
        (json!({ "type": "integer" }), &secret, "type"),
        (json!({ "const": "a" }), &secret, "const"),
        (json!({ "enum": ["s3cre"] }), &secret, "enum"),
        (json!({ "pattern": "^a" }), &secret, "pattern"),
        (json!({ "maxLength": 1 }), &secret, "maxLength"),
        (json!(false), &secret, "false"),
        (json!({ "allOf": [false] }), &secret, "allOf"),
        (json!({ "anyOf": [{ "const": "a" }, { "type": "null" }] }), &secret, "anyOf"),
        (json!({ "not": true }), &secret, "not"),
        (json!({ "minimum": 43 }), &json!(42.4242), "minimum"),
        (json!({ "multipleOf": 5 }), &json!(42.4242), "multipleOf"),
        (json!({ "unevaluatedItems": false }), &json!(["s3cret"]), "unevaluatedItems"),
        (json!({ "items": false }), &json!(["s3cret"]), "items"),
        (json!({ "propertyNames": { "maxLength": 1 } }), &json!({ "ab": "s3cret" }), "maxLength"),
    ] {
        let misfit = Schema::strict(schema.clone()).unwrap().check_data(data).unwrap_err();
        assert_eq!(misfit.keyword, keyword, "{schema}: {misfit:?}");
        assert!(!misfit.detail.contains("s3cret") && !misfit.detail.contains("4242"), "{schema}: {misfit:?}");
    }
}

#[test]
fn numbers_are_compared_as_they_are_written() {
    let number = |text: &str| serde_json::from_str::<Value>(text).unwrap();
    for (schema, fits, wrong) in [
        ("{\"const\":9007199254740993}", "9007199254740993.0", "9007199254740992"),
        ("{\"multipleOf\":0.01}", "19.99", "19.999"),
        ("{\"maximum\":9007199254740992}", "9007199254740992", "9007199254740993"),
        ("{\"type\":\"integer\"}", "1e400", "1.5e0"),
        ("{\"uniqueItems\":true}", "[1,2,10]", "[1,2,1.0]"),
        ("{\"uniqueItems\":true}", "[{\"a\":1,\"b\":2},{\"a\":2,\"b\":1}]", "[{\"a\":1,\"b\":2},{\"b\":2,\"a\":1.0}]"),
        ("{\"pattern\":\"^\\\\d[\\\\w[]+$\"}", "\"1a[\"", "\"\u{661}a\""),
    ] {
        let schema = Schema::strict(number(schema)).unwrap();
        assert_eq!(schema.check_data(&number(fits)), Ok(()), "{fits}");
        assert!(schema.check_data(&number(wrong)).is_err(), "{wrong}");
    }
}

/// What is said of a flaw stands where the flaw is.
#[test]
fn a_strict_schema_has_no_flaws() {
    for (schema, pointer, detail) in [
        (json!({ "properties": { "a/b": { "type": "objekt" } } }), "/properties/a~1b/type", "`type` is null"),
        (json!({ "minLength": -1 }), "/minLength", "a whole number"),
        (json!({ "multipleOf": 0 }), "/multipleOf", "above 0"),
        (json!({ "allOf": [] }), "/allOf", "not empty"),
        (json!({ "requird": ["a"] }), "/requird", "did you mean `required`?"),
        (json!({ "items": { "$ref": "#/none" } }), "/items/$ref", "is not in this schema"),
        (json!({ "$ref": "other.json" }), "/$ref", "nothing is fetched"),
        (json!({ "patternProperties": { "(?<=a)": true } }), "/patternProperties/(?<=a)", "look-around"),
        (json!({ "$defs": { "a": { "$id": "x" }, "b": { "$id": "x" } } }), "/$defs/b/$id", "another schema"),
        (json!([]), "", "a schema is"),
    ] {
        let flaws = Schema::strict(schema.clone()).unwrap_err();
        assert_eq!(flaws[0].pointer, pointer, "{schema}: {flaws:?}");
        assert!(flaws[0].detail.contains(detail), "{schema}: {flaws:?}");
    }
    let many: serde_json::Map<_, _> = (0..65).map(|n| (format!("^{n}"), json!(true))).collect();
    assert!(Schema::strict(json!({ "patternProperties": many })).is_err());
    assert!(Schema::strict(json!({ "x-note": 1, "enum": [{ "$ref": "#/none" }], "default": { "type": 1 } })).is_ok());
}

/// Data that is as deep as a body may be, on the stack of a thread that answers callers.
#[test]
fn a_deep_value_ends_the_check_and_nothing_else() {
    let schema = Schema::strict(json!({ "$ref": "#/$defs/a", "$defs": { "a": { "items": { "$ref": "#/$defs/a" } } } }));
    let deep = (0..127).fold(json!(1), |inner, _| json!([inner]));
    let misfit = schema.unwrap().check_data(&deep);
    assert!(misfit.is_err_and(|misfit| misfit.keyword.is_empty()));
    let schema = Schema::strict(json!({ "items": { "$ref": "#" } })).unwrap();
    assert_eq!(schema.check_data(&(0..90).fold(json!(1), |inner, _| json!([inner]))), Ok(()));
}
