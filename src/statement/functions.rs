//! The words that stand before an opening bracket and lock no table's rows.
//!
//! The server's own functions lock no rows of anybody's tables; an application's function may
//! do anything. A text does not tell the two apart, so those in use are listed; what is missing
//! here counts as an application's. Key words and types with arguments are listed beside them.

/// Tells whether a name in lower case is one of them.
pub(super) fn is_harmless(name: &str) -> bool {
    HARMLESS.binary_search(&name).is_ok()
}

/// In the order of their bytes.
#[rustfmt::skip]
const HARMLESS: &[&str] = &[
    "abbrev", "abs", "acos", "age", "all", "analyze", "and", "any", "array", "array_agg",
    "array_append", "array_cat", "array_dims", "array_length", "array_lower", "array_ndims",
    "array_position", "array_positions", "array_prepend", "array_remove", "array_replace",
    "array_to_json", "array_to_string", "array_upper", "as", "ascii", "asin", "atan", "atan2",
    "avg", "between", "bit", "bit_and", "bit_length", "bit_or", "bool_and", "bool_or", "broadcast",
    "btrim", "by", "cardinality", "case", "cast", "cbrt", "ceil", "ceiling", "char", "char_length",
    "character", "character_length", "chr", "clock_timestamp", "coalesce", "collate", "concat",
    "concat_ws", "conflict", "copy", "corr", "cos", "count", "covar_pop", "covar_samp", "cube",
    "cume_dist", "current_database", "current_schema", "current_schemas", "current_setting",
    "current_time", "current_timestamp", "current_user", "currval", "date_bin", "date_part",
    "date_trunc", "daterange", "decimal", "decode", "degrees", "dense_rank", "distinct", "div",
    "else", "encode", "every", "except", "exists", "exp", "explain", "extract", "family", "filter",
    "first_value", "float", "floor", "format", "from", "gcd", "gen_random_uuid", "generate_series",
    "generate_subscripts", "get_bit", "get_byte", "greatest", "group", "hashtext",
    "hashtextextended", "having", "host", "hostmask", "ilike", "in", "inet_merge", "initcap",
    "int4range", "int8range", "intersect", "interval", "into", "is", "isempty", "isfinite", "join",
    "json_agg", "json_array", "json_array_elements", "json_array_elements_text",
    "json_array_length", "json_arrayagg", "json_build_array", "json_build_object", "json_each",
    "json_each_text", "json_exists", "json_extract_path", "json_extract_path_text", "json_object",
    "json_object_agg", "json_object_keys", "json_objectagg", "json_populate_record",
    "json_populate_recordset", "json_query", "json_scalar", "json_serialize", "json_strip_nulls",
    "json_table", "json_to_record", "json_to_recordset", "json_typeof", "json_value", "jsonb_agg",
    "jsonb_array_elements", "jsonb_array_elements_text", "jsonb_array_length", "jsonb_build_array",
    "jsonb_build_object", "jsonb_each", "jsonb_each_text", "jsonb_extract_path",
    "jsonb_extract_path_text", "jsonb_insert", "jsonb_object", "jsonb_object_agg",
    "jsonb_object_keys", "jsonb_path_exists", "jsonb_path_match", "jsonb_path_query",
    "jsonb_path_query_array", "jsonb_path_query_first", "jsonb_populate_record",
    "jsonb_populate_recordset", "jsonb_pretty", "jsonb_set", "jsonb_set_lax", "jsonb_strip_nulls",
    "jsonb_to_record", "jsonb_to_recordset", "jsonb_typeof", "justify_days", "justify_hours",
    "justify_interval", "lag", "last_value", "lastval", "lateral", "lcm", "lead", "least", "left",
    "length", "like", "limit", "ln", "localtime", "localtimestamp", "log", "lower", "lower_inc",
    "lower_inf", "lpad", "ltrim", "make_date", "make_interval", "make_time", "make_timestamp",
    "make_timestamptz", "masklen", "materialized", "max", "md5", "min", "mod", "mode", "nchar",
    "netmask", "network", "nextval", "not", "now", "nth_value", "ntile", "nullif", "num_nonnulls",
    "num_nulls", "numeric", "numrange", "octet_length", "offset", "on", "only", "or", "over",
    "overlay", "percent_rank", "percentile_cont", "percentile_disc", "pg_advisory_lock",
    "pg_advisory_lock_shared", "pg_advisory_unlock", "pg_advisory_unlock_all",
    "pg_advisory_unlock_shared", "pg_advisory_xact_lock", "pg_advisory_xact_lock_shared",
    "pg_backend_pid", "pg_blocking_pids", "pg_cancel_backend", "pg_column_size",
    "pg_current_snapshot", "pg_current_xact_id", "pg_current_xact_id_if_assigned",
    "pg_database_size", "pg_get_serial_sequence", "pg_notify", "pg_relation_size", "pg_size_pretty",
    "pg_sleep", "pg_sleep_for", "pg_sleep_until", "pg_table_size", "pg_terminate_backend",
    "pg_total_relation_size", "pg_try_advisory_lock", "pg_try_advisory_lock_shared",
    "pg_try_advisory_xact_lock", "pg_try_advisory_xact_lock_shared", "pg_typeof",
    "phraseto_tsquery", "pi", "plainto_tsquery", "position", "pow", "power", "precision",
    "quote_ident", "quote_literal", "quote_nullable", "radians", "random", "range_merge", "rank",
    "recursive", "regexp_count", "regexp_instr", "regexp_like", "regexp_match", "regexp_matches",
    "regexp_replace", "regexp_split_to_array", "regexp_split_to_table", "regexp_substr", "reindex",
    "repeat", "replace", "returning", "returns", "reverse", "right", "rollup", "round", "row",
    "row_number", "row_to_json", "rpad", "rtrim", "select", "session_user", "set", "set_bit",
    "set_byte", "set_config", "set_masklen", "sets", "setseed", "setval", "setweight", "sha224",
    "sha256", "sha384", "sha512", "share", "sign", "similar", "sin", "some", "split_part", "sqrt",
    "starts_with", "statement_timestamp", "stddev", "stddev_pop", "stddev_samp", "string_agg",
    "string_to_array", "string_to_table", "strpos", "substr", "substring", "sum", "table", "tan",
    "then", "time", "timeofday", "timestamp", "timezone", "to", "to_char", "to_date", "to_hex",
    "to_json", "to_jsonb", "to_number", "to_timestamp", "to_tsquery", "to_tsvector",
    "transaction_timestamp", "translate", "treat", "trim", "trunc", "ts_headline", "ts_rank",
    "ts_rank_cd", "tsrange", "tstzrange", "tsvector_to_array", "txid_current",
    "txid_current_if_assigned", "txid_current_snapshot", "union", "unnest", "update", "upper",
    "upper_inc", "upper_inf", "using", "uuidv4", "uuidv7", "vacuum", "values", "var_pop",
    "var_samp", "varbit", "varchar", "variance", "varying", "version", "websearch_to_tsquery",
    "when", "where", "width_bucket", "with", "xmlagg", "xmlelement", "xmlforest",
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_list_can_be_searched() {
        assert!(HARMLESS.is_sorted());
    }
}
