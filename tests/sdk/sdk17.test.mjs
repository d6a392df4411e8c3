// The generation of 0.17, which most engines speak: comes back by itself.

import { Callbacks, Client } from "sdk17";
import { play } from "./scenarios.mjs";
import { watchWith } from "./support/callbacks.mjs";

play({ name: "0.17", Client, watch: watchWith(Callbacks), comesBack: true, requests: false, pings: true });
