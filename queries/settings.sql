-- Which settings of the server are not the built-in ones.
--
-- grain   one row per setting that a file, the command line or the environment gives
-- feeds   sample::Setting
-- since   14
-- needs   pg_read_all_settings, or some settings do not show
-- cost    one pass over the settings of this session, some 350
--
-- What is a text may hold a secret: of it only a hash is told, but for the log's time zone, and of
-- those that are meant to hold one, or are an extension's, nothing. Settings of a role, a database or a session are not told.
/* pgjam */
select pg_catalog.statement_timestamp() as at,
       name,
       case
           when name = 'log_timezone' then reset_val
           when vartype = 'string' then 'hash ' || pg_catalog.to_hex(pg_catalog.hashtextextended(reset_val, 0))
           else reset_val || coalesce(' ' || unit, '')
       end as value,
       source,
       pending_restart
  from pg_catalog.pg_show_all_settings()
 where source in ('configuration file', 'command line', 'environment variable')
   and name !~ '[.]|conninfo|_command$|passphrase|password|secret'
