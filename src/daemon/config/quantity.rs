//! Sizes and ages as people write them: `512MiB`, `2GB`, `14d`, `36h`.

use std::fmt;
use std::str::FromStr;

/// A number of bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Bytes(u64);

/// A stretch of the past, in seconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Age(u64);

const BYTE_UNITS: &[(&str, u64)] = &[
    ("B", 1),
    ("kB", 1_000),
    ("KB", 1_000),
    ("KiB", 1 << 10),
    ("MB", 1_000_000),
    ("MiB", 1 << 20),
    ("GB", 1_000_000_000),
    ("GiB", 1 << 30),
    ("TB", 1_000_000_000_000),
    ("TiB", 1 << 40),
];

const AGE_UNITS: &[(&str, u64)] = &[
    ("s", 1),
    ("m", 60),
    ("min", 60),
    ("h", 3_600),
    ("d", 86_400),
    ("w", 7 * 86_400),
];

impl Bytes {
    /// Takes mebibytes.
    #[must_use]
    pub const fn from_mib(mib: u64) -> Self {
        Self(mib << 20)
    }

    /// Takes gibibytes.
    #[must_use]
    pub const fn from_gib(gib: u64) -> Self {
        Self(gib << 30)
    }

    /// Gives the number.
    #[must_use]
    pub const fn count(self) -> u64 {
        self.0
    }
}

impl Age {
    /// Takes days.
    #[must_use]
    pub const fn from_days(days: u64) -> Self {
        Self(days * 86_400)
    }

    /// Gives whole seconds.
    #[must_use]
    pub const fn as_secs(self) -> u64 {
        self.0
    }
}

impl FromStr for Bytes {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        read(text, BYTE_UNITS).map(Self).ok_or_else(|| {
            format!("is \"{text}\", which is no size: write it as \"512MiB\" or \"2GiB\"")
        })
    }
}

impl FromStr for Age {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        read(text, AGE_UNITS).map(Self).ok_or_else(|| {
            format!("is \"{text}\", which is no length of time: write it as \"36h\" or \"14d\"")
        })
    }
}

/// Reads a number and its unit; there is no usual unit, since nobody would guess the same.
fn read(text: &str, units: &[(&str, u64)]) -> Option<u64> {
    let text = text.trim();
    let end = text.find(|c: char| !c.is_ascii_digit() && c != '.')?;
    let (number, unit) = (text[..end].parse::<f64>().ok()?, text[end..].trim());
    let &(_, size) = units.iter().find(|(known, _)| *known == unit)?;
    let all = number * size as f64;
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "between one and what a float counts exactly"
    )]
    (1.0..9e15).contains(&all).then(|| all.round() as u64)
}

impl fmt::Display for Bytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write(
            f,
            self.0,
            &[("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10)],
            "B",
        )
    }
}

impl fmt::Display for Age {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write(f, self.0, &[("d", 86_400), ("h", 3_600), ("m", 60)], "s")
    }
}

/// Writes a quantity in the largest unit that needs no fraction.
fn write(
    f: &mut fmt::Formatter<'_>,
    count: u64,
    units: &[(&str, u64)],
    smallest: &str,
) -> fmt::Result {
    let whole = units
        .iter()
        .find(|(_, size)| count >= *size && count.is_multiple_of(*size));
    match whole {
        Some((unit, size)) => write!(f, "{}{unit}", count / size),
        None => write!(f, "{count}{smallest}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_and_ages_read_back_as_written() {
        for size in ["512B", "64KiB", "512MiB", "2GiB", "3000GiB"] {
            assert_eq!(
                size.parse::<Bytes>().map(|size| size.to_string()),
                Ok(size.to_owned())
            );
        }
        for age in ["90s", "90m", "36h", "14d"] {
            assert_eq!(
                age.parse::<Age>().map(|age| age.to_string()),
                Ok(age.to_owned())
            );
        }
        assert_eq!("1.5GiB".parse::<Bytes>(), Ok(Bytes::from_mib(1_536)));
        assert_eq!("2 GB".parse::<Bytes>(), Ok(Bytes(2_000_000_000)));
        assert_eq!("2w".parse::<Age>(), Ok(Age::from_days(14)));
    }

    #[test]
    fn a_number_without_a_unit_is_no_quantity() {
        for nothing in [
            "",
            "14",
            "d",
            "-1d",
            "0d",
            "1e9d",
            "14 days",
            "2gib",
            "9999999999TiB",
        ] {
            assert!(nothing.parse::<Bytes>().is_err(), "{nothing}");
            assert!(nothing.parse::<Age>().is_err(), "{nothing}");
        }
    }
}
