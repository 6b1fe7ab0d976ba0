/** Ringtone, ringback and the little sounds of a call, made by oscillators: no files. */

import { audioContext } from "./media";

interface Note {
  /** Hz; several sound together. */
  pitches: readonly number[];
  /** Seconds from the beginning of the round. */
  at: number;
  lasts: number;
}

interface Tone {
  notes: readonly Note[];
  /** Seconds until it begins again; null: once. */
  every: number | null;
  volume: number;
}

const chime = (at: number, pitch: number): Note => ({
  pitches: [pitch, pitch * 2],
  at,
  lasts: 0.32,
});

export const TONES = {
  /** Two rising pairs, then silence. */
  ringtone: {
    notes: [chime(0, 523), chime(0.18, 659), chime(0.36, 784), chime(0.9, 659), chime(1.08, 784)],
    every: 3,
    volume: 0.2,
  },
  /** What telephones in Europe play to a caller: 425 Hz, one second of five. */
  ringback: { notes: [{ pitches: [425], at: 0, lasts: 1 }], every: 5, volume: 0.06 },
  connected: { notes: [chime(0, 659), chime(0.1, 880)], every: null, volume: 0.08 },
  ended: { notes: [chime(0, 440), chime(0.14, 330)], every: null, volume: 0.08 },
  test: { notes: [chime(0, 523), chime(0.2, 659), chime(0.4, 784)], every: null, volume: 0.2 },
} satisfies Record<string, Tone>;

export type ToneName = keyof typeof TONES;

/** Play a tone; call what comes back to stop it. */
export function play(name: ToneName): () => void {
  const tone: Tone = TONES[name];
  const context = audioContext();
  const out = context.createGain();
  out.gain.value = tone.volume;
  out.connect(context.destination);
  const round = () => tone.notes.forEach((note) => sound(context, out, note));
  round();
  const timer = tone.every === null ? null : setInterval(round, tone.every * 1000);
  return () => {
    if (timer !== null) clearInterval(timer);
    // A step to silence clicks; 50 ms do not.
    out.gain.setTargetAtTime(0, context.currentTime, 0.02);
    setTimeout(() => out.disconnect(), 200);
  };
}

function sound(context: AudioContext, out: GainNode, { pitches, at, lasts }: Note): void {
  const begin = context.currentTime + at;
  for (const pitch of pitches) {
    const oscillator = context.createOscillator();
    const envelope = context.createGain();
    oscillator.frequency.value = pitch;
    envelope.gain.setValueAtTime(0, begin);
    envelope.gain.linearRampToValueAtTime(1 / pitches.length, begin + 0.02);
    envelope.gain.setValueAtTime(1 / pitches.length, begin + lasts * 0.5);
    envelope.gain.linearRampToValueAtTime(0, begin + lasts);
    oscillator.connect(envelope).connect(out);
    oscillator.start(begin);
    oscillator.stop(begin + lasts + 0.05);
  }
}
