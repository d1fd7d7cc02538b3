use super::{CompileError, EvaluationError, Scope};
use cel::common::ast::{EntryExpr, Expr, IdedExpr, LiteralValue};
use cel::objects::Key;
use cel::{Context, Env, Program, Value as CelValue};
use serde_json::Value;
use std::collections::HashMap;
use std::sync::{Arc, LazyLock};

/// Longest source, in bytes: enough for anything a person reads.
const SOURCE_BYTES_MAX: usize = 4096;
/// Most nodes of an expression, after its macros are expanded.
const NODES_MAX: usize = 1000;
/// Deepest nesting of `all`, `exists`, `map`, `filter`: each level multiplies the cost by the size of a list.
const LOOP_DEPTH_MAX: u32 = 2;
/// Longest pattern for `matches`, in bytes.
const PATTERN_BYTES_MAX: usize = 256;
/// Most work of a loop: the values that it may run over (members and items, at any depth), to the power of its nesting,
/// times the nodes of the expression. A unit takes some tens of nanoseconds, so this is less than half a second.
const LOOP_WORK_MAX: usize = 5_000_000;

/// The standard environment; building one costs more than most evaluations.
static ENVIRONMENT: LazyLock<Arc<Env>> = LazyLock::new(|| Arc::new(Env::stdlib()));

/// A compiled CEL expression.
#[derive(Debug)]
pub struct Cel {
    source: String,
    program: Program,
    loop_depth: u32,
    nodes: usize,
    /// The names that it uses from the scope.
    names: Vec<String>,
}

impl Cel {
    /// Compiles an expression and refuses what could cost without bound.
    ///
    /// # Errors
    ///
    /// The first mistake, with its place.
    pub fn compile(source: &str) -> Result<Self, CompileError> {
        if source.trim().is_empty() {
            return Err(CompileError::new("the expression is empty"));
        }
        if source.len() > SOURCE_BYTES_MAX {
            return Err(CompileError::new(format!("the expression is longer than {SOURCE_BYTES_MAX} bytes")));
        }
        let program = ENVIRONMENT.compile(source).map_err(|errors| syntax_error(source, &errors))?;
        let mut survey = Survey::default();
        survey.visit(program.expression(), 0)?;
        let references = program.references();
        let names = references.variables().into_iter().map(str::to_owned).collect();
        let unknown = references.functions().into_iter().find(|name| !is_function(name));
        if let Some(name) = unknown {
            return Err(CompileError::new(format!("there is no function `{name}`")));
        }
        Ok(Self { source: source.to_owned(), program, loop_depth: survey.loop_depth, nodes: survey.nodes, names })
    }

    pub fn source(&self) -> &str {
        &self.source
    }

    /// The names of the scope that the expression uses.
    pub fn names(&self) -> &[String] {
        &self.names
    }

    /// The value of the expression.
    ///
    /// # Errors
    ///
    /// A name, a member or an operation that does not exist for these values.
    pub fn evaluate(&self, scope: &Scope<'_>) -> Result<Value, EvaluationError> {
        let value = self.execute(scope)?;
        value.json().map_err(|_| self.error("the value cannot be written as JSON"))
    }

    /// The value of a condition.
    ///
    /// # Errors
    ///
    /// As [`evaluate`](Self::evaluate), and when the value is not a boolean.
    pub fn is_true(&self, scope: &Scope<'_>) -> Result<bool, EvaluationError> {
        match self.execute(scope)? {
            CelValue::Bool(value) => Ok(value),
            other => {
                Err(self
                    .error(format!("the value is of type {}, but a condition must be true or false", other.type_of())))
            }
        }
    }

    fn execute(&self, scope: &Scope<'_>) -> Result<CelValue, EvaluationError> {
        let mut context = Context::with_env(Arc::clone(&ENVIRONMENT));
        for name in &self.names {
            // An absent name is an error of the evaluation, and only if it gets there: `has()` may guard it.
            let Some(value) = scope.get(name) else { continue };
            if self.loop_depth > 0 {
                let values = count_values(&value, LOOP_WORK_MAX);
                let work = values.saturating_pow(self.loop_depth).saturating_mul(self.nodes);
                if work > LOOP_WORK_MAX {
                    return Err(
                        self.error(format!("`{name}` has {values} values, too many for the loops of this expression"))
                    );
                }
            }
            context.add_variable_from_value(name.as_str(), to_cel(&value));
        }
        self.program.execute(&context).map_err(|error| self.error(describe(&error)))
    }

    fn error(&self, message: impl Into<String>) -> EvaluationError {
        EvaluationError { source_text: self.source.clone(), message: message.into() }
    }
}

/// What the walk over an expression finds out.
#[derive(Default)]
struct Survey {
    nodes: usize,
    loop_depth: u32,
}

impl Survey {
    fn visit(&mut self, node: &IdedExpr, depth: u32) -> Result<(), CompileError> {
        self.nodes += 1;
        if self.nodes > NODES_MAX {
            return Err(CompileError::new(format!("the expression has more than {NODES_MAX} parts")));
        }
        match &node.expr {
            Expr::Unspecified | Expr::Ident(_) | Expr::Literal(_) => {}
            Expr::Call(call) => {
                if call.func_name == "matches" {
                    check_pattern(call.args.last())?;
                }
                for part in call.target.iter().map(|target| &**target).chain(&call.args) {
                    self.visit(part, depth)?;
                }
            }
            Expr::Comprehension(comprehension) => {
                self.loop_depth = self.loop_depth.max(depth + 1);
                if self.loop_depth > LOOP_DEPTH_MAX {
                    return Err(CompileError::new(format!(
                        "loops (all, exists, map, filter) may be nested {LOOP_DEPTH_MAX} deep"
                    )));
                }
                self.visit(&comprehension.iter_range, depth)?;
                self.visit(&comprehension.accu_init, depth)?;
                self.visit(&comprehension.loop_cond, depth + 1)?;
                self.visit(&comprehension.loop_step, depth + 1)?;
                self.visit(&comprehension.result, depth)?;
            }
            Expr::List(list) => {
                for element in &list.elements {
                    self.visit(element, depth)?;
                }
            }
            Expr::Map(map) => self.visit_entries(map.entries.iter().map(|entry| &entry.expr), depth)?,
            Expr::Select(select) => self.visit(&select.operand, depth)?,
            Expr::Struct(value) => self.visit_entries(value.entries.iter().map(|entry| &entry.expr), depth)?,
        }
        Ok(())
    }

    fn visit_entries<'a>(
        &mut self,
        entries: impl Iterator<Item = &'a EntryExpr>,
        depth: u32,
    ) -> Result<(), CompileError> {
        for entry in entries {
            match entry {
                EntryExpr::StructField(field) => self.visit(&field.value, depth)?,
                EntryExpr::MapEntry(entry) => {
                    self.visit(&entry.key, depth)?;
                    self.visit(&entry.value, depth)?;
                }
            }
        }
        Ok(())
    }
}

/// A pattern from data could be made to cost; a literal one is compiled and bounded here.
fn check_pattern(pattern: Option<&IdedExpr>) -> Result<(), CompileError> {
    let Some(Expr::Literal(LiteralValue::String(pattern))) = pattern.map(|pattern| &pattern.expr) else {
        return Err(CompileError::new("the pattern of `matches` must be a text in quotes"));
    };
    if pattern.inner().len() > PATTERN_BYTES_MAX {
        return Err(CompileError::new(format!("the pattern of `matches` is longer than {PATTERN_BYTES_MAX} bytes")));
    }
    Ok(())
}

/// Operators appear among the functions under names like `_==_`, `@in` and `!_`.
fn is_function(name: &str) -> bool {
    name.contains(|character: char| !character.is_ascii_alphanumeric()) || FUNCTIONS.contains(&name)
}

/// The functions and macros of the standard environment.
const FUNCTIONS: [&str; 22] = [
    "size",
    "contains",
    "startsWith",
    "endsWith",
    "matches",
    "int",
    "uint",
    "double",
    "string",
    "bytes",
    "bool",
    "type",
    "dyn",
    "max",
    "min",
    "has",
    "all",
    "exists",
    "existsOne",
    "map",
    "filter",
    "bool",
];

fn syntax_error(source: &str, errors: &cel::ParseErrors) -> CompileError {
    let Some(first) = errors.errors.first() else { return CompileError::new("it is not a CEL expression") };
    let line_start: usize = usize::try_from(first.pos.0)
        .ok()
        .map(|line| source.split_inclusive('\n').take(line.saturating_sub(1)).map(|text| text.chars().count()).sum())
        .unwrap_or_default();
    let column = usize::try_from(first.pos.1).unwrap_or_default().saturating_sub(1);
    CompileError { message: format!("not a CEL expression: {}", first.msg), offset: Some(line_start + column) }
}

/// The library's own words name its types; these name what the author wrote.
fn describe(error: &cel::ExecutionError) -> String {
    match error {
        cel::ExecutionError::NoSuchKey(key) => format!("there is no `{key}`; guard it with has()"),
        cel::ExecutionError::UndeclaredReference(name) => format!("there is no `{name}` here"),
        other => other.to_string(),
    }
}

fn to_cel(value: &Value) -> CelValue {
    match value {
        Value::Null => CelValue::Null,
        Value::Bool(value) => CelValue::Bool(*value),
        Value::Number(number) => match (number.as_i64(), number.as_u64()) {
            (Some(value), _) => CelValue::Int(value),
            (None, Some(value)) => CelValue::UInt(value),
            (None, None) => CelValue::Float(number.as_f64().unwrap_or(f64::NAN)),
        },
        Value::String(text) => CelValue::String(Arc::new(text.clone())),
        Value::Array(items) => CelValue::List(Arc::new(items.iter().map(to_cel).collect())),
        Value::Object(members) => {
            let map: HashMap<Key, CelValue> =
                members.iter().map(|(name, value)| (Key::String(Arc::new(name.clone())), to_cel(value))).collect();
            CelValue::Map(cel::objects::Map { map: Arc::new(map) })
        }
    }
}

/// The number of values at any depth, counted no further than just past `max`.
pub(super) fn count_values(value: &Value, max: usize) -> usize {
    let mut count = 1;
    match value {
        Value::Array(items) => {
            for item in items {
                if count > max {
                    break;
                }
                count += count_values(item, max - count.min(max));
            }
        }
        Value::Object(members) => {
            for member in members.values() {
                if count > max {
                    break;
                }
                count += count_values(member, max - count.min(max));
            }
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
    count
}

#[cfg(test)]
mod tests {
    use super::Cel;
    use crate::callback::Input;
    use crate::expression::Scope;
    use crate::name::Name;
    use serde_json::{Value, json};

    fn refused(source: &str) -> String {
        Cel::compile(source).unwrap_err().message
    }

    fn with_scope<T>(data: &Value, act: impl FnOnce(&Scope<'_>) -> T) -> T {
        let (name, input) = (Name::default_name(), Input { data: data.clone().into(), ..Input::default() });
        act(&Scope::of_input(&name, &input))
    }

    fn evaluate(source: &str, data: Value) -> Value {
        with_scope(&data, |scope| Cel::compile(source).unwrap().evaluate(scope)).unwrap()
    }

    fn fails(source: &str, data: Value) -> String {
        with_scope(&data, |scope| Cel::compile(source).unwrap().is_true(scope)).unwrap_err().message
    }

    #[test]
    fn what_could_cost_without_bound_is_refused_when_compiled() {
        assert!(refused(" ").contains("empty"));
        assert!(refused(&"a".repeat(5000)).contains("4096 bytes"));
        assert!(refused(&format!("{}1{}", "(".repeat(500), ")".repeat(500))).contains("not a CEL expression"));
        assert!(
            refused(&format!("1{}", "+1".repeat(700))).contains("not a CEL")
                || refused(&format!("1{}", "+1".repeat(700))).contains("1000 parts")
        );
        assert!(refused("data.a.all(x, x.all(y, y.all(z, z)))").contains("2 deep"));
        assert!(refused("data.a.matches(data.b)").contains("in quotes"));
        assert!(refused(&format!("data.a.matches('{}')", "x".repeat(300))).contains("256 bytes"));
        assert!(refused("data.a.lenght() > 1").contains("no function `lenght`"));
        assert!(refused("data.a = 1").contains("not a CEL expression"));
    }

    #[test]
    fn a_loop_is_not_run_over_more_data_than_it_can_do_in_time() {
        let nested = "data.all(x, data.all(y, x == y))";
        assert!(fails(nested, json!(vec![1; 4000])).contains("4001 values, too many for the loops"));
        assert_eq!(evaluate(nested, json!([1, 1])), json!(true));
        let long = format!("data.all(x, {})", vec!["x == 1"; 40].join(" && "));
        assert!(fails(&long, json!(vec![1; 200_000])).contains("too many for the loops"));
        assert_eq!(evaluate("data.all(x, x == 1)", json!(vec![1; 100_000])), json!(true));
    }

    #[test]
    fn missing_names_and_wrong_types_are_errors_and_not_false() {
        assert!(fails("data.a.b == 1", json!({ "a": {} })).contains("no `b`"));
        assert!(fails("fraud.score > 1", json!({})).contains("no `fraud`"));
        assert!(fails("data.a", json!({ "a": 1 })).contains("true or false"));
        assert!(!evaluate("has(data.a.b) && data.a.b == 1", json!({ "a": {} })).as_bool().unwrap());
    }

    #[test]
    fn values_keep_their_types() {
        let data = json!({ "n": 3, "big": u64::MAX, "f": 2.5, "s": "x", "l": [1, "a"], "z": null });
        assert_eq!(evaluate("data.n + 1", data.clone()), json!(4));
        assert_eq!(evaluate("data.f * 2.0", data.clone()), json!(5.0));
        assert_eq!(evaluate("data.l", data.clone()), json!([1, "a"]));
        assert_eq!(evaluate("data.big", data.clone()), json!(u64::MAX));
        assert_eq!(evaluate("data.z == null && data.n > 2.5 && data.s in ['x']", data.clone()), json!(true));
        assert_eq!(evaluate("data.l.map(x, string(x))", data), json!(["1", "a"]));
    }
}
