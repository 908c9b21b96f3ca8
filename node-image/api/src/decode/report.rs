//! What decoding found wrong, and where: the place is a chain of references on the stack, so that a
//! path is written out only when something is wrong there.

use crate::schema::{NodeId, Schema};

/// Upstream reports no more of them.
const STRICT_ERRORS_MAX: usize = 100;

/// What was found.
#[derive(Debug, Default)]
pub(super) struct Report {
    /// Unknown and duplicate fields, each once.
    pub(super) strict: Vec<String>,
    /// The paths of unknown fields.
    pub(super) unknown: Vec<String>,
    /// The paths of unknown and duplicate fields.
    pub(super) paths: Vec<String>,
    /// How many duplicate fields may still come before reading ends with an error at the next.
    pub(super) duplicates_left: Option<usize>,
    /// The key at which reading ended so.
    pub(super) last_key: Option<String>,
    /// The first value of a wrong type.
    pub(super) wrong: Option<String>,
}

impl Report {
    pub(super) fn unknown(&mut self, here: &Here<'_>, field: &str) {
        let path = here.path_of(field);
        self.strict(format!("unknown field {path:?}"), &path);
        if self.unknown.len() < STRICT_ERRORS_MAX {
            self.unknown.push(path);
        }
    }

    pub(super) fn duplicate(&mut self, here: &Here<'_>, field: &str) {
        let path = here.path_of(field);
        self.strict(format!("duplicate field {path:?}"), &path);
    }

    fn strict(&mut self, text: String, path: &str) {
        if self.strict.len() < STRICT_ERRORS_MAX && !self.strict.contains(&text) {
            self.strict.push(text);
            self.paths.push(path.to_owned());
        }
    }

    /// A value (`string`, `number 1.5`) where another type belongs.
    pub(super) fn mismatch(&mut self, here: &Here<'_>, found: &str, schema: &Schema, node: NodeId) {
        if self.wrong.is_none() {
            let place = here.go_place();
            let expected = schema.go_type(node);
            self.wrong =
                Some(format!("json: cannot unmarshal {found} into Go {place} of type {expected}"));
        }
    }

    /// A value that its type's own decoder refuses.
    pub(super) fn wrong(&mut self, why: String) {
        self.wrong.get_or_insert(why);
    }
}

/// A place in an object.
#[derive(Clone, Copy)]
pub(super) struct Here<'p> {
    parent: Option<&'p Here<'p>>,
    step: Step<'p>,
}

#[derive(Clone, Copy)]
enum Step<'p> {
    Root,
    Field { owner: &'p str, name: &'p str },
    Key(&'p str),
    Index(usize),
}

impl<'p> Here<'p> {
    pub(super) const ROOT: Here<'static> = Here { parent: None, step: Step::Root };

    /// A field of the struct `owner` (its Go name) that is here.
    pub(super) fn field(&'p self, owner: &'p str, name: &'p str) -> Here<'p> {
        Here { parent: Some(self), step: Step::Field { owner, name } }
    }

    pub(super) fn key(&'p self, key: &'p str) -> Here<'p> {
        Here { parent: Some(self), step: Step::Key(key) }
    }

    pub(super) fn index(&'p self, index: usize) -> Here<'p> {
        Here { parent: Some(self), step: Step::Index(index) }
    }

    fn path_of(&self, field: &str) -> String {
        let mut path = self.path();
        if !path.is_empty() {
            path.push('.');
        }
        path + field
    }

    /// `spec.containers[0].name`
    fn path(&self) -> String {
        let mut path = self.parent.map(Here::path).unwrap_or_default();
        match self.step {
            Step::Root => {}
            Step::Index(index) => path.push_str(&format!("[{index}]")),
            Step::Key(name) | Step::Field { name, .. } => {
                if !path.is_empty() {
                    path.push('.');
                }
                path.push_str(name);
            }
        }
        path
    }

    /// `struct field PodSpec.spec.containers`, as Go words it: struct fields only.
    fn go_place(&self) -> String {
        let mut names = Vec::new();
        let mut owner = None;
        let mut here = Some(self);
        while let Some(place) = here {
            if let Step::Field { owner: of, name } = place.step {
                owner.get_or_insert(of);
                names.push(name);
            }
            here = place.parent;
        }
        names.reverse();
        match owner {
            Some(owner) => format!("struct field {owner}.{}", names.join(".")),
            None => "value".into(),
        }
    }
}
