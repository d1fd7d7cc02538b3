//! What changed between two texts, line by line.

/// Most pairs of lines that are compared; beyond, everything between the first and the last change counts as changed.
const PAIRS_MAX: usize = 4_000_000;
/// Lines shown around a change.
const AROUND: usize = 3;

/// A line of both texts, of the first, or of the second.
#[derive(Clone, Copy)]
enum Line<'t> {
    Both(&'t str),
    Gone(&'t str),
    New(&'t str),
}

/// The changes from one text to another: `-` before what is gone, `+` before what is new, a few lines around, `…` where
/// something is left out. Empty for texts that are the same.
pub(super) fn between(before: &str, after: &str) -> String {
    let (before, after): (Vec<&str>, Vec<&str>) = (before.lines().collect(), after.lines().collect());
    let lines = compare(&before, &after);
    let changed: Vec<usize> =
        lines.iter().enumerate().filter(|(_, line)| !matches!(line, Line::Both(_))).map(|(place, _)| place).collect();
    let mut text = String::new();
    let mut skipped = false;
    let mut next = 0;
    for (place, line) in lines.iter().enumerate() {
        while changed.get(next).is_some_and(|change| change + AROUND < place) {
            next += 1;
        }
        if changed.get(next).is_none_or(|change| change.abs_diff(place) > AROUND) {
            skipped = true;
            continue;
        }
        if std::mem::take(&mut skipped) {
            text.push_str("…\n");
        }
        let (mark, line) = match line {
            Line::Both(line) => (' ', line),
            Line::Gone(line) => ('-', line),
            Line::New(line) => ('+', line),
        };
        text.extend([mark, ' ']);
        text.push_str(line);
        text.push('\n');
    }
    text
}

fn compare<'t>(before: &[&'t str], after: &[&'t str]) -> Vec<Line<'t>> {
    let start = before.iter().zip(after).take_while(|(old, new)| old == new).count();
    let (old, new) = (before.get(start..).unwrap_or_default(), after.get(start..).unwrap_or_default());
    let end = old.iter().rev().zip(new.iter().rev()).take_while(|(old, new)| old == new).count();
    let (old, same) = old.split_at(old.len() - end);
    let (new, _) = new.split_at(new.len() - end);
    let mut lines: Vec<Line<'t>> = before.iter().take(start).map(|line| Line::Both(line)).collect();
    lines.extend(middle(old, new));
    lines.extend(same.iter().map(|line| Line::Both(line)));
    lines
}

/// By the longest lines that both have in the same order.
fn middle<'t>(old: &[&'t str], new: &[&'t str]) -> Vec<Line<'t>> {
    if old.len().saturating_mul(new.len()) > PAIRS_MAX {
        let gone = old.iter().map(|line| Line::Gone(line));
        return gone.chain(new.iter().map(|line| Line::New(line))).collect();
    }
    // How many lines both have from a place in each on: a row for every old line, and one behind the last.
    let mut rows = vec![vec![0_u32; new.len() + 1]];
    for old in old.iter().rev() {
        let below = rows.last().cloned().unwrap_or_default();
        let mut row = vec![0; new.len() + 1];
        for (place, line) in new.iter().enumerate().rev() {
            let of = |row: &[u32], place: usize| row.get(place).copied().unwrap_or_default();
            let longest =
                if old == line { of(&below, place + 1) + 1 } else { of(&below, place).max(of(&row, place + 1)) };
            if let Some(cell) = row.get_mut(place) {
                *cell = longest;
            }
        }
        rows.push(row);
    }
    let length = |i: usize, j: usize| {
        let row = rows.get(old.len() - i);
        row.and_then(|row| row.get(j)).copied().unwrap_or_default()
    };
    let (mut lines, mut i, mut j) = (Vec::new(), 0, 0);
    loop {
        match (old.get(i), new.get(j)) {
            (Some(before), Some(after)) if before == after => {
                lines.push(Line::Both(before));
                (i, j) = (i + 1, j + 1);
            }
            (Some(before), after) if after.is_none() || length(i + 1, j) >= length(i, j + 1) => {
                lines.push(Line::Gone(before));
                i += 1;
            }
            (_, Some(after)) => {
                lines.push(Line::New(after));
                j += 1;
            }
            _ => return lines,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::between;

    #[test]
    fn what_changed_is_shown_with_what_is_around() {
        assert_eq!(between("a\nb\n", "a\nb\n"), "");
        assert_eq!(between("", "a\n"), "+ a\n");
        assert_eq!(between("a\nb\nc\n", "a\nx\nc\n"), "  a\n- b\n+ x\n  c\n");
        assert_eq!(between("a\nb\nc\n", "b\nc\na\n"), "- a\n  b\n  c\n+ a\n");
        let many: Vec<String> = (0..20).map(|line| line.to_string()).collect();
        let (before, after) = (many.join("\n"), many.join("\n").replace("10", "ten"));
        assert_eq!(between(&before, &after), "…\n  7\n  8\n  9\n- 10\n+ ten\n  11\n  12\n  13\n");
    }

    /// However large: nothing but the lines is compared when there are too many pairs.
    #[test]
    fn texts_with_nothing_in_common_are_quick() {
        let lines = |from: usize| (from..from + 10_000).map(|line| format!("{line}\n")).collect::<String>();
        assert_eq!(between(&lines(0), &lines(20_000)).lines().count(), 20_000);
    }
}
