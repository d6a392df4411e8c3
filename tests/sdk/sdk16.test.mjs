// The generation of 0.16: it has to be told to come back.

import { Client, getStateCallbacks } from "sdk16";
import { play } from "./scenarios.mjs";

function watch(room) {
  const $ = getStateCallbacks(room);
  return {
    onAdd: (collection, told) => $(room.state)[collection].onAdd(told),
    onRemove: (collection, told) => $(room.state)[collection].onRemove(told),
    listen: (instance, field, told) => $(instance ?? room.state).listen(field, told),
  };
}

play({ name: "0.16", Client, watch, comesBack: false, requests: false, pings: false });
