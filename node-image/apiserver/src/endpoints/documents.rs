//! Documents about the kinds: made once for each change of the kinds, not for each request; sent with
//! an ETag, so that clients which have one are told so.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use bytes::Bytes;
use http::HeaderValue;
use http::header::{CONTENT_ENCODING, ETAG, IF_NONE_MATCH, VARY};
use kd_api::Kinds;

use crate::answer::{self, Answer, GZIP_BYTES_MIN, Gzip};
use crate::pipeline::Exchange;

/// The documents of the kinds that are served now.
#[derive(Default)]
pub(crate) struct Documents {
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    kinds: Option<Kinds>,
    current: HashMap<String, Arc<Document>>,
    /// Of the kinds before: most documents are the same after a change.
    previous: HashMap<String, Arc<Document>>,
}

/// One document. Its bytes are made when they are first asked for.
pub(super) struct Document {
    /// The same as long as the content is.
    pub(super) tag: String,
    plain: OnceLock<Bytes>,
    packed: OnceLock<Option<Bytes>>,
}

impl Documents {
    /// The document of a name, which is a function of the kinds; `tag` tells its version.
    pub(super) fn get(
        &self,
        kinds: &Kinds,
        name: &str,
        tag: impl FnOnce() -> String,
    ) -> Arc<Document> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if state.kinds.as_ref().is_none_or(|known| !known.is_same(kinds)) {
            state.kinds = Some(kinds.clone());
            state.previous = std::mem::take(&mut state.current);
        }
        if let Some(known) = state.current.get(name) {
            return known.clone();
        }
        let tag = tag();
        let before = state.previous.get(name).filter(|before| before.tag == tag).cloned();
        let document = before.unwrap_or_else(|| {
            Arc::new(Document { tag, plain: OnceLock::new(), packed: OnceLock::new() })
        });
        state.current.insert(name.to_owned(), document.clone());
        document
    }
}

impl Documents {
    /// The document of a name whose content the tag tells all about.
    pub(super) fn latest(&self, name: &str, tag: String) -> Arc<Document> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = state.current.get(name).filter(|known| known.tag == tag) {
            return known.clone();
        }
        let before = state.previous.get(name).filter(|before| before.tag == tag).cloned();
        let document = before.unwrap_or_else(|| {
            Arc::new(Document { tag, plain: OnceLock::new(), packed: OnceLock::new() })
        });
        state.current.insert(name.to_owned(), document.clone());
        document
    }
}

impl Document {
    /// One that is not kept.
    pub(super) fn of(content: &[u8]) -> Document {
        let tag = content_tag(content);
        Document { tag, plain: OnceLock::new(), packed: OnceLock::new() }
    }

    /// 200 with the document, or 304 for a client that has it.
    pub(super) fn answer(
        &self,
        exchange: &Exchange,
        content_type: &'static str,
        make: impl Fn() -> Bytes,
    ) -> Answer {
        let tag = format!("\"{}\"", self.tag);
        let headers = &exchange.parts.headers;
        let known = headers.get(IF_NONE_MATCH).and_then(|value| value.to_str().ok()).unwrap_or("");
        let has = known.split(',').any(|known| known.trim().trim_start_matches("W/") == tag);
        let mut answer = match has {
            true => answer::bytes(304, content_type, ""),
            false => self.sent(exchange, content_type, make),
        };
        if let Ok(value) = HeaderValue::from_str(&tag) {
            answer.headers_mut().insert(ETAG, value);
        }
        answer.headers_mut().append(VARY, HeaderValue::from_static("Accept"));
        answer
    }

    fn sent(
        &self,
        exchange: &Exchange,
        content_type: &'static str,
        make: impl Fn() -> Bytes,
    ) -> Answer {
        let mut answer = answer::bytes(200, content_type, Bytes::new());
        let made = || self.plain.get().cloned().unwrap_or_else(&make);
        if Gzip::for_client(&exchange.parts.headers, &mut answer).is_some() {
            let packed = self.packed.get_or_init(|| {
                let plain = made();
                (plain.len() >= GZIP_BYTES_MIN).then(|| Gzip::whole(&plain)).flatten()
            });
            if let Some(packed) = packed {
                return answer.map(|_| answer::full(packed.clone()));
            }
            answer.headers_mut().remove(CONTENT_ENCODING);
        }
        let plain = self.plain.get_or_init(&make).clone();
        answer.map(|_| answer::full(plain))
    }
}

/// The tag of a document by its content.
pub(super) fn content_tag(content: &[u8]) -> String {
    let digest = ring::digest::digest(&ring::digest::SHA256, content);
    digest.as_ref().iter().map(|byte| format!("{byte:02X}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn documents_are_kept_until_their_tag_changes() {
        let documents = Documents::default();
        let get = |kinds: &Kinds, tag: &'static str| documents.get(kinds, "x", || tag.into());
        let kinds = Kinds::built_in();
        let first = get(&kinds, "1");
        assert!(Arc::ptr_eq(&first, &get(&kinds, "is not asked")));
        let others = kinds.with([]);
        assert!(Arc::ptr_eq(&first, &get(&others, "1")));
        assert_eq!(get(&Kinds::built_in(), "2").tag, "2");
    }
}
