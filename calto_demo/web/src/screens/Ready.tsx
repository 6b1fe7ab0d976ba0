/** The main place while there is no call: this network, and which way calls shall go. */

import { Activity } from "lucide-react";
import { useState } from "react";
import type { App } from "../app";
import type { Nat, PathChoice } from "../net/protocol";
import { useStore } from "../store";
import { Button } from "../ui/Button";
import { Segments } from "../ui/Choice";
import { DevicePickers } from "../ui/DevicePickers";
import { CheckPanel } from "./CheckPanel";

const NETWORK: Record<Nat, [title: string, words: string]> = {
  open: [
    "No NAT in the way",
    "The server sees your own address. Calls go directly wherever the other side lets them.",
  ],
  cone: [
    "A NAT that direct calls get through",
    "It keeps one public port for all destinations, so others can find you. Most calls go directly.",
  ],
  symmetric: [
    "A symmetric NAT",
    "It gives every destination another port, so others cannot know where you will come from. Calls to strict networks need the relay.",
  ],
  unknown: ["Not measured yet", "Run the check to learn what your network lets through."],
};

export const PATHS: { value: PathChoice; label: string; hint: string }[] = [
  { value: "auto", label: "Automatic", hint: "Directly where it can be, else through the relay." },
  {
    value: "relay",
    label: "Relay only",
    hint: "Always through the relay: it hides your address from whom you talk to.",
  },
  {
    value: "direct",
    label: "Direct only",
    hint: "Never through the relay: the call fails where there is no direct way.",
  },
];

export function Ready({ app }: { app: App }) {
  const settings = useStore(app.store, (state) => state.settings);
  return (
    <div className="space-y-4">
      <Network app={app} />
      <section
        aria-labelledby="path-title"
        className="rounded-2xl border border-line bg-surface p-5"
      >
        <h2 id="path-title" className="mb-3 font-semibold">
          Which way your calls go
        </h2>
        <Segments
          label="Which way your calls go"
          value={settings.path}
          options={PATHS}
          choose={(path) => app.settings({ path })}
        />
        <p className="mt-3 text-sm text-quiet">
          {PATHS.find(({ value }) => value === settings.path)?.hint}
        </p>
      </section>
      <section
        aria-labelledby="sound-title"
        className="rounded-2xl border border-line bg-surface p-5"
      >
        <h2 id="sound-title" className="mb-3 font-semibold">
          Sound
        </h2>
        <DevicePickers settings={settings} change={(change) => app.settings(change)} />
      </section>
    </div>
  );
}

function Network({ app }: { app: App }) {
  const nat = useStore(app.store, (state) => state.nat);
  const [checking, setChecking] = useState(false);
  const [title, words] = NETWORK[nat];
  return (
    <section
      aria-labelledby="network-title"
      className="rounded-2xl border border-line bg-surface p-5"
    >
      <p className="text-sm text-quiet">Your network</p>
      <h2 id="network-title" className="mt-0.5 text-xl font-semibold tracking-tight">
        {title}
      </h2>
      <p className="mt-1 mb-4 max-w-prose text-sm text-quiet">{words}</p>
      <Button look="primary" onClick={() => setChecking(true)}>
        <Activity aria-hidden className="size-4" /> Check before a call
      </Button>
      <CheckPanel app={app} open={checking} close={() => setChecking(false)} />
    </section>
  );
}
