//! Pod workers, lifecycle, probes, volumes, and the node's HTTPS server.
