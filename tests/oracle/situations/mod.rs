//! Each situation by name.

mod advisory;
mod deadlocks;
mod keys;
mod pages;
mod parallel;
mod prepared;
mod relations;
mod rows;
mod servers_own;
mod sessions;
mod tables;

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
    rows::one_waiter_on_one_row,
    rows::three_waiters_on_one_row,
    rows::a_chain_over_two_tables,
    rows::a_row_locked_in_a_savepoint,
    rows::a_key_share_is_in_no_updates_way,
    rows::a_cascade_waits_for_a_row,
    rows::two_share_a_row_that_is_deleted,
    prepared::a_prepared_transaction_holds_a_row,
    prepared::two_prepared_transactions_share_a_table,
    prepared::a_prepared_transaction_survives_a_crash,
    tables::readers_queue_behind_an_alter,
    tables::who_reads_a_table_is_in_no_writers_way,
    tables::two_roots_for_one_waiter,
    tables::a_lock_upgrade_jumps_the_queue,
    tables::a_truncation_waits_for_a_reader_of_what_refers,
    tables::a_weak_lock_leaves_the_fast_path_to_be_in_the_way,
    relations::an_index_is_named_by_its_table,
    relations::an_index_is_rebuilt_behind_a_writer,
    relations::a_toast_table_is_named_by_its_owner,
    relations::a_partition_is_told_with_the_table_above,
    relations::a_table_of_another_database,
    relations::a_schema_is_dropped_behind_who_fills_it,
    pages::an_index_page_is_waited_for,
    pages::a_table_is_extended_by_one_after_another,
    advisory::an_idle_session_holds_an_advisory_lock,
    advisory::equal_numbers_of_two_shapes_are_two_locks,
    advisory::shared_advisory_locks_are_in_the_way_of_an_exclusive_one,
    keys::two_insert_one_key,
    keys::two_insert_one_key_or_update,
    keys::a_child_waits_for_its_parents_row,
    keys::a_parent_waits_for_its_child,
    keys::a_tentative_insertion_is_waited_for,
    deadlocks::two_rows_in_two_orders,
    deadlocks::a_cycle_through_a_queue,
    deadlocks::a_queue_that_the_server_has_rearranged,
    sessions::tenants_behind_a_pooler_are_named_by_role,
    sessions::a_wait_that_is_over_leaves_nothing,
    parallel::workers_wait_as_their_leader,
    parallel::workers_hold_as_their_leader,
    servers_own::a_vacuum_against_wraparound_holds_a_table,
    servers_own::an_index_is_built_beside_an_old_transaction,
    servers_own::a_safe_snapshot_waits_for_a_writer,
    servers_own::a_safe_snapshot_waits_for_a_prepared_transaction,
    servers_own::a_commit_with_notify_waits_for_another,
}
