//! What every page has alike: its style, its script, and the policy that allows just these.

use std::sync::LazyLock;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use sha2::{Digest as _, Sha256};

use crate::report::palette;

/// The page's script: files without imports, in one scope of their own.
pub(super) const SCRIPT: &str = concat!(
    "(() => {\n'use strict';\n",
    include_str!("../../../reports/script/values.js"),
    include_str!("../../../reports/script/chosen.js"),
    include_str!("../../../reports/script/load.js"),
    include_str!("../../../reports/script/heat.js"),
    include_str!("../../../reports/script/replay.js"),
    include_str!("../../../reports/script/live.js"),
    include_str!("../../../reports/script/page.js"),
    "})();\n",
);

/// Gives the page's style sheet, with the colours that its pictures have.
pub(super) fn style_sheet() -> &'static str {
    static SHEET: LazyLock<String> = LazyLock::new(|| {
        let sheet = include_str!("../../../reports/report.css");
        format!("{}\n{sheet}", palette::variables())
    });
    &SHEET
}

/// Gives the Content-Security-Policy of a file, and of a page that a daemon serves.
///
/// Nothing is loaded and nothing is sent, but to the daemon that served the page; the script is
/// known by its hash. Styles are told apart by nothing: each picture brings a sheet of its own.
pub(super) fn policies() -> (&'static str, &'static str) {
    static POLICIES: LazyLock<[String; 2]> = LazyLock::new(|| {
        let hash = STANDARD.encode(Sha256::digest(SCRIPT));
        ["", "connect-src 'self'; "].map(|connect| {
            format!(
                "default-src 'none'; script-src 'sha256-{hash}'; {connect}\
                 style-src 'unsafe-inline'; img-src data:; base-uri 'none'; form-action 'none'"
            )
        })
    });
    let [file, live] = &*POLICIES;
    (file, live)
}
