//! SPDY/3 header blocks: zlib with a preset dictionary, one compression state for the whole
//! connection and direction (SPDY protocol draft 3.1, section 2.6.10).

use std::collections::HashMap;
use std::io;

use flate2::{Compress, Compression, Decompress, FlushCompress, FlushDecompress, Status};

/// A header block may not expand to more.
const BLOCK_BYTES_MAX: usize = 64 << 10;
/// Words that the dictionary holds with their lengths, in the order that the protocol fixes.
const DICTIONARY_WORDS: &str = "options head post put delete trace accept accept-charset \
    accept-encoding accept-language accept-ranges age allow authorization cache-control connection \
    content-base content-encoding content-language content-length content-location content-md5 \
    content-range content-type date etag expect expires from host if-match if-modified-since \
    if-none-match if-range if-unmodified-since last-modified location max-forwards pragma \
    proxy-authenticate proxy-authorization range referer retry-after server te trailer \
    transfer-encoding upgrade user-agent vary via warning www-authenticate method get status \
    200_OK version HTTP/1.1 url public set-cookie keep-alive origin";
/// The rest of it, which has no lengths.
const DICTIONARY_TEXT: &str = "1001012012022052063003023033043053063074024054064074084094104114124\
    13414415416417502504505203 Non-Authoritative Information204 No Content301 Moved Permanently400 \
    Bad Request401 Unauthorized403 Forbidden404 Not Found500 Internal Server Error501 Not \
    Implemented503 Service UnavailableJan Feb Mar Apr May Jun Jul Aug Sept Oct Nov Dec 00:00:00 \
    Mon, Tue, Wed, Thu, Fri, Sat, Sun, GMTchunked,text/html,image/png,image/jpg,image/gif,\
    application/xml,application/xhtml+xml,text/plain,text/javascript,publicprivatemax-age=gzip,\
    deflate,sdchcharset=utf-8charset=iso-8859-1,utf-,*,enq=0.";

fn dictionary() -> Vec<u8> {
    let mut bytes = Vec::new();
    for word in DICTIONARY_WORDS.split_whitespace() {
        push_string(&mut bytes, &word.replace('_', " "));
    }
    bytes.extend_from_slice(DICTIONARY_TEXT.as_bytes());
    bytes
}

fn push_string(block: &mut Vec<u8>, text: &str) {
    block.extend_from_slice(&(text.len() as u32).to_be_bytes());
    block.extend_from_slice(text.as_bytes());
}

/// Reads the header blocks of one direction.
pub(super) struct HeaderReader {
    zlib: Decompress,
    dictionary: Vec<u8>,
}

impl HeaderReader {
    pub(super) fn new() -> HeaderReader {
        HeaderReader { zlib: Decompress::new(true), dictionary: dictionary() }
    }

    /// Undoes one block. Every block of the connection must pass through here, in order.
    pub(super) fn read(&mut self, block: &[u8]) -> io::Result<HashMap<String, String>> {
        parse(&self.inflate(block)?)
    }

    fn inflate(&mut self, block: &[u8]) -> io::Result<Vec<u8>> {
        let start = self.zlib.total_in();
        let mut plain = Vec::with_capacity(1024);
        loop {
            let used = (self.zlib.total_in() - start) as usize;
            if plain.len() == plain.capacity() {
                if plain.len() >= BLOCK_BYTES_MAX {
                    return Err(bad("a header block is too large"));
                }
                plain.reserve(plain.len());
            }
            let before = plain.len();
            match self.zlib.decompress_vec(&block[used..], &mut plain, FlushDecompress::Sync) {
                Ok(Status::StreamEnd) => return Ok(plain),
                Ok(_) => {
                    let all_used = (self.zlib.total_in() - start) as usize == block.len();
                    if all_used && plain.len() < plain.capacity() {
                        return Ok(plain);
                    }
                    if !all_used && plain.len() == before && plain.len() < plain.capacity() {
                        return Err(bad("a header block does not decompress"));
                    }
                }
                Err(error) if error.needs_dictionary().is_some() => {
                    let set = self.zlib.set_dictionary(&self.dictionary);
                    set.map_err(|_| bad("a header block wants another dictionary"))?;
                }
                Err(error) => return Err(bad(&error.to_string())),
            }
        }
    }
}

/// Writes the header blocks of one direction.
pub(super) struct HeaderWriter(Compress);

impl HeaderWriter {
    pub(super) fn new() -> io::Result<HeaderWriter> {
        let mut zlib = Compress::new(Compression::fast(), true);
        zlib.set_dictionary(&dictionary()).map_err(|error| bad(&error.to_string()))?;
        Ok(HeaderWriter(zlib))
    }

    /// One block without headers: all that a server answers with here.
    pub(super) fn empty(&mut self) -> io::Result<Vec<u8>> {
        let mut block = Vec::with_capacity(64);
        let count = 0u32.to_be_bytes();
        let done = self.0.compress_vec(&count, &mut block, FlushCompress::Sync);
        done.map_err(|error| bad(&error.to_string()))?;
        Ok(block)
    }
}

fn parse(mut block: &[u8]) -> io::Result<HashMap<String, String>> {
    let count = take_u32(&mut block)?;
    let mut headers = HashMap::new();
    for _ in 0..count {
        let name = take_string(&mut block)?.to_lowercase();
        headers.insert(name, take_string(&mut block)?);
    }
    Ok(headers)
}

fn take_u32(block: &mut &[u8]) -> io::Result<u32> {
    let (first, rest) = block.split_first_chunk::<4>().ok_or_else(|| bad("short header block"))?;
    *block = rest;
    Ok(u32::from_be_bytes(*first))
}

fn take_string(block: &mut &[u8]) -> io::Result<String> {
    let length = take_u32(block)? as usize;
    let (text, rest) =
        block.split_at_checked(length).ok_or_else(|| bad("a header is longer than its block"))?;
    *block = rest;
    Ok(String::from_utf8_lossy(text).into_owned())
}

pub(super) fn bad(reason: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, reason.to_owned())
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// A client's side of the compression.
    pub(in super::super) struct Client(Compress);

    impl Client {
        pub(in super::super) fn new() -> Client {
            let mut zlib = Compress::new(Compression::default(), true);
            zlib.set_dictionary(&dictionary()).unwrap();
            Client(zlib)
        }

        pub(in super::super) fn block(&mut self, headers: &[(&str, &str)]) -> Vec<u8> {
            let mut plain = (headers.len() as u32).to_be_bytes().to_vec();
            for (name, value) in headers {
                push_string(&mut plain, name);
                push_string(&mut plain, value);
            }
            let mut block = Vec::with_capacity(plain.len() + 1024);
            self.0.compress_vec(&plain, &mut block, FlushCompress::Sync).unwrap();
            block
        }
    }

    #[test]
    fn the_dictionary_has_the_protocols_length() {
        assert_eq!(dictionary().len(), 1423);
    }

    #[test]
    fn blocks_share_one_state() {
        let (mut client, mut reader) = (Client::new(), HeaderReader::new());
        for port in ["80", "8080"] {
            let block = client.block(&[("streamType", "data"), ("port", port)]);
            let headers = reader.read(&block).unwrap();
            assert_eq!(headers["streamtype"], "data");
            assert_eq!(headers["port"], port);
        }
    }

    #[test]
    fn large_blocks_grow_and_bombs_do_not() {
        let value = "x".repeat(20_000);
        let mut reader = HeaderReader::new();
        let block = Client::new().block(&[("a", &value)]);
        assert_eq!(reader.read(&block).unwrap()["a"].len(), 20_000);
        let bomb = "x".repeat(10 << 20);
        let block = Client::new().block(&[("a", &bomb)]);
        assert!(HeaderReader::new().read(&block).is_err());
    }

    #[test]
    fn damage_is_an_error() {
        assert!(HeaderReader::new().read(b"no zlib").is_err());
        assert!(parse(&[0, 0, 0, 1, 0, 0, 0, 9, b'x']).is_err());
        assert!(parse(&[0, 0]).is_err());
    }
}
