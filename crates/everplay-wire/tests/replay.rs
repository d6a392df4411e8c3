//! The captured traffic of the official SDKs and servers is read, understood and written back byte for byte.

mod support;

use everplay_wire::matchmake::{self, ErrorBody, Route, SeatReservation};
use everplay_wire::msgpack::{self, Limits, Value};
use everplay_wire::url::{self, Target};
use everplay_wire::{
    ClientFrame, Dialect, Input, JoinForm, MessageType, ResponseStatus, Section, Serializer, ServerFrame,
    server_frame,
};
use serde_json::{Value as Json, json};
use support::{bytes, captures, compat, hex};

/// What the capture's reader wrote into its `text` for a payload.
fn payload(bytes: &[u8]) -> String {
    if bytes.is_empty() {
        return "none".to_owned();
    }
    let value = msgpack::decode(bytes, Limits::default()).unwrap();
    as_recorded(&value).to_string()
}

/// A value in the notation of the captures: JSON with words for what JSON has none.
fn as_recorded(value: &Value) -> Json {
    match value {
        Value::Bytes(bytes) => json!(format!("bytes:{}", hex(bytes))),
        Value::BigInt(number) => json!(format!("{number}n")),
        Value::F64(number) if number.is_infinite() => json!("Infinity"),
        Value::F64(number) if number.fract() == 0.0 && number.abs() <= 9_007_199_254_740_992.0 => {
            json!(*number as i64)
        }
        Value::Array(items) => items.iter().map(as_recorded).collect(),
        Value::Map(entries) => {
            let entries = entries.iter().filter(|(_, value)| *value != Value::Undefined);
            Json::Object(
                entries.map(|(key, value)| (key.as_str().unwrap().to_owned(), as_recorded(value))).collect(),
            )
        }
        value => Json::from(value.clone()),
    }
}

fn named(ty: &MessageType<'_>) -> String {
    match ty {
        MessageType::Text(text) => format!("{text:?}"),
        MessageType::Number(number) => number.to_string(),
    }
}

/// Keys of JSON objects in one order, so that texts can be compared.
fn sorted(text: &str) -> String {
    match text.split_once(" payload=") {
        Some((head, payload)) => match serde_json::from_str::<Json>(payload) {
            Ok(json) => format!("{head} payload={json}"),
            Err(_) => text.to_owned(),
        },
        None => text.to_owned(),
    }
}

fn describe_client(frame: &ClientFrame<'_>) -> String {
    match frame {
        ClientFrame::Ack => "JOIN_ROOM".to_owned(),
        ClientFrame::Leave => "LEAVE_ROOM".to_owned(),
        ClientFrame::Ping => "PING".to_owned(),
        ClientFrame::Data { ty, payload: bytes } => {
            format!("ROOM_DATA type={} payload={}", named(ty), payload(bytes))
        }
        ClientFrame::Bytes { ty, bytes } => {
            format!("ROOM_DATA_BYTES type={} bytes={}", named(ty), hex(bytes))
        }
        ClientFrame::Request { id, ty, payload: bytes } => {
            format!("ROOM_REQUEST id={id} type={} payload={}", named(ty), payload(bytes))
        }
        ClientFrame::InputReliable { .. } => "ROOM_INPUT_RELIABLE".to_owned(),
        ClientFrame::InputUnreliable { .. } => "ROOM_INPUT_UNRELIABLE".to_owned(),
    }
}

#[test]
fn client_frames_are_understood_and_written_back() {
    let mut count = 0;
    for capture in captures() {
        for frame in capture.frames.iter().filter(|frame| frame.from_client) {
            let decoded = ClientFrame::decode(&frame.bytes).unwrap();
            assert_eq!(sorted(&describe_client(&decoded)), sorted(&frame.text), "{}", capture.name);
            assert_eq!(hex(&decoded.to_vec()), hex(&frame.bytes), "{}", capture.name);
            count += 1;
        }
    }
    assert_eq!(count, 316, "captured client frames");
}

#[test]
fn client_payloads_are_written_back_in_record_style() {
    let mut count = 0;
    for capture in captures() {
        for frame in capture.frames.iter().filter(|frame| frame.from_client) {
            let decoded = ClientFrame::decode(&frame.bytes).unwrap();
            let (ClientFrame::Data { payload, .. } | ClientFrame::Request { payload, .. }) = decoded else {
                continue;
            };
            let value = msgpack::read_payload(payload, Limits::default()).unwrap();
            assert_eq!(
                hex(&msgpack::to_vec_records(&value).unwrap()),
                hex(payload),
                "{}: {}",
                capture.name,
                frame.text
            );
            count += 1;
        }
    }
    assert_eq!(count, 207, "captured client payloads");
}

fn describe_server(frame: &ServerFrame<'_>, dialect: Dialect) -> String {
    let modifiers = |timed: bool| if timed { " [modifiers 0x80]" } else { "" };
    let state = |name: &str, timed: &Option<everplay_wire::Timed>, body: &[u8]| {
        let times =
            timed.map_or(String::new(), |timed| format!(" sNow={} inputSeq={}", timed.now, timed.input_seq));
        let offset = if timed.is_some() { 9 } else { 1 };
        let modifiers = modifiers(timed.is_some());
        format!("{name}{modifiers}{times} ({} bytes of schema data from offset {offset})", body.len())
    };
    match frame {
        ServerFrame::Join(join) => {
            let head = format!("JOIN_ROOM token={:?} serializer={:?}", join.token, join.serializer);
            if dialect < Dialect::V18 {
                return format!("{head} handshakeBytes={}", join.handshake.len());
            }
            let mut text = format!("{head} handshakeLength={}", join.handshake.len());
            for section in &join.sections {
                let payload = hex(section.payload);
                text +=
                    &format!(" section{{tag {}, {} bytes: {payload}}}", section.tag, section.payload.len());
            }
            text
        }
        ServerFrame::Error { code, message } => format!("ERROR code={code} message={message:?}"),
        ServerFrame::Leave => "LEAVE_ROOM".to_owned(),
        ServerFrame::Ping => "PING".to_owned(),
        ServerFrame::Data { ty, payload: bytes } => {
            format!("ROOM_DATA type={} payload={}", named(ty), payload(bytes))
        }
        ServerFrame::Bytes { ty, bytes } => {
            format!("ROOM_DATA_BYTES type={} bytes={}", named(ty), hex(bytes))
        }
        ServerFrame::State { timed, body } => state("ROOM_STATE", timed, body),
        ServerFrame::Patch { timed, body, .. } => state("ROOM_STATE_PATCH", timed, body),
        ServerFrame::Response { id, status, payload: bytes } => {
            let status = match status {
                ResponseStatus::Ok => "OK",
                ResponseStatus::Rejected => "REJECTED",
                ResponseStatus::Error => "ERROR",
            };
            format!("ROOM_RESPONSE id={id} status={status} payload={}", payload(bytes))
        }
    }
}

/// Writes a frame as a server does, from its parts.
fn written(frame: &ServerFrame<'_>, dialect: Dialect) -> bytes::Bytes {
    let value = |payload: &[u8]| {
        let value = msgpack::read_payload(payload, Limits::default()).unwrap();
        msgpack::to_vec(&value).unwrap()
    };
    match frame {
        ServerFrame::Join(join) => {
            let form = if dialect < Dialect::V18 { JoinForm::V16V17 } else { JoinForm::V18 };
            let serializer = [Serializer::Schema, Serializer::None]
                .into_iter()
                .find(|serializer| serializer.as_str() == join.serializer)
                .unwrap();
            let sections: Vec<Section<'_>> = join.sections.clone();
            server_frame::join_room(form, join.token, serializer, join.handshake, &sections).unwrap()
        }
        ServerFrame::Error { code, message } => server_frame::error(*code, message),
        ServerFrame::Leave => server_frame::leave(),
        ServerFrame::Ping => server_frame::ping(),
        ServerFrame::Data { ty, payload } => server_frame::data(*ty, &value(payload)),
        ServerFrame::Bytes { ty, bytes } => server_frame::bytes(*ty, bytes),
        ServerFrame::State { timed, body } => server_frame::state(*timed, body),
        ServerFrame::Patch { timed, body, .. } => server_frame::patch(*timed, body),
        ServerFrame::Response { id, status, payload } => {
            server_frame::response(*id, *status, &value(payload))
        }
    }
}

#[test]
fn server_frames_are_understood_and_written_the_same() {
    let mut count = 0;
    for capture in captures() {
        for frame in capture.frames.iter().filter(|frame| !frame.from_client) {
            let decoded = ServerFrame::decode(&frame.bytes, capture.dialect).unwrap();
            let described = sorted(&describe_server(&decoded, capture.dialect));
            assert_eq!(described, sorted(&frame.text), "{}", capture.name);
            assert_eq!(hex(&written(&decoded, capture.dialect)), hex(&frame.bytes), "{}", capture.name);
            count += 1;
        }
    }
    assert_eq!(count, 424, "captured server frames");
}

/// The payloads of all types that the captures send to an echo handler, in every generation: what the client sends and what
/// the server answers are read as what the application got.
#[test]
fn payloads_of_every_type_are_read_as_recorded() {
    for capture in captures().iter().filter(|capture| capture.name.ends_with("-messages")) {
        let data = |from_client: bool| {
            let frames = capture.frames.iter().filter(move |frame| frame.from_client == from_client);
            frames.filter_map(move |frame| {
                // Layouts of messages are the same in both directions.
                match ServerFrame::decode(&frame.bytes, capture.dialect) {
                    Ok(ServerFrame::Data { ty, payload }) => {
                        let value = msgpack::read_payload(payload, Limits::default()).unwrap();
                        Some(json!([serde_json::to_value(ty.to_owned()).unwrap(), as_recorded(&value)]))
                    }
                    Ok(ServerFrame::Bytes { ty, bytes }) => {
                        let bytes = format!("bytes:{}", hex(bytes));
                        Some(json!([serde_json::to_value(ty.to_owned()).unwrap(), bytes]))
                    }
                    _ => None,
                }
            })
        };
        let received: Vec<Json> = data(false).collect();
        let recorded: Json = numbers_as_they_are(&capture.json["observed"]["received"]);
        assert_eq!(json!(received), recorded, "{}", capture.name);

        let echoes = |messages: Vec<Json>| -> Vec<Json> {
            messages.into_iter().filter(|message| message[0] == "echo").collect()
        };
        let sent = echoes(data(true).collect());
        assert_eq!(sent.len(), 49, "{}", capture.name);
        assert_eq!(sent, echoes(received), "{}", capture.name);
    }
}

/// JSON files may write a whole number with an exponent.
fn numbers_as_they_are(json: &Json) -> Json {
    match json {
        Json::Number(number) => as_recorded(&Value::from(Json::Number(number.clone()))),
        Json::Array(items) => items.iter().map(numbers_as_they_are).collect(),
        Json::Object(entries) => {
            entries.iter().map(|(key, value)| (key.clone(), numbers_as_they_are(value))).collect()
        }
        json => json.clone(),
    }
}

#[test]
fn inputs_are_numbered_and_repeated() {
    let all = captures();
    let frames = |name: &str| {
        let capture = all.iter().find(|capture| capture.name == name).unwrap();
        let frames = capture.frames.iter().filter(|frame| frame.from_client);
        frames.map(|frame| ClientFrame::decode(&frame.bytes).unwrap()).collect::<Vec<_>>()
    };
    let reliable: Vec<String> = frames("0.18-input")
        .into_iter()
        .filter_map(|frame| match frame {
            ClientFrame::InputReliable { stamp: None, body } => Some(hex(body)),
            _ => None,
        })
        .collect();
    assert_eq!(reliable, ["800181ff8201", "8002", ""]);
    let last =
        frames("0.18-input-unreliable").into_iter().rfind(|frame| *frame != ClientFrame::Leave).unwrap();
    let input = |seq, body: &'static [u8]| Input { seq, stamp: None, body };
    let inputs = vec![input(2, &[0x80, 2]), input(3, &[0x80, 3]), input(4, &[0x80, 4])];
    assert_eq!(last, ClientFrame::InputUnreliable { inputs });
}

#[test]
fn input_rooms_tell_their_rates() {
    let all = captures();
    let capture = all.iter().find(|capture| capture.name == "0.18-input").unwrap();
    let ServerFrame::Join(join) = ServerFrame::decode(&capture.frames[0].bytes, Dialect::V18).unwrap() else {
        panic!("the first frame is a join");
    };
    let options = join.input_options().unwrap().unwrap();
    assert_eq!(options.tick_rate, capture.json["observed"]["tickRate"].as_f64());
    assert_eq!(options.patch_rate_ms, capture.json["observed"]["patchRate"].as_f64());
    let section = join.sections.iter().find(|section| section.tag == Section::INPUT_OPTIONS).unwrap();
    assert_eq!(options.encode(), section.payload);
}

#[test]
fn upgrade_urls_are_read() {
    for capture in captures() {
        for event in capture.events("ws-open") {
            let url = event["url"].as_str().unwrap();
            let target = url::parse(url).unwrap();
            let Target::Seat(seat) = target else {
                assert_eq!(url, "/", "{}", capture.name);
                continue;
            };
            assert!(url.starts_with(&format!("/{}/{}?", seat.process_id, seat.room_id)));
            assert!(url.contains(&format!("sessionId={}", seat.session_id)));
            assert_eq!(seat.skip_handshake, url.contains("skipHandshake"));
            assert_eq!(seat.reconnection_token.is_some(), url.contains("reconnectionToken"));
            assert_eq!(seat.auth_token.is_some(), url.contains("_authToken"));
        }
    }
}

#[test]
fn matchmaking_answers_are_read_and_written() {
    let (mut seats, mut errors) = (0, 0);
    for capture in captures() {
        for event in capture.events("http") {
            let (request, response) = (&event["request"], &event["response"]);
            let path = request["path"].as_str().unwrap();
            let Some(route) = Route::parse(path) else { continue };
            assert_eq!(path, format!("/matchmake/{}/{}", route.method, route.name));
            if request["method"] != "POST" {
                continue;
            }
            let status = response["status"].as_u64().unwrap();
            let body = response["body"].as_str().unwrap_or_default();
            let options = matchmake::parse_options(request["body"].as_str().unwrap_or_default().as_bytes());
            if options.is_err() {
                assert_eq!(status == 400, capture.dialect == Dialect::V18, "{}", capture.name);
                if capture.dialect == Dialect::V18 {
                    assert_eq!(body, matchmake::MALFORMED_BODY);
                }
            } else if let Ok(error) = serde_json::from_str::<ErrorBody>(body) {
                if capture.dialect >= Dialect::V17 {
                    assert_eq!(u64::from(matchmake::http_status(error.code)), status, "{}", capture.name);
                }
                assert_eq!(serde_json::to_string(&error).unwrap(), body);
                errors += 1;
            } else if status == 200 {
                let seat: SeatReservation = serde_json::from_str(body)
                    .unwrap_or_else(|error| panic!("{}: {error}: {body}", capture.name));
                let whole: Json = serde_json::from_str(body).unwrap();
                let listed = if capture.dialect == Dialect::V16 { &whole["room"] } else { &whole };
                assert_eq!(listed["roomId"], seat.room_id);
                assert_eq!(listed["processId"], seat.process_id);
                assert_eq!(whole["sessionId"], seat.session_id);
                seats += 1;
            }
        }
    }
    assert!(seats > 50 && errors > 30, "{seats} seats, {errors} errors");
}

#[test]
fn cors_headers_are_those_of_the_official_server() {
    let mut count = 0;
    for capture in captures().iter().filter(|capture| capture.dialect >= Dialect::V17) {
        for event in capture.events("http") {
            let headers = &event["response"]["headers"];
            if headers.get("access-control-max-age").is_none() {
                continue;
            }
            let origin = event["request"]["headers"]["origin"].as_str();
            for (name, value) in matchmake::cors_headers(origin) {
                assert_eq!(headers[name], value, "{}: {name}", capture.name);
            }
            count += 1;
        }
    }
    assert!(count > 50, "{count}");
}

/// The layouts of JOIN_ROOM that the three SDKs were seen to take.
#[test]
fn every_layout_of_the_join_is_written_as_it_was_tested() {
    let compat = compat();
    let frame = |name: &str| bytes(compat["frames"][name].as_str().unwrap());
    let join = |frame: &[u8], dialect| match ServerFrame::decode(frame, dialect).unwrap() {
        ServerFrame::Join(join) => (join.token.to_owned(), join.handshake.to_vec()),
        other => panic!("{other:?}"),
    };
    let write = |form, token: &str, handshake: &[u8]| {
        server_frame::join_room(form, token, Serializer::Schema, handshake, &[]).unwrap().to_vec()
    };

    let new = frame("JOIN_ROOM v0.18");
    let (token, handshake) = join(&new, Dialect::V18);
    assert_eq!(token, "tok123456");
    assert_eq!(write(JoinForm::V18, &token, &handshake), new);
    let mut probe = new.clone();
    probe[0] = 0x2a;
    assert_eq!(write(JoinForm::Probe, &token, &handshake), probe);
    assert_eq!(join(&probe, Dialect::V18), (token.clone(), handshake));
    assert!(ServerFrame::decode(&probe, Dialect::V17).is_err(), "older SDKs ignore a probe");

    let old = frame("JOIN_ROOM v0.16/0.17");
    for dialect in [Dialect::V16, Dialect::V17] {
        let (token, handshake) = join(&old, dialect);
        assert_eq!(write(JoinForm::V16V17, &token, &handshake), old);
    }

    let polyglot = frame("JOIN_ROOM polyglot");
    let (token, handshake) = join(&polyglot, Dialect::V18);
    assert_eq!(write(JoinForm::Polyglot, &token, &handshake), polyglot);

    let bare = write(JoinForm::Bare, &token, &handshake);
    for dialect in [Dialect::V16, Dialect::V17, Dialect::V18] {
        assert_eq!(join(&bare, dialect), (token.clone(), Vec::new()));
    }

    for (name, dialect) in [("ROOM_STATE", Dialect::V16), ("ROOM_STATE_PATCH", Dialect::V18)] {
        let frame = frame(name);
        assert_eq!(ServerFrame::decode(&frame, dialect).unwrap().to_bytes(), frame);
    }
    for result in compat["results"].as_array().unwrap() {
        let Some(data) = result["dataFrame"].as_str().map(bytes) else { continue };
        let ClientFrame::Data { ty, payload } = ClientFrame::decode(&data).unwrap() else {
            panic!("a message")
        };
        assert_eq!(result["echo"]["type"], ty.to_string());
        let value = msgpack::decode(payload, Limits::default()).unwrap();
        assert_eq!(Json::from(value.clone()), result["echo"]["message"]);
        assert_eq!(hex(&msgpack::to_vec_records(&value).unwrap()), hex(payload));
        let Some(buffered) = result["reconnected"]["buffered"].as_str().map(bytes) else { continue };
        assert!(matches!(ClientFrame::decode(&buffered).unwrap(), ClientFrame::Data { .. }));
        let url = result["reconnected"]["url"].as_str().unwrap();
        let Target::Seat(seat) = url::parse(url).unwrap() else { panic!("{url}") };
        assert!(seat.skip_handshake && seat.reconnection_token.as_deref() == Some("tok123456"));
    }
}
