-- Whether the settings of the startup packet arrived; if so, asks for raw bytes.
--
-- No row means that something in between swallowed them, a pooler: then nothing
-- has been changed on a server connection that others will use.
--
-- grain   one row, or none
-- feeds   connect::Session, once, as its first statement
-- since   10
-- needs   nothing
-- cost    no table is read
SELECT pg_catalog.set_config('client_encoding', 'SQL_ASCII', false) AS client_encoding,
       -- The server's clock at the start of the session: a backend that is much older was pooled.
       pg_catalog.set_config('pgjam.since', (EXTRACT(epoch FROM pg_catalog.clock_timestamp()))::pg_catalog.text, false) AS since,
       pg_catalog.pg_is_in_recovery() AS in_recovery
 WHERE pg_catalog.current_setting('lock_timeout') = '100ms'
