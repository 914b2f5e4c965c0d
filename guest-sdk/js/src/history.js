// The earlier events of the scope, for rules that would rather look than fold.

import * as host from "#host";
import { Event } from "./payload.js";

const PAGE = 256;

export const history = {
  head: () => host.head(),

  read: (after, limit) => host.read(after, limit).map((event) => new Event(event)),

  *since(after) {
    for (;;) {
      const page = history.read(after, PAGE);
      if (page.length === 0) return;
      yield* page;
      after = page.at(-1).seq;
    }
  },
};
