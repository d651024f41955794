//! Slips of the pen: which of the known names was probably meant.

/// The known name that `name` differs from the least, if by no more than `slips_max` letters.
pub(super) fn closest<'a>(
    name: &str,
    known: impl Iterator<Item = &'a str>,
    slips_max: usize,
) -> Option<&'a str> {
    let near = known.filter_map(|other| Some((distance(name, other, slips_max)?, other)));
    near.min().map(|(_, other)| other)
}

/// How many letters must be changed, added or left out (Levenshtein); `None` above `slips_max`.
fn distance(a: &str, b: &str, slips_max: usize) -> Option<usize> {
    // Bounds the work for names of any length.
    if a.len().abs_diff(b.len()) > slips_max {
        return None;
    }
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.bytes().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, y) in b.bytes().enumerate() {
            let changed = diagonal + usize::from(x != y);
            diagonal = row[j + 1];
            row[j + 1] = changed.min(diagonal + 1).min(row[j] + 1);
        }
    }
    Some(row[b.len()]).filter(|slips| *slips <= slips_max)
}
