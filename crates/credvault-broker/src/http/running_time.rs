//! A timeout that counts only the time in which this process runs. A process that was stopped (a suspended machine, a
//! debugger) reads what has arrived meanwhile before it decides that nothing came.

use std::time::Duration;

/// Awaits `future` for at most `timeout`, counted in portions: a stop of the process uses up one portion at most, however
/// long it lasts. `None` if the time is over.
pub(super) async fn timeout_of_running_time<F: Future>(
    future: F,
    timeout: Duration,
    portion: Duration,
) -> Option<F::Output> {
    let mut future = std::pin::pin!(future);
    for _ in 0..timeout.as_millis() / portion.as_millis() {
        if let Ok(output) = tokio::time::timeout(portion, &mut future).await {
            return Some(output);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use tokio::io::AsyncReadExt as _;

    use super::*;

    /// The runtime's only thread is stopped for longer than the whole wait, while the answer arrives.
    #[tokio::test]
    async fn what_arrived_while_the_process_was_stopped_is_read_before_the_time_is_over() {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (stopped, begin) = std::sync::mpsc::channel();
        let provider = std::thread::spawn(move || {
            let mut connection = std::net::TcpStream::connect(address).unwrap();
            begin.recv().unwrap();
            connection.write_all(b"answer").unwrap();
        });
        let (mut connection, _) = listener.accept().await.unwrap();
        // As in a client, another task than the one that waits does the reading.
        let reading = tokio::spawn(async move {
            let mut text = String::new();
            connection.read_to_string(&mut text).await.unwrap();
            text
        });
        tokio::spawn(async move {
            stopped.send(()).unwrap();
            std::thread::sleep(Duration::from_millis(600));
        });
        let came =
            timeout_of_running_time(reading, Duration::from_millis(500), Duration::from_millis(100)).await;
        assert_eq!(came.unwrap().unwrap(), "answer");
        provider.join().unwrap();
    }

    #[tokio::test]
    async fn what_does_not_come_is_waited_for_as_long_as_said() {
        let (longest, begun) = (Duration::from_millis(200), tokio::time::Instant::now());
        assert!(timeout_of_running_time(std::future::pending::<()>(), longest, longest / 10).await.is_none());
        assert!(begun.elapsed() >= longest);
    }
}
