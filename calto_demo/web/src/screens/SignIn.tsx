/** Sign in: as a guest, with a provider where the server has one, or as who one was before. */

import { LogIn } from "lucide-react";
import { useState } from "react";
import type { App } from "../app";
import { useStore } from "../store";
import { Avatar } from "../ui/Avatar";
import { Button } from "../ui/Button";
import { NoticeBar } from "../ui/Panel";
import { Logo } from "../ui/Logo";

export function SignIn({ app }: { app: App }) {
  const info = useStore(app.store, (state) => state.info);
  const notice = useStore(app.store, (state) => state.notice);
  const [remembered] = useState(() => app.accounts.remembered(Date.now() / 1000));
  return (
    <main className="mx-auto flex min-h-dvh max-w-md flex-col justify-center gap-6 px-5 py-10">
      <div>
        <Logo />
        <h1 className="mt-6 text-2xl font-semibold tracking-tight text-balance">
          Calls that show which way they go
        </h1>
        <p className="mt-2 text-quiet">
          Talk to somebody, and see whether your voice goes straight to them or through a relay, and
          why.
        </p>
      </div>
      {notice && <NoticeBar notice={notice} dismiss={() => app.dismissNotice()} />}
      {info ? (
        <div className="space-y-5 rounded-2xl border border-line bg-surface p-5">
          {remembered && (
            <Button className="w-full" onClick={() => void app.signInWith(remembered.token)}>
              <Avatar name={remembered.me.name} /> Go on as {remembered.me.name}
            </Button>
          )}
          {info.sign_in.guest && <GuestForm app={app} />}
          {info.sign_in.oidc && <Provider app={app} {...info.sign_in.oidc} />}
        </div>
      ) : (
        <Button onClick={() => void app.learnServer()}>Try again</Button>
      )}
      <ServerName server={app.server} />
    </main>
  );
}

function GuestForm({ app }: { app: App }) {
  const [name, setName] = useState("");
  const [busy, setBusy] = useState(false);
  const submit = async (event: React.FormEvent) => {
    event.preventDefault();
    setBusy(true);
    await app.signInAsGuest(name.trim());
    setBusy(false);
  };
  return (
    <form onSubmit={(event) => void submit(event)} className="space-y-3">
      <label htmlFor="name" className="block text-sm font-medium">
        Your name, as others will see it
      </label>
      <input
        id="name"
        name="name"
        required
        maxLength={40}
        autoComplete="nickname"
        autoFocus
        value={name}
        onChange={(event) => setName(event.target.value)}
        className="min-h-11 w-full rounded-xl border border-line bg-ground px-3"
      />
      <Button type="submit" look="primary" className="w-full" disabled={busy || !name.trim()}>
        <LogIn aria-hidden className="size-4" /> Sign in as a guest
      </Button>
    </form>
  );
}

function Provider({ app, name, url }: { app: App; name: string; url: string }) {
  const back = encodeURIComponent(location.href.split("#")[0]!);
  const target = `${new URL(url, `${app.server}/`).href}?return_to=${back}`;
  return (
    <a
      href={target}
      className="flex min-h-10 w-full items-center justify-center rounded-xl bg-sunken text-sm font-medium hover:bg-line"
    >
      Sign in with {name}
    </a>
  );
}

/** Said only where it is another one than the page's: one should know whom one signs in to. */
function ServerName({ server }: { server: string }) {
  if (server === location.origin) return null;
  return (
    <p className="text-center text-sm text-quiet">
      The server is <span className="font-mono text-ink">{new URL(server).host}</span>
    </p>
  );
}
