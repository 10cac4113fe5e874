//! What can be typed. Flags have kubectl's names; what a verb does with them is in `commands/<verb>.rs`.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};

use crate::commands::{apply, create, delete, describe, exec, get, logs, rollout, scale, set, version, wait};

/// Talk to a cluster as kubectl does.
#[derive(Debug, Parser)]
#[command(name = "kubectl", max_term_width = 110)]
pub struct Kubectl {
    #[command(flatten)]
    pub global: Global,
    /// The verb.
    #[command(subcommand)]
    pub verb: Verb,
}

/// Flags of every verb.
#[derive(Args, Clone, Debug)]
pub struct Global {
    /// The kubeconfig file
    #[arg(long, global = true, value_name = "FILE")]
    pub kubeconfig: Option<PathBuf>,
    /// The context of the kubeconfig
    #[arg(long, global = true, value_name = "NAME")]
    pub context: Option<String>,
    /// The namespace
    #[arg(long, short = 'n', global = true, value_name = "NAME")]
    pub namespace: Option<String>,
}

/// The verbs.
#[derive(Debug, Subcommand)]
pub enum Verb {
    /// Make objects as files describe them, or change them to be so
    Apply(apply::Args),
    /// Make an object from a file or from flags
    Create(create::Args),
    /// Remove objects
    Delete(delete::Args),
    /// Show an object and what happened around it
    Describe(describe::Args),
    /// Run a command in a container
    Exec(exec::Args),
    /// Show objects
    Get(get::Args),
    /// Show what a container printed
    Logs(logs::Args),
    /// Follow, undo and restart rollouts
    #[command(subcommand)]
    Rollout(rollout::Args),
    /// Change the number of replicas
    Scale(scale::Args),
    /// Change a part of an object
    #[command(subcommand)]
    Set(set::Args),
    /// Show the versions of client and server
    Version(version::Args),
    /// Wait until objects are in some state
    Wait(wait::Args),
}

/// Which files describe the objects.
#[derive(Args, Clone, Debug, Default)]
pub struct Files {
    /// A file, a folder, or - for standard input; may be given more than once
    #[arg(long = "filename", short = 'f', value_name = "FILE")]
    pub filenames: Vec<PathBuf>,
    /// Folders within folders too
    #[arg(long, short = 'R')]
    pub recursive: bool,
}

/// Which objects of a kind.
#[derive(Args, Clone, Debug, Default)]
pub struct Selection {
    /// Only objects with these labels
    #[arg(long, short = 'l', value_name = "SELECTOR")]
    pub selector: Option<String>,
    /// Only objects with these fields
    #[arg(long, value_name = "SELECTOR")]
    pub field_selector: Option<String>,
    /// In every namespace
    #[arg(long, short = 'A')]
    pub all_namespaces: bool,
}

/// Whether a change is made, or only shown.
#[derive(Args, Clone, Debug, Default)]
pub struct DryRun {
    /// none, client or server
    #[arg(long, value_name = "WHERE", default_value = "none", num_args = 0..=1, default_missing_value = "client")]
    pub dry_run: String,
}

impl DryRun {
    /// Nothing is sent.
    pub fn client(&self) -> bool {
        self.dry_run == "client"
    }

    /// The query that makes the server only pretend.
    pub fn query(&self) -> &'static [(&'static str, &'static str)] {
        if self.dry_run == "server" { &[("dryRun", "All")] } else { &[] }
    }

    /// What is said behind a result.
    pub fn suffix(&self) -> &'static str {
        match self.dry_run.as_str() {
            "client" => " (dry run)",
            "server" => " (server dry run)",
            _ => "",
        }
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_definitions_agree_with_each_other() {
        Kubectl::command().debug_assert();
    }

    #[test]
    fn flags_stand_where_users_put_them() {
        let words = ["kubectl", "get", "pods", "-n", "x", "-o", "wide", "-l", "a=b"];
        let parsed = Kubectl::try_parse_from(words).expect("right words");
        assert_eq!(parsed.global.namespace.as_deref(), Some("x"));
        let words = ["kubectl", "exec", "-it", "deploy/web", "--", "ls", "-l"];
        assert!(Kubectl::try_parse_from(words).is_ok());
        let words = ["kubectl", "create", "deployment", "web", "--image=a", "--dry-run=client"];
        assert!(Kubectl::try_parse_from(words).is_ok());
    }
}
