//! Tokens to a tree.

use serde_json::Value;

use super::lex::Token;

/// A piece of a template.
#[derive(Debug)]
pub enum Node {
    /// To be copied.
    Text(String),
    /// To be evaluated, and printed unless it sets variables.
    Action(Pipeline),
    /// The first branch whose condition holds, else the last part.
    If(Vec<(Pipeline, Vec<Node>)>, Vec<Node>),
    /// As `If`, with dot set to the condition's value.
    With(Vec<(Pipeline, Vec<Node>)>, Vec<Node>),
    /// The body for each element, or the last part if there is none.
    Range(Pipeline, Vec<Node>, Vec<Node>),
    /// Leaves a range.
    Break,
    /// Goes on to a range's next element.
    Continue,
}

/// Commands, each of which is given the value of the one before it as its last argument.
#[derive(Debug)]
pub struct Pipeline {
    /// Variables to set to the result.
    pub set: Option<Setting>,
    /// At least one.
    pub commands: Vec<Command>,
}

/// `$a :=`, `$a =`, `$index, $element :=`.
#[derive(Debug)]
pub struct Setting {
    /// One name, or two in a range.
    pub names: Vec<String>,
    /// Whether the variables are new.
    pub declares: bool,
}

/// A value, or a function and its arguments. Never empty.
#[derive(Debug)]
pub struct Command(pub Vec<Operand>);

/// A value and the fields to follow from it.
#[derive(Debug)]
pub struct Operand {
    /// Where to begin.
    pub base: Base,
    /// `.Field.Sub`.
    pub fields: Vec<String>,
}

/// Where a chain of fields begins.
#[derive(Debug)]
pub enum Base {
    /// The current value.
    Dot,
    /// A variable.
    Variable(String),
    /// A constant.
    Literal(Value),
    /// A function's name.
    Function(String),
    /// `(...)`.
    Pipeline(Box<Pipeline>),
}

/// How deep blocks and parentheses may be nested.
const DEPTH_LIMIT: usize = 50;

/// The tree of a whole template.
pub fn nodes(tokens: Vec<Token>) -> Result<Vec<Node>, String> {
    let mut parser = Parser { tokens: tokens.into_iter().peekable(), depth: 0, ranges: 0 };
    let (nodes, end) = parser.block()?;
    match end {
        BlockEnd::Template => Ok(nodes),
        BlockEnd::End => Err("there is an {{end}} too many".into()),
        BlockEnd::Else(_) => Err("{{else}} is outside of if, with and range".into()),
    }
}

struct Parser {
    tokens: std::iter::Peekable<std::vec::IntoIter<Token>>,
    depth: usize,
    ranges: usize,
}

enum BlockEnd {
    Template,
    End,
    Else(Option<ElseKind>),
}

/// `{{else if ...}}`, `{{else with ...}}`.
enum ElseKind {
    If(Pipeline),
    With(Pipeline),
}

impl Parser {
    /// Nodes up to the end of the block they are in.
    fn block(&mut self) -> Result<(Vec<Node>, BlockEnd), String> {
        self.deeper()?;
        let mut nodes = Vec::new();
        while let Some(token) = self.tokens.next() {
            if let Token::Text(text) = token {
                nodes.push(Node::Text(text));
                continue;
            }
            // Outside of text there is only Token::Open: everything else is consumed with its action.
            self.skip_space();
            let keyword = match self.tokens.peek() {
                Some(Token::Word(word)) => word.clone(),
                _ => String::new(),
            };
            match keyword.as_str() {
                "if" | "with" | "range" | "break" | "continue" => {
                    self.tokens.next();
                    nodes.push(self.control(&keyword)?);
                }
                "end" => {
                    self.tokens.next();
                    self.close()?;
                    self.depth -= 1;
                    return Ok((nodes, BlockEnd::End));
                }
                "else" => {
                    self.tokens.next();
                    let kind = self.else_kind()?;
                    self.depth -= 1;
                    return Ok((nodes, BlockEnd::Else(kind)));
                }
                "define" | "template" | "block" => return Err(format!("{keyword:?} is not supported")),
                _ => nodes.push(Node::Action(self.action()?)),
            }
        }
        self.depth -= 1;
        Ok((nodes, BlockEnd::Template))
    }

    fn control(&mut self, keyword: &str) -> Result<Node, String> {
        match keyword {
            "if" => {
                let condition = self.action()?;
                self.branches(condition).map(|(branches, otherwise)| Node::If(branches, otherwise))
            }
            "with" => {
                let condition = self.action()?;
                self.branches(condition).map(|(branches, otherwise)| Node::With(branches, otherwise))
            }
            "range" => self.range(),
            _ if self.ranges == 0 => Err(format!("{{{{{keyword}}}}} is outside of range")),
            _ => {
                self.close()?;
                Ok(if keyword == "break" { Node::Break } else { Node::Continue })
            }
        }
    }

    /// The parts of an `if` or `with` after its first condition.
    #[expect(clippy::type_complexity, reason = "these are the fields of Node::If")]
    fn branches(&mut self, condition: Pipeline) -> Result<(Vec<(Pipeline, Vec<Node>)>, Vec<Node>), String> {
        let mut branches = Vec::new();
        let mut condition = condition;
        loop {
            let (body, end) = self.block()?;
            branches.push((condition, body));
            condition = match end {
                BlockEnd::End => return Ok((branches, Vec::new())),
                BlockEnd::Else(None) => return Ok((branches, self.last_block()?)),
                BlockEnd::Else(Some(ElseKind::If(condition) | ElseKind::With(condition))) => condition,
                BlockEnd::Template => return Err("an {{end}} is missing".into()),
            };
        }
    }

    fn range(&mut self) -> Result<Node, String> {
        let over = self.action()?;
        self.ranges += 1;
        let (body, end) = self.block()?;
        self.ranges -= 1;
        match end {
            BlockEnd::End => Ok(Node::Range(over, body, Vec::new())),
            BlockEnd::Else(None) => Ok(Node::Range(over, body, self.last_block()?)),
            BlockEnd::Else(Some(_)) => Err("a range's {{else}} cannot have a condition".into()),
            BlockEnd::Template => Err("an {{end}} is missing".into()),
        }
    }

    fn last_block(&mut self) -> Result<Vec<Node>, String> {
        match self.block()? {
            (nodes, BlockEnd::End) => Ok(nodes),
            (_, BlockEnd::Else(_)) => Err("there is an {{else}} too many".into()),
            (_, BlockEnd::Template) => Err("an {{end}} is missing".into()),
        }
    }

    /// What follows the word `else`, up to `}}`.
    fn else_kind(&mut self) -> Result<Option<ElseKind>, String> {
        self.skip_space();
        let keyword = match self.tokens.peek() {
            Some(Token::Word(word)) => word.clone(),
            _ => return self.close().map(|()| None),
        };
        self.tokens.next();
        match keyword.as_str() {
            "if" => self.action().map(|condition| Some(ElseKind::If(condition))),
            "with" => self.action().map(|condition| Some(ElseKind::With(condition))),
            _ => Err(format!("unexpected {keyword:?} after else")),
        }
    }

    /// A pipeline up to `}}`.
    fn action(&mut self) -> Result<Pipeline, String> {
        let pipeline = self.pipeline()?;
        self.close()?;
        Ok(pipeline)
    }

    fn pipeline(&mut self) -> Result<Pipeline, String> {
        self.deeper()?;
        self.skip_space();
        let mut names = Vec::new();
        let mut first = None;
        // Only what follows a variable tells whether it is being set.
        while let Some(Token::Variable(name)) = self.tokens.peek().cloned() {
            self.tokens.next();
            let fields = self.fields();
            self.skip_space();
            match self.tokens.peek() {
                Some(Token::Comma) if fields.is_empty() => {
                    self.tokens.next();
                    self.skip_space();
                    names.push(name);
                }
                Some(Token::Declare | Token::Assign) if fields.is_empty() => {
                    names.push(name);
                    break;
                }
                _ => {
                    first = Some(Operand { base: Base::Variable(name), fields });
                    break;
                }
            }
        }
        let set = match self.tokens.peek() {
            Some(Token::Declare) if first.is_none() && !names.is_empty() => Some(true),
            Some(Token::Assign) if first.is_none() && !names.is_empty() => Some(false),
            _ if names.is_empty() => None,
            _ => return Err("expected := after the variables".into()),
        };
        if names.len() > 2 {
            return Err("at most two variables can be set".into());
        }
        if set.is_some() {
            self.tokens.next();
        }
        let set = set.map(|declares| Setting { names, declares });
        let commands = self.commands(first)?;
        self.depth -= 1;
        Ok(Pipeline { set, commands })
    }

    fn commands(&mut self, first: Option<Operand>) -> Result<Vec<Command>, String> {
        let mut commands = Vec::new();
        let mut operands: Vec<Operand> = first.into_iter().collect();
        loop {
            self.skip_space();
            match self.tokens.peek() {
                Some(Token::Pipe) => {
                    self.tokens.next();
                    commands.push(command(std::mem::take(&mut operands))?);
                }
                Some(Token::Close | Token::RightParenthesis) => {
                    commands.push(command(operands)?);
                    return Ok(commands);
                }
                _ => operands.push(self.operand()?),
            }
        }
    }

    fn operand(&mut self) -> Result<Operand, String> {
        let base = match self.tokens.next() {
            Some(Token::Dot) => Base::Dot,
            Some(Token::Field(name)) => {
                let mut fields = vec![name];
                fields.extend(self.fields());
                return Ok(Operand { base: Base::Dot, fields });
            }
            Some(Token::Variable(name)) => Base::Variable(name),
            Some(Token::Word(name)) => Base::Function(name),
            Some(Token::Literal(value)) => Base::Literal(value),
            Some(Token::LeftParenthesis) => {
                let pipeline = self.pipeline()?;
                match self.tokens.next() {
                    Some(Token::RightParenthesis) => Base::Pipeline(Box::new(pipeline)),
                    _ => return Err("a parenthesis is not closed".into()),
                }
            }
            Some(Token::Close) | None => return Err("an action is empty or incomplete".into()),
            Some(token) => return Err(format!("unexpected {}", spelled(&token))),
        };
        let fields = self.fields();
        match base {
            Base::Literal(_) | Base::Function(_) if !fields.is_empty() => {
                Err(format!("only a value can have a field .{}", fields.join(".")))
            }
            base => Ok(Operand { base, fields }),
        }
    }

    /// `.A.B` with nothing in between.
    fn fields(&mut self) -> Vec<String> {
        let mut fields = Vec::new();
        while let Some(Token::Field(_)) = self.tokens.peek() {
            if let Some(Token::Field(name)) = self.tokens.next() {
                fields.push(name);
            }
        }
        fields
    }

    fn close(&mut self) -> Result<(), String> {
        self.skip_space();
        match self.tokens.next() {
            Some(Token::Close) => Ok(()),
            Some(token) => Err(format!("unexpected {}", spelled(&token))),
            None => Err("an action has no }}".into()),
        }
    }

    fn skip_space(&mut self) {
        while self.tokens.next_if_eq(&Token::Space).is_some() {}
    }

    fn deeper(&mut self) -> Result<(), String> {
        self.depth += 1;
        if self.depth > DEPTH_LIMIT {
            return Err(format!("it is nested more than {DEPTH_LIMIT} deep"));
        }
        Ok(())
    }
}

fn command(operands: Vec<Operand>) -> Result<Command, String> {
    if operands.is_empty() {
        return Err("a command is missing".into());
    }
    Ok(Command(operands))
}

fn spelled(token: &Token) -> String {
    match token {
        Token::Text(text) => format!("{text:?}"),
        Token::Open => "\"{{\"".into(),
        Token::Close => "\"}}\"".into(),
        Token::Space => "white space".into(),
        Token::Dot => "\".\"".into(),
        Token::Field(name) => format!("\".{name}\""),
        Token::Variable(name) | Token::Word(name) => format!("{name:?}"),
        Token::Literal(value) => value.to_string(),
        Token::Pipe => "\"|\"".into(),
        Token::LeftParenthesis => "\"(\"".into(),
        Token::RightParenthesis => "\")\"".into(),
        Token::Comma => "\",\"".into(),
        Token::Declare => "\":=\"".into(),
        Token::Assign => "\"=\"".into(),
    }
}
