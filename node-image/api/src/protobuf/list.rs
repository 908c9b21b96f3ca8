//! Lists, written item by item: the objects need not be there all at once.

use serde_json::Value;

use super::{TAIL, encode, head, schema_of};
use crate::schema::{Form, NodeId, SchemaRef};
use crate::wire::Message;

/// The numbers that all lists have for their metadata and for their items.
const METADATA: u32 = 1;
const ITEMS: u32 = 2;

/// Writes one list.
pub struct ListWriter {
    api_version: String,
    kind: String,
    schema: SchemaRef<'static>,
    item: NodeId,
    message: Message,
}

impl ListWriter {
    /// Begins a list of a kind (`PodList`) with its metadata; `None` when the kind is no list or has
    /// no protobuf form.
    pub fn new(api_version: &str, kind: &str, metadata: &Value) -> Option<ListWriter> {
        let schema = schema_of(api_version, kind)?;
        let place = schema.property("metadata")?;
        let Form::List(item) = schema.schema().node(schema.property("items")?.node_id()).form
        else {
            return None;
        };
        let mut message = Message::default();
        encode::put(&mut message, METADATA, schema.schema(), place.node_id(), metadata);
        let (api_version, kind) = (api_version.to_owned(), kind.to_owned());
        Some(ListWriter { api_version, kind, schema, item, message })
    }

    /// Adds an object.
    pub fn push(&mut self, item: &Value) {
        encode::put(&mut self.message, ITEMS, self.schema.schema(), self.item, item);
    }

    /// The list in its envelope, in parts that follow each other.
    pub fn finish(self) -> [Vec<u8>; 3] {
        let items = self.message.finish();
        [head(&self.api_version, &self.kind, items.len()), items, TAIL.to_vec()]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Kinds;
    use crate::protobuf::{decode, has_form};
    use crate::schema::Wire;
    use serde_json::json;

    #[test]
    fn as_in_one_piece() {
        let metadata = json!({"resourceVersion": "7"});
        let items = [json!({"metadata": {"name": "a"}}), json!({"metadata": {"name": "b"}})];
        let mut writer = ListWriter::new("v1", "PodList", &metadata).unwrap();
        items.iter().for_each(|item| writer.push(item));
        let list =
            json!({"apiVersion": "v1", "kind": "PodList", "metadata": metadata, "items": items});
        let written = writer.finish().concat();
        assert_eq!(written, encode(&list).unwrap());
        assert_eq!(decode(&written, ("", "")).unwrap()["items"][1]["metadata"]["name"], "b");
        assert!(ListWriter::new("v1", "Pod", &metadata).is_none());
        assert!(ListWriter::new("apps.example.com/v1", "DeploymentList", &metadata).is_none());
    }

    #[test]
    fn all_lists_have_the_same_numbers() {
        for kind in Kinds::known().iter().filter(|kind| kind.is_stored()) {
            if !has_form(&kind.group, &kind.version, &kind.list_kind) {
                continue;
            }
            let place = schema_of(&kind.api_version(), &kind.list_kind).unwrap();
            let Form::Struct(index) = place.schema().node(place.node_id()).form else {
                panic!("{}", kind.list_kind)
            };
            let structure = place.schema().structure(index);
            for (number, name) in [(METADATA, "metadata"), (ITEMS, "items")] {
                let Some(Wire::Field(position)) = structure.wire(number) else {
                    panic!("{}", kind.list_kind)
                };
                assert_eq!(&*structure.fields[usize::from(position)].name, name);
            }
        }
    }
}
