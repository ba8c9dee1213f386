-- The backend that answers, and how old it was when the session began.
--
-- Asked twice: behind a pooler the answers may differ, the session's marker may be
-- missing, and the backend may be older than the session.
--
-- grain   one row
-- feeds   doctor::Checkup
-- since   10
-- needs   nothing
-- cost    one entry of the activity array
SELECT pg_backend_pid() AS pid,
       current_setting('application_name') AS application_name,
       (nullif(current_setting('pgjam.since', true), '')::float8
        - extract(epoch FROM pg_stat_get_backend_start(own.id)))::float8 AS age_at_start
  FROM pg_stat_get_backend_idset() AS own (id)
 WHERE pg_stat_get_backend_pid(own.id) = pg_backend_pid()
