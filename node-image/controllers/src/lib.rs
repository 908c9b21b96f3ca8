//! The controllers, each a pure function of a View, and the driver that runs them.
