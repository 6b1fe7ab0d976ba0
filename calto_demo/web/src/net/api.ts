/** The HTTP side of the server. Every refusal is an `ApiError` with words for people. */

import { Failure } from "../failure";
import type { CallRecord, IceServers, PathReport, Person, ServerInfo, SignedIn } from "./protocol";

export const CALLS_AT_ONCE = 50;

export class ApiError extends Failure {
  constructor(
    readonly status: number,
    readonly code: string,
    message: string,
    readonly hint: string | null,
  ) {
    super(message);
  }

  /** The token is of no use any more: sign in again. */
  get signedOut(): boolean {
    return this.status === 401;
  }
}

export class Api {
  constructor(
    readonly base: string,
    private readonly token: () => string | null,
  ) {}

  server = () => this.ask<ServerInfo>("GET", "/api/server");
  guest = (name: string) => this.ask<SignedIn>("POST", "/api/guest", { name });
  renew = () => this.ask<SignedIn>("POST", "/api/token");
  signOut = () => this.ask<void>("POST", "/api/sign-out");

  people = async (query: string): Promise<Person[]> => {
    const q = query ? `?q=${encodeURIComponent(query)}` : "";
    return (await this.ask<{ people: Person[] }>("GET", `/api/people${q}`)).people;
  };
  setContact = (user: string, wanted: boolean) =>
    this.ask<void>(wanted ? "PUT" : "DELETE", `/api/contacts/${encodeURIComponent(user)}`);

  /** Args: before: the `started_at` of the oldest call that is known; left out: the newest. */
  calls = async (before?: number): Promise<CallRecord[]> => {
    const older = before === undefined ? "" : `&before=${before}`;
    const path = `/api/calls?limit=${CALLS_AT_ONCE}${older}`;
    return (await this.ask<{ calls: CallRecord[] }>("GET", path)).calls;
  };
  report = (call: string, path: PathReport) =>
    this.ask<{ explanation: string }>("POST", `/api/calls/${encodeURIComponent(call)}/path`, path);
  ice = (call?: string) =>
    this.ask<IceServers>("GET", `/api/ice${call ? `?call=${encodeURIComponent(call)}` : ""}`);

  private async ask<Answer>(method: string, path: string, body?: unknown): Promise<Answer> {
    const token = this.token();
    const headers: Record<string, string> = {};
    if (token) headers["Authorization"] = `Bearer ${token}`;
    if (body !== undefined) headers["Content-Type"] = "application/json";
    const init: RequestInit = { method, headers };
    if (body !== undefined) init.body = JSON.stringify(body);
    let answer: Response;
    try {
      answer = await fetch(this.base + path, init);
    } catch {
      throw new ApiError(0, "unreachable", "The server cannot be reached.", "Is it running?");
    }
    if (!answer.ok) throw await refusal(answer);
    const text = await answer.text();
    return (text ? JSON.parse(text) : undefined) as Answer;
  }
}

async function refusal(answer: Response): Promise<ApiError> {
  try {
    const { error } = await answer.json();
    return new ApiError(answer.status, error.code, error.message, error.hint ?? null);
  } catch {
    return new ApiError(answer.status, "unknown", `The server answered ${answer.status}.`, null);
  }
}
