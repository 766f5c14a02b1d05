//! Names of types in a pickle: allowed for the few that only hold data.
//!
//! Decides which; nothing that a pickle names is ever run.

use std::io::BufRead;

use super::PickleError;
use super::document::{Plain, Value};
use super::machine::{CONTAINER, Machine};

/// No module or type name that is allowed is as long.
const LONGEST_NAME: usize = 256;

impl<R: BufRead> Machine<'_, R> {
    /// A name outside the file: allowed for the few types that only hold data.
    pub(super) fn global(&mut self, code: u8) -> Result<(), PickleError> {
        let (module, name) = if code == b'c' {
            (self.line()?, self.line()?)
        } else {
            let (name, module) = (self.pop()?, self.pop()?);
            let text = |value| self.document.text(value).map(|t| t.chars().take(LONGEST_NAME).collect::<String>());
            match (text(module), text(name)) {
                (Some(module), Some(name)) => (module, name),
                _ => return Err(self.malformed("the name of a type that is no string")),
            }
        };
        let plain = match (module.as_str(), name.as_str()) {
            ("collections", "OrderedDict") => Plain::OrderedDict,
            ("collections", "defaultdict") => Plain::DefaultDict,
            ("builtins" | "__builtin__", "int" | "long" | "float" | "list" | "dict") => Plain::Factory,
            _ => {
                let printable = |text: String| text.escape_debug().to_string();
                let (module, name) = (printable(module), printable(name));
                return Err(PickleError::Global { offset: self.start, module, name });
            }
        };
        self.push(Value::Global(plain))
    }

    /// The call of a type that holds data: an empty dict, which the items then go into.
    pub(super) fn reduce(&mut self) -> Result<(), PickleError> {
        let (arguments, callable) = (self.pop()?, self.pop()?);
        let count = self.document.items(arguments).map(|items| items.len());
        match (callable, arguments, count) {
            (Value::Global(Plain::OrderedDict), Value::Tuple(_), Some(0))
            | (Value::Global(Plain::DefaultDict), Value::Tuple(_), Some(0 | 1)) => {
                self.budget.charge(CONTAINER, self.start)?;
                self.new_container(true, self.stack.len())
            }
            _ => Err(PickleError::Code { offset: self.start, name: "REDUCE" }),
        }
    }

    /// Text up to the end of a line.
    fn line(&mut self) -> Result<String, PickleError> {
        let mut line = Vec::new();
        loop {
            match self.byte()? {
                b'\n' => return Ok(String::from_utf8_lossy(&line).into_owned()),
                _ if line.len() >= LONGEST_NAME => return Err(self.malformed("a name without end")),
                byte => line.push(byte),
            }
        }
    }
}
