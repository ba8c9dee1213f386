//! The sheet that pictures are drawn on: plotters inside, our own frame around.

use std::convert::Infallible;

use plotters::coord::Shift;
use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, Pos, VPos};

use crate::report::markup;
use crate::report::palette::{self, Colour};

/// The area of a whole picture, in pixels.
pub(super) type Sheet<'a> = DrawingArea<SVGBackend<'a>, Shift>;

/// What drawing into a string returns; it has no way to fail.
pub(super) type Drawn = Result<(), DrawingAreaErrorKind<std::io::Error>>;

/// Draws on an empty sheet and frames the result.
pub(super) fn picture(
    title: &str,
    description: &str,
    size: (u32, u32),
    draw: impl FnOnce(&Sheet<'_>) -> Drawn,
) -> String {
    let mut drawing = String::new();
    {
        let sheet = SVGBackend::with_string(&mut drawing, size).into_drawing_area();
        // The backend writes into memory: an error could only mean an area of no size, whose
        // picture is the empty one.
        let _: Result<(), Infallible> =
            draw(&sheet)
                .and_then(|()| sheet.present())
                .or(Ok::<(), Infallible>(()));
    }
    let body = drawing
        .split_once('>')
        .and_then(|(_, rest)| rest.rsplit_once("</svg>"))
        .map_or("", |(body, _)| body);
    frame(title, description, size, body)
}

/// Puts markup that is already escaped into an `<svg>` with title, words, colours and paper.
pub(super) fn frame(
    title: &str,
    description: &str,
    (width, height): (u32, u32),
    body: &str,
) -> String {
    format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" class=\"pgjam\" role=\"img\" \
         width=\"{width}\" height=\"{height}\" viewBox=\"0 0 {width} {height}\" \
         font-family=\"sans-serif\">\n\
         <title>{}</title>\n<desc>{}</desc>\n<style>{}</style>\n\
         <rect width=\"{width}\" height=\"{height}\" fill=\"{}\"/>\n{}\n</svg>\n",
        markup::escape(title),
        markup::escape(description),
        palette::style_sheet(),
        palette::PAPER.light,
        body.trim(),
    )
}

/// Turns `#RRGGBB` into plotters' colour.
pub(super) fn rgb(colour: Colour) -> RGBColor {
    let channel = |at: usize| {
        colour
            .light
            .get(at..at + 2)
            .and_then(|digits| u8::from_str_radix(digits, 16).ok())
            .unwrap_or(0)
    };
    RGBColor(channel(1), channel(3), channel(5))
}

/// How a text sits on its point.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Anchor {
    /// Begins there.
    Start,
    /// Is centred there.
    Middle,
    /// Ends there.
    End,
}

/// Writes one line, centred on `y`; `size` is in CSS pixels.
pub(super) fn text(
    sheet: &Sheet<'_>,
    words: &str,
    at: (i32, i32),
    anchor: Anchor,
    size: f64,
    colour: Colour,
) -> Drawn {
    let horizontal = match anchor {
        Anchor::Start => HPos::Left,
        Anchor::Middle => HPos::Center,
        Anchor::End => HPos::Right,
    };
    // The backend divides by 1.24 to turn a line's height into a font's size.
    let style = ("sans-serif", size * 1.24)
        .into_font()
        .color(&rgb(colour))
        .pos(Pos::new(horizontal, VPos::Center));
    sheet.draw(&Text::new(markup::clean(words).into_owned(), at, style))
}

/// Estimates how wide a text is at a font size, on the generous side.
pub(super) fn text_width(words: &str, size: f64) -> f64 {
    // Sans-serif averages a bit over half its size per character; CJK is square.
    words
        .chars()
        .map(|c| if c >= '\u{1100}' { 1.0 } else { 0.56 })
        .sum::<f64>()
        * size
}

/// Cuts a text to a width in pixels.
pub(super) fn fit(words: &str, size: f64, width: f64) -> String {
    let mut room = 400;
    loop {
        let short = markup::line(words, room);
        let needed = text_width(&short, size);
        if needed <= width || room <= 1 {
            return short;
        }
        let length = short.chars().count();
        let cut = px(length as f64 * width / needed).unsigned_abs() as usize;
        room = cut.min(length.saturating_sub(1)).max(1);
    }
}

/// Rounds to the pixel.
#[expect(
    clippy::cast_possible_truncation,
    reason = "float casts saturate, and a sheet is at most a few thousand pixels wide"
)]
pub(super) fn px(value: f64) -> i32 {
    value.round() as i32
}

/// Picks a step of 1, 2 or 5 times a power of ten that divides `0..=top` into at most `most` parts.
pub(super) fn nice_step(top: f64, most: u32) -> f64 {
    let raw = top / f64::from(most.max(1));
    if !raw.is_finite() || raw <= 0.0 {
        return 1.0;
    }
    let power = 10_f64.powf(raw.log10().floor());
    [1.0, 2.0, 5.0, 10.0]
        .into_iter()
        .map(|factor| factor * power)
        .find(|&step| step >= raw * 0.999_999)
        .unwrap_or(10.0 * power)
}
