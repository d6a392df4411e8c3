//! The arbiter on a real PostgreSQL.
