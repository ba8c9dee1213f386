//! Who a session is, and when there is nobody to see.

use crate::stage::Stage;

pub(crate) fn tenants_behind_a_pooler_are_named_by_role(stage: &mut Stage<'_>) {
    stage.run(
        "drop role if exists tenant_a, tenant_b;
         create role tenant_a login; create role tenant_b login;
         grant usage on schema public to tenant_a, tenant_b;
         grant all on hot to tenant_a, tenant_b",
    );
    let update = "update hot set n = n + 1 where id = 1";
    let mut holder = stage.nameless("tenant_a");
    holder.batch_execute(&format!("begin; {update}")).unwrap();
    let _waiter = stage.goes_behind(stage.nameless("tenant_b"), update);
    let _second = stage.goes_behind(stage.nameless("tenant_a"), update);

    let seen = stage.look();

    seen.has_edges(&[
        "tenant_b => tenant_a: public.hot",
        "tenant_a => tenant_b: public.hot",
    ]);
    seen.has_roots(&["tenant_a"]);
    seen.has_chains(&["tenant_a holds rows of public.hot"]);
    let systems = &seen.view().chains[0].systems;
    assert_eq!((systems["tenant_a"], systems["tenant_b"]), (1, 1));
}

pub(crate) fn a_wait_that_is_over_leaves_nothing(stage: &mut Stage<'_>) {
    let update = "update hot set n = n + 1 where id = 1";
    let mut holder = stage.holds("holder", update);
    let waiter = stage.holds("waiter", "select");
    let waiter = stage.goes_behind(waiter, update);
    holder.batch_execute("commit").unwrap();
    let _waiter = waiter.goes_on();

    let seen = stage.look();

    seen.has_edges(&[]);
    seen.has_roots(&[]);
    let view = seen.view();
    assert!(view.nodes.is_empty() && view.chains.is_empty(), "{view:?}");
    assert!(
        view.unseen.is_empty() && view.without_holder.is_empty(),
        "{view:?}"
    );
}
