//! Two sessions that talk to each other, and one that is talked nonsense to.

use tokio::io::DuplexStream;

use super::*;

/// Runs both ends of a connection, and what is to be seen between them.
async fn between<T>(talk: impl AsyncFnOnce(Session, Session) -> T) -> T {
    let (ours, theirs) = tokio::io::duplex(1_000);
    let (client, client_work) = Session::start(ours, Side::Client);
    let (server, server_work) = Session::start(theirs, Side::Server);
    let work = async { tokio::join!(client_work, server_work) };
    let (seen, ended) = tokio::join!(talk(client, server), work);
    assert!(ended.0.is_ok() && ended.1.is_ok(), "{ended:?}");
    seen
}

async fn all(reader: &mut Reader) -> Vec<u8> {
    let mut bytes = Vec::new();
    while let Some(piece) = reader.next().await {
        bytes.extend_from_slice(&piece);
    }
    bytes
}

#[tokio::test]
async fn bytes_go_both_ways_and_ends_are_seen() {
    between(async |client: Session, mut server: Session| {
        let mut question = client.open(Headers::new([("streamType", "data"), ("port", "80")])).await.unwrap();
        let offer = server.offered().await.unwrap();
        assert_eq!((offer.number(), offer.headers().get("port")), (1, "80"));
        let mut answer = offer.accept().await;
        let large = vec![7; 300_000];
        let ask = async {
            assert!(question.writer.send(&large).await && question.writer.finish().await);
            all(&mut question.reader).await
        };
        let reply = async {
            let heard = all(&mut answer.reader).await;
            assert!(answer.reader.finished());
            assert!(answer.writer.send(&heard).await && answer.writer.finish().await);
        };
        let (echo, ()) = tokio::join!(ask, reply);
        assert_eq!(echo, large);
    })
    .await;
}

#[tokio::test]
async fn streams_do_not_mix() {
    between(async |client: Session, mut server: Session| {
        let mut streams = Vec::new();
        for number in 0..20_u8 {
            let ours = client.open(Headers::new([("n", number.to_string().as_str())])).await.unwrap();
            let theirs = server.offered().await.unwrap().accept().await;
            assert_eq!(theirs.headers.get("n"), number.to_string());
            streams.push((number, ours, theirs));
        }
        for (number, ours, _) in &streams {
            assert!(ours.writer.send(&[*number; 3]).await && ours.writer.finish().await);
        }
        for (number, _, theirs) in streams.iter_mut().rev() {
            assert_eq!(all(&mut theirs.reader).await, [*number; 3]);
        }
    })
    .await;
}

#[tokio::test]
async fn a_stream_that_is_refused_or_broken_off_is_not_finished() {
    between(async |client: Session, mut server: Session| {
        let mut refused = client.open(Headers::default()).await.unwrap();
        server.offered().await.unwrap().refuse().await;
        assert_eq!(refused.reader.next().await, None);
        assert!(!refused.reader.finished());
        let ours = client.open(Headers::default()).await.unwrap();
        let mut theirs = server.offered().await.unwrap().accept().await;
        assert!(ours.writer.send(b"half").await);
        ours.writer.reset().await;
        assert_eq!(all(&mut theirs.reader).await, b"half");
        assert!(!theirs.reader.finished());
        // The connection lives on.
        client.open(Headers::default()).await.unwrap();
        assert!(server.offered().await.is_some());
    })
    .await;
}

#[tokio::test]
async fn what_was_sent_before_the_end_arrives() {
    between(async |mut client: Session, mut server: Session| {
        let mut ours = client.open(Headers::default()).await.unwrap();
        let theirs = server.offered().await.unwrap().accept().await;
        let serve = async {
            assert!(theirs.writer.send(&[1; 50_000]).await && theirs.writer.finish().await);
            server.close().await;
            assert!(server.offered().await.is_none(), "the client hangs up");
        };
        let read = async {
            assert_eq!(all(&mut ours.reader).await.len(), 50_000);
            assert!(client.offered().await.is_none(), "the server has closed");
            drop(client);
        };
        tokio::join!(serve, read);
    })
    .await;
}

/// A server that is sent these bytes: what it answers until it has nothing more to say, and how it ends.
async fn send_to_server(bytes: &[u8]) -> (Vec<Frame>, Result<(), SessionError>) {
    let (mut ours, theirs): (DuplexStream, DuplexStream) = tokio::io::duplex(1 << 20);
    let (session, work) = Session::start(theirs, Side::Server);
    let talk = async {
        ours.write_all(bytes).await.unwrap();
        ours.shutdown().await.unwrap();
        let mut answer = Vec::new();
        ours.read_to_end(&mut answer).await.unwrap();
        let (mut decoder, mut answer) = (Decoder::default(), BytesMut::from(answer.as_slice()));
        let mut frames = Vec::new();
        while let Some(frame) = decoder.decode(&mut answer).unwrap() {
            frames.push(frame);
        }
        frames
    };
    let (frames, result) = tokio::join!(talk, work);
    drop(session);
    (frames, result)
}

#[tokio::test]
async fn pings_of_the_other_side_are_answered_and_no_others() {
    let (mut encoder, mut bytes) = (Encoder::default(), BytesMut::new());
    for number in [1, 2, 3] {
        encoder.encode(&Frame::Ping(number), &mut bytes);
    }
    // Something that is answered at the end, so that the answers before it have been sent.
    let (ours, theirs) = tokio::io::duplex(1 << 16);
    let (_session, work) = Session::start(theirs, Side::Server);
    let (mut read, mut write) = tokio::io::split(ours);
    let talk = async {
        write.write_all(&bytes).await.unwrap();
        let (mut decoder, mut answer, mut frames) = (Decoder::default(), BytesMut::new(), Vec::new());
        while frames.len() < 2 {
            read.read_buf(&mut answer).await.unwrap();
            while let Some(frame) = decoder.decode(&mut answer).unwrap() {
                frames.push(frame);
            }
        }
        assert_eq!(frames, [Frame::Ping(1), Frame::Ping(3)]);
    };
    tokio::select! {
        biased;
        result = work => panic!("it ended: {result:?}"),
        () = talk => {}
    }
}

#[tokio::test]
async fn nonsense_ends_the_connection_without_harm() {
    let (_, result) = send_to_server(&[0x80, 2, 0, 1, 0, 0, 0, 0]).await;
    assert!(matches!(result, Err(SessionError::Frame(FrameError::Version(2)))), "{result:?}");
    // Data of a stream that was never opened, then silence.
    let (frames, result) = send_to_server(&[0, 0, 0, 9, 0, 0, 0, 2, 1, 2]).await;
    assert!(frames.is_empty() && result.is_ok(), "{frames:?} {result:?}");
}

#[tokio::test]
async fn streams_with_wrong_numbers_are_refused() {
    let (mut encoder, mut bytes) = (Encoder::default(), BytesMut::new());
    let open = |stream| Frame::Open { stream, headers: Headers::default(), fin: false };
    for stream in [3, 3, 1, 2] {
        encoder.encode(&open(stream), &mut bytes);
    }
    let (ours, theirs) = tokio::io::duplex(1 << 16);
    let (mut session, work) = Session::start(theirs, Side::Server);
    let (mut read, mut write) = tokio::io::split(ours);
    let talk = async {
        write.write_all(&bytes).await.unwrap();
        assert_eq!(session.offered().await.unwrap().number(), 3);
        let (mut decoder, mut answer, mut refused) = (Decoder::default(), BytesMut::new(), Vec::new());
        while refused.len() < 3 {
            read.read_buf(&mut answer).await.unwrap();
            while let Some(frame) = decoder.decode(&mut answer).unwrap() {
                refused.push(frame);
            }
        }
        assert_eq!(refused, [3, 1, 2].map(|stream| Frame::Reset { stream, status: PROTOCOL_ERROR }));
    };
    tokio::select! {
        biased;
        result = work => panic!("it ended: {result:?}"),
        () = talk => {}
    }
}
