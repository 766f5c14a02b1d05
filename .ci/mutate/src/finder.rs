//! Goes through a file and finds every place that can be changed.
//!
//! Decides where something is read, done or decided; what it may be changed into is said in `operators`, and what is left out
//! because it only runs with a planted mistake in `fold`.

mod inside;

use quote::ToTokens;
use syn::spanned::Spanned;
use syn::visit::{self, Visit};
use syn::{Block, Expr, Pat, Stmt};

use crate::edit::{Edit, Mutant, Shape};
use crate::fold::{Called, Constants, fold, is_idle, is_nothing, is_planted, tokens};
use crate::operators::{self, mutant, short};

/// The places of a file, outer ones before what is in them. What is called on the way is added to `names`, and functions
/// that are not among them are left out.
pub fn find(file: &syn::File, source: &str, names: &mut Called) -> Vec<Edit> {
    let mut finder = Finder {
        source,
        names,
        edits: Vec::new(),
        function: String::new(),
        constants: Constants::new(),
        answers: Vec::new(),
        loops: 0,
        endless: false,
        closures: 0,
    };
    finder.visit_file(file);
    finder.edits
}

struct Finder<'a> {
    source: &'a str,
    names: &'a mut Called,
    edits: Vec<Edit>,
    function: String,
    constants: Constants,
    /// What the function may answer at once.
    answers: Vec<String>,
    /// Loops around the place, within the innermost closure.
    loops: usize,
    /// The innermost loop only ends by what it answers: leaving it early does not compile.
    endless: bool,
    closures: usize,
}

fn is_test(attributes: &[syn::Attribute]) -> bool {
    attributes.iter().any(|a| tokens(a).contains("test"))
}

impl Finder<'_> {
    fn text(&self, of: &impl ToTokens) -> &str {
        &self.source[of.span().byte_range()]
    }

    fn push(&mut self, of: &impl ToTokens, shape: Shape, mutants: Vec<Mutant>) {
        let span = of.span();
        let (range, line) = (span.byte_range(), span.start().line);
        self.at(range.start, range.end, line, shape, mutants);
    }

    fn at(&mut self, start: usize, end: usize, line: usize, shape: Shape, mutants: Vec<Mutant>) {
        if !mutants.is_empty() {
            let function = self.function.clone();
            self.edits.push(Edit { start, end, shape, mutants, function, line });
        }
    }

    fn around(&mut self, of: &impl ToTokens, operator: &'static str, (before, behind): (&str, &str), words: String) {
        let shape = Shape::Around(before.to_owned(), behind.to_owned());
        self.push(of, shape, vec![Mutant { operator, text: String::new(), words }]);
    }

    fn is_constant(&self, e: &Expr) -> Option<bool> {
        fold(e, &self.constants)
    }

    fn function(&mut self, name: String, output: &syn::ReturnType, block: &Block) {
        if !self.names.has(&name) {
            return;
        }
        let outer = (
            std::mem::replace(&mut self.function, name),
            std::mem::take(&mut self.constants),
            std::mem::replace(&mut self.answers, operators::answers(output)),
            std::mem::take(&mut self.loops),
            std::mem::take(&mut self.closures),
        );
        if let Some(first) = block.stmts.first() {
            for answer in self.answers.clone() {
                let words = format!("the body became `{}`", if answer.is_empty() { "()" } else { &answer });
                self.around(first, "body", (&format!("if crate::mutant::on(#) {{ return {answer}; }} "), ""), words);
            }
        }
        self.visit_block(block);
        (self.function, self.constants, self.answers, self.loops, self.closures) = outer;
    }

    /// What may be done otherwise with a whole statement.
    fn statement(&mut self, nth: usize, stmt: &Stmt) {
        let source = short(self.text(stmt));
        // Leaving before what leaves anyway is no change.
        let leaves = |text: &str| self.text(stmt).trim_end_matches(';').trim_start_matches("return ") == text;
        let (ends, breaks, continues) =
            (self.answers.first().is_some_and(|a| leaves(a)), leaves("break") || self.endless, leaves("continue"));
        if nth > 0 && !ends && self.closures == 0 && !matches!(stmt, Stmt::Item(_)) {
            if let Some(answer) = self.answers.first().cloned() {
                let words = format!("returned `{answer}` before `{source}`");
                self.around(
                    stmt,
                    "early return",
                    (&format!("if crate::mutant::on(#) {{ return {answer}; }} "), ""),
                    words,
                );
            }
        }
        if self.loops > 0 && !matches!(stmt, Stmt::Item(_)) {
            for word in ["break", "continue"]
                .into_iter()
                .filter(|w| !(*w == "break" && breaks || *w == "continue" && continues))
            {
                let words = format!("`{word}` before `{source}`");
                self.around(stmt, "loop left", (&format!("if crate::mutant::on(#) {{ {word}; }} "), ""), words);
            }
        }
        let Stmt::Expr(e, semi) = stmt else { return };
        match e {
            Expr::MethodCall(_)
            | Expr::Call(_)
            | Expr::Assign(_)
            | Expr::Binary(_)
            | Expr::Try(_)
            | Expr::Continue(_)
                if semi.is_some() =>
            {
                self.around(
                    stmt,
                    "statement dropped",
                    ("if crate::mutant::off(#) { ", " }"),
                    format!("dropped `{source}`"),
                );
                let again = tokens(stmt);
                let adds = ["increase", "decrease", "note", "note_growth", "push"];
                let counts = matches!(e, Expr::MethodCall(call) if adds.contains(&call.method.to_string().as_str()));
                if counts || matches!(e, Expr::Binary(_)) {
                    let behind = format!(" if crate::mutant::on(#) {{ {again} }}");
                    self.around(stmt, "done twice", ("", &behind), format!("`{source}` was done twice"));
                }
                if let Expr::Try(inner) = e {
                    let instead = format!("if crate::mutant::on(#) {{ let _ = {}; }} else {{ ", tokens(&inner.expr));
                    self.around(
                        stmt,
                        "failure swallowed",
                        (&instead, " }"),
                        format!("the failure of `{source}` was ignored"),
                    );
                }
            }
            Expr::ForLoop(_) | Expr::While(_) => {
                self.around(
                    stmt,
                    "statement dropped",
                    ("if crate::mutant::off(#) { ", " }"),
                    format!("dropped `{source}`"),
                );
            }
            _ => {}
        }
    }

    /// A condition, which may contain patterns: false, and true where it has none.
    fn condition(&mut self, e: &Expr, may_be_true: bool) {
        let source = short(self.text(e));
        let mut parts = Vec::new();
        split(e, &mut parts);
        if parts.iter().any(|p| matches!(p, Expr::Let(_))) {
            self.around(e, "condition", ("", " && crate::mutant::off(#)"), format!("`{source}` became `false`"));
            for part in parts {
                match part {
                    Expr::Let(l) => self.value(&l.expr),
                    other if self.is_constant(other).is_some() => {}
                    other => {
                        let words = short(self.text(other));
                        self.push(other, Shape::Choose, vec![mutant("condition", "true".to_owned(), &words, "true")]);
                        self.value(other);
                    }
                }
            }
            return;
        }
        let mut mutants = vec![mutant("condition", "false".to_owned(), &source, "false")];
        if may_be_true {
            mutants.push(mutant("condition", "true".to_owned(), &source, "true"));
        }
        self.push(e, Shape::Choose, mutants);
        self.value(e);
    }

    /// Something that is read.
    fn value(&mut self, e: &Expr) {
        if !matches!(e, Expr::Lit(_)) && self.is_constant(e).is_some() {
            return;
        }
        let source = short(self.text(e));
        let mut mutants = Vec::new();
        match e {
            Expr::Field(f) => operators::field(f, &source, &mut mutants),
            Expr::Path(p) => operators::path(p, &source, &mut mutants),
            Expr::Lit(l) => operators::literal(&l.lit, &source, &mut mutants),
            Expr::MethodCall(m) if self.is_constant(&m.receiver).is_some() => return,
            Expr::MethodCall(m) => operators::method(m, &source, &mut mutants),
            Expr::Unary(u) if !matches!(u.op, syn::UnOp::Deref(_)) => {
                mutants.push(mutant("negation", tokens(&u.expr), &source, &short(self.text(&u.expr))));
            }
            Expr::Binary(b) => self.binary(b, &source, &mut mutants),
            Expr::Call(c) => {
                let name = tokens(&c.func);
                if name == "Some" {
                    mutants.push(mutant("option", "None".to_owned(), &source, "None"));
                }
                if name == "kind_of" {
                    mutants.push(mutant(
                        "pool",
                        format!("crate::mutant::other({})", tokens(c)),
                        &source,
                        "the other kind of pool",
                    ));
                }
            }
            _ => {}
        }
        self.push(e, Shape::Choose, mutants);
        self.inside(e);
    }

    fn binary(&self, b: &syn::ExprBinary, source: &str, into: &mut Vec<Mutant>) {
        let constant = |e: &Expr| self.is_constant(e).is_some() || is_nothing(e, &self.constants);
        if constant(&b.left) || constant(&b.right) {
            return;
        }
        let (left, right) = (tokens(&b.left), tokens(&b.right));
        let (operator, others) = operators::binary(&b.op);
        for other in others {
            let was = format!("{source}: {}", tokens(&b.op));
            into.push(mutant(operator, format!("({left}) {other} ({right})"), &was, other));
        }
        if operator == "logic" {
            into.push(mutant("operand dropped", left.clone(), source, &left));
            into.push(mutant("operand dropped", right.clone(), source, &right));
        }
    }

    /// What is written to, or looked into: only what is inside of it is read.
    fn place(&mut self, e: &Expr) {
        match e {
            Expr::Path(_) => self.called(e),
            Expr::Field(_) | Expr::Index(_) | Expr::Paren(_) | Expr::Reference(_) => self.inside(e),
            Expr::Unary(u) if matches!(u.op, syn::UnOp::Deref(_)) => self.place(&u.expr),
            other => self.value(other),
        }
    }

    fn called(&mut self, e: &Expr) {
        if let Expr::Path(p) = e {
            p.path.segments.iter().for_each(|s| self.names.add(s.ident.to_string()));
        }
    }
}

fn split<'e>(e: &'e Expr, into: &mut Vec<&'e Expr>) {
    match e {
        Expr::Binary(b) if matches!(b.op, syn::BinOp::And(_)) => {
            split(&b.left, into);
            split(&b.right, into);
        }
        other => into.push(other),
    }
}

impl<'ast> Visit<'ast> for Finder<'_> {
    fn visit_item_mod(&mut self, item: &'ast syn::ItemMod) {
        if !is_test(&item.attrs) {
            visit::visit_item_mod(self, item);
        }
    }

    fn visit_item_fn(&mut self, item: &'ast syn::ItemFn) {
        if item.sig.constness.is_none() && !is_test(&item.attrs) {
            self.function(item.sig.ident.to_string(), &item.sig.output, &item.block);
        }
    }

    fn visit_impl_item_fn(&mut self, item: &'ast syn::ImplItemFn) {
        if item.sig.constness.is_none() {
            self.function(item.sig.ident.to_string(), &item.sig.output, &item.block);
        }
    }

    fn visit_item_impl(&mut self, item: &'ast syn::ItemImpl) {
        // What a trait asks for is called by whoever knows the trait.
        if item.trait_.is_some() {
            for inner in &item.items {
                if let syn::ImplItem::Fn(f) = inner {
                    self.names.add(f.sig.ident.to_string());
                }
            }
        }
        visit::visit_item_impl(self, item);
    }

    fn visit_item_const(&mut self, _: &'ast syn::ItemConst) {}
    fn visit_impl_item_const(&mut self, _: &'ast syn::ImplItemConst) {}
    fn visit_item_static(&mut self, _: &'ast syn::ItemStatic) {}
    fn visit_item_macro(&mut self, _: &'ast syn::ItemMacro) {}
    fn visit_attribute(&mut self, _: &'ast syn::Attribute) {}
    fn visit_type(&mut self, _: &'ast syn::Type) {}
    fn visit_pat(&mut self, _: &'ast Pat) {}

    fn visit_expr(&mut self, e: &'ast Expr) {
        self.value(e);
    }

    fn visit_block(&mut self, block: &'ast Block) {
        for (nth, stmt) in block.stmts.iter().enumerate() {
            match stmt {
                Stmt::Local(local) => {
                    self.statement(nth, stmt);
                    let Some(init) = &local.init else { continue };
                    if let (Pat::Ident(name), Some(value)) = (&local.pat, self.is_constant(&init.expr)) {
                        if !matches!(*init.expr, Expr::Lit(_)) {
                            self.constants.insert(name.ident.to_string(), value);
                            continue;
                        }
                    }
                    if let (Pat::Tuple(names), Expr::Tuple(values)) = (&local.pat, &*init.expr) {
                        for (name, value) in names.elems.iter().zip(&values.elems) {
                            if let (Pat::Ident(name), Some(value)) = (name, self.is_constant(value)) {
                                self.constants.insert(name.ident.to_string(), value);
                            }
                        }
                    }
                    self.value(&init.expr);
                    if let Some((_, diverge)) = &init.diverge {
                        self.value(diverge);
                    }
                }
                Stmt::Expr(e, _) => {
                    if is_idle(e) || matches!(e, Expr::Binary(b) if is_nothing(&b.right, &self.constants)) {
                        continue;
                    }
                    if let Expr::If(i) = e {
                        match self.is_constant(&i.cond) {
                            Some(false) if i.else_branch.is_none() => continue,
                            // The rest of the block is only reached with something planted.
                            Some(true) if leaves(&i.then_branch) => {
                                self.visit_block(&i.then_branch);
                                return;
                            }
                            _ => {}
                        }
                    }
                    self.statement(nth, stmt);
                    self.value(e);
                }
                Stmt::Item(item) => self.visit_item(item),
                Stmt::Macro(m) => self.macro_arguments(&m.mac),
            }
        }
    }
}

fn leaves(block: &Block) -> bool {
    matches!(block.stmts.last(), Some(Stmt::Expr(Expr::Return(_), _)))
}
