//! Two connections made one.

use std::io;

use tokio::net::TcpStream;
use tokio::net::tcp::{ReadHalf, WriteHalf};

/// What ended a direction.
enum Ended {
    /// The sender has said everything, or the receiver takes no more.
    Quietly,
    /// The sender is gone.
    Broken,
}

/// Moves bytes both ways until both sides have said everything, or one is gone. The end of one
/// direction is passed on; a side that takes no more may still send.
pub async fn join(mut one: TcpStream, mut other: TcpStream) {
    let (from_one, to_one) = one.split();
    let (from_other, to_other) = other.split();
    let there = one_way(from_one, to_other);
    let back = one_way(from_other, to_one);
    tokio::pin!(there, back);
    // A side that is gone hears no answer.
    tokio::select! {
        ended = &mut there => if let Ended::Quietly = ended { back.await; },
        ended = &mut back => if let Ended::Quietly = ended { there.await; },
    }
}

async fn one_way(mut from: ReadHalf<'_>, mut to: WriteHalf<'_>) -> Ended {
    #[cfg(target_os = "linux")]
    let ended = match crate::pipe::Pipe::new() {
        Ok(mut pipe) => spliced(&mut pipe, &mut from, &mut to).await,
        // Out of file descriptors: a copy needs none.
        Err(_) => copied(&mut from, &mut to).await,
    };
    #[cfg(not(target_os = "linux"))]
    let ended = copied(&mut from, &mut to).await;
    if let Ended::Quietly = ended {
        use tokio::io::AsyncWriteExt;
        // The receiver may be gone: then there is nothing to tell it.
        let _ = to.shutdown().await;
    }
    ended
}

#[cfg(target_os = "linux")]
async fn spliced(
    pipe: &mut crate::pipe::Pipe,
    from: &mut ReadHalf<'_>,
    to: &mut WriteHalf<'_>,
) -> Ended {
    loop {
        match pipe.fill(from.as_ref()).await {
            Ok(0) => return Ended::Quietly,
            Ok(_) => {}
            // Not every socket of every kernel can; nothing has been taken from this one.
            Err(error) if error.kind() == io::ErrorKind::InvalidInput => {
                return copied(from, to).await;
            }
            Err(_) => return Ended::Broken,
        }
        if pipe.drain(to.as_ref()).await.is_err() {
            return Ended::Quietly;
        }
    }
}

/// Copied at once.
const COPY_BYTES: usize = 64 << 10;

async fn copied(from: &mut ReadHalf<'_>, to: &mut WriteHalf<'_>) -> Ended {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let mut buffer = vec![0; COPY_BYTES];
    loop {
        match from.read(&mut buffer).await {
            Ok(0) => return Ended::Quietly,
            Ok(read) if to.write_all(&buffer[..read]).await.is_err() => return Ended::Quietly,
            Ok(_) => {}
            Err(_) => return Ended::Broken,
        }
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpListener;
    use tokio::task::JoinHandle;

    use super::*;

    async fn pair() -> (TcpStream, TcpStream) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (connected, accepted) = tokio::join!(TcpStream::connect(address), listener.accept());
        (connected.unwrap(), accepted.unwrap().0)
    }

    /// Both ends of a joined connection.
    async fn start() -> (TcpStream, TcpStream, JoinHandle<()>) {
        let (client, one) = pair().await;
        let (server, other) = pair().await;
        (client, server, tokio::spawn(join(one, other)))
    }

    /// Bytes that are not the same everywhere.
    fn pattern(length: usize) -> Vec<u8> {
        (0..length).map(|index| (index * 31 / 7) as u8).collect()
    }

    #[tokio::test]
    async fn much_goes_both_ways_at_once() {
        let (client, server, task) = start().await;
        let (length, both) = (5_000_001, [client, server]);
        let ends = both.map(|end| {
            tokio::spawn(async move {
                let (mut reader, mut writer) = end.into_split();
                let writing = tokio::spawn(async move {
                    writer.write_all(&pattern(length)).await.unwrap();
                    writer.shutdown().await.unwrap();
                });
                let mut read = Vec::new();
                reader.read_to_end(&mut read).await.unwrap();
                writing.await.unwrap();
                assert!(read == pattern(length), "{} bytes came", read.len());
            })
        });
        for end in ends {
            end.await.unwrap();
        }
        task.await.unwrap();
    }

    #[tokio::test]
    async fn small_messages_pass_at_once() {
        let (mut client, mut server, _task) = start().await;
        for _ in 0..100 {
            client.write_all(b"question").await.unwrap();
            let mut heard = [0; 8];
            server.read_exact(&mut heard).await.unwrap();
            server.write_all(&heard).await.unwrap();
            client.read_exact(&mut heard).await.unwrap();
            assert_eq!(&heard, b"question");
        }
    }

    #[tokio::test]
    async fn a_side_that_has_said_everything_still_hears() {
        let (mut client, mut server, task) = start().await;
        client.write_all(b"last words").await.unwrap();
        client.shutdown().await.unwrap();
        let mut heard = String::new();
        server.read_to_string(&mut heard).await.unwrap();
        assert_eq!(heard, "last words");
        server.write_all(b"the answer").await.unwrap();
        drop(server);
        heard.clear();
        client.read_to_string(&mut heard).await.unwrap();
        assert_eq!(heard, "the answer");
        task.await.unwrap();
    }

    #[tokio::test]
    async fn one_that_is_gone_ends_it_for_the_other() {
        let (client, mut server, task) = start().await;
        client.set_zero_linger().unwrap();
        drop(client);
        assert_eq!(server.read(&mut [0; 1]).await.unwrap(), 0);
        task.await.unwrap();
    }
}
