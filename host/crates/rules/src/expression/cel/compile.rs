//! From the tree of an expression to what is evaluated: names and functions are found, macros are understood, and what could
//! cost without bound is refused.

use super::super::CompileError;
use super::functions::{self, Function};
use super::syntax::{Ast, Kind, Literal, Operator, mistake, qualified};
use super::value::Type;
use regex::{Regex, RegexBuilder};
use std::ops::Range;

/// Most parts of an expression.
const NODES_MAX: usize = 1000;
/// Longest pattern for `matches`, in bytes, and the most memory that it is compiled to.
const PATTERN_BYTES_MAX: usize = 256;
const PATTERN_SIZE_MAX: usize = 256 << 10;

/// What is evaluated.
#[derive(Debug)]
pub(super) enum Node {
    Literal(Literal),
    Type(Type),
    /// A variable of a macro, by its place among those that are there.
    Local(usize),
    /// A name of the scope, by its place in the expression's list; or a type of this name.
    Name(usize),
    Access {
        operand: Box<Node>,
        start: usize,
        steps: Vec<Step>,
    },
    Has {
        operand: Box<Node>,
        field: String,
    },
    Not(Box<Node>),
    Negate(Box<Node>),
    And(Vec<Node>),
    Or(Vec<Node>),
    Chain(Box<Node>, Vec<(Operator, Node)>),
    Conditional(Box<[Node; 3]>),
    List(Vec<(Node, bool)>),
    Map(Vec<(Node, Node, bool)>),
    Call(&'static Function, Vec<Node>),
    Matches(Box<Node>, Box<Regex>),
    /// A value for a variable, and what is evaluated with it.
    Bind(Box<[Node; 2]>),
    /// What an optional value becomes, if it has one; `flat` when that is an optional itself.
    OptionalMap {
        operand: Box<Node>,
        body: Box<Node>,
        flat: bool,
    },
    /// The value of an optional, or another one; `keeps` when that is an optional, too.
    Otherwise {
        operand: Box<Node>,
        other: Box<Node>,
        keeps: bool,
    },
    Loop(Box<Loop>),
}

/// A selection or an index, and where it ends in the source.
#[derive(Debug)]
pub(super) struct Step {
    pub(super) kind: StepKind,
    pub(super) optional: bool,
    pub(super) end: usize,
}

#[derive(Debug)]
pub(super) enum StepKind {
    Field(String),
    Index(Node),
}

/// A macro over the items of a list or the entries of a map.
#[derive(Debug)]
pub(super) struct Loop {
    pub(super) range: Node,
    /// Whether there are two variables: index or key, and value.
    pub(super) two: bool,
    pub(super) kind: LoopKind,
}

#[derive(Debug)]
pub(super) enum LoopKind {
    All(Node),
    Exists(Node),
    ExistsOne(Node),
    /// Values, of those that are wanted.
    List {
        wanted: Option<Node>,
        value: Node,
    },
    /// Values under the keys, of those that are wanted.
    Map {
        wanted: Option<Node>,
        value: Node,
    },
    /// The items that are wanted.
    Filter(Node),
}

/// A name of the scope with the members that an expression takes of it by their names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reference {
    pub name: String,
    pub members: Vec<String>,
    /// Names that stand behind the first member that is not written out.
    pub further: Vec<String>,
    /// In characters from the beginning of the expression.
    pub offset: usize,
}

/// A compiled expression.
#[derive(Debug)]
pub(super) struct Compiled {
    pub(super) node: Node,
    /// The names that it uses from the scope.
    pub(super) names: Vec<String>,
    pub(super) references: Vec<Reference>,
}

pub(super) fn compile(source: &str, ast: &Ast) -> Result<Compiled, CompileError> {
    let mut compiler = Compiler { source, nodes: 0, names: Vec::new(), references: Vec::new(), locals: Vec::new() };
    let node = compiler.node(ast)?;
    Ok(Compiled { node, names: compiler.names, references: compiler.references })
}

struct Compiler<'s> {
    source: &'s str,
    nodes: usize,
    names: Vec<String>,
    references: Vec<Reference>,
    /// The variables of the macros around, the innermost last.
    locals: Vec<String>,
}

impl Compiler<'_> {
    fn error(&self, at: &Range<usize>, message: impl Into<String>) -> CompileError {
        mistake(self.source, at.start, message)
    }

    fn boxed(&mut self, ast: &Ast) -> Result<Box<Node>, CompileError> {
        self.node(ast).map(Box::new)
    }

    fn all(&mut self, asts: &[Ast]) -> Result<Vec<Node>, CompileError> {
        asts.iter().map(|ast| self.node(ast)).collect()
    }

    fn node(&mut self, ast: &Ast) -> Result<Node, CompileError> {
        self.nodes += 1;
        if self.nodes > NODES_MAX {
            return Err(CompileError::new(format!("the expression has more than {NODES_MAX} parts")));
        }
        Ok(match &ast.kind {
            Kind::Literal(literal) => Node::Literal(literal.clone()),
            Kind::Name { name, absolute } => self.name(name, *absolute, [&[], &[]], ast),
            Kind::Select { .. } | Kind::Index { .. } => self.access(ast)?,
            Kind::Call { target, name, arguments } => self.call(ast, target.as_deref(), name, arguments)?,
            Kind::List(items) => {
                let items = items.iter().map(|(item, optional)| Ok((self.node(item)?, *optional)));
                Node::List(items.collect::<Result<_, CompileError>>()?)
            }
            Kind::Map(entries) => {
                let entries =
                    entries.iter().map(|(key, value, optional)| Ok((self.node(key)?, self.node(value)?, *optional)));
                Node::Map(entries.collect::<Result<_, CompileError>>()?)
            }
            Kind::Message { name } => {
                let message =
                    format!("there are no message types like `{name}` here; a map is written {{'name': value}}");
                return Err(self.error(&ast.at, message));
            }
            Kind::Not(operand) => Node::Not(self.boxed(operand)?),
            Kind::Negate(operand) => Node::Negate(self.boxed(operand)?),
            Kind::And(parts) => Node::And(self.all(parts)?),
            Kind::Or(parts) => Node::Or(self.all(parts)?),
            Kind::Chain(first, rest) => {
                let first = self.boxed(first)?;
                let rest = rest.iter().map(|(operator, part)| Ok((*operator, self.node(part)?)));
                Node::Chain(first, rest.collect::<Result<_, CompileError>>()?)
            }
            Kind::Conditional(parts) => {
                let [condition, yes, no] = &**parts;
                Node::Conditional(Box::new([self.node(condition)?, self.node(yes)?, self.node(no)?]))
            }
        })
    }

    fn name(&mut self, name: &str, absolute: bool, [members, further]: [&[String]; 2], ast: &Ast) -> Node {
        if let Some(local) = self.locals.iter().rposition(|local| local == name).filter(|_| !absolute) {
            return Node::Local(local);
        }
        let offset = self.source.get(..ast.at.start).unwrap_or_default().chars().count();
        let (members, further) = (members.to_vec(), further.to_vec());
        let reference = Reference { name: name.to_owned(), members, further, offset };
        if !self.references.contains(&reference) {
            self.references.push(reference);
        }
        let place = self.names.iter().position(|known| known == name).unwrap_or_else(|| {
            self.names.push(name.to_owned());
            self.names.len() - 1
        });
        Node::Name(place)
    }

    /// Selections and indexes in a row.
    fn access(&mut self, ast: &Ast) -> Result<Node, CompileError> {
        if let Some(kind) = qualified(ast).and_then(|name| Type::of_name(&name)) {
            return Ok(Node::Type(kind));
        }
        let (mut steps, mut first) = (Vec::new(), ast);
        loop {
            let (operand, step) = match &first.kind {
                Kind::Select { operand, field, optional } => (operand, (StepOf::Field(field), *optional)),
                Kind::Index { operand, index, optional } => (operand, (StepOf::Index(index), *optional)),
                _ => break,
            };
            steps.push((step.0, step.1, first.at.end));
            first = operand;
        }
        steps.reverse();
        let members: Vec<String> = steps.iter().map_while(|(step, ..)| step.literal()).collect();
        let further: Vec<String> = steps.iter().skip(members.len()).filter_map(|(step, ..)| step.literal()).collect();
        let operand = match &first.kind {
            Kind::Name { name, absolute } => {
                self.nodes += 1;
                self.name(name, *absolute, [&members, &further], first)
            }
            _ => self.node(first)?,
        };
        let mut compiled = Vec::with_capacity(steps.len());
        for (step, optional, end) in steps {
            self.nodes += 1;
            let kind = match step {
                StepOf::Field(field) => StepKind::Field(field.to_owned()),
                StepOf::Index(index) => match &index.kind {
                    // A key that is written out is found as a member is.
                    Kind::Literal(Literal::Text(name)) => StepKind::Index(Node::Literal(Literal::Text(name.clone()))),
                    _ => StepKind::Index(self.node(index)?),
                },
            };
            compiled.push(Step { kind, optional, end });
        }
        Ok(Node::Access { operand: Box::new(operand), start: first.at.start, steps: compiled })
    }

    fn call(&mut self, ast: &Ast, target: Option<&Ast>, name: &str, arguments: &[Ast]) -> Result<Node, CompileError> {
        let Some(target) = target else {
            return match (name, arguments) {
                ("has", [argument]) => self.has(argument),
                ("matches", [text, pattern]) => self.matches(text, pattern),
                _ => self.function(ast, name, false, None, arguments),
            };
        };
        // `math.least(…)`: a function of the library, unless a variable has the name.
        if let Kind::Name { name: library, .. } = &target.kind
            && !self.locals.contains(library)
        {
            let full = format!("{library}.{name}");
            if full == "cel.bind" {
                return self.bind(ast, arguments);
            }
            if functions::names().any(|known| known == full) {
                return self.function(ast, &full, false, None, arguments);
            }
        }
        match (name, arguments) {
            ("matches", [pattern]) => self.matches(target, pattern),
            ("or" | "orValue", [other]) => {
                let (operand, other) = (self.boxed(target)?, self.boxed(other)?);
                Ok(Node::Otherwise { operand, other, keeps: name == "or" })
            }
            ("optMap" | "optFlatMap", [variable, body]) => {
                let operand = self.boxed(target)?;
                let variable = self.variable(variable)?;
                let body = self.with(&[variable], |compiler| compiler.boxed(body))?;
                Ok(Node::OptionalMap { operand, body, flat: name == "optFlatMap" })
            }
            (
                "all" | "exists" | "exists_one" | "existsOne" | "map" | "filter" | "transformList" | "transformMap",
                [_, _, ..],
            ) => self.looped(ast, target, name, arguments),
            _ => self.function(ast, name, true, Some(target), arguments),
        }
    }

    fn function(
        &mut self,
        ast: &Ast,
        name: &str,
        is_method: bool,
        target: Option<&Ast>,
        arguments: &[Ast],
    ) -> Result<Node, CompileError> {
        let count = arguments.len() + usize::from(target.is_some());
        let function = functions::find(name, is_method, count).map_err(|message| self.error(&ast.at, message))?;
        let values = target.into_iter().chain(arguments).map(|value| self.node(value));
        let values = values.collect::<Result<_, _>>()?;
        Ok(Node::Call(function, values))
    }

    fn has(&mut self, argument: &Ast) -> Result<Node, CompileError> {
        let Kind::Select { operand, field, optional: false } = &argument.kind else {
            return Err(self.error(&argument.at, "has() asks for a member: has(data.member)"));
        };
        // As if it were selected, so that what is looked for is known.
        let compiled = self.access(argument)?;
        if let Node::Access { operand, start, mut steps } = compiled {
            steps.pop();
            let operand = if steps.is_empty() { operand } else { Box::new(Node::Access { operand, start, steps }) };
            return Ok(Node::Has { operand, field: field.clone() });
        }
        Ok(Node::Has { operand: self.boxed(operand)?, field: field.clone() })
    }

    /// A pattern from data could be made to cost: a literal one is compiled and bounded here.
    fn matches(&mut self, text: &Ast, pattern: &Ast) -> Result<Node, CompileError> {
        let text = self.boxed(text)?;
        let Kind::Literal(Literal::Text(source)) = &pattern.kind else {
            return Err(self.error(&pattern.at, "the pattern of `matches` must be a text in quotes"));
        };
        if source.len() > PATTERN_BYTES_MAX {
            let message = format!("the pattern of `matches` is longer than {PATTERN_BYTES_MAX} bytes");
            return Err(self.error(&pattern.at, message));
        }
        let mut builder = RegexBuilder::new(source);
        let regex = builder.size_limit(PATTERN_SIZE_MAX).dfa_size_limit(8 * PATTERN_SIZE_MAX).build();
        let regex = regex.map_err(|error| {
            let error = error.to_string();
            let last = error.lines().last().unwrap_or_default().trim_start_matches("error: ");
            self.error(&pattern.at, format!("the pattern of `matches` is not a regular expression: {last}"))
        })?;
        Ok(Node::Matches(text, Box::new(regex)))
    }

    fn bind(&mut self, ast: &Ast, arguments: &[Ast]) -> Result<Node, CompileError> {
        let [variable, value, body] = arguments else {
            return Err(self.error(&ast.at, "cel.bind() takes a name, its value, and what is evaluated with it"));
        };
        let value = self.node(value)?;
        let variable = self.variable(variable)?;
        let body = self.with(&[variable], |compiler| compiler.node(body))?;
        Ok(Node::Bind(Box::new([value, body])))
    }

    /// `list.all(x, …)`, with one variable or two.
    fn looped(&mut self, ast: &Ast, target: &Ast, name: &str, arguments: &[Ast]) -> Result<Node, CompileError> {
        let wrong = |compiler: &Self| {
            let takes = match name {
                "map" => "a name, perhaps which are wanted, and a value",
                "transformList" | "transformMap" => "two names, perhaps which are wanted, and a value",
                "filter" => "a name and a condition",
                _ => "one or two names and a condition",
            };
            compiler.error(&ast.at, format!("`{name}` takes {takes}"))
        };
        let of_two = matches!(name, "transformList" | "transformMap");
        let two = of_two || (!matches!(name, "map" | "filter") && arguments.len() == 3);
        let range = self.node(target)?;
        let (variables, rest) = arguments.split_at_checked(if two { 2 } else { 1 }).ok_or_else(|| wrong(self))?;
        let variables = variables.iter().map(|variable| self.variable(variable)).collect::<Result<Vec<_>, _>>()?;
        if let [first, second] = &variables[..]
            && first == second
        {
            return Err(self.error(&ast.at, format!("the two names of `{name}` are the same")));
        }
        let kind = self.with(&variables, |compiler| {
            Ok(match (name, rest) {
                ("all", [condition]) => LoopKind::All(compiler.node(condition)?),
                ("exists", [condition]) => LoopKind::Exists(compiler.node(condition)?),
                ("exists_one" | "existsOne", [condition]) => LoopKind::ExistsOne(compiler.node(condition)?),
                ("filter", [condition]) => LoopKind::Filter(compiler.node(condition)?),
                ("map" | "transformList", [value]) => LoopKind::List { wanted: None, value: compiler.node(value)? },
                ("map" | "transformList", [wanted, value]) => {
                    LoopKind::List { wanted: Some(compiler.node(wanted)?), value: compiler.node(value)? }
                }
                ("transformMap", [value]) => LoopKind::Map { wanted: None, value: compiler.node(value)? },
                ("transformMap", [wanted, value]) => {
                    LoopKind::Map { wanted: Some(compiler.node(wanted)?), value: compiler.node(value)? }
                }
                _ => return Err(wrong(compiler)),
            })
        })?;
        Ok(Node::Loop(Box::new(Loop { range, two, kind })))
    }

    fn variable(&self, ast: &Ast) -> Result<String, CompileError> {
        match &ast.kind {
            Kind::Name { name, absolute: false } => Ok(name.clone()),
            _ => Err(self.error(&ast.at, "a variable of a macro is a plain name")),
        }
    }

    fn with<T>(
        &mut self,
        variables: &[String],
        compile: impl FnOnce(&mut Self) -> Result<T, CompileError>,
    ) -> Result<T, CompileError> {
        let before = self.locals.len();
        self.locals.extend_from_slice(variables);
        let compiled = compile(self);
        self.locals.truncate(before);
        compiled
    }
}

/// A step before it is compiled.
enum StepOf<'a> {
    Field(&'a str),
    Index(&'a Ast),
}

impl StepOf<'_> {
    /// The name of the member, where it is written out.
    fn literal(&self) -> Option<String> {
        match self {
            Self::Field(name) => Some((*name).to_owned()),
            Self::Index(index) => written(index),
        }
    }
}

/// The text that is written out, perhaps in pieces.
fn written(ast: &Ast) -> Option<String> {
    match &ast.kind {
        Kind::Literal(Literal::Text(text)) => Some(text.clone()),
        Kind::Chain(first, rest) => rest.iter().try_fold(written(first)?, |text, (operator, piece)| {
            (*operator == Operator::Add).then_some(text + &written(piece)?)
        }),
        _ => None,
    }
}
