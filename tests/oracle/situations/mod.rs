//! Each situation by name.

mod rows;

use crate::stage::Stage;

/// Plays one situation and checks what is seen of it.
pub(crate) type Play = fn(&mut Stage<'_>);

macro_rules! situations {
    ($($module:ident::$name:ident,)*) => {
        /// All of them.
        pub(crate) const ALL: &[(&str, Play)] = &[$((stringify!($name), $module::$name),)*];
    };
}

situations! {
    rows::three_waiters_on_one_row,
    rows::a_prepared_transaction_holds_a_row,
}
