//! Sizes, rates and spans of time as people write and read them. Bytes are counted in powers of 1024 where they are stored
//! (KiB, MiB) and accepted in both ways; rates are shown in the same units, so that size and rate divide.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

/// Bytes.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) struct Size(pub(crate) u64);

/// Bytes per second.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) struct Rate(pub(crate) u64);

/// A span of time.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) struct Span(pub(crate) Duration);

impl fmt::Display for Size {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const UNITS: [&str; 5] = ["KiB", "MiB", "GiB", "TiB", "PiB"];
        if self.0 < 1024 {
            return f.pad(&format!("{} B", self.0));
        }
        let mut value = self.0 as f64 / 1024.0;
        let mut unit = 0;
        // 1023.95 would be shown as 1024.0: the next unit reads better.
        while value >= 1023.95 && unit + 1 < UNITS.len() {
            value /= 1024.0;
            unit += 1;
        }
        f.pad(&format!("{value:.1} {}", UNITS[unit]))
    }
}

impl fmt::Display for Rate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&format!("{}/s", Size(self.0)))
    }
}

impl fmt::Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let seconds = self.0.as_secs();
        let (days, hours, minutes) = (seconds / 86_400, seconds / 3_600 % 24, seconds / 60 % 60);
        let text = match (days, hours, minutes) {
            (0, 0, 0) => format!("{seconds} s"),
            (0, 0, minutes) => format!("{minutes} min {:02} s", seconds % 60),
            (0, hours, minutes) => format!("{hours} h {minutes:02} min"),
            (days, hours, _) => format!("{days} d {hours:02} h"),
        };
        f.pad(&text)
    }
}

impl FromStr for Size {
    type Err = String;

    fn from_str(text: &str) -> Result<Size, String> {
        const EXAMPLE: &str = "try 65536, 256KiB or 4MB";
        let text = text.trim();
        let digits = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
        let (number, unit) = text.split_at(digits);
        let number: f64 = number.parse().map_err(|_| format!("`{text}` is no size; {EXAMPLE}"))?;
        let factor: u64 = match unit.trim().to_ascii_lowercase().as_str() {
            "" | "b" => 1,
            "k" | "kb" => 1_000,
            "m" | "mb" => 1_000_000,
            "g" | "gb" => 1_000_000_000,
            "t" | "tb" => 1_000_000_000_000,
            "ki" | "kib" => 1 << 10,
            "mi" | "mib" => 1 << 20,
            "gi" | "gib" => 1 << 30,
            "ti" | "tib" => 1 << 40,
            other => return Err(format!("`{other}` is no unit of size; {EXAMPLE}")),
        };
        let bytes = number * factor as f64;
        if bytes > (1u64 << 60) as f64 {
            return Err(format!("`{text}` is too much; {EXAMPLE}"));
        }
        Ok(Size(bytes as u64))
    }
}

impl FromStr for Rate {
    type Err = String;

    fn from_str(text: &str) -> Result<Rate, String> {
        let size = text.trim().trim_end_matches("/s").trim_end_matches("ps");
        let Size(bytes) = size.parse().map_err(|_| format!("`{text}` is no rate; try 500kB/s or 4MB/s"))?;
        match bytes {
            0 => Err("a rate of 0 would never end; leave the option out for no limit".into()),
            bytes => Ok(Rate(bytes)),
        }
    }
}

impl FromStr for Span {
    type Err = String;

    fn from_str(text: &str) -> Result<Span, String> {
        let text = text.trim();
        let digits = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
        let (number, unit) = text.split_at(digits);
        let wrong = || format!("`{text}` is no span of time; try 90s, 30m, 2h or 7d");
        let number: u64 = number.parse().map_err(|_| wrong())?;
        let seconds: u64 = match unit.trim() {
            "" | "s" | "sec" => 1,
            "m" | "min" => 60,
            "h" => 3_600,
            "d" => 86_400,
            _ => return Err(wrong()),
        };
        number.checked_mul(seconds).map(Duration::from_secs).map(Span).ok_or_else(wrong)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_shown_with_one_decimal_and_the_unit_that_reads_best() {
        for (bytes, text) in [
            (0, "0 B"),
            (1023, "1023 B"),
            (1024, "1.0 KiB"),
            (1_048_575, "1.0 MiB"),
            (1_048_576, "1.0 MiB"),
            (5_368_709_120, "5.0 GiB"),
            (u64::MAX, "16384.0 PiB"),
        ] {
            assert_eq!(Size(bytes).to_string(), text);
        }
        assert_eq!(format!("{:>9}", Size(1)), "      1 B");
    }

    #[test]
    fn sizes_rates_and_spans_are_read_as_people_write_them() {
        assert_eq!("256KiB".parse(), Ok(Size(262_144)));
        assert_eq!("1.5 MiB".parse(), Ok(Size(1_572_864)));
        assert_eq!("65536".parse(), Ok(Size(65_536)));
        assert_eq!("4MB/s".parse(), Ok(Rate(4_000_000)));
        assert_eq!("500k".parse(), Ok(Rate(500_000)));
        assert_eq!("90s".parse(), Ok(Span(Duration::from_secs(90))));
        assert_eq!("2h".parse(), Ok(Span(Duration::from_secs(7_200))));
    }

    #[test]
    fn nonsense_is_refused_with_an_example() {
        for text in ["", "x", "12 parsecs", "-1", "1e400", "99999999999TiB"] {
            assert!(text.parse::<Size>().is_err_and(|error| error.contains("try")), "{text}");
        }
        for text in ["0", "", "fast"] {
            assert!(text.parse::<Rate>().is_err(), "{text}");
        }
        for text in ["", "m", "5 weeks", "99999999999999999999d"] {
            assert!(text.parse::<Span>().is_err_and(|error| error.contains("try")), "{text}");
        }
    }

    #[test]
    fn spans_are_shown_with_two_units() {
        for (seconds, text) in [(5, "5 s"), (65, "1 min 05 s"), (3_700, "1 h 01 min"), (90_000, "1 d 01 h")] {
            assert_eq!(Span(Duration::from_secs(seconds)).to_string(), text);
        }
    }
}
