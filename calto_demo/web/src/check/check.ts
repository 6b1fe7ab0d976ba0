/** The check before a call: microphone, STUN, the kind of NAT, the relay by each of its ways. */

import { closeMicrophone, openMicrophone, watchLevel } from "../call/media";
import { relayUrls } from "../call/policy";
import { wordsOf } from "../failure";
import type { IceServers, Nat } from "../net/protocol";
import { formatMs } from "../ui/time";
import { natSeen, relaySeen } from "./gather";

import { MICROPHONE, NAT, type Step, STUN } from "./steps";

export interface CheckResult {
  nat: Nat;
  relayRttMs: number | null;
}

type Tell = (id: string, change: Partial<Step>) => void;

/** Run all of it; `tell` shows each step as it goes on. */
export async function runCheck(
  ice: IceServers,
  microphone: string | null,
  tell: Tell,
  level: (level: number) => void,
): Promise<CheckResult> {
  await checkMicrophone(microphone, tell, level);
  const nat = await checkNat(ice, tell);
  const relayRttMs = await checkRelays(ice, tell);
  return { nat, relayRttMs };
}

const LISTEN_MS = 2500;
/** On the meter's scale: about -54 dB, above the noise of a quiet room. */
const SILENCE = 0.1;

async function checkMicrophone(
  device: string | null,
  tell: Tell,
  level: (level: number) => void,
): Promise<void> {
  tell(MICROPHONE, { state: "running", words: "Say something …" });
  let stream: MediaStream | null = null;
  try {
    stream = await openMicrophone(device);
    const loudest = await listen(stream, level);
    const name = stream.getAudioTracks()[0]?.label || "The microphone";
    if (loudest > SILENCE) tell(MICROPHONE, { state: "good", words: `${name} hears you.` });
    else tell(MICROPHONE, { state: "warning", words: `${name} is silent: is it muted?` });
  } catch (error) {
    tell(MICROPHONE, { state: "bad", words: wordsOf(error) });
  } finally {
    closeMicrophone(stream);
    level(0);
  }
}

async function listen(stream: MediaStream, show: (level: number) => void): Promise<number> {
  let loudest = 0;
  const stop = watchLevel(stream, (level) => {
    loudest = Math.max(loudest, level);
    show(level);
  });
  await new Promise((resolve) => setTimeout(resolve, LISTEN_MS));
  stop();
  return loudest;
}

async function checkNat(ice: IceServers, tell: Tell): Promise<Nat> {
  tell(STUN, { state: "running" });
  tell(NAT, { state: "running" });
  const { kind, words, mapped } = await natSeen(ice);
  const [first] = mapped;
  const silent = !first && kind === "unknown";
  tell(STUN, {
    state: silent ? "bad" : "good",
    words: silent
      ? "No answer over UDP. Calls from here will need the relay over TCP or TLS."
      : first
        ? `Others see you as ${first.address}.`
        : "Others see you by your own address.",
  });
  const states = { open: "good", cone: "good", symmetric: "warning", unknown: "warning" } as const;
  tell(NAT, { state: states[kind], words });
  return kind;
}

async function checkRelays({ iceServers }: IceServers, tell: Tell): Promise<number | null> {
  let best: number | null = null;
  for (const server of iceServers)
    for (const url of relayUrls([server])) {
      tell(url, { state: "running" });
      const { works, words, rttMs } = await relaySeen(server, url);
      const took = rttMs === null ? "" : ` ${formatMs(rttMs)} there and back.`;
      tell(url, { state: works ? "good" : "bad", words: words + took, rttMs });
      best ??= rttMs;
    }
  return best;
}
