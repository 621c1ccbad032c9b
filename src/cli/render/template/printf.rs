//! `print`, `println` and `printf`, as Go's package fmt has them.

use serde_json::Value;

use super::evaluate::Datum;
use super::function::printed;

/// The widest field and the highest precision that are honoured.
const WIDTH_LIMIT: usize = 1000;

/// The values one after the other, with a space between two neither of which is text.
pub fn print(arguments: &[Datum]) -> String {
    let mut out = String::new();
    for (at, value) in arguments.iter().enumerate() {
        if at > 0 && !value.json.is_string() && !arguments[at - 1].json.is_string() {
            out.push(' ');
        }
        out.push_str(&printed(value));
    }
    out
}

/// The values with a space between any two, and a line feed after them.
pub fn println(arguments: &[Datum]) -> String {
    let values: Vec<String> = arguments.iter().map(printed).collect();
    values.join(" ") + "\n"
}

/// One `%` and what follows it.
#[derive(Default)]
struct Verb {
    left: bool,
    plus: bool,
    zero: bool,
    sharp: bool,
    width: usize,
    precision: Option<usize>,
}

/// `format` with its verbs replaced. What does not fit is shown in the text, as in Go: `%!d(string=x)`.
pub fn printf(format: &str, arguments: &[Datum]) -> String {
    let mut out = String::new();
    let mut arguments = arguments.iter();
    let mut rest = format;
    while let Some((text, verb)) = rest.split_once('%') {
        out.push_str(text);
        rest = one_verb(verb, &mut arguments, &mut out);
    }
    out.push_str(rest);
    let extra: Vec<String> = arguments.map(|value| format!("{}={}", kind(value), printed(value))).collect();
    if !extra.is_empty() {
        out.push_str(&format!("%!(EXTRA {})", extra.join(", ")));
    }
    out
}

/// Writes what one verb stands for; `text` begins after its `%`. Returns what follows it.
fn one_verb<'t, 'd>(text: &'t str, arguments: &mut impl Iterator<Item = &'d Datum>, out: &mut String) -> &'t str {
    let mut verb = Verb::default();
    let flags = text.find(|c| !"-+0# ".contains(c)).unwrap_or(text.len());
    for flag in text[..flags].chars() {
        match flag {
            '-' => verb.left = true,
            '+' => verb.plus = true,
            '0' => verb.zero = true,
            '#' => verb.sharp = true,
            _ => {}
        }
    }
    let (width, rest) = number(&text[flags..]);
    verb.width = width.unwrap_or(0);
    let rest = match rest.strip_prefix('.') {
        Some(digits) => {
            let (precision, rest) = number(digits);
            verb.precision = Some(precision.unwrap_or(0));
            rest
        }
        None => rest,
    };
    let Some(letter) = rest.chars().next() else {
        out.push_str("%!(NOVERB)");
        return "";
    };
    let rest = &rest[letter.len_utf8()..];
    if letter == '%' {
        out.push('%');
        return rest;
    }
    match arguments.next() {
        Some(value) => verb.write(letter, value, out),
        None => out.push_str(&format!("%!{letter}(MISSING)")),
    }
    rest
}

/// Digits at the beginning of `text`, at most [`WIDTH_LIMIT`], and what follows them.
fn number(text: &str) -> (Option<usize>, &str) {
    let end = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (digits, rest) = text.split_at(end);
    let value = (!digits.is_empty()).then(|| digits.parse().unwrap_or(WIDTH_LIMIT).min(WIDTH_LIMIT));
    (value, rest)
}

impl Verb {
    fn write(&self, letter: char, value: &Datum, out: &mut String) {
        let misfit = || format!("%!{letter}({}={})", kind(value), printed(value));
        let text = match (letter, &value.json) {
            ('v', Value::String(text)) if self.sharp => format!("{text:?}"),
            ('v', _) => printed(value),
            ('s', Value::Number(_) | Value::Bool(_)) => misfit(),
            ('s', _) => self.shortened(&printed(value)),
            ('q', Value::String(text)) => format!("{:?}", self.shortened(text)),
            ('q', Value::Array(elements)) => {
                let quoted: Vec<String> =
                    elements.iter().map(|e| format!("{:?}", printed(&Datum::new(e.clone())))).collect();
                format!("[{}]", quoted.join(" "))
            }
            ('d', Value::Number(n)) if !n.is_f64() => self.signed(n.to_string()),
            ('x' | 'X' | 'o' | 'b' | 'c', Value::Number(n)) => match n.as_i64() {
                Some(n) => self.in_base(letter, n),
                None => misfit(),
            },
            ('x', Value::String(text)) => text.bytes().map(|byte| format!("{byte:02x}")).collect(),
            ('f' | 'F', Value::Number(n)) => {
                self.signed(format!("{:.*}", self.precision.unwrap_or(6), n.as_f64().unwrap_or(0.0)))
            }
            ('g', Value::Number(n)) => self.signed(n.as_f64().unwrap_or(0.0).to_string()),
            ('t', Value::Bool(value)) => value.to_string(),
            ('T', _) => kind(value).to_owned(),
            _ => misfit(),
        };
        self.pad(&text, out);
    }

    fn shortened(&self, text: &str) -> String {
        match self.precision {
            Some(length) => text.chars().take(length).collect(),
            None => text.to_owned(),
        }
    }

    fn signed(&self, digits: String) -> String {
        if self.plus && !digits.starts_with('-') { format!("+{digits}") } else { digits }
    }

    fn in_base(&self, letter: char, n: i64) -> String {
        let sign = if n < 0 { "-" } else { "" };
        let n = n.unsigned_abs();
        match letter {
            'x' => format!("{sign}{}{n:x}", if self.sharp { "0x" } else { "" }),
            'X' => format!("{sign}{}{n:X}", if self.sharp { "0X" } else { "" }),
            'o' => format!("{sign}{n:o}"),
            'b' => format!("{sign}{n:b}"),
            _ => u32::try_from(n).ok().and_then(char::from_u32).unwrap_or('\u{fffd}').to_string(),
        }
    }

    fn pad(&self, text: &str, out: &mut String) {
        let missing = self.width.saturating_sub(text.chars().count());
        if self.left {
            out.push_str(text);
            out.extend(std::iter::repeat_n(' ', missing));
        } else if self.zero {
            let digits = text.trim_start_matches(['-', '+']);
            out.push_str(&text[..text.len() - digits.len()]);
            out.extend(std::iter::repeat_n('0', missing));
            out.push_str(digits);
        } else {
            out.extend(std::iter::repeat_n(' ', missing));
            out.push_str(text);
        }
    }
}

fn kind(value: &Datum) -> &'static str {
    match &value.json {
        Value::Null => "<nil>",
        Value::Bool(_) => "bool",
        Value::Number(n) if n.is_f64() => "float64",
        Value::Number(_) => "int",
        Value::String(_) => "string",
        Value::Array(_) => "[]string",
        Value::Object(_) => "map[string]string",
    }
}
