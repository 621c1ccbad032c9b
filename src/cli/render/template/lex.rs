//! Template text to tokens.

use serde_json::{Number, Value};

/// A piece of a template.
#[derive(Clone, Debug, PartialEq)]
pub enum Token {
    /// Text outside the delimiters.
    Text(String),
    /// `{{`.
    Open,
    /// `}}`.
    Close,
    /// White space inside the delimiters.
    Space,
    /// `.` alone.
    Dot,
    /// `.Name`.
    Field(String),
    /// `$` or `$name`, with the dollar sign.
    Variable(String),
    /// A keyword or a function's name.
    Word(String),
    /// A string, character, number or boolean.
    Literal(Value),
    /// `|`.
    Pipe,
    /// `(`.
    LeftParenthesis,
    /// `)`.
    RightParenthesis,
    /// `,`.
    Comma,
    /// `:=`.
    Declare,
    /// `=`.
    Assign,
}

/// The tokens of `template`. Comments are left out, and trim markers have been applied to the text around them.
pub fn tokens(template: &str) -> Result<Vec<Token>, String> {
    let mut tokens = Vec::new();
    let mut rest = template;
    let mut trim_start = false;
    loop {
        let (text, action) = match rest.split_once("{{") {
            Some((text, action)) => (text, Some(action)),
            None => (rest, None),
        };
        let text = if trim_start { text.trim_start() } else { text };
        // `{{- ` trims what is before it; without the space the dash is a sign.
        let trim_end = action.and_then(|action| action.strip_prefix('-')).filter(|a| a.starts_with(is_space));
        let text = if trim_end.is_some() { text.trim_end() } else { text };
        if !text.is_empty() {
            tokens.push(Token::Text(text.to_owned()));
        }
        let Some(action) = trim_end.or(action) else { return Ok(tokens) };
        (rest, trim_start) = match action.trim_start().strip_prefix("/*") {
            Some(comment) => skip_comment(comment)?,
            None => action_tokens(action, &mut tokens)?,
        };
    }
}

/// What follows the comment, and whether white space is trimmed there.
fn skip_comment(comment: &str) -> Result<(&str, bool), String> {
    let (_, rest) = comment.split_once("*/").ok_or("a comment has no end")?;
    let (closing, trims) = match rest.trim_start().strip_prefix("-}}") {
        Some(rest) => (Some(rest), true),
        None => (rest.trim_start().strip_prefix("}}"), false),
    };
    closing.map(|rest| (rest, trims)).ok_or_else(|| "a comment must be followed by }}".into())
}

/// Pushes the tokens of one action; returns what follows it, and whether white space is trimmed there.
fn action_tokens<'t>(action: &'t str, tokens: &mut Vec<Token>) -> Result<(&'t str, bool), String> {
    tokens.push(Token::Open);
    let mut rest = action;
    loop {
        if let Some(after) = rest.strip_prefix("}}") {
            tokens.push(Token::Close);
            return Ok((after, false));
        }
        let unspaced = rest.trim_start_matches(is_space);
        if unspaced.len() < rest.len() {
            if let Some(after) = unspaced.strip_prefix("-}}") {
                tokens.push(Token::Close);
                return Ok((after, true));
            }
            tokens.push(Token::Space);
            rest = unspaced;
            continue;
        }
        let (token, after) = token(rest)?;
        tokens.push(token);
        rest = after;
    }
}

fn token(text: &str) -> Result<(Token, &str), String> {
    let first = text.chars().next().ok_or("an action has no }}")?;
    let after_first = &text[first.len_utf8()..];
    let symbol = |token| Ok((token, after_first));
    match first {
        '|' => symbol(Token::Pipe),
        '(' => symbol(Token::LeftParenthesis),
        ')' => symbol(Token::RightParenthesis),
        ',' => symbol(Token::Comma),
        '=' => symbol(Token::Assign),
        ':' => match after_first.strip_prefix('=') {
            Some(after) => Ok((Token::Declare, after)),
            None => Err("':' must be followed by '='".into()),
        },
        '"' => quoted(after_first),
        '`' => {
            let (raw, after) = after_first.split_once('`').ok_or("a raw string has no end")?;
            Ok((Token::Literal(raw.into()), after))
        }
        '\'' => character(after_first),
        '.' if !after_first.starts_with(|c: char| c.is_ascii_digit()) => {
            let (name, after) = split_word(after_first);
            Ok((if name.is_empty() { Token::Dot } else { Token::Field(name.to_owned()) }, after))
        }
        '$' => {
            let (name, after) = split_word(after_first);
            Ok((Token::Variable(format!("${name}")), after))
        }
        c if c.is_ascii_digit() || "+-.".contains(c) => number(text),
        c if is_word(c) => {
            let (word, after) = split_word(text);
            Ok((word_token(word), after))
        }
        c => Err(format!("unexpected {c:?}")),
    }
}

fn word_token(word: &str) -> Token {
    match word {
        "true" => Token::Literal(true.into()),
        "false" => Token::Literal(false.into()),
        "nil" => Token::Literal(Value::Null),
        word => Token::Word(word.to_owned()),
    }
}

fn number(text: &str) -> Result<(Token, &str), String> {
    let end = text.find(|c: char| !(c.is_ascii_alphanumeric() || "+-._".contains(c))).unwrap_or(text.len());
    let (digits, after) = text.split_at(end);
    let plain = digits.replace('_', "");
    let unsigned = plain.trim_start_matches(['+', '-']);
    let integer = match unsigned.strip_prefix("0x") {
        Some(hex) => i64::from_str_radix(hex, 16).ok(),
        None => unsigned.parse::<i64>().ok(),
    };
    let integer = integer.map(|n| if plain.starts_with('-') { -n } else { n });
    let float = || plain.parse::<f64>().ok().and_then(Number::from_f64);
    let value = integer.map(Number::from).or_else(float).ok_or_else(|| format!("{digits:?} is not a number"))?;
    Ok((Token::Literal(Value::Number(value)), after))
}

/// A string, after its opening quote.
fn quoted(text: &str) -> Result<(Token, &str), String> {
    let mut value = String::new();
    let mut rest = text;
    loop {
        let c = rest.chars().next().ok_or("a string has no end")?;
        rest = &rest[c.len_utf8()..];
        match c {
            '"' => return Ok((Token::Literal(value.into()), rest)),
            '\\' => {
                let (c, after) = escape(rest)?;
                value.push(c);
                rest = after;
            }
            c => value.push(c),
        }
    }
}

/// A character constant, after its opening quote: its code point.
fn character(text: &str) -> Result<(Token, &str), String> {
    let c = text.chars().next().ok_or("a character has no end")?;
    let rest = &text[c.len_utf8()..];
    let (c, rest) = if c == '\\' { escape(rest)? } else { (c, rest) };
    let rest = rest.strip_prefix('\'').ok_or("a character has no end")?;
    Ok((Token::Literal(u32::from(c).into()), rest))
}

/// What an escape stands for, after its backslash.
fn escape(text: &str) -> Result<(char, &str), String> {
    let kind = text.chars().next().ok_or("a string has no end")?;
    let rest = &text[kind.len_utf8()..];
    let coded = |digits: usize| {
        let code = rest.get(..digits).and_then(|code| u32::from_str_radix(code, 16).ok());
        let c = code.and_then(char::from_u32).ok_or_else(|| format!("\\{kind} must be followed by {digits} digits"))?;
        Ok((c, &rest[digits..]))
    };
    match kind {
        'a' => Ok(('\x07', rest)),
        'b' => Ok(('\x08', rest)),
        'f' => Ok(('\x0c', rest)),
        'n' => Ok(('\n', rest)),
        'r' => Ok(('\r', rest)),
        't' => Ok(('\t', rest)),
        'v' => Ok(('\x0b', rest)),
        '\\' | '"' | '\'' => Ok((kind, rest)),
        'x' => coded(2),
        'u' => coded(4),
        'U' => coded(8),
        c => Err(format!("\\{c} is not an escape")),
    }
}

fn is_space(c: char) -> bool {
    matches!(c, ' ' | '\t' | '\r' | '\n')
}

fn is_word(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}

fn split_word(text: &str) -> (&str, &str) {
    text.split_at(text.find(|c| !is_word(c)).unwrap_or(text.len()))
}
