/**
 * The WebSocket to the server: opened, kept alive, opened again.
 *
 * All that must survive a dropped socket is in `Session`; this file holds the timers.
 */

import type { ClientFrame, ErrorFrame, ServerFrame, Welcome } from "./protocol";
import {
  acknowledged,
  freshSession,
  numbered,
  receivedFrame,
  reconnectDelay,
  type Session,
  sessionName,
  storedSession,
  storeSession,
  welcomed,
} from "./session";

export type LinkState =
  | "closed"
  | "connecting"
  | "open"
  | "waiting"
  /** Another tab goes on with this session. */
  | "replaced"
  | "crowded";

export interface SocketEvents {
  link(state: LinkState): void;
  welcome(welcome: Welcome): void;
  frame(frame: ServerFrame): void;
  error(error: ErrorFrame): void;
  signedOut(code: string): void;
}

interface Hello {
  token: string;
  nat: string;
}

const PING_EVERY_MS = 10_000;
const SILENT_AFTER_MS = 25_000;
const BAD_FRAMES_DELAY_MS = 3000;

export class SignalSocket {
  private socket: WebSocket | null = null;
  private session: Session;
  private attempt = 0;
  private wanted = false;
  private ready = false;
  private heardAt = 0;
  private retry: ReturnType<typeof setTimeout> | undefined;
  private ping: ReturnType<typeof setInterval> | undefined;

  constructor(
    private readonly url: string,
    private readonly hello: () => Hello,
    private readonly events: SocketEvents,
  ) {
    this.session = storedSession(sessionStorage) ?? freshSession(newName());
    window.addEventListener("online", () => this.retryNow());
    // A page that goes away sees no close; say it, so that the server need not wait for silence.
    window.addEventListener("pagehide", () => this.socket?.close());
    window.addEventListener("pageshow", ({ persisted }) => persisted && this.retryNow());
  }

  open(): void {
    this.wanted = true;
    this.connect();
  }

  close(): void {
    this.wanted = false;
    clearTimeout(this.retry);
    this.drop();
    this.keep(freshSession(newName()));
    this.events.link("closed");
  }

  /** Go on here although another tab has this session's name. */
  takeNewSession(): void {
    this.keep(freshSession(newName()));
    this.open();
  }

  /** Send now, or when the socket is open again. */
  send(frame: ClientFrame): void {
    const [session, next] = numbered(this.session, frame);
    this.keep(session);
    if (this.ready) this.transmit(next);
  }

  private connect(): void {
    if (!this.wanted || this.socket) return;
    this.events.link("connecting");
    const socket = new WebSocket(this.url);
    this.socket = socket;
    this.heardAt = Date.now();
    this.ping = setInterval(() => this.beat(), PING_EVERY_MS / 2);
    socket.onopen = () => this.greet();
    socket.onmessage = ({ data }) => this.heard(String(data));
    socket.onclose = ({ code, reason }) => {
      if (this.socket === socket) this.dropped(code, reason);
    };
  }

  private greet(): void {
    const { name: session, received: ack } = this.session;
    const agent = navigator.userAgent.slice(0, 200);
    this.transmit({ type: "hello", session, ack, agent, ...this.hello() });
  }

  private beat(): void {
    if (Date.now() - this.heardAt > SILENT_AFTER_MS) this.dropped(4408, "silent");
    else if (this.ready) this.transmit({ type: "ping", ack: this.session.received });
  }

  private heard(data: string): void {
    this.heardAt = Date.now();
    const frame = JSON.parse(data);
    if (typeof frame.ack === "number" && frame.type !== "welcome")
      this.keep(acknowledged(this.session, frame.ack));
    if (frame.type === "welcome") this.arrived(frame);
    else if (frame.type === "error") this.events.error(frame);
    else if (frame.type !== "pong") this.numberedFrame(frame);
  }

  private arrived(welcome: Welcome): void {
    const [session, again] = welcomed(this.session, welcome);
    this.keep(session);
    this.attempt = 0;
    this.ready = true;
    again.forEach((frame) => this.transmit(frame));
    this.events.link("open");
    this.events.welcome(welcome);
  }

  private numberedFrame(frame: ServerFrame & { seq: number }): void {
    const [session, isNew] = receivedFrame(this.session, frame.seq);
    this.keep(session);
    if (isNew) this.events.frame(frame);
  }

  private dropped(code: number, reason: string): void {
    this.drop();
    switch (code) {
      case 4401:
        this.wanted = false;
        return this.events.signedOut(reason);
      case 4409:
        this.wanted = false;
        return this.events.link("replaced");
      case 4429:
        this.wanted = false;
        return this.events.link("crowded");
      case 1009:
      case 4400:
        return this.again(BAD_FRAMES_DELAY_MS);
      default:
        return this.again(reconnectDelay(this.attempt++, Math.random()));
    }
  }

  private again(delay: number): void {
    if (!this.wanted) return;
    this.events.link("waiting");
    clearTimeout(this.retry);
    this.retry = setTimeout(() => this.connect(), delay);
  }

  private retryNow(): void {
    if (!this.wanted || this.socket) return;
    clearTimeout(this.retry);
    this.attempt = 0;
    this.connect();
  }

  private drop(): void {
    const { socket } = this;
    this.socket = null;
    this.ready = false;
    clearInterval(this.ping);
    socket?.close();
  }

  private transmit(frame: object): void {
    if (this.socket?.readyState === WebSocket.OPEN) this.socket.send(JSON.stringify(frame));
  }

  private keep(session: Session): void {
    this.session = session;
    storeSession(sessionStorage, session);
  }
}

function newName(): string {
  return sessionName((bytes) => crypto.getRandomValues(bytes));
}
