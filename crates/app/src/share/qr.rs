//! A text as a QR code that a terminal can show, for the camera of a phone. Pure, but for a look at the environment.
//!
//! Two rows of modules make one line of half blocks, in black on white whatever the colours of the terminal are, with the quiet zone
//! of four modules that the standard (ISO/IEC 18004) asks for: cameras rely on both.

use qrcodegen::{QrCode, QrCodeEcc};

/// Light modules around the code.
const QUIET_ZONE: i32 = 4;

/// Black on bright white, and back to what was before.
const COLOURS: (&str, &str) = ("\x1b[30;107m", "\x1b[0m");

/// Whether the terminal has half blocks and colours, as far as the environment says.
pub(super) fn can_be_shown() -> bool {
    let set = |name: &str| std::env::var(name).ok().filter(|value| !value.is_empty());
    let locale = set("LC_ALL").or_else(|| set("LC_CTYPE")).or_else(|| set("LANG")).unwrap_or_default();
    let utf8 = locale.to_lowercase().replace('-', "").contains("utf8");
    utf8 && set("NO_COLOR").is_none()
}

/// The lines; none if the text is too long for a code, or for a terminal of so many columns and rows.
pub(super) fn lines(text: &str, columns: usize, rows: usize) -> Option<Vec<String>> {
    // The lowest level of correction: nothing on a screen is torn or dirty, and a small code is large in the camera.
    let code = QrCode::encode_text(text, QrCodeEcc::Low).ok()?;
    let (from, to) = (-QUIET_ZONE, code.size() + QUIET_ZONE);
    let side = usize::try_from(to - from).ok()?;
    if side > columns || side.div_ceil(2) > rows {
        return None;
    }
    let line = |y: i32| {
        let modules = (from..to).map(|x| match (code.get_module(x, y), code.get_module(x, y + 1)) {
            (true, true) => '█',
            (true, false) => '▀',
            (false, true) => '▄',
            (false, false) => ' ',
        });
        format!("{}{}{}", COLOURS.0, modules.collect::<String>(), COLOURS.1)
    };
    Some((from..to).step_by(2).map(line).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The modules that lines show: dark or light.
    fn modules(lines: &[String]) -> Vec<Vec<bool>> {
        let plain = |line: &String| line.replace(COLOURS.0, "").replace(COLOURS.1, "");
        let half = |line: &String, upper: bool| {
            let dark = move |c: char| c == '█' || c == if upper { '▀' } else { '▄' };
            plain(line).chars().map(dark).collect()
        };
        lines.iter().flat_map(|line| [half(line, true), half(line, false)]).collect()
    }

    #[test]
    fn the_code_stands_in_its_quiet_zone_with_its_three_eyes() {
        let lines = lines("http://192.168.100.200:40123/abcdefghijklmnopqrstuv/", 80, 24).unwrap();
        let modules = modules(&lines);
        let side = modules[0].len();
        assert!(modules.iter().all(|row| row.len() == side) && modules.len() >= side);
        let zone = QUIET_ZONE as usize;
        assert!(modules.iter().take(zone).all(|row| !row.contains(&true)), "light above");
        assert!(modules.iter().all(|row| !row[..zone].contains(&true)), "light on the left");
        // Each eye: a dark ring of seven modules, a light one, a dark core of three.
        let eye = |x: usize, y: usize| {
            (0..7).all(|dy| {
                (0..7).all(|dx| {
                    let ring = dx.min(6 - dx).min(dy.min(6 - dy));
                    modules[y + dy][x + dx] == (ring != 1)
                })
            })
        };
        let far = side - zone - 7;
        assert!(eye(zone, zone) && eye(far, zone) && eye(zone, far) && !eye(far, far));
    }

    #[test]
    fn what_does_not_fit_the_terminal_is_not_shown_torn() {
        let url = "http://192.168.100.200:40123/abcdefghijklmnopqrstuv/";
        let side = modules(&lines(url, 200, 200).unwrap())[0].len();
        assert!(lines(url, side, side.div_ceil(2)).is_some());
        assert_eq!(lines(url, side - 1, 200), None);
        assert_eq!(lines(url, 200, side.div_ceil(2) - 1), None);
        assert_eq!(lines(&"x".repeat(4_000), 1_000, 1_000), None, "no code holds so much");
    }
}
