//! Mail over SMTP, as a server on the other end of the line sees it.

use everplay_accounts::{Letter, Mailer, SmtpMail};
use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};

/// Takes one letter the way a mail server does; returns what the client said.
fn take(line: TcpStream) -> Vec<String> {
    let mut said = Vec::new();
    let mut out = line.try_clone().unwrap();
    let mut answer = |text: &str| out.write_all(format!("{text}\r\n").as_bytes()).unwrap();
    answer("220 mail.example ready");
    let mut in_text = false;
    for heard in BufReader::new(line).lines() {
        let heard = heard.unwrap();
        match heard.split([' ', ':']).next().unwrap_or_default() {
            "." if in_text => {
                in_text = false;
                answer("250 taken");
            }
            _ if in_text => {}
            "EHLO" => answer("250 mail.example"),
            "MAIL" | "RCPT" => answer("250 fine"),
            "DATA" => {
                in_text = true;
                answer("354 go on");
            }
            "QUIT" => {
                answer("221 bye");
                break;
            }
            _ => answer("500 what"),
        }
        let is_end = heard == "." && !in_text;
        said.push(heard);
        if is_end {
            break;
        }
    }
    said
}

#[tokio::test]
async fn a_letter_arrives_as_it_was_written() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let server = std::thread::spawn(move || take(listener.accept().unwrap().0));
    let mailer = SmtpMail::new(&format!("smtp://127.0.0.1:{port}"), "Games <games@play.example>").unwrap();
    let letter = Letter {
        to: "ada@example.com".into(),
        subject: "Choose a new password".into(),
        text: "Hello Ada,\n\nopen this link: https://play.example/auth/reset-password?token=abc\n".into(),
    };
    mailer.send(letter).await.unwrap();
    let said = server.join().unwrap().join("\n");
    for part in [
        "MAIL FROM:<games@play.example>",
        "RCPT TO:<ada@example.com>",
        "From: Games <games@play.example>",
        "Subject: Choose a new password",
        "https://play.example/auth/reset-password?token=abc",
    ] {
        assert!(said.contains(part), "{part} is not in {said}");
    }
}

#[tokio::test]
async fn what_cannot_be_sent_is_said_without_the_password() {
    assert!(SmtpMail::new("smtp://127.0.0.1", "no address at all <").is_err());
    let wrong = SmtpMail::new("mail://user:hunter2@host", "a@b.example").err().unwrap();
    assert!(!wrong.contains("hunter2"), "{wrong}");
    let gone = SmtpMail::new("smtp://user:hunter2@127.0.0.1:1", "a@b.example").unwrap();
    let letter = Letter { to: "a@b.example".into(), subject: "x".into(), text: "y".into() };
    let error = gone.send(letter).await.unwrap_err();
    assert!(!error.contains("hunter2"), "{error}");
}
