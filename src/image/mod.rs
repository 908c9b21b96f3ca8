//! Images of clusters: from the Docker engine or an archive into every node, without layers that
//! are there already.

mod contents;
mod filter;
pub mod load;
pub mod node;
pub mod unused;
