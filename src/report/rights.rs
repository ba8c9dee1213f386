//! Whether the role in use may run what is offered, and what it would take.
//!
//! - A superuser may signal every session, and finish every prepared transaction.
//! - A role that has the privileges of a session's role, or those of `pg_signal_backend`, may
//!   signal that session, unless it is a superuser's.
//! - A process that has no role, such as autovacuum, counts as a superuser's since the minor
//!   releases of November 2023. From 18 on `pg_signal_autovacuum_worker` is enough for autovacuum.
//! - Whoever is not a superuser finishes only what was prepared under the very same role.
//!
//! Source: `pg_signal_backend` in `src/backend/storage/ipc/signalfuncs.c` and `LockGXact` in
//! `src/backend/access/transam/twophase.c`.

use crate::connect::quoted;
use crate::graph::view::Node;
use crate::pg::Version;

/// Who looks, and what its role is allowed to do to others.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rights {
    /// The server's version, on which the rules depend.
    pub version: Version,
    /// The role's name.
    pub role: String,
    /// Whether it is a superuser.
    pub is_superuser: bool,
    /// Whether it has the privileges of `pg_signal_backend`.
    pub signals_sessions: bool,
    /// Whether it has those of `pg_signal_autovacuum_worker`; none where there is no such role.
    pub signals_autovacuum: Option<bool>,
}

/// Whether a statement may be run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Permission {
    /// By the role in use.
    Granted,
    /// Not by the role in use; this statement would change that.
    Grantable(String),
    /// By nobody but these.
    Reserved(String),
    /// The role in use, or the other one, is not known well enough.
    Unknown,
}

impl Permission {
    /// Says it in one short clause.
    pub(super) fn words(&self) -> String {
        match self {
            Self::Granted => "This role may.".to_owned(),
            Self::Grantable(grant) => format!("This role may not: {grant};"),
            Self::Reserved(who) => format!("This role may not: only {who} may."),
            Self::Unknown => "Whether this role may is not known.".to_owned(),
        }
    }
}

impl Rights {
    /// Tells whether a backend may be cancelled or ended.
    pub(super) fn to_signal(&self, node: &Node) -> Permission {
        if self.is_superuser {
            return Permission::Granted;
        }
        if node.backend_type == "autovacuum worker" {
            return self.to_signal_autovacuum();
        }
        match (node.role_is_superuser, node.has_privileges) {
            (Some(true), _) => Permission::Reserved("a superuser".to_owned()),
            (Some(false), _) if self.signals_sessions => Permission::Granted,
            (Some(false), Some(true)) => Permission::Granted,
            (Some(false), Some(false)) => self.grant("pg_signal_backend"),
            _ => Permission::Unknown,
        }
    }

    fn to_signal_autovacuum(&self) -> Permission {
        match self.signals_autovacuum {
            Some(true) => Permission::Granted,
            Some(false) => self.grant("pg_signal_autovacuum_worker"),
            None if self.guards_the_server_s_own() => {
                Permission::Reserved("a superuser".to_owned())
            }
            None if self.signals_sessions => Permission::Granted,
            None => self.grant("pg_signal_backend"),
        }
    }

    /// Tells whether processes without a role count as a superuser's (CVE-2023-5870).
    fn guards_the_server_s_own(&self) -> bool {
        let first = match self.version.major() {
            14 => 140_010,
            15 => 150_005,
            16 => 160_001,
            _ => 0,
        };
        self.version.0 >= first
    }

    /// Tells whether a prepared transaction may be committed or rolled back.
    pub(super) fn to_finish(&self, node: &Node) -> Permission {
        match &node.role {
            _ if self.is_superuser => Permission::Granted,
            Some(owner) if *owner == self.role => Permission::Granted,
            Some(owner) => Permission::Reserved(format!("{} or a superuser", quoted(owner))),
            None => Permission::Unknown,
        }
    }

    fn grant(&self, power: &str) -> Permission {
        Permission::Grantable(format!("GRANT {power} TO {}", quoted(&self.role)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::graph::view::Autovacuum;
    use crate::report::fixture_graph::{autovacuum, node, on_call, prepared};

    fn rights(version: u32) -> Rights {
        Rights {
            version: Version(version),
            signals_autovacuum: (version >= 180_000).then_some(false),
            ..on_call()
        }
    }

    /// A session of a role that is a superuser or not, whose privileges we have or not.
    fn session(superuser: Option<bool>, ours: Option<bool>) -> Node {
        Node {
            role_is_superuser: superuser,
            has_privileges: ours,
            ..node(10, "billing", "active", "SELECT 1")
        }
    }

    #[test]
    fn a_superuser_may_do_everything() {
        let rights = Rights {
            is_superuser: true,
            ..rights(150_018)
        };
        for node in [
            session(Some(true), Some(true)),
            session(None, None),
            autovacuum(10, Autovacuum::Ordinary),
        ] {
            assert_eq!(rights.to_signal(&node), Permission::Granted);
        }
        assert_eq!(rights.to_finish(&prepared("x")), Permission::Granted);
    }

    #[test]
    fn a_session_of_a_role_we_have_is_ours_to_signal() {
        let ours = session(Some(false), Some(true));
        assert_eq!(rights(150_018).to_signal(&ours), Permission::Granted);
    }

    #[test]
    fn another_role_s_session_takes_pg_signal_backend() {
        let other = session(Some(false), Some(false));
        assert_eq!(
            rights(150_018).to_signal(&other).words(),
            r#"This role may not: GRANT pg_signal_backend TO "on call";"#
        );
        let signaller = Rights {
            signals_sessions: true,
            ..rights(150_018)
        };
        assert_eq!(signaller.to_signal(&other), Permission::Granted);
    }

    #[test]
    fn a_superuser_s_session_is_for_superusers_whatever_else_we_have() {
        let theirs = session(Some(true), Some(true));
        let signaller = Rights {
            signals_sessions: true,
            ..rights(180_004)
        };
        assert_eq!(
            signaller.to_signal(&theirs).words(),
            "This role may not: only a superuser may."
        );
    }

    #[test]
    fn a_role_of_which_nothing_is_known_is_not_promised_anything() {
        let signaller = Rights {
            signals_sessions: true,
            ..rights(180_004)
        };
        for node in [session(None, None), session(Some(false), None)] {
            let permission = rights(150_018).to_signal(&node);
            assert_eq!(permission.words(), "Whether this role may is not known.");
        }
        assert_eq!(
            signaller.to_signal(&session(None, None)),
            Permission::Unknown
        );
    }

    #[test]
    fn autovacuum_is_for_superusers_until_18_has_a_role_for_it() {
        let worker = autovacuum(10, Autovacuum::Ordinary);
        let signaller = |version| Rights {
            signals_sessions: true,
            ..rights(version)
        };
        assert_eq!(
            signaller(140_009).to_signal(&worker),
            Permission::Granted,
            "before November 2023"
        );
        for version in [140_010, 150_005, 160_001, 170_000] {
            assert_eq!(
                signaller(version).to_signal(&worker),
                Permission::Reserved("a superuser".to_owned())
            );
        }
        assert_eq!(
            signaller(180_004).to_signal(&worker).words(),
            r#"This role may not: GRANT pg_signal_autovacuum_worker TO "on call";"#
        );
        let granted = Rights {
            signals_autovacuum: Some(true),
            ..rights(180_004)
        };
        assert_eq!(granted.to_signal(&worker), Permission::Granted);
    }

    #[test]
    fn a_prepared_transaction_is_its_owner_s_to_finish_and_nobody_else_s() {
        let of = |owner: &str| Node {
            role: Some(owner.to_owned()),
            has_privileges: Some(true),
            ..prepared("settle-7")
        };
        assert_eq!(
            rights(150_018).to_finish(&of("on call")),
            Permission::Granted
        );
        assert_eq!(
            rights(150_018).to_finish(&of("ledger")).words(),
            r#"This role may not: only "ledger" or a superuser may."#
        );
    }
}
