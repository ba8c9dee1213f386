//! Chaos: everything that happens to a recording in weeks, done to it within minutes.
//!
//! The program as it is shipped, a real server under load, and a ledger beside them: every tick
//! that the server's log tells is on disk, or counted as missed. `PGJAM_KILLS=200` kills the program
//! so often.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod disk;
mod failover;
mod ledger;
mod log;
mod network;
mod orphans;
mod process;
mod proxy;
mod rights;
mod servers;
mod stage;

use std::process::ExitCode;

use libtest_mimic::{Arguments, Trial};

macro_rules! scenarios {
    ($($place:ident: $($name:ident),+;)+) => {
        vec![$($(scenario(concat!(stringify!($place), "::", stringify!($name)), $place::$name)),+),+]
    };
}

fn scenario(name: &str, plays: fn()) -> Trial {
    Trial::test(name, move || {
        plays();
        Ok(())
    })
}

fn main() -> ExitCode {
    let scenarios = scenarios! {
        servers: nothing_is_written_on_a_server_that_is_watched, a_fast_restart_is_a_gap, an_immediate_restart_is_a_gap,
            a_postmaster_that_is_killed_is_a_gap,
            the_end_and_the_beginning_come_while_the_server_is_away,
            a_backend_that_is_terminated_again_and_again_is_found_again;
        network: a_connection_that_is_reset_is_found_again,
            a_server_that_refuses_for_a_while_is_knocked_at_until_it_lets_in,
            a_network_that_swallows_everything_is_noticed_within_patience,
            a_short_silence_is_waited_out,
            the_end_does_not_wait_for_a_network_that_swallows_everything,
            the_end_comes_while_a_connection_is_awaited,
            a_slow_network_makes_gaps_and_no_lies,
            bytes_that_come_one_by_one_are_a_tick_all_the_same;
        process: after_kill_9_at_most_the_last_second_is_missing,
            after_kill_9_by_need_what_is_missing_is_counted_as_well,
            a_program_that_stands_still_counts_what_it_missed,
            by_need_the_ledger_balances_as_well,
            a_backend_that_stands_still_is_waited_out,
            a_postmaster_that_stands_still_disturbs_no_watch_and_no_end,
            a_second_program_on_the_same_folder_refuses,
            the_lock_of_a_dead_program_stands_in_nobodys_way,
            a_torn_and_a_foreign_file_are_passed_over_and_kept;
        rights: a_role_that_may_not_log_in_for_a_while_is_a_gap,
            a_database_that_may_not_be_entered_for_a_while_is_a_gap,
            a_role_without_a_connection_to_spare_is_a_gap,
            a_role_that_sees_too_little_for_a_while_is_a_gap,
            a_privilege_that_is_revoked_in_mid_flight_is_told_and_ends_nothing,
            a_password_that_changes_is_felt_at_the_next_connection,
            a_server_without_room_lets_in_again_when_there_is_some,
            a_database_that_is_dropped_under_the_watch_is_a_gap_until_it_is_back,
            another_database_that_is_dropped_disturbs_nothing,
            counters_that_are_reset_or_dropped_are_told_and_end_nothing;
        disk: a_full_disk_is_told_and_waited_out_without_a_loss,
            a_disk_that_is_full_at_the_start_is_waited_out_without_a_loss,
            a_disk_that_stays_full_ends_with_what_it_is,
            a_full_disk_and_a_lost_server_at_once_lose_nothing,
            an_end_on_a_full_disk_is_prompt_and_says_what_it_is,
            a_file_that_may_not_grow_is_told_and_the_next_goes_on,
            a_folder_that_is_removed_in_mid_flight_is_made_again,
            a_folder_that_may_not_be_entered_is_refused_at_once,
            a_folder_of_something_else_is_refused_at_once;
        failover: a_promoted_standby_is_watched_on_in_the_same_recording_and_back_again,
            a_standby_that_is_promoted_under_the_watch_goes_on,
            a_standby_is_preferred_and_its_primary_watched_while_it_is_away;
        ledger: what_is_taken_away_or_added_is_found;
    };
    let mut arguments = Arguments::from_args();
    // A scenario is mostly waiting, and has a server to itself.
    arguments.test_threads.get_or_insert(4);
    libtest_mimic::run(&arguments, scenarios).exit_code()
}
