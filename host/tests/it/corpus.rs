//! Hostile plugins, written by hand: each a core module with the exports of a condition, which the server makes a component of.

use std::path::Path;
use std::sync::LazyLock;
use wit_component::{StringEncoding, embed_component_metadata};
use wit_parser::{Resolve, WorldId};

/// Where a condition leaves its result: an ok, and false.
const RESULT: &str = "i32.const 1024";

static INTERFACE: LazyLock<(Resolve, WorldId)> = LazyLock::new(|| interface("condition-plugin"));

fn interface(world: &str) -> (Resolve, WorldId) {
    let mut resolve = Resolve::default();
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().join("wit/0.1.0");
    let (package, _) = resolve.push_dir(&directory).unwrap();
    let world = resolve.select_world(&[package], Some(world)).unwrap();
    (resolve, world)
}

/// The module with the type of a condition plugin.
pub fn with_type(module: Vec<u8>) -> Vec<u8> {
    typed(module, &INTERFACE)
}

fn typed(mut module: Vec<u8>, (resolve, world): &(Resolve, WorldId)) -> Vec<u8> {
    embed_component_metadata(&mut module, resolve, *world, StringEncoding::UTF8).unwrap();
    module
}

/// A step without effects that fails each time, and says that it may succeed later.
pub fn failing_step() -> Vec<u8> {
    let module = wat::parse_str(
        r#"(module
            (memory (export "memory") 2)
            (data (i32.const 1024) "\01\00\00\00\00\08\00\00\05\00\00\00\00\08\00\00\05\00\00\00\01")
            (data (i32.const 2048) "later")
            (func (export "ringback:plugin/step@0.1.0#check") (param i32 i32) (result i32) i32.const 4096)
            (func (export "ringback:plugin/step@0.1.0#run") (param i32 i32 i32) (result i32) i32.const 1024)
            (func (export "cabi_realloc") (param i32 i32 i32 i32) (result i32) i32.const 65536))"#,
    );
    typed(module.unwrap(), &interface("step-plugin"))
}

/// What a condition has to export.
pub fn exports() -> Vec<u8> {
    wat::parse_str(
        r#"(module
            (memory (export "memory") 2)
            (func (export "ringback:plugin/condition@0.1.0#check") (param i32 i32) (result i32) unreachable)
            (func (export "ringback:plugin/condition@0.1.0#evaluate") (param i32 i32 i32 i32 i32) (result i32) unreachable)
            (func (export "cabi_realloc") (param i32 i32 i32 i32) (result i32) unreachable))"#,
    )
    .unwrap()
}

/// Parts of a module: what is special about each.
#[derive(Clone, Copy)]
struct Parts<'p> {
    imports: &'p str,
    /// Tables, globals, data, other functions.
    items: &'p str,
    evaluate: &'p str,
    check: &'p str,
    realloc: &'p str,
    pages: &'p str,
}

impl Default for Parts<'_> {
    fn default() -> Self {
        Self { imports: "", items: "", evaluate: RESULT, check: RESULT, realloc: ALLOCATE, pages: "2" }
    }
}

/// Gives the second page away, again and again.
const ALLOCATE: &str = "i32.const 65536";

fn build(parts: Parts<'_>) -> Vec<u8> {
    let Parts { imports, items, evaluate, check, realloc, pages } = parts;
    let text = format!(
        r#"(module {imports}
            (memory (export "memory") {pages})
            {items}
            (func (export "ringback:plugin/condition@0.1.0#check") (param i32 i32) (result i32) {check})
            (func $evaluate (export "ringback:plugin/condition@0.1.0#evaluate")
              (param i32 i32 i32 i32 i32) (result i32) (local $n i32) {evaluate})
            (func (export "cabi_realloc") (param i32 i32 i32 i32) (result i32) {realloc}))"#
    );
    wat::parse_str(&text).unwrap_or_else(|error| panic!("{error}\n{text}"))
}

/// A condition with this body.
pub fn module(evaluate: &str, items: &str) -> Vec<u8> {
    build(Parts { evaluate, items, ..Parts::default() })
}

const TRAPPED: &[&str] = &["plugin_trapped"];
/// It misuses the interface: a handle, a text, a pointer.
const MISUSE: &[&str] = &["plugin_bad_output"];
const TIME: &[&str] = &["plugin_out_of_time"];
const MEMORY: &[&str] = &["plugin_out_of_memory", "plugin_trapped"];
/// It breaks a limit of the host; which of them comes first does not matter.
const STOPPED: &[&str] = &["plugin_trapped", "plugin_out_of_time", "plugin_out_of_memory"];
const HARMLESS: &[&str] = &["202", "204"];
const REFUSED: &[&str] = &["plugin_refused"];

type Case = (String, Vec<u8>, &'static [&'static str]);

/// Every one of them, with the answers that are right.
pub fn by_hand() -> Vec<Case> {
    let mut cases = Vec::new();
    behaviours(&mut cases);
    results(&mut cases);
    allocations(&mut cases);
    host_calls(&mut cases);
    files(&mut cases);
    cases
}

fn add(cases: &mut Vec<Case>, name: &str, parts: Parts<'_>, expected: &'static [&'static str]) {
    cases.push((name.to_owned(), with_type(build(parts)), expected));
}

/// What code can do by itself.
fn behaviours(cases: &mut Vec<Case>) {
    let table = "(table 4 funcref) (type $t (func)) (type $u (func (param i64)))";
    let again =
        "(type $e (func (param i32 i32 i32 i32 i32) (result i32))) (table 1 funcref) (elem (i32.const 0) $evaluate)";
    for (name, evaluate, items, expected) in [
        ("a loop", "(loop $l br $l) unreachable", "", TIME),
        ("a loop that counts", "(loop $l local.get $n i32.const 1 i32.add local.set $n br $l) unreachable", "", TIME),
        ("loops in loops", "(loop $a (loop $b (loop $c br $c) br $b) br $a) unreachable", "", TIME),
        ("a loop that writes", "(loop $l i32.const 0 i32.const 1 i32.store br $l) unreachable", "", TIME),
        (
            "a loop that fills",
            "(loop $l i32.const 0 i32.const 0 i32.const 131072 memory.fill br $l) unreachable",
            "",
            TIME,
        ),
        (
            "a loop that copies",
            "(loop $l i32.const 0 i32.const 1 i32.const 131000 memory.copy br $l) unreachable",
            "",
            TIME,
        ),
        ("a loop of divisions", "(loop $l i64.const 7 i64.const 3 i64.div_u drop br $l) unreachable", "", TIME),
        ("a loop of square roots", "(loop $l f64.const 2 f64.sqrt drop br $l) unreachable", "", TIME),
        ("a loop of branches", "(loop $l (block (block local.get $n br_table 0 1 0)) br $l) unreachable", "", TIME),
        ("unreachable", "unreachable", "", TRAPPED),
        ("a division by zero", "i32.const 1 i32.const 0 i32.div_s", "", TRAPPED),
        ("a remainder by zero", "i32.const 1 i32.const 0 i32.rem_u", "", TRAPPED),
        ("a division that overflows", "i32.const -2147483648 i32.const -1 i32.div_s", "", TRAPPED),
        ("a float that is no integer", "f64.const nan i32.trunc_f64_s", "", TRAPPED),
        ("a float that is too large", "f64.const 1e300 i32.trunc_f64_u", "", TRAPPED),
        ("a read outside", "i32.const -4 i32.load", "", TRAPPED),
        ("a read over the edge", "i32.const 131070 i32.load", "", TRAPPED),
        ("a write outside", "i32.const -1 i32.const 1 i32.store8 i32.const 0", "", TRAPPED),
        ("a read with an offset beyond all", "i32.const -1 i32.load offset=4294967295", "", TRAPPED),
        ("a fill outside", "i32.const 100 i32.const 0 i32.const -1 memory.fill i32.const 0", "", TRAPPED),
        ("a copy outside", "i32.const 0 i32.const 131071 i32.const 2 memory.copy i32.const 0", "", TRAPPED),
        ("a call of nothing", "i32.const 0 call_indirect (type $t) i32.const 0", table, TRAPPED),
        ("a call outside the table", "i32.const 99 call_indirect (type $t) i32.const 0", table, TRAPPED),
        (
            "a call of another type",
            "i64.const 0 i32.const 0 call_indirect (type $u) i32.const 0",
            "(table 1 funcref) (type $u (func (param i64))) (func $f) (elem (i32.const 0) $f)",
            TRAPPED,
        ),
        ("a recursion", "local.get 0 local.get 1 local.get 2 local.get 3 local.get 4 call $evaluate", "", TRAPPED),
        (
            "a recursion through the table",
            "local.get 0 local.get 1 local.get 2 local.get 3 local.get 4 i32.const 0 call_indirect (type $e)",
            again,
            TRAPPED,
        ),
        (
            "a recursion with much on the stack",
            "call $deep i32.const 0",
            "(func $deep (local i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64) call $deep)",
            TRAPPED,
        ),
        (
            "memory for ever",
            "(loop $l i32.const 1 memory.grow i32.const -1 i32.ne br_if $l) i32.const 1024",
            "",
            MEMORY,
        ),
        ("all memory at once", "i32.const 65000 memory.grow drop i32.const 1024", "", MEMORY),
        (
            "memory, and using it",
            "(loop $l i32.const 16 memory.grow drop memory.size i32.const 65536 i32.mul i32.const 4 i32.sub i32.const 1 i32.store br $l) unreachable",
            "",
            STOPPED,
        ),
        (
            "a table for ever",
            "(loop $l ref.null func i32.const 100000 table.grow 0 drop br $l) unreachable",
            "(table 1 funcref)",
            STOPPED,
        ),
        (
            "a fill of the table",
            "i32.const 0 ref.null func i32.const -1 table.fill 0 i32.const 0",
            "(table 1 funcref)",
            TRAPPED,
        ),
        (
            "data that was dropped",
            "data.drop 0 i32.const 0 i32.const 0 i32.const 1 memory.init 0 i32.const 0",
            "(data \"abc\")",
            TRAPPED,
        ),
        (
            "elements that were dropped",
            "elem.drop 0 i32.const 0 i32.const 0 i32.const 1 table.init 0 i32.const 0",
            "(table 1 funcref) (func $f) (elem func $f)",
            TRAPPED,
        ),
        ("its own failure", "i32.const 0 i32.const 1 i32.store8 i32.const 0", "", &["plugin_failed"]),
        (
            "vectors for ever",
            "(loop $l v128.const i64x2 1 2 v128.const i64x2 3 4 i64x2.mul drop br $l) unreachable",
            "",
            TIME,
        ),
        (
            "a start that loops",
            RESULT,
            "(func $s (loop $l br $l)) (start $s)",
            &["plugin_out_of_time", "flow_mistakes", "plugin_refused"],
        ),
        (
            "a start that traps",
            RESULT,
            "(func $s unreachable) (start $s)",
            &["plugin_trapped", "flow_mistakes", "plugin_refused"],
        ),
        (
            "a start that grows",
            RESULT,
            "(func $s (drop (memory.grow (i32.const 60000)))) (start $s)",
            &["plugin_out_of_memory", "flow_mistakes", "plugin_refused", "202", "204"],
        ),
        (
            "data outside",
            RESULT,
            "(data (i32.const 999999) \"abc\")",
            &["plugin_trapped", "flow_mistakes", "plugin_refused"],
        ),
    ] {
        add(cases, name, Parts { evaluate, items, ..Parts::default() }, expected);
    }
    let post = "(func (export \"cabi_post_ringback:plugin/condition@0.1.0#evaluate\") (param i32) ";
    for (name, body, expected) in [
        ("a loop after the result", "(loop $l br $l))", STOPPED),
        ("a trap after the result", "unreachable)", TRAPPED),
        (
            "growing after the result",
            "(drop (memory.grow (i32.const 60000))))",
            &["202", "204", "plugin_out_of_memory"],
        ),
    ] {
        add(cases, name, Parts { items: &format!("{post}{body}"), ..Parts::default() }, expected);
    }
    for (name, check) in
        [("a loop while it is checked", "(loop $l br $l) unreachable"), ("a trap while it is checked", "unreachable")]
    {
        add(cases, name, Parts { check, ..Parts::default() }, &["flow_mistakes"]);
    }
}

/// Results that are none.
fn results(cases: &mut Vec<Case>) {
    // A failure, whose code and message are these texts.
    let failure = |code: (i64, i64), message: (i64, i64), retryable: i64| {
        let mut body = "i32.const 1024 i32.const 1 i32.store8 ".to_owned();
        for (offset, value) in [(4, code.0), (8, code.1), (12, message.0), (16, message.1), (20, retryable)] {
            body += &format!("i32.const 1024 i32.const {value} i32.store offset={offset} ");
        }
        body + RESULT
    };
    let at = |byte: &str| format!("i32.const 1024 i32.const {byte} i32.store8 {RESULT}");
    let wrong: &[&str] = &["plugin_trapped", "plugin_bad_output", "plugin_failed", "plugin_out_of_memory"];
    let bytes = "(data (i32.const 2048) \"\\ff\\fe\\fd\\c0\\80\\ed\\a0\\80\") (data (i32.const 3000) \"\\1b[31m\\0d\\0aset-cookie: a=b\\00\")";
    for (name, evaluate, expected) in [
        ("a result nowhere", "i32.const -1".to_owned(), MISUSE),
        ("a result at the edge", "i32.const 131071".to_owned(), MISUSE),
        ("a result behind the edge", "i32.const 131072".to_owned(), MISUSE),
        ("a result askew", "i32.const 1025".to_owned(), MISUSE),
        ("a result of no case", at("2"), MISUSE),
        ("a result of case 255", at("255"), MISUSE),
        (
            "a truth of two",
            format!("i32.const 1024 i32.const 2 i32.store8 offset=4 {RESULT}"),
            &["plugin_trapped", "202"],
        ),
        ("a failure without words", failure((0, 0), (0, 0), 0), wrong),
        ("a failure from nowhere", failure((-1, 4), (0, 0), 0), MISUSE),
        ("a failure over the edge", failure((131_070, 4), (0, 0), 0), MISUSE),
        ("a failure of all memory", failure((0, 131_072), (0, 131_072), 0), wrong),
        ("a failure of more than there is", failure((0, 2_147_483_647), (0, 0), 0), MISUSE),
        ("a failure of negative length", failure((0, -1), (0, 0), 0), MISUSE),
        ("a failure that is no text", failure((2048, 3), (2048, 8), 0), wrong),
        ("half a character", failure((2051, 1), (0, 0), 0), wrong),
        ("half a pair", failure((2053, 3), (0, 0), 0), wrong),
        ("control characters", failure((3000, 24), (3000, 24), 0), wrong),
        ("half retryable", failure((3003, 1), (3003, 1), 7), wrong),
    ] {
        add(cases, name, Parts { evaluate: &evaluate, items: bytes, ..Parts::default() }, expected);
    }
}

/// What is given to the host as memory for the configuration.
fn allocations(cases: &mut Vec<Case>) {
    for (name, realloc, expected) in [
        ("memory nowhere", "i32.const -1", &["flow_mistakes"] as &[&str]),
        ("memory over the edge", "i32.const 131070", &["flow_mistakes"]),
        ("memory behind the edge", "i32.const 131072", &["flow_mistakes", "202", "204"]),
        (
            "memory over the result",
            "i32.const 1020",
            &["flow_mistakes", "202", "204", "plugin_trapped", "plugin_failed", "plugin_bad_output"],
        ),
        ("memory over the start", "i32.const 0", HARMLESS),
        ("no memory", "unreachable", &["flow_mistakes"]),
        ("memory after a long time", "(loop $l br $l) unreachable", &["flow_mistakes"]),
        (
            "memory that grows away",
            "i32.const 60000 memory.grow drop i32.const 65536",
            &["flow_mistakes", "202", "204"],
        ),
        ("memory by recursion", "local.get 0 local.get 1 local.get 2 local.get 3 call $r", &["flow_mistakes"]),
    ] {
        let items =
            "(func $r (param i32 i32 i32 i32) (result i32) local.get 0 local.get 1 local.get 2 local.get 3 call $r)";
        let expected: &'static [&'static str] = Box::leak(expected.to_vec().into_boxed_slice());
        add(cases, name, Parts { realloc, items, ..Parts::default() }, expected);
    }
}

/// What is asked of the host.
fn host_calls(cases: &mut Vec<Case>) {
    let log = "(import \"ringback:plugin/log@0.1.0\" \"write\" (func $h (param i32 i32 i32)))";
    let random = "(import \"ringback:plugin/call@0.1.0\" \"random\" (func $h (param i32 i32)))";
    let now = "(import \"ringback:plugin/call@0.1.0\" \"now\" (func $h (result i64)))";
    let set = "(import \"ringback:plugin/state@0.1.0\" \"set\" (func $h (param i32 i32 i32 i32 i32)))";
    let get = "(import \"ringback:plugin/state@0.1.0\" \"get\" (func $h (param i32 i32 i32)))";
    let equals = "(import \"ringback:plugin/secrets@0.1.0\" \"equals\" (func $h (param i32 i32 i32 i32 i32)))";
    let send =
        "(import \"ringback:plugin/http@0.1.0\" \"send\" (func $h (param i32 i32 i32 i32 i32 i32 i32 i32 i32 i32)))";
    let body = "(import \"ringback:plugin/types@0.1.0\" \"[method]callback.body\" (func $h (param i32 i32)))";
    let scope = "(import \"ringback:plugin/types@0.1.0\" \"[method]execution.scope\" (func $h (param i32 i32)))";
    let select =
        "(import \"ringback:plugin/types@0.1.0\" \"[method]callback.select\" (func $h (param i32 i32 i32 i32)))";
    let close = "(import \"ringback:plugin/types@0.1.0\" \"[resource-drop]callback\" (func $h (param i32)))";
    let for_ever = |call: &str| format!("(loop $l {call} br $l) unreachable");
    let once = |call: &str| format!("{call} {RESULT}");
    let five = |a: i64, b: i64, c: i64, d: i64| {
        format!("i32.const {a} i32.const {b} i32.const {c} i32.const {d} i32.const 4096 call $h")
    };
    let words = "(data (i32.const 2048) \"\\1b[2J\\0d\\0aGET / HTTP/1.1\") (data (i32.const 3000) \"$..*..*..*..*\") \
                 (data (i32.const 3100) \"GEThttp://169.254.169.254/latest\") (data (i32.const 3200) \"\\ff\\fe\")";
    let url = "i32.const 3100 i32.const 3 i32.const 3103 i32.const 30 i32.const 0 i32.const 0 i32.const 0 i32.const 0 i32.const 0 i32.const 4096 call $h";
    for (name, imports, evaluate, expected) in [
        ("a flood of lines", log, for_ever("i32.const 1 i32.const 2048 i32.const 20 call $h"), STOPPED),
        ("a flood of empty lines", log, for_ever("i32.const 1 i32.const 0 i32.const 0 call $h"), STOPPED),
        (
            "a line of all memory",
            log,
            once("i32.const 1 i32.const 0 i32.const 131072 call $h"),
            &["plugin_bad_output", "202", "204"],
        ),
        ("a line of more than there is", log, once("i32.const 1 i32.const 0 i32.const -1 call $h"), MISUSE),
        ("a line that is no text", log, once("i32.const 1 i32.const 3200 i32.const 2 call $h"), MISUSE),
        ("a line of no level", log, once("i32.const 9 i32.const 2048 i32.const 2 call $h"), MISUSE),
        ("a line of controls", log, once("i32.const 3 i32.const 2048 i32.const 20 call $h"), HARMLESS),
        ("asking for the time for ever", now, for_ever("call $h drop"), STOPPED),
        (
            "waiting for the time to change",
            now,
            "(local $t i64) call $h local.set $t (loop $l call $h local.get $t i64.eq br_if $l) i32.const 1024"
                .to_owned(),
            STOPPED,
        ),
        ("random bytes for ever", random, for_ever("i32.const 4096 i32.const 4096 call $h"), STOPPED),
        ("too many random bytes", random, once("i32.const 4097 i32.const 4096 call $h"), TRAPPED),
        ("random bytes without end", random, once("i32.const -1 i32.const 4096 call $h"), TRAPPED),
        ("random bytes into nowhere", random, once("i32.const 16 i32.const -4 call $h"), MISUSE),
        ("state for ever", set, for_ever(&five(2048, 20, 2048, 20)), STOPPED),
        ("state of all memory", set, once(&five(0, 131_072, 0, 131_072)), &["202", "204", "plugin_bad_output"]),
        ("state without a name", set, once(&five(0, 0, 0, 0)), HARMLESS),
        ("state under no text", set, once(&five(3200, 2, 0, 0)), MISUSE),
        ("state from nowhere", set, once(&five(-8, 8, 0, 0)), MISUSE),
        ("reading state for ever", get, for_ever("i32.const 2048 i32.const 20 i32.const 4096 call $h"), STOPPED),
        ("guessing a secret for ever", equals, for_ever(&five(2048, 3, 2048, 20)), STOPPED),
        ("a secret of all memory", equals, once(&five(0, 131_072, 0, 131_072)), &["202", "204", "plugin_bad_output"]),
        ("a request into the network", send, once(url), HARMLESS),
        ("requests for ever", send, for_ever(url), STOPPED),
        ("the body for ever", body, for_ever("local.get 0 i32.const 4096 call $h"), STOPPED),
        ("the body of another handle", body, once("i32.const 77 i32.const 4096 call $h"), MISUSE),
        ("the body of handle zero", body, once("i32.const 0 i32.const 4096 call $h"), MISUSE),
        ("the body into nowhere", body, once("local.get 0 i32.const 131070 call $h"), MISUSE),
        ("the scope of no execution", scope, once("local.get 0 i32.const 4096 call $h"), MISUSE),
        (
            "a path that selects everything",
            select,
            once("local.get 0 i32.const 3000 i32.const 13 i32.const 4096 call $h"),
            &["202", "204", "plugin_trapped", "plugin_out_of_time"],
        ),
        (
            "a path without end",
            select,
            once("local.get 0 i32.const 0 i32.const 131072 i32.const 4096 call $h"),
            &["202", "204", "plugin_bad_output"],
        ),
        ("closing twice", close, once("local.get 0 call $h local.get 0 call $h"), MISUSE),
        ("closing what is not open", close, once("i32.const 999 call $h"), MISUSE),
    ] {
        let evaluate = evaluate.strip_prefix("(local $t i64) ").map_or(evaluate.clone(), |rest| {
            rest.replace("local.set $t", "i32.wrap_i64 local.set $n")
                .replace("call $h local.get $t i64.eq", "call $h i32.wrap_i64 local.get $n i32.eq")
        });
        add(cases, name, Parts { imports, evaluate: &evaluate, items: words, ..Parts::default() }, expected);
    }
}

/// Files that are no plugins, or too much of one.
fn files(cases: &mut Vec<Case>) {
    let text = |text: &str| wat::parse_str(text).unwrap_or_else(|error| panic!("{error}"));
    let nested = |depth: usize| format!("{}{}", "(component ".repeat(depth), ")".repeat(depth));
    let blocks = format!("{}{}", "(block ".repeat(5000), ")".repeat(5000));
    let good = with_type(build(Parts::default()));
    let mut custom = good.clone();
    // Ten thousand empty custom sections.
    custom.extend([0, 2, 1, b'a'].repeat(10_000));
    let mut endless = b"\0asm\x01\0\0\0".to_vec();
    endless.extend([1, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 1]);
    for (name, bytes) in [
        ("components in components", text(&nested(40))),
        ("a component of nothing", text("(component)")),
        (
            "a component that starts",
            text(
                "(component (core module $m (func (export \"f\"))) (core instance $i (instantiate $m)) (func $f (canon lift (core func $i \"f\"))) (start $f))",
            ),
        ),
        ("a number that never ends", endless),
        ("a version from the future", b"\0asm\x0d\0\x02\0".to_vec()),
        ("a header alone", b"\0asm".to_vec()),
        ("a module without a type", build(Parts::default())),
        ("much memory at first", with_type(build(Parts { pages: "1000", ..Parts::default() }))),
        ("all memory at first", with_type(build(Parts { pages: "65536", ..Parts::default() }))),
        ("a table of a billion", with_type(build(Parts { items: "(table 1000000000 funcref)", ..Parts::default() }))),
        (
            "an import of nothing known",
            with_type(build(Parts {
                imports: "(import \"env\" \"system\" (func (param i32) (result i32)))",
                ..Parts::default()
            })),
        ),
        (
            "an import of another type",
            with_type(build(Parts {
                imports: "(import \"ringback:plugin/call@0.1.0\" \"now\" (func (result i32)))",
                ..Parts::default()
            })),
        ),
        (
            "files of the system",
            with_type(build(Parts {
                imports: "(import \"wasi_snapshot_preview1\" \"path_open\" (func (param i32)))",
                ..Parts::default()
            })),
        ),
        ("shared memory", text("(component (core module (memory 1 2 shared)))")),
        (
            "waiting on memory",
            text(
                "(component (core module (memory 1 1 shared) (func i32.const 0 i32.const 0 i64.const -1 memory.atomic.wait32 drop)))",
            ),
        ),
        ("64-bit tables", text("(component (core module (table i64 1 funcref)))")),
        ("exceptions", text("(component (core module (tag $t) (func (throw $t))))")),
        ("tail calls into nothing", text("(component (core module (type (array i8))))")),
        ("a stack of its own", text("(component (core module (type $f (func)) (type $c (cont $f))))")),
    ] {
        cases.push((name.to_owned(), bytes, REFUSED));
    }
    for (name, bytes, expected) in [
        ("sections without end", custom, &["202", "204", "plugin_refused"] as &'static [&'static str]),
        ("blocks in blocks", with_type(module(&format!("{blocks} {RESULT}"), "")), &["202", "204", "plugin_refused"]),
        ("one that behaves", good, HARMLESS),
    ] {
        cases.push((name.to_owned(), bytes, expected));
    }
}
