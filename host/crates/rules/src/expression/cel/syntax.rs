//! From the text of an expression to its tree: the grammar of CEL, with optional selections and quoted names.
//!
//! Every part of the tree knows where it stands. Nesting is bounded here, so that nothing that walks a tree needs more
//! stack than that; operators in a row, as in `a + b + c`, are one node, however many there are.

use super::super::CompileError;
use std::ops::Range;

/// Deepest nesting of an expression: of parentheses, lists, maps, calls, conditions.
const DEPTH_MAX: usize = 64;
/// Most selections and indexes behind one value: as deep as JSON may be.
const MEMBERS_MAX: usize = 128;

/// A part of an expression.
#[derive(Debug)]
pub(super) struct Ast {
    /// In bytes of the source.
    pub(super) at: Range<usize>,
    pub(super) kind: Kind,
}

#[derive(Debug)]
pub(super) enum Kind {
    Literal(Literal),
    /// `absolute` when it is written with a dot before it: no variable of a macro is meant.
    Name {
        name: String,
        absolute: bool,
    },
    Select {
        operand: Box<Ast>,
        field: String,
        optional: bool,
    },
    Index {
        operand: Box<Ast>,
        index: Box<Ast>,
        optional: bool,
    },
    Call {
        target: Option<Box<Ast>>,
        name: String,
        arguments: Vec<Ast>,
    },
    /// Each with whether it is left out when it is an empty optional.
    List(Vec<(Ast, bool)>),
    Map(Vec<(Ast, Ast, bool)>),
    /// Which has no meaning here, whatever its fields are.
    Message {
        name: String,
    },
    Not(Box<Ast>),
    Negate(Box<Ast>),
    And(Vec<Ast>),
    Or(Vec<Ast>),
    /// Operators of the same strength, from left to right.
    Chain(Box<Ast>, Vec<(Operator, Ast)>),
    Conditional(Box<[Ast; 3]>),
}

#[derive(Clone, Debug, PartialEq)]
pub(super) enum Literal {
    Null,
    Bool(bool),
    Int(i64),
    Uint(u64),
    Double(f64),
    Text(String),
    Bytes(Vec<u8>),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Operator {
    Equal,
    NotEqual,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
    In,
    Add,
    Subtract,
    Multiply,
    Divide,
    Remainder,
}

impl Operator {
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::Equal => "==",
            Self::NotEqual => "!=",
            Self::Less => "<",
            Self::LessOrEqual => "<=",
            Self::Greater => ">",
            Self::GreaterOrEqual => ">=",
            Self::In => "in",
            Self::Add => "+",
            Self::Subtract => "-",
            Self::Multiply => "*",
            Self::Divide => "/",
            Self::Remainder => "%",
        }
    }
}

/// Whether a word cannot be a name.
pub fn is_keyword(word: &str) -> bool {
    KEYWORDS.contains(&word)
}

/// Words that cannot be names.
const KEYWORDS: [&str; 21] = [
    "true",
    "false",
    "null",
    "in",
    "as",
    "break",
    "const",
    "continue",
    "else",
    "for",
    "function",
    "if",
    "import",
    "let",
    "loop",
    "package",
    "namespace",
    "return",
    "var",
    "void",
    "while",
];

/// The tree of an expression.
///
/// # Errors
///
/// The first mistake, with its place in characters.
pub(super) fn parse(source: &str) -> Result<Ast, CompileError> {
    let mut parser = Parser { lexer: Lexer { source, position: 0 }, token: Token::End, at: 0..0, end: 0, depth: 0 };
    parser.next()?;
    let ast = parser.expression()?;
    match &parser.token {
        Token::End => Ok(ast),
        _ => Err(parser.unexpected("an operator or the end of the expression")),
    }
}

/// How many bytes of a text belong to an expression that is closed by `}}`; `None` when it is not closed.
pub(in crate::expression) fn length_before_braces(text: &str) -> Option<usize> {
    let mut lexer = Lexer { source: text, position: 0 };
    let mut open = 0_usize;
    loop {
        let (token, at) = match lexer.next() {
            Ok(found) => found,
            // What is no token is a mistake of the expression: it is found again when that is compiled.
            Err(_) => {
                let rest = text.get(lexer.position..)?;
                lexer.position += rest.chars().next()?.len_utf8();
                continue;
            }
        };
        match token {
            Token::End => return None,
            Token::Mark("{") => open += 1,
            Token::Mark("}") if open > 0 => open -= 1,
            Token::Mark("}") if text.get(at.end..)?.starts_with('}') => return Some(at.start),
            _ => {}
        }
    }
}

#[derive(Clone, Debug, PartialEq)]
enum Token {
    End,
    Mark(&'static str),
    /// A name or a keyword.
    Word(String),
    /// A name in backquotes.
    Quoted(String),
    Literal(Literal),
    /// An integer whose minus is still to come.
    Magnitude(u64),
}

const MARKS: [&str; 25] = [
    "==", "!=", "<=", ">=", "&&", "||", "<", ">", "!", "?", ":", ".", ",", "(", ")", "[", "]", "{", "}", "+", "-", "*",
    "/", "%", "=",
];

struct Lexer<'s> {
    source: &'s str,
    position: usize,
}

impl<'s> Lexer<'s> {
    fn rest(&self) -> &'s str {
        self.source.get(self.position..).unwrap_or_default()
    }

    fn error(&self, at: usize, message: impl Into<String>) -> CompileError {
        mistake(self.source, at, message)
    }

    fn next(&mut self) -> Result<(Token, Range<usize>), CompileError> {
        loop {
            let rest = self.rest();
            let trimmed = rest.trim_start_matches([' ', '\t', '\n', '\r', '\u{b}', '\u{c}']);
            let skipped = rest.len() - trimmed.len();
            let comment = trimmed.starts_with("//").then(|| trimmed.find('\n').unwrap_or(trimmed.len()));
            self.position += skipped + comment.unwrap_or_default();
            if comment.is_none() {
                break;
            }
        }
        let start = self.position;
        let token = self.token()?;
        Ok((token, start..self.position))
    }

    fn token(&mut self) -> Result<Token, CompileError> {
        let rest = self.rest();
        let Some(first) = rest.chars().next() else { return Ok(Token::End) };
        let second = rest.chars().nth(1);
        if first.is_ascii_digit() || (first == '.' && second.is_some_and(|second| second.is_ascii_digit())) {
            return self.number();
        }
        if let Some(token) = self.text()? {
            return Ok(token);
        }
        if first.is_ascii_alphabetic() || first == '_' {
            let end = rest.find(|c: char| !c.is_ascii_alphanumeric() && c != '_').unwrap_or(rest.len());
            let word = rest.get(..end).unwrap_or_default().to_owned();
            self.position += end;
            return Ok(Token::Word(word));
        }
        if first == '`' {
            let inside = rest.get(1..).unwrap_or_default();
            let end =
                inside.find('`').ok_or_else(|| self.error(self.position, "the name in backquotes is not closed"))?;
            let name = inside.get(..end).unwrap_or_default().to_owned();
            let allowed = |c: char| c.is_ascii_alphanumeric() || "_.-/ ".contains(c);
            if name.is_empty() || !name.chars().all(allowed) {
                let message = "a name in backquotes has letters, digits, `_`, `.`, `-`, `/` and spaces";
                return Err(self.error(self.position, message));
            }
            self.position += end + 2;
            return Ok(Token::Quoted(name));
        }
        match MARKS.iter().find(|mark| rest.starts_with(**mark)) {
            Some(&"=") => Err(self.error(self.position, "`=` compares nothing here; write `==`")),
            Some(mark) => {
                self.position += mark.len();
                Ok(Token::Mark(mark))
            }
            None if first == '&' || first == '|' => {
                Err(self.error(self.position, format!("`{first}` is written twice: `{first}{first}`")))
            }
            None => Err(self.error(self.position, format!("`{}` means nothing here", first.escape_debug()))),
        }
    }

    fn number(&mut self) -> Result<Token, CompileError> {
        let (start, rest) = (self.position, self.rest());
        let bytes = rest.as_bytes();
        let run = |from: usize, is: fn(&u8) -> bool| bytes.iter().skip(from).take_while(|byte| is(byte)).count();
        let (mut end, mut is_double) = (0, false);
        let is_hex = rest.starts_with("0x") || rest.starts_with("0X");
        if is_hex {
            end = 2 + run(2, u8::is_ascii_hexdigit);
        } else {
            end += run(end, u8::is_ascii_digit);
            if bytes.get(end) == Some(&b'.') && bytes.get(end + 1).is_some_and(u8::is_ascii_digit) {
                is_double = true;
                end += 1 + run(end + 1, u8::is_ascii_digit);
            }
            if matches!(bytes.get(end), Some(b'e' | b'E')) {
                is_double = true;
                end += 1 + usize::from(matches!(bytes.get(end + 1), Some(b'+' | b'-')));
                end += run(end, u8::is_ascii_digit);
            }
        }
        let digits = rest.get(..end).unwrap_or_default().to_owned();
        let is_uint = !is_double && matches!(bytes.get(end), Some(b'u' | b'U'));
        end += usize::from(is_uint);
        if bytes.get(end).is_some_and(|byte| byte.is_ascii_alphanumeric() || *byte == b'_') {
            return Err(self.error(start + end, "a number is followed by a letter"));
        }
        self.position += end;
        let magnitude = || match digits.get(2..).filter(|_| is_hex) {
            Some(hex) => u64::from_str_radix(hex, 16),
            None => digits.parse(),
        };
        let wrong = |lexer: &Self| lexer.error(start, format!("`{digits}` is not a number that CEL knows"));
        Ok(match (is_double, is_uint) {
            (true, _) => {
                let double = digits.parse().ok().filter(|double: &f64| double.is_finite());
                Token::Literal(Literal::Double(double.ok_or_else(|| wrong(self))?))
            }
            (false, true) => Token::Literal(Literal::Uint(magnitude().map_err(|_| wrong(self))?)),
            (false, false) => Token::Magnitude(magnitude().map_err(|_| wrong(self))?),
        })
    }

    /// A text or bytes in quotes, with their prefixes; `None` for anything else.
    fn text(&mut self) -> Result<Option<Token>, CompileError> {
        let rest = self.rest();
        let prefix = rest.find(['\'', '"']).and_then(|quote| rest.get(..quote)).unwrap_or(rest);
        let (is_bytes, is_raw) = match prefix.to_ascii_lowercase().as_str() {
            "" if rest.starts_with(['\'', '"']) => (false, false),
            "r" => (false, true),
            "b" => (true, false),
            "br" | "rb" => (true, true),
            _ => return Ok(None),
        };
        let Some(after) = rest.get(prefix.len()..) else { return Ok(None) };
        let Some(quote) = after.chars().next().filter(|quote| matches!(quote, '\'' | '"')) else { return Ok(None) };
        let triple = [quote; 3].iter().collect::<String>();
        let delimiter = if after.starts_with(&triple) { triple.as_str() } else { after.get(..1).unwrap_or_default() };
        let start = self.position;
        let inside_at = start + prefix.len() + delimiter.len();
        let inside = after.get(delimiter.len()..).unwrap_or_default();
        let (mut content, mut position) = (Vec::new(), 0);
        loop {
            let rest = inside.get(position..).unwrap_or_default();
            let Some(character) = rest.chars().next() else {
                return Err(self.error(start, "the text in quotes is not closed"));
            };
            if rest.starts_with(delimiter) {
                position += delimiter.len();
                break;
            }
            if delimiter.len() == 1 && matches!(character, '\n' | '\r') {
                let message = "a text in single quotes does not go over the end of a line; use three quotes";
                return Err(self.error(inside_at + position, message));
            }
            if character == '\\' && !is_raw {
                let escape = unescape(rest, is_bytes, &mut content);
                position += escape.map_err(|message| self.error(inside_at + position, message))?;
            } else {
                // What is written with a line end of another system is the same text.
                let normalized = if character == '\r' { '\n' } else { character };
                position += character.len_utf8() + usize::from(rest.starts_with("\r\n"));
                content.extend_from_slice(normalized.encode_utf8(&mut [0; 4]).as_bytes());
            }
        }
        self.position = inside_at + position;
        Ok(Some(Token::Literal(match is_bytes {
            true => Literal::Bytes(content),
            false => Literal::Text(String::from_utf8(content).unwrap_or_default()),
        })))
    }
}

/// Takes one escape from the beginning of a text: how many bytes it has.
fn unescape(text: &str, is_bytes: bool, content: &mut Vec<u8>) -> Result<usize, String> {
    let letter = text.chars().nth(1).ok_or("an escape is cut off")?;
    let simple = match letter {
        'a' => Some(7),
        'b' => Some(8),
        'f' => Some(12),
        'n' => Some(b'\n'),
        'r' => Some(b'\r'),
        't' => Some(b'\t'),
        'v' => Some(11),
        '\\' | '\'' | '"' | '`' | '?' => u8::try_from(letter).ok(),
        _ => None,
    };
    if let Some(byte) = simple {
        content.push(byte);
        return Ok(2);
    }
    let (digits_at, count, radix) = match letter {
        'x' | 'X' => (2, 2, 16),
        'u' if !is_bytes => (2, 4, 16),
        'U' if !is_bytes => (2, 8, 16),
        '0'..='3' => (1, 3, 8),
        _ => return Err(format!("`\\{}` is no escape", letter.escape_debug())),
    };
    let digits = text.get(digits_at..digits_at + count).filter(|digits| digits.chars().all(|c| c.is_digit(radix)));
    let code = digits.and_then(|digits| u32::from_str_radix(digits, radix).ok());
    let code = code.ok_or_else(|| format!("`\\{letter}` is not followed by {count} digits"))?;
    match u8::try_from(code) {
        Ok(byte) if is_bytes => content.push(byte),
        _ => {
            let character = char::from_u32(code).ok_or("an escape is no character of Unicode")?;
            content.extend_from_slice(character.encode_utf8(&mut [0; 4]).as_bytes());
        }
    }
    Ok(digits_at + count)
}

pub(super) fn mistake(source: &str, at: usize, message: impl Into<String>) -> CompileError {
    let offset = source.get(..at).map(|before| before.chars().count());
    CompileError { message: message.into(), offset }
}

struct Parser<'s> {
    lexer: Lexer<'s>,
    /// The token that comes next.
    token: Token,
    at: Range<usize>,
    /// Where the token before it ends.
    end: usize,
    depth: usize,
}

impl Parser<'_> {
    fn next(&mut self) -> Result<Token, CompileError> {
        let (token, at) = self.lexer.next()?;
        self.end = self.at.end;
        self.at = at;
        Ok(std::mem::replace(&mut self.token, token))
    }

    fn is(&self, mark: &str) -> bool {
        matches!(self.token, Token::Mark(found) if found == mark)
    }

    /// Takes a mark, if it comes next.
    fn take(&mut self, mark: &str) -> Result<bool, CompileError> {
        let found = self.is(mark);
        if found {
            self.next()?;
        }
        Ok(found)
    }

    fn expect(&mut self, mark: &str) -> Result<usize, CompileError> {
        let end = self.at.end;
        if self.take(mark)? { Ok(end) } else { Err(self.unexpected(&format!("`{mark}`"))) }
    }

    fn unexpected(&self, expected: &str) -> CompileError {
        let found = match &self.token {
            Token::End => "the expression ends".to_owned(),
            _ => format!("found `{}`", self.lexer.source.get(self.at.clone()).unwrap_or_default()),
        };
        mistake(self.lexer.source, self.at.start, format!("not a CEL expression: expected {expected}, but {found}"))
    }

    fn deeper<T>(&mut self, parse: impl FnOnce(&mut Self) -> Result<T, CompileError>) -> Result<T, CompileError> {
        self.depth += 1;
        if self.depth > DEPTH_MAX {
            let message = format!("not a CEL expression that is run here: it is nested deeper than {DEPTH_MAX}");
            return Err(mistake(self.lexer.source, self.at.start, message));
        }
        let result = parse(self);
        self.depth -= 1;
        result
    }

    fn expression(&mut self) -> Result<Ast, CompileError> {
        self.deeper(|parser| {
            let condition = parser.or()?;
            if !parser.take("?")? {
                return Ok(condition);
            }
            let yes = parser.or()?;
            parser.expect(":")?;
            let no = parser.expression()?;
            let at = condition.at.start..no.at.end;
            Ok(Ast { at, kind: Kind::Conditional(Box::new([condition, yes, no])) })
        })
    }

    fn or(&mut self) -> Result<Ast, CompileError> {
        self.joined("||", Self::and, Kind::Or)
    }

    fn and(&mut self) -> Result<Ast, CompileError> {
        self.joined("&&", Self::relation, Kind::And)
    }

    fn joined(
        &mut self,
        mark: &str,
        part: impl Fn(&mut Self) -> Result<Ast, CompileError>,
        kind: fn(Vec<Ast>) -> Kind,
    ) -> Result<Ast, CompileError> {
        let first = part(self)?;
        if !self.is(mark) {
            return Ok(first);
        }
        let start = first.at.start;
        let mut parts = vec![first];
        while self.take(mark)? {
            parts.push(part(self)?);
        }
        let end = parts.last().map_or(start, |last| last.at.end);
        Ok(Ast { at: start..end, kind: kind(parts) })
    }

    fn relation(&mut self) -> Result<Ast, CompileError> {
        self.chain(Self::addition, |token| {
            Some(match token {
                Token::Mark("==") => Operator::Equal,
                Token::Mark("!=") => Operator::NotEqual,
                Token::Mark("<") => Operator::Less,
                Token::Mark("<=") => Operator::LessOrEqual,
                Token::Mark(">") => Operator::Greater,
                Token::Mark(">=") => Operator::GreaterOrEqual,
                Token::Word(word) if word == "in" => Operator::In,
                _ => return None,
            })
        })
    }

    fn addition(&mut self) -> Result<Ast, CompileError> {
        self.chain(Self::multiplication, |token| match token {
            Token::Mark("+") => Some(Operator::Add),
            Token::Mark("-") => Some(Operator::Subtract),
            _ => None,
        })
    }

    fn multiplication(&mut self) -> Result<Ast, CompileError> {
        self.chain(Self::unary, |token| match token {
            Token::Mark("*") => Some(Operator::Multiply),
            Token::Mark("/") => Some(Operator::Divide),
            Token::Mark("%") => Some(Operator::Remainder),
            _ => None,
        })
    }

    fn chain(
        &mut self,
        part: impl Fn(&mut Self) -> Result<Ast, CompileError>,
        operator: impl Fn(&Token) -> Option<Operator>,
    ) -> Result<Ast, CompileError> {
        let first = part(self)?;
        let mut rest = Vec::new();
        while let Some(operator) = operator(&self.token) {
            self.next()?;
            rest.push((operator, part(self)?));
        }
        let Some((_, last)) = rest.last() else { return Ok(first) };
        let at = first.at.start..last.at.end;
        Ok(Ast { at, kind: Kind::Chain(Box::new(first), rest) })
    }

    fn unary(&mut self) -> Result<Ast, CompileError> {
        let (mark, start) = match &self.token {
            Token::Mark(mark @ ("!" | "-")) => (*mark, self.at.start),
            _ => return self.member(),
        };
        let mut times = 0_usize;
        while self.take(mark)? {
            times += 1;
        }
        // The least integer has no positive one to negate.
        if mark == "-"
            && let Token::Magnitude(magnitude) = self.token
        {
            let at = start..self.at.end;
            let negative = 0_i64.checked_sub_unsigned(magnitude);
            let value = negative.ok_or_else(|| mistake(self.lexer.source, start, "the integer is too small"))?;
            self.next()?;
            let literal = Ast { at, kind: Kind::Literal(Literal::Int(value)) };
            let number = self.after(literal)?;
            return Ok(negated(number, start, times - 1, Kind::Negate));
        }
        if mark == "-"
            && let Token::Literal(Literal::Double(value)) = self.token
        {
            let at = start..self.at.end;
            self.next()?;
            let number = self.after(Ast { at, kind: Kind::Literal(Literal::Double(-value)) })?;
            return Ok(negated(number, start, times - 1, Kind::Negate));
        }
        let operand = self.member()?;
        Ok(negated(operand, start, times, if mark == "!" { Kind::Not } else { Kind::Negate }))
    }

    fn member(&mut self) -> Result<Ast, CompileError> {
        let first = self.primary()?;
        self.after(first)
    }

    /// What may follow a value: selections, indexes, calls.
    fn after(&mut self, mut value: Ast) -> Result<Ast, CompileError> {
        let (mut calls, mut members) = (0, 0);
        loop {
            let start = value.at.start;
            members += 1;
            if members > MEMBERS_MAX || self.depth > DEPTH_MAX {
                let message =
                    format!("not a CEL expression that is run here: more than {MEMBERS_MAX} members in a row");
                return Err(mistake(self.lexer.source, self.at.start, message));
            }
            if self.take(".")? {
                let optional = self.take("?")?;
                let (field, quoted) = self.field()?;
                let end = self.end;
                if self.is("(") && !optional && !quoted {
                    // Each nests what is before it one deeper.
                    calls += 1;
                    self.depth += 1;
                    let target = Some(Box::new(value));
                    let (arguments, end) = self.arguments()?;
                    value = Ast { at: start..end, kind: Kind::Call { target, name: field, arguments } };
                } else {
                    let operand = Box::new(value);
                    value = Ast { at: start..end, kind: Kind::Select { operand, field, optional } };
                }
            } else if self.take("[")? {
                let optional = self.take("?")?;
                let index = Box::new(self.expression()?);
                let end = self.expect("]")?;
                value = Ast { at: start..end, kind: Kind::Index { operand: Box::new(value), index, optional } };
            } else if self.is("{")
                && let Some(name) = qualified(&value)
            {
                value = self.message(start, name)?;
            } else {
                self.depth -= calls;
                return Ok(value);
            }
        }
    }

    fn field(&mut self) -> Result<(String, bool), CompileError> {
        let unexpected = self.unexpected("a name after `.`");
        match self.next()? {
            Token::Word(word) if !matches!(word.as_str(), "true" | "false" | "null" | "in") => Ok((word, false)),
            Token::Quoted(name) => Ok((name, true)),
            _ => Err(unexpected),
        }
    }

    fn arguments(&mut self) -> Result<(Vec<Ast>, usize), CompileError> {
        self.expect("(")?;
        let mut arguments = Vec::new();
        if !self.is(")") {
            loop {
                arguments.push(self.expression()?);
                if !self.take(",")? {
                    break;
                }
            }
        }
        let end = self.expect(")")?;
        Ok((arguments, end))
    }

    fn primary(&mut self) -> Result<Ast, CompileError> {
        let at = self.at.clone();
        let unexpected = self.unexpected("a value");
        let literal = |literal: Literal| Ok(Ast { at: at.clone(), kind: Kind::Literal(literal) });
        match self.next()? {
            Token::Literal(value) => literal(value),
            Token::Magnitude(value) => {
                let value = i64::try_from(value);
                literal(Literal::Int(
                    value.map_err(|_| mistake(self.lexer.source, at.start, "the integer is too large"))?,
                ))
            }
            Token::Word(word) => match word.as_str() {
                "true" => literal(Literal::Bool(true)),
                "false" => literal(Literal::Bool(false)),
                "null" => literal(Literal::Null),
                word if KEYWORDS.contains(&word) => {
                    let message = format!("not a CEL expression: `{word}` is a reserved word");
                    Err(mistake(self.lexer.source, at.start, message))
                }
                _ => self.name(at, word, false),
            },
            Token::Mark(".") => match self.next()? {
                Token::Word(word) if !KEYWORDS.contains(&word.as_str()) => self.name(at, word, true),
                _ => Err(unexpected),
            },
            Token::Mark("(") => {
                let inside = self.expression()?;
                let end = self.expect(")")?;
                Ok(Ast { at: at.start..end, ..inside })
            }
            Token::Mark("[") => {
                let mut items = Vec::new();
                while !self.is("]") {
                    let optional = self.take("?")?;
                    items.push((self.expression()?, optional));
                    if !self.take(",")? {
                        break;
                    }
                }
                let end = self.expect("]")?;
                Ok(Ast { at: at.start..end, kind: Kind::List(items) })
            }
            Token::Mark("{") => {
                let mut entries = Vec::new();
                while !self.is("}") {
                    let optional = self.take("?")?;
                    let key = self.expression()?;
                    self.expect(":")?;
                    entries.push((key, self.expression()?, optional));
                    if !self.take(",")? {
                        break;
                    }
                }
                let end = self.expect("}")?;
                Ok(Ast { at: at.start..end, kind: Kind::Map(entries) })
            }
            _ => Err(unexpected),
        }
    }

    /// A name, or the call of a function.
    fn name(&mut self, at: Range<usize>, name: String, absolute: bool) -> Result<Ast, CompileError> {
        if !self.is("(") {
            return Ok(Ast { at, kind: Kind::Name { name, absolute } });
        }
        let (arguments, end) = self.arguments()?;
        Ok(Ast { at: at.start..end, kind: Kind::Call { target: None, name, arguments } })
    }

    fn message(&mut self, start: usize, name: String) -> Result<Ast, CompileError> {
        self.expect("{")?;
        while !self.is("}") {
            self.field()?;
            self.expect(":")?;
            self.expression()?;
            if !self.take(",")? {
                break;
            }
        }
        let end = self.expect("}")?;
        Ok(Ast { at: start..end, kind: Kind::Message { name } })
    }
}

/// The same operator several times: two of them cancel each other for a value of the right type.
fn negated(operand: Ast, start: usize, times: usize, kind: fn(Box<Ast>) -> Kind) -> Ast {
    let mut value = operand;
    // Two are kept, since the type must be right all the same.
    let times = if times > 2 { 2 - times % 2 } else { times };
    for _ in 0..times {
        let at = start..value.at.end;
        value = Ast { at, kind: kind(Box::new(value)) };
    }
    value
}

/// The name with dots that a part of an expression spells.
pub(super) fn qualified(ast: &Ast) -> Option<String> {
    match &ast.kind {
        Kind::Name { name, .. } => Some(name.clone()),
        Kind::Select { operand, field, optional: false } => Some(format!("{}.{field}", qualified(operand)?)),
        _ => None,
    }
}
