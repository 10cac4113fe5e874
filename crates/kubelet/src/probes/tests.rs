//! Questions over the network, asked of small servers on loopback.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::Container;
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

use crate::http::{Ask, from_action, get, is_success, port};

/// A server that answers by path; what it was asked is in the answer's body.
async fn server(answers: BTreeMap<&'static str, String>) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    env::Tasks::new().spawn("server", async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let mut request = vec![0; 4_096];
            let length = stream.read(&mut request).await.unwrap();
            let request = String::from_utf8_lossy(&request[..length]).into_owned();
            let path = request.split(' ').nth(1).unwrap_or_default();
            let answer = answers.get(path).cloned().unwrap_or_else(|| {
                format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{request}", request.len())
            });
            let _ = stream.write_all(answer.as_bytes()).await;
        }
    });
    port
}

fn ask(port: u16, path: &str) -> Ask {
    Ask {
        scheme: "http",
        host: "127.0.0.1".to_owned(),
        port,
        path: path.to_owned(),
        headers: vec![("X-Own".to_owned(), "1".to_owned()), ("Host".to_owned(), "other".to_owned())],
        agent: "kube-probe/1.36",
    }
}

#[tokio::test]
async fn answers_and_redirects_are_understood() {
    let answers = BTreeMap::from([
        ("/bad", "HTTP/1.1 500 No\r\nContent-Length: 0\r\n\r\n".to_owned()),
        ("/moved", "HTTP/1.1 302 Found\r\nLocation: /bad\r\nContent-Length: 0\r\n\r\n".to_owned()),
        (
            "/away",
            "HTTP/1.1 302 Found\r\nLocation: http://example.com/\r\nContent-Length: 4\r\n\r\ngone".to_owned(),
        ),
        ("/round", "HTTP/1.1 302 Found\r\nLocation: /round\r\nContent-Length: 0\r\n\r\n".to_owned()),
    ]);
    let port = server(answers).await;
    let good = get(&ask(port, "healthz?x=1")).await.unwrap();
    assert_eq!(good.status, 200);
    let lower = good.body.to_lowercase();
    for line in
        ["get /healthz?x=1 http/1.1", "host: other", "user-agent: kube-probe/1.36", "x-own: 1", "accept: */*"]
    {
        assert!(lower.contains(line), "{line}: {lower}");
    }
    assert_eq!(get(&ask(port, "/bad")).await.unwrap().status, 500);
    assert_eq!(get(&ask(port, "/moved")).await.unwrap().status, 500);
    let away = get(&ask(port, "/away")).await.unwrap();
    assert_eq!((away.elsewhere.as_deref(), away.body.as_str()), (Some("http://example.com/"), "gone"));
    assert!(get(&ask(port, "/round")).await.unwrap_err().contains("stopped after 10 redirects"));
}

#[tokio::test]
async fn nobody_there_is_said_as_go_says_it() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    drop(listener);
    assert_eq!(
        get(&ask(port, "/")).await.unwrap_err(),
        format!("Get \"http://127.0.0.1:{port}/\": dial tcp 127.0.0.1:{port}: connect: connection refused")
    );
}

#[test]
fn ports_are_found_by_number_and_by_name() {
    let container: Container =
        serde_json::from_value(json!({"name": "a", "ports": [{"name": "web", "containerPort": 8080}]}))
            .unwrap();
    for (given, wanted) in [
        (json!(80), Ok(80)),
        (json!("81"), Ok(81)),
        (json!("web"), Ok(8_080)),
        (json!("none"), Err("couldn't find port: none".to_owned())),
        (json!(70_000), Err("invalid port number: 70000".to_owned())),
        (json!(0), Err("invalid port number: 0".to_owned())),
    ] {
        assert_eq!(port(&serde_json::from_value(given.clone()).unwrap(), &container), wanted, "{given}");
    }
    let action = serde_json::from_value(json!({"port": "web", "scheme": "HTTPS", "path": "/x"})).unwrap();
    assert_eq!(from_action(&action, &container, "fd00::1", "x").unwrap().url(), "https://[fd00::1]:8080/x");
    assert!(is_success(200) && is_success(399) && !is_success(400) && !is_success(199));
}
