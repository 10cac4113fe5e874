//! `kubectl version`

use crate::Failure;
use crate::session::Session;

/// Flags of `version`.
#[derive(clap::Args, Clone, Debug)]
pub struct Args {
    /// Only the client's
    #[arg(long)]
    pub client: bool,
}

/// Shows the versions.
pub async fn run(session: &Session, args: &Args) -> Result<(), Failure> {
    println!("Client Version: v1.36.0+ironclad-{}", env!("CARGO_PKG_VERSION"));
    if !args.client {
        let version = session.get("/version", &[]).await?;
        println!("Server Version: {}", version.get("gitVersion").str_or_empty());
    }
    Ok(())
}
