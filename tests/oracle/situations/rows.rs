//! Waits for a row, and so for the transaction that has changed it.

use crate::stage::Stage;

pub(crate) fn three_waiters_on_one_row(stage: &mut Stage<'_>) {
    let _holder = stage.holds("holder", "update hot set n = n + 1 where id = 1");
    let update = "update hot set n = n + 1 where id = 1";
    let _first = stage.behind("first", update);
    let _second = stage.behind("second", update);
    let _third = stage.behind("third", update);

    let seen = stage.look();

    seen.has_edges(&[
        "first => holder: public.hot",
        "second => first: public.hot",
        "third -> second: public.hot",
        "third => first: public.hot",
    ]);
    seen.has_roots(&["holder"]);
}

pub(crate) fn a_prepared_transaction_holds_a_row(stage: &mut Stage<'_>) {
    let update = "update hot set n = n + 1 where id = 1";
    let mut shop = stage.holds("shop", update);
    shop.batch_execute("prepare transaction 'payment-17'")
        .unwrap();
    let _victim = stage.behind("victim", update);

    let seen = stage.look();

    seen.has_edges(&["victim => payment-17: public.hot"]);
    seen.has_roots(&["payment-17"]);
    let root = seen.node("payment-17");
    assert_eq!(root.state, "prepared");
    assert_eq!(root.role.as_deref(), Some("postgres"));
    assert_eq!(root.database.as_deref(), Some("postgres"));
    assert!(root.xact_age_ms.is_some());
}
