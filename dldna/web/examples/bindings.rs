//! Writes the JavaScript beside a module of WebAssembly: takes the module that cargo has built, and a folder. `cargo site` calls it.
use std::error::Error;
use wasm_bindgen_cli_support::Bindgen;

fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let module = arguments.next().ok_or("expected a module")?;
    let folder = arguments.next().ok_or("expected a folder")?;
    Bindgen::new()
        .input_path(module)
        .no_modules(true)?
        .typescript(true) // for the checks of the pages' own scripts
        .remove_name_section(true)
        .generate(folder)?;
    Ok(())
}
