//! The body of a list: JSON is written while it is sent, other encodings at once.

use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use futures::stream;
use http_body::Frame;
use http_body_util::{BodyExt, StreamBody};
use jiff::Timestamp;
use kd_api::decode::Encoding;
use kd_api::protobuf::ListWriter;
use kd_api::table::IncludeObject;
use kd_api::{Kind, Status, table};
use kd_store::Entry;
use serde_json::{Value, json};

use super::entries::Entries;
use super::{Chunk, metadata};
use crate::answer::{self, Answer, BodyError, BoxError, GZIP_BYTES_MIN, Gzip};
use crate::negotiate::{Form, Wanted};
use crate::storage::{Objects, encode, item, named_item, partial};
use crate::verbs::VerbRequest;

/// The answer to a list.
pub(super) async fn answer(
    request: &VerbRequest,
    chunk: Chunk,
    wanted: Wanted,
) -> Result<Answer, Status> {
    if wanted.encoding == Encoding::Protobuf {
        return protobuf(request, chunk, wanted).await;
    }
    let mut body = Body::new(request, chunk, wanted.form)?;
    if wanted.encoding == Encoding::Yaml || wanted.pretty {
        let mut whole = BytesMut::new();
        while let Some(part) = body.next()? {
            whole.extend_from_slice(&part);
            tokio::task::yield_now().await;
        }
        return Ok(answer::encoded(200, whole.freeze(), wanted));
    }
    streamed(request, body, wanted)
}

/// Sent as it is written, unless it is short.
fn streamed(request: &VerbRequest, mut body: Body, wanted: Wanted) -> Result<Answer, Status> {
    let mut begin = BytesMut::new();
    while begin.len() < GZIP_BYTES_MIN {
        match body.next()? {
            Some(part) => begin.extend_from_slice(&part),
            None => return Ok(answer::bytes(200, wanted.content_type(), begin.freeze())),
        }
    }
    let mut empty = answer::bytes(200, wanted.content_type(), Bytes::new());
    let mut gzip = Gzip::for_client(&request.exchange.parts.headers, &mut empty);
    let mut begin = Some(begin.freeze());
    let mut next = move || -> Result<Option<Bytes>, BoxError> {
        loop {
            let part = match begin.take() {
                Some(begin) => Some(begin),
                None => body.next()?,
            };
            let Some(gzip) = &mut gzip else { return Ok(part) };
            match part {
                Some(part) => match gzip.write(&part)? {
                    compressed if compressed.is_empty() => {}
                    compressed => return Ok(Some(compressed)),
                },
                None => return gzip.finish().map_err(BoxError::from),
            }
        }
    };
    let parts = stream::iter(std::iter::from_fn(move || next().transpose()));
    let frames =
        futures::StreamExt::map(parts, |part| part.map(Frame::data).map_err(BodyError::from));
    Ok(empty.map(|_| StreamBody::new(frames).boxed_unsync()))
}

/// How the objects of a list are written.
enum Items {
    Whole,
    Metadata,
    Rows(IncludeObject, Timestamp),
}

/// A list as JSON, part by part.
struct Body {
    objects: Objects,
    kind: Arc<Kind>,
    entries: Entries,
    items: Items,
    /// What comes first, until it is written.
    head: Vec<u8>,
    is_first_item: bool,
    ended: bool,
}

impl Body {
    fn new(request: &VerbRequest, chunk: Chunk, form: Form) -> Result<Body, Status> {
        let kind = request.kind.clone();
        let objects = request.objects().clone();
        let metadata = metadata(&chunk);
        let head = |kind: &str, api_version: &str| {
            let text = format!(
                "{{\"kind\":{kind:?},\"apiVersion\":{api_version:?},\"metadata\":{metadata},\"items\":["
            );
            text.into_bytes()
        };
        let (items, head) = match form {
            Form::Object => (Items::Whole, head(&kind.list_kind, &kind.api_version())),
            Form::Metadata => {
                (Items::Metadata, head("PartialObjectMetadataList", "meta.k8s.io/v1"))
            }
            Form::Table(include) => {
                let now = (request.server().clock)();
                let empty = table::table(&kind, [], &metadata, include, true, now);
                (Items::Rows(include, now), opened(&empty, "rows")?)
            }
        };
        let entries = chunk.entries;
        Ok(Body { objects, kind, entries, items, head, is_first_item: true, ended: false })
    }

    /// The next bytes; `None` at the end.
    fn next(&mut self) -> Result<Option<Bytes>, Status> {
        while !self.ended {
            let mut out = std::mem::take(&mut self.head);
            match self.entries.batch(&self.objects, &self.kind)? {
                Some(batch) => self.write(&mut out, &batch)?,
                None => {
                    self.ended = true;
                    out.extend_from_slice(b"]}");
                }
            }
            if !out.is_empty() {
                return Ok(Some(out.into()));
            }
        }
        Ok(None)
    }

    fn write(&mut self, out: &mut Vec<u8>, batch: &[Entry]) -> Result<(), Status> {
        if let Items::Rows(include, now) = self.items {
            return self.rows(out, batch, include, now);
        }
        out.reserve(batch.iter().map(|entry| entry.value.len() + 48).sum());
        for entry in batch {
            self.separate(out);
            match self.items {
                Items::Metadata => partial(out, &entry.value, entry.revision),
                Items::Whole | Items::Rows(..) => self.whole(out, entry)?,
            }
        }
        Ok(())
    }

    fn whole(&self, out: &mut Vec<u8>, entry: &Entry) -> Result<(), Status> {
        // Upstream's server keeps custom resources as it got them, and clients rely on it: elements of
        // their lists say their kind, those of other lists do not.
        let append = if self.kind.custom.is_some() { named_item } else { item };
        match self.objects.is_shown_as_stored(&self.kind, &entry.value, entry.revision) {
            true => append(out, &entry.value, entry.revision),
            false => {
                let object = self.objects.decode(&self.kind, entry)?;
                append(out, &encode(&object), entry.revision);
            }
        }
        Ok(())
    }

    fn rows(
        &mut self,
        out: &mut Vec<u8>,
        batch: &[Entry],
        include: IncludeObject,
        now: Timestamp,
    ) -> Result<(), Status> {
        let decode = |entry| self.objects.decode(&self.kind, entry);
        let objects: Vec<Value> = batch.iter().map(decode).collect::<Result<_, _>>()?;
        let table = table::table(&self.kind, &objects, &json!({}), include, false, now);
        for row in table["rows"].as_array().into_iter().flatten() {
            self.separate(out);
            serde_json::to_writer(&mut *out, row).map_err(Status::internal)?;
        }
        Ok(())
    }

    fn separate(&mut self, out: &mut Vec<u8>) {
        if !std::mem::take(&mut self.is_first_item) {
            out.push(b',');
        }
    }
}

/// An object whose last field is an empty list, up to where its first element goes.
fn opened(object: &Value, field: &str) -> Result<Vec<u8>, Status> {
    let end = format!("\"{field}\":[]}}");
    let mut text = object.to_string();
    match text.ends_with(&end) {
        true => {
            text.truncate(text.len() - 2);
            Ok(text.into_bytes())
        }
        false => Err(Status::internal(format!("{field} must be an object's last field"))),
    }
}

/// The length of a protobuf list comes first, so that it is made whole.
async fn protobuf(
    request: &VerbRequest,
    mut chunk: Chunk,
    wanted: Wanted,
) -> Result<Answer, Status> {
    let (kind, objects) = (&request.kind, request.objects());
    let (api_version, list_kind) = match wanted.form {
        Form::Metadata => ("meta.k8s.io/v1".to_owned(), "PartialObjectMetadataList"),
        _ => (kind.api_version(), kind.list_kind.as_str()),
    };
    let metadata = metadata(&chunk);
    let Some(mut list) = ListWriter::new(&api_version, list_kind, &metadata) else {
        return Err(Status::internal(format!("{list_kind} has no protobuf form")));
    };
    while let Some(batch) = chunk.entries.batch(objects, kind)? {
        for entry in &batch {
            list.push(&objects.decode(kind, entry)?);
        }
        tokio::task::yield_now().await;
    }
    let body = Bytes::from(list.finish().concat());
    let empty = answer::bytes(200, wanted.content_type(), Bytes::new());
    Ok(answer::compressible(empty, body, &request.exchange.parts.headers))
}
