/** The safety number, to compare by voice. */

import { ShieldCheck } from "lucide-react";
import type { App } from "../app";
import { useStore } from "../store";

export function SafetyNumber({ app, peer }: { app: App; peer: string }) {
  const digits = useStore(app.store, (state) => state.safety);
  if (!digits) return null;
  return (
    <section
      aria-label="Safety number"
      className="flex flex-wrap items-center justify-between gap-x-8 gap-y-3 rounded-2xl border border-line bg-surface p-4 sm:p-5"
    >
      <div className="flex max-w-md gap-3">
        <ShieldCheck aria-hidden className="mt-0.5 size-5 shrink-0 text-accent" />
        <p className="text-sm text-quiet">
          <span className="font-medium text-ink">Safety number.</span> Read it to each other: if{" "}
          {peer} sees the same, nobody sits between you. It is new in every call.
        </p>
      </div>
      <p
        data-testid="safety-number"
        className="grid grid-cols-4 gap-x-4 gap-y-1 font-mono text-sm tracking-wide"
      >
        {digits.map((group, n) => (
          <span key={n}>{group} </span>
        ))}
      </p>
    </section>
  );
}
