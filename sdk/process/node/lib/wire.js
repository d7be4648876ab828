// The messages of plugin.proto, and those of go-plugin, as bytes: the part of Protocol Buffers that they need.

function varint(n) {
  const out = [];
  let rest = BigInt.asUintN(64, BigInt(n));
  while (rest > 0x7fn) {
    out.push(Number(rest & 0x7fn) | 0x80);
    rest >>= 7n;
  }
  out.push(Number(rest));
  return Buffer.from(out);
}

/** Encodes [number, value] pairs; numbers that are 0, false and empty texts are left out. */
export function message(...fields) {
  const parts = [];
  for (const [number, value] of fields) {
    if (typeof value === "number" || typeof value === "boolean") {
      if (value) parts.push(varint(number << 3), varint(Number(value)));
    } else if (value.length > 0) {
      parts.push(nested(number, typeof value === "string" ? Buffer.from(value) : value));
    }
  }
  return Buffer.concat(parts);
}

/** Encodes a message as a field, also an empty one. */
export const nested = (number, content) => Buffer.concat([varint((number << 3) | 2), varint(content.length), content]);

/** A decoded message; the last of several fields of a number counts, unknown ones do no harm. */
export class Fields {
  #all = new Map();
  #data;
  #at = 0;

  constructor(data) {
    this.#data = data;
    while (this.#at < data.length) {
      const tag = this.#varint();
      this.#all.set(Math.floor(tag / 8), this.#value(tag % 8));
    }
  }

  #varint() {
    let n = 0n;
    for (let shift = 0n; shift < 70n; shift += 7n) {
      const byte = this.#data[this.#at++];
      if (byte === undefined) break;
      n |= BigInt(byte & 0x7f) << shift;
      if (byte < 0x80) return Number(BigInt.asIntN(64, n));
    }
    throw new Error("a number of a message is cut off");
  }

  #value(kind) {
    if (kind === 0) return this.#varint();
    const size = { 1: 8, 5: 4 }[kind] ?? (kind === 2 ? this.#varint() : undefined);
    if (size === undefined || size < 0 || this.#at + size > this.#data.length) throw new Error("a field of a message is cut off");
    this.#at += size;
    return this.#data.subarray(this.#at - size, this.#at);
  }

  number(field) {
    const value = this.#all.get(field);
    return typeof value === "number" ? value : 0;
  }

  bytes(field) {
    const value = this.#all.get(field);
    return Buffer.isBuffer(value) ? value : Buffer.alloc(0);
  }

  text(field) {
    return this.bytes(field).toString();
  }
}
