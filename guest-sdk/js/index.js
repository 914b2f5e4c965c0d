// Write validators for Atomic Store in JavaScript. index.d.ts documents all of it.

export { component, upcasts } from "./src/component.js";
export { history } from "./src/history.js";
export { log } from "./src/log.js";
export { Event, Malformed, Payload, Proposal, newEvent, toJson } from "./src/payload.js";
export { Acceptance, Rejection, accept, acceptInstead, reject } from "./src/verdict.js";
