// What the store provides.

export { head, read } from "atomic-store:validator/history@1.0.0";
export { line } from "atomic-store:validator/log@1.0.0";
