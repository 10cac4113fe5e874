//! What the image `ironclad.local/hello` carries: a page to look at, and enough of a shell to look around with.

pub mod hello;
pub mod shell;
