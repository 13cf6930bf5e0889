//! How long files and functions are, how many fields structs have. Kept by a ratchet, because every pure core grew a god object.

use super::{Fault, Source};
use anyhow::{Context, Result};
use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use syn::spanned::Spanned;
use syn::visit::{self, Visit};

/// Lines a file may have.
const FILE_LINES_MAX: usize = 600;
/// Lines a function may have, unless it is one flat `match`.
const FUNCTION_LINES_MAX: usize = 70;
/// Lines an arm of a flat `match` may have.
const ARM_LINES_MAX: usize = 12;
/// Fields a struct may have.
const FIELDS_MAX: usize = 15;

/// What is larger than its limit and not excused by the ratchet, and excuses that are larger than needed.
pub(super) fn check(sources: &[Source], root: &Path) -> Result<Vec<Fault>> {
    let path = root.join("xtask/tidy-ratchet.txt");
    let text = fs::read_to_string(&path).with_context(|| path.display().to_string())?;
    let mut allowed: BTreeMap<&str, usize> = BTreeMap::new();
    for line in text.lines().filter(|line| !line.starts_with('#') && !line.is_empty()) {
        let (what, size) = line.rsplit_once(' ').with_context(|| format!("tidy-ratchet.txt: {line}"))?;
        allowed.insert(what, size.parse().with_context(|| format!("tidy-ratchet.txt: {line}"))?);
    }
    let mut faults = Vec::new();
    for (what, size, limit) in sources.iter().flat_map(too_large) {
        match allowed.remove(what.as_str()) {
            Some(excused) if size > excused => {
                faults.push(format!("{what}: {size}, was {excused}: it may only shrink"))
            }
            Some(excused) if size < excused => {
                faults.push(format!("{what}: {size}: lower its line in tidy-ratchet.txt from {excused}"))
            }
            Some(_) => {}
            None => faults.push(format!("{what}: {size}, limit {limit}")),
        }
    }
    faults.extend(
        allowed
            .keys()
            .map(|what| format!("{what}: no longer too large: take its line out of tidy-ratchet.txt")),
    );
    Ok(faults)
}

/// Everything in a file that is over its limit: what, its size, the limit.
fn too_large(source: &Source) -> Vec<(String, usize, usize)> {
    let mut sizes = Sizes { found: Vec::new() };
    sizes.visit_file(&source.syntax);
    let lines = source.text.lines().count();
    // Tables of cases are long by nature: a file of tests alone may be as long as its cases.
    if !is_test(&source.path) {
        sizes.found.push(("lines".into(), lines, FILE_LINES_MAX));
    }
    let over = sizes.found.into_iter().filter(|(_, size, limit)| size > limit);
    over.map(|(what, size, limit)| (format!("{} {what}", source.path), size, limit)).collect()
}

fn is_test(path: &str) -> bool {
    path.contains("/tests/") || path.ends_with("/tests.rs") || path.ends_with("_tests.rs")
}

struct Sizes {
    found: Vec<(String, usize, usize)>,
}

impl Sizes {
    fn function(&mut self, name: &syn::Ident, block: &syn::Block) {
        let lines = lines_of(block.span());
        if !is_flat_match(block) {
            self.found.push((format!("fn {name}"), lines, FUNCTION_LINES_MAX));
        }
    }
}

impl<'ast> Visit<'ast> for Sizes {
    fn visit_item_fn(&mut self, item: &'ast syn::ItemFn) {
        self.function(&item.sig.ident, &item.block);
        visit::visit_item_fn(self, item);
    }

    fn visit_impl_item_fn(&mut self, item: &'ast syn::ImplItemFn) {
        self.function(&item.sig.ident, &item.block);
        visit::visit_impl_item_fn(self, item);
    }

    fn visit_item_struct(&mut self, item: &'ast syn::ItemStruct) {
        // Plain data that is all public is a row, not an object: limits and figures may be many.
        let hidden = item.fields.iter().any(|field| !matches!(field.vis, syn::Visibility::Public(_)));
        if hidden {
            self.found.push((format!("struct {}", item.ident), item.fields.len(), FIELDS_MAX));
        }
    }
}

/// Whether a body is nothing but a `match` with short arms: such a function reads as a table.
fn is_flat_match(block: &syn::Block) -> bool {
    match block.stmts.as_slice() {
        [syn::Stmt::Expr(syn::Expr::Match(table), _)] => {
            table.arms.iter().all(|arm| lines_of(arm.span()) <= ARM_LINES_MAX)
        }
        _ => false,
    }
}

fn lines_of(span: proc_macro2::Span) -> usize {
    span.end().line - span.start().line + 1
}
