//! The cluster's certificates. Identity is by name, never by a Docker address of the day.
