//! From a line to the commands in it.

/// What decides whether a command runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Joint {
    /// Nothing: it does.
    Always,
    /// The one before went well (`&&`).
    IfGood,
    /// The one before did not (`||`).
    IfBad,
}

/// A command of a line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Step {
    /// What decides whether it runs.
    pub joint: Joint,
    /// Its name and arguments.
    pub words: Vec<String>,
}

/// Splits a line into commands and those into words, with quotes taken off and variables put in.
pub fn line(text: &str, variable: impl Fn(&str) -> String) -> Result<Vec<Step>, String> {
    let mut parser = Parser { rest: text.trim().chars().peekable(), word: None, words: Vec::new(), variable };
    let mut steps = Vec::new();
    let mut joint = Joint::Always;
    loop {
        let next = parser.step()?;
        steps.push(Step { joint, words: std::mem::take(&mut parser.words) });
        match next {
            Some(after) => joint = after,
            None => return Ok(steps),
        }
    }
}

struct Parser<'a, V> {
    rest: std::iter::Peekable<std::str::Chars<'a>>,
    word: Option<String>,
    words: Vec<String>,
    variable: V,
}

impl<V: Fn(&str) -> String> Parser<'_, V> {
    /// Reads one command's words; answers what joins the next one to it.
    fn step(&mut self) -> Result<Option<Joint>, String> {
        while let Some(letter) = self.rest.next() {
            match letter {
                '#' if self.word.is_none() => break,
                ' ' | '\t' => self.end_word(),
                '\n' | ';' => return Ok(self.end_step(Joint::Always)),
                '&' if self.rest.next_if_eq(&'&').is_some() => return Ok(self.end_step(Joint::IfGood)),
                '|' if self.rest.next_if_eq(&'|').is_some() => return Ok(self.end_step(Joint::IfBad)),
                '|' | '&' | '<' | '>' | '(' | ')' | '`' => {
                    return Err(format!("`{letter}` is more than the demo image's shell knows"));
                }
                '\'' => self.single_quoted()?,
                '"' => self.double_quoted()?,
                '\\' => {
                    let literal = self.rest.next();
                    self.word.get_or_insert_default().extend(literal);
                }
                '$' => self.put_variable_in(),
                plain => self.word.get_or_insert_default().push(plain),
            }
        }
        self.end_word();
        Ok(None)
    }

    fn end_word(&mut self) {
        self.words.extend(self.word.take());
    }

    fn end_step(&mut self, joint: Joint) -> Option<Joint> {
        self.end_word();
        Some(joint)
    }

    fn single_quoted(&mut self) -> Result<(), String> {
        let word = self.word.get_or_insert_default();
        loop {
            match self.rest.next() {
                Some('\'') => return Ok(()),
                Some(letter) => word.push(letter),
                None => return Err("a ' is not closed".to_owned()),
            }
        }
    }

    fn double_quoted(&mut self) -> Result<(), String> {
        self.word.get_or_insert_default();
        loop {
            match self.rest.next() {
                Some('"') => return Ok(()),
                Some('$') => self.put_variable_in(),
                Some('\\') => {
                    let literal = self.rest.next();
                    self.word.get_or_insert_default().extend(literal);
                }
                Some(letter) => self.word.get_or_insert_default().push(letter),
                None => return Err("a \" is not closed".to_owned()),
            }
        }
    }

    fn put_variable_in(&mut self) {
        let braced = self.rest.next_if_eq(&'{').is_some();
        let mut name = String::new();
        if let Some(special) = self.rest.next_if(|letter| "?$".contains(*letter)) {
            name.push(special);
        } else {
            while let Some(letter) =
                self.rest.next_if(|letter| letter.is_ascii_alphanumeric() || *letter == '_')
            {
                name.push(letter);
            }
        }
        if braced {
            self.rest.next_if_eq(&'}');
        }
        let value = if name.is_empty() { "$".to_owned() } else { (self.variable)(&name) };
        if !value.is_empty() {
            self.word.get_or_insert_default().push_str(&value);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<Vec<(Joint, Vec<String>)>, String> {
        let variable = |name: &str| if name == "X" { "a b".to_owned() } else { String::new() };
        Ok(line(text, variable)?.into_iter().map(|step| (step.joint, step.words)).collect())
    }

    fn words(text: &str) -> Vec<String> {
        parse(text).expect("a right line").remove(0).1
    }

    #[test]
    fn words_quotes_and_variables() {
        assert_eq!(words("echo  a 'b  c' \"d $X\" e\\ f # g"), ["echo", "a", "b  c", "d a b", "e f"]);
        assert_eq!(words("echo '$X' ${X}y $NONE $"), ["echo", "$X", "a by", "$"]);
        assert_eq!(words("echo '' \"\""), ["echo", "", ""]);
    }

    #[test]
    fn commands_are_joined() {
        let joints: Vec<Joint> =
            parse("a; b && c || d").expect("a right line").into_iter().map(|(joint, _)| joint).collect();
        assert_eq!(joints, [Joint::Always, Joint::Always, Joint::IfGood, Joint::IfBad]);
    }

    #[test]
    fn what_it_does_not_know_it_says() {
        assert!(parse("a | b").expect_err("a pipe").contains('|'));
        assert!(parse("a > b").expect_err("a redirection").contains('>'));
        assert!(parse("echo 'a").expect_err("open").contains("closed"));
    }
}
