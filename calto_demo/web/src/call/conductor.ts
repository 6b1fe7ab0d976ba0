/**
 * Runs a call: what comes from the server, from the connection and from the person, in their order.
 *
 * What the page shows is computed by `state.ts`; this file does what must be done about it.
 */

import { wordsOf } from "../failure";
import type { Api } from "../net/api";
import type { ClientFrame, ErrorFrame, Person, ServerFrame, User, Welcome } from "../net/protocol";
import { isRelayed, kindOf } from "../path/describe";
import { fingerprint, safetyNumber } from "../path/safety";
import { type AppState, NO_CALL } from "../state";
import type { Store } from "../store";
import { Comparer } from "./compare";
import { Leg } from "./leg";
import { closeMicrophone, openMicrophone } from "./media";
import { Meter } from "./meter";
import { isCompareLeg, policyFor, relayUrls } from "./policy";
import { Reporter } from "./reporter";
import { Restarter } from "./restart";
import { Ringer } from "./ringer";
import {
  applyFrame,
  type CallView,
  incoming,
  isLive,
  isTalking,
  type Outcome,
  outgoing,
  rejoined,
  sdpText,
  step,
} from "./state";

type Frame<Type> = Extract<ServerFrame, { type: Type }>;
const MAIN = "main";

export class Conductor {
  private leg: Leg | null = null;
  private meter: Meter | null = null;
  private acceptedAt = 0;
  /** What came for a connection that is still being made. */
  private early: (RTCIceCandidateInit | null)[] = [];
  private ringSent = false;
  /** A call of whom we are ringing: it goes on in place of ours when the server says `glare`. */
  private crossing: Frame<"incoming"> | null = null;
  private readonly ringer = new Ringer();
  private readonly comparer: Comparer;
  private readonly restarter: Restarter;
  private readonly reporter: Reporter;

  constructor(
    private readonly store: Store<AppState>,
    private readonly api: Api,
    private readonly send: (frame: ClientFrame) => void,
  ) {
    this.comparer = new Comparer(store, send);
    this.reporter = new Reporter(store, api, () => this.leg?.search ?? null);
    this.restarter = new Restarter(() => this.restart());
    window.addEventListener("online", () => this.restarter.now(this.leg !== null));
  }

  // What the person does.

  async dial(peer: User & Partial<Pick<Person, "nat">>): Promise<void> {
    if (isLive(this.view)) return;
    const call = crypto.randomUUID();
    const { path } = this.store.get().settings;
    this.begin(outgoing(call, peer, peer.nat ?? "unknown", path, Date.now() / 1000));
    await this.attempt(async () => {
      const leg = await this.makeLeg(true);
      const sdp = await leg.offer();
      if (this.isOver(call)) return;
      this.ringSent = true;
      this.send({ type: "ring", call, to: peer.id, sdp, path });
    });
  }

  async accept(): Promise<void> {
    const { view } = this;
    if (view?.phase !== "incoming" || view.offer === null) return;
    this.change(step(view, "accept"));
    this.acceptedAt = performance.now();
    await this.attempt(async () => {
      const leg = await this.makeLeg(true);
      const sdp = await leg.answer(view.offer!);
      if (this.isOver(view.call) || sdp === null) return;
      this.send({ type: "accept", call: view.call, sdp });
      leg.release();
      void this.compareFingerprints();
    });
  }

  decline(): void {
    if (this.view?.phase !== "incoming") return;
    this.send({ type: "decline", call: this.view.call });
    this.finish({ reason: "declined", mine: true, message: null, record: null });
  }

  hangUp(): void {
    const { view } = this;
    if (!isLive(view) || view.phase === "incoming") return;
    this.send({ type: "hangup", call: view.call, reason: "hangup", message: null });
    const reason = isTalking(view) ? "hangup" : "cancelled";
    this.finish({ reason, mine: true, message: null, record: null });
  }

  /** Leave the screen of a call that has ended. */
  dismiss(): void {
    if (!isLive(this.view)) this.store.set(NO_CALL);
  }

  /** Signed out: whatever goes on is over, without a word to anybody. */
  abandon(): void {
    if (isLive(this.view)) this.finish({ reason: "lost", mine: true, message: null, record: null });
    this.store.set(NO_CALL);
  }

  mute(muted: boolean): void {
    if (!isLive(this.view)) return;
    this.store
      .get()
      .microphone?.getAudioTracks()
      .forEach((track) => (track.enabled = !muted));
    this.change({ ...this.view, muted });
    this.send({ type: "mute", call: this.view.call, muted });
  }

  async changeMicrophone(): Promise<void> {
    const { microphone, settings } = this.store.get();
    if (!microphone || !isLive(this.view)) return;
    await this.attempt(async () => {
      const next = await openMicrophone(settings.microphone);
      next.getAudioTracks().forEach((track) => (track.enabled = !this.view?.muted));
      await this.leg?.replaceMicrophone(next);
      await this.comparer.replaceMicrophone(next);
      closeMicrophone(microphone);
      this.store.set({ microphone: next });
    }, false);
  }

  async compare(): Promise<void> {
    const { measured, microphone, policy } = this.store.get();
    const { view, leg } = this;
    if (!view || !leg || !microphone || !measured?.seen.selected || policy === "relay") return;
    const other = isRelayed(kindOf(measured.seen.selected)) ? "direct" : "relay";
    await this.comparer.start(other, view, leg.settings, microphone);
  }

  stopComparing(): void {
    this.comparer.stop();
  }

  // What the server says.

  welcome({ calls, resumed }: Welcome): void {
    const { view } = this;
    const known = calls.find(({ call }) => call === view?.call);
    if (isLive(view) && !known) return this.missing(view, resumed);
    if (isLive(view) && known) {
      if (!resumed && !view.connectedAt && view.direction === "out") void this.offerAfresh();
      return;
    }
    for (const live of calls) {
      const back = rejoined(live);
      if (!back) continue;
      this.begin(back);
      if (back.phase === "incoming") this.send({ type: "ringing", call: back.call });
      if (isTalking(back)) void this.offerAfresh();
      return;
    }
  }

  /** A ring that the server has not heard yet is still on its way; any other call has ended. */
  private missing(view: CallView, resumed: boolean): void {
    if (view.phase === "calling" && (resumed || !this.ringSent)) return;
    this.finish({ reason: "lost", mine: false, message: null, record: null });
  }

  frame(frame: ServerFrame): void {
    if (!("call" in frame)) return;
    if (frame.type === "incoming") return this.rung(frame);
    const { view } = this;
    if (!view || frame.call !== view.call) return;
    const next = applyFrame(view, frame, this.store.get().me?.id ?? "");
    switch (frame.type) {
      case "accepted":
        return void this.accepted(frame, next);
      case "offer":
        return void this.offered(frame);
      case "answer":
        return void this.answered(frame);
      case "candidate":
        return this.candidate(frame);
      case "ended":
        return this.ended(view, next);
      default:
        this.change(next);
    }
  }

  refused({ code, message, hint, call }: ErrorFrame): void {
    const { view } = this;
    if (!isLive(view) || call !== view.call) return;
    const fatal = view.phase === "calling" || code === "no-such-call";
    if (!fatal) return console.warn("the server refused a frame:", code, message);
    const words = hint ? `${message} ${hint}` : message;
    this.finish({ reason: "failed", mine: false, message: words, record: null });
  }

  private rung(frame: Frame<"incoming">): void {
    const { view } = this;
    if (view?.call === frame.call) return;
    const crosses = view?.peer.id === frame.peer.id && view.direction === "out";
    const glare = crosses && view.outcome?.reason === "glare";
    if (isLive(view)) {
      if (crosses) this.crossing = frame;
      return;
    }
    this.begin(incoming(frame));
    if (glare) void this.accept();
    else this.send({ type: "ringing", call: frame.call });
  }

  private async accepted(frame: Frame<"accepted">, next: CallView): Promise<void> {
    if (this.view?.phase === next.phase) return;
    this.acceptedAt = performance.now();
    this.change(next);
    // The page was loaded again while it rang: the answer is for a connection that is gone.
    if (!this.leg) return this.offerAfresh();
    await this.attempt(async () => {
      await this.leg!.answered(sdpText(frame.sdp));
      this.leg!.release();
      void this.compareFingerprints();
    });
  }

  private async offered({ sdp, leg = MAIN, fresh = false }: Frame<"offer">): Promise<void> {
    const { view } = this;
    if (!view || !isTalking(view)) return;
    const { microphone } = this.store.get();
    if (isCompareLeg(leg)) {
      if (microphone && this.leg)
        await this.comparer.offered(leg, sdpText(sdp), view, this.leg.settings, microphone);
      return;
    }
    if (leg !== MAIN) return;
    await this.attempt(async () => {
      // Dropped at once: the candidates that follow are for the new one.
      if (fresh) this.dropLeg();
      if (!this.leg) await this.makeLeg(true);
      const answer = await this.leg!.answer(sdpText(sdp));
      if (answer === null) return;
      this.send({ type: "answer", call: view.call, sdp: answer, leg: MAIN });
      this.leg!.release();
      // A page that was loaded again does not know it.
      if (fresh && this.view?.muted) this.send({ type: "mute", call: view.call, muted: true });
      void this.compareFingerprints();
    });
  }

  private async answered({ sdp, leg = MAIN }: Frame<"answer">): Promise<void> {
    await this.attempt(async () => {
      await this.legOf(leg)?.answered(sdpText(sdp));
      if (leg === MAIN) void this.compareFingerprints();
    });
  }

  private candidate({ candidate, leg = MAIN }: Frame<"candidate">): void {
    const taker = this.legOf(leg);
    if (taker) void taker.add(candidate);
    else if (leg === MAIN) this.early.push(candidate);
  }

  private ended(view: CallView, next: CallView): void {
    if (!isLive(view)) this.store.set({ call: next });
    else if (next.outcome) this.finish(next.outcome);
    if (next.outcome?.reason !== "glare" || !isLive(view) || !this.crossing) return;
    const { crossing } = this;
    this.crossing = null;
    this.rung(crossing);
  }

  // The connection.

  /** Open the microphone, learn the servers, make a connection in place of the one that is there. */
  private async makeLeg(hold: boolean): Promise<Leg> {
    const view = this.view!;
    const { settings, microphone: open } = this.store.get();
    const isCaller = view.direction === "out";
    const [microphone, { iceServers }] = await Promise.all([
      open ?? openMicrophone(settings.microphone),
      this.api.ice(view.call),
    ]);
    if (this.isOver(view.call)) {
      if (!open) closeMicrophone(microphone);
      throw new CallIsOver();
    }
    this.discardLeg();
    this.restarter.up();
    const policy = policyFor(view.path, settings.path, isCaller);
    this.store.set({ microphone, policy, relays: relayUrls(iceServers) });
    microphone.getAudioTracks().forEach((track) => (track.enabled = !this.view?.muted));
    const leg: Leg = new Leg({ servers: iceServers, policy, isCaller, hold }, microphone, {
      candidate: (candidate) =>
        this.send({ type: "candidate", call: view.call, candidate, leg: MAIN }),
      state: (state) => this.leg === leg && this.mediaState(state),
      audio: (audio) => this.store.set({ audio }),
      gone: () => {},
    });
    this.leg = leg;
    for (const candidate of this.early.splice(0)) void leg.add(candidate);
    this.meter = new Meter(leg.connection, (measured) => {
      this.store.set({ measured });
      this.reporter.saw(measured);
    });
    return leg;
  }

  private async offerAfresh(): Promise<void> {
    const { view } = this;
    if (!view) return;
    await this.attempt(async () => {
      const leg = await this.makeLeg(false);
      this.acceptedAt = performance.now();
      const sdp = await leg.offer();
      this.send({ type: "offer", call: view.call, sdp, leg: MAIN, fresh: true });
    });
  }

  private async restart(): Promise<void> {
    const { view, leg } = this;
    if (!view || !leg || !isTalking(view) || leg.connection.signalingState !== "stable") return;
    const sdp = await leg.offer(true);
    this.send({ type: "offer", call: view.call, sdp, leg: MAIN, fresh: false });
  }

  private mediaState(state: RTCPeerConnectionState): void {
    const { view } = this;
    if (!view) return;
    if (state === "connected") this.mediaUp(view);
    if (state === "disconnected" || state === "failed") {
      this.change(step(view, "media-down"));
      this.restarter.down(state === "failed", view.direction === "out");
    }
  }

  private mediaUp(view: CallView): void {
    this.restarter.up();
    void this.meter?.look();
    this.send({ type: "connected", call: view.call });
    const connectedAt = view.connectedAt ?? Date.now() / 1000;
    const setupMs = this.store.get().setupMs ?? performance.now() - this.acceptedAt;
    this.store.set({ setupMs });
    this.change(step(view, "media-up", { connectedAt }));
    this.reporter.begin();
  }

  private async compareFingerprints(): Promise<void> {
    const { localDescription, remoteDescription } = this.leg?.connection ?? {};
    const mine = fingerprint(localDescription?.sdp);
    const theirs = fingerprint(remoteDescription?.sdp);
    this.store.set({ safety: mine && theirs ? await safetyNumber(mine, theirs) : null });
  }

  private legOf(name: string = MAIN): Leg | null {
    return name === MAIN ? this.leg : this.comparer.legOf(name);
  }

  // Beginning and end.

  private get view(): CallView | null {
    return this.store.get().call;
  }

  private isOver(call: string): boolean {
    return !isLive(this.view) || this.view.call !== call;
  }

  private begin(view: CallView): void {
    this.ringSent = false;
    this.store.set({ ...NO_CALL, call: view, notice: null });
    this.ringer.follow(view);
  }

  private change(view: CallView): void {
    this.store.set({ call: view });
    this.ringer.follow(view);
  }

  private finish(outcome: Outcome): void {
    const { view } = this;
    if (!view) return;
    this.reporter.end(isLive(view) && view.connectedAt !== null);
    this.restarter.up();
    this.comparer.close();
    this.dropLeg();
    closeMicrophone(this.store.get().microphone);
    this.store.set({ microphone: null, audio: null });
    this.change({ ...view, phase: "ended", outcome });
  }

  private dropLeg(): void {
    this.discardLeg();
    this.early = [];
  }

  private discardLeg(): void {
    this.meter?.stop();
    this.leg?.close();
    this.leg = null;
    this.meter = null;
  }

  /** Do it; a failure ends the call with its words, or is only told. */
  private async attempt(task: () => Promise<void>, ends = true): Promise<void> {
    const call = this.view?.call;
    try {
      await task();
    } catch (error) {
      if (error instanceof CallIsOver || !call || this.isOver(call)) return;
      const message = wordsOf(error);
      if (!ends) return this.store.set({ notice: { message, hint: null } });
      this.send({ type: "hangup", call, reason: "failed", message: message.slice(0, 200) });
      this.finish({ reason: "failed", mine: true, message, record: null });
    }
  }
}

class CallIsOver extends Error {}
