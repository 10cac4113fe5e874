//! How machines join a cluster: with a token that says who they are allowed to be and whom they may trust, they ask for
//! certificates as the node they want to be, and the server, which knows the rules for that, signs them.

pub mod admit;
pub mod enter;
pub mod known;
pub mod roles;
pub mod token;
