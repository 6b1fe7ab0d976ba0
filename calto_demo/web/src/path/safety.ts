/**
 * The safety number: both DTLS fingerprints of a call as digits to compare by voice.
 *
 * Whoever sits on the signalling server could put certificates of their own between the two sides;
 * then the sides see different fingerprints, and read out different numbers. 40 digits are 133 bits:
 * to find certificates that collide takes about 2^66 tries, and they must be found during the call.
 */

const GROUPS = 8;
const DIGITS = 5;

/** The `a=fingerprint` of a description, as `sha-256 AB:CD…`; null where it has none. */
export function fingerprint(sdp: string | undefined): string | null {
  const found = sdp?.match(/^a=fingerprint:(\S+) ([0-9A-Fa-f:]+)\s*$/m);
  return found ? `${found[1]!.toLowerCase()} ${found[2]!.toUpperCase()}` : null;
}

/** Eight groups of five digits; the same on both sides, since the order does not count. */
export async function safetyNumber(one: string, other: string): Promise<string[]> {
  const text = ["calto safety number 1", ...[one, other].sort()].join("\n");
  const digest = await crypto.subtle.digest("SHA-512", new TextEncoder().encode(text));
  return groups(new Uint8Array(digest));
}

/** Six bytes for each group: the bias of taking them modulo 100000 is below 2^-31. */
function groups(digest: Uint8Array): string[] {
  return Array.from({ length: GROUPS }, (_, n) => {
    const bytes = digest.slice(n * 6, n * 6 + 6);
    const value = bytes.reduce((sum, byte) => sum * 256 + byte, 0);
    return String(value % 10 ** DIGITS).padStart(DIGITS, "0");
  });
}
