//! Runs one case: our decoder on the recorded bytes, our encoder on the same mutations, our decoder on its bytes.

use crate::case::{hex, unhex};
use crate::compare::{canonical, same};
use crate::schema::Schema;
use crate::world::World;
use everplay_schema::{ArrayForm, Decoder, DynStruct, Following, FullForm, Generation, Replica, ViewId};
use serde_json::{Value as Json, json};

/// What came of a case.
pub(crate) struct Outcome {
    pub(crate) failures: Vec<String>,
    /// Where our bytes differ from the recorded ones.
    #[allow(dead_code, reason = "the command does not look at it, the tests do")]
    pub(crate) differences: Vec<String>,
    /// The case with our bytes.
    pub(crate) emitted: Json,
}

const SHARED: &str = "_shared";

/// Two decoders of one client: one is fed the recorded bytes, one ours.
struct Client {
    name: String,
    recorded: Decoder,
    ours: Decoder,
}

struct Run<'a> {
    case: &'a Json,
    out: Outcome,
    handshake: Vec<u8>,
    recorded_handshake: Vec<u8>,
    clients: Vec<Client>,
    form: ArrayForm,
    handshakes: bool,
}

pub(crate) fn run(case: &Json, form: ArrayForm, handshakes: bool) -> Result<Outcome, String> {
    let schema = Schema::read(&case["schema"])?;
    let handshake = schema.types.handshake(Generation::Schema5);
    let recorded_handshake = unhex(case["handshake"].as_str().unwrap_or_default())?;
    let mut run = Run {
        case,
        out: Outcome { failures: Vec::new(), differences: Vec::new(), emitted: case.clone() },
        handshake,
        recorded_handshake,
        clients: Vec::new(),
        form,
        handshakes,
    };
    run.out.emitted["handshake"] = json!(hex(&run.handshake));
    if handshakes {
        let of = |generation| hex(&schema.types.handshake(generation));
        let polyglot = schema.types.polyglot_possible().then(|| of(Generation::Polyglot));
        run.out.emitted["handshakes"] = json!({ "schema4": of(Generation::Schema4), "polyglot": polyglot });
    }
    if run.handshake != run.recorded_handshake {
        run.out.failures.push("handshake: other bytes than recorded".to_owned());
    }
    run.play(&schema)?;
    Ok(run.out)
}

impl Run<'_> {
    fn play(&mut self, schema: &Schema) -> Result<(), String> {
        let (mut world, mut tree) = World::new(schema);
        for op in list(&self.case["constructOps"]) {
            world.apply(op, &mut tree)?;
        }
        let mut replica = Replica::with_types(tree, schema.types.clone());
        replica.set_array_form(self.form);
        replica.set_following(Following::Nothing);
        for op in list(&self.case["initialOps"]) {
            apply(&mut world, op, &mut replica)?;
        }
        let views =
            self.case["steps"].as_array().into_iter().flatten().any(|step| step.get("patches").is_some())
                || self.case["initial"].get(SHARED).is_some();
        let mode = self.case["mode"].as_str().unwrap_or("full-then-patch");
        let mut pending: Vec<(String, Vec<u8>)> = Vec::new();
        if mode == "patch-only" {
            for name in names(&world) {
                self.add_client(&name)?;
            }
        } else {
            world.show_views(&mut replica)?;
            replica.patch();
            pending = patches(&world, &replica);
            for (name, bytes) in fulls(&world, &replica) {
                let at =
                    if views { self.case["initial"][&name].clone() } else { self.case["initial"].clone() };
                self.add_client(&name)?;
                let bytes = self.feed(&name, "initial", &at, &bytes, &Json::Null);
                let emitted = &mut self.out.emitted["initial"];
                let emitted = if views { &mut emitted[&name] } else { emitted };
                emitted["bytes"] = json!(bytes);
            }
            if mode != "full-plus-pending" {
                pending.clear();
            }
        }
        for (number, step) in list(&self.case["steps"]).iter().enumerate() {
            for op in list(&step["ops"]) {
                apply(&mut world, op, &mut replica)?;
            }
            world.show_views(&mut replica)?;
            replica.patch();
            let mut sent = patches(&world, &replica);
            for (name, before) in std::mem::take(&mut pending) {
                if let Some((_, bytes)) = sent.iter_mut().find(|(known, _)| *known == name) {
                    *bytes = joined(before, bytes);
                }
            }
            self.step(number, step, views, &world, &replica, &sent)?;
        }
        Ok(())
    }

    fn step(
        &mut self,
        number: usize,
        step: &Json,
        views: bool,
        world: &World<'_>,
        replica: &Replica<DynStruct>,
        sent: &[(String, Vec<u8>)],
    ) -> Result<(), String> {
        let place = format!("step {number}");
        let server = step.get("serverState").cloned().unwrap_or(Json::Null);
        let fulls = fulls(world, replica);
        let full_of =
            |name: &str| fulls.iter().find(|(known, _)| known == name).map(|(_, bytes)| bytes.clone());
        for name in names(world) {
            if self.clients.iter().all(|client| client.name != name) {
                let bytes = full_of(&name).unwrap_or_default();
                self.add_client(&name)?;
                let bytes =
                    self.feed(&name, &format!("{place} join"), &step["joins"][&name], &bytes, &server);
                self.out.emitted["steps"][number]["joins"][&name]["bytes"] = json!(bytes);
            }
        }
        if let Some(late) = step.get("lateJoin") {
            let bytes = full_of(SHARED).unwrap_or_default();
            let patch = &sent[0].1;
            let mut decoder = self.decoder()?;
            self.check_ours(&mut decoder, &bytes, &format!("{place} late join"), &[&late["state"]]);
            // The official server lets clients join while changes are pending; ours encodes the patch first and does
            // not send it to them. Removal by position shows the difference, removal by refId hides it.
            if late.get("knownDivergence").is_none() && self.form == ArrayForm::Native {
                let wanted = [&late["afterPatch"]];
                self.check_ours(&mut decoder, patch, &format!("{place} late join and patch"), &wanted);
            }
            self.note(&format!("{place} late join"), &late["bytes"], &bytes);
            self.out.emitted["steps"][number]["lateJoin"]["bytes"] = json!(hex(&bytes));
        }
        if self.handshakes {
            self.rejoin(number, world, replica)?;
        }
        for (name, bytes) in sent {
            let key = ["patch", "unreliable"].into_iter().find(|key| step.get(key).is_some());
            let at = if views {
                step["patches"][name].clone()
            } else {
                key.map_or(Json::Null, |key| step[key].clone())
            };
            let bytes = self.feed(name, &format!("{place} patch"), &at, bytes, &server);
            let emitted = &mut self.out.emitted["steps"][number];
            if views {
                emitted["patches"][name]["bytes"] = json!(bytes);
            } else if key == Some("patch") {
                emitted["patch"]["bytes"] = json!(bytes);
            }
        }
        for (name, bytes) in &fulls {
            let at = if views { &step["full"][name] } else { &step["full"] };
            if at.is_null() {
                continue;
            }
            let place = format!("{place} full of {name}");
            let mut recorded =
                Decoder::from_handshake(&self.recorded_handshake).map_err(|error| error.to_string())?;
            self.check(
                &mut recorded,
                &unhex(at["bytes"].as_str().unwrap_or_default())?,
                &place,
                &[&at["state"]],
                "recorded",
            );
            let mut ours = self.decoder()?;
            self.check_ours(&mut ours, bytes, &place, &[&at["state"], &server]);
            self.note(&place, &at["bytes"], bytes);
            let emitted = &mut self.out.emitted["steps"][number]["full"];
            let emitted = if views { &mut emitted[name] } else { emitted };
            emitted["bytes"] = json!(hex(bytes));
        }
        Ok(())
    }

    /// What a client of the step before holds after a returning client's full state.
    fn rejoin(
        &mut self,
        number: usize,
        world: &World<'_>,
        replica: &Replica<DynStruct>,
    ) -> Result<(), String> {
        for (name, view) in clients(world) {
            let Some(client) = self.clients.iter().find(|client| client.name == name) else { continue };
            let mut bytes = Vec::new();
            replica.full_state(view, FullForm::Rejoin, &mut bytes);
            let mut decoder = client.ours.clone();
            decoder.apply(&bytes).map_err(|error| format!("step {number} rejoin of {name}: {error}"))?;
            let entry = json!({ "bytes": hex(&bytes), "state": canonical(&decoder) });
            self.out.emitted["steps"][number]["rejoin"][&name] = entry;
        }
        Ok(())
    }

    fn decoder(&self) -> Result<Decoder, String> {
        Decoder::from_handshake(&self.handshake).map_err(|error| format!("handshake: {error}"))
    }

    fn add_client(&mut self, name: &str) -> Result<(), String> {
        let recorded = Decoder::from_handshake(&self.recorded_handshake);
        let recorded = recorded.map_err(|error| format!("recorded handshake: {error}"))?;
        let ours = self.decoder()?;
        self.clients.push(Client { name: name.to_owned(), recorded, ours });
        Ok(())
    }

    /// Feeds a client the recorded bytes and ours; both must lead to the recorded state.
    fn feed(&mut self, name: &str, place: &str, at: &Json, bytes: &[u8], server: &Json) -> String {
        let place = if name == SHARED { place.to_owned() } else { format!("{place} of {name}") };
        let Some(index) = self.clients.iter().position(|client| client.name == name) else {
            self.out.failures.push(format!("{place}: no such client"));
            return hex(bytes);
        };
        let mut client = self.clients.swap_remove(index);
        match unhex(at["bytes"].as_str().unwrap_or_default()) {
            Ok(recorded) => self.check(&mut client.recorded, &recorded, &place, &[&at["state"]], "recorded"),
            Err(error) => self.out.failures.push(format!("{place}: {error}")),
        }
        self.check_ours(&mut client.ours, bytes, &place, &[&at["state"], server]);
        self.clients.push(client);
        self.note(&place, &at["bytes"], bytes);
        hex(bytes)
    }

    fn check_ours(&mut self, decoder: &mut Decoder, bytes: &[u8], place: &str, wanted: &[&Json]) {
        self.check(decoder, bytes, place, wanted, "our");
    }

    fn check(&mut self, decoder: &mut Decoder, bytes: &[u8], place: &str, wanted: &[&Json], whose: &str) {
        if let Err(error) = decoder.apply(bytes) {
            self.out.failures.push(format!("{place}: {whose} bytes: {error}"));
            return;
        }
        let state = canonical(decoder);
        if !wanted.iter().any(|wanted| same(wanted, &state)) {
            self.out
                .failures
                .push(format!("{place}: {whose} bytes decode to {state} instead of {}", wanted[0]));
        }
    }

    fn note(&mut self, place: &str, recorded: &Json, ours: &[u8]) {
        if recorded.as_str() != Some(&hex(ours)) {
            self.out.differences.push(place.to_owned());
        }
    }
}

fn list(value: &Json) -> &[Json] {
    value.as_array().map_or(&[], |list| list)
}

fn apply(world: &mut World<'_>, op: &Json, replica: &mut Replica<DynStruct>) -> Result<(), String> {
    if world.apply_view(op, replica)? {
        return Ok(());
    }
    world.apply(op, replica.get_mut())?;
    world.follow();
    Ok(())
}

fn names(world: &World<'_>) -> Vec<String> {
    std::iter::once(SHARED.to_owned()).chain(world.views().iter().map(|(name, _)| name.clone())).collect()
}

fn clients(world: &World<'_>) -> Vec<(String, Option<ViewId>)> {
    let views = world.views().iter().map(|(name, view)| (name.clone(), Some(*view)));
    std::iter::once((SHARED.to_owned(), None)).chain(views).collect()
}

fn patches(world: &World<'_>, replica: &Replica<DynStruct>) -> Vec<(String, Vec<u8>)> {
    let of = |view: Option<ViewId>| {
        let mut bytes = replica.shared_patch().to_vec();
        if let Some(view) = view {
            replica.view_patch(view, &mut bytes);
        }
        bytes
    };
    clients(world).into_iter().map(|(name, view)| (name, of(view))).collect()
}

fn fulls(world: &World<'_>, replica: &Replica<DynStruct>) -> Vec<(String, Vec<u8>)> {
    let of = |view: Option<ViewId>| {
        let mut bytes = Vec::new();
        replica.full_state(view, FullForm::JoinWithoutStreams, &mut bytes);
        bytes
    };
    clients(world).into_iter().map(|(name, view)| (name, of(view))).collect()
}

/// Two payloads as one: the second starts at the root.
fn joined(mut first: Vec<u8>, second: &[u8]) -> Vec<u8> {
    if !first.is_empty() && !second.is_empty() {
        first.extend_from_slice(&[0xff, 0]);
    }
    first.extend_from_slice(second);
    first
}
