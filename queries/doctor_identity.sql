-- The cluster's identity, which survives restarts and fail-overs.
--
-- A query of its own, since a role that may not run the function gets an error.
--
-- grain   one row
-- feeds   doctor::Checkup
-- since   9.6
-- needs   EXECUTE on pg_control_system()
-- cost    one read of the control file
SELECT system_identifier::text AS system_identifier
  FROM pg_control_system()
