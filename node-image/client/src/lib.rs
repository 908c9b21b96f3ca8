//! How every component reads and writes: Client, View, Watch.
