//! Counts in sentences: `1 event`, `12,345 events`.

/// A number with thousands separated: `12,345`.
#[must_use]
pub fn grouped(n: u64) -> String {
    let digits = n.to_string();
    let mut grouped = String::with_capacity(digits.len() + digits.len() / 3);
    for (i, digit) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            grouped.push(',');
        }
        grouped.push(digit);
    }
    grouped
}

/// A number with what is counted, as English has it: `1 event`, `2 events`, `0 batches`, `3 replies`.
#[must_use]
pub fn counted(n: u64, noun: &str) -> String {
    if n == 1 {
        return format!("1 {noun}");
    }
    let consonant_before_y = |stem: &str| !stem.ends_with(['a', 'e', 'i', 'o', 'u']);
    let plural = match noun.strip_suffix('y') {
        Some(stem) if consonant_before_y(stem) => format!("{stem}ies"),
        _ if noun.ends_with(['s', 'x']) || noun.ends_with("ch") || noun.ends_with("sh") => {
            format!("{noun}es")
        }
        _ => format!("{noun}s"),
    };
    format!("{} {plural}", grouped(n))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_are_grouped() {
        assert_eq!(grouped(0), "0");
        assert_eq!(grouped(999), "999");
        assert_eq!(grouped(10_654), "10,654");
        assert_eq!(grouped(1_234_567), "1,234,567");
    }

    #[test]
    fn one_of_a_kind_is_no_plural() {
        assert_eq!(counted(1, "event"), "1 event");
        assert_eq!(counted(0, "event"), "0 events");
        assert_eq!(counted(12_345, "event"), "12,345 events");
        assert_eq!(counted(2, "batch"), "2 batches");
        assert_eq!(counted(1, "batch"), "1 batch");
        assert_eq!(counted(2, "crash"), "2 crashes");
        assert_eq!(counted(2, "entry"), "2 entries");
        assert_eq!(counted(2, "key"), "2 keys");
    }
}
