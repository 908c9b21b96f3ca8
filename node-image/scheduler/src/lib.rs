//! Queue, cycle and plugins that bind pods to nodes.
