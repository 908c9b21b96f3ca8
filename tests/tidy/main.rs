//! The repository's rules as tests over its files: layers, style, generated files, documents.

mod code;
mod exceptions;
mod layers;
mod records;
mod style;
mod tree;
