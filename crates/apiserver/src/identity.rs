//! Who makes a request.

use std::collections::BTreeMap;

/// Members may do everything.
pub const MASTERS: &str = "system:masters";
/// Everybody who proved who they are.
pub const AUTHENTICATED: &str = "system:authenticated";
/// Everybody who did not.
pub const UNAUTHENTICATED: &str = "system:unauthenticated";
/// The user without credentials.
pub const ANONYMOUS: &str = "system:anonymous";

/// A user, as authentication established it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Identity {
    /// The user's name.
    pub name: String,
    /// A number that stays when the name changes; mostly empty.
    pub uid: String,
    /// The groups it is in.
    pub groups: Vec<String>,
    /// Whatever else authenticators say about it.
    pub extra: BTreeMap<String, Vec<String>>,
}

impl Identity {
    /// A user in some groups, and among those who proved who they are.
    pub fn new(name: &str, groups: &[&str]) -> Identity {
        let mut groups: Vec<String> = groups.iter().map(|group| (*group).to_owned()).collect();
        if !groups.iter().any(|group| group == AUTHENTICATED) {
            groups.push(AUTHENTICATED.to_owned());
        }
        Identity { name: name.to_owned(), groups, ..Identity::default() }
    }

    /// The user without credentials.
    pub fn anonymous() -> Identity {
        Identity {
            name: ANONYMOUS.to_owned(),
            groups: vec![UNAUTHENTICATED.to_owned()],
            ..Identity::default()
        }
    }

    /// The server itself, where it acts on its own behalf.
    pub fn server() -> Identity {
        Identity::new("system:apiserver", &[MASTERS])
    }

    /// Whether it is in a group.
    pub fn is_in(&self, group: &str) -> bool {
        self.groups.iter().any(|member_of| member_of == group)
    }
}
