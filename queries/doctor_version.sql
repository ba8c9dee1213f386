-- The server's version, asked before anything that an old one does not know.
--
-- grain   one row
-- feeds   doctor::Checkup
-- since   9.0
-- needs   nothing
-- cost    no table is read
SELECT current_setting('server_version_num')::int AS version_num
