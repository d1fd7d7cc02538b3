//! What was probably meant by a word that is unknown.

/// The nearest known word, when it is near enough, as ` (did you mean …?)`; else nothing.
pub fn suggest<'w>(found: &str, known: impl IntoIterator<Item = &'w str>) -> String {
    let found: String = found.chars().take(64).collect();
    // What was found is not what was meant.
    let others = known.into_iter().filter(|word| *word != found);
    let nearest = others.map(|word| (strsim::osa_distance(&found, word), word)).min();
    match nearest {
        Some((distance, word)) if distance <= 2 && distance < word.chars().count() => {
            format!(" (did you mean `{word}`?)")
        }
        _ => String::new(),
    }
}
