/** Which sound belongs to a call's phase, and the page's title with it. */

import { play, type ToneName } from "./tones";
import type { CallView, Phase } from "./state";

const LASTING: Partial<Record<Phase, ToneName>> = { incoming: "ringtone", ringing: "ringback" };
const ONCE: Partial<Record<Phase, ToneName>> = { connected: "connected", ended: "ended" };

export class Ringer {
  private phase: Phase | null = null;
  private stop: () => void = () => {};

  follow(view: CallView): void {
    if (view.phase === this.phase) return;
    const before = this.phase;
    this.phase = view.phase;
    this.stop();
    this.stop = () => {};
    const lasting = LASTING[view.phase];
    if (lasting) this.stop = play(lasting);
    const once = ONCE[view.phase];
    // Coming back after a gap is no new beginning.
    if (once && before !== "reconnecting") play(once);
    document.title = title(view);
    if (view.phase === "incoming") navigator.vibrate?.([300, 200, 300, 200, 300]);
  }
}

function title({ phase, peer }: CallView): string {
  switch (phase) {
    case "incoming":
      return `${peer.name} is calling – Calto`;
    case "calling":
    case "ringing":
      return `Calling ${peer.name} – Calto`;
    case "ended":
      return "Calto";
    default:
      return `${peer.name} – Calto`;
  }
}
