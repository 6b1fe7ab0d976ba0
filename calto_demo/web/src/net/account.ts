/**
 * Who is signed in, kept for this tab, and remembered for the next one.
 *
 * A tab has its own account, so that two tabs of one browser can call each other. What is kept is
 * kept by server: a token never goes to another one, whatever `?server=` says.
 */

import type { SignedIn } from "./protocol";

export class AccountStore {
  private readonly key: string;

  constructor(
    server: string,
    private readonly tab: Storage,
    private readonly browser: Storage,
  ) {
    this.key = `calto.account ${server}`;
  }

  current(): SignedIn | null {
    return parsed(this.tab.getItem(this.key));
  }

  /** Who was signed in last in this browser, while the token is good. */
  remembered(nowSeconds: number): SignedIn | null {
    const kept = parsed(this.browser.getItem(this.key));
    return kept && kept.expires_at > nowSeconds ? kept : null;
  }

  keep(account: SignedIn): void {
    const text = JSON.stringify(account);
    this.tab.setItem(this.key, text);
    this.browser.setItem(this.key, text);
  }

  /** `everywhere`: the token is good no more, so the browser forgets it, too. */
  forget(everywhere: boolean): void {
    const token = this.current()?.token;
    this.tab.removeItem(this.key);
    if (everywhere && parsed(this.browser.getItem(this.key))?.token === token)
      this.browser.removeItem(this.key);
  }
}

function parsed(text: string | null): SignedIn | null {
  try {
    const kept = JSON.parse(text ?? "null");
    return typeof kept?.token === "string" && typeof kept.me?.id === "string" ? kept : null;
  } catch {
    return null;
  }
}

/** What a sign-in with a provider left behind the `#`: a token, or the code of an error. */
export function returned(hash: string): { token: string } | { error: string } | null {
  const found = new URLSearchParams(hash.replace(/^#/, ""));
  const token = found.get("token");
  if (token) return { token };
  const error = found.get("error");
  return error ? { error } : null;
}
