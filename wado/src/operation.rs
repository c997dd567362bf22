//! What a method of a resource takes and gives, as data: the routes of the API, the document that describes them
//! (OpenAPI) and the capabilities of DICOMweb (PS3.18 §8.9) are made from the same tables.

/// One method of a resource.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Operation {
    /// `GET`, `POST` …
    pub(crate) method: &'static str,
    /// Its name, of its own among all.
    pub(crate) id: &'static str,
    pub(crate) summary: &'static str,
    /// Of the query and the head. Those of the path follow from the path.
    pub(crate) parameters: &'static [Parameter],
    /// What a request may hold; nothing without.
    pub(crate) body: &'static [Media],
    /// What it answers when all is well. Everything else is a [`crate::error::Problem`].
    pub(crate) answers: &'static [Answer],
}

/// An answer when all is well.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    /// In the order of preference; none when there is no body.
    pub(crate) media: &'static [Media],
}

/// A media type and what it holds.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Media {
    pub(crate) name: &'static str,
    pub(crate) schema: Schema,
}

/// What a body is.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Schema {
    /// Whatever the media type says.
    Opaque,
    /// One of the schemas with a name.
    One(&'static str),
    /// A list of these.
    Many(&'static str),
}

/// Where a parameter stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Place {
    Query,
    Head,
}

#[derive(Debug, Clone, Copy)]
pub(crate) struct Parameter {
    pub(crate) place: Place,
    pub(crate) name: &'static str,
    pub(crate) kind: Kind,
    pub(crate) is_required: bool,
    pub(crate) about: &'static str,
}

/// What values a parameter has.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Kind {
    Text,
    /// A UID (PS3.5 §9.1).
    Uid,
    /// UIDs; the parameter stands once for each.
    Uids,
    /// Not negative.
    Number,
    /// `true` or `false`.
    Flag,
    OneOf(&'static [&'static str]),
}

impl Operation {
    pub(crate) const fn get(id: &'static str, summary: &'static str, answers: &'static [Answer]) -> Self {
        Self::of("GET", id, summary, answers)
    }

    pub(crate) const fn of(
        method: &'static str,
        id: &'static str,
        summary: &'static str,
        answers: &'static [Answer],
    ) -> Self {
        Self { method, id, summary, parameters: &[], body: &[], answers }
    }

    pub(crate) const fn with(self, parameters: &'static [Parameter]) -> Self {
        Self { parameters, ..self }
    }

    /// Its name at one of the paths that it is at: no two of a document are the same.
    pub(crate) fn name_at(&self, path: &str) -> String {
        let place: String = variables(path).map(|name| format!("-{name}")).collect();
        format!("{}{place}", self.id)
    }

    pub(crate) const fn taking(self, body: &'static [Media]) -> Self {
        Self { body, ..self }
    }
}

impl Answer {
    pub(crate) const fn new(status: u16, media: &'static [Media]) -> Self {
        Self { status, media }
    }
}

impl Media {
    pub(crate) const fn new(name: &'static str, schema: Schema) -> Self {
        Self { name, schema }
    }
}

impl Parameter {
    pub(crate) const fn query(name: &'static str, kind: Kind, about: &'static str) -> Self {
        Self { place: Place::Query, name, kind, is_required: false, about }
    }

    pub(crate) const fn head(name: &'static str, kind: Kind, about: &'static str) -> Self {
        Self { place: Place::Head, name, kind, is_required: false, about }
    }

    pub(crate) const fn required(self) -> Self {
        Self { is_required: true, ..self }
    }
}

/// Lists of parameters one behind the other, `N` in all.
pub(crate) const fn joined<const N: usize>(mut lists: &[&[Parameter]]) -> [Parameter; N] {
    let mut all = [Parameter::query("", Kind::Text, ""); N];
    let (mut free, mut count): (&mut [Parameter], usize) = (&mut all, 0);
    while let [list, others @ ..] = lists {
        let mut list: &[Parameter] = list;
        while let [parameter, rest @ ..] = list {
            if let [place, behind @ ..] = free {
                *place = *parameter;
                free = behind;
            }
            (list, count) = (rest, count + 1);
        }
        lists = others;
    }
    assert!(count == N, "N is not how many there are");
    all
}

/// The variables of a path template: `{study}`.
pub(crate) fn variables(path: &str) -> impl Iterator<Item = &str> {
    path.split('{').skip(1).filter_map(|rest| rest.split('}').next())
}

/// What values a variable of a path has.
pub(crate) fn kind_of(variable: &str) -> Kind {
    if matches!(variable, "study" | "series" | "instance" | "workitem") { Kind::Uid } else { Kind::Text }
}
