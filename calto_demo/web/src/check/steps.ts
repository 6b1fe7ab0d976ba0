/** The steps of the check before a call, and what they come to. Pure. */

export type StepState = "waiting" | "running" | "good" | "warning" | "bad";

export interface Step {
  id: string;
  title: string;
  state: StepState;
  words: string;
  rttMs: number | null;
}

export const MICROPHONE = "microphone";
export const STUN = "stun";
export const NAT = "nat";

export function plan(urls: readonly string[]): Step[] {
  const step = (id: string, title: string): Step => ({
    id,
    title,
    state: "waiting",
    words: "",
    rttMs: null,
  });
  return [
    step(MICROPHONE, "Microphone"),
    step(STUN, "Your public address (STUN)"),
    step(NAT, "Kind of NAT"),
    ...urls.map((url) => step(url, `Relay over ${wayOf(url)}`)),
  ];
}

/** `turns:` is TLS, unless it says UDP, which would be DTLS. */
export function wayOf(url: string): string {
  const udp = /transport=udp/.test(url);
  if (url.startsWith("turns:")) return udp ? "DTLS" : "TLS";
  return /transport=tcp/.test(url) ? "TCP" : "UDP";
}

export interface Conclusion {
  state: "good" | "warning" | "bad";
  words: string;
}

/** All steps in one sentence. */
export function conclude(steps: readonly Step[]): Conclusion | null {
  if (steps.some(({ state }) => state === "waiting" || state === "running")) return null;
  const state = (id: string) => steps.find((step) => step.id === id)?.state;
  const relays = steps.filter(({ id }) => id.startsWith("turn"));
  const relayWorks = relays.some((step) => step.state === "good");
  if (state(MICROPHONE) === "bad")
    return { state: "bad", words: "Nobody would hear you: the microphone does not work." };
  if (state(STUN) === "bad" && !relayWorks)
    return { state: "bad", words: "Calls will not work from this network: nothing gets through." };
  if (state(STUN) === "bad")
    return { state: "warning", words: "Calls will work, all of them through the relay." };
  if (!relayWorks)
    return {
      state: "warning",
      words: "Direct calls will work; where one needs the relay, it fails.",
    };
  if (state(NAT) === "warning")
    return { state: "warning", words: "Calls will work; many of them will need the relay." };
  return { state: "good", words: "Calls will work, and most of them will go directly." };
}
