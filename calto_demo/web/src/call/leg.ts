/**
 * One peer connection of a call, with the rules of offers and candidates around it.
 *
 * The rules (docs/calto-protocol.md): the caller keeps its candidates until it is accepted; of two
 * offers at once the caller's counts. Candidates that come before the description wait here.
 */

import { Failure } from "../failure";
import type { PathChoice } from "../net/protocol";
import { candidatesIn, type Search, SearchLog } from "../path/search";
import { admits, admitted, askedUrls, configuration } from "./policy";

export interface LegEvents {
  candidate(candidate: RTCIceCandidateInit | null): void;
  state(state: RTCPeerConnectionState): void;
  audio(stream: MediaStream): void;
  /** The other side closed this connection (and not the call). */
  gone(): void;
}

export interface LegSettings {
  servers: readonly RTCIceServer[];
  policy: PathChoice;
  isCaller: boolean;
  /** Hold our candidates back until `release`. */
  hold: boolean;
}

/** True on either side: both are told. */
const DISAGREE =
  "The two sides could not agree on how to send the audio. Load the page again on both, then call again.";

export class Leg {
  readonly connection: RTCPeerConnection;
  private readonly log: SearchLog;
  private held: (RTCIceCandidateInit | null)[] | null;
  private waiting: (RTCIceCandidateInit | null)[] = [];
  private closed = false;

  constructor(
    readonly settings: LegSettings,
    microphone: MediaStream,
    private readonly events: LegEvents,
  ) {
    this.held = settings.hold ? [] : null;
    this.log = new SearchLog(askedUrls(settings.servers, settings.policy));
    this.connection = new RTCPeerConnection(configuration(settings.servers, settings.policy));
    for (const track of microphone.getAudioTracks()) this.connection.addTrack(track, microphone);
    this.listen();
  }

  private listen(): void {
    const { connection, events } = this;
    connection.onicecandidate = ({ candidate }) => {
      if (candidate) this.log.found(candidate);
      this.found(candidate?.toJSON() ?? null);
    };
    connection.onicecandidateerror = ({ url, errorCode }) => this.log.unanswered(url, errorCode);
    connection.onconnectionstatechange = () => events.state(connection.connectionState);
    connection.ontrack = ({ track, streams }) =>
      events.audio(streams[0] ?? new MediaStream([track]));
  }

  /** A channel that says nothing: when the other side closes its connection, it closes at once. */
  watchFarEnd(): void {
    const channel = this.connection.createDataChannel("alive", { negotiated: true, id: 0 });
    channel.onclose = () => {
      if (!this.closed) this.events.gone();
    };
  }

  private found(candidate: RTCIceCandidateInit | null): void {
    if (this.closed || candidate?.candidate === "") return;
    if (this.held) this.held.push(candidate);
    else this.events.candidate(candidate);
  }

  /** Accepted: what was found until now may go out. */
  release(): void {
    const held = this.held ?? [];
    this.held = null;
    held.forEach((candidate) => this.events.candidate(candidate));
  }

  async offer(restart = false): Promise<string> {
    if (restart) this.connection.restartIce();
    await this.connection.setLocalDescription();
    return this.described();
  }

  /** Take an offer and answer it; null when it lost against one of ours. */
  async answer(offer: string): Promise<string | null> {
    const { connection, settings } = this;
    if (connection.signalingState === "have-local-offer" && settings.isCaller) return null;
    await this.takes("offer", offer);
    await this.addWaiting();
    await connection.setLocalDescription();
    return this.described();
  }

  /** Take the answer to our offer; one that comes late or twice is left alone. */
  async answered(sdp: string): Promise<void> {
    if (this.connection.signalingState !== "have-local-offer") return;
    await this.takes("answer", sdp);
    await this.addWaiting();
  }

  private async takes(type: "offer" | "answer", told: string): Promise<void> {
    const sdp = admitted(this.settings.policy, told);
    try {
      await this.connection.setRemoteDescription({ type, sdp });
    } catch (error) {
      throw new Failure(DISAGREE, { cause: error });
    }
    for (const candidate of candidatesIn(sdp)) this.log.told(new RTCIceCandidate(candidate));
  }

  async add(candidate: RTCIceCandidateInit | null): Promise<void> {
    if (candidate?.candidate && !admits(this.settings.policy, candidate.candidate)) return;
    if (!this.connection.remoteDescription) {
      this.waiting.push(candidate);
      return;
    }
    try {
      await this.connection.addIceCandidate(candidate ?? undefined);
      if (candidate?.candidate) this.log.told(new RTCIceCandidate(candidate));
    } catch (error) {
      // It belongs to a description that has been replaced since: of no use, and no harm.
      console.debug("candidate left out", error);
    }
  }

  private async addWaiting(): Promise<void> {
    for (const candidate of this.waiting.splice(0)) await this.add(candidate);
  }

  async replaceMicrophone(microphone: MediaStream): Promise<void> {
    const [track] = microphone.getAudioTracks();
    const sender = this.connection.getSenders().find((it) => it.track?.kind === "audio");
    if (track && sender) await sender.replaceTrack(track);
  }

  get search(): Search {
    return this.log.search;
  }

  close(): void {
    this.closed = true;
    this.connection.onicecandidate = null;
    this.connection.onicecandidateerror = null;
    this.connection.onconnectionstatechange = null;
    this.connection.ontrack = null;
    this.connection.close();
  }

  private described(): string {
    return this.connection.localDescription!.sdp;
  }
}
