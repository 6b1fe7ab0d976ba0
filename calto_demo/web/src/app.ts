/** Puts the parts together: account, server, socket, call; and what the screens can ask for. */

import { natSeen, relaySeen } from "./check/gather";
import { Conductor } from "./call/conductor";
import { relayUrls } from "./call/policy";
import { wordsOf } from "./failure";
import { Api, ApiError } from "./net/api";
import { AccountStore, returned } from "./net/account";
import type { Nat, Person, ServerFrame, SignedIn, Welcome } from "./net/protocol";
import { SignalSocket } from "./net/socket";
import { socketUrl } from "./config";
import {
  type AppState,
  continued,
  NO_CALL,
  refreshed,
  type Settings,
  storedSettings,
  storeSettings,
} from "./state";
import { Store } from "./store";

const RENEW_EVERY_MS = 10 * 60_000;
const RENEW_BEFORE_S = 3600;

export class App {
  readonly store: Store<AppState>;
  readonly api: Api;
  readonly calls: Conductor;
  readonly accounts: AccountStore;
  private readonly socket: SignalSocket;

  constructor(readonly server: string) {
    this.accounts = new AccountStore(server, sessionStorage, localStorage);
    this.store = new Store<AppState>({
      server,
      info: null,
      me: null,
      link: "closed",
      notice: null,
      people: [],
      records: [],
      olderRecords: false,
      settings: storedSettings(localStorage),
      nat: "unknown",
      relayRttMs: null,
      ...NO_CALL,
    });
    this.api = new Api(server, () => this.accounts.current()?.token ?? null);
    this.socket = new SignalSocket(socketUrl(server), this.hello, {
      link: (link) => this.store.set({ link }),
      welcome: (welcome) => this.welcome(welcome),
      frame: (frame) => this.frame(frame),
      error: (error) => this.calls.refused(error),
      signedOut: (code) => this.leave(SIGNED_OUT[code] ?? "Sign in again, please."),
    });
    this.calls = new Conductor(this.store, this.api, (frame) => this.socket.send(frame));
    setInterval(() => void this.renew(), RENEW_EVERY_MS);
  }

  private hello = () => ({
    token: this.accounts.current()?.token ?? "",
    nat: this.store.get().nat,
  });

  async start(): Promise<void> {
    await this.learnServer();
    const back = returned(location.hash);
    if (back) history.replaceState(null, "", location.pathname + location.search);
    if (back && "error" in back) return this.tell(`The sign-in did not work: ${back.error}.`);
    if (back) return this.signInWith(back.token);
    const account = this.accounts.current();
    if (account) this.enter(account);
  }

  async learnServer(): Promise<void> {
    try {
      this.store.set({ info: await this.api.server(), notice: null });
    } catch (error) {
      this.explain(error);
    }
  }

  // Signing in and out.

  async signInAsGuest(name: string): Promise<void> {
    try {
      this.enter(await this.api.guest(name));
    } catch (error) {
      this.explain(error);
    }
  }

  /** Go on as who was signed in before, or with the token that a provider's page brought. */
  async signInWith(token: string): Promise<void> {
    try {
      this.enter(await new Api(this.server, () => token).renew());
    } catch (error) {
      this.accounts.forget(true);
      this.explain(error);
    }
  }

  async signOut(): Promise<void> {
    this.calls.hangUp();
    await this.api.signOut().catch((error: unknown) => console.debug("sign-out", error));
    this.leave(null);
  }

  private enter(account: SignedIn): void {
    this.accounts.keep(account);
    this.store.set({ me: account.me, notice: null });
    this.socket.open();
  }

  private leave(message: string | null): void {
    this.accounts.forget(true);
    this.socket.close();
    this.calls.abandon();
    this.store.set({ me: null, people: [], records: [], olderRecords: false });
    if (message) this.tell(message);
  }

  private async renew(): Promise<void> {
    const account = this.accounts.current();
    if (!account || account.expires_at - Date.now() / 1000 > RENEW_BEFORE_S) return;
    await this.api.renew().then(
      (fresh) => this.accounts.keep(fresh),
      (error: unknown) => console.debug("renew", error),
    );
  }

  // What the server says.

  private welcome(welcome: Welcome): void {
    this.store.set({ me: welcome.me });
    this.calls.welcome(welcome);
    void this.refresh();
    if (this.store.get().nat === "unknown") void this.learnNetwork();
  }

  private frame(frame: ServerFrame): void {
    if (frame.type === "presence") this.seen(frame.person);
    this.calls.frame(frame);
    if (frame.type === "ended") void this.refreshCalls();
  }

  private seen(person: Person): void {
    const { people, me } = this.store.get();
    if (person.id === me?.id) return;
    const known = people.find(({ id }) => id === person.id);
    const next = { ...known, ...person };
    this.store.set({
      people: known ? people.map((it) => (it.id === person.id ? next : it)) : [...people, next],
    });
  }

  async refresh(): Promise<void> {
    await Promise.all([this.findPeople(""), this.refreshCalls()]);
  }

  async findPeople(query: string): Promise<void> {
    await this.api.people(query).then(
      (people) => this.store.set({ people }),
      (error: unknown) => this.explain(error),
    );
  }

  private async refreshCalls(): Promise<void> {
    await this.api.calls().then(
      (newest) => this.store.set(refreshed(this.store.get(), newest)),
      (error: unknown) => this.explain(error),
    );
  }

  async olderCalls(): Promise<void> {
    await this.api.calls(this.store.get().records.at(-1)?.started_at).then(
      // A call may have ended meanwhile: what is known now counts.
      (older) => this.store.set(continued(this.store.get(), older)),
      (error: unknown) => this.explain(error),
    );
  }

  async setContact(person: Person, contact: boolean): Promise<void> {
    try {
      await this.api.setContact(person.id, contact);
      const { people } = this.store.get();
      this.store.set({
        people: people.map((it) => (it.id === person.id ? { ...it, contact } : it)),
      });
    } catch (error) {
      this.explain(error);
    }
  }

  // The network.

  /** What can be learnt without a microphone: the kind of NAT, and how far away the relay is. */
  private async learnNetwork(): Promise<void> {
    try {
      const ice = await this.api.ice();
      this.measuredNat((await natSeen(ice)).kind);
      const server = ice.iceServers.find((it) => relayUrls([it]).length > 0);
      if (!server) return;
      const { rttMs } = await relaySeen(server, relayUrls([server])[0]!);
      this.store.set({ relayRttMs: rttMs });
    } catch (error) {
      console.debug("the network was not measured", error);
    }
  }

  measuredNat(nat: Nat, relayRttMs?: number | null): void {
    if (nat !== this.store.get().nat) this.socket.send({ type: "status", nat });
    this.store.set(relayRttMs === undefined ? { nat } : { nat, relayRttMs });
  }

  // Settings and words.

  settings(change: Partial<Settings>): void {
    const settings = { ...this.store.get().settings, ...change };
    this.store.set({ settings });
    storeSettings(localStorage, settings);
    if (change.microphone !== undefined) void this.calls.changeMicrophone();
  }

  goOnHere(): void {
    this.socket.takeNewSession();
  }

  tell(message: string, hint: string | null = null): void {
    this.store.set({ notice: { message, hint } });
  }

  dismissNotice(): void {
    this.store.set({ notice: null });
  }

  private explain(error: unknown): void {
    if (error instanceof ApiError && error.signedOut && this.store.get().me)
      return this.leave(SIGNED_OUT[error.code] ?? error.message);
    if (error instanceof ApiError) return this.tell(error.message, error.hint);
    this.tell(wordsOf(error));
  }
}

const SIGNED_OUT: Record<string, string> = {
  "expired-token": "You were away for long: sign in again.",
  "signed-out": "You signed out.",
  "bad-token": "The server does not know this sign-in any more.",
};
