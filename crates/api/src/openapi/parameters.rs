//! What the parameters of operations are said to be: those that are fields of `DeleteOptions` in the words of that type,
//! the others in ours.

use super::descriptions::Descriptions;
use super::paths::{META, Operation, Parameter};

const ABOUT: &[(&str, &str)] = &[
    ("allowWatchBookmarks", "Whether a watch may be told how far it has come when no object has changed."),
    ("command", "The program to run and its arguments, each as a parameter of its own."),
    ("container", "The container that is meant; it may be left out where there is only one."),
    ("continue", "Where the next page begins, as the page before it says in its metadata."),
    ("fieldManager", "The name under which the fields that are written are managed."),
    ("fieldSelector", "Which objects are meant, by the values of their fields."),
    (
        "fieldValidation",
        "What is done about fields that are unknown or come twice: nothing (Ignore), a warning (Warn), or the write is \
         refused (Strict).",
    ),
    ("follow", "Whether what is logged later is sent as well."),
    ("force", "Whether fields that others manage are taken over; only for apply patches."),
    (
        "insecureSkipTLSVerifyBackend",
        "Whether the log is fetched from the node without verifying its certificate.",
    ),
    ("labelSelector", "Which objects are meant, by their labels."),
    ("limit", "How many objects a page holds at most; its metadata say where the next begins."),
    ("limitBytes", "How many bytes are sent at most."),
    ("namespace", "The namespace that the objects are in."),
    ("path", "What follows in the path of the request that is passed on."),
    ("ports", "The ports that are forwarded."),
    ("pretty", "Whether the answer is indented for people."),
    ("previous", "Whether the container that ran before this one is meant."),
    (
        "resourceVersion",
        "The state that is asked for: which, and whether exactly that, `resourceVersionMatch` says.",
    ),
    (
        "resourceVersionMatch",
        "How `resourceVersion` is meant: exactly that state (Exact), or any that is not older (NotOlderThan).",
    ),
    ("sendInitialEvents", "Whether a watch begins with all that there is, followed by a bookmark."),
    ("shardSelector", "Which part of the objects is meant, where they are shared out among several clients."),
    ("sinceSeconds", "Only what was logged in so many seconds before now."),
    ("stderr", "Whether the standard error is attached."),
    ("stdin", "Whether the standard input is attached."),
    ("stdout", "Whether the standard output is attached."),
    ("stream", "Which stream of the log is sent: All, Stdout or Stderr."),
    ("tailLines", "Only so many lines from the end."),
    ("timeoutSeconds", "After how long a list or a watch ends, whatever happens."),
    ("timestamps", "Whether each line begins with when it was logged."),
    ("tty", "Whether the program is given a terminal."),
    ("watch", "Whether changes are sent as they happen instead of a list."),
];

/// What a parameter of an operation is.
pub(super) fn about(
    parameter: &Parameter<'_>,
    operation: &Operation<'_>,
    descriptions: &Descriptions,
) -> Option<String> {
    if parameter.place == "path" && parameter.name == "name" {
        return operation.kind.map(|(_, _, kind)| format!("name of the {kind}"));
    }
    let found = ABOUT.binary_search_by_key(&parameter.name, |(name, _)| name);
    match found {
        Ok(position) => Some(ABOUT[position].1.to_owned()),
        Err(_) => descriptions.of_field(&format!("{META}.DeleteOptions"), parameter.name),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::openapi::paths;
    use crate::table::Table;

    #[test]
    fn every_parameter_of_every_operation_is_described() {
        assert!(ABOUT.is_sorted_by_key(|(name, _)| name));
        let (table, descriptions) = (Table::load(), Descriptions::load());
        let mut count = 0;
        for version in table.group_versions() {
            for item in paths::paths(&table, version) {
                for operation in &item.operations {
                    for parameter in &operation.parameters {
                        let told = about(parameter, operation, &descriptions);
                        assert!(
                            told.is_some_and(|told| !told.is_empty()),
                            "{} {}",
                            item.path,
                            parameter.name
                        );
                        count += 1;
                    }
                }
            }
        }
        assert!(count > 5_000, "{count}");
    }
}
