//! What may stand where, in the words in which CEL's grammar names it.

/// With what an expression may begin.
pub(super) const OPERAND: &str = "{'[', '{', '(', '.', '-', '!', 'true', 'false', 'null', NUM_FLOAT, NUM_INT, NUM_UINT, STRING, BYTES, IDENTIFIER}";
/// What may follow the bracket of a list.
pub(super) const LIST: &str = "{'[', ']', '{', '(', '.', ',', '-', '!', '?', 'true', 'false', 'null', NUM_FLOAT, NUM_INT, NUM_UINT, STRING, BYTES, IDENTIFIER}";
/// What may follow the brace of a map.
pub(super) const MAP: &str = "{'[', '{', '}', '(', '.', ',', '-', '!', '?', 'true', 'false', 'null', NUM_FLOAT, NUM_INT, NUM_UINT, STRING, BYTES, IDENTIFIER}";
/// What may follow the parenthesis of a call.
pub(super) const ARGUMENTS: &str = "{'[', '{', '(', ')', '.', '-', '!', 'true', 'false', 'null', NUM_FLOAT, NUM_INT, NUM_UINT, STRING, BYTES, IDENTIFIER}";
/// What may follow the brace of an object.
pub(super) const FIELDS: &str = "{'}', ',', '?', IDENTIFIER, ESC_IDENTIFIER}";
/// What may follow an item of a list.
pub(super) const AFTER_ITEM: &str = "{']', ','}";
/// What may follow an entry of a map or an object.
pub(super) const AFTER_ENTRY: &str = "{'}', ','}";

/// Words that cannot be names.
pub(super) const RESERVED: &[&str] = &[
    "as",
    "break",
    "const",
    "continue",
    "else",
    "for",
    "function",
    "if",
    "import",
    "let",
    "loop",
    "package",
    "namespace",
    "return",
    "var",
    "void",
    "while",
];
