//! connect
/// Our name among the sessions of a server.
pub const APPLICATION_NAME: &str = "pgjam";
