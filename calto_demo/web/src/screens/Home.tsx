/** People and calls at one side, the call or what there is to set at the other. */

import { Tabs } from "radix-ui";
import type { ReactNode } from "react";
import type { App } from "../app";
import type { User } from "../net/protocol";
import { useStore } from "../store";
import { Button } from "../ui/Button";
import { NoticeBar } from "../ui/Panel";
import { CallScreen } from "./CallScreen";
import { Header } from "./Header";
import { People } from "./People";
import { Ready } from "./Ready";
import { Recents } from "./Recents";

export function Home({ app, me }: { app: App; me: User }) {
  const view = useStore(app.store, (state) => state.call);
  const notice = useStore(app.store, (state) => state.notice);
  return (
    <div className="mx-auto max-w-7xl">
      <Header app={app} me={me} />
      <div className="space-y-4 px-4 pb-8 sm:px-6">
        {notice && <NoticeBar notice={notice} dismiss={() => app.dismissNotice()} />}
        <Elsewhere app={app} />
        <div className="grid items-start gap-4 lg:grid-cols-[22rem_1fr]">
          <aside
            aria-label="People and calls"
            className={`order-2 lg:order-1 ${view ? "max-lg:hidden" : ""}`}
          >
            <Lists app={app} />
          </aside>
          <main className={`min-w-0 lg:order-2 ${view ? "" : "max-lg:order-3"}`}>
            <h1 className="sr-only">Calto</h1>
            {view ? <CallScreen key={view.call} app={app} view={view} /> : <Ready app={app} />}
          </main>
        </div>
      </div>
    </div>
  );
}

function Lists({ app }: { app: App }) {
  return (
    <Tabs.Root defaultValue="people" className="rounded-2xl border border-line bg-surface p-3">
      <Tabs.List
        aria-label="People and calls"
        className="mb-3 grid grid-cols-2 gap-1 rounded-xl bg-sunken p-1"
      >
        <Tab value="people">People</Tab>
        <Tab value="calls">Calls</Tab>
      </Tabs.List>
      <Tabs.Content value="people">
        <People app={app} />
      </Tabs.Content>
      <Tabs.Content value="calls">
        <Recents app={app} />
      </Tabs.Content>
    </Tabs.Root>
  );
}

function Tab({ value, children }: { value: string; children: ReactNode }) {
  return (
    <Tabs.Trigger
      value={value}
      className="min-h-9 cursor-pointer rounded-lg text-sm text-quiet data-[state=active]:bg-raised data-[state=active]:font-medium data-[state=active]:text-ink data-[state=active]:shadow-sm"
    >
      {children}
    </Tabs.Trigger>
  );
}

/** Another tab has taken this session over. */
function Elsewhere({ app }: { app: App }) {
  const link = useStore(app.store, (state) => state.link);
  if (link !== "replaced" && link !== "crowded") return null;
  return (
    <div
      role="alert"
      className="flex items-center justify-between gap-4 rounded-xl bg-sunken p-3 pl-4"
    >
      <p className="text-sm">
        {link === "replaced"
          ? "Calto goes on in a copy of this tab."
          : "You have Calto open in too many places. Close some, then go on here."}
      </p>
      <Button onClick={() => app.goOnHere()}>Go on here</Button>
    </div>
  );
}
