//! Which types may stand for which, and what is found out about unknown ones on the way.

use super::super::types::Type;

/// What is known about types that stand for others.
#[derive(Clone, Debug, Default)]
pub(super) struct Unifier {
    bound: Vec<Option<Type>>,
}

impl Unifier {
    /// A type that is still to be found.
    pub fn fresh(&mut self) -> Type {
        self.bound.push(None);
        Type::Variable(u32::try_from(self.bound.len() - 1).expect("an expression has less than 2^32 types"))
    }

    /// A type with everything filled in that is known; what is not known may be anything if `to_dyn`.
    pub fn resolve(&self, ty: &Type, to_dyn: bool) -> Type {
        match ty {
            Type::Variable(number) => match &self.bound[*number as usize] {
                Some(bound) => self.resolve(bound, to_dyn),
                None if to_dyn => Type::Dyn,
                None => ty.clone(),
            },
            Type::List(item) => Type::list(self.resolve(item, to_dyn)),
            Type::Optional(inner) => Type::optional(self.resolve(inner, to_dyn)),
            Type::Type(inner) => Type::Type(std::sync::Arc::new(self.resolve(inner, to_dyn))),
            Type::Map(inner) => Type::map(self.resolve(&inner.0, to_dyn), self.resolve(&inner.1, to_dyn)),
            other => other.clone(),
        }
    }

    /// Replaces the parameters of a signature by types that are still to be found.
    pub fn instantiate(&mut self, ty: &Type, parameters: &mut Vec<(smol_str::SmolStr, Type)>) -> Type {
        match ty {
            Type::Parameter(name) => {
                if let Some((_, known)) = parameters.iter().find(|(own, _)| own == name) {
                    return known.clone();
                }
                let fresh = self.fresh();
                parameters.push((name.clone(), fresh.clone()));
                fresh
            }
            Type::List(item) => Type::list(self.instantiate(item, parameters)),
            Type::Optional(inner) => Type::optional(self.instantiate(inner, parameters)),
            Type::Type(inner) => Type::Type(std::sync::Arc::new(self.instantiate(inner, parameters))),
            Type::Map(inner) => {
                let key = self.instantiate(&inner.0, parameters);
                Type::map(key, self.instantiate(&inner.1, parameters))
            }
            other => other.clone(),
        }
    }

    /// Whether each type may stand where the other one is expected. What was found out is kept only if all may.
    pub fn all_assignable(&mut self, found: &[Type], expected: &[Type]) -> bool {
        let before = self.clone();
        let fits = found.len() == expected.len()
            && found.iter().zip(expected).all(|(found, expected)| self.unify(found, expected));
        if !fits {
            *self = before;
        }
        fits
    }

    /// Whether one type may stand for the other.
    pub fn assignable(&mut self, a: &Type, b: &Type) -> bool {
        self.all_assignable(std::slice::from_ref(a), std::slice::from_ref(b))
    }

    fn unify(&mut self, a: &Type, b: &Type) -> bool {
        if let (Type::Variable(a), Type::Variable(b)) = (a, b)
            && a == b
        {
            return true;
        }
        if let Type::Variable(number) = b {
            let was_bound = self.bound[*number as usize].is_some();
            if self.bind(*number, a) {
                return true;
            }
            if was_bound {
                return false;
            }
        }
        if let Type::Variable(number) = a {
            return self.bind(*number, b);
        }
        if a.is_dyn() || b.is_dyn() {
            return true;
        }
        match (a, b) {
            (Type::Null, other) | (other, Type::Null) => is_nullable(other),
            (Type::List(a), Type::List(b)) | (Type::Optional(a), Type::Optional(b)) => self.unify(a, b),
            (Type::Map(a), Type::Map(b)) => self.unify(&a.0, &b.0) && self.unify(&a.1, &b.1),
            (Type::Type(_), Type::Type(_)) => true,
            (a, b) => a == b,
        }
    }

    /// Lets a type that is still to be found be this one, or makes sure that it already is one that fits.
    fn bind(&mut self, number: u32, ty: &Type) -> bool {
        if let Some(bound) = self.bound[number as usize].clone() {
            if !self.unify(&bound, ty) {
                return false;
            }
            let general = self.most_general(bound, ty.clone());
            if !self.mentions(&general, number) {
                self.bound[number as usize] = Some(general);
            }
            return true;
        }
        if self.mentions(ty, number) {
            return false;
        }
        self.bound[number as usize] = Some(ty.clone());
        true
    }

    /// Whether a type has an unknown one in it.
    fn mentions(&self, ty: &Type, number: u32) -> bool {
        match ty {
            Type::Variable(own) if *own == number => true,
            Type::Variable(own) => match &self.bound[*own as usize] {
                Some(bound) => self.mentions(bound, number),
                None => false,
            },
            Type::List(inner) | Type::Optional(inner) | Type::Type(inner) => self.mentions(inner, number),
            Type::Map(inner) => self.mentions(&inner.0, number) || self.mentions(&inner.1, number),
            _ => false,
        }
    }

    /// The one of two types that says less.
    pub fn most_general(&self, a: Type, b: Type) -> Type {
        if says_less(&self.resolve(&a, false), &self.resolve(&b, false)) { a } else { b }
    }
}

fn is_nullable(ty: &Type) -> bool {
    matches!(
        ty,
        Type::Null | Type::Object(_) | Type::Timestamp | Type::Duration | Type::Opaque(_) | Type::Optional(_)
    )
}

/// Whether the first type says as much as the second, or less.
fn says_less(a: &Type, b: &Type) -> bool {
    match (a, b) {
        (Type::Dyn | Type::Error | Type::Variable(_), _) => true,
        (_, Type::Dyn | Type::Error | Type::Variable(_)) => false,
        // What can be null says less than null itself.
        (_, Type::Null) => true,
        (Type::Null, _) => false,
        (Type::List(a), Type::List(b)) | (Type::Optional(a), Type::Optional(b)) => says_less(a, b),
        (Type::Map(a), Type::Map(b)) => says_less(&a.0, &b.0) && says_less(&a.1, &b.1),
        (a, b) => a == b,
    }
}
