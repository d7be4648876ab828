// A certificate for one process, signed by itself: what go-plugin calls AutoMTLS. Host and plugin each show the other
// theirs when the plugin starts, and accept no other on the socket between them.
import { generateKeyPairSync, randomBytes, sign } from "node:crypto";

function der(tag, ...parts) {
  const content = Buffer.concat(parts);
  if (content.length < 0x80) return Buffer.concat([Buffer.from([tag, content.length]), content]);
  const length = [];
  for (let n = content.length; n > 0; n >>= 8) length.unshift(n & 0xff);
  return Buffer.concat([Buffer.from([tag, 0x80 | length.length, ...length]), content]);
}

const sequence = (...parts) => der(0x30, ...parts);

function oid(dotted) {
  const [first, second, ...rest] = dotted.split(".").map(Number);
  const out = [first * 40 + second];
  for (let n of rest) {
    const low = [n & 0x7f];
    while ((n >>= 7) > 0) low.unshift((n & 0x7f) | 0x80);
    out.push(...low);
  }
  return der(0x06, Buffer.from(out));
}

const yes = der(0x01, Buffer.from([0xff]));
const extension = (id, critical, value) => sequence(oid(id), critical ? yes : Buffer.alloc(0), der(0x04, value));

/** Returns a certificate for localhost as DER, and certificate and key as PEM. */
export function makeCertificate() {
  const { publicKey, privateKey } = generateKeyPairSync("ec", { namedCurve: "P-256" });
  const algorithm = sequence(oid("1.2.840.10045.4.3.2"));
  const name = sequence(der(0x31, sequence(oid("2.5.4.3"), der(0x0c, Buffer.from("localhost")))));
  const since = new Date(Date.now() - 86_400_000).toISOString().replace(/[-:T]/g, "").slice(2, 14) + "Z";
  const serial = randomBytes(16);
  serial[0] = (serial[0] & 0x3f) | 0x40; // positive, and as long as it looks
  const content = sequence(
    der(0xa0, der(0x02, Buffer.from([2]))),
    der(0x02, serial),
    algorithm,
    name,
    sequence(der(0x17, Buffer.from(since)), der(0x17, Buffer.from("491231235959Z"))),
    name,
    publicKey.export({ type: "spki", format: "der" }),
    der(0xa3, sequence(
      extension("2.5.29.19", true, sequence(yes)), // a root of its own
      extension("2.5.29.15", true, der(0x03, Buffer.from([2, 0xac]))), // signatures, agreement on keys, certificates
      extension("2.5.29.37", false, sequence(oid("1.3.6.1.5.5.7.3.1"), oid("1.3.6.1.5.5.7.3.2"))),
      extension("2.5.29.17", false, sequence(der(0x82, Buffer.from("localhost")))),
    )),
  );
  const signature = sign("sha256", content, privateKey);
  const bytes = sequence(content, algorithm, der(0x03, Buffer.from([0]), signature));
  const cert = `-----BEGIN CERTIFICATE-----\n${bytes.toString("base64").replace(/.{64}/g, "$&\n")}\n-----END CERTIFICATE-----\n`;
  return { der: bytes, cert, key: privateKey.export({ type: "pkcs8", format: "pem" }) };
}
