//! Keeps a notebook's variables between its cells, in place of the module that the kernel's program writes into each of them
//! (`evcxr_internal_runtime`). What does not depend on a variable's type is compiled here once, and not in each cell.
//!
//! The store passes from cell to cell by a pointer, also between cells with this library and cells with the program's own
//! module: so it has to be laid out as it is there, as a map from names to boxes.
use std::any::{Any, TypeId};
use std::collections::HashMap;

/// How the kernel's program is told that a variable's type has changed.
pub const VARIABLE_CHANGED_TYPE: &str = "EVCXR_VARIABLE_CHANGED_TYPE:";
/// How the kernel's program is told that a cell has stopped at a `?`.
pub const USER_ERROR_OCCURRED: &str = "EVCXR_ERROR_OCCURRED";

/// The variables of a notebook, by name.
pub struct VariableStore {
    variables: HashMap<String, Box<dyn Any + 'static>>,
}

impl VariableStore {
    /// Stores a variable; an older one of this name goes.
    pub fn put_variable<T: 'static>(&mut self, name: &str, value: T) {
        self.put(name, Box::new(value));
    }

    /// Whether a variable has this type, as far as it is there. If not, the kernel's program and the reader are told.
    pub fn check_variable<T: 'static>(&mut self, name: &str) -> bool {
        self.check(name, TypeId::of::<T>())
    }

    /// Takes a variable out. It has to be there, and of this type.
    pub fn take_variable<T: 'static>(&mut self, name: &str) -> T {
        match self.take(name).downcast() {
            Ok(value) => *value,
            Err(_) => panic!("Variable changed type"),
        }
    }

    fn put(&mut self, name: &str, value: Box<dyn Any>) {
        self.variables.insert(name.to_owned(), value);
    }

    fn check(&self, name: &str, wanted: TypeId) -> bool {
        let has_changed = |value: &Box<dyn Any>| (**value).type_id() != wanted;
        if self.variables.get(name).is_some_and(has_changed) {
            eprintln!("The type of the variable {name} was redefined, so was lost.");
            println!("{VARIABLE_CHANGED_TYPE}{name}");
            return false;
        }
        true
    }

    fn take(&mut self, name: &str) -> Box<dyn Any> {
        self.variables
            .remove(name)
            .unwrap_or_else(|| panic!("Variable '{name}' has gone missing"))
    }
}

/// An empty store.
pub fn create_variable_store() -> *mut VariableStore {
    let variables = HashMap::new();
    Box::into_raw(Box::new(VariableStore { variables }))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn empty() -> VariableStore {
        VariableStore {
            variables: HashMap::new(),
        }
    }

    #[test]
    fn a_variable_is_taken_out_as_it_was_put_in() {
        let mut store = empty();
        store.put_variable("scale", 1u8);
        store.put_variable("names", vec!["a".to_owned()]);
        store.put_variable("scale", 2.5f32); // the older one goes
        assert_eq!(store.take_variable::<f32>("scale"), 2.5);
        assert_eq!(store.take_variable::<Vec<String>>("names"), ["a"]);
        assert!(store.variables.is_empty());
    }

    #[test]
    fn only_a_variable_that_is_there_can_have_changed_its_type() {
        let mut store = empty();
        store.put_variable("scale", 1u8);
        assert!(store.check_variable::<u8>("scale"));
        assert!(!store.check_variable::<i8>("scale"));
        assert!(store.check_variable::<i8>("another"));
        assert_eq!(store.take_variable::<u8>("scale"), 1); // it is still there
    }

    #[test]
    #[should_panic(expected = "Variable 'scale' has gone missing")]
    fn a_variable_can_be_taken_once() {
        let mut store = empty();
        store.put_variable("scale", 1u8);
        store.take_variable::<u8>("scale");
        store.take_variable::<u8>("scale");
    }

    #[test]
    #[should_panic(expected = "Variable changed type")]
    fn a_variable_is_not_taken_as_something_else() {
        let mut store = empty();
        store.put_variable("scale", 1u8);
        store.take_variable::<i8>("scale");
    }

    /// The program holds the source of its own module.
    #[test]
    fn the_kernels_program_has_the_same_words_and_the_same_store() {
        let program = crate::kernel::evcxr::find()
            .expect("this test needs the kernel's program: run `cargo lab --no-browser` once");
        let program = std::fs::read(program).unwrap();
        let has = |text: &str| contains(&program, text.as_bytes());
        assert!(has(&format!(
            "VARIABLE_CHANGED_TYPE: &str = {VARIABLE_CHANGED_TYPE:?};"
        )));
        assert!(has(&format!(
            "USER_ERROR_OCCURRED: &str = {USER_ERROR_OCCURRED:?};"
        )));
        assert!(has("pub struct VariableStore {
    variables: std::collections::HashMap<String, Box<dyn std::any::Any + 'static>>,
}"));
        type Map = HashMap<String, Box<dyn Any>>;
        assert_eq!(size_of::<VariableStore>(), size_of::<Map>());
        assert!(!create_variable_store().is_null());
    }

    fn contains(bytes: &[u8], wanted: &[u8]) -> bool {
        let first = wanted[0];
        let mut starts = (0..=bytes.len() - wanted.len()).filter(|&at| bytes[at] == first);
        starts.any(|at| bytes[at..].starts_with(wanted))
    }
}
