//! The colours of every picture, each with its twin for a dark page.
//!
//! The series colours keep apart for the three common kinds of colour blindness
//! (after Okabe and Ito, with the pale ones darkened until a thin line of them
//! shows on white). Nothing is told by colour alone: every mark has its words.
//!
//! A picture is drawn in the light colours, as attributes. A style sheet within
//! the SVG replaces them by their twins where the reader prefers dark, so each
//! role has a colour of its own even where two could look alike.

use std::fmt::Write as _;

/// One role's colour as `#RRGGBB`, in capitals, as plotters writes it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Colour {
    /// On a light page.
    pub(crate) light: &'static str,
    /// On a dark page.
    pub(crate) dark: &'static str,
}

const fn colour(light: &'static str, dark: &'static str) -> Colour {
    Colour { light, dark }
}

/// Text that matters.
pub(crate) const INK: Colour = colour("#1F2328", "#E6EDF3");
/// Text beside it.
pub(crate) const MUTED: Colour = colour("#59636E", "#9DA7B1");
/// Lines that must not draw the eye.
pub(crate) const GRID: Colour = colour("#DDE2E7", "#2B313A");
/// The paper.
pub(crate) const PAPER: Colour = colour("#FFFFFF", "#12161C");
/// The inside of a node.
pub(crate) const NODE: Colour = colour("#F6F8FA", "#1B2129");
/// Events, and edges of a graph.
pub(crate) const MARK: Colour = colour("#818B98", "#7D8792");
/// What is blamed: the one accent.
pub(crate) const BLAME: Colour = colour("#C74E00", "#FF8F47");
/// What got better.
pub(crate) const RELIEF: Colour = colour("#01805D", "#35D0A2");
/// What is neither.
pub(crate) const NEUTRAL: Colour = colour("#98A1AB", "#68727D");

/// What has no meaning of its own and only has to differ from its neighbour.
pub(crate) const SERIES: [Colour; 8] = [
    colour("#0072B2", "#58AEEA"),
    colour("#D98A00", "#F4B640"),
    colour("#029E73", "#2FC79B"),
    colour("#B9629F", "#E59BD2"),
    colour("#56B4E9", "#9AD6F8"),
    colour("#A66A3F", "#D5A177"),
    colour("#A39A00", "#ECE133"),
    colour("#6E6E6E", "#B4B4B4"),
];

/// Gives the colour of the `index`-th series; they repeat after eight.
pub(crate) const fn series(index: usize) -> Colour {
    SERIES[index % SERIES.len()]
}

/// Gives the nearest of a terminal's 256 colours to that of the `index`-th series.
pub(crate) fn colour_index(index: usize) -> u8 {
    let hex = series(index).light;
    let step = |at: usize| {
        let channel = hex
            .get(at..at + 2)
            .and_then(|digits| u8::from_str_radix(digits, 16).ok());
        // The cube's steps are 0, 95, 135, 175, 215 and 255.
        match channel.unwrap_or_default() {
            0..48 => 0,
            dark @ 48..115 => u8::from(dark >= 48),
            bright => (bright - 35) / 40,
        }
    };
    16 + 36 * step(1) + 6 * step(3) + step(5)
}

/// Writes the series' colours as variables of a page: `--series-0` and on.
pub(crate) fn variables() -> String {
    let listed = |colour: fn(&Colour) -> &'static str| {
        let mut list = String::new();
        for (n, series) in SERIES.iter().enumerate() {
            let _ = write!(list, "--series-{n}:{};", colour(series));
        }
        list
    };
    format!(
        ":root{{{}}}@media (prefers-color-scheme:dark){{:root{{{}}}}}",
        listed(|colour| colour.light),
        listed(|colour| colour.dark)
    )
}

/// Writes the style sheet that goes into each SVG.
pub(crate) fn style_sheet() -> String {
    let mut css = String::from(
        ".pgjam text{font-family:system-ui,-apple-system,'Segoe UI',Roboto,'DejaVu Sans',sans-serif;\
         font-variant-numeric:tabular-nums}",
    );
    // Event marks are the only polylines in their colour; plotters cannot dash one itself.
    let _ = write!(
        css,
        ".pgjam polyline[stroke='{}']{{stroke-dasharray:3 3}}",
        MARK.light
    );
    css.push_str("@media (prefers-color-scheme:dark){");
    let roles = [INK, MUTED, GRID, PAPER, NODE, MARK, BLAME, RELIEF, NEUTRAL];
    for Colour { light, dark } in roles.iter().chain(&SERIES) {
        let _ = write!(
            css,
            ".pgjam [fill='{light}']{{fill:{dark}}}.pgjam [stroke='{light}']{{stroke:{dark}}}"
        );
    }
    css.push('}');
    css
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn every_role_has_a_light_colour_of_its_own() {
        let roles = [INK, MUTED, GRID, PAPER, NODE, MARK, BLAME, RELIEF, NEUTRAL];
        let all: Vec<&str> = roles.iter().chain(&SERIES).map(|c| c.light).collect();
        let distinct: BTreeSet<&str> = all.iter().copied().collect();
        assert_eq!(all.len(), distinct.len());
    }
}
