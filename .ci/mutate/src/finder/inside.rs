//! What is inside of an expression: its parts, each as what it is read, written or decided by.
//!
//! Decides the changes of whole branches, arms, loops and closures.

use super::*;

impl Finder<'_> {
    pub(super) fn inside(&mut self, e: &Expr) {
        self.called(e);
        match e {
            Expr::Field(f) => self.place(&f.base),
            Expr::Index(i) => {
                let (source, mut mutants) = (short(self.text(i)), Vec::new());
                operators::index(i, &source, &mut mutants);
                self.push(&i.index, Shape::Choose, mutants);
                self.place(&i.expr);
                self.value(&i.index);
            }
            Expr::Reference(r) => self.place(&r.expr),
            Expr::MethodCall(m) => self.method(m),
            Expr::Call(c) => {
                self.called(&c.func);
                c.args.iter().for_each(|a| self.value(a));
            }
            Expr::Assign(a) => {
                self.place(&a.left);
                self.value(&a.right);
            }
            Expr::Binary(b) if operators::assigns(&b.op) => {
                self.place(&b.left);
                self.value(&b.right);
            }
            Expr::If(i) => self.branch(i),
            Expr::While(w) => {
                self.condition(&w.cond, false);
                self.in_loop(&w.body, false);
            }
            Expr::ForLoop(f) => self.each(f),
            Expr::Loop(l) => self.in_loop(&l.body, true),
            Expr::Match(m) => self.matched(m),
            Expr::Closure(c) => self.closure(c, false),
            Expr::Macro(m) => self.macro_arguments(&m.mac),
            Expr::Struct(s) => self.fields(s),
            Expr::Let(l) => self.value(&l.expr),
            other => visit::visit_expr(self, other),
        }
    }

    pub(super) fn method(&mut self, m: &syn::ExprMethodCall) {
        let name = m.method.to_string();
        self.names.add(name.clone());
        if name == "iter" && m.args.is_empty() {
            let words = format!("`{}` leaves out the first", short(self.text(m)));
            self.around(m, "one too few", ("", ".skip(crate::mutant::one(#))"), words);
        }
        self.place(&m.receiver);
        let asks = [
            "filter",
            "any",
            "all",
            "find",
            "position",
            "rposition",
            "retain",
            "take_while",
            "is_some_and",
            "is_none_or",
        ];
        for argument in &m.args {
            match argument {
                Expr::Closure(c) => self.closure(c, asks.contains(&name.as_str())),
                other => self.value(other),
            }
        }
    }

    pub(super) fn closure(&mut self, c: &syn::ExprClosure, asks: bool) {
        if self.is_constant(&c.body).is_some() {
            return;
        }
        let loops = std::mem::take(&mut self.loops);
        self.closures += 1;
        if asks && !matches!(*c.body, Expr::Block(_)) {
            let source = short(self.text(&c.body));
            let other = |to: &str| mutant("condition", to.to_owned(), &source, to);
            self.push(&c.body, Shape::Choose, vec![other("false"), other("true")]);
        }
        self.value(&c.body);
        self.closures -= 1;
        self.loops = loops;
    }

    pub(super) fn branch(&mut self, i: &syn::ExprIf) {
        let constant = self.is_constant(&i.cond);
        if constant.is_none() {
            self.condition(&i.cond, true);
        }
        if constant != Some(false) {
            self.visit_block(&i.then_branch);
        }
        let Some((_, other)) = &i.else_branch else { return };
        if constant == Some(true) {
            return;
        }
        if let (Expr::Block(block), true) = (&**other, constant.is_none()) {
            if block
                .block
                .stmts
                .iter()
                .any(|s| matches!(s, Stmt::Expr(_, Some(_)) | Stmt::Expr(Expr::If(_) | Expr::ForLoop(_), None)))
            {
                let words = format!("forgot the `else` of `{}`", short(self.text(&i.cond)));
                self.around(&**other, "else forgotten", ("{ if crate::mutant::off(#) ", " }"), words);
            }
        }
        match &**other {
            Expr::If(next) => self.branch(next),
            Expr::Block(block) => self.visit_block(&block.block),
            other => self.value(other),
        }
    }

    pub(super) fn in_loop(&mut self, body: &Block, endless: bool) {
        let outer = std::mem::replace(&mut self.endless, endless);
        self.loops += 1;
        self.visit_block(body);
        self.loops -= 1;
        self.endless = outer;
    }

    pub(super) fn each(&mut self, f: &syn::ExprForLoop) {
        let source = short(self.text(&f.expr));
        let first = ("(", ").into_iter().skip(crate::mutant::one(#))");
        self.around(&f.expr, "one too few", first, format!("`{source}` leaves out the first"));
        let last = ("crate::mutant::Shortened::new(#, ", ")");
        self.around(&f.expr, "one too few", last, format!("`{source}` leaves out the last"));
        self.value(&f.expr);
        self.in_loop(&f.body, false);
    }

    pub(super) fn matched(&mut self, m: &syn::ExprMatch) {
        self.value(&m.expr);
        let takes_all = |pattern: &Pat| match pattern {
            Pat::Wild(_) => true,
            Pat::Ident(name) => name.ident.to_string().starts_with(char::is_lowercase),
            _ => false,
        };
        let open = m.arms.iter().any(|a| a.guard.is_none() && takes_all(&a.pat));
        for (nth, arm) in m.arms.iter().enumerate() {
            let constant = arm.guard.as_ref().and_then(|(_, g)| self.is_constant(g));
            if is_planted(&arm.pat) || constant == Some(false) {
                continue;
            }
            let source = short(self.text(&arm.pat));
            if open && arm.guard.is_none() && nth + 1 < m.arms.len() {
                self.around(
                    &arm.pat,
                    "arm dropped",
                    ("", " if crate::mutant::off(#)"),
                    format!("the arm `{source}` was dropped"),
                );
            }
            if let (Some((_, guard)), None) = (&arm.guard, constant) {
                self.condition(guard, true);
            }
            if let Expr::MethodCall(call) = &*arm.body {
                let words = short(self.text(call));
                let twice = format!("{{ {0}; {0} }}", tokens(call));
                let mutants = vec![
                    mutant("statement dropped", "()".to_owned(), &words, "()"),
                    mutant("done twice", twice, &words, "done twice"),
                ];
                self.push(call, Shape::Choose, mutants);
            }
            self.value(&arm.body);
        }
    }

    pub(super) fn fields(&mut self, s: &syn::ExprStruct) {
        let base = s
            .rest
            .as_ref()
            .map(|rest| tokens(rest))
            .filter(|text| text.chars().all(|c| c.is_alphanumeric() || c == '_'));
        for field in &s.fields {
            let name = tokens(&field.member);
            if field.colon_token.is_none() {
                continue;
            }
            if let Some(base) = &base {
                let source = short(self.text(field));
                let other = format!("{base}.{name}");
                self.push(&field.expr, Shape::Choose, vec![mutant("field dropped", other.clone(), &source, &other)]);
            }
            self.value(&field.expr);
        }
        if let Some(rest) = &s.rest {
            self.place(rest);
        }
    }

    /// Arguments of macros that take expressions.
    pub(super) fn macro_arguments(&mut self, mac: &syn::Macro) {
        let name = tokens(&mac.path);
        if !matches!(name.as_str(), "format" | "write" | "vec" | "debug_assert" | "assert") {
            self.names.add_text(&tokens(mac));
            return;
        }
        let parser = syn::punctuated::Punctuated::<Expr, syn::Token![,]>::parse_terminated;
        if let Ok(arguments) = mac.parse_body_with(parser) {
            let skipped = usize::from(name == "write");
            arguments
                .iter()
                .skip(skipped)
                .filter(|a| !matches!(a, Expr::Lit(l) if matches!(l.lit, syn::Lit::Str(_))))
                .for_each(|a| self.value(a));
        } else {
            self.names.add_text(&tokens(mac));
        }
    }
}
