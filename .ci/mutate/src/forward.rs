//! A sound allocator in the same process: a target that does everything with the changes out of force.
//!
//! Decides nothing: every method that the trait has now is handed on.

use quote::quote;

/// What is added to `src/target/mod.rs`.
pub fn suspended(source: &str) -> String {
    let file = syn::parse_file(source).expect("it compiles");
    let methods = file.items.iter().find_map(|item| match item {
        syn::Item::Trait(t) if t.ident == "Target" => Some(&t.items),
        _ => None,
    });
    let methods = methods.expect("src/target/mod.rs has the trait `Target`").iter().filter_map(|item| match item {
        syn::TraitItem::Fn(method) => Some(&method.sig),
        _ => None,
    });
    let tells = methods.clone().any(|signature| signature.ident == "take_events");
    let events = if tells {
        quote! { let mut events = Vec::new(); if target.take_events(&mut events) { format!("{events:?}") } else { String::new() } }
    } else {
        quote! { let _ = target; String::new() }
    };
    let handed_on = methods.map(|signature| {
        let name = &signature.ident;
        let arguments = signature.inputs.iter().filter_map(|input| match input {
            syn::FnArg::Typed(typed) => Some(&typed.pat),
            syn::FnArg::Receiver(_) => None,
        });
        quote! { #signature { crate::mutant::suspend(|| self.0.#name(#(#arguments),*)) } }
    });
    let text = quote! {
        pub struct Suspended(Box<dyn Target>);
        impl Target for Suspended { #(#handed_on)* }
        pub fn events_of(target: &mut dyn Target) -> String { #events }
        pub fn open_suspended(name: &TargetName, setup: &Setup) -> Result<Box<dyn Target>, TargetError> {
            let sound = crate::mutant::suspend(|| open_here(name, setup))?;
            Ok(Box::new(Suspended(sound)))
        }
    };
    text.to_string()
}
