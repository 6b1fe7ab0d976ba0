/** The second connection of a call: the same audio over the other way, to see both at once. */

import type { ClientFrame } from "../net/protocol";
import type { AppState, Comparison } from "../state";
import type { Store } from "../store";
import { Leg, type LegSettings } from "./leg";
import { Meter } from "./meter";
import type { CompareLeg } from "./policy";
import type { CallView } from "./state";

/** ICE gives a way up after about that long; so do we. */
const PATIENCE_MS = 15_000;

export class Comparer {
  private leg: Leg | null = null;
  private name: CompareLeg | null = null;
  private meter: Meter | null = null;
  private patience: ReturnType<typeof setTimeout> | undefined;

  constructor(
    private readonly store: Store<AppState>,
    private readonly send: (frame: ClientFrame) => void,
  ) {}

  async start(
    name: CompareLeg,
    view: CallView,
    main: LegSettings,
    microphone: MediaStream,
  ): Promise<void> {
    const leg = this.make(name, view, { ...main, policy: name, hold: true }, microphone, true);
    const sdp = await leg.offer();
    this.send({ type: "offer", call: view.call, sdp, leg: name, fresh: true });
    leg.release();
  }

  async offered(
    name: CompareLeg,
    offer: string,
    view: CallView,
    main: LegSettings,
    microphone: MediaStream,
  ): Promise<void> {
    // Whoever hides their address does so here, too; then the direct way is not found.
    const open = name === "direct" ? "direct" : "auto";
    const policy = main.policy === "relay" ? "relay" : open;
    const leg = this.make(name, view, { ...main, policy, hold: true }, microphone, false);
    const sdp = await leg.answer(offer);
    if (sdp === null) return;
    this.send({ type: "answer", call: view.call, sdp, leg: name });
    leg.release();
  }

  legOf(name: string): Leg | null {
    return name === this.name ? this.leg : null;
  }

  async replaceMicrophone(microphone: MediaStream): Promise<void> {
    await this.leg?.replaceMicrophone(microphone);
  }

  /** End it; what was measured stays to be looked at. */
  stop(): void {
    this.drop();
    this.show({ state: "stopped" });
  }

  close(): void {
    const state = this.store.get().comparison?.state;
    this.drop();
    if (state === "connecting" || state === "connected") this.show({ state: "stopped" });
  }

  private make(
    name: CompareLeg,
    view: CallView,
    settings: LegSettings,
    microphone: MediaStream,
    mine: boolean,
  ): Leg {
    this.drop();
    this.store.set({ comparison: { leg: name, mine, state: "connecting", measured: null } });
    const leg: Leg = new Leg(settings, microphone, {
      candidate: (candidate) =>
        this.send({ type: "candidate", call: view.call, candidate, leg: name }),
      state: (state) => this.leg === leg && this.changed(state),
      audio: () => {},
      gone: () => this.leg === leg && this.stop(),
    });
    leg.watchFarEnd();
    this.leg = leg;
    this.name = name;
    this.meter = new Meter(leg.connection, (measured) => this.show({ measured }));
    this.patience = setTimeout(() => this.fail(), PATIENCE_MS);
    return leg;
  }

  private changed(state: RTCPeerConnectionState): void {
    // While it connects, Chromium says so of a connection that goes on in the same millisecond: a
    // relay that refuses the first of the peer's addresses is enough. Patience ends what stays so.
    const wasUp = this.store.get().comparison?.state === "connected";
    if (state === "failed" && wasUp) return this.fail();
    if (state !== "connected") return;
    clearTimeout(this.patience);
    this.show({ state: "connected" });
  }

  private fail(): void {
    this.drop();
    this.show({ state: "failed" });
  }

  private drop(): void {
    clearTimeout(this.patience);
    this.meter?.stop();
    this.leg?.close();
    this.leg = null;
    this.name = null;
    this.meter = null;
  }

  private show(change: Partial<Comparison>): void {
    const { comparison } = this.store.get();
    if (comparison) this.store.set({ comparison: { ...comparison, ...change } });
  }
}
