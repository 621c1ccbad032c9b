//! A tree and a value to text.

use std::borrow::Cow;

use serde_json::Value;

use super::parse::{Base, Command, Node, Operand, Pipeline, Setting};
use super::{MAP_FIELDS, TemplateError, function};

/// What is made of the template.
#[derive(Clone, Copy)]
pub enum Mode<'m> {
    /// The text for a value.
    Values,
    /// A table's header: fields stand for their titles, functions for the field they are applied to.
    Titles(&'m [(&'m str, &'m str)]),
}

/// A value, and whether it is a map rather than a structure.
#[derive(Clone, Debug)]
pub struct Datum {
    /// The value.
    pub json: Value,
    /// Whether missing keys are no error.
    pub is_map: bool,
}

impl Datum {
    /// A value that is no map.
    pub fn new(json: impl Into<Value>) -> Self {
        Self { json: json.into(), is_map: false }
    }

    /// Go's idea of truth: zero, empty and nothing are false; a structure is true.
    pub fn is_true(&self) -> bool {
        match &self.json {
            Value::Null => false,
            Value::Bool(value) => *value,
            Value::Number(number) => number.as_f64() != Some(0.0),
            Value::String(text) => !text.is_empty(),
            Value::Array(elements) => !elements.is_empty(),
            Value::Object(fields) => !self.is_map || !fields.is_empty(),
        }
    }
}

/// The text that `nodes` make of `value`.
pub fn evaluate(nodes: &[Node], value: &Value, mode: Mode) -> Result<String, TemplateError> {
    let root = Datum::new(value.clone());
    let mut evaluation = Evaluation { mode, root: &root, variables: Vec::new(), out: String::new() };
    evaluation.block(nodes, &root)?;
    Ok(evaluation.out)
}

struct Evaluation<'m> {
    mode: Mode<'m>,
    /// What `$` is.
    root: &'m Datum,
    variables: Vec<(String, Datum)>,
    out: String,
}

/// What goes on after a node.
#[derive(PartialEq)]
enum Flow {
    On,
    Break,
    Continue,
}

impl Evaluation<'_> {
    /// A block: variables declared in it end with it.
    fn block(&mut self, nodes: &[Node], dot: &Datum) -> Result<Flow, TemplateError> {
        let outer = self.variables.len();
        for node in nodes {
            let flow = self.node(node, dot)?;
            if flow != Flow::On {
                self.variables.truncate(outer);
                return Ok(flow);
            }
        }
        self.variables.truncate(outer);
        Ok(Flow::On)
    }

    fn node(&mut self, node: &Node, dot: &Datum) -> Result<Flow, TemplateError> {
        match node {
            Node::Text(text) => self.out.push_str(text),
            Node::Action(pipeline) => {
                let value = self.pipeline(pipeline, dot)?;
                if pipeline.set.is_none() {
                    self.out.push_str(&function::printed(&value));
                }
            }
            Node::If(branches, otherwise) => return self.branches(branches, otherwise, dot, |_| None),
            Node::With(branches, otherwise) => {
                return self.branches(branches, otherwise, dot, |condition| Some(condition.clone()));
            }
            Node::Range(over, body, otherwise) => return self.range(over, body, otherwise, dot),
            Node::Break => return Ok(Flow::Break),
            Node::Continue => return Ok(Flow::Continue),
        }
        Ok(Flow::On)
    }

    /// `new_dot` gives the dot of the branch that is taken from its condition, or nothing to keep the one there is.
    fn branches(
        &mut self,
        branches: &[(Pipeline, Vec<Node>)],
        otherwise: &[Node],
        dot: &Datum,
        new_dot: fn(&Datum) -> Option<Datum>,
    ) -> Result<Flow, TemplateError> {
        let outer = self.variables.len();
        for (condition, body) in branches {
            let value = self.pipeline(condition, dot)?;
            if value.is_true() {
                let flow = self.block(body, new_dot(&value).as_ref().unwrap_or(dot));
                self.variables.truncate(outer);
                return flow;
            }
        }
        let flow = self.block(otherwise, dot);
        self.variables.truncate(outer);
        flow
    }

    fn range(
        &mut self,
        over: &Pipeline,
        body: &[Node],
        otherwise: &[Node],
        dot: &Datum,
    ) -> Result<Flow, TemplateError> {
        let outer = self.variables.len();
        let collection = self.commands(&over.commands, dot)?;
        let elements = self.elements(collection)?;
        if elements.is_empty() {
            return self.block(otherwise, dot);
        }
        for (key, element) in elements {
            if let Some(setting) = &over.set {
                let values = match setting.names.len() {
                    1 => vec![element.clone()],
                    _ => vec![key, element.clone()],
                };
                self.set(setting, values)?;
            }
            let flow = self.block(body, &element)?;
            if over.set.as_ref().is_none_or(|setting| setting.declares) {
                self.variables.truncate(outer);
            }
            if flow == Flow::Break {
                break;
            }
        }
        self.variables.truncate(outer);
        Ok(Flow::On)
    }

    /// Index or key, and value; a map's in the order of its keys.
    fn elements(&self, collection: Datum) -> Result<Vec<(Datum, Datum)>, TemplateError> {
        match collection.json {
            value if matches!(self.mode, Mode::Titles(_)) => Ok(vec![(Datum::new(""), Datum::new(value))]),
            Value::Null => Ok(Vec::new()),
            Value::Array(elements) => {
                Ok(elements.into_iter().enumerate().map(|(i, e)| (Datum::new(i), Datum::new(e))).collect())
            }
            Value::Object(fields) => {
                let mut fields: Vec<_> = fields.into_iter().collect();
                fields.sort_by(|(one, _), (other, _)| one.cmp(other));
                Ok(fields.into_iter().map(|(k, v)| (Datum::new(k), Datum::new(v))).collect())
            }
            Value::Number(count) if count.as_u64().is_some_and(|n| n <= 1 << 20) => {
                Ok((0..count.as_u64().unwrap_or(0)).map(|n| (Datum::new(n), Datum::new(n))).collect())
            }
            other => Err(TemplateError::Application(format!("range cannot iterate over {other}"))),
        }
    }

    /// The value of a pipeline; sets its variables.
    fn pipeline(&mut self, pipeline: &Pipeline, dot: &Datum) -> Result<Datum, TemplateError> {
        let value = self.commands(&pipeline.commands, dot)?;
        if let Some(setting) = &pipeline.set {
            if setting.names.len() > 1 {
                return Err(TemplateError::Application("only a range sets two variables".into()));
            }
            self.set(setting, vec![value.clone()])?;
        }
        Ok(value)
    }

    fn set(&mut self, setting: &Setting, values: Vec<Datum>) -> Result<(), TemplateError> {
        for (name, value) in setting.names.iter().zip(values) {
            if setting.declares {
                self.variables.push((name.clone(), value));
                continue;
            }
            let known = self.variables.iter_mut().rev().find(|(known, _)| known == name);
            known.ok_or_else(|| undefined(name))?.1 = value;
        }
        Ok(())
    }

    fn commands(&mut self, commands: &[Command], dot: &Datum) -> Result<Datum, TemplateError> {
        let mut last = None;
        for command in commands {
            last = Some(self.command(command, last, dot)?);
        }
        last.ok_or_else(|| TemplateError::Application("a command is missing".into()))
    }

    fn command(&mut self, command: &Command, last: Option<Datum>, dot: &Datum) -> Result<Datum, TemplateError> {
        let Some((first, rest)) = command.0.split_first() else {
            return Err(TemplateError::Application("a command is missing".into()));
        };
        if let Base::Function(name) = &first.base {
            return self.call(name, rest, last, dot);
        }
        // `.Label "key"` is the one method that listings have.
        if let (Some((field, before)), 1) = (first.fields.split_last(), rest.len() + usize::from(last.is_some()))
            && field == "Label"
        {
            let key = match last {
                Some(key) => key,
                None => self.operand(&rest[0], dot)?,
            };
            return self.label(&Operand { base: clone_base(&first.base), fields: before.to_vec() }, &key, dot);
        }
        if !rest.is_empty() || last.is_some() {
            return Err(TemplateError::Application(format!(
                "{} is not a function and takes no argument",
                spelled(first)
            )));
        }
        self.operand(first, dot)
    }

    fn label(&mut self, of: &Operand, key: &Datum, dot: &Datum) -> Result<Datum, TemplateError> {
        if let Mode::Titles(_) = self.mode {
            return Ok(Datum::new(function::printed(key)));
        }
        let object = self.operand(of, dot)?;
        let labels = self.field(&object, "Labels")?;
        let value = key.json.as_str().and_then(|key| labels.json.get(key));
        Ok(Datum::new(value.cloned().unwrap_or_else(|| "".into())))
    }

    fn call(
        &mut self,
        name: &str,
        operands: &[Operand],
        last: Option<Datum>,
        dot: &Datum,
    ) -> Result<Datum, TemplateError> {
        // Not evaluated further than needed, as Go does.
        if let "and" | "or" = name {
            let mut value = None;
            for operand in operands {
                let this = self.operand(operand, dot)?;
                if this.is_true() == (name == "or") {
                    return Ok(this);
                }
                value = Some(this);
            }
            let none = || TemplateError::Application(format!("{name} needs an argument"));
            return last.or(value).ok_or_else(none);
        }
        let mut arguments = Vec::with_capacity(operands.len() + 1);
        for operand in operands {
            arguments.push(self.operand(operand, dot)?);
        }
        arguments.extend(last);
        match self.mode {
            Mode::Values => function::call(name, &arguments),
            Mode::Titles(_) => function::call_for_title(name, arguments),
        }
    }

    fn operand(&mut self, operand: &Operand, dot: &Datum) -> Result<Datum, TemplateError> {
        // Of a row with many fields, only the one that is wanted is copied.
        let mut value = match &operand.base {
            Base::Dot => Cow::Borrowed(dot),
            Base::Variable(name) if name == "$" => Cow::Borrowed(self.root),
            Base::Variable(name) => {
                let known = self.variables.iter().rev().find(|(known, _)| known == name);
                Cow::Borrowed(&known.ok_or_else(|| undefined(name))?.1)
            }
            Base::Literal(value) => Cow::Owned(Datum::new(value.clone())),
            Base::Function(name) => Cow::Owned(self.call(name, &[], None, dot)?),
            Base::Pipeline(pipeline) => Cow::Owned(self.pipeline(pipeline, dot)?),
        };
        for field in &operand.fields {
            value = Cow::Owned(self.field(&value, field)?);
        }
        Ok(value.into_owned())
    }

    fn field(&self, of: &Datum, name: &str) -> Result<Datum, TemplateError> {
        if let Mode::Titles(titles) = self.mode {
            let known = titles.iter().find(|(field, _)| *field == name);
            return Ok(Datum::new(known.map_or_else(|| title_of(name), |(_, title)| (*title).to_owned())));
        }
        let is_map = MAP_FIELDS.contains(&name.to_ascii_lowercase().as_str());
        match &of.json {
            Value::Object(fields) if of.is_map => Ok(Datum::new(fields.get(name).cloned().unwrap_or(Value::Null))),
            Value::Object(fields) => {
                // Go's names of fields differ from those in JSON in the case of letters only (ID and Id).
                let other_case = || fields.iter().find(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, v)| v);
                match fields.get(name).or_else(other_case) {
                    Some(value) => Ok(Datum { json: value.clone(), is_map }),
                    None => Err(unknown_field(name, fields.keys().cloned().collect())),
                }
            }
            _ => Err(unknown_field(name, Vec::new())),
        }
    }
}

fn clone_base(base: &Base) -> Base {
    match base {
        Base::Variable(name) => Base::Variable(name.clone()),
        _ => Base::Dot,
    }
}

fn unknown_field(name: &str, available: Vec<String>) -> TemplateError {
    TemplateError::UnknownField { field: name.chars().take(80).collect(), available }
}

fn undefined(name: &str) -> TemplateError {
    TemplateError::Application(format!("the variable {name} is not defined"))
}

/// `ImageID` to `IMAGE ID`.
fn title_of(field: &str) -> String {
    let mut title = String::new();
    let mut after_lowercase = false;
    for c in field.chars() {
        if c.is_uppercase() && after_lowercase {
            title.push(' ');
        }
        after_lowercase = c.is_lowercase();
        title.extend(c.to_uppercase());
    }
    title
}

fn spelled(operand: &Operand) -> String {
    match &operand.base {
        Base::Variable(name) => name.clone(),
        Base::Literal(value) => value.to_string(),
        _ => format!(".{}", operand.fields.join(".")),
    }
}
