//! Signals as CRI numbers them: by their names, not as any kernel does.

/// The names in the order of their numbers. The first stands for what the runtime takes.
const NAMES: [&str; 36] = [
    "",
    "SIGABRT",
    "SIGALRM",
    "SIGBUS",
    "SIGCHLD",
    "SIGCLD",
    "SIGCONT",
    "SIGFPE",
    "SIGHUP",
    "SIGILL",
    "SIGINT",
    "SIGIO",
    "SIGIOT",
    "SIGKILL",
    "SIGPIPE",
    "SIGPOLL",
    "SIGPROF",
    "SIGPWR",
    "SIGQUIT",
    "SIGSEGV",
    "SIGSTKFLT",
    "SIGSTOP",
    "SIGSYS",
    "SIGTERM",
    "SIGTRAP",
    "SIGTSTP",
    "SIGTTIN",
    "SIGTTOU",
    "SIGURG",
    "SIGUSR1",
    "SIGUSR2",
    "SIGVTALRM",
    "SIGWINCH",
    "SIGXCPU",
    "SIGXFSZ",
    "SIGRTMIN",
];
/// The numbers of the last real-time signal that is counted from the first, of the first one that is counted from the
/// last, and of the last.
const LAST_FROM_FIRST: usize = 50;
const LAST: usize = 65;

/// The name of a signal; empty for what the runtime takes. `None` if the number means nothing.
pub(super) fn name(number: i32) -> Option<String> {
    let number = usize::try_from(number).ok()?;
    match number {
        0..=35 => Some(NAMES[number].to_owned()),
        36..=LAST_FROM_FIRST => Some(format!("SIGRTMIN+{}", number - 35)),
        51..LAST => Some(format!("SIGRTMAX-{}", LAST - number)),
        LAST => Some("SIGRTMAX".to_owned()),
        _ => None,
    }
}

/// The number of a signal by its name. `None` if there is no such signal.
pub(super) fn number(wanted: &str) -> Option<i32> {
    let last = i32::try_from(LAST).ok()?;
    (0..=last).find(|number| name(*number).is_some_and(|name| name == wanted))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn signals_have_the_numbers_of_the_definition() {
        let named = |number| name(number).unwrap_or_else(|| "none".to_owned());
        for (number, wanted) in [
            (0, ""),
            (1, "SIGABRT"),
            (13, "SIGKILL"),
            (23, "SIGTERM"),
            (29, "SIGUSR1"),
            (35, "SIGRTMIN"),
            (36, "SIGRTMIN+1"),
            (50, "SIGRTMIN+15"),
            (51, "SIGRTMAX-14"),
            (64, "SIGRTMAX-1"),
            (65, "SIGRTMAX"),
            (66, "none"),
            (-1, "none"),
        ] {
            assert_eq!(named(number), wanted, "{number}");
            assert_eq!(super::number(wanted), (wanted != "none").then_some(number), "{wanted}");
        }
    }
}
