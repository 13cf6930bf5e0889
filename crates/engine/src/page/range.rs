//! Which bytes of a file a request asks for. RFC 9110, section 14

use core::ops::Range;

/// What a `Range` header asks of a file.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum Asked {
    /// All of it: there is no such header, or one that need not be understood (of other units, of several ranges, or no range at all).
    All,
    /// A part of it, which is not empty.
    Part(Range<u64>),
    /// What is not there.
    Beyond,
}

/// Reads the header of a request for a file of this length.
pub(super) fn asked(header: Option<&str>, len: u64) -> Asked {
    let Some(range) = header.and_then(|header| header.trim().strip_prefix("bytes=")) else {
        return Asked::All;
    };
    let Some((first, last)) = range.split_once('-').map(|(first, last)| (first.trim(), last.trim())) else {
        return Asked::All;
    };
    let number = |digits: &str| -> Option<u64> {
        let plain = !digits.is_empty() && digits.bytes().all(|digit| digit.is_ascii_digit());
        // More digits than fit are more bytes than there are.
        plain.then(|| digits.parse().unwrap_or(u64::MAX))
    };
    let part = match (number(first), number(last), first.is_empty(), last.is_empty()) {
        // The last so many bytes.
        (None, Some(0), true, _) => return Asked::Beyond,
        (None, Some(count), true, _) => len.saturating_sub(count)..len,
        (Some(first), None, _, true) => first..len,
        (Some(first), Some(last), ..) if first <= last => first..last.saturating_add(1).min(len),
        _ => return Asked::All,
    };
    if part.start < part.end { Asked::Part(part) } else { Asked::Beyond }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_are_read_as_the_standard_says() {
        for (header, len, expected) in [
            (None, 10, Asked::All),
            (Some("bytes=0-4"), 10, Asked::Part(0..5)),
            (Some("bytes=0-0"), 10, Asked::Part(0..1)),
            (Some(" bytes=3-"), 10, Asked::Part(3..10)),
            (Some("bytes=-3"), 10, Asked::Part(7..10)),
            (Some("bytes=-30"), 10, Asked::Part(0..10)),
            (Some("bytes=5-100"), 10, Asked::Part(5..10)),
            (Some("bytes=5-99999999999999999999999"), 10, Asked::Part(5..10)),
            (Some("bytes=10-"), 10, Asked::Beyond),
            (Some("bytes=99999999999999999999999-"), 10, Asked::Beyond),
            (Some("bytes=-0"), 10, Asked::Beyond),
            (Some("bytes=0-"), 0, Asked::Beyond),
            (Some("bytes=-5"), 0, Asked::Beyond),
            (Some("bytes=4-3"), 10, Asked::All),
            (Some("bytes=0-1,3-4"), 10, Asked::All),
            (Some("bytes=a-b"), 10, Asked::All),
            (Some("bytes=+1-2"), 10, Asked::All),
            (Some("bytes=-"), 10, Asked::All),
            (Some("bytes="), 10, Asked::All),
            (Some("lines=0-1"), 10, Asked::All),
            (Some(""), 10, Asked::All),
        ] {
            assert_eq!(asked(header, len), expected, "{header:?} of {len}");
        }
    }
}
