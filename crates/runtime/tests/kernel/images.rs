//! Images: taken in, listed, mounted, written, removed; and the one that is built in.

use cri::{ContainerConfig, Mount, Runtime, RuntimeError};

use crate::harness::*;

fn layer(entries: &[(&str, &str)]) -> Vec<u8> {
    let mut tar = tar::Builder::new(Vec::new());
    for (path, content) in entries {
        let mut header = tar::Header::new_gnu();
        header.set_mode(0o644);
        header.set_size(content.len() as u64);
        tar.append_data(&mut header, path, content.as_bytes()).unwrap();
    }
    tar.into_inner().unwrap()
}

#[test]
fn an_image_is_listed_by_all_its_names() {
    on_a_node(async |node| {
        let engine = node.engine();
        let image = engine.image(IMAGE.into()).await.unwrap().unwrap();
        assert_eq!(image.tags, [IMAGE]);
        assert_eq!((image.uid, image.username.as_str(), image.pinned), (Some(0), "", false));
        assert!(image.size > 1 << 20);
        assert_eq!(engine.image(image.id.clone()).await.unwrap().as_ref(), Some(&image));
        assert_eq!(engine.image("test.local/none".into()).await.unwrap(), None);
        assert!(matches!(engine.image("Not A Name".into()).await, Err(RuntimeError::Invalid(_))));
        assert!(engine.image_usage().await.unwrap() >= image.size);
        let sandbox = node.sandbox("web").await;
        let id = node.run(&sandbox, shell("sleep 1000")).await;
        assert_eq!(node.container(&id).await.image_id, image.id);
        let used = engine.remove_image(IMAGE.into()).await.unwrap_err();
        assert_eq!(used, RuntimeError::Image(format!("cannot remove image {IMAGE}: a container uses it")));
        engine.remove_container(id).await.unwrap();
        engine.remove_image(IMAGE.into()).await.unwrap();
        engine.remove_image(IMAGE.into()).await.unwrap();
        assert_eq!(engine.image(IMAGE.into()).await.unwrap(), None);
        assert_eq!(std::fs::read_dir(node.root.join("images/blobs")).unwrap().count(), 0);
        node
    });
}

#[test]
fn layers_lie_on_each_other() {
    on_a_node(async |node| {
        let second = layer(&[("etc/.wh.group", ""), ("data/a", "one\n"), ("data/b", "two\n")]);
        let third = layer(&[("data/.wh..wh..opq", ""), ("data/c", "three\n"), ("tmp/x", "")]);
        let archive = node.root.join("layered.tar");
        std::fs::write(&archive, docker_archive("test.local/layered:1", &[busybox_layer(), second, third]))
            .unwrap();
        assert_eq!(node.engine().import_archive(archive).await.unwrap(), ["test.local/layered:1"]);
        let sandbox = node.sandbox("web").await;
        let script = "ls /data; cat /data/c; ls /etc; stat -c %a /tmp";
        let with = |config: &mut ContainerConfig| config.image = "test.local/layered:1".into();
        assert_eq!(node.script_with(&sandbox, script, with).await.1, "c\nthree\npasswd\n1777\n");
        let volume = |config: &mut ContainerConfig| {
            config.mounts = ["", "data"]
                .map(|path| Mount {
                    image: "test.local/layered:1".into(),
                    image_sub_path: path.into(),
                    container_path: format!("/image{path}"),
                    ..Mount::default()
                })
                .to_vec();
        };
        let script = "ls /image/data /imagedata; touch /image/x 2>/dev/null || echo readonly";
        assert_eq!(
            node.script_with(&sandbox, script, volume).await.1,
            "/image/data:\nc\n\n/imagedata:\nc\nreadonly\n"
        );
        node
    });
}

#[test]
fn what_is_written_can_be_taken_in_again() {
    on_a_node(async |mut node| {
        let archive = node.root.join("out.tar");
        let before = node.engine().image(IMAGE.into()).await.unwrap().unwrap();
        node.engine().export_archive(IMAGE.into(), archive.clone()).await.unwrap();
        node.engine().remove_image(before.id.clone()).await.unwrap();
        node.restart().await;
        assert_eq!(node.engine().image(IMAGE.into()).await.unwrap(), None);
        assert_eq!(node.engine().import_archive(archive.clone()).await.unwrap(), [IMAGE]);
        assert_eq!(node.engine().image(IMAGE.into()).await.unwrap().unwrap().id, before.id);
        let names = std::process::Command::new("tar").arg("tf").arg(&archive).output().unwrap().stdout;
        let names = String::from_utf8(names).unwrap();
        assert!(
            ["oci-layout", "index.json", "manifest.json"]
                .iter()
                .all(|name| names.lines().any(|line| line == *name))
        );
        std::fs::write(&archive, "no archive").unwrap();
        assert!(matches!(node.engine().import_archive(archive).await, Err(RuntimeError::Image(_))));
        node
    });
}

#[test]
fn a_layer_that_is_not_what_the_image_says_is_refused() {
    on_a_node(async |node| {
        let archive = node.root.join("false.tar");
        let mut bytes = docker_archive("test.local/false:1", &[layer(&[("a", "right")])]);
        let at = bytes.windows(5).position(|window| window == b"right").unwrap();
        bytes[at..at + 5].copy_from_slice(b"wrong");
        std::fs::write(&archive, bytes).unwrap();
        let error = node.engine().import_archive(archive).await.unwrap_err().to_string();
        assert!(error.contains("it unpacks to"), "{error}");
        assert_eq!(node.engine().image("test.local/false:1".into()).await.unwrap(), None);
        node
    });
}

/// The helper of the tests is not linked statically, as the product is.
fn libraries() -> Vec<Mount> {
    ["/lib", "/lib64"]
        .map(|path| Mount {
            host_path: path.into(),
            container_path: path.into(),
            readonly: true,
            ..Mount::default()
        })
        .to_vec()
}

#[test]
fn the_built_in_image_is_always_there() {
    on_a_configured_node(
        |config| config.builtin_tools = vec!["ls".into()],
        async |node| {
            let engine = node.engine();
            let id = engine.pull_image("ironclad.local/hello:v2".into(), vec![]).await.unwrap();
            let image = engine.image("ironclad.local/hello".into()).await.unwrap().unwrap();
            assert_eq!((image.id.as_str(), image.pinned), (id.as_str(), true));
            assert!(engine.pull_image("ironclad.local/other".into(), vec![]).await.is_err());
            engine.remove_image("ironclad.local/hello".into()).await.unwrap();
            let sandbox = node.sandbox("web").await;
            let config = ContainerConfig {
                image: "ironclad.local/hello:1".into(),
                command: vec![],
                mounts: libraries(),
                ..shell("")
            };
            let container = node.run(&sandbox, config).await;
            let ended = node.ended(&container).await;
            assert_eq!(ended.exit_code, 2, "the helper says that it is not to be run by hand");
            assert!(node.output(&container).await.contains("this program is started by the runtime"));
            let busybox = |config: &mut ContainerConfig| {
                config.mounts = vec![Mount {
                    image: "ironclad.local/hello".into(),
                    container_path: "/hello".into(),
                    ..Mount::default()
                }];
            };
            let (_, output) = node
                .script_with(
                    &sandbox,
                    "ls /hello /hello/bin; cmp /hello/bin/sh /hello/ironclad && echo same",
                    busybox,
                )
                .await;
            assert!(output.contains("ls\nsh\n") && output.ends_with("same\n"), "{output}");
            node
        },
    );
}
