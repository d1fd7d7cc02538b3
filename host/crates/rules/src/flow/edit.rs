//! A flow file with one key of a trigger changed, as a person would: everything else stays as it is written, comments too.

use super::document::{Kind, Member, Node};
use super::parse;

/// Puts a key of a trigger into a file, in place of the one that is there. `value` is YAML, and stands behind the key where it
/// can, else under it.
///
/// # Errors
///
/// It has to be done by hand, in words: the file is written in braces, or is none.
pub fn with_key(source: &str, trigger: &str, key: &str, value: &str) -> Result<String, String> {
    let parsed = parse(source, 0).map_err(|_| "the file has mistakes")?;
    let at = parsed.flow.triggers.iter().find(|known| known.id.as_str() == trigger).map(|known| &known.at);
    let at = at.ok_or_else(|| format!("the file has no trigger {trigger}"))?;
    let document = Node::read(source).map_err(|mistake| mistake.to_string())?;
    let members = match document.find(at).map(|node| &node.kind) {
        Some(Kind::Object(members)) if is_block(members, source) => members,
        _ => return Err(format!("the trigger is written in braces: put `{key}` into it by hand")),
    };
    let lines: Vec<&str> = source.split_inclusive('\n').collect();
    let column = members.first().map_or(1, |member| member.name_at.column);
    let end = end_of(&lines, members, column);
    let starts = |number: usize| members.get(number).map_or(end, |member| member.name_at.line - 1);
    let known = members.iter().position(|member| member.name == key);
    let (from, until) = match known {
        Some(number) => (starts(number), last_of(&lines, starts(number), starts(number + 1))),
        // Behind the name, before what is there already.
        None => (last_of(&lines, starts(0), starts(1)), last_of(&lines, starts(0), starts(1))),
    };
    // The first key stands behind the dash of its item.
    let before = lines.get(from).filter(|_| known == Some(0)).and_then(|line| line.get(..column - 1));
    let before = before.map_or_else(|| " ".repeat(column - 1), str::to_owned);
    let indent = " ".repeat(column + 1);
    let value = value.trim_end();
    let under: Vec<String> = value.lines().map(|line| format!("{indent}{line}").trim_end().to_owned()).collect();
    let under = format!("{before}{key}:\n{}\n", under.join("\n"));
    let behind = Some(format!("{before}{key}: {}\n", value.trim())).filter(|_| !value.trim().contains('\n'));
    // It is what was meant, whatever the file looked like.
    let is_meant = |document: &Node| {
        let Some(Kind::Object(found)) = document.find(at).map(|node| &node.kind) else { return false };
        let others = |members: &[Member]| members.iter().filter(|member| member.name != key).count();
        found.iter().any(|member| member.name == key) && others(found) == others(members)
    };
    let mut wrong = String::new();
    for written in behind.into_iter().chain([under]) {
        let mut changed: String = lines.iter().take(from).copied().collect();
        if !changed.is_empty() && !changed.ends_with('\n') {
            changed.push('\n');
        }
        changed.push_str(&written);
        changed.extend(lines.iter().skip(until).copied());
        match Node::read(&changed) {
            Ok(document) if is_meant(&document) => return Ok(changed),
            Ok(_) => wrong = format!("the trigger is written in a way of its own: put `{key}` into it by hand"),
            Err(mistake) => wrong = format!("`{key}` would not be YAML: {}", mistake.detail),
        }
    }
    Err(wrong)
}

/// What stands in a file behind a key of a trigger, or under it, as it is written there.
pub fn text_of_key(source: &str, trigger: &str, key: &str) -> Option<String> {
    let parsed = parse(source, 0).ok()?;
    let at = parsed.flow.triggers.iter().find(|known| known.id.as_str() == trigger).map(|known| &known.at)?;
    let document = Node::read(source).ok()?;
    let Some(Kind::Object(members)) = document.find(at).map(|node| &node.kind) else { return None };
    let number = members.iter().position(|member| member.name == key).filter(|_| is_block(members, source))?;
    let lines: Vec<&str> = source.lines().collect();
    let (member, column) = (members.get(number)?, members.first()?.name_at.column);
    let from = member.name_at.line - 1;
    let until = members.get(number + 1).map_or_else(|| end_of(&lines, members, column), |next| next.name_at.line - 1);
    let part = lines.get(from..last_of(&lines, from, until))?;
    let (first, rest) = part.split_first()?;
    let behind = first.split_once(':')?.1.trim();
    if rest.is_empty() {
        return Some(behind.to_owned());
    }
    // A block of text begins behind its key.
    let indents = rest.iter().filter(|line| !line.trim().is_empty()).map(|line| line.len() - line.trim_start().len());
    let indent = indents.min().unwrap_or_default();
    let rest: Vec<&str> = rest.iter().map(|line| line.get(indent..).unwrap_or_default()).collect();
    Some(if behind.is_empty() { rest.join("\n") } else { format!("{behind}\n{}", rest.join("\n")) })
}

/// Whether each member has a line of its own, below the one before it.
fn is_block(members: &[Member], source: &str) -> bool {
    let first = members.first().map(|member| &member.name_at);
    let is_plain = |line: usize| source.lines().nth(line - 1).is_some_and(|line| !line.contains('\t'));
    let below = members.windows(2).all(|pair| match pair {
        [one, other] => one.name_at.line < other.name_at.line && one.name_at.column == other.name_at.column,
        _ => true,
    });
    // In braces, the first name does not stand where its object begins.
    below && first.is_some_and(|at| is_plain(at.line) && !stands_in_braces(source, at.line, at.column))
}

fn stands_in_braces(source: &str, line: usize, column: usize) -> bool {
    let before: String = source.lines().nth(line - 1).unwrap_or_default().chars().take(column - 1).collect();
    before.trim_end().ends_with(['{', ','])
}

/// The line behind the last of an object, as its members are indented.
fn end_of(lines: &[&str], members: &[Member], column: usize) -> usize {
    let last = members.last().map_or(0, |member| member.name_at.line - 1);
    let is_inside = |line: &&&str| {
        let text = line.trim_start_matches(' ');
        let indent = line.len() - text.len();
        text.trim().is_empty() || text.starts_with('#') || indent >= column
    };
    last + 1 + lines.iter().skip(last + 1).take_while(is_inside).count()
}

/// What stands before something belongs to that: empty lines, and comments.
fn last_of(lines: &[&str], from: usize, until: usize) -> usize {
    let is_apart = |line: &&&str| line.trim().is_empty() || line.trim_start().starts_with('#');
    let part = lines.get(from + 1..until).unwrap_or_default();
    until - part.iter().rev().take_while(is_apart).count()
}

#[cfg(test)]
mod tests {
    use super::{text_of_key, with_key};

    #[test]
    fn a_key_is_read_as_it_is_written() {
        assert_eq!(text_of_key(FLOW, "order-received", "when").as_deref(), Some("data.total > 1"));
        assert_eq!(text_of_key(FLOW, "order-received", "fields").as_deref(), Some("# by hand\na: { body: a }"));
        assert_eq!(text_of_key(FLOW, "paid", "when"), None);
        assert_eq!(text_of_key("{ flow: a, steps: [{ trigger: B, when: data.a }] }", "b", "when"), None);
    }

    const FLOW: &str = "\
# Orders.
flow: orders
steps:
  - trigger: Order received   # the first
    fields:
      # by hand
      a: { body: a }

    # What counts.
    when: data.total > 1
  # Then.
  - trigger: Paid
  - set: { done: true }
";

    #[test]
    fn what_cannot_be_done_is_said() {
        let why = |source: &str, trigger: &str| with_key(source, trigger, "when", "data.a").unwrap_err();
        assert!(why("flow: [", "a").contains("has mistakes"));
        assert!(why(FLOW, "nothing").contains("has no trigger nothing"));
        assert!(why("{ flow: a, steps: [{ trigger: B }] }", "b").contains("by hand"));
        assert!(why("flow: a\nsteps: [{ trigger: B }]\n", "b").contains("by hand"));
        assert!(with_key(FLOW, "paid", "when", "a: b: c").unwrap_err().contains("would not be YAML"));
        assert!(with_key(FLOW, "paid", "when", "x\ny: [").is_err());
    }

    #[test]
    fn one_key_changes_and_nothing_else() {
        let changed = with_key(FLOW, "order-received", "when", "data.total > 2").unwrap();
        assert_eq!(changed, FLOW.replace("> 1", "> 2"));
        let changed = with_key(FLOW, "order-received", "fields", "b: { body: b }\nc: { body: c }").unwrap();
        let expected = "    fields:\n      b: { body: b }\n      c: { body: c }\n\n    # What counts.";
        assert_eq!(
            changed,
            FLOW.replace("    fields:\n      # by hand\n      a: { body: a }\n\n    # What counts.", expected)
        );
        let changed = with_key(FLOW, "paid", "when", "data.b").unwrap();
        assert_eq!(changed, FLOW.replace("- trigger: Paid\n", "- trigger: Paid\n    when: data.b\n"));
        let changed = with_key(FLOW, "paid", "fields", "a: { body: a }").unwrap();
        assert_eq!(changed, FLOW.replace("- trigger: Paid\n", "- trigger: Paid\n    fields:\n      a: { body: a }\n"));
        let changed = with_key(FLOW, "paid", "trigger", "Paid").unwrap();
        assert_eq!(changed, FLOW);
        let short = "flow: a\nsteps:\n- trigger: B";
        assert_eq!(with_key(short, "b", "when", "data.a").unwrap(), format!("{short}\n  when: data.a\n"));
        let nested = "flow: a\nsteps:\n  - trigger: B\n    when:\n      all:\n        - data.a\n        - data.b";
        let changed = with_key(nested, "b", "when", "data.c").unwrap();
        assert_eq!(changed, "flow: a\nsteps:\n  - trigger: B\n    when: data.c\n");
    }
}
