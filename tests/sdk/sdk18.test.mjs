// The generation of 0.18: comes back by itself, and asks for answers.

import { Callbacks, Client } from "sdk18";
import { play } from "./scenarios.mjs";
import { watchWith } from "./support/callbacks.mjs";

play({ name: "0.18", Client, watch: watchWith(Callbacks), comesBack: true, requests: true, inputs: true, pings: true });
