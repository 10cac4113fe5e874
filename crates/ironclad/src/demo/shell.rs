//! A shell small enough for the demo image: words, quotes, variables, `;`, `&&`, `||`, and a few tools.
//!
//! It exists so that `kubectl exec -it … sh` has something to show in an image that needs no download. It knows no
//! pipes, redirections or loops, and says so.

mod parse;
mod tools;

use std::io::{BufRead, IsTerminal, Write};

use parse::{Joint, Step};

/// The names the image offers, each a link to this binary.
pub const TOOLS: &[&str] =
    &["sh", "cat", "echo", "env", "false", "hostname", "id", "ls", "ps", "pwd", "sleep", "true"];

/// Where a session is: what `cd`, `exit` and failures change.
#[derive(Debug, Default)]
struct Session {
    last: u8,
    leaving: bool,
}

/// Runs the tool that the binary was called by; `sh` among them. `None` if it is called by another name.
pub fn run_as(name: &str, arguments: &[String]) -> Option<u8> {
    if name == "sh" {
        return Some(shell(arguments));
    }
    TOOLS.contains(&name).then(|| {
        let words: Vec<String> = std::iter::once(name.to_owned()).chain(arguments.iter().cloned()).collect();
        Session::default().command(&words)
    })
}

fn shell(arguments: &[String]) -> u8 {
    let mut session = Session::default();
    match arguments {
        [flag, line, ..] if flag == "-c" => session.line(line),
        [] => session.interact(),
        _ => {
            eprintln!("sh: this is the demo image's shell: it takes -c COMMAND, or nothing");
            session.last = 2;
        }
    }
    session.last
}

impl Session {
    fn interact(&mut self) {
        let with_prompt = std::io::stdin().is_terminal();
        let mut input = std::io::stdin().lock();
        loop {
            if with_prompt {
                let place = std::env::current_dir().unwrap_or_default();
                print!("{} $ ", place.display());
                // A terminal that is gone shows at the next read.
                let _ = std::io::stdout().flush();
            }
            let mut line = String::new();
            match input.read_line(&mut line) {
                Ok(0) | Err(_) => return,
                Ok(_) => self.line(&line),
            }
            if self.leaving {
                return;
            }
        }
    }

    fn line(&mut self, line: &str) {
        let steps = match parse::line(line, |name| self.variable(name)) {
            Ok(steps) => steps,
            Err(problem) => {
                eprintln!("sh: {problem}");
                self.last = 2;
                return;
            }
        };
        for Step { joint, words } in steps {
            let wanted = match joint {
                Joint::Always => true,
                Joint::IfGood => self.last == 0,
                Joint::IfBad => self.last != 0,
            };
            if wanted && !words.is_empty() {
                self.last = self.command(&words);
            }
            if self.leaving {
                return;
            }
        }
    }

    fn variable(&self, name: &str) -> String {
        match name {
            "?" => self.last.to_string(),
            "$" => std::process::id().to_string(),
            _ => std::env::var(name).unwrap_or_default(),
        }
    }

    fn command(&mut self, words: &[String]) -> u8 {
        let (name, arguments) = words.split_first().expect("a command has a name");
        match name.as_str() {
            "exit" => {
                self.leaving = true;
                arguments.first().and_then(|code| code.parse().ok()).unwrap_or(self.last)
            }
            "cd" => {
                let target = arguments.first().map_or("/", String::as_str);
                complain(std::env::set_current_dir(target), "cd", target)
            }
            "help" => {
                println!("cd exit help {}", TOOLS.join(" "));
                0
            }
            "sh" => shell(arguments),
            _ => tools::run(name, arguments).unwrap_or_else(|| external(name, arguments)),
        }
    }
}

/// A program of the image.
fn external(name: &str, arguments: &[String]) -> u8 {
    match std::process::Command::new(name).args(arguments).status() {
        Ok(status) => status.code().and_then(|code| u8::try_from(code).ok()).unwrap_or(128),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            eprintln!("sh: {name}: not found (`help` lists what is here)");
            127
        }
        Err(error) => {
            eprintln!("sh: {name}: {error}");
            126
        }
    }
}

fn complain<T>(result: std::io::Result<T>, tool: &str, subject: &str) -> u8 {
    match result {
        Ok(_) => 0,
        Err(error) => {
            eprintln!("{tool}: {subject}: {error}");
            1
        }
    }
}
