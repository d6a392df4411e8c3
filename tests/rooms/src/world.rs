use everplay::msgpack::Value;
use everplay::prelude::*;

/// A state with a field of each form, changed by its clients' messages.
#[derive(State, Default)]
pub(crate) struct World {
    tick: u32,
    title: String,
    players: Map<Player>,
    /// Players that no client stands behind; removed and added at will.
    bots: Map<Player>,
    tags: List<String>,
    board: List<Cell>,
    scores: Map<i32>,
    leader: Option<Player>,
    place: Place,
    /// Each client sees its own.
    #[state(view)]
    hands: Map<Hand>,
    /// Seen by those who asked.
    #[state(view)]
    secret: String,
    /// Seen by nobody.
    #[state(private)]
    deck: List<String>,
}

#[derive(State, Default, Clone)]
struct Player {
    name: String,
    connected: bool,
    x: f32,
    y: f32,
    items: List<String>,
}

#[derive(State, Default)]
struct Cell {
    value: u8,
}

#[derive(State, Default)]
struct Place {
    x: f64,
    y: f64,
}

#[derive(State, Default)]
struct Hand {
    card: String,
}

#[derive(Deserialize, Default)]
#[serde(default)]
pub(crate) struct Options {
    name: String,
}

/// Says its text when it is due.
#[derive(Serialize, Deserialize)]
pub(crate) struct Alarm {
    text: String,
}

#[derive(Deserialize)]
struct Point {
    x: f64,
    y: f64,
}

#[derive(Deserialize)]
struct Insert {
    at: usize,
    tag: String,
}

#[derive(Deserialize)]
struct Score {
    name: String,
    points: i32,
}

#[derive(Deserialize)]
struct Kick {
    session: String,
    code: u16,
}

#[derive(Deserialize)]
struct Later {
    ms: u64,
    text: String,
}

#[derive(Deserialize)]
struct Sum {
    a: f64,
    b: f64,
}

type Done = Result<(), Refusal>;

impl World {
    fn move_to(&mut self, _: &mut Context<Self>, client: &Client, to: Point) -> Done {
        let player = self.players.get_mut(client.session_id()).ok_or("you have no figure here")?;
        (player.x, player.y) = (to.x as f32, to.y as f32);
        Ok(())
    }

    fn place(&mut self, _: &mut Context<Self>, _: &Client, to: Point) -> Done {
        (self.place.x, self.place.y) = (to.x, to.y);
        Ok(())
    }

    fn item(&mut self, _: &mut Context<Self>, client: &Client, item: String) -> Done {
        let player = self.players.get_mut(client.session_id()).ok_or("you have no figure here")?;
        player.items.push(item);
        Ok(())
    }

    fn title(&mut self, _: &mut Context<Self>, _: &Client, title: String) -> Done {
        self.title = title;
        Ok(())
    }

    fn tag(&mut self, _: &mut Context<Self>, _: &Client, tag: String) -> Done {
        self.tags.push(tag);
        Ok(())
    }

    fn insert_tag(&mut self, _: &mut Context<Self>, _: &Client, insert: Insert) -> Done {
        if insert.at > self.tags.len() {
            return Err(Refusal::new(4310, "there is no such place"));
        }
        self.tags.insert(insert.at, insert.tag);
        Ok(())
    }

    fn untag(&mut self, _: &mut Context<Self>, _: &Client, at: usize) -> Done {
        if at >= self.tags.len() {
            return Err(Refusal::new(4310, "there is no such place"));
        }
        self.tags.remove(at);
        Ok(())
    }

    fn cell(&mut self, _: &mut Context<Self>, _: &Client, value: u8) -> Done {
        self.board.push(Cell { value });
        Ok(())
    }

    fn reverse(&mut self, _: &mut Context<Self>, _: &Client, _: Value) -> Done {
        self.board.reverse();
        Ok(())
    }

    fn bot(&mut self, _: &mut Context<Self>, _: &Client, name: String) -> Done {
        self.bots.insert(&name, Player { name: name.clone(), ..Player::default() });
        Ok(())
    }

    fn unbot(&mut self, _: &mut Context<Self>, _: &Client, name: String) -> Done {
        self.bots.remove(&name).map(|_| ()).ok_or_else(|| Refusal::new(4311, "there is no such bot"))
    }

    fn score(&mut self, _: &mut Context<Self>, _: &Client, score: Score) -> Done {
        self.scores.insert(&score.name, score.points);
        Ok(())
    }

    fn lead(&mut self, _: &mut Context<Self>, _: &Client, name: Option<String>) -> Done {
        self.leader = name.map(|name| Player { name, ..Player::default() });
        Ok(())
    }

    /// A card for the sender's eyes, and one for nobody's.
    fn draw(&mut self, _: &mut Context<Self>, client: &Client, card: String) -> Done {
        self.deck.push(format!("deck of {card}"));
        self.hands.insert(client.session_id(), Hand { card });
        self.hands.show(client.session_id(), client.view());
        Ok(())
    }

    fn whisper(&mut self, cx: &mut Context<Self>, client: &Client, secret: String) -> Done {
        self.secret = secret;
        cx.show_root(client, None);
        Ok(())
    }

    fn all(&mut self, cx: &mut Context<Self>, _: &Client, payload: Value) -> Done {
        cx.broadcast("all", &payload);
        Ok(())
    }

    fn others(&mut self, cx: &mut Context<Self>, client: &Client, payload: Value) -> Done {
        cx.broadcast_except("others", &payload, &[client]);
        Ok(())
    }

    /// A change and a message about it, which must not come first.
    fn after(&mut self, cx: &mut Context<Self>, _: &Client, payload: Value) -> Done {
        self.tick += 1;
        cx.broadcast_after_patch("after", &payload);
        Ok(())
    }

    fn raw(&mut self, cx: &mut Context<Self>, client: &Client, _: Value) -> Done {
        cx.send_bytes(client, "raw", &[1, 2, 3, 255]);
        Ok(())
    }

    fn refuse(&mut self, _: &mut Context<Self>, _: &Client, _: Value) -> Done {
        Err(Refusal::new(4321, "a code of the game's own"))
    }

    fn fail(&mut self, _: &mut Context<Self>, _: &Client, _: Value) -> Done {
        panic!("a mistake of the game's author")
    }

    fn kick(&mut self, cx: &mut Context<Self>, _: &Client, kick: Kick) -> Done {
        let client = cx.client(&kick.session).ok_or("nobody of that name")?;
        cx.kick(&client, CloseCode(kick.code));
        Ok(())
    }

    fn later(&mut self, cx: &mut Context<Self>, _: &Client, later: Later) -> Done {
        cx.schedule(Duration::from_millis(later.ms), &Alarm { text: later.text });
        Ok(())
    }

    fn lock(&mut self, cx: &mut Context<Self>, _: &Client, locked: bool) -> Done {
        if locked {
            cx.lock()
        } else {
            cx.unlock()
        }
        Ok(())
    }

    fn hide(&mut self, cx: &mut Context<Self>, _: &Client, private: bool) -> Done {
        cx.set_private(private);
        Ok(())
    }

    fn end(&mut self, cx: &mut Context<Self>, _: &Client, _: Value) -> Done {
        cx.disconnect();
        Ok(())
    }

    fn add(&mut self, _: &mut Context<Self>, _: &Client, sum: Sum) -> Result<f64, Refusal> {
        Ok(sum.a + sum.b)
    }

    fn nothing(&mut self, _: &mut Context<Self>, _: &Client, _: Value) -> Result<(), Refusal> {
        Ok(())
    }

    fn reject(&mut self, _: &mut Context<Self>, _: &Client, _: Value) -> Result<(), Refusal> {
        Err(Refusal::new(4400, "no, because"))
    }

    fn connected(&mut self, client: &Client, connected: bool) {
        if let Some(player) = self.players.get_mut(client.session_id()) {
            player.connected = connected;
        }
    }
}

impl Room for World {
    type Options = Options;
    type Timer = Alarm;

    fn messages(on: &mut Messages<Self>) {
        on.message("move", Self::move_to).message("place", Self::place).message("item", Self::item);
        on.message("title", Self::title).message("score", Self::score).message("lead", Self::lead);
        on.message("tag", Self::tag).message("insert-tag", Self::insert_tag).message("untag", Self::untag);
        on.message("cell", Self::cell).message("reverse", Self::reverse);
        on.message("bot", Self::bot).message("unbot", Self::unbot);
        on.message("draw", Self::draw).message("whisper", Self::whisper);
        on.message("all", Self::all).message("others", Self::others).message("after", Self::after);
        on.message("raw", Self::raw).message("refuse", Self::refuse).message("fail", Self::fail);
        on.message("kick", Self::kick).message("later", Self::later).message("end", Self::end);
        on.message("lock", Self::lock).message("hide", Self::hide);
        on.request("add", Self::add).request("nothing", Self::nothing).request("reject", Self::reject);
    }

    fn create(_: &mut Context<Self>, _: Options) -> Result<Self, Refusal> {
        Ok(Self { tags: vec!["a".to_owned(), "b".to_owned()].into(), ..Self::default() })
    }

    fn join(&mut self, cx: &mut Context<Self>, client: &Client, options: Options) -> Done {
        cx.send(client, "welcome", &client.session_id().as_str());
        let player = Player { name: options.name, connected: true, x: 1.0, y: 2.0, ..Player::default() };
        self.players.insert(client.session_id(), player);
        Ok(())
    }

    fn timer(&mut self, cx: &mut Context<Self>, alarm: Alarm) {
        cx.broadcast("alarm", &alarm.text);
        self.title = alarm.text;
    }

    fn drop(&mut self, _: &mut Context<Self>, client: &Client, _: CloseCode) {
        self.connected(client, false);
    }

    fn reconnect(&mut self, _: &mut Context<Self>, client: &Client) {
        self.connected(client, true);
    }

    fn leave(&mut self, _: &mut Context<Self>, client: &Client, _: Leave) {
        self.players.remove(client.session_id());
        self.hands.remove(client.session_id());
    }
}
