//! Whether the data sets are where they were. `cargo test -p dldna --test addresses -- --ignored` downloads all of them, from
//! every address.

use dldna::data::{Store, catalogue, cifar10, cifar100};

#[test]
#[ignore = "downloads half a gigabyte"]
fn every_address_has_its_file() {
    let mut wrong = Vec::new();
    for file in catalogue().into_values().flatten() {
        for url in &file.urls {
            let folder = tempfile::tempdir().unwrap();
            let store = Store {
                folders: vec![],
                cache: folder.path().to_owned(),
            };
            let mut one = file.clone();
            one.urls = vec![url.clone()];
            if let Err(error) = store.load(&one) {
                wrong.push(error.to_string());
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
#[ignore = "downloads a third of a gigabyte"]
fn both_cifars_can_be_had() {
    cifar10().unwrap();
    cifar100().unwrap();
}
