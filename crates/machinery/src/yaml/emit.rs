//! From documents to YAML text.

use libyaml_safer::{Emitter, Encoding, Event, MappingStyle, ScalarStyle, SequenceStyle};

use super::{order, scalar};
use crate::Value;

/// Prints a document: keys sorted, text quoted where it would be read as something else.
pub fn encode(document: &Value) -> String {
    let mut text = Vec::new();
    let mut emitter = Emitter::new();
    emitter.set_output_string(&mut text);
    emitter.set_unicode(true);
    let written = (|| {
        emitter.emit(Event::stream_start(Encoding::Utf8))?;
        emitter.emit(Event::document_start(None, &[], true))?;
        write(&mut emitter, document)?;
        emitter.emit(Event::document_end(true))?;
        emitter.emit(Event::stream_end())
    })();
    drop(emitter);
    written.expect("events of a tree are in order, and memory takes them all");
    String::from_utf8(text).expect("the emitter writes UTF-8")
}

fn write(emitter: &mut Emitter<'_>, value: &Value) -> Result<(), libyaml_safer::Error> {
    match value {
        Value::Null => plain(emitter, "null"),
        Value::Bool(value) => plain(emitter, if *value { "true" } else { "false" }),
        Value::Int(number) => plain(emitter, &number.to_string()),
        Value::Float(number) => plain(emitter, &float(*number)),
        Value::String(value) => string(emitter, value),
        Value::Array(items) => {
            let style = if items.is_empty() { SequenceStyle::Flow } else { SequenceStyle::Block };
            emitter.emit(Event::sequence_start(None, None, true, style))?;
            items.iter().try_for_each(|item| write(emitter, item))?;
            emitter.emit(Event::sequence_end())
        }
        Value::Object(map) => {
            let style = if map.is_empty() { MappingStyle::Flow } else { MappingStyle::Block };
            emitter.emit(Event::mapping_start(None, None, true, style))?;
            let mut members: Vec<_> = map.iter().collect();
            members.sort_by(|(one, _), (other, _)| order::compare(one, other));
            for (name, member) in members {
                string(emitter, name)?;
                write(emitter, member)?;
            }
            emitter.emit(Event::mapping_end())
        }
    }
}

fn plain(emitter: &mut Emitter<'_>, text: &str) -> Result<(), libyaml_safer::Error> {
    emitter.emit(Event::scalar(None, None, text, true, true, ScalarStyle::Plain))
}

fn string(emitter: &mut Emitter<'_>, text: &str) -> Result<(), libyaml_safer::Error> {
    let style = if text.contains('\n') {
        ScalarStyle::Literal
    } else if scalar::is_ambiguous(text) {
        ScalarStyle::DoubleQuoted
    } else {
        ScalarStyle::Plain
    };
    emitter.emit(Event::scalar(None, None, text, true, true, style))
}

/// A number with a fraction, as Go prints it: the shortest digits, an exponent from 21 digits on… or from 1e-5 down.
pub fn float(number: f64) -> String {
    let scientific = format!("{number:e}");
    let (digits, exponent) = scientific.split_once('e').unwrap_or((&scientific, "0"));
    let exponent: i32 = exponent.parse().unwrap_or(0);
    let significant = digits.bytes().filter(u8::is_ascii_digit).count();
    let threshold = if significant > 21 { significant as i32 } else { 21 };
    if (-4..threshold).contains(&exponent) {
        return format!("{number}");
    }
    format!("{digits}e{}{:02}", if exponent < 0 { '-' } else { '+' }, exponent.abs())
}
