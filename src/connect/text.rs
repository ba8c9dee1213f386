//! Text as the server's bytes.

use std::borrow::Cow;
use std::error::Error;

use tokio_postgres::types::{FromSql, Kind, Type};

/// A text column as it lies on the server, in whatever encoding its database has.
///
/// Decodes from any string type. A [`Session`](super::Session) asks for no
/// conversion, so these bytes are those of the database; they may be invalid UTF-8.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RawText<'a>(pub &'a [u8]);

impl<'a> RawText<'a> {
    /// Reads it as UTF-8, with U+FFFD for each byte sequence that is none.
    #[must_use]
    pub fn to_lossy(self) -> Cow<'a, str> {
        String::from_utf8_lossy(self.0)
    }
}

impl<'a> FromSql<'a> for RawText<'a> {
    fn from_sql(_: &Type, raw: &'a [u8]) -> Result<Self, Box<dyn Error + Sync + Send>> {
        Ok(Self(raw))
    }

    fn accepts(ty: &Type) -> bool {
        matches!(
            *ty,
            Type::TEXT | Type::VARCHAR | Type::BPCHAR | Type::NAME | Type::UNKNOWN
        ) || matches!(ty.kind(), Kind::Domain(inner) if Self::accepts(inner))
    }
}
