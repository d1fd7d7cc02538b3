//! The tests by what they are about: a line for each family, with its cases.

use std::collections::BTreeMap;

/// Families by the modules of their tests; a test belongs to the first that fits.
const FAMILIES: [(&str, &[&str]); 9] = [
    ("signatures and tokens of callers", &["verify::", "signers::", "providers::", "jwt::", "auth::", "users::"]),
    ("secrets and other workspaces", &["secret::", "isolation::"]),
    ("callers on the wire", &["connections::", "callbacks::", "rate::", "http::"]),
    ("data of callers", &["json::", "parse::", "path::", "sample::", "expression::"]),
    ("answers, redirects, and where requests lead", &["reply::", "redirect::", "request::", "outgoing::", "ticket::"]),
    ("plugins and their limits", &["plugin::", "limits::", "uploads::"]),
    ("faces and tickets", &["face::", "flowrunner::", "grexx::", "nocobase::", "patchworks::", "tickets::"]),
    ("executions", &["execution::", "waiting::", "flow::", "flows::", "environments::", "runner::"]),
    ("store", &["store::", "restart::", "disk::", "load::"]),
];

/// Prints a line for each family.
pub fn print(results: &[(String, bool)], output: &str) {
    let cases = cases(output);
    let mut left: Vec<&(String, bool)> = results.iter().collect();
    let line = |name: &str, tests: Vec<&(String, bool)>| {
        let cases: usize = tests.iter().map(|(test, _)| cases.get(test.as_str()).copied().unwrap_or(1)).sum();
        let failures = tests.iter().filter(|(_, passed)| !passed).count();
        println!("{name}: {} tests, {cases} cases, {failures} failures", tests.len());
    };
    for (name, modules) in FAMILIES {
        let is_of = |test: &&(String, bool)| modules.iter().any(|module| test.0.starts_with(module));
        let (of_family, others) = left.into_iter().partition(is_of);
        line(name, of_family);
        left = others;
    }
    line("everything else", left);
}

/// What tests say of the number of their cases: `N cases`, on a line of its own.
fn cases(output: &str) -> BTreeMap<&str, usize> {
    let (mut cases, mut test) = (BTreeMap::new(), "");
    for line in output.lines() {
        if let Some(name) = line.strip_prefix("---- ").and_then(|rest| rest.strip_suffix(" stdout ----")) {
            test = name;
        } else if let Some(count) = line.strip_suffix(" cases").and_then(|count| count.parse::<usize>().ok()) {
            *cases.entry(test).or_default() += count;
        }
    }
    cases
}

#[cfg(test)]
mod tests {
    use super::cases;

    #[test]
    fn the_cases_of_a_test_are_found_in_its_output() {
        let output = "test a::one ... ok\n\nsuccesses:\n\n---- a::one stdout ----\n12 cases\nwords\n3 cases\n\n---- b::two stdout ----\nno cases\n";
        assert_eq!(cases(output).into_iter().collect::<Vec<_>>(), [("a::one", 15)]);
    }
}
