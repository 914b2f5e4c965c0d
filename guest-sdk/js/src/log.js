// Lines for the author of the validator. They never influence a verdict.

import * as host from "#host";

const at = (level) => (message) => host.line(level, String(message).toWellFormed());

export const log = {
  debug: at("debug"),
  info: at("info"),
  warn: at("warn"),
  error: at("error"),
};
