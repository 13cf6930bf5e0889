//! Who may import whom, between crates and between the modules of `proto`. The drawing is in ARCHITECTURE.md.

use super::{Fault, Source};
use anyhow::{Context, Result};
use std::fs;
use std::path::Path;
use syn::visit::{self, Visit};

/// Each crate and the crates of ours that it may name.
const CRATES: &[(&str, &[&str])] = &[
    ("wire", &[]),
    ("os", &[]),
    ("proto", &["wire"]),
    ("sim", &["wire", "proto"]),
    ("engine", &["wire", "proto", "os"]),
    ("tracker", &["wire", "proto", "os"]),
    ("hostile", &["wire", "proto", "os", "sim"]),
    ("app", &["wire", "proto", "os", "gannet", "sim", "tracker"]),
];

/// Machines of `proto` that stand alone.
const ALONE: &[&str] = &[
    "dht", "utp", "tracker", "announce", "choker", "pieces", "door", "share", "lsd", "beacon", "cutting",
    "pairing",
];

/// Modules of `proto` and those they never name, beside what [`ALONE`] says.
const NEVER: &[(&str, &[&str])] =
    &[("peer", &["torrent", "session"]), ("extension", &["session"]), ("torrent", &["session"])];

/// Imports in `Cargo.toml` that point the wrong way.
pub(super) fn between_crates(root: &Path) -> Result<Vec<Fault>> {
    let mut faults = Vec::new();
    for (name, may) in CRATES {
        let path = root.join("crates").join(name).join("Cargo.toml");
        if !path.exists() {
            continue;
        }
        let manifest = fs::read_to_string(&path).with_context(|| path.display().to_string())?;
        for ours in ["wire", "os", "proto", "sim", "gannet", "tracker"] {
            if dependencies(&manifest).any(|dependency| dependency == ours) && !may.contains(&ours) {
                faults.push(format!("crates/{name}/Cargo.toml: `{name}` never imports `{ours}`"));
            }
        }
    }
    Ok(faults)
}

/// Names under `[dependencies]`; what only tests use is free.
fn dependencies(manifest: &str) -> impl Iterator<Item = &str> {
    manifest
        .lines()
        .skip_while(|line| line.trim() != "[dependencies]")
        .skip(1)
        .take_while(|line| !line.starts_with('['))
        .filter_map(|line| line.split(['=', '.', ' ']).next())
        .filter(|name| !name.is_empty())
}

/// Names inside `proto` that point up or across.
pub(super) fn inside_proto(source: &Source) -> Vec<Fault> {
    let Some(module) =
        source.path.strip_prefix("crates/proto/src/").and_then(|rest| rest.split(['/', '.']).next())
    else {
        return Vec::new();
    };
    let mut forbidden: Vec<&str> = Vec::new();
    if ALONE.contains(&module) {
        forbidden.extend(ALONE.iter().filter(|&&other| other != module));
        forbidden.extend(["torrent", "peer", "session"]);
    }
    forbidden.extend(NEVER.iter().filter(|(from, _)| *from == module).flat_map(|(_, to)| to.iter()));
    let mut named = Named::default();
    named.visit_file(&source.syntax);
    named
        .modules
        .iter()
        .filter(|(name, _)| forbidden.contains(&name.as_str()))
        .map(|(name, line)| format!("{}:{line}: `{module}` never names `{name}`", source.path))
        .collect()
}

/// First segments after `crate::`, with their lines. Test modules may name what they like.
#[derive(Default)]
struct Named {
    modules: Vec<(String, usize)>,
}

impl Named {
    fn add_tree(&mut self, tree: &syn::UseTree) {
        match tree {
            syn::UseTree::Path(path) => self.add(&path.ident),
            syn::UseTree::Name(name) => self.add(&name.ident),
            syn::UseTree::Rename(rename) => self.add(&rename.ident),
            syn::UseTree::Group(group) => group.items.iter().for_each(|item| self.add_tree(item)),
            syn::UseTree::Glob(_) => {}
        }
    }

    fn add(&mut self, ident: &syn::Ident) {
        self.modules.push((ident.to_string(), ident.span().start().line));
    }
}

impl<'ast> Visit<'ast> for Named {
    fn visit_item_mod(&mut self, item: &'ast syn::ItemMod) {
        if item.ident != "tests" {
            visit::visit_item_mod(self, item);
        }
    }

    fn visit_item_use(&mut self, item: &'ast syn::ItemUse) {
        if let syn::UseTree::Path(path) = &item.tree
            && path.ident == "crate"
        {
            self.add_tree(&path.tree);
        }
    }

    fn visit_path(&mut self, path: &'ast syn::Path) {
        let mut segments = path.segments.iter();
        if segments.next().is_some_and(|first| first.ident == "crate")
            && let Some(second) = segments.next()
        {
            self.add(&second.ident);
        }
        visit::visit_path(self, path);
    }
}
