// The fields of a bid as people and spreadsheets write them: amounts as `95`, `95.5` or `"95.50"`, names
// as text or as a number.
//
// What must stay true: an amount is a whole number of cents from the moment it is read. One that is not
// (three decimals, a sign) is refused, never rounded.

/** 10 billion less a cent: far below 2^53 cents, up to which a number is exact. */
const CENTS_MAX = 999_999_999_999;

export class WrongField extends Error {}

/** The fields of a JSON object. */
export function fields(value: unknown): Record<string, unknown> {
  if (typeof value !== "object" || value === null || Array.isArray(value)) {
    throw new WrongField("this is no object");
  }
  return value as Record<string, unknown>;
}

/** An amount in cents. */
export function cents(value: unknown): number {
  let found: number | undefined;
  if (typeof value === "string") {
    const parts = /^([0-9]{1,10})(?:\.([0-9]{1,2}))?$/.exec(value);
    if (parts !== null) found = Number(parts[1]) * 100 + Number((parts[2] ?? "0").padEnd(2, "0"));
  } else if (typeof value === "number") {
    const rounded = Math.round(value * 100);
    // Division rounds correctly, so exactly the numbers written with two decimals come back.
    if (rounded / 100 === value && rounded >= 0 && rounded <= CENTS_MAX) found = rounded;
  }
  if (found === undefined) {
    throw new WrongField("an amount is from 0 to 9999999999.99 with at most two decimals");
  }
  return found;
}

/** An amount that may be left out. */
export function optionalCents(value: unknown): number | null {
  return value === undefined || value === null ? null : cents(value);
}

/** Who bids: text, or a whole number that every language reads exactly. */
export function name(value: unknown): string {
  if (typeof value === "string") return value;
  if (Number.isSafeInteger(value) && (value as number) >= 0) return String(value);
  throw new WrongField("a name is text or a whole number");
}

/** An amount as JSON and sentences have it. */
export function money(amount: number): string {
  const part = String(amount % 100).padStart(2, "0");
  return `${Math.floor(amount / 100)}.${part}`;
}
