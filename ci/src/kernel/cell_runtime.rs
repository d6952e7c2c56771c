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
