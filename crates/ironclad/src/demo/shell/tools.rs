//! The tools of the demo image, each a function of its arguments.

use std::fs;
use std::io::{self, Write};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::time::Duration;

use super::complain;

/// Runs a tool; `None` if there is none of this name.
pub fn run(name: &str, arguments: &[String]) -> Option<u8> {
    Some(match name {
        "true" => 0,
        "false" => 1,
        "echo" => echo(arguments),
        "cat" => each(arguments, "cat", cat),
        "ls" => ls(arguments),
        "pwd" => complain(std::env::current_dir().map(|place| println!("{}", place.display())), "pwd", "."),
        "env" => env(),
        "hostname" => {
            println!("{}", rustix::system::uname().nodename().to_string_lossy());
            0
        }
        "id" => {
            println!("uid={} gid={}", rustix::process::getuid(), rustix::process::getgid());
            0
        }
        "ps" => complain(ps(), "ps", "/proc"),
        "sleep" => sleep(arguments),
        _ => return None,
    })
}

fn echo(arguments: &[String]) -> u8 {
    match arguments.split_first() {
        Some((flag, rest)) if flag == "-n" => {
            print!("{}", rest.join(" "));
            complain(io::stdout().flush(), "echo", "output")
        }
        _ => {
            println!("{}", arguments.join(" "));
            0
        }
    }
}

fn each(arguments: &[String], tool: &str, run: impl Fn(&str) -> io::Result<()>) -> u8 {
    arguments.iter().map(|argument| complain(run(argument), tool, argument)).max().unwrap_or(0)
}

fn cat(path: &str) -> io::Result<()> {
    io::copy(&mut fs::File::open(path)?, &mut io::stdout()).map(drop)
}

fn ls(arguments: &[String]) -> u8 {
    let long = arguments.iter().any(|argument| argument.starts_with('-') && argument.contains('l'));
    let mut places: Vec<&str> =
        arguments.iter().map(String::as_str).filter(|argument| !argument.starts_with('-')).collect();
    if places.is_empty() {
        places.push(".");
    }
    places.iter().map(|place| complain(list(place, long), "ls", place)).max().unwrap_or(0)
}

fn list(place: &str, long: bool) -> io::Result<()> {
    let mut names = Vec::new();
    if fs::symlink_metadata(place)?.is_dir() {
        for entry in fs::read_dir(place)? {
            let entry = entry?;
            names.push((entry.file_name().to_string_lossy().into_owned(), entry.path()));
        }
        names.sort();
    } else {
        names.push((place.to_owned(), place.into()));
    }
    for (name, path) in names {
        if long {
            let about = fs::symlink_metadata(&path)?;
            let mode = about.permissions().mode();
            println!("{mode:06o} {:>5} {:>5} {:>10} {name}", about.uid(), about.gid(), about.len());
        } else {
            println!("{name}");
        }
    }
    Ok(())
}

fn env() -> u8 {
    for (name, value) in std::env::vars_os() {
        println!("{}={}", name.to_string_lossy(), value.to_string_lossy());
    }
    0
}

fn ps() -> io::Result<()> {
    println!("{:>7} COMMAND", "PID");
    let mut ids: Vec<u32> =
        fs::read_dir("/proc")?.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok()).collect();
    ids.sort_unstable();
    for id in ids {
        // A process may end while it is looked at.
        let command = fs::read(format!("/proc/{id}/cmdline")).unwrap_or_default();
        println!("{id:>7} {}", String::from_utf8_lossy(&command).replace('\0', " "));
    }
    Ok(())
}

fn sleep(arguments: &[String]) -> u8 {
    match arguments
        .first()
        .and_then(|seconds| seconds.parse::<f64>().ok())
        .and_then(|s| Duration::try_from_secs_f64(s).ok())
    {
        Some(duration) => {
            std::thread::sleep(duration);
            0
        }
        None => {
            eprintln!("sleep: how many seconds?");
            1
        }
    }
}
