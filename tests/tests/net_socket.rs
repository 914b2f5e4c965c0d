//! Who gets in: folders, stale sockets, other users, addresses that others can reach.
#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

mod net_support;

use atomic_store::server::{ServeError, Server, ServerOptions};
use atomic_store_core::{Limits, frame};
use net_support::*;
use std::fs::Permissions;
use std::io::{Read, Write};
use std::os::unix::fs::{FileTypeExt, PermissionsExt, symlink};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::time::Duration;

async fn bind(socket: &Path) -> Result<Server, ServeError> {
    let socket = Some(socket.to_owned());
    Server::bind(engine(1, Limits::default()), ServerOptions { socket, ..Default::default() }).await
}

fn mode(path: &Path) -> u32 {
    std::fs::symlink_metadata(path).unwrap().permissions().mode() & 0o7777
}

#[tokio::test]
async fn folder_and_socket_are_made_private_and_removed_in_the_end() {
    let folder = private_folder();
    let socket = folder.path().join("run").join("s");
    let server = bind(&socket).await.unwrap();
    assert_eq!((mode(&folder.path().join("run")), mode(&socket)), (0o700, 0o600));
    let names = std::fs::read_dir(folder.path().join("run")).unwrap().count();
    assert_eq!(names, 1, "a temporary name is left");
    drop(server);
    assert!(!socket.exists());
}

#[tokio::test]
async fn folders_that_others_can_enter_are_refused() {
    let folder = private_folder();
    for bits in [0o777, 0o755, 0o770, 0o701, 0o1777] {
        let inner = folder.path().join(format!("{bits:o}"));
        std::fs::create_dir(&inner).unwrap();
        std::fs::set_permissions(&inner, Permissions::from_mode(bits)).unwrap();
        let error = bind(&inner.join("s")).await.err().unwrap();
        assert!(matches!(error, ServeError::Unsafe { .. }), "{bits:o}: {error}");
        assert!(error.to_string().contains("chmod 700"), "{error}");
        assert_eq!(std::fs::read_dir(&inner).unwrap().count(), 0);
    }
}

#[tokio::test]
async fn links_files_and_missing_folders_are_refused() {
    let folder = private_folder();
    let real = folder.path().join("real");
    std::fs::create_dir(&real).unwrap();
    std::fs::set_permissions(&real, Permissions::from_mode(0o700)).unwrap();
    symlink(&real, folder.path().join("link")).unwrap();
    std::fs::write(folder.path().join("file"), b"x").unwrap();
    std::fs::write(real.join("s"), b"precious").unwrap();
    let long = format!("real/{}", "x".repeat(200));
    for path in ["link/s", "file/s", "no/such/s", "real/s", long.as_str()] {
        let error = bind(&folder.path().join(path)).await.err().unwrap();
        assert!(matches!(error, ServeError::Unsafe { .. }), "{path}: {error}");
    }
    assert_eq!(std::fs::read(real.join("s")).unwrap(), b"precious");
}

#[tokio::test]
async fn a_dead_socket_is_replaced_and_a_living_one_is_not() {
    let folder = private_folder();
    let socket = folder.path().join("s");
    drop(std::os::unix::net::UnixListener::bind(&socket).unwrap());
    assert!(std::fs::symlink_metadata(&socket).unwrap().file_type().is_socket());
    let server = bind(&socket).await.unwrap();
    let error = bind(&socket).await.err().unwrap();
    assert!(matches!(error, ServeError::InUse { .. }), "{error}");
    // A socket that somebody else put there meanwhile is not ours to remove.
    std::fs::remove_file(&socket).unwrap();
    let other = std::os::unix::net::UnixListener::bind(&socket).unwrap();
    drop(server);
    assert!(socket.exists());
    drop(other);
}

#[tokio::test]
async fn only_loopback_addresses_are_listened_on() {
    for address in ["0.0.0.0:0", "[::]:0", "192.0.2.1:0", "10.0.0.1:7070", "[2001:db8::1]:1"] {
        let tcp = Some(address.parse().unwrap());
        let options = ServerOptions { tcp, ..ServerOptions::default() };
        let error = Server::bind(engine(1, Limits::default()), options).await.err().unwrap();
        assert_eq!(error, ServeError::NotLoopback(address.parse().unwrap()));
    }
    let nowhere = Server::bind(engine(1, Limits::default()), ServerOptions::default()).await;
    assert_eq!(nowhere.err(), Some(ServeError::Nowhere));
}

/// The part of the next test that another user plays, in a process of its own.
fn play_another_user(socket: &str) -> ! {
    let mut stream = std::os::unix::net::UnixStream::connect(socket).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
    // The server may have closed before the hello is written.
    drop(stream.write_all(&frame::HELLO));
    let mut got = Vec::new();
    let closed = match stream.read_to_end(&mut got) {
        Ok(_) => true,
        Err(error) => error.kind() == std::io::ErrorKind::ConnectionReset,
    };
    std::process::exit(if closed && got.is_empty() { 42 } else { 1 });
}

#[tokio::test(flavor = "multi_thread")]
async fn another_user_is_turned_away_without_a_word() {
    const PLAY: &str = "ATOMIC_STORE_TEST_OTHER_USER";
    if let Ok(socket) = std::env::var(PLAY) {
        play_another_user(&socket);
    }
    let server = Running::start(Limits::default()).await;
    // The folder alone would keep others out; the test opens it to see the second line of defence.
    let folder = server.socket.parent().unwrap().to_owned();
    std::fs::set_permissions(&folder, Permissions::from_mode(0o755)).unwrap();
    std::fs::set_permissions(&server.socket, Permissions::from_mode(0o666)).unwrap();
    let program = folder.join("other-user");
    std::fs::copy(std::env::current_exe().unwrap(), &program).unwrap();
    std::fs::set_permissions(&program, Permissions::from_mode(0o755)).unwrap();
    let mut command = std::process::Command::new(&program);
    command.args(["--exact", "another_user_is_turned_away_without_a_word", "--nocapture"]);
    command.env(PLAY, &server.socket).uid(65_534).gid(65_534);
    let played = tokio::task::spawn_blocking(move || command.status()).await.unwrap();
    match played {
        Ok(status) => assert_eq!(status.code(), Some(42), "another user got in"),
        // Only root can become somebody else.
        Err(error) => assert_eq!(error.kind(), std::io::ErrorKind::PermissionDenied, "{error}"),
    }
    assert!(server.raw().await.works().await);
    server.stop().await;
}
