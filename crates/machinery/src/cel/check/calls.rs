//! Which function a call means.

use std::sync::Arc;

use smol_str::SmolStr;

use super::super::library::Overload;
use super::super::syntax::{Call, Id, Kind, Literal};
use super::super::types::{Type, signature};
use super::{Checker, Reference};

impl Checker<'_> {
    pub(super) fn call(&mut self, id: Id, call: &Call) -> Type {
        let formats = usize::from(call.function == "format");
        self.formats += formats;
        let ty = self.call_of_any(id, call);
        self.formats -= formats;
        ty
    }

    fn call_of_any(&mut self, id: Id, call: &Call) -> Type {
        if call.function == "_?._" {
            return self.optional_select(id, call);
        }
        let mut arguments: Vec<Type> = call.arguments.iter().map(|argument| self.check(argument)).collect();
        let name = call.function.trim_start_matches('.');
        let library = self.environment.library();
        let Some(target) = &call.target else {
            return match library.function(name) {
                Some(overloads) => self.resolve(id, (name, None), overloads, &arguments),
                None => self.undeclared(id, name),
            };
        };
        // The target may be the beginning of the function's name.
        if let Some(prefix) = target.qualified_name()
            && !self.is_local(target)
        {
            let whole = format!("{}.{name}", prefix.trim_start_matches('.'));
            if let Some(overloads) = library.function(&whole) {
                return self.resolve(id, (&whole, Some(SmolStr::new(&whole))), overloads, &arguments);
            }
        }
        arguments.insert(0, self.check(target));
        match library.function(name) {
            Some(overloads) => self.resolve_method(id, name, overloads, &arguments),
            None => self.undeclared(id, name),
        }
    }

    fn resolve(
        &mut self,
        id: Id,
        (name, whole): (&str, Option<SmolStr>),
        overloads: &[Arc<Overload>],
        arguments: &[Type],
    ) -> Type {
        let overloads: Vec<&Arc<Overload>> =
            overloads.iter().filter(|overload| !overload.is_method).collect();
        self.choose(id, name, (whole, false), (&overloads, arguments))
    }

    fn resolve_method(
        &mut self,
        id: Id,
        name: &str,
        overloads: &[Arc<Overload>],
        arguments: &[Type],
    ) -> Type {
        let overloads: Vec<&Arc<Overload>> = overloads.iter().filter(|overload| overload.is_method).collect();
        self.choose(id, name, (None, true), (&overloads, arguments))
    }

    /// All overloads that the arguments fit; the type of the result if it is the same for all.
    fn choose(
        &mut self,
        id: Id,
        name: &str,
        (whole, is_method): (Option<SmolStr>, bool),
        (overloads, arguments): (&[&Arc<Overload>], &[Type]),
    ) -> Type {
        let mut result: Option<Type> = None;
        let mut chosen = Vec::new();
        for overload in overloads {
            let mut parameters = Vec::new();
            let expected: Vec<Type> = overload
                .parameters
                .iter()
                .map(|parameter| self.unifier.instantiate(parameter, &mut parameters))
                .collect();
            let own_result = self.unifier.instantiate(&overload.result, &mut parameters);
            if !self.unifier.all_assignable(arguments, &expected) {
                continue;
            }
            chosen.push((*overload).clone());
            let own_result = self.unifier.resolve(&own_result, false);
            result = Some(match result {
                None => own_result,
                Some(result) if result == own_result => result,
                Some(_) => Type::Dyn,
            });
        }
        match result {
            Some(result) => {
                self.references.insert(id, Reference::Function(whole, chosen));
                result
            }
            None => {
                let shown: Vec<Type> = arguments.iter().map(|ty| self.unifier.resolve(ty, false)).collect();
                let message = format!(
                    "found no matching overload for '{name}' applied to '{}'",
                    signature(&shown, is_method)
                );
                self.tell(id, message);
                Type::Error
            }
        }
    }

    /// `operand.?field`
    fn optional_select(&mut self, id: Id, call: &Call) -> Type {
        let [operand, field] = call.arguments.as_slice() else {
            unreachable!("the parser made this call with two arguments")
        };
        self.check(field);
        let operand = self.check(operand);
        let Kind::Literal(Literal::String(field)) = &field.kind else {
            unreachable!("the parser made the second argument a text")
        };
        match self.field(id, &operand, field) {
            optional @ Type::Optional(_) => optional,
            ty => Type::optional(ty),
        }
    }
}
